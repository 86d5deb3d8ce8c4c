//! Attacks on exec, cp and the verbs that send signals, beside those of exec_attacks.rs: rows 5, 14 to 16, 18, 19, 21, 25 and 26 of the
//! attacks that rl must survive.

mod everywhere {
    use std::collections::BTreeSet;

    use crate::exec::Living;
    use crate::exec_attacks::{bind, compile};
    use crate::support::{Rl, top};
    use crate::{Clean, background, eventually, inspect};

    /// Row 14: words are data; an id is exact, or an error.
    #[test]
    fn users_and_variables_of_an_exec_are_what_they_say_or_errors() {
        let rl = Rl::new();
        let living = Living::start(&rl, &[], "");
        for user in
            ["-1", "4294967295", "4294967296", "99999999999999999999", "0:4294967295", "root:no-such", "1 2", "../0"]
        {
            let out = living.exec(&[&format!("--user={user}"), "box", "id"]).fails_with(125);
            assert_eq!(out.stdout, "", "{user}");
        }
        assert_eq!(
            living.exec(&["-e", "A=*", "-e", "B=$HOME `id`", "box", "sh", "-c", "echo \"$A|$B\""]).success().stdout,
            "*|$HOME `id`\n"
        );
        let words = ["exec", "-e", "RL_CANARY_*", "-e", "RL_CANARY", "box", "env"];
        let out = rl.command(&words).env("RL_CANARY_KEY", "secret-of-the-caller").output();
        assert!(!out.stdout.contains("secret-of-the-caller"), "{}", out.stdout);
        for bad in ["=x", ""] {
            let out = living.exec(&["-e", bad, "box", "env"]);
            assert!(
                out.code() == 125 || !out.stdout.lines().any(|line| line.starts_with('=')),
                "{bad:?}: {}",
                out.stdout
            );
        }
        // A command that looks like a flag is a command.
        living.exec(&["box", "--privileged"]).fails_with(127);
    }

    /// Rows 5 and 21: what is masked in the container is masked in an exec.
    #[test]
    fn an_exec_finds_proc_masked_and_read_only() {
        let rl = Rl::new();
        let living = Living::start(&rl, &[], "");
        let script = "for file in /proc/keys /proc/kcore /proc/timer_list /proc/sysrq-trigger; do wc -c <$file 2>/dev/null; done | sort -u; \
                      echo 1 2>/dev/null >/proc/sys/kernel/panic && echo written; echo b 2>/dev/null >/proc/sysrq-trigger && echo written; true";
        let out = living.exec(&["box", "sh", "-c", script]).success().stdout;
        assert!(out.lines().all(|line| line == "0"), "{out}");
    }

    /// Row 19: the filter of an exec is the run's.
    #[test]
    fn an_exec_is_answered_as_the_run_is_by_the_filter() {
        let rl = Rl::new();
        let dir = rl.dir("attack");
        compile(&top().join("tests/security/probe.c"), &dir.join("probe"));
        let volume = bind(&dir);
        let wanted = rl.run(&["run", "--rm", "-v", &volume, "busybox", "/attack/probe"]).success().stdout;
        let living = Living::start(&rl, &["-v", &volume], "");
        assert_eq!(living.exec(&["box", "/attack/probe"]).success().stdout, wanted);
        for name in ["keyctl", "keyctl high", "bpf", "io_uring_setup", "mount", "add_key"] {
            let line = wanted.lines().find(|line| line.split('\t').next() == Some(name));
            assert!(line.is_some_and(|line| line.ends_with("\t1")), "{name}: {line:?}");
        }
    }

    /// Row 18: a command that has the caller's own terminal types nothing into it.
    #[test]
    fn an_exec_types_nothing_into_the_callers_terminal() {
        let rl = Rl::new();
        let dir = rl.dir("attack");
        let source = "#include <errno.h>\n#include <stdio.h>\n#include <sys/ioctl.h>\n#include <sys/syscall.h>\n#include <unistd.h>\n\
                      int main(void) { char c = 'x'; int plain = ioctl(0, TIOCSTI, &c) ? errno : 0;\n\
                      long high = syscall(SYS_ioctl, 0L, TIOCSTI | 1UL << 32, &c) ? errno : 0; char l = 3;\n\
                      int linux_ = ioctl(0, TIOCLINUX, &l) ? errno : 0; printf(\"%d %ld %d\\n\", plain, high, linux_); return 0; }\n";
        std::fs::write(dir.join("type.c"), source).expect("write");
        compile(&dir.join("type.c"), &dir.join("type"));
        let _living = Living::start(&rl, &["-v", &bind(&dir)], "");
        for flags in ["-i", "-it"] {
            let words = format!(
                "{} --root {} --runroot {} exec {flags} box /attack/type",
                rl.binary().display(),
                rl.root().display(),
                rl.runroot().display()
            );
            let out = rl.plain_shell(&format!("script -qec '{words}' /dev/null </dev/null")).success().stdout;
            // script(1) types a NUL at the end of its input, which a terminal shows as ^@ while it is not raw.
            assert_eq!(out.replace("^@", "").trim_end(), "1 1 1", "{flags}");
        }
    }

    /// Row 25: a file that names another process.
    #[test]
    fn a_process_that_is_not_the_containers_gets_no_signal() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        let id = background(&rl, &["--name", "c", "busybox", "sleep", "1000"]);
        let file = rl.runroot().join("containers").join(&id).join("state.json");
        let inner = inspect(&rl, "c", "{{.State.Pid}}");
        let mut victim = Victim::of_another_tick(inner.parse().expect("a pid"));
        let text = std::fs::read_to_string(&file).expect("state");
        let swapped = text.replace(&format!("\"pid\":{inner},"), &format!("\"pid\":{},", victim.0.id()));
        assert_ne!(text, swapped, "the file is of another shape: {text}");
        std::fs::write(&file, &swapped).expect("write");
        for words in [
            &["kill", "c"][..],
            &["exec", "c", "true"],
            &["cp", "c:/etc", "-"],
            &["pause", "c"],
            &["kill", "-s", "STOP", "c"],
        ] {
            let out = rl.run(words);
            assert!(out.code() != 0 || words[0] == "cp", "{words:?}: {}", out.stdout);
        }
        let _ = rl.run(&["stop", "-t", "0", "c"]);
        let _ = rl.run(&["rm", "-f", "c"]);
        assert!(victim.0.try_wait().expect("look").is_none(), "the victim has ended");
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", victim.0.id())).expect("stat");
        assert!(!stat.contains(") T "), "the victim was stopped");
        // As it was, it can be ended.
        if file.exists() {
            std::fs::write(&file, &text).expect("write");
        }
        let _ = nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(inner.parse().expect("a pid")),
            nix::sys::signal::Signal::SIGKILL,
        );
        eventually("its process has ended", || !std::path::Path::new(&format!("/proc/{inner}")).exists());
    }

    /// A process of nobody's container.
    struct Victim(std::process::Child);

    impl Victim {
        /// Start times are counted in ticks of 10 ms: one that starts in the container's own tick is not told from it, and what ended that
        /// one in place of the container then waited for the container's end for ever.
        fn of_another_tick(inner: i32) -> Self {
            loop {
                let victim = Self(std::process::Command::new("sleep").arg("1001").spawn().expect("sleep"));
                if start_tick(victim.0.id()) != start_tick(inner.unsigned_abs()) {
                    return victim;
                }
            }
        }
    }

    fn start_tick(pid: u32) -> String {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("stat");
        let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
        fields.split_whitespace().nth(19).expect("a start time").to_owned()
    }

    impl Drop for Victim {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// Row 26: a name is a name for every verb.
    #[test]
    fn no_verb_takes_a_path_for_a_container() {
        let rl = Rl::new();
        let canary = rl.canary();
        let long = "x".repeat(300);
        let up = format!("../../{}", canary.path().file_name().expect("a name").to_string_lossy());
        let names = ["../x", "a\nb", "", "..", &long, &up, "\u{1b}[31m"];
        let mut seen = BTreeSet::new();
        for name in names {
            for words in [
                &["exec", "--", name, "true"][..],
                &["kill", "--", name],
                &["stop", "--", name],
                &["rm", "--", name],
                &["rm", "-f", "-v", "--", name],
                &["start", "--", name],
                &["logs", "--", name],
                &["inspect", "--", name],
                &["diff", "--", name],
                &["export", "--", name],
                &["commit", "--", name, "x"],
                &["rename", "--", name, "other"],
                &["run", "--volumes-from", name, "busybox", "true"],
            ] {
                let out = rl.run(words);
                assert!([0, 1, 125].contains(&out.code()), "{words:?}: {}", out.code());
                assert!(out.code() != 0 || words[..2] == ["rm", "-f"], "{words:?}");
                assert!(!out.stderr.contains('\u{1b}'), "{words:?}: an escape reaches the terminal");
                seen.insert(out.code());
            }
        }
        canary.is_untouched("names");
        assert!(seen.contains(&1) && seen.contains(&125), "{seen:?}");
    }
}

mod full_map {
    use crate::exec::Living;
    use crate::support::Rl;

    /// Rows 15 and 16.
    #[test]
    fn an_exec_has_no_capabilities_to_pass_on_and_no_groups_of_the_callers() {
        let rl = Rl::new();
        let living = Living::start(&rl, &[], "");
        for (user, groups) in [("0", "0"), ("1000", "0"), ("1000:2000", "2000")] {
            let out = living.exec(&[
                "-u",
                user,
                "box",
                "sh",
                "-c",
                "grep -E '^Cap(Inh|Amb)' /proc/self/status | cut -f2 | sort -u; id -G",
            ]);
            assert_eq!(out.success().stdout, format!("0000000000000000\n{groups}\n"), "{user}");
        }
    }
}
