//! Stopping, killing, removing, and being killed.

mod everywhere {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    use crate::support::Rl;
    use crate::{Clean, background, entries, eventually, inspect};

    /// The supervisor's pid, as the container's run directory has it.
    fn supervisor(rl: &Rl, id: &str) -> Pid {
        let text = std::fs::read_to_string(rl.runroot().join("containers").join(id).join("state.json")).expect("state");
        let number = text.split("\"supervisor\":").nth(1).and_then(|rest| rest.split(',').next()).expect("supervisor");
        Pid::from_raw(number.parse().expect("a pid"))
    }

    #[test]
    fn a_container_in_the_background_runs_ends_and_is_told_of() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        let id = background(&rl, &["--name", "web", "busybox", "sh", "-c", "echo hello; sleep 1000"]);
        assert_eq!(inspect(&rl, "web", "{{.State.Status}} {{.Id}}"), format!("running {id}"));
        assert_eq!(rl.run(&["ps", "-q"]).success().stdout.trim_end(), &id[..12]);
        assert_eq!(rl.run(&["kill", "web"]).success().stdout, "web\n");
        assert_eq!(inspect(&rl, &id[..8], "{{.State.Status}} {{.State.ExitCode}}"), "exited 137");
        assert_eq!(rl.run(&["ps", "-q"]).success().stdout, "");
        assert_eq!(rl.run(&["logs", "web"]).success().stdout, "hello\n");
        rl.run(&["rm", "web"]).success();
        assert_eq!((entries(&rl.root().join("containers")), entries(&rl.root().join("names"))), (0, 0));
        assert_eq!(entries(&rl.runroot().join("containers")), 0);
    }

    #[test]
    fn stop_asks_first_and_kills_after_the_timeout() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        let polite = "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.1; done";
        background(&rl, &["--name", "polite", "busybox", "sh", "-c", polite]);
        background(&rl, &["--name", "deaf", "busybox", "sh", "-c", "trap '' TERM; echo ready; sleep 1000"]);
        for name in ["polite", "deaf"] {
            eventually("it is ready", || rl.run(&["logs", name]).stdout.contains("ready"));
        }
        rl.run(&["stop", "polite"]).success();
        rl.run(&["stop", "-t", "1", "deaf"]).success();
        assert_eq!(inspect(&rl, "polite", "{{.State.ExitCode}}"), "7");
        assert_eq!(inspect(&rl, "deaf", "{{.State.ExitCode}}"), "137");
        assert!(rl.run(&["logs", "polite"]).success().stdout.ends_with("bye\n"));
    }

    #[test]
    fn a_stopped_container_starts_again_with_what_it_has_written() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        let script = "echo x >>/count; wc -l </count; sleep 1000";
        background(&rl, &["--name", "c", "busybox", "sh", "-c", script]);
        for round in 1..=3 {
            eventually("it has counted", || rl.run(&["logs", "c"]).stdout.lines().count() == round);
            rl.run(&["stop", "-t", "0", "c"]).success();
            rl.run(&["start", "c"]).success();
        }
        eventually("it has counted", || rl.run(&["logs", "c"]).stdout.lines().count() == 4);
        assert_eq!(rl.run(&["logs", "c"]).success().stdout, "1\n2\n3\n4\n");
        // Starting what runs does nothing.
        rl.run(&["start", "c"]).success();
        rl.run(&["rm", "-f", "c"]).success();
    }

    #[test]
    fn a_container_replaces_the_one_that_has_its_name() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        let first = background(&rl, &["--replace", "--name", "web", "busybox", "sleep", "1000"]);
        let second = background(&rl, &["--replace", "--name", "web", "busybox", "sleep", "1000"]);
        assert_ne!(first, second);
        assert_eq!(rl.run(&["ps", "-aq", "--no-trunc"]).success().stdout.trim(), second);
        // Not where there is nothing to put in its place.
        rl.run(&["run", "-d", "--replace", "--name", "web", "--pull=never", "nosuch/image", "true"]).fails_with(125);
        rl.run(&["run", "--replace", "--plan=json", "--name", "web", "busybox", "true"]).success();
        assert_eq!(rl.run(&["ps", "-q", "--no-trunc"]).success().stdout.trim(), second);
        rl.run(&["create", "--replace", "busybox", "true"]).fails_with(125);
        rl.run(&["create", "--replace", "--name", "web", "busybox", "true"]).success();
        assert_eq!(rl.run(&["ps", "-a", "--format", "{{.Names}} {{.Status}}"]).success().stdout, "web Created\n");
    }

    #[test]
    fn all_the_latest_and_those_of_a_filter_are_chosen() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        for (name, label) in [("a", "tier=web"), ("b", "tier=web"), ("c", "tier=db")] {
            rl.run(&["create", "--name", name, "-l", label, "busybox", "sleep", "1000"]).success();
        }
        let running = || rl.run(&["ps", "--format", "{{.Names}}"]).success().stdout;
        rl.run(&["start", "-f", "label=tier=web"]).success();
        assert_eq!(running(), "b\na\n");
        rl.run(&["start", "-l"]).success();
        assert_eq!(running(), "c\nb\na\n");
        rl.run(&["restart", "-t", "0", "--filter", "name=^b$"]).success();
        assert_eq!(rl.run(&["kill", "-f", "name=b"]).success().stdout.lines().count(), 1);
        assert_eq!(rl.run(&["wait", "-f", "name=b", "b"]).success().stdout, "137\n");
        rl.run(&["stop", "-t", "0", "-a"]).success();
        assert_eq!(running(), "");
        // A container without a cgroup can't be paused; the others are.
        assert_eq!(rl.run(&["pause", "-a"]).success().stdout, "");
        assert!(rl.run(&["pause", "a", "b"]).fails_with(1).stderr.matches("RL0805").count() == 2);
        rl.run(&["rm", "-l"]).success();
        rl.run(&["rm", "--filter", "label=tier=web"]).success();
        assert_eq!(rl.run(&["ps", "-aq"]).success().stdout, "");
        for verb in ["start", "stop", "restart", "kill", "rm", "wait", "pause", "unpause"] {
            assert!(rl.run(&[verb]).fails_with(125).stderr.contains("needs a container"), "{verb}");
        }
    }

    #[test]
    fn each_of_several_has_its_own_result() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        rl.run(&["create", "--name", "a", "busybox", "true"]).success();
        rl.run(&["create", "--name", "b", "busybox", "true"]).success();
        let out = rl.run(&["rm", "a", "nosuch", "b"]).fails_with(1);
        assert_eq!(out.stdout, "a\nb\n");
        assert!(out.stderr.contains("\"nosuch\"") && out.stderr.contains("RL0804"), "{}", out.stderr);
        let out = rl.run(&["rm", "-f", "nosuch"]).success();
        assert_eq!(out.stdout, "");
    }

    #[test]
    fn what_runs_is_not_removed_without_force() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        background(&rl, &["--name", "c", "busybox", "sleep", "1000"]);
        let out = rl.run(&["rm", "c"]).fails_with(1);
        assert!(out.stderr.contains("RL0806"), "{}", out.stderr);
        assert_eq!(inspect(&rl, "c", "{{.State.Running}}"), "true");
        rl.run(&["rm", "-f", "c"]).success();
        assert_eq!(rl.run(&["ps", "-aq"]).success().stdout, "");
    }

    #[test]
    fn a_killed_supervisor_takes_the_container_with_it_and_ps_says_so() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        let id = background(&rl, &["--name", "c", "busybox", "sleep", "1000"]);
        let inner: i32 = inspect(&rl, "c", "{{.State.Pid}}").parse().expect("a pid");
        kill(supervisor(&rl, &id), Signal::SIGKILL).expect("kill");
        eventually("the container's process has ended", || inspect(&rl, "c", "{{.State.Status}}") == "exited");
        eventually("it is gone", || kill(Pid::from_raw(inner), None).is_err());
        assert_eq!(inspect(&rl, "c", "{{.State.ExitCode}}"), "137");
        assert!(inspect(&rl, "c", "{{.State.Error}}").contains("supervisor"));
        rl.run(&["start", "c"]).success();
        assert_eq!(inspect(&rl, "c", "{{.State.Status}}"), "running");
        rl.run(&["rm", "-f", "c"]).success();
        assert_eq!(entries(&rl.runroot().join("containers")), 0);
    }

    #[test]
    fn one_of_rm_goes_with_its_end_however_that_comes() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        background(&rl, &["--rm", "--name", "ends", "busybox", "sh", "-c", "sleep 0.2; exit 9"]);
        assert_eq!(rl.run(&["wait", "ends"]).success().stdout, "9\n");
        rl.run(&["inspect", "ends"]).fails_with(1);
        let id = background(&rl, &["--rm", "--name", "killed", "busybox", "sleep", "1000"]);
        kill(supervisor(&rl, &id), Signal::SIGKILL).expect("kill");
        eventually("nobody finds it", || rl.run(&["inspect", "killed"]).code() == 1);
        // The next start clears what it has left.
        eventually("nothing is left", || {
            rl.run(&["run", "--rm", "busybox", "true"]).success();
            entries(&rl.runroot().join("containers")) == 0 && entries(&rl.root().join("containers")) == 0
        });
        assert_eq!(entries(&rl.root().join("names")), 0);
    }

    #[test]
    fn a_name_is_unique_over_stopped_containers_too_and_can_be_changed() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        rl.run(&["create", "--name", "one", "busybox", "true"]).success();
        for verb in ["run", "create"] {
            let out = rl.run(&[verb, "--name", "one", "busybox", "true"]).fails_with(125);
            assert!(out.stderr.contains("RL0803"), "{}", out.stderr);
        }
        rl.run(&["rename", "one", "two"]).success();
        rl.run(&["create", "--name", "one", "busybox", "true"]).success();
        let out = rl.run(&["rename", "one", "two"]).fails_with(125);
        assert!(out.stderr.contains("RL0803"), "{}", out.stderr);
        for bad in ["../x", "-rf", "a b", "%n", "x\ny", &"x".repeat(300)] {
            assert_ne!(rl.run(&["rename", "one", "--", bad]).code(), 0, "{bad:?}");
            assert_ne!(rl.run(&["create", &format!("--name={bad}"), "busybox", "true"]).code(), 0, "{bad:?}");
        }
        assert_eq!(rl.run(&["ps", "-a", "--format", "{{.Names}}"]).success().stdout, "one\ntwo\n");
    }

    #[test]
    fn errors_before_exec_come_to_the_callers_stderr_with_their_status() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        for (words, status, id) in [
            (&["busybox", "nosuch"][..], 127, "RL0501"),
            (&["busybox", "/etc"], 126, "RL0506"),
            (&["--user", "nobody-here", "busybox", "true"], 125, "RL0511"),
        ] {
            let out = rl.run(&[&["run", "-d"], words].concat()).fails_with(status);
            assert!(out.stderr.contains(id) && out.stdout.is_empty(), "{words:?}: {} {}", out.stdout, out.stderr);
        }
        assert_eq!(rl.run(&["ps", "-aq"]).success().stdout, "");
    }

    /// Somebody else's process, which goes with the test however that ends.
    struct Victim(std::process::Child);

    impl Victim {
        fn new() -> Self {
            Self(std::process::Command::new("sleep").arg("1000").spawn().expect("spawn"))
        }
    }

    impl Drop for Victim {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// Attack 25: state that names another process.
    #[test]
    fn a_state_file_that_names_another_process_harms_it_not() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        let mut victim = Victim::new();
        // Start times count in ticks of 10 ms: one of the same tick would pass for the container's process.
        std::thread::sleep(std::time::Duration::from_millis(30));
        let id = background(&rl, &["--name", "c", "busybox", "sleep", "1000"]);
        let path = rl.runroot().join("containers").join(&id).join("state.json");
        let text = std::fs::read_to_string(&path).expect("read");
        let pid = inspect(&rl, "c", "{{.State.Pid}}");
        let forged = text.replace(&format!("\"pid\":{pid},"), &format!("\"pid\":{},", victim.0.id()));
        assert_ne!(forged, text);
        std::fs::write(&path, forged).expect("write");
        assert_eq!(inspect(&rl, "c", "{{.State.Pid}}"), "0");
        rl.run(&["kill", "c"]).fails_with(1);
        // Its supervisor still has the container; so it is that one which is asked.
        std::fs::write(&path, text).expect("write");
        rl.run(&["rm", "-f", "c"]).success();
        assert!(victim.0.try_wait().expect("wait").is_none(), "the other process lives");
    }

    #[test]
    fn a_foreground_container_leaves_a_record_and_is_found_while_it_runs() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        let mut child = rl
            .command(&["run", "--name", "fore", "-i", "busybox", "sh", "-c", "echo ready; cat >/dev/null; exit 3"])
            .piped_stdin()
            .spawn();
        child.wait_for_line("ready");
        assert_eq!(inspect(&rl, "fore", "{{.State.Status}}"), "running");
        child.close_stdin();
        assert_eq!(child.finish().code(), 3);
        assert_eq!(inspect(&rl, "fore", "{{.State.Status}} {{.State.ExitCode}}"), "exited 3");
        let out = rl.run(&["logs", "fore"]).fails_with(1);
        assert!(out.stderr.contains("RL0807"), "{}", out.stderr);
        // Of --rm as well, for as long as it runs.
        let mut child = rl
            .command(&["run", "--rm", "--name", "brief", "-i", "busybox", "sh", "-c", "echo ready; cat"])
            .piped_stdin()
            .spawn();
        child.wait_for_line("ready");
        assert_eq!(inspect(&rl, "brief", "{{.State.Status}} {{.Config.Image}}"), "running busybox");
        rl.run(&["stop", "-t", "0", "brief"]).success();
        assert_eq!(child.finish().code(), 137);
        rl.run(&["inspect", "brief"]).fails_with(1);
    }

    #[test]
    fn an_image_of_a_stopped_container_is_not_removed() {
        let rl = Rl::empty();
        let _clean = Clean(&rl);
        let archive = crate::support::archive("busybox.tar");
        rl.run(&["import", "-q", &archive.to_string_lossy(), "mine"]).success();
        rl.run(&["create", "--name", "c", "mine", "true"]).success();
        let out = rl.run(&["rmi", "mine"]).fails_with(1);
        assert!(out.stderr.contains("rl rm"), "{}", out.stderr);
        rl.run(&["start", "c"]).success();
        rl.run(&["wait", "c"]).success();
        rl.run(&["rm", "c"]).success();
        rl.run(&["rmi", "mine"]).success();
    }
}
