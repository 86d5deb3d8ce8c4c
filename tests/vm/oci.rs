//! Limits of `rl oci`, seen taking effect: what the kernel's files say, what a hog and a fork bomb come to, what `update`
//! changes and `events` counts; by directories and by systemd's scopes, as a user and as root.

use serde_json::{Value, json};

use crate::bundle::Oci;

/// A container that runs, with a group at `path`.
struct Limited {
    oci: Oci,
    flags: Vec<&'static str>,
}

impl Limited {
    fn start(flags: &[&'static str], path: &str) -> Self {
        let limited = Self::new(flags, path);
        limited.run(&["create", "--pid-file", "pid", "c"]).success();
        limited.run(&["start", "c"]).success();
        limited
    }

    fn new(flags: &[&'static str], path: &str) -> Self {
        let oci = Oci::shell("exec sleep 1000 >/dev/null 2>&1 </dev/null").with(|config| {
            config["linux"]["cgroupsPath"] = path.into();
            config["linux"]["resources"] = json!({
                "memory": { "limit": 64 << 20, "swap": 64 << 20 },
                "cpu": { "quota": 50_000, "period": 100_000 },
                "pids": { "limit": 50 },
            });
        });
        Self { oci, flags: flags.to_vec() }
    }

    /// With the streams in files: what `create` has made keeps them.
    fn run(&self, words: &[&str]) -> crate::support::Output {
        let all: Vec<&str> = self.flags.iter().chain(words).copied().collect();
        let own = self.oci.dir("bin").join("rl-oci");
        let script = "\"$@\" >out 2>err </dev/null; status=$?; cat out; cat err >&2; exit $status";
        let mut command = std::process::Command::new("sh");
        command.args(["-c", script, "sh"]).arg(own).arg("--root").arg(&self.oci.root).args(&all);
        command.current_dir(&self.oci.bundle);
        crate::support::Line::new(command, words.join(" ")).output()
    }

    fn exec(&self, script: &str) -> crate::support::Output {
        self.run(&["exec", "c", "sh", "-c", script])
    }

    /// Of the container's own group, which is the root of what it sees.
    fn files(&self) -> String {
        self.exec("cd /sys/fs/cgroup; cat memory.max memory.swap.max cpu.max pids.max | xargs echo").success().stdout
    }

    fn stats(&self) -> Value {
        let event: Value = serde_json::from_str(&self.run(&["events", "--stats", "c"]).success().stdout).expect("JSON");
        event["data"].clone()
    }

    fn take_effect(self) {
        assert_eq!(self.files(), "67108864 0 50000 100000 50\n");
        let stats = self.stats();
        let limits = (&stats["memory"]["usage"]["limit"], &stats["pids"]["limit"]);
        assert_eq!(limits, (&json!(64 << 20), &json!(50)), "{stats}");
        assert!(stats["memory"]["usage"]["usage"].as_u64() > Some(0) && stats["pids"]["current"].as_u64() > Some(0));

        let change =
            ["--memory", "33554432", "--memory-swap", "33554432", "--pids-limit", "20", "--cpu-quota", "20000"];
        self.run(&[&["update"], &change[..], &["c"]].concat()).success();
        assert_eq!(self.files(), "33554432 0 20000 100000 20\n");
        let bomb =
            "(i=0; while [ $i -lt 60 ]; do sleep 100 & i=$((i + 1)); done) 2>/dev/null; set -- /proc/[0-9]*; echo $#";
        let count: u64 = self.exec(bomb).stdout.trim().parse().unwrap_or(0);
        let stats = self.stats();
        assert!(count <= 22 && stats["pids"]["limit"] == 20, "{count}: {stats}");
        assert!(stats["cpu"]["usage"]["total"].as_u64() > Some(0), "{stats}");
        assert!(stats["cpu"]["throttling"]["throttledPeriods"].as_u64() > Some(0), "a fifth of a processor: {stats}");
        self.is_killed_for_want_of_memory();
    }

    /// The whole container ends with the process that takes too much, and who listens hears why.
    fn is_killed_for_want_of_memory(&self) {
        let mut events = self.oci.command(&[&self.flags[..], &["events", "--interval", "60s", "c"]].concat()).spawn();
        events.wait_for_part("stats");
        // One process: the bomb has left no room for another.
        self.exec("exec tail </dev/zero").fails_with(137);
        let heard = events.finish().success().stdout;
        assert!(heard.contains("\"oom\""), "{heard}");
        let state: Value = serde_json::from_str(&self.run(&["state", "c"]).success().stdout).expect("JSON");
        assert_eq!(state["status"], "stopped");
        self.run(&["delete", "c"]).success();
        let left = crate::sh("find /sys/fs/cgroup -name '*rl-test-*'").success().stdout;
        assert_eq!(left, "");
    }
}

mod over_ssh {
    use super::Limited;
    use crate::inside;

    #[test]
    fn a_scope_of_the_users_systemd_limits_counts_and_changes() {
        if !inside() {
            return;
        }
        Limited::start(&["--systemd-cgroup"], "user.slice:rl-test:user").take_effect();
    }

    /// From a session the kernel lets nobody make a group; a path is no wish for systemd.
    #[test]
    fn directories_need_a_group_that_is_the_callers() {
        if !inside() {
            return;
        }
        let limited = Limited::new(&["--cgroup-manager", "cgroupfs"], "/rl-test-refused");
        let refused = limited.run(&["run", "c"]).fails_with(1).stderr;
        assert!(refused.contains("linux.resources") && refused.lines().count() == 1, "{refused}");
    }

    #[test]
    fn below_a_delegated_scope_directories_are_made_and_limited() {
        if !inside() {
            return;
        }
        let limited = Limited::new(&["--cgroup-manager", "cgroupfs"], "/rl-test-delegated");
        let limited = Limited {
            oci: limited.oci.with(|config| {
                let read = "cd /sys/fs/cgroup; cat memory.max cpu.max pids.max | xargs echo";
                config["process"]["args"] = serde_json::json!(["sh", "-c", read]);
            }),
            ..limited
        };
        let mut command = std::process::Command::new("systemd-run");
        command.args(["--quiet", "--user", "--scope", "-p", "Delegate=yes"]).arg(limited.oci.dir("bin").join("rl-oci"));
        command
            .arg("--root")
            .arg(&limited.oci.root)
            .args(&limited.flags)
            .args(["run", "--bundle"])
            .arg(&limited.oci.bundle);
        command.arg("c");
        let out = crate::support::Line::new(command, "systemd-run".into()).output().success();
        assert_eq!(out.stdout, "67108864 50000 100000 50\n", "{}", out.stderr);
    }
}

mod as_root {
    use super::Limited;
    use crate::inside;

    /// The machine's slice needs the CPU controller while this is there, so that systemd leaves it to all groups beside it.
    ///
    /// Without it a directory at the top lost cpu.max, and was not throttled, as soon as systemd noticed that the scope of the test
    /// before had ended: it hands a controller down for as long as one of its own units needs it.
    struct KeptController;

    impl KeptController {
        fn new() -> Self {
            Self::weigh("100");
            Self
        }

        fn weigh(weight: &str) {
            crate::sh(&format!("systemctl set-property --runtime system.slice CPUWeight={weight}")).success();
        }
    }

    impl Drop for KeptController {
        fn drop(&mut self) {
            Self::weigh("");
        }
    }

    #[test]
    fn directories_limit_count_and_change() {
        if !inside() {
            return;
        }
        let _kept = KeptController::new();
        Limited::start(&["--cgroup-manager", "cgroupfs"], "/rl-test-root").take_effect();
    }

    #[test]
    fn a_scope_of_the_machines_systemd_limits_counts_and_changes() {
        if !inside() {
            return;
        }
        Limited::start(&["--cgroup-manager", "systemd"], "system.slice:rl-test:root").take_effect();
    }
}
