//! Ends: orderly ones, killed ones, many at once.

mod everywhere {
    use std::os::unix::process::ExitStatusExt;
    use std::time::Duration;

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    use crate::support::{Rl, eventually};

    fn entries(dir: &std::path::Path) -> usize {
        std::fs::read_dir(dir).map_or(0, Iterator::count)
    }

    #[test]
    fn a_finished_container_leaves_nothing() {
        let rl = Rl::new();
        rl.run(&["run", "--rm", "busybox", "touch", "/x"]).success();
        assert_eq!(entries(&rl.runroot().join("containers")), 0);
        assert_eq!(entries(&rl.root().join("containers")), 0);
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
        assert!(!mounts.contains(&*rl.root().to_string_lossy()), "{mounts}");
    }

    #[test]
    fn sigterm_reaches_the_command() {
        let rl = Rl::new();
        let script = "trap 'echo got it; exit 3' TERM; echo ready; while :; do sleep 0.1; done";
        let mut child = rl.command(&["run", "--rm", "busybox", "sh", "-c", script]).spawn();
        child.wait_for_line("ready");
        kill(child.pid(), Signal::SIGTERM).expect("kill");
        let out = child.finish();
        assert_eq!((out.code(), out.stdout.as_str()), (3, "ready\ngot it\n"));
    }

    #[test]
    fn killing_rl_ends_the_container_and_the_next_run_cleans_up() {
        let rl = Rl::new();
        let mut child = rl.command(&["run", "--rm", "busybox", "sh", "-c", "touch /x; echo ready; sleep 1000"]).spawn();
        child.wait_for_line("ready");
        let inner = Pid::from_raw(first_child(child.pid()));
        kill(child.pid(), Signal::SIGKILL).expect("kill");
        assert_eq!(child.finish().status.signal(), Some(9));
        eventually("the container's init dies with rl", || kill(inner, None).is_err());
        assert!(entries(&rl.runroot().join("containers")) > 0, "what a killed rl leaves is on disk");
        rl.run(&["run", "--rm", "busybox", "true"]).success();
        assert_eq!(entries(&rl.runroot().join("containers")), 0);
        assert_eq!(entries(&rl.root().join("containers")), 0);
    }

    fn first_child(pid: Pid) -> i32 {
        let path = format!("/proc/{pid}/task/{pid}/children");
        let text = std::fs::read_to_string(path).expect("children");
        text.split_whitespace().next_back().and_then(|word| word.parse().ok()).expect("a child")
    }

    #[test]
    fn killed_at_any_moment_the_next_run_finds_a_clean_house() {
        let rl = Rl::new();
        rl.run(&["run", "--rm", "busybox", "true"]).success();
        for delay in 0..40 {
            let child = rl.command(&["run", "--rm", "busybox", "sleep", "1"]).spawn();
            std::thread::sleep(Duration::from_micros(delay * 250));
            kill(child.pid(), Signal::SIGKILL).expect("kill");
            child.finish();
        }
        rl.run(&["run", "--rm", "busybox", "true"]).success();
        // An init that is just dying keeps nothing: its directories went with the run above or go with the next.
        eventually("no directory is left", || {
            rl.run(&["run", "--rm", "busybox", "true"]).success();
            entries(&rl.runroot().join("containers")) == 0 && entries(&rl.root().join("containers")) == 0
        });
    }

    #[test]
    fn two_hundred_at_once_all_succeed() {
        let rl = Rl::new();
        let children: Vec<_> =
            (0..200).map(|n| rl.command(&["run", "--rm", "busybox", "echo", &n.to_string()]).spawn()).collect();
        for (n, child) in children.into_iter().enumerate() {
            let out = child.finish();
            assert_eq!((out.code(), out.stdout), (0, format!("{n}\n")), "{}", out.stderr);
        }
        assert_eq!(entries(&rl.runroot().join("containers")), 0);
    }

    #[test]
    fn a_name_is_taken_once_and_free_again() {
        let rl = Rl::new();
        let mut first = rl
            .command(&["run", "--rm", "-i", "--name", "one", "busybox", "sh", "-c", "echo ready; cat"])
            .piped_stdin()
            .spawn();
        first.wait_for_line("ready");
        let out = rl.run(&["run", "--rm", "--name", "one", "busybox", "true"]).fails_with(125);
        assert!(out.stderr.contains("RL0803"), "{}", out.stderr);
        first.close_stdin();
        assert_eq!(first.finish().code(), 0);
        rl.run(&["run", "--rm", "--name", "one", "busybox", "true"]).success();
    }

    #[test]
    fn it_starts_with_no_environment_but_path_and_home() {
        let rl = Rl::new();
        let out = rl.bare_command(&["run", "--rm", "busybox", "id", "-u"]).output().success();
        assert_eq!(out.stdout, "0\n");
    }
}

mod full_map {
    use crate::support::Rl;

    #[test]
    fn a_killed_holder_is_made_again() {
        let rl = Rl::new();
        rl.run(&["run", "--rm", "busybox", "true"]).success();
        let state = std::fs::read_to_string(rl.runroot().join("holder/state")).expect("a run leaves a holder");
        let pid: i32 = state
            .split("\"pid\":")
            .nth(1)
            .and_then(|rest| rest.split(',').next())
            .and_then(|n| n.parse().ok())
            .expect("pid");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).expect("kill");
        let out = rl.run(&["run", "--rm", "busybox", "cat", "/proc/self/uid_map"]).success();
        assert!(out.stdout.lines().count() >= 2, "{}", out.stdout);
    }
}
