//! What root of a container may try against an exec: rows 1, 2, 4, 18, 21 and 22 of the attacks that rl must survive.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Line, Rl, Running, top};

/// A copy of the binary that belongs to whoever runs the test, as in ~/bin: container root may write to it.
struct Owned<'a> {
    rl: &'a Rl,
    path: PathBuf,
    before: Vec<u8>,
}

impl<'a> Owned<'a> {
    fn new(rl: &'a Rl) -> Self {
        let path = rl.dir("bin").join("rl");
        std::fs::copy(rl.binary(), &path).expect("copy");
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("chmod");
        let before = std::fs::read(&path).expect("read");
        Self { rl, path, before }
    }

    fn command(&self, words: &[&str]) -> Line {
        let mut command = Command::new(&self.path);
        command.arg("--root").arg(self.rl.root()).arg("--runroot").arg(self.rl.runroot()).args(words);
        Line::new(command, words.join(" "))
    }

    fn is_unchanged(&self) -> bool {
        std::fs::read(&self.path).is_ok_and(|now| now == self.before)
    }

    /// `rl run FLAGS busybox sh -c SCRIPT` that has said `ready` and waits for the end of its stdin.
    fn container(&self, flags: &[&str], script: &str) -> Running {
        let script = format!("{script}\necho ready; read end || true");
        let mut words = vec!["run", "--rm", "-i", "--name", "box"];
        words.extend(flags);
        words.extend(["busybox", "sh", "-c", &script]);
        let mut run = self.command(&words).piped_stdin().spawn();
        run.wait_for_line("ready");
        run
    }
}

/// The attacker, in a directory to be bound.
fn attacker(rl: &Rl) -> PathBuf {
    let dir = rl.dir("attack");
    compile(&top().join("tests/lifecycle/attacker.c"), &dir.join("attacker"));
    dir
}

/// Static, for a container that has no libraries.
pub(crate) fn compile(source: &Path, program: &Path) {
    let status =
        Command::new("cc").args(["-O1", "-Wall", "-Werror", "-static", "-o"]).arg(program).arg(source).status();
    assert!(status.expect("a C compiler").success(), "{} does not compile", source.display());
}

pub(crate) fn bind(dir: &Path) -> String {
    format!("{}:/attack", dir.display())
}

mod everywhere {
    use super::{Owned, attacker, bind};
    use crate::exec::{Living, script};
    use crate::support::Rl;

    /// Rows 1 and 22.
    #[test]
    fn nobody_gets_into_an_exec_before_the_command_and_rl_stays_what_it_was() {
        for flags in [&[][..], &["--init"], &["--cap-add=SYS_PTRACE"], &["--privileged"]] {
            let rl = Rl::new();
            let owned = Owned::new(&rl);
            let volume = bind(&attacker(&rl));
            let mut all = vec!["-v", &volume];
            all.extend(flags);
            let run = owned.container(&all, "/attack/attacker & sleep 0.2");
            for _ in 0..150 {
                owned.command(&["exec", "box", "true"]).output().success();
                owned.command(&["exec", "-t", "box", "sh", "-c", ":"]).output().success();
            }
            let wait = "touch /stop; while [ ! -e /done ]; do sleep 0.05; done; cat /report";
            let report = owned.command(&["exec", "box", "sh", "-c", wait]).output().success().stdout;
            assert!(!report.contains("GOT"), "{flags:?}: {report}");
            let entered: i64 = report.trim().rsplit(' ').next().and_then(|word| word.parse().ok()).expect("a number");
            assert!(entered > 0, "the attacker got into nothing at all, so it proves nothing: {report}");
            run.finish().success();
            assert!(owned.is_unchanged(), "{flags:?}");
        }
    }

    /// Row 1: a script whose interpreter is the process that executes it.
    #[test]
    fn what_executes_a_command_is_never_rl_itself() {
        let rl = Rl::new();
        let owned = Owned::new(&rl);
        let dir = rl.dir("attack");
        script(&dir, "self", "#!/proc/self/exe\n");
        std::os::unix::fs::symlink("/proc/self/exe", dir.join("link")).expect("a link");
        let volume = bind(&dir);
        for name in ["/attack/self", "/attack/link"] {
            let out = owned.command(&["run", "--rm", "-v", &volume, "busybox", name]).output().fails_with(125);
            assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("", ""), "{name} of a run");
            let out =
                owned.command(&["run", "--rm", "--init", "-v", &volume, "busybox", name]).output().fails_with(125);
            assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("", ""), "{name} below --init");
            let run = owned.container(&["-v", &volume], "");
            let out = owned.command(&["exec", "box", name]).output().fails_with(125);
            assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("", ""), "{name} of an exec");
            run.finish().success();
        }
        assert!(owned.is_unchanged());
    }

    /// The detour by which a command is executed where rl belongs to its user changes nothing that one can see.
    #[test]
    fn a_binary_of_ones_own_says_the_same_as_the_systems() {
        let rl = Rl::new();
        let owned = Owned::new(&rl);
        let dir = rl.dir("attack");
        script(&dir, "lost", "#!/no/such/interpreter\n");
        script(&dir, "text", "not a program\n");
        let volume = bind(&dir);
        let run = owned.container(&["-v", &volume], "");
        for words in [
            &["/attack/lost"][..],
            &["/attack/text"],
            &["/etc/passwd"],
            &["/etc"],
            &["nowhere"],
            &["/no/where"],
            &["sh", "-c", "echo $0 $# \"$1\"; ls /proc/self/fd | wc -l; exit 9", "zero", "a b"],
        ] {
            let mut exec = vec!["exec", "box"];
            exec.extend(words);
            let mut plain = vec!["run", "--rm", "-v", &volume, "busybox"];
            plain.extend(words);
            let mut init = vec!["run", "--rm", "--init", "-v", &volume, "busybox"];
            init.extend(words);
            let wanted = rl.run(&plain);
            for (out, how) in [
                (owned.command(&exec).output(), "exec"),
                (owned.command(&plain).output(), "run"),
                (owned.command(&init).output(), "run --init"),
            ] {
                let seen = (out.code(), out.stdout.as_str(), out.stderr.as_str());
                assert_eq!(seen, (wanted.code(), wanted.stdout.as_str(), wanted.stderr.as_str()), "{how} {words:?}");
            }
        }
        run.finish().success();
    }

    /// Row 2.
    #[test]
    fn no_descriptor_comes_in_and_none_is_a_working_directory() {
        let rl = Rl::new();
        let living = Living::start(&rl, &[], "");
        let binary = rl.binary().display().to_string();
        let script = format!("exec 7</ 8</etc/passwd; {binary} exec box sh -c 'ls /proc/self/fd | tr \"\\n\" \" \"'");
        let out = rl.shell(&script).success();
        // The fourth is the one by which ls reads the directory.
        assert_eq!(out.stdout, "0 1 2 3 ");
        for number in 3..=20 {
            for tail in ["", "/..", "/../.."] {
                let path = format!("/proc/self/fd/{number}{tail}");
                let out = rl.shell(&format!("exec 7</ 8</etc; {binary} exec -w {path} box pwd"));
                assert!(
                    [125, 127].contains(&out.code()) && out.stdout.is_empty(),
                    "{path}: {} {}",
                    out.code(),
                    out.stdout
                );
            }
        }
        drop(living);
    }

    /// Row 4: root of a container that may mount has put something else where its terminals are made.
    #[test]
    fn a_false_devpts_or_null_device_is_refused_and_nothing_waits_for_it() {
        let rl = Rl::new();
        let living = Living::start(
            &rl,
            &["--cap-add=SYS_ADMIN"],
            "umount /dev/pts /dev/null && mkfifo /dev/pts/ptmx && rm /dev/null && mkfifo /dev/null",
        );
        let out = living.exec(&["-t", "box", "true"]).fails_with(125);
        assert!(out.stderr.contains("devpts"), "{}", out.stderr);
        let out = living.exec(&["box", "true"]).fails_with(125);
        assert!(out.stderr.contains("/dev/null"), "{}", out.stderr);
    }
}

mod full_map {
    use super::{bind, compile};
    use crate::exec::Living;
    use crate::support::Rl;

    /// Row 20.
    #[test]
    fn a_setuid_file_gains_nothing_under_no_new_privileges() {
        let rl = Rl::new();
        let dir = rl.dir("attack");
        std::fs::write(dir.join("who.c"), "#include <unistd.h>\nint main(void) { return geteuid() ? 1 : 0; }\n")
            .expect("write");
        compile(&dir.join("who.c"), &dir.join("who"));
        let volume = bind(&dir);
        let make = "cp /attack/who /who && chmod 4755 /who";
        for (flags, status) in [(&[][..], 0), (&["--security-opt=no-new-privileges"], 1)] {
            let mut all = vec!["-v", &volume];
            all.extend(flags);
            let living = Living::start(&rl, &all, make);
            living.exec(&["-u", "1000", "box", "/who"]).fails_with(status);
        }
    }
}
