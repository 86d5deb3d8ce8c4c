//! What is the container's own.

mod everywhere {
    use crate::support::Rl;

    #[test]
    fn it_has_its_own_pid_1_hostname_and_processes() {
        let out =
            Rl::new().run(&["run", "--rm", "busybox", "sh", "-c", "echo $$; uname -n; ps -o pid,args; true"]).success();
        let lines: Vec<_> = out.stdout.lines().collect();
        assert_eq!(lines[0], "1");
        assert_ne!(lines[1], nix::unistd::gethostname().expect("hostname").to_string_lossy());
        // The shell and ps, which is a child of it.
        assert_eq!(lines[3..].len(), 2, "only its own processes: {}", out.stdout);
    }

    #[test]
    fn the_hostname_is_obeyed_in_uname_and_etc() {
        let script = "uname -n; cat /etc/hostname; grep -c flour /etc/hosts";
        let out = Rl::new().run(&["run", "--rm", "--hostname", "flour", "busybox", "sh", "-c", script]).success();
        assert_eq!(out.stdout, "flour\nflour\n1\n");
    }

    #[test]
    fn the_hosts_name_stays_when_uts_is_the_hosts() {
        let out = Rl::new().run(&["run", "--rm", "--uts=host", "busybox", "uname", "-n"]).success();
        assert_eq!(out.stdout.trim(), nix::unistd::gethostname().expect("hostname").to_string_lossy());
    }

    #[test]
    fn without_a_network_there_is_only_a_loopback_that_works() {
        let script = "ls /sys/class/net; ping -c 1 -w 3 127.0.0.1 >/dev/null 2>&1 || nc -z -w 1 127.0.0.1 1; ip -o addr show lo | grep -c 127.0.0.1";
        let out = Rl::new().run(&["run", "--rm", "--network=none", "busybox", "sh", "-c", script]);
        assert!(out.stdout.starts_with("lo\n"), "{}", out.stdout);
        assert!(out.stdout.ends_with("1\n"), "{}", out.stdout);
    }

    #[test]
    fn each_namespace_differs_from_the_callers() {
        let rl = Rl::new();
        let script = "for n in user mnt uts ipc pid net cgroup; do readlink /proc/self/ns/$n; done";
        let inside = rl.run(&["run", "--rm", "busybox", "sh", "-c", script]).success().stdout;
        for (name, link) in ["user", "mnt", "uts", "ipc", "pid", "net", "cgroup"].iter().zip(inside.lines()) {
            let own = std::fs::read_link(format!("/proc/self/ns/{name}")).expect(name);
            assert_ne!(own.to_string_lossy(), link, "{name}");
        }
    }

    #[test]
    fn shared_namespaces_are_the_hosts_very_own() {
        let rl = Rl::new();
        for (flag, name) in
            [("--pid=host", "pid"), ("--ipc=host", "ipc"), ("--uts=host", "uts"), ("--network=host", "net")]
        {
            let out = rl.run(&["run", "--rm", flag, "busybox", "readlink", &format!("/proc/self/ns/{name}")]).success();
            let own = std::fs::read_link(format!("/proc/self/ns/{name}")).expect(name);
            assert_eq!(own.to_string_lossy(), out.stdout.trim(), "{flag}");
        }
    }

    #[test]
    fn system_v_and_posix_queues_stay_inside() {
        let rl = Rl::new();
        let posix = "touch /dev/mqueue/of-the-first; ls /dev/mqueue";
        assert_eq!(rl.run(&["run", "--rm", "busybox", "sh", "-c", posix]).success().stdout, "of-the-first\n");
        assert_eq!(rl.run(&["run", "--rm", "busybox", "ls", "/dev/mqueue"]).success().stdout, "");
        let made = rl.run(&["run", "--rm", "busybox", "sh", "-c", "ipcs -q | grep -c '^0x' || true"]).success();
        assert_eq!(made.stdout.trim(), "0");
    }

    #[test]
    fn a_time_namespace_shifts_the_clock_of_the_boot() {
        let out = Rl::new().run(&["run", "--rm", "--timens=0:1000000", "busybox", "cat", "/proc/uptime"]).success();
        let uptime: f64 = out.stdout.split(' ').next().and_then(|word| word.parse().ok()).expect("a number");
        assert!(uptime >= 1_000_000.0, "{uptime}");
    }
}
