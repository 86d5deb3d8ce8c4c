//! What happens to stores: full disks, file systems that go away, users who are not their own.

mod full_map {
    use std::os::fd::AsFd;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use crate::support::{Rl, archive, binary};

    fn quoted(script: &str) -> String {
        script.replace('\'', r"'\''")
    }

    /// In a mount namespace of its own, where the store is on a small file system; `$rl` is the program.
    fn on_a_small_disk(rl: &Rl, kilobytes: u32, script: &str) -> String {
        let disk = rl.dir("disk");
        let script = format!(
            "set -eu; mount -t tmpfs -o size={kilobytes}k tmpfs {0}; mkdir -m 700 {0}/data
             rl=\"{1} --root {0}/data --runroot {2}\"; {script}",
            disk.display(),
            binary().display(),
            rl.dir("run2").display()
        );
        let outer = std::process::Command::new(binary())
            .args(["--root".as_ref(), rl.root().as_os_str(), "--runroot".as_ref(), rl.runroot().as_os_str()])
            .args(["unshare", "-m", "sh", "-c", &script])
            .output()
            .expect("rl");
        let (out, said) = (String::from_utf8_lossy(&outer.stdout), String::from_utf8_lossy(&outer.stderr));
        assert!(outer.status.success(), "{out}{said}");
        out.into_owned() + &said
    }

    #[test]
    fn a_full_disk_leaves_the_old_image() {
        let rl = Rl::empty();
        // The second archive is larger than what the first has left; one that can't be seen to be too large before it is
        // unpacked, because it says nothing of its size.
        let script = format!(
            "$rl import -q {0} app >/dev/null; old=$($rl images -q --no-trunc)
             mkdir new; head -c 9000000 /dev/urandom >new/big; tar -cf new.tar -C new .
             if $rl import -q new.tar app 2>said; then echo 'it was taken'; exit 1; fi
             grep -o RL0306 said; [ \"$old\" = \"$($rl images -q --no-trunc)\" ]; ls $PWD/../disk/data/staging
             $rl system check; $rl run --rm --network none app echo 'it runs'",
            archive("busybox.tar").display()
        );
        let out = on_a_small_disk(&rl, 12_000, &format!("cd {}; {script}", rl.dir("work").display()));
        assert_eq!(out, "RL0306\nThe store is clean.\nit runs\n");
    }

    #[test]
    fn an_image_that_cannot_fit_is_refused_before_it_is_fetched() {
        let rl = Rl::empty();
        rl.run(&["import", "-q", &archive("busybox.tar").to_string_lossy(), "app"]).success();
        let layout = rl.dir("out").join("layout");
        rl.run(&["push", "-q", "app", &format!("oci:{}:app:1", layout.display())]).success();
        let script = format!(
            "if $rl pull -q oci:{}:app:1 2>said; then exit 1; fi; grep -o 'RL0306\\|takes at least' said | sort
             [ -z \"$(ls $PWD/../disk/data/partial 2>/dev/null)\" ]; $rl system check",
            layout.display()
        );
        let out = on_a_small_disk(&rl, 1_000, &format!("cd {}; {script}", rl.dir("work").display()));
        assert_eq!(out, "RL0306\ntakes at least\nThe store is clean.\n");
    }

    #[test]
    fn the_death_of_fuse_overlayfs_is_told_and_harms_nothing() {
        let rl = Rl::empty();
        rl.run(&["import", "-q", &archive("busybox.tar").to_string_lossy(), "app"]).success();
        let words = ["--storage-driver", "fuse-overlayfs", "run", "--rm", "-i", "--network", "none", "app", "sh", "-c"];
        // The shell itself is in memory; what it reads next is not.
        let script = "echo ready; read line; ls /bin >/dev/null 2>&1 || echo 'no files'; exit 7";
        let mut running = rl.command(&[&words[..], &[script]].concat()).piped_stdin().spawn();
        running.wait_for_line("ready");
        let own = format!("/proc/{0}/task/{0}/children", running.pid());
        let children = std::fs::read_to_string(own).expect("its children");
        let fuse = children
            .split_whitespace()
            .find(|pid| {
                let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                name.starts_with("fuse-overlayfs")
            })
            .expect("fuse-overlayfs");
        let pid = nix::unistd::Pid::from_raw(fuse.parse().expect("a pid"));
        let watched = rl::sys::child::open_pidfd(pid).expect("a pidfd");
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("kill");
        // A signal is not yet a death: the container must not end before it.
        let mut polls = [PollFd::new(watched.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut polls, PollTimeout::from(10_000_u16)).expect("poll"), 1);
        running.close_stdin();
        let out = running.finish();
        assert!(out.stderr.contains("RL0410") && out.stderr.contains("SIGKILL"), "{}", out.stderr);
        assert!(!out.stdout.contains("ready\nready"), "{}", out.stdout);
        let again =
            rl.run(&["--storage-driver", "fuse-overlayfs", "run", "--rm", "--network", "none", "app", "echo", "again"]);
        assert_eq!(again.success().stdout, "again\n");
        assert_eq!(rl.run(&["system", "check"]).success().stdout, "The store is clean.\n");
    }

    /// Attributes by which a layer would hide files or lie about owners, on both drivers.
    #[test]
    fn no_attribute_of_a_layer_steers_a_driver() {
        use crate::tar::{Header, Tar};
        let rl = Rl::empty();
        let records: &[(&str, &[u8])] = &[
            ("SCHILY.xattr.user.overlay.opaque", b"y"),
            ("SCHILY.xattr.user.overlay.whiteout", b"y"),
            ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
            ("SCHILY.xattr.user.fuseoverlayfs.opaque", b"y"),
            ("SCHILY.xattr.user.fuseoverlayfs.override_stat", b"42:42:4777"),
            ("SCHILY.xattr.user.containers.override_stat", b"42:42:4777"),
        ];
        let device = Header::new(b'3', "etc/motd", 0).with(329, b"0000000").with(337, b"0000000");
        let upper = Tar::new().pax(records).dir("etc").pax(records).file("etc/new", "new").header(device).end();
        let dir = rl.dir("work");
        let (layer, root) = (dir.join("upper.tar"), archive("busybox.tar"));
        std::fs::write(&layer, upper).expect("write");
        // Two layers, the upper one as it is, in a layout of umoci's making.
        let build = format!(
            "set -eu; cd {0}; umoci init --layout l; umoci new --image l:v1; umoci raw add-layer --image l:v1 {1}
             umoci raw add-layer --image l:v1 {2}",
            dir.display(),
            root.display(),
            layer.display()
        );
        rl.shell(&format!("{} unshare -m sh -c '{}'", binary().display(), quoted(&build))).success();
        let id = rl.run(&["pull", "-q", &format!("oci:{}/l:v1", dir.display())]).success().stdout;
        for driver in ["overlay", "fuse-overlayfs", "copy"] {
            let words = ["--storage-driver", driver, "run", "--rm", "--network", "none", id.trim(), "sh", "-c"];
            let script = "ls /etc; stat -c '%u:%g %a' /etc/new /etc; stat -c '%F %a' /etc/motd";
            let out = rl.run(&[&words[..], &[script]].concat()).success().stdout;
            assert!(out.contains("group\n") && out.contains("passwd\n"), "{driver}: nothing is hidden: {out}");
            assert!(out.ends_with("0:0 644\n0:0 755\nregular empty file 0\n"), "{driver}: {out}");
        }
    }
}

mod everywhere {
    use crate::assert_nothing_is_left;
    use crate::support::Rl;
    use crate::tar::{Tar, gzip};

    #[test]
    fn a_million_entries_end_in_an_error_and_not_in_memory() {
        let one = Tar::new().dir("d").0;
        let block = gzip(&one.repeat(10_000));
        let rl = Rl::empty();
        let file = rl.dir("archives").join("a.tar.gz");
        std::fs::write(&file, [block.repeat(100), gzip(&[0; 1024])].concat()).expect("write");
        let line = format!("ulimit -d 150000; RUST_BACKTRACE=0 {} import {} x", rl.binary().display(), file.display());
        let refused = rl.shell(&line).fails_with(125);
        assert!(refused.stderr.contains("more directories than any image has"), "{}", refused.stderr);
        assert_nothing_is_left(&rl, "a million entries");
    }
}

mod as_root {
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use crate::support::{Rl, archive, binary, missing};

    /// A store of the machine's: two ordinary users run from it, and can't change it.
    #[test]
    fn a_shared_store_serves_other_users_and_none_can_change_it() {
        let user = "rltest2";
        if Command::new("id").arg(user).output().map_or(true, |id| !id.status.success()) {
            missing("a second user");
            return;
        }
        let rl = Rl::empty();
        rl.run(&["import", "-q", &archive("debian.tar.gz").to_string_lossy(), "debian"]).success();
        let layout = rl.dir("out").join("layout");
        rl.run(&["push", "-q", "debian", &format!("oci:{}:debian:1", layout.display())]).success();
        let shared = tempfile::Builder::new().prefix("rl-shared-").tempdir().expect("a directory");
        std::fs::set_permissions(shared.path(), PermissionsExt::from_mode(0o755)).expect("chmod");
        let store = shared.path().join("rl");
        std::fs::create_dir(&store).expect("mkdir");
        let run = rl.dir("run3");
        let mut pull = Command::new(binary());
        pull.arg("--root").arg(&store).arg("--runroot").arg(&run);
        let pulled = pull.args(["pull", "-q", "--shared", &format!("oci:{}:debian:1", layout.display())]).output();
        let pulled = pulled.expect("rl");
        assert!(pulled.status.success(), "{}", String::from_utf8_lossy(&pulled.stderr));
        // A home of the other user's, in which the store is named.
        let program = shared.path().join("rl-binary");
        std::fs::copy(binary(), &program).expect("copy");
        let script = format!(
            "set -eu; home=$(mktemp -d); export HOME=$home; unset XDG_RUNTIME_DIR; mkdir -p $home/.config/rl
             echo 'additional_stores = [\"{0}\"]' >$home/.config/rl/config.toml
             {1} images --format '{{{{.Repository}}}} {{{{.ReadOnly}}}}'
             {1} run --rm --network none debian:1 sh -c 'stat -c \"%U:%G %a %n\" /etc/shadow /usr/bin/passwd /var/mail; cat /etc/shadow >/dev/null && echo root reads it; echo x >/etc/passwd && echo its own copy'
             test ! -e $home/.local/share/rl/layers || ls $home/.local/share/rl/layers
             touch {0}/images/x 2>/dev/null && echo 'it could be changed'; for file in $(find {0}/layers -path '*/diff/etc/passwd'); do (echo x >$file) 2>/dev/null && echo 'it could be changed'; done
             {1} rmi debian:1 2>/dev/null && echo 'it could be removed'; {1} unshare rm -rf $home",
            store.display(),
            program.display()
        );
        let out = Command::new("setpriv")
            .args([
                "--reuid",
                user,
                "--regid",
                user,
                "--init-groups",
                "env",
                "-i",
                "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            ])
            .args(["sh", "-c", &script])
            .output()
            .expect("setpriv");
        let (said, errors) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        let expected = "debian true\nroot:shadow 640 /etc/shadow\nroot:root 4755 /usr/bin/passwd\nroot:mail 2775 /var/mail\nroot reads it\nits own copy\n";
        assert_eq!(said, expected, "{errors}");
        let mut check = Command::new(binary());
        let clean = check.arg("--root").arg(&store).arg("--runroot").arg(&run).args(["system", "check"]).output();
        assert_eq!(String::from_utf8_lossy(&clean.expect("rl").stdout), "The store is clean.\n");
    }
}
