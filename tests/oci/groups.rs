//! Control groups of `rl oci`: made where the path says, frozen, counted, changed, emptied and removed.
//!
//! As root in a mount namespace of each command's own, in which /sys/fs/cgroup is cgroup2: what the machine shows there (v1, both)
//! is not asked. Controllers that are v1's there can't be limited, which is a case of its own.

mod as_root {
    use std::process::Command;

    use serde_json::{Value, json};

    use crate::bundle::Oci;
    use crate::support::{Line, Output};

    /// A container with the path of a group that is the test's own.
    struct Grouped {
        oci: Oci,
        path: String,
    }

    impl Grouped {
        fn new(name: &str, script: &str) -> Self {
            Self::with(name, Oci::shell(script))
        }

        fn with(name: &str, oci: Oci) -> Self {
            let path = format!("/rl-test-{name}-{}", std::process::id());
            let own = path.clone();
            Self { oci: oci.with(|config| config["linux"]["cgroupsPath"] = own.into()), path }
        }

        fn limited(&self, resources: Value) {
            let mut config = self.oci.config.clone();
            config["linux"]["resources"] = resources;
            std::fs::write(self.oci.bundle.join("config.json"), config.to_string()).expect("write");
        }

        /// In the mount namespace.
        fn inside(&self, program: &str, words: &[&str]) -> Command {
            let script = "mount --make-rprivate / && mount -t cgroup2 none /sys/fs/cgroup && exec \"$@\"";
            let mut command = Command::new("unshare");
            command.args(["--mount", "sh", "-c", script, "sh", program]).args(words).current_dir(&self.oci.bundle);
            command
        }

        fn oci(&self, words: &[&str]) -> Output {
            let program = self.oci.dir("bin").join("rl-oci");
            let root = self.oci.root.to_string_lossy();
            let mut all = vec!["--root", &root];
            all.extend(words);
            Line::new(self.inside(&program.to_string_lossy(), &all), words.join(" ")).output()
        }

        /// What stays keeps the streams.
        fn leave(&self, words: &[&str]) -> i32 {
            let null = std::process::Stdio::null;
            let root = self.oci.root.to_string_lossy().into_owned();
            let program = self.oci.dir("bin").join("rl-oci").to_string_lossy().into_owned();
            let mut all = vec!["--root", &root];
            all.extend(words);
            let log = std::fs::File::create(self.oci.bundle.join("stderr")).expect("a file");
            let mut command = self.inside(&program, &all);
            let status = command.stdin(null()).stdout(null()).stderr(log).status().expect("unshare");
            let told = std::fs::read_to_string(self.oci.bundle.join("stderr")).expect("read");
            assert!(status.success(), "{told}");
            std::fs::read_to_string(self.oci.bundle.join("pid")).expect("a pid file").parse().expect("digits")
        }

        fn create(&self) -> i32 {
            self.leave(&["create", "--pid-file", "pid", "c"])
        }

        fn read(&self, file: &str) -> String {
            let path = format!("/sys/fs/cgroup{}/{file}", self.path);
            Line::new(self.inside("cat", &[&path]), "cat".into()).output().success().stdout.trim().to_owned()
        }

        fn is_there(&self) -> bool {
            self.has("")
        }

        fn has(&self, file: &str) -> bool {
            let path = format!("/sys/fs/cgroup{}/{file}", self.path);
            Line::new(self.inside("test", &["-e", &path]), "test".into()).output().status.success()
        }

        fn controllers(&self) -> Vec<String> {
            let out = Line::new(self.inside("cat", &["/sys/fs/cgroup/cgroup.controllers"]), "cat".into()).output();
            out.success().stdout.split_whitespace().map(str::to_owned).collect()
        }

        fn status(&self) -> String {
            let state: Value = serde_json::from_str(&self.oci(&["state", "c"]).success().stdout).expect("JSON");
            state["status"].as_str().expect("a status").to_owned()
        }
    }

    impl Drop for Grouped {
        fn drop(&mut self) {
            let _ = self.oci(&["delete", "--force", "c"]);
            let path = format!("/sys/fs/cgroup{}", self.path);
            let _ = self.inside("rmdir", &[&path]).stderr(std::process::Stdio::null()).status();
        }
    }

    #[test]
    fn a_container_is_in_its_group_frozen_and_thawed_and_the_group_goes_with_it() {
        let box_ = Grouped::new("freeze", "sleep 100 & exec sleep 100");
        let pid = box_.create();
        box_.oci(&["start", "c"]).success();
        let own = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("read");
        assert!(own.lines().any(|line| line == format!("0::{}", box_.path)), "{own}");
        box_.oci(&["pause", "c"]).success();
        assert_eq!((box_.status().as_str(), box_.read("cgroup.freeze").as_str()), ("paused", "1"));
        assert!(box_.oci(&["pause", "c"]).fails_with(1).stderr.contains("paused"));
        assert!(box_.oci(&["exec", "c", "true"]).fails_with(1).stderr.contains("paused"));
        box_.oci(&["resume", "c"]).success();
        assert_eq!((box_.status().as_str(), box_.read("cgroup.freeze").as_str()), ("running", "0"));
        assert!(box_.oci(&["resume", "c"]).fails_with(1).stderr.contains("running"));
        box_.oci(&["kill", "--all", "c", "KILL"]).success();
        Oci::wait(pid);
        box_.oci(&["delete", "c"]).success();
        assert!(!box_.is_there());
    }

    #[test]
    fn an_exec_is_in_the_group_ps_lists_it_and_a_frozen_container_is_deleted_by_force() {
        let box_ = Grouped::new("exec", "exec sleep 100");
        let pid = box_.create();
        box_.oci(&["start", "c"]).success();
        let second = box_.leave(&["exec", "--detach", "--pid-file", "pid", "c", "sleep", "99"]);
        let listed: Vec<i32> =
            serde_json::from_str(&box_.oci(&["ps", "--format", "json", "c"]).success().stdout).expect("pids");
        assert!(listed.contains(&pid) && listed.contains(&second), "{listed:?}");
        let events = box_.oci(&["events", "--stats", "c"]).success().stdout;
        let event: Value = serde_json::from_str(&events).expect("JSON");
        assert_eq!((event["type"].as_str(), event["id"].as_str()), (Some("stats"), Some("c")));
        assert!(event["data"]["cpu"]["usage"]["total"].is_u64(), "{event}");
        box_.oci(&["pause", "c"]).success();
        box_.oci(&["delete", "--force", "c"]).success();
        assert!(!box_.is_there());
    }

    /// Without a pid namespace nothing else would end what the first process has left.
    #[test]
    fn what_outlives_the_first_process_ends_with_the_group() {
        let oci = Oci::shell("setsid sleep 100 >/dev/null 2>&1 &").without_namespace("pid");
        let box_ = Grouped::with("left", oci);
        let pid = box_.create();
        box_.oci(&["start", "c"]).success();
        Oci::wait(pid);
        assert_eq!(box_.read("cgroup.events").lines().next(), Some("populated 1"));
        box_.oci(&["delete", "c"]).success();
        assert!(!box_.is_there());
    }

    #[test]
    fn limits_are_set_and_changed_or_refused_by_name_where_the_controller_is_not_there() {
        let box_ = Grouped::new("limits", "exec sleep 100");
        let there = box_.controllers();
        if there.iter().any(|one| one == "pids") {
            box_.limited(json!({ "pids": { "limit": 30 } }));
            box_.create();
            assert_eq!(box_.read("pids.max"), "30");
            box_.oci(&["update", "--pids-limit", "40", "c"]).success();
            assert_eq!(box_.read("pids.max"), "40");
        } else {
            box_.limited(json!({ "pids": { "limit": 30 } }));
            let refused = box_.oci(&["run", "c"]).fails_with(1).stderr;
            assert!(refused.contains("linux.resources") && refused.contains("pids"), "{refused}");
            box_.limited(json!({}));
            box_.create();
            let refused = box_.oci(&["update", "--pids-limit", "40", "c"]).fails_with(1).stderr;
            assert!(refused.contains("pids"), "{refused}");
        }
        if there.iter().any(|one| one == "hugetlb") && box_.has("hugetlb.2MB.max") {
            let pages = std::fs::File::create(box_.oci.bundle.join("pages")).expect("a file");
            let limit = json!({ "hugepageLimits": [{ "pageSize": "2MB", "limit": 4 << 20 }] });
            serde_json::to_writer(pages, &limit).expect("write");
            box_.oci(&["update", "--resources", "pages", "c"]).success();
            assert_eq!(box_.read("hugetlb.2MB.max"), "4194304");
        }
        let refused = box_.oci(&["update", "--cpu-rt-runtime", "1", "c"]).fails_with(1).stderr;
        assert!(refused.contains("linux.resources.cpu.realtimeRuntime"), "{refused}");
    }
}
