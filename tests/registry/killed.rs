//! kill -9 at any moment of a pull, a run or a removal, from two processes at once: the store is never damaged by it.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};

use crate::server::Server;
use crate::support::{Rl, archive};

/// Two images that share their lowest layer, pushed as `$3/one` and `$3/two`; each can tell whether its files are whole.
const BUILD: &str = r#"
    set -eu; cd "$2"
    umoci init --layout layout; umoci new --image layout:one
    mkdir root; tar -C root -xf "$1"; mkdir root/data
    head -c 6000000 /dev/urandom | split -a 4 -b 2500 - root/data/file-
    (cd root/data; sha256sum file-* >sums)
    umoci insert --image layout:one root /
    umoci tag --image layout:one two
    for image in one two; do
        mkdir $image; head -c 3000000 /dev/urandom >$image/big; (cd $image; sha256sum big >sums)
        umoci insert --image layout:$image $image /$image
        skopeo copy -q --dest-tls-verify=false oci:layout:$image docker://$3/$image:latest
    done"#;

/// Commands of each process that are killed; those that end before do not count.
const ROUNDS: usize = 50;
/// Milliseconds to a kill are less than two to the power of less than this: short ones are as likely as long ones.
const POWERS: u64 = 9;

/// xorshift64: nothing needs to be unforeseeable, but every run shall be another.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// One process's rounds.
fn rounds(rl: &Rl, address: &str, mut random: Random) {
    let mut killed = 0;
    while killed < ROUNDS {
        let name = format!("{address}/{}", if random.below(2) == 0 { "one" } else { "two" });
        let words: &[&str] = match random.below(10) {
            0..=4 => &["pull", "-q", &name],
            5..=7 => &["run", "--rm", "--network", "none", "--pull=never", &name, "sh", "-c", "cat /data/* | wc -c"],
            _ => &["rmi", &name],
        };
        let running = rl.command(words).spawn();
        let most = 1000 << random.below(POWERS);
        std::thread::sleep(Duration::from_micros(random.below(most)));
        let _ = kill(running.pid(), Signal::SIGKILL);
        let ended = running.finish();
        match ended.status.code() {
            // It was done already, or there was no such image, or a container ran on it.
            Some(0) => {}
            Some(_) => {
                let expected = ["RL0301", "RL0308"].iter().any(|id| ended.stderr.contains(id));
                assert!(expected, "{words:?} ended with {}: {}", ended.status, ended.stderr);
            }
            None => killed += 1,
        }
    }
}

mod as_user {
    use super::*;

    #[test]
    fn a_hundred_kills_damage_nothing() {
        let Some(server) = Server::plain() else { return };
        let rl = Rl::empty();
        let dir = rl.dir("images");
        let (busybox, dir) = (archive("busybox.tar"), dir.to_string_lossy().into_owned());
        rl.run(&["unshare", "-m", "sh", "-c", BUILD, "build", &busybox.to_string_lossy(), &dir, &server.address])
            .success();
        let seed = RandomState::new().hash_one(0);
        println!("the seed is {seed}");
        std::thread::scope(|scope| {
            for number in [2, 4] {
                let (rl, address) = (&rl, &server.address);
                scope.spawn(move || rounds(rl, address, Random((seed ^ number) | 1)));
            }
        });

        let check = rl.run(&["system", "check"]).success();
        assert!(!check.stdout.contains("damaged"), "{}", check.stdout);
        for image in ["one", "two"] {
            let name = format!("{}/{image}", server.address);
            rl.run(&["pull", "-q", &name]).success();
            let whole = format!("cd /data && sha256sum -c sums >/dev/null && cd /{image} && sha256sum -c sums");
            let out = rl.run(&["run", "--rm", "--network", "none", &name, "sh", "-c", &whole]).success();
            assert_eq!(out.stdout, "big: OK\n");
        }
        assert_eq!(rl.run(&["system", "check"]).success().stdout, "The store is clean.\n");
    }
}
