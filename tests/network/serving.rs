//! What serves one container's network, slirp4netns and the processes of `rl`'s own, `rl: ports` and `rl: egress`: how long it stays,
//! and what is said when it was killed.

mod as_user {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    use crate::networks::works;
    use crate::ports::asked;
    use crate::support::{Rl, Running};

    const SERVER: &str = "echo up; nc -ll -p 80 -e echo hello";

    const PORTS_ENDED: &str = "rl: ports has ended (signal 9) (rl explain RL0714)";
    const NAMES_GONE: &str =
        "the container finds no names any more: rl: egress has ended (signal 9) (rl explain RL0715)";

    /// Where a running container is published, of several places at the last one: at a port that was free.
    fn published(rl: &Rl, name: &str) -> String {
        let listed = rl.run(&["port", name]).success().stdout;
        listed.trim().rsplit(' ').next().expect("an address").to_owned()
    }

    /// The first time that means besides that `rl: ports` has its name, which it gives itself beside the container's start.
    fn is_served(address: &str) {
        assert_eq!(asked(address), "hello\n");
    }

    fn killed(helper: Pid) {
        kill(helper, Signal::SIGKILL).expect("kill");
    }

    /// The child of this name that the supervisor of a container in the background has.
    fn child_of_supervisor(rl: &Rl, id: &str, name: &str) -> Pid {
        let state = rl.runroot().join("containers").join(id.trim()).join("state.json");
        let state: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(state).expect("its state")).expect("JSON");
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", state["pid"])).expect("its stat");
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)).expect("its parent");
        let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).expect("children");
        let named = |pid: &&str| std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|is| is.trim() == name);
        let found = children.split_ascii_whitespace().find(named).unwrap_or_else(|| panic!("no {name}: {children}"));
        Pid::from_raw(found.parse().expect("a pid"))
    }

    fn told(rl: &Rl, name: &str) -> String {
        rl.run(&["inspect", "--format", "{{.State.Status}} {{.State.Error}}", name]).success().stdout
    }

    fn followed(rl: &Rl, name: &str) -> Running {
        rl.command(&["logs", "-f", name]).spawn()
    }

    /// The signals that have been sent to a process and not been heard.
    fn unheard(pid: Pid) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
        let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:")).expect("a mask");
        u64::from_str_radix(pending.trim(), 16).expect("a number")
    }

    #[test]
    fn what_asks_the_container_to_end_does_not_end_who_serves_it() {
        if !works() {
            return;
        }
        let rl = Rl::new();
        let words = ["run", "--rm", "--name=web", "--egress=allow=a.example", "-p", "[::1]::80", "busybox", "sh", "-c"];
        let mut running = rl.command(&[&words[..], &[SERVER]].concat()).spawn();
        running.wait_for_line("up");
        let address = published(&rl, "web");
        is_served(&address);
        // As Ctrl-C, a terminal that goes and systemd send them to every process around the container.
        let signals = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM];
        for name in ["rl: ports", "rl: egress"] {
            let helper = running.child_called(name);
            signals.iter().for_each(|signal| kill(helper, *signal).expect("kill"));
            let sent = signals.iter().map(|signal| 1 << (*signal as i32 - 1)).sum::<u64>();
            assert_eq!(unheard(helper), sent, "{name}");
        }
        is_served(&address);
        killed(running.pid());
        running.finish();
    }

    #[test]
    fn a_carrier_that_is_killed_is_told_once_and_the_container_goes_on() {
        let rl = Rl::new();
        let words = ["run", "--rm", "-i", "busybox", "sh", "-c", "echo up; cat; exit 7"];
        let mut running = rl.command(&words).piped_stdin().spawn();
        running.wait_for_line("up");
        killed(running.child_called("slirp4netns"));
        running.wait_for_complaint("RL0706");
        running.type_in("still there\n");
        running.wait_for_line("still there");
        running.close_stdin();
        let out = running.finish().fails_with(7);
        assert_eq!(out.stderr.matches("rl: ").count(), 1, "{}", out.stderr);
        assert!(out.stderr.contains("slirp4netns ended (signal: 9"), "{}", out.stderr);
    }

    #[test]
    fn ports_and_names_that_are_killed_are_told_once_and_the_container_goes_on() {
        if !works() {
            return;
        }
        let rl = Rl::new();
        let script = format!("{SERVER} & read x; nslookup a.example >/dev/null 2>&1 || echo no names; cat; exit 7");
        let words = ["run", "--rm", "-i", "--name=web", "--egress=allow=a.example", "-p", "[::1]::80", "busybox"];
        let mut running = rl.command(&[&words[..], &["sh", "-c", &script]].concat()).piped_stdin().spawn();
        running.wait_for_line("up");
        let address = published(&rl, "web");
        is_served(&address);
        killed(running.child_called("rl: ports"));
        running.wait_for_complaint("RL0714");
        killed(running.child_called("rl: egress"));
        running.wait_for_complaint("RL0715");
        running.type_in("\nstill there\n");
        running.wait_for_line("no names");
        running.wait_for_line("still there");
        running.close_stdin();
        let out = running.finish().fails_with(7);
        let ports = format!("rl: published ports are gone: {address}/tcp: {PORTS_ENDED}");
        // With returns: the terminal may be raw.
        assert_eq!(out.stderr, format!("{ports}\r\nrl: {NAMES_GONE}\r\n"));
    }

    #[test]
    fn what_is_killed_is_told_by_the_log_and_by_inspect() {
        if !works() {
            return;
        }
        let rl = Rl::new();
        // The port over IPv4 is slirp4netns' own, which says that it was asked for it.
        let words = ["run", "-d", "--name=web", "--egress=allow=a.example", "-p", "80", "busybox", "sh", "-c", SERVER];
        let id = rl.run(&words).success().stdout;
        let address = published(&rl, "web");
        is_served(&address);
        assert_eq!(told(&rl, "web"), "running \n");
        let mut log = followed(&rl, "web");
        killed(child_of_supervisor(&rl, &id, "rl: ports"));
        log.wait_for_complaint("RL0714");
        let ports = format!("published ports are gone: {address}/tcp: {PORTS_ENDED}");
        assert_eq!(told(&rl, "web"), format!("running {ports}\n"));
        killed(child_of_supervisor(&rl, &id, "slirp4netns"));
        log.wait_for_complaint("RL0706");
        killed(child_of_supervisor(&rl, &id, "rl: egress"));
        log.wait_for_complaint("RL0715");
        let network = "the container's network is gone: its program has ended (rl explain RL0706)";
        assert_eq!(told(&rl, "web"), format!("running {ports}; {network}; {NAMES_GONE}\n"));
        rl.run(&["rm", "-f", "-t", "0", "web"]).success();
        assert_eq!(log.finish().stderr, format!("rl: {ports}\nrl: {network}\nrl: {NAMES_GONE}\n"));
    }

    #[test]
    fn in_a_network_by_name_the_ports_that_are_gone_are_told_too() {
        if !works() {
            return;
        }
        let rl = Rl::new();
        rl.run(&["network", "create", "--internal", "inner"]).success();
        let words =
            ["run", "-d", "--name=web", "--network=inner", "-p", "127.0.0.1::80", "busybox", "sh", "-c", SERVER];
        let id = rl.run(&words).success().stdout;
        let address = published(&rl, "web");
        is_served(&address);
        let mut log = followed(&rl, "web");
        killed(child_of_supervisor(&rl, &id, "rl: ports"));
        log.wait_for_complaint(&format!("{address}/tcp: {PORTS_ENDED}"));
        rl.run(&["port", "rm", "web", &format!("{address}:80")]).success();
        rl.run(&["port", "add", "web", "127.0.0.1::80"]).success();
        is_served(&published(&rl, "web"));
        rl.run(&["rm", "-f", "-t", "0", "web"]).success();
        log.finish();
    }

    #[test]
    fn a_containers_own_end_its_stop_and_its_restart_say_nothing() {
        if !works() {
            return;
        }
        let rl = Rl::new();
        let served = ["--egress=allow=a.example", "-p", "[::1]::80", "busybox", "sh", "-c"];
        let in_background = |script: &str| {
            rl.run(&[&["run", "-d", "--name=web"][..], &served, &[script]].concat()).success();
        };
        let said_nothing = || {
            let log = rl.run(&["logs", "web"]).success();
            let error = rl.run(&["inspect", "--format", "{{.State.Error}}", "web"]).success().stdout;
            assert_eq!(log.stdout + &log.stderr + &error, "\n");
            rl.run(&["rm", "-f", "web"]).success();
        };
        for _ in 0..5 {
            let ended = rl.run(&[&["run", "--rm"][..], &served, &["exit 3"]].concat()).fails_with(3);
            assert_eq!(ended.stderr, "");
            in_background("exit 3");
            assert_eq!(rl.run(&["wait", "web"]).success().stdout, "3\n");
            said_nothing();
            in_background("trap 'exit 0' TERM; while :; do sleep 1000 & wait; done");
            rl.run(&["restart", "-t", "0", "web"]).success();
            rl.run(&["stop", "web"]).success();
            said_nothing();
        }
    }
}
