//! `rl exec`: the same process as `rl run` makes, in a container that is there.

use std::path::Path;

use crate::support::{Rl, Running};

/// A container that has said `ready` and stays until it is told to end.
pub(crate) struct Living<'a> {
    rl: &'a Rl,
    pub(crate) run: Option<Running>,
    /// What it has printed before.
    pub(crate) said: String,
}

impl<'a> Living<'a> {
    /// `rl run --name box FLAGS busybox sh -c SCRIPT`.
    pub(crate) fn start(rl: &'a Rl, flags: &[&str], script: &str) -> Self {
        let script = format!("{script}\necho ready; read end || true");
        let mut words = vec!["run", "--rm", "-i", "--name", "box"];
        words.extend(flags);
        words.extend(["busybox", "sh", "-c", &script]);
        let mut run = rl.command(&words).piped_stdin().spawn();
        run.wait_for_line("ready");
        let said = run.heard().trim_end().trim_end_matches("ready").to_owned();
        Self { rl, run: Some(run), said }
    }

    pub(crate) fn exec(&self, words: &[&str]) -> crate::support::Output {
        let mut all = vec!["exec"];
        all.extend(words);
        self.rl.run(&all)
    }
}

impl Drop for Living<'_> {
    fn drop(&mut self) {
        if let Some(run) = self.run.take() {
            let _ = run.finish();
        }
    }
}

/// A file below a directory of the test's own, executable.
pub(crate) fn script(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    std::fs::write(&path, text).expect("write");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("chmod");
}

/// Everything that confines a process, as the kernel tells it.
const CONFINEMENT: &str = "grep -E '^(Umask|Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp|SigBlk|SigIgn|SigCgt|Shd|NSpid)' /proc/self/status | grep -v NSpid
cat /proc/self/limits /proc/self/mountinfo /proc/self/cgroup /proc/self/oom_score_adj
for kind in user mnt pid net ipc uts cgroup time; do readlink /proc/self/ns/$kind; done
env | grep -v -E '^(PWD|OLDPWD|SHLVL|_)=' | sort; pwd";

mod everywhere {
    use std::time::{Duration, Instant};

    use nix::sys::signal::{Signal, kill};

    use super::{CONFINEMENT, Living};
    use crate::support::Rl;

    #[test]
    fn an_exec_is_confined_exactly_as_the_run_is() {
        let cases: [&[&str]; 5] = [
            &[],
            &[
                "--cap-add=NET_RAW",
                "--cap-drop=CHOWN",
                "--security-opt=no-new-privileges",
                "--umask=0077",
                "-e",
                "A=b c",
            ],
            &["--security-opt=seccomp=unconfined", "--ulimit=nofile=100:200", "-w", "/etc"],
            &["--privileged", "-e", "HOME=/nowhere"],
            &["--read-only", "--init", "--hostname", "elsewhere"],
        ];
        for flags in cases {
            let rl = Rl::new();
            let living = Living::start(&rl, flags, CONFINEMENT);
            let out = living.exec(&["-i", "box", "sh", "-c", CONFINEMENT]).success();
            assert_eq!(out.stdout, living.said, "{flags:?}");
            assert!(out.stdout.contains("CapBnd") && out.stdout.contains("Max open files"), "{}", out.stdout);
        }
    }

    #[test]
    fn statuses_are_those_of_run() {
        let rl = Rl::new();
        let living = Living::start(&rl, &[], "");
        living.exec(&["box", "true"]).success();
        living.exec(&["box", "sh", "-c", "exit 7"]).fails_with(7);
        living.exec(&["box", "sh", "-c", "kill -9 $$"]).fails_with(137);
        living.exec(&["box", "/etc/passwd"]).fails_with(126);
        living.exec(&["box", "nowhere"]).fails_with(127);
        living.exec(&["box", "/no/where"]).fails_with(127);
        living.exec(&["-w", "/no/where", "box", "true"]).fails_with(127);
        living.exec(&["-u", "nobody-here", "box", "true"]).fails_with(125);
        living.exec(&["box"]).fails_with(125);
        living.exec(&["another", "true"]).fails_with(125);
        living.exec(&["--no-such-flag", "box", "true"]).fails_with(125);
    }

    #[test]
    fn a_working_directory_that_cannot_be_is_told_with_why() {
        let rl = Rl::new();
        let living = Living::start(&rl, &[], "ln -s loop /loop; ln -s /nowhere /dangling");
        for (path, why, fix) in [
            ("/no/where", "No such file or directory (ENOENT)", "rl exec CONTAINER mkdir -p /no/where"),
            ("/dangling", "No such file or directory (ENOENT)", "-w"),
            ("/bin/busybox", "Not a directory (ENOTDIR)", "is a file"),
            ("/bin/busybox/deep", "Not a directory (ENOTDIR)", "is a file"),
            ("/loop", "(ELOOP)", "A link leads to itself"),
            ("/proc/self/root", "(ELOOP)", "/proc's"),
        ] {
            let out = living.exec(&["-w", path, "box", "pwd"]).fails_with(127);
            let said = format!("rl: cannot use the working directory: change to {path} in the container: ");
            assert!(out.stderr.starts_with(&said) && out.stderr.contains(fix), "{}", out.stderr);
            assert!(out.stderr.contains(why) && !out.stderr.contains("openat2"), "{}", out.stderr);
        }
        living.exec(&["box", "mkdir", "-p", "/no/where"]).success();
        assert_eq!(living.exec(&["-w", "/no/where", "box", "pwd"]).success().stdout, "/no/where\n");
    }

    #[test]
    fn words_change_variables_directory_and_streams() {
        let rl = Rl::new();
        let living = Living::start(&rl, &["-e", "A=1", "-e", "B=2", "-w", "/tmp"], "");
        let file = rl.dir("files").join("env");
        std::fs::write(&file, "# a comment\nC=3\nB=4\n").expect("write");
        let out = living.exec(&[
            "--env-file",
            &file.to_string_lossy(),
            "-e",
            "D=5",
            "box",
            "sh",
            "-c",
            "echo $A $B $C $D; pwd",
        ]);
        assert_eq!(out.success().stdout, "1 4 3 5\n/tmp\n");
        assert_eq!(living.exec(&["-w", "/etc", "box", "pwd"]).success().stdout, "/etc\n");
        let piped = rl.command(&["exec", "-i", "box", "cat"]).stdin("through").output().success();
        assert_eq!(piped.stdout, "through");
        let closed = rl.command(&["exec", "box", "cat"]).stdin("not through").output().success();
        assert_eq!(closed.stdout, "");
        // Options stop at the container: what follows belongs to the command.
        assert_eq!(living.exec(&["box", "echo", "-u", "--privileged"]).success().stdout, "-u --privileged\n");
    }

    #[test]
    fn it_is_a_process_of_the_container_with_a_terminal_of_the_container() {
        let rl = Rl::new();
        let living = Living::start(&rl, &[], "");
        let out = living.exec(&["-t", "box", "sh", "-c", "tty; ls /dev/pts | cat; ls -d /proc/1 /proc/$$"]).success();
        let lines: Vec<_> = out.stdout.split_whitespace().collect();
        assert_eq!(lines[..3], ["/dev/pts/0", "0", "ptmx"], "{}", out.stdout);
        assert_eq!(lines.len(), 5, "{}", out.stdout);
        // Without -t there is no terminal to be typed into (attack 18).
        living.exec(&["box", "sh", "-c", ": </dev/tty"]).fails_with(1);
    }

    #[test]
    fn a_hundred_at_once() {
        let rl = Rl::new();
        let living = Living::start(&rl, &[], "");
        let all: Vec<_> = (0..100)
            .map(|number| (number, rl.command(&["exec", "box", "sh", "-c", &format!("echo {number}")]).spawn()))
            .collect();
        for (number, one) in all {
            assert_eq!(one.finish().success().stdout, format!("{number}\n"));
        }
        // The container's own and the shell that counts; it counts itself, because a pipe's commands may not all be there yet.
        assert_eq!(living.exec(&["box", "sh", "-c", "set -- /proc/[0-9]*; echo $#"]).success().stdout, "2\n");
    }

    #[test]
    fn signals_are_passed_on_and_a_killed_exec_leaves_its_command_running() {
        let rl = Rl::new();
        let living = Living::start(&rl, &[], "");
        let script = "trap 'echo got it; exit 3' TERM; echo up; while :; do sleep 0.1; done";
        let mut one = rl.command(&["exec", "box", "sh", "-c", script]).spawn();
        one.wait_for_line("up");
        kill(one.pid(), Signal::SIGTERM).expect("kill");
        assert_eq!(one.finish().fails_with(3).stdout, "up\ngot it\n");
        let script = "echo up; while [ ! -e /end ]; do sleep 0.1; done; touch /ended";
        let mut two = rl.command(&["exec", "box", "sh", "-c", script]).spawn();
        two.wait_for_line("up");
        kill(two.pid(), Signal::SIGKILL).expect("kill");
        living.exec(&["box", "touch", "/end"]).success();
        let end = Instant::now() + Duration::from_secs(20);
        while living.exec(&["box", "test", "-e", "/ended"]).code() != 0 {
            assert!(Instant::now() < end, "the command has ended with rl exec");
        }
    }

    #[test]
    fn detached_commands_go_on_with_and_without_a_terminal() {
        let rl = Rl::new();
        let living = Living::start(&rl, &[], "mkfifo /one /two");
        let out = living.exec(&["-d", "box", "sh", "-c", "echo lost; readlink /proc/self/fd/0 >/one"]).success();
        assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("", ""));
        assert_eq!(living.exec(&["box", "cat", "/one"]).success().stdout, "/dev/null\n");
        living.exec(&["-dt", "box", "sh", "-c", "tty >/two; read line </one; tty >/two"]).success();
        assert_eq!(living.exec(&["box", "cat", "/two"]).success().stdout, "/dev/pts/0\n");
        living.exec(&["box", "sh", "-c", "echo go >/one"]).success();
        assert_eq!(living.exec(&["box", "cat", "/two"]).success().stdout, "/dev/pts/0\n");
        living.exec(&["-d", "box", "nowhere"]).fails_with(127);
    }

    #[test]
    fn the_end_of_the_container_ends_it() {
        let rl = Rl::new();
        let mut living = Living::start(&rl, &[], "");
        let mut one = rl.command(&["exec", "box", "sh", "-c", "echo up; sleep 1000"]).spawn();
        one.wait_for_line("up");
        living.run.take().expect("it runs").finish().success();
        one.finish().fails_with(137);
        living.exec(&["box", "true"]).fails_with(125);
    }

    #[test]
    fn shared_namespaces_are_no_obstacle() {
        let rl = Rl::new();
        let living = Living::start(&rl, &["--pid=host", "--network=host", "--ipc=host", "--uts=host"], "");
        let own = std::fs::read_link("/proc/self/ns/net").expect("a link");
        assert_eq!(
            living.exec(&["box", "readlink", "/proc/self/ns/net"]).success().stdout.trim(),
            own.to_string_lossy()
        );
    }
}

mod full_map {
    use super::{CONFINEMENT, Living};
    use crate::support::Rl;

    #[test]
    fn other_users_are_as_in_run() {
        let rl = Rl::new();
        let flags = ["-u", "1000:1001", "--group-add", "7", "--cap-add=NET_RAW"];
        let living = Living::start(&rl, &flags, CONFINEMENT);
        let out = living.exec(&["-i", "box", "sh", "-c", CONFINEMENT]).success();
        assert_eq!(out.stdout, living.said);
        assert_eq!(living.exec(&["-u", "0", "box", "id", "-u"]).success().stdout, "0\n");
        assert_eq!(living.exec(&["-u", "33:34", "box", "id", "-G"]).success().stdout, "34 7\n");
    }

    #[test]
    fn every_id_map_can_be_joined() {
        for map in ["keep-id", "auto", "nomap", "single"] {
            let rl = Rl::new();
            let flag = format!("--userns={map}");
            let living = Living::start(&rl, &[&flag], "cat /proc/self/uid_map; id");
            let out = living.exec(&["box", "sh", "-c", "cat /proc/self/uid_map; id"]).success();
            assert_eq!(out.stdout, living.said, "{map}");
        }
    }
}
