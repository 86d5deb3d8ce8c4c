//! create, start, state, kill, delete, run, exec.

mod everywhere {
    use serde_json::json;

    use crate::bundle::Oci;

    #[test]
    fn a_container_is_created_started_killed_and_deleted_and_state_tells_each() {
        let oci = Oci::shell("echo started; exec sleep 100");
        let pid = oci.create(&[]);
        let state = oci.state();
        assert_eq!((state["status"].as_str(), state["pid"].as_i64()), (Some("created"), Some(pid.into())));
        assert_eq!(state["bundle"].as_str(), Some(oci.bundle.canonicalize().expect("a path").to_str().expect("text")));
        assert_eq!(oci.stdout(), "");
        let refused = oci.run(&["kill", "nobody"]).fails_with(1);
        assert!(refused.stderr.contains("does not exist"), "{}", refused.stderr);
        oci.run(&["start", "c"]).success();
        assert_eq!(oci.state()["status"], "running");
        oci.run(&["start", "c"]).fails_with(1);
        let refused = oci.run(&["delete", "c"]).fails_with(1);
        assert!(refused.stderr.contains("not stopped"), "{}", refused.stderr);
        oci.run(&["kill", "c", "KILL"]).success();
        Oci::wait(pid);
        let state = oci.state();
        assert_eq!((state["status"].as_str(), state["pid"].as_i64()), (Some("stopped"), Some(0)));
        let refused = oci.run(&["kill", "c", "9"]).fails_with(1);
        assert!(refused.stderr.contains("container not running"), "{}", refused.stderr);
        oci.run(&["kill", "--all", "c", "9"]).success();
        oci.run(&["delete", "c"]).success();
        let gone = oci.run(&["state", "c"]).fails_with(1);
        assert!(gone.stderr.contains("does not exist") && gone.stdout.is_empty(), "{}", gone.stderr);
        oci.run(&["delete", "--force", "c"]).success();
    }

    #[test]
    fn run_gives_the_commands_status_and_leaves_nothing() {
        let oci = Oci::shell("cat; exit 7");
        let output = oci.command(&["run", "c"]).stdin("through").output().fails_with(7);
        assert_eq!(output.stdout, "through");
        assert_eq!(
            std::fs::read_dir(&oci.root)
                .expect("list")
                .filter_map(Result::ok)
                .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
                .count(),
            0
        );
    }

    #[test]
    fn an_id_is_taken_once_and_never_a_way_elsewhere() {
        let oci = Oci::new(&["sleep", "100"]);
        oci.create(&[]);
        let again = oci.try_create(&[]);
        assert!(String::from_utf8_lossy(&again.stderr).contains("already exists"));
        for id in ["..", ".x", "a/b", ""] {
            oci.run(&["run", id]).fails_with(1);
        }
        oci.run(&["delete", "c"]).success();
    }

    #[test]
    fn a_command_that_is_nowhere_fails_create_in_the_words_that_engines_know() {
        let oci = Oci::new(&["no-such-command"]);
        let failed = oci.try_create(&[]);
        assert!(!failed.status.success());
        let text = String::from_utf8_lossy(&failed.stderr).into_owned();
        assert!(text.contains("executable file not found in $PATH"), "{text}");
        assert!(!oci.root.join("c").exists());
    }

    #[test]
    fn a_document_without_a_process_is_created_and_ends_when_it_is_started() {
        let oci = Oci::new(&["true"]).with(|config| {
            config.as_object_mut().expect("an object").remove("process");
        });
        oci.create(&[]);
        assert_eq!(oci.state()["status"], "created");
        assert!(oci.run(&["start", "c"]).success().stderr.contains("process is missing"));
        assert_eq!(oci.state()["status"], "stopped");
        oci.run(&["delete", "c"]).success();
        assert!(oci.run(&["run", "c"]).fails_with(1).stderr.contains("process is missing"));
    }

    #[test]
    fn a_profile_is_left_out_and_told_on_a_machine_without_apparmor() {
        if std::fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with('Y')) {
            eprintln!("SKIPPED: this machine has AppArmor");
            return;
        }
        let oci = Oci::new(&["echo", "runs"]).with(|config| config["process"]["apparmorProfile"] = json!("profile"));
        let out = oci.run(&["run", "c"]).success();
        assert_eq!(out.stdout, "runs\n");
        assert!(out.stderr.contains("process.apparmorProfile") && out.stderr.lines().count() == 1, "{}", out.stderr);
    }

    #[test]
    fn a_failure_is_one_line_of_json_in_the_log_and_one_of_stderr() {
        let oci = Oci::new(&["true"]).with(|config| config["linux"]["intelRdt"] = json!({ "closID": "x" }));
        let log = oci.bundle.join("log");
        let log_flag = log.to_string_lossy().into_owned();
        let failed = oci.run(&["--log", &log_flag, "--log-format=json", "run", "c"]).fails_with(1);
        assert_eq!(failed.stderr.lines().count(), 1, "{}", failed.stderr);
        let text = std::fs::read_to_string(&log).expect("a log");
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(line["level"], "error");
        assert!(line["msg"].as_str().is_some_and(|msg| msg.contains("linux.intelRdt")), "{line}");
        assert!(line["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{line}");
    }

    #[test]
    fn exec_joins_the_container_with_its_rights_and_gives_the_status() {
        let oci = Oci::new(&["sleep", "100"]);
        let pid = oci.create(&[]);
        oci.run(&["start", "c"]).success();
        let own = |name: &str| std::fs::read_link(format!("/proc/{pid}/ns/{name}")).expect(name);
        for name in ["mnt", "pid", "uts", "ipc", "net", "user"] {
            let out = oci.run(&["exec", "c", "readlink", &format!("/proc/self/ns/{name}")]).success();
            assert_eq!(out.stdout.trim(), own(name).to_string_lossy(), "{name}");
        }
        let out = oci.run(&["exec", "--env", "A=1", "--cwd", "/tmp", "c", "sh", "-c", "pwd; echo $A; exit 3"]);
        assert_eq!(out.fails_with(3).stdout, "/tmp\n1\n");
        let status = oci.run(&["exec", "c", "grep", "-E", "CapBnd|NoNewPrivs", "/proc/self/status"]).success().stdout;
        let first = oci.run(&["exec", "c", "grep", "-E", "CapBnd|NoNewPrivs", "/proc/1/status"]).success().stdout;
        assert_eq!(status, first);
        oci.run(&["exec", "c", "no-such-command"]).fails_with(127);
    }

    #[test]
    fn a_process_document_is_executed_in_the_background_and_its_pid_written() {
        let oci = Oci::new(&["sleep", "100"]);
        oci.create(&[]);
        oci.run(&["start", "c"]).success();
        let process =
            json!({ "cwd": "/", "user": { "uid": 0, "gid": 0 }, "args": ["sleep", "99"], "env": ["PATH=/bin"] });
        let file = oci.bundle.join("process.json");
        std::fs::write(&file, process.to_string()).expect("write");
        let words = ["exec", "--process", "process.json", "--detach", "--pid-file", "exec-pid", "c"];
        let mut command = std::process::Command::new(oci.dir("bin").join("rl-oci"));
        command.arg("--root").arg(&oci.root).args(words).current_dir(&oci.bundle);
        let null = || std::process::Stdio::null();
        assert!(command.stdin(null()).stdout(null()).stderr(null()).status().expect("rl-oci").success());
        let pid = std::fs::read_to_string(oci.bundle.join("exec-pid")).expect("a pid file");
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).expect("it runs");
        assert_eq!(line, b"sleep\x0099\x00");
        let pids: Vec<i32> =
            serde_json::from_str(&oci.run(&["ps", "--format", "json", "c"]).success().stdout).expect("JSON");
        assert!(pids.contains(&pid.parse().expect("a pid")), "{pids:?}");
        assert_eq!(pids.len(), 2);
    }

    #[test]
    fn a_terminals_master_goes_to_the_console_socket_with_its_size() {
        use std::io::IoSliceMut;
        use std::os::fd::AsRawFd;

        let oci = Oci::shell("stty size; tty; read x; echo got $x").with(|config| {
            config["process"]["terminal"] = true.into();
            config["process"]["consoleSize"] = json!({ "height": 33, "width": 101 });
        });
        let socket = oci.bundle.join("socket");
        let listener = std::os::unix::net::UnixListener::bind(&socket).expect("bind");
        oci.create(&["--console-socket", &socket.to_string_lossy()]);
        let (stream, _) = listener.accept().expect("a connection");
        let mut byte = [0; 64];
        let mut space = nix::cmsg_space!([i32; 4]);
        let mut buffers = [IoSliceMut::new(&mut byte)];
        let flags = nix::sys::socket::MsgFlags::empty();
        let message = nix::sys::socket::recvmsg::<nix::sys::socket::UnixAddr>(
            stream.as_raw_fd(),
            &mut buffers,
            Some(&mut space),
            flags,
        )
        .expect("a message");
        let fds: Vec<i32> = message
            .cmsgs()
            .expect("control")
            .filter_map(|one| match one {
                nix::sys::socket::ControlMessageOwned::ScmRights(fds) => Some(fds),
                _ => None,
            })
            .flatten()
            .collect();
        assert_eq!(fds.len(), 1);
        oci.run(&["start", "c"]).success();
        // The descriptor is inherited by a shell, so that nothing here has to believe a bare number.
        let script = format!("head -n 2 <&{}", fds[0]);
        let heard = std::process::Command::new("sh").arg("-c").arg(script).output().expect("sh");
        assert_eq!(String::from_utf8_lossy(&heard.stdout), "33 101\r\n/dev/pts/0\r\n");
    }

    #[test]
    fn descriptors_are_preserved_as_many_as_were_asked_for() {
        let oci = Oci::shell("cat <&3; ls /proc/self/fd | wc -l");
        let script = format!(
            "exec 3<<<three 4<<<four; {} --root {} run --preserve-fds 1 c",
            oci.dir("bin").join("rl-oci").display(),
            oci.root.display()
        );
        let mut command = std::process::Command::new("bash");
        command.arg("-c").arg(&script).current_dir(&oci.bundle);
        let out = crate::support::Line::new(command, script).output().success();
        // 0, 1, 2, 3 and the one that ls has open.
        assert_eq!(out.stdout, "three\n5\n");
    }

    #[test]
    fn hooks_run_in_their_order_with_the_state_on_stdin() {
        let oci = Oci::shell("echo command >>/log");
        let root = oci.bundle.join("rootfs").canonicalize().expect("a path");
        let log = root.join("log").to_string_lossy().into_owned();
        let outside = |name: &str| {
            let script = format!("read state; echo {name} $(echo $state | grep -o '\"status\":\"[a-z]*\"') >>{log}");
            json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"] }])
        };
        let inside =
            json!([{ "path": "/bin/sh", "args": ["sh", "-c", "echo startContainer >>/log"], "env": ["PATH=/bin"] }]);
        let oci = oci.with(|config| {
            config["hooks"] = json!({
                "prestart": outside("prestart"),
                "createRuntime": outside("createRuntime"),
                "createContainer": outside("createContainer"),
                "startContainer": inside,
                "poststart": outside("poststart"),
                "poststop": outside("poststop"),
            });
        });
        let pid = oci.create(&[]);
        let heard = std::fs::read_to_string(&log).expect("a log");
        let status = "\"status\":\"created\"";
        assert_eq!(heard, format!("prestart {status}\ncreateRuntime {status}\ncreateContainer {status}\n"));
        oci.run(&["start", "c"]).success();
        Oci::wait(pid);
        oci.run(&["delete", "c"]).success();
        let heard = std::fs::read_to_string(&log).expect("a log");
        let rest: Vec<_> = heard.lines().skip(3).map(|line| line.split(' ').next().unwrap_or_default()).collect();
        assert_eq!((rest[0], rest[3]), ("startContainer", "poststop"), "{heard}");
        // The command and poststart run at the same time.
        assert!(rest.contains(&"command") && rest.contains(&"poststart"), "{heard}");
    }

    #[test]
    fn a_hook_that_fails_or_takes_too_long_fails_create_with_what_it_said() {
        for (script, timeout, wanted) in [("echo why >&2; exit 3", 60, "why"), ("sleep 60", 1, "after 1 s")] {
            let hook = json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"], "timeout": timeout }]);
            let oci = Oci::new(&["true"]).with(|config| config["hooks"] = json!({ "createRuntime": hook }));
            let failed = oci.try_create(&[]);
            let text = String::from_utf8_lossy(&failed.stderr).into_owned();
            assert!(text.contains("hooks.createRuntime[0]") && text.contains(wanted), "{text}");
            assert!(!oci.root.join("c").exists());
        }
    }

    #[test]
    fn process_attributes_are_the_documents() {
        let script = "cat /proc/self/oom_score_adj; cut -d ' ' -f 19 /proc/self/stat; umask; uname -m; hostname; cat /proc/sys/kernel/domainname";
        let oci = Oci::shell(script).with(|config| {
            config["process"]["oomScoreAdj"] = 500.into();
            config["process"]["scheduler"] = json!({ "policy": "SCHED_BATCH", "nice": 19 });
            config["process"]["ioPriority"] = json!({ "class": "IOPRIO_CLASS_IDLE", "priority": 0 });
            config["process"]["user"]["umask"] = 0o27.into();
            config["linux"]["personality"] = json!({ "domain": "LINUX32" });
            config["hostname"] = "box".into();
            config["domainname"] = "example".into();
        });
        assert_eq!(oci.run(&["run", "c"]).success().stdout, "500\n19\n0027\ni686\nbox\nexample\n");
    }

    /// Profiles of some years ago, as OCI's own validation has one; without noNewPrivileges the filter is there before the user is.
    #[test]
    fn a_filter_that_knows_only_old_system_calls_lets_the_container_start() {
        let names = ["statx", "openat2", "faccessat2", "close_range", "epoll_pwait2", "fchmodat2", "pidfd_open"];
        let oci = Oci::shell("id -u").with(|config| {
            config["process"]["noNewPrivileges"] = false.into();
            config["process"]["env"] = json!(["PATH=/bin"]);
            let rule = json!({ "names": names, "action": "SCMP_ACT_ERRNO" });
            config["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] });
        });
        assert_eq!(oci.run(&["run", "c"]).success().stdout, "0\n");
        oci.create(&[]);
        oci.run(&["start", "c"]).success();
    }

    #[test]
    fn namespaces_are_joined_by_their_paths() {
        let first = Oci::new(&["sleep", "100"]);
        let pid = first.create(&[]);
        let of = |name: &str| format!("/proc/{pid}/ns/{name}");
        let oci = Oci::shell("for n in user net uts ipc; do readlink /proc/self/ns/$n; done").with(|config| {
            config["linux"]["namespaces"] = json!([
                { "type": "user", "path": of("user") },
                { "type": "network", "path": of("net") },
                { "type": "uts", "path": of("uts") },
                { "type": "ipc", "path": of("ipc") },
                { "type": "mount" },
                { "type": "pid" },
            ]);
            let linux = config["linux"].as_object_mut().expect("an object");
            linux.remove("uidMappings");
            linux.remove("gidMappings");
            config.as_object_mut().expect("an object").remove("hostname");
        });
        let out = oci.run(&["run", "c"]).success().stdout;
        let wanted: Vec<_> = ["user", "net", "uts", "ipc"]
            .map(|name| std::fs::read_link(of(name)).expect(name).to_string_lossy().into_owned())
            .into();
        assert_eq!(out.lines().map(str::to_owned).collect::<Vec<_>>(), wanted);
    }
}

mod as_user {
    use crate::bundle::Oci;

    /// As crun does; the held namespace serves, so no helper is called again.
    #[test]
    fn a_document_without_a_user_namespace_gets_all_the_callers_ids() {
        let oci = Oci::new(&["cat", "/proc/self/uid_map"]).without_namespace("user");
        let map = oci.run(&["run", "c"]).success().stdout;
        assert_eq!(map.lines().count(), 2, "{map}");
    }

    #[test]
    fn the_callers_own_ids_can_be_mapped_to_others() {
        use serde_json::json;

        let uid = nix::unistd::getuid().as_raw();
        let subordinate = std::fs::read_to_string("/etc/subuid").expect("ranges");
        let name = nix::unistd::User::from_uid(uid.into()).expect("a user").expect("a user").name;
        let line = subordinate.lines().find(|line| line.starts_with(&format!("{name}:"))).expect("a range");
        let start: u32 = line.split(':').nth(1).and_then(|word| word.parse().ok()).expect("a number");
        let maps = json!([
            { "containerID": 0, "hostID": start + 5, "size": 1000 },
            { "containerID": 1000, "hostID": uid, "size": 1 },
        ]);
        let oci = Oci::shell("stat -c %u /; cat /proc/self/uid_map").with(|config| {
            config["linux"]["uidMappings"] = maps.clone();
            config["linux"]["gidMappings"] = maps;
        });
        let out = oci.run(&["run", "c"]).success().stdout;
        assert!(out.starts_with("1000\n"), "{out}");
        let refused = Oci::new(&["true"]).with(|config| {
            config["linux"]["uidMappings"] = json!([{ "containerID": 0, "hostID": 0, "size": 1 }]);
        });
        let refused = refused.run(&["run", "c"]).fails_with(1);
        assert!(refused.stderr.contains("linux.uidMappings"), "{}", refused.stderr);
    }
}

mod as_root {
    use serde_json::json;

    use crate::bundle::Oci;

    #[test]
    fn without_a_user_namespace_nodes_are_made_and_the_caller_is_root() {
        let script = "cat /proc/self/uid_map; stat -c '%F %a' /dev/null; stat -c '%t:%T %a %u' /dev/own";
        let oci = Oci::shell(script).with(|config| {
            config["linux"]["devices"] = json!([
                { "path": "/dev/own", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 33, "gid": 0 }
            ]);
        });
        let out = oci.run(&["run", "c"]).success().stdout;
        let words: Vec<_> = out.split_whitespace().collect();
        assert_eq!(words[..3], ["0", "0", "4294967295"], "{out}");
        assert!(out.ends_with("1:5 640 33\n"), "{out}");
    }

    #[test]
    fn with_a_user_namespace_the_documents_map_is_written() {
        let oci = Oci::new(&["cat", "/proc/self/uid_map"]).with(|config| {
            let maps = json!([{ "containerID": 0, "hostID": 0, "size": 1 }, { "containerID": 1, "hostID": 300_000, "size": 10 }]);
            config["linux"]["namespaces"].as_array_mut().expect("a list").push(json!({ "type": "user" }));
            config["linux"]["uidMappings"] = maps.clone();
            config["linux"]["gidMappings"] = maps;
        });
        let out = oci.run(&["run", "c"]).success().stdout;
        let lines: Vec<Vec<&str>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines, [vec!["0", "0", "1"], vec!["1", "300000", "10"]]);
    }
}
