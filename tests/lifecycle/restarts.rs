//! Restart policies and health.

mod everywhere {
    use crate::support::Rl;
    use crate::{Clean, background, eventually, inspect};

    #[test]
    fn on_failure_starts_again_so_often_and_no_more() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        background(&rl, &["--name", "c", "--restart", "on-failure:3", "busybox", "sh", "-c", "echo run; exit 4"]);
        eventually("it has given up", || inspect(&rl, "c", "{{.State.Status}} {{.RestartCount}}") == "exited 3");
        assert_eq!(rl.run(&["logs", "c"]).success().stdout, "run\n".repeat(4));
        assert_eq!(inspect(&rl, "c", "{{.State.ExitCode}}"), "4");
        background(&rl, &["--name", "good", "--restart", "on-failure", "busybox", "true"]);
        eventually("it has ended", || inspect(&rl, "good", "{{.State.Status}}") == "exited");
        assert_eq!(inspect(&rl, "good", "{{.RestartCount}}"), "0");
    }

    #[test]
    fn always_goes_on_until_somebody_stops_it() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        background(&rl, &["--name", "c", "--restart", "always", "busybox", "sh", "-c", "echo run"]);
        eventually("it has run three times", || rl.run(&["logs", "c"]).stdout.lines().count() >= 3);
        rl.run(&["stop", "c"]).success();
        assert_eq!(inspect(&rl, "c", "{{.State.Status}}"), "exited");
        let runs = rl.run(&["logs", "c"]).success().stdout;
        std::thread::sleep(std::time::Duration::from_secs(1));
        assert_eq!(rl.run(&["logs", "c"]).success().stdout, runs, "it has not run again");
    }

    #[test]
    fn while_it_waits_it_is_restarting_and_can_be_stopped_at_once() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        background(&rl, &["--name", "c", "--restart", "always", "busybox", "false"]);
        eventually("it waits", || inspect(&rl, "c", "{{.State.Status}} {{.RestartCount}}") == "restarting 5");
        assert!(rl.run(&["ps"]).success().stdout.contains("Restarting (1)"));
        rl.run(&["rm", "-f", "c"]).success();
        assert_eq!(rl.run(&["ps", "-aq"]).success().stdout, "");
    }

    #[test]
    fn a_container_is_started_again_with_the_same_user_namespace_and_signals() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        let script = "cat /proc/self/uid_map | tr -s ' ' | head -1; grep SigBlk /proc/self/status; exit 1";
        background(&rl, &["--name", "c", "--restart", "on-failure:1", "busybox", "sh", "-c", script]);
        eventually("it has run twice", || inspect(&rl, "c", "{{.State.Status}} {{.RestartCount}}") == "exited 1");
        let out = rl.run(&["logs", "c"]).success().stdout;
        let lines: Vec<_> = out.lines().collect();
        assert_eq!(lines.len(), 4, "{out}");
        assert_eq!((lines[0], lines[1]), (lines[2], lines[3]), "{out}");
        assert!(lines[1].ends_with("0000000000000000"), "{out}");
    }

    /// `image` with a HEALTHCHECK, as docker would have built it, under another name.
    fn with_healthcheck(rl: &Rl, image: &str, name: &str, check: &serde_json::Value) {
        let dir = rl.dir("image");
        let (archive, tree) = (dir.join("a.tar"), dir.join("tree"));
        rl.run(&["save", "-q", "-o", &archive.to_string_lossy(), image]).success();
        std::fs::create_dir_all(&tree).expect("mkdir");
        let tar = |words: &[&str]| {
            let status = std::process::Command::new("tar").arg("-C").arg(&tree).args(words).status();
            assert!(status.expect("tar").success(), "{words:?}");
        };
        tar(&["-xf", &archive.to_string_lossy()]);
        let read = |name: &str| -> serde_json::Value {
            serde_json::from_slice(&std::fs::read(tree.join(name)).expect(name)).expect("JSON")
        };
        let mut manifest = read("manifest.json");
        let config = manifest[0]["Config"].as_str().expect("a name").to_owned();
        let mut document = read(&config);
        document["config"]["Healthcheck"] = check.clone();
        manifest[0]["RepoTags"] = serde_json::json!([format!("{name}:latest")]);
        for (name, document) in [(config.as_str(), &document), ("manifest.json", &manifest)] {
            std::fs::write(tree.join(name), document.to_string()).expect("write");
        }
        tar(&["-cf", &archive.to_string_lossy(), "."]);
        rl.run(&["load", "-q", "-i", &archive.to_string_lossy()]).success();
    }

    #[test]
    fn an_image_s_healthcheck_is_made_and_the_command_line_changes_it() {
        // A store of its own: all that share one would see the image.
        let rl = Rl::empty();
        let _clean = Clean(&rl);
        rl.run(&["import", "-q", &crate::support::archive("busybox.tar").to_string_lossy(), "busybox"]).success();
        let check = serde_json::json!({ "Test": ["CMD-SHELL", "echo ok; test -e /well"], "Interval": 200_000_000, "Retries": 2 });
        with_healthcheck(&rl, "busybox", "checked", &check);
        assert_eq!(inspect(&rl, "checked", "{{index .Config.Healthcheck.Test 1}}"), "echo ok; test -e /well");
        let words = ["--name", "c", "checked", "sh", "-c", "touch /well; exec sleep 1000"];
        background(&rl, &words);
        eventually("the image's check is made", || inspect(&rl, "c", "{{.State.Health.Status}}") == "healthy");
        let shown = inspect(&rl, "c", "{{(index .State.Health.Log 0).Output}} {{json .Config.Healthcheck.Test}}");
        assert_eq!(shown, "ok\n [\"CMD-SHELL\",\"echo ok; test -e /well\"]");
        background(&rl, &["--name", "slow", "--health-interval", "1h", "checked", "sleep", "1000"]);
        let template = "{{.Config.Healthcheck.Interval}} {{.Config.Healthcheck.Retries}}";
        assert_eq!(inspect(&rl, "slow", template), "3600000000000 2");
        background(&rl, &["--name", "none", "--no-healthcheck", "checked", "sleep", "1000"]);
        // There for templates that ask whether there is one, and nothing.
        assert_eq!(inspect(&rl, "none", "{{json .State.Health}} {{json .Config.Healthcheck}}"), "null null");
        let out = rl.run(&["ps", "--filter", "health=none", "--format", "{{.Names}} {{.Status}}"]).success().stdout;
        assert!(out.starts_with("none Up") && !out.contains('('), "{out}");
        rl.run(&["run", "--no-healthcheck", "--health-cmd", "true", "checked"]).fails_with(125);
    }

    #[test]
    fn while_it_starts_it_is_looked_at_more_often() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        // A minute from one check to the next, but for the time of the start: it would not be found healthy within the test.
        let flags =
            ["--health-cmd", "test -e /well", "--health-start-period", "1h", "--health-start-interval", "100ms"];
        background(
            &rl,
            &[&["--name", "c", "--health-interval", "1h"][..], &flags, &["busybox", "sleep", "1000"]].concat(),
        );
        eventually("failures of the start", || inspect(&rl, "c", "{{len .State.Health.Log}}").as_str() >= "2");
        assert_eq!(inspect(&rl, "c", "{{.State.Health.Status}} {{.State.Health.FailingStreak}}"), "starting 0");
        rl.run(&["exec", "c", "touch", "/well"]).success();
        eventually("it is well", || inspect(&rl, "c", "{{.State.Health.Status}}") == "healthy");
    }

    #[test]
    fn health_is_told_and_an_unhealthy_container_can_be_killed() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        let check = ["--health-cmd", "test -e /well", "--health-interval", "200ms", "--health-retries", "2"];
        let words =
            [&["--name", "c", "--health-on-failure", "kill"][..], &check, &["busybox", "sleep", "1000"]].concat();
        background(&rl, &words);
        assert_eq!(inspect(&rl, "c", "{{.State.Health.Status}}"), "starting");
        let _ = rl.run(&["exec", "c", "touch", "/well"]).success();
        eventually("it is well", || inspect(&rl, "c", "{{.State.Health.Status}}") == "healthy");
        assert!(rl.run(&["ps"]).success().stdout.contains("(healthy)"));
        assert_eq!(rl.run(&["ps", "-q", "--filter", "health=healthy"]).success().stdout.lines().count(), 1);
        rl.run(&["exec", "c", "rm", "/well"]).success();
        eventually("it was killed", || inspect(&rl, "c", "{{.State.Status}} {{.State.ExitCode}}") == "exited 137");
        let told = rl.run(&["events", "--since", "1m", "--until", "0s", "--format", "{{.Action}}"]).success().stdout;
        assert!(told.contains("health_status: healthy\n") && told.contains("health_status: unhealthy\n"), "{told}");
    }

    #[test]
    fn a_check_that_takes_too_long_has_failed() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        let check =
            ["--health-cmd", "echo before; sleep 100", "--health-interval", "100ms", "--health-timeout", "300ms"];
        background(
            &rl,
            &[&["--name", "c", "--health-retries", "1"][..], &check, &["busybox", "sleep", "1000"]].concat(),
        );
        eventually("it is unhealthy", || inspect(&rl, "c", "{{.State.Health.Status}}") == "unhealthy");
        let log = inspect(&rl, "c", "{{json .State.Health.Log}}");
        assert!(log.contains("before") && log.contains("-1"), "{log}");
    }

    #[test]
    fn another_policy_counts_for_the_end_that_comes_next_and_for_the_next_start() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        let policy = |name: &str| inspect(&rl, name, "{{.HostConfig.RestartPolicy.Name}}");
        background(&rl, &["--name", "c", "--restart", "always", "busybox", "sleep", "1000"]);
        assert_eq!(rl.run(&["update", "--restart", "no", "c"]).success().stdout, "c\n");
        assert_eq!(policy("c"), "no");
        let inner = inspect(&rl, "c", "{{.State.Pid}}");
        rl.plain_shell(&format!("kill -9 {inner}"));
        eventually("it has ended", || inspect(&rl, "c", "{{.State.Status}} {{.RestartCount}}") == "exited 0");
        rl.run(&["update", "--restart=on-failure:1", "c"]).success();
        assert_eq!(policy("c"), "on-failure");
        rl.run(&["start", "c"]).success();
        let inner = inspect(&rl, "c", "{{.State.Pid}}");
        rl.plain_shell(&format!("kill -9 {inner}"));
        eventually("it runs again", || inspect(&rl, "c", "{{.State.Status}} {{.RestartCount}}") == "running 1");
        for bad in [&["update", "c"][..], &["update", "--restart", "sometimes", "c"]] {
            rl.run(bad).fails_with(125);
        }
        background(&rl, &["--rm", "--name", "gone", "busybox", "sleep", "1000"]);
        rl.run(&["update", "--restart", "always", "c", "gone"]).fails_with(125);
        assert_eq!(policy("c"), "on-failure", "nothing is done where not all can be");
    }

    #[test]
    fn a_restart_takes_no_container_away_that_its_end_removes() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        background(&rl, &["--rm", "--name", "brief", "busybox", "sh", "-c", "echo kept >/kept; sleep 1000"]);
        let out = rl.run(&["restart", "-t", "0", "brief"]).fails_with(1);
        assert!(out.stderr.contains("RL0102") && out.stderr.contains("--rm"), "{}", out.stderr);
        eventually("its file is there", || rl.run(&["exec", "brief", "cat", "/kept"]).stdout == "kept\n");
    }

    #[test]
    fn rm_and_restart_contradict_each_other() {
        let rl = Rl::new();
        rl.run(&["run", "-d", "--rm", "--restart", "always", "busybox", "true"]).fails_with(125);
    }
}
