//! What a container finds: interface, address, resolver, hosts; and what is said when there can be none.

mod as_user {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    use crate::support::Rl;

    /// A program that says it is slirp4netns with a libslirp of this version.
    fn pretender(rl: &Rl, libslirp: &str) -> String {
        let path = rl.dir("programs").join("slirp4netns");
        let mut file = std::fs::File::create(&path).expect("create");
        writeln!(file, "#!/bin/sh\necho 'slirp4netns version 1.2.0'\necho 'libslirp: {libslirp}'").expect("write");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("chmod");
        path.to_string_lossy().into_owned()
    }

    fn configured(rl: &Rl, program: &str) -> String {
        let dir = rl.dir("config/rl");
        std::fs::write(dir.join("config.toml"), format!("slirp4netns = '{program}'\n")).expect("write");
        rl.dir("config").to_string_lossy().into_owned()
    }

    #[test]
    fn without_a_word_there_is_a_network_of_slirp4netns() {
        let script = "ip -o -4 addr show tap0; ip route; grep nameserver /etc/resolv.conf; cat /sys/class/net/tap0/mtu";
        let out = Rl::new().run(&["run", "--rm", "busybox", "sh", "-c", script]).success().stdout;
        assert!(out.contains("10.0.2.100/24") && out.contains("default via 10.0.2.2"), "{out}");
        assert!(out.ends_with("nameserver 10.0.2.3\n49152\n"), "{out}");
    }

    #[test]
    fn connections_to_the_network_s_program_are_not_paced() {
        const FILE: &str = "/proc/sys/net/ipv4/tcp_congestion_control";
        let host = std::fs::read_to_string(FILE).expect("the host's");
        let expected = if host == "cubic\n" { "cubic\n" } else { "reno\n" };
        let rl = Rl::new();
        assert_eq!(rl.run(&["run", "--rm", "busybox", "cat", FILE]).success().stdout, expected);
        let egress = ["run", "--rm", "--egress", "deny", "busybox", "cat", FILE];
        assert_eq!(rl.run(&egress).success().stdout, expected);
        // Whatever the user says, and where no program is between, the host's own.
        let own = format!("--sysctl=net.ipv4.tcp_congestion_control={}", host.trim());
        assert_eq!(rl.run(&["run", "--rm", &own, "busybox", "cat", FILE]).success().stdout, host);
        assert_eq!(rl.run(&["run", "--rm", "--network=none", "busybox", "cat", FILE]).success().stdout, host);
    }

    #[test]
    fn the_options_of_slirp4netns_are_obeyed() {
        let rl = Rl::new();
        let network = "slirp4netns:mtu=1400,cidr=10.77.0.0/16,enable_ipv6=false";
        let script = "ip -o -4 addr show tap0; cat /sys/class/net/tap0/mtu /etc/resolv.conf";
        let out = rl.run(&["run", "--rm", "--network", network, "busybox", "sh", "-c", script]).success().stdout;
        assert!(out.contains("10.77.0.100/16") && out.contains("\n1400\n"), "{out}");
        assert!(out.contains("nameserver 10.77.0.3\n"), "{out}");
    }

    #[test]
    fn both_loopbacks_work() {
        let script = "nc -ll -p 700 -e echo hello & for address in ::1 127.0.0.1; do n=0; \
                      until nc $address 700 2>/dev/null; do n=$((n+1)); [ $n -lt 100 ] || exit 9; usleep 20000; done; done";
        for network in ["none", "slirp4netns"] {
            let out = Rl::new().run(&["run", "--rm", "--network", network, "busybox", "sh", "-c", script]).success();
            assert_eq!(out.stdout, "hello\nhello\n", "{network}: {}", out.stderr);
        }
    }

    #[test]
    fn ping_needs_no_capability() {
        // Debian's own has a file capability, for the sake of which it can't be executed without that.
        let script = "cp /usr/bin/ping /tmp/ping && /tmp/ping -c 1 127.0.0.1 && /tmp/ping -c 1 ::1";
        let rl = Rl::with_debian();
        for user in ["0", "65534"] {
            let words =
                ["run", "--rm", "--cap-drop=all", "--tmpfs=/tmp:exec", "-u", user, "debian", "sh", "-c", script];
            rl.run(&words).success();
        }
    }

    #[test]
    fn a_program_that_is_missing_is_named_and_no_network_always_works() {
        let rl = Rl::new();
        let config = configured(&rl, "/nowhere/slirp4netns");
        let run = |words: &[&str]| rl.command(words).env("XDG_CONFIG_HOME", &config).output();
        let out = run(&["run", "--rm", "busybox", "true"]).fails_with(125);
        assert!(out.stderr.contains("/nowhere/slirp4netns") && out.stderr.contains("RL0701"), "{}", out.stderr);
        assert!(out.stderr.contains("--network=none"), "{}", out.stderr);
        run(&["run", "--rm", "--network=none", "busybox", "true"]).success();
    }

    #[test]
    fn a_device_that_is_missing_is_named_and_no_network_always_works() {
        crate::lab::inside("basics::body::a_device_that_is_missing_is_named_and_no_network_always_works");
    }

    #[test]
    fn a_container_whose_name_resolves_to_itself() {
        let rl = Rl::new();
        let words = [
            "run",
            "--rm",
            "--name",
            "web",
            "-h",
            "box",
            "--add-host",
            "other:192.0.2.9",
            "busybox",
            "cat",
            "/etc/hosts",
        ];
        let out = rl.run(&words).success().stdout;
        assert!(out.contains("10.0.2.100\tbox web\n") && out.contains("192.0.2.9\tother\n"), "{out}");
    }

    #[test]
    fn what_is_asked_of_the_resolver_is_in_resolv_conf() {
        let flags = ["--dns=192.0.2.53", "--dns=2001:db8::53", "--dns-search=a.example", "--dns-option=ndots:3"];
        let words = [&["run", "--rm"][..], &flags, &["busybox", "cat", "/etc/resolv.conf"]].concat();
        let out = Rl::new().run(&words).success().stdout;
        assert_eq!(out, "search a.example\noptions ndots:3\nnameserver 192.0.2.53\nnameserver 2001:db8::53\n");
    }

    #[test]
    fn the_image_keeps_its_resolv_conf_where_that_is_asked_for() {
        let rl = Rl::new();
        let look = "test -e /etc/resolv.conf || echo none; cat /etc/hosts";
        let out = rl.run(&["run", "--rm", "--dns=none", "busybox", "sh", "-c", look]).success().stdout;
        assert!(out.starts_with("none\n127.0.0.1\tlocalhost\n"), "{out}");
        for more in ["--dns=192.0.2.53", "--dns-search=lab.example", "--dns-option=ndots:2", "--egress=deny"] {
            let refused = rl.run(&["run", "--rm", "--dns=none", more, "busybox", "true"]).fails_with(125).stderr;
            assert!(refused.contains("RL0102"), "{more}: {refused}");
        }
    }

    #[test]
    fn proxies_are_passed_only_when_that_is_asked_for() {
        let rl = Rl::new();
        let seen = |words: &[&str]| {
            let words = [&["run", "--rm", "--network=none"][..], words, &["busybox", "env"]].concat();
            let line = rl.command(&words).env("https_proxy", "http://u:secret@proxy:1").env("NO_PROXY", "local");
            line.output().success().stdout
        };
        let without = seen(&[]);
        assert!(!without.contains("secret") && !without.contains("NO_PROXY"), "{without}");
        let with = seen(&["--http-proxy", "-e", "NO_PROXY=mine"]);
        assert!(with.contains("https_proxy=http://u:secret@proxy:1\n") && with.contains("NO_PROXY=mine\n"), "{with}");
    }

    #[test]
    fn a_network_that_is_another_containers_is_the_very_same() {
        let rl = Rl::new();
        let flags = ["run", "--rm", "-i", "--name", "first", "--add-host", "known:192.0.2.7"];
        let mut first = rl.command(&[&flags[..], &["busybox", "sh", "-c", "echo up; cat"]].concat());
        first = first.piped_stdin();
        let mut first = first.spawn();
        first.wait_for_line("up");
        let look = "readlink /proc/self/ns/net; ip -o -4 addr show tap0; cat /etc/resolv.conf /etc/hosts";
        let out =
            rl.run(&["run", "--rm", "--network", "container:first", "busybox", "sh", "-c", look]).success().stdout;
        assert!(out.contains("10.0.2.100/") && out.contains("nameserver 10.0.2.3"), "{out}");
        let names = out.contains("192.0.2.7\tknown\n") && out.contains(" first\n") && out.contains("127.0.1.1\t");
        assert!(names, "its names, and an own one: {out}");
        let missing = rl.run(&["run", "--rm", "--network", "container:nobody", "busybox", "true"]).fails_with(125);
        assert!(missing.stderr.contains("nobody"), "{}", missing.stderr);
        first.close_stdin();
        first.finish().success();
    }

    #[test]
    fn a_libslirp_with_known_holes_is_refused() {
        let rl = Rl::new();
        let config = configured(&rl, &pretender(&rl, "4.5.0"));
        let out =
            rl.command(&["run", "--rm", "busybox", "true"]).env("XDG_CONFIG_HOME", &config).output().fails_with(125);
        assert!(out.stderr.contains("libslirp 4.5.0") && out.stderr.contains("RL0703"), "{}", out.stderr);
    }

    #[test]
    fn a_program_that_gives_up_is_quoted() {
        let rl = Rl::new();
        let path = rl.dir("programs").join("slirp4netns");
        let text = "#!/bin/sh\n[ \"$1\" != --version ] || { echo 'slirp4netns version 1.2.0'; echo 'libslirp: 4.7.0'; \
                    echo 'libseccomp: 2.5'; exit; }\necho 'the moon is wrong' >&2; exit 3\n";
        std::fs::write(&path, text).expect("write");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("chmod");
        let config = configured(&rl, &path.to_string_lossy());
        let out =
            rl.command(&["run", "--rm", "busybox", "true"]).env("XDG_CONFIG_HOME", &config).output().fails_with(125);
        assert!(out.stderr.contains("the moon is wrong; exit status: 3"), "{}", out.stderr);
        assert!(
            rl.runroot().join("containers").read_dir().is_ok_and(|mut all| all.next().is_none()),
            "nothing is left"
        );
    }
}

mod body {
    use crate::lab::run;
    use crate::support::Rl;

    #[test]
    #[ignore = "a body"]
    fn a_device_that_is_missing_is_named_and_no_network_always_works() {
        let rl = Rl::new();
        let ask = |network: &str| rl.run(&["run", "--rm", "--network", network, "busybox", "echo", "started"]);
        assert_eq!(ask("slirp4netns").success().stdout, "started\n", "the device is there");
        run("mount -t tmpfs none /dev/net");
        for network in ["slirp4netns", "pasta"] {
            let out = ask(network).fails_with(125);
            assert!(out.stdout.is_empty() && out.stderr.contains("RL0702"), "{network}: {}", out.stderr);
            assert!(out.stderr.contains("/dev/net/tun") && out.stderr.contains("modprobe tun"), "{}", out.stderr);
            assert!(out.stderr.contains("--network=none"), "{network}: {}", out.stderr);
        }
        assert_eq!(ask("none").success().stdout, "started\n");
    }
}
