//! The attacks on the network (rows 27 to 29 of the table): the host's loopback, the helpers, what others see of them.

mod as_user {
    use std::io::Write;
    use std::net::TcpListener;

    use crate::support::{Rl, Running, eventually};

    /// A listener of the host's loopback that gives its secret to everybody.
    fn secret(address: &str) -> u16 {
        let listener = TcpListener::bind(address).expect(address);
        let port = listener.local_addr().expect("an address").port();
        std::thread::spawn(move || {
            while let Ok((mut client, _)) = listener.accept() {
                let _ = client.write_all(b"secret");
            }
        });
        port
    }

    fn up(rl: &Rl, flags: &[&str]) -> Running {
        let words = [&["run", "--rm", "-i"][..], flags, &["busybox", "sh", "-c", "echo up; cat"]].concat();
        let mut running = rl.command(&words).piped_stdin().spawn();
        running.wait_for_line("up");
        running
    }

    #[test]
    fn the_hosts_loopback_cannot_be_reached_by_any_address_of_the_network() {
        let (four, six) = (secret("127.0.0.1:0"), secret("[::1]:0"));
        let gateways = "$(ip route | sed -n 's/^default via \\([^ ]*\\).*/\\1/p') 10.0.2.2 10.0.2.3 127.0.0.1 169.254.1.1 \
                        ::1 fd00::2 fd00::3 fe80::2%tap0 $(ip -6 route | sed -n 's/^default via \\([^ ]*\\).*/\\1/p')";
        let script = format!(
            "usleep 300000; for address in {gateways}; do for port in {four} {six}; do \
             nc -w 1 $address $port </dev/null 2>/dev/null; done; done; echo done"
        );
        for network in ["slirp4netns", "pasta"] {
            let out = Rl::new().run(&["run", "--rm", "--network", network, "busybox", "sh", "-c", &script]);
            assert_eq!(out.success().stdout, "done\n", "{network}");
        }
    }

    #[test]
    fn the_hosts_loopback_is_there_where_it_is_asked_for() {
        let port = secret("127.0.0.1:0").to_string();
        let network = "--network=slirp4netns:allow_host_loopback=true";
        let out = Rl::new().run(&["run", "--rm", network, "busybox", "nc", "10.0.2.2", &port]).success();
        assert_eq!(out.stdout, "secret");
    }

    #[test]
    fn the_helpers_have_no_rights_and_a_filter() {
        for (network, name) in [("slirp4netns", "slirp4netns"), ("pasta", "pasta")] {
            let rl = Rl::new();
            let mut running = up(&rl, &["--network", network]);
            // A container does not wait for its helper, which sets these itself before it carries a packet.
            let helper = running.child_called(name);
            eventually(&format!("{name} has no rights and a filter"), || {
                let status = std::fs::read_to_string(format!("/proc/{helper}/status")).expect("its status");
                status.contains("NoNewPrivs:\t1\n") && status.contains("Seccomp:\t2\n")
            });
            running.close_stdin();
            running.finish().success();
        }
    }

    #[test]
    fn no_socket_and_no_file_of_the_network_is_visible_inside() {
        let rl = Rl::new();
        let script = "find / -xdev \\( -type s -o -name network.json -o -name ports -o -name slirp4netns \\) 2>/dev/null; \
                      cat /proc/net/unix | wc -l; ls /proc/self/fd | wc -l; set -- /proc/[0-9]*; echo $#";
        let words = ["run", "--rm", "-p", "127.0.0.1::80", "-p", "[::1]::80", "busybox", "sh", "-c", script];
        let out = rl.run(&words).success().stdout;
        let mut lines = out.lines();
        // No socket; the headline alone; stdin, stdout, stderr and the listing's own.
        assert_eq!((lines.next(), lines.next()), (Some("1"), Some("4")), "{out}");
        // The shell, which counts itself: a pipe's commands need not all be there when the first of them looks.
        assert_eq!(lines.next(), Some("1"), "{out}");
    }

    #[test]
    fn nothing_of_the_containers_environment_is_in_a_helpers_command_line() {
        let rl = Rl::new();
        // This run's own: the same test of another user may be at work beside it.
        let secret = format!("hunter2-{}", std::process::id());
        let token = format!("TOKEN={secret}");
        let mut running = up(&rl, &["-e", &token, "-p", "127.0.0.1::80", "-p", "[::1]::80"]);
        // rl itself was given it in its own arguments, by whoever typed it; no other process may keep it.
        let own = running.pid().to_string();
        let leaks = || -> Vec<_> {
            let all = std::fs::read_dir("/proc").expect("processes").flatten();
            let lines = all.filter(|entry| entry.file_name().to_string_lossy() != *own).filter_map(|entry| {
                let line = std::fs::read(entry.path().join("cmdline")).ok()?;
                Some((entry.path(), String::from_utf8_lossy(&line).into_owned()))
            });
            lines.filter(|(_, line)| line.contains(&secret)).collect()
        };
        // A process that was just forked has its parent's, which shows the same, until it has written its own over that.
        let kept = (0..250).find(|_| leaks().is_empty()).is_none();
        assert!(!kept, "{:?}", leaks());
        running.close_stdin();
        running.finish().success();
    }

    #[test]
    fn no_word_of_the_network_brings_an_escape_to_the_terminal() {
        let rl = Rl::new();
        for words in [
            ["run", "--network=\u{1b}[31mred", "busybox"],
            ["run", "--publish=\u{1b}]52;c;x\u{7}", "busybox"],
            ["run", "--add-host=a\rb:\u{1b}[2J", "busybox"],
            ["run", "--network=container:\u{1b}[31m", "busybox"],
            ["port", "\u{1b}[31m", "80:x"],
        ] {
            let out = rl.run(&words);
            assert!(!out.status.success(), "{words:?}");
            let raw = out.stderr.chars().find(|c| c.is_control() && *c != '\n');
            assert!(raw.is_none(), "{words:?}: {:?}", out.stderr);
        }
    }
}
