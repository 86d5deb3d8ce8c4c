//! Limits where no control group can be had, and in a subtree that is delegated to the caller. What needs a systemd is in tests/vm.

mod everywhere {
    use crate::support::Rl;

    /// Whether this machine's controllers are those of cgroup v1.
    fn is_old() -> bool {
        !std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
    }

    #[test]
    fn a_limit_that_nobody_can_enforce_is_refused_before_anything_runs() {
        if !is_old() {
            eprintln!("SKIPPED: this machine has cgroup2");
            return;
        }
        let rl = Rl::new();
        let out = rl.run(&["run", "--rm", "-m", "64m", "busybox", "echo", "ran"]).fails_with(125);
        assert!(out.stderr.contains("RL1001") && out.stderr.contains("memory.max=67108864"), "{}", out.stderr);
        assert_eq!(out.stdout, "");
        rl.run(&["run", "--rm", "--cgroups=enabled", "busybox", "echo", "ran"]).fails_with(125);
    }

    #[test]
    fn without_a_limit_nothing_is_said() {
        let out = Rl::new().run(&["run", "--rm", "busybox", "echo", "ran"]).success();
        assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("ran\n", ""));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_its_flag() {
        let rl = Rl::new();
        for (flag, word) in [
            ("--memory", "1k"),
            ("--cpus", "0.001"),
            ("--cpuset-cpus", "9999"),
            ("--pids-limit", "-5"),
            ("--oom-score-adj", "-1001"),
            ("--cgroup-parent", "../x"),
            ("--cgroup-parent", "a\nb.slice"),
            ("--cgroups", "sometimes"),
        ] {
            let out = rl.run(&["run", "--rm", flag, word, "busybox", "true"]).fails_with(125);
            assert!(out.stderr.contains(flag), "{flag} {word}: {}", out.stderr);
        }
    }

    #[test]
    fn every_container_gets_a_group_where_the_configuration_says_so() {
        if !is_old() {
            eprintln!("SKIPPED: this machine has cgroup2");
            return;
        }
        let rl = Rl::new();
        let config = rl.dir("config");
        std::fs::create_dir_all(config.join("rl")).expect("mkdir");
        std::fs::write(config.join("rl/config.toml"), "cgroups = \"always\"\n").expect("write");
        let run = |more: &'static [&'static str]| {
            let words = [&["run", "--rm"], more, &["busybox", "true"]].concat();
            rl.command(&words).env("XDG_CONFIG_HOME", config.to_str().expect("UTF-8")).output()
        };
        assert!(run(&[]).fails_with(125).stderr.contains("RL1001"));
        run(&["--cgroups=auto"]).success();
        std::fs::write(config.join("rl/config.toml"), "cgroups = \"sometimes\"\n").expect("write");
        assert!(run(&[]).fails_with(125).stderr.contains("config.toml"));
    }

    #[test]
    fn what_a_logout_does_can_only_be_promised_where_it_is_so() {
        let rl = Rl::new();
        let out = rl.run(&["run", "--rm", "--logout=keep", "busybox", "true"]).fails_with(125);
        assert!(out.stderr.contains("-d"), "{}", out.stderr);
        if std::path::Path::new("/run/systemd/system").is_dir() {
            eprintln!("SKIPPED: systemd runs here; tests/vm has its cases");
            return;
        }
        let out = rl.run(&["run", "-d", "--rm", "--logout=stop", "busybox", "true"]).fails_with(125);
        assert!(out.stderr.contains("RL1010"), "{}", out.stderr);
        let out = rl.run(&["run", "-d", "--rm", "--logout=keep", "busybox", "true"]).success();
        assert_eq!(out.stderr, "");
    }

    #[test]
    fn the_score_is_the_containers_own() {
        let script = "cat /proc/self/oom_score_adj";
        let out = Rl::new().run(&["run", "--rm", "--oom-score-adj", "500", "busybox", "sh", "-c", script]).success();
        assert_eq!(out.stdout, "500\n");
    }
}

mod as_root {
    use crate::support::Rl;

    fn systemd_is_asked() -> bool {
        let runs = std::path::Path::new("/run/systemd/system").exists();
        if runs {
            eprintln!("SKIPPED: systemd is asked here");
        }
        runs
    }

    /// cgroup2 as the only hierarchy, in a mount namespace of the test's own, with this script in the group `rltest`.
    fn unified(rl: &Rl, script: &str) -> crate::support::Output {
        let script = format!(
            "unshare --mount sh -euc 'mount -t cgroup2 none /sys/fs/cgroup
             G=/sys/fs/cgroup/rltest.$$; mkdir $G; echo $$ >$G/cgroup.procs
             {script}
             for dir in $G/rl-caller $G; do
                 [ ! -e $dir ] || while read -r pid; do echo $pid >/sys/fs/cgroup/cgroup.procs; done <$dir/cgroup.procs || true
             done
             # A network without published ports ends behind its run.
             timeout 30 sh -c \"until grep -q \\\"populated 0\\\" $G/cgroup.events; do sleep 0.02; done\"
             rmdir $G/rl-caller 2>/dev/null || true; rmdir $G'"
        );
        rl.shell(&script)
    }

    #[test]
    fn in_a_subtree_of_ones_own_a_directory_is_made_and_removed() {
        if systemd_is_asked() {
            return;
        }
        let rl = Rl::new();
        let own = rl.binary().display().to_string();
        let out = unified(
            &rl,
            &format!(
                "{own} run --rm --cgroups=enabled busybox grep ^0: /proc/self/cgroup
                 {own} run --rm --cgroups=enabled --cgroup-parent=jobs/one busybox sh -c \"cat /proc/1/cgroup\" | grep ^0:
                 ls -d $G/jobs/one; find $G -name \"rl-*\" ! -name rl-caller; rmdir $G/jobs/one $G/jobs"
            ),
        )
        .success();
        let lines: Vec<_> = out.stdout.lines().collect();
        assert!(
            lines.len() == 3 && lines[..2] == ["0::/", "0::/"] && lines[2].ends_with("/jobs/one"),
            "{}",
            out.stdout
        );
    }

    #[test]
    fn what_a_killed_rl_leaves_is_removed_by_the_next() {
        if systemd_is_asked() {
            return;
        }
        let rl = Rl::new();
        let own = rl.binary().display().to_string();
        let out = unified(
            &rl,
            &format!(
                "mkfifo $HOME/ready
                 {own} run --rm --cgroups=enabled busybox sh -c \"echo ready; sleep 1000\" >$HOME/ready & first=$!
                 read line <$HOME/ready; kill -KILL $first; wait $first || true
                 find $G -name \"rl-*\" ! -name rl-caller | wc -l
                 {own} run --rm busybox true
                 find $G -name \"rl-*\" ! -name rl-caller | wc -l"
            ),
        )
        .success();
        assert_eq!(out.stdout, "1\n0\n", "{}", out.stderr);
    }
}
