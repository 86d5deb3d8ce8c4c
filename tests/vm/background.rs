//! Containers in the background: their scope, who is in it, and that it goes.

mod over_ssh {
    use crate::support::Rl;
    use crate::{inside, limits::nothing_is_left};

    #[test]
    fn one_that_is_killed_for_want_of_memory_is_started_again_in_its_scope_and_inspect_says_why() {
        if !inside() {
            return;
        }
        let rl = Rl::new();
        let words =
            ["run", "-d", "--name=hog", "--network=none", "--restart=on-failure:2", "-m", "64m", "--memory-swap=64m"];
        rl.run(&[&words[..], &["busybox", "sh", "-c", "exec tail </dev/zero"]].concat()).success();
        let shown = "{{.State.Status}} {{.State.OOMKilled}} {{.State.ExitCode}} {{.RestartCount}}";
        let show = || rl.run(&["inspect", "-f", shown, "hog"]).success().stdout;
        // wait comes back at each end.
        for _ in 0..100 {
            rl.run(&["wait", "hog"]).success();
            if show().starts_with("exited") {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        assert_eq!(show(), "exited true 137 2\n");
        nothing_is_left(&rl);
        rl.run(&["rm", "hog"]).success();
    }

    #[test]
    fn who_watches_is_beside_the_container_and_not_in_the_session() {
        if !inside() {
            return;
        }
        let rl = Rl::new();
        // Also of one that was made first and started later.
        rl.run(&["create", "--name=web", "--network=none", "--pids-limit=5", "busybox", "sleep", "1000"]).success();
        rl.run(&["start", "web"]).success();
        let pid = rl.run(&["inspect", "-f", "{{.State.Pid}}", "web"]).success().stdout;
        let script = format!(
            "p={}; cat /proc/$p/cgroup; cat /proc/$(ps -o ppid= -p $p | tr -d ' ')/cgroup; d=/sys/fs/cgroup$(cut -d: -f3 /proc/$p/cgroup)
             cat $d/pids.max $d/../pids.max $d/memory.oom.group",
            pid.trim()
        );
        let out = rl.plain_shell(&script).success().stdout;
        let lines: Vec<_> = out.lines().collect();
        let scope = lines[0].strip_suffix("/container").expect("the container's group");
        assert!(
            scope.contains("/user@1000.service/user.slice/rl-") && lines[1] == format!("{scope}/supervisor"),
            "{out}"
        );
        assert_eq!(lines[2..], ["5", "37", "1"], "{out}");
        rl.run(&["update", "--pids-limit=6", "web"]).success();
        assert_eq!(rl.plain_shell(&script).success().stdout.lines().skip(2).collect::<Vec<_>>(), ["6", "38", "1"]);
        rl.run(&["rm", "-f", "-t", "0", "web"]).success();
        nothing_is_left(&rl);
    }

    #[test]
    fn nothing_is_left_when_the_supervisor_is_killed() {
        if !inside() {
            return;
        }
        let rl = Rl::new();
        rl.run(&["run", "-d", "--rm", "--name=web", "--network=none", "-m", "64m", "busybox", "sleep", "1000"])
            .success();
        let pid = rl.run(&["inspect", "-f", "{{.State.Pid}}", "web"]).success().stdout;
        rl.plain_shell(&format!("kill -KILL $(ps -o ppid= -p {})", pid.trim())).success();
        nothing_is_left(&rl);
    }

    #[test]
    fn without_a_limit_nobody_is_asked() {
        if !inside() {
            return;
        }
        let rl = Rl::new();
        // The first makes the holder of the user namespace, which leaves the session in its own time.
        rl.run(&["run", "--rm", "busybox", "true"]).success();
        let dir = rl.dir("systemd");
        let socket = std::os::unix::net::UnixListener::bind(dir.join("private")).expect("a socket");
        socket.set_nonblocking(true).expect("fcntl");
        let home = dir.parent().expect("a home").to_str().expect("UTF-8");
        let run =
            |limit: &str| rl.command(&["run", "--rm", limit, "busybox", "true"]).env("XDG_RUNTIME_DIR", home).spawn();
        run("--network=none").finish().success();
        let nobody = socket.accept().expect_err("nobody");
        assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
        // With one somebody is.
        socket.set_nonblocking(false).expect("fcntl");
        let limited = run("--memory=64m");
        drop(socket.accept().expect("rl"));
        drop(socket);
        let out = limited.finish().fails_with(125);
        assert!(out.stderr.contains("RL1004"), "{}", out.stderr);
    }
}
