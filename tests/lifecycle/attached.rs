//! `rl attach` without a terminal. Those with one are in tests/terminal.

mod everywhere {
    use nix::sys::signal::{Signal, kill};

    use crate::support::Rl;
    use crate::{Clean, background, inspect};

    /// Says what it hears, and when it is asked to end.
    const ECHO: &str =
        "trap 'echo asked; exit 7' TERM; echo up; while read line; do echo got $line; done; sleep 1000 & wait";

    #[test]
    fn signals_go_to_the_container_or_end_only_the_client() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        background(&rl, &["-i", "--name", "c", "busybox", "sh", "-c", ECHO]);
        let mut looking = rl.command(&["attach", "--no-stdin", "--sig-proxy=false", "c"]).piped_stdin().spawn();
        let mut typing = rl.command(&["attach", "c"]).piped_stdin().spawn();
        looking.type_in("not this\n");
        typing.type_in("one\n");
        typing.wait_for_line("got one");
        // The other may connect after that, and hears what is said from then on: on a busy machine one "two" was too early.
        std::thread::scope(|scope| {
            let hears = scope.spawn(|| looking.wait_for_line("got two"));
            while !hears.is_finished() {
                typing.type_in("two\n");
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
        });
        assert!(!looking.heard().contains("not this"), "{}", looking.heard());
        kill(looking.pid(), Signal::SIGTERM).expect("kill");
        looking.finish().fails_with(143);
        assert_eq!(inspect(&rl, "c", "{{.State.Running}}"), "true", "it goes on");
        kill(typing.pid(), Signal::SIGTERM).expect("kill");
        typing.wait_for_line("asked");
        typing.finish().fails_with(7);
    }

    #[test]
    fn a_container_in_the_foreground_says_that_it_cannot_be_left() {
        let rl = Rl::new();
        let out = rl.run(&["run", "--rm", "-it", "--detach-keys", "ctrl-a", "busybox", "true"]).fails_with(125);
        assert!(out.stderr.contains("foreground") && out.stderr.contains("rl run -dit"), "{}", out.stderr);
        rl.run(&["run", "--rm", "--detach-keys", "", "busybox", "true"]).success();
    }
}
