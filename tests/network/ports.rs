//! Published ports: who reaches the container, and what is said when a port can't be had.

pub use self::as_user::asked;

mod as_user {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsFd;
    use std::process::Command;
    use std::time::Duration;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::sys::signal::{Signal, kill};

    use crate::lab::heard;
    use crate::support::{Rl, Running, missing};

    /// Answers everybody with this line, over TCP.
    const TCP: &str = "echo up; exec nc -ll -p 80 -e echo hello";
    /// Sends every datagram back, over UDP.
    const UDP: &str = "use Socket; $|=1; socket(S,PF_INET,SOCK_DGRAM,0); bind(S,pack_sockaddr_in(53,INADDR_ANY)) or die; \
                       print qq(up\\n); while ($from = recv(S,$x,9999,0)) { send(S,$x,0,$from) }";

    fn free_port() -> u16 {
        TcpListener::bind("127.0.0.1:0").expect("a listener").local_addr().expect("an address").port()
    }

    fn web(rl: &Rl, flags: &[&str]) -> Running {
        let words = [&["run", "--rm"][..], flags, &["busybox", "sh", "-c", TCP]].concat();
        let mut running = rl.command(&words).spawn();
        running.wait_for_line("up");
        running
    }

    /// What the container says there. `up` is said before the server listens: the first tries may be refused.
    pub fn asked(address: &str) -> String {
        for _ in 0..200 {
            if let Ok(stream) = TcpStream::connect(address) {
                let text = heard(stream);
                if !text.is_empty() {
                    return text;
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("nobody answers at {address}");
    }

    fn ended(running: Running) {
        kill(running.pid(), Signal::SIGKILL).expect("kill");
        running.finish();
    }

    fn is_free(address: SocketAddr) -> bool {
        for _ in 0..200 {
            if TcpListener::bind(address).is_ok() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    #[test]
    fn a_port_leads_in_over_ipv4_and_ipv6_and_is_free_after_a_kill() {
        let (rl, port) = (Rl::new(), free_port());
        let running = web(&rl, &["--name", "web", "-p", &format!("{port}:80")]);
        assert_eq!(asked(&format!("127.0.0.1:{port}")), "hello\n");
        assert_eq!(asked(&format!("[::1]:{port}")), "hello\n");
        let listed = rl.run(&["port", "web"]).success().stdout;
        assert_eq!(listed, format!("80/tcp -> 0.0.0.0:{port}\n80/tcp -> [::]:{port}\n"));
        ended(running);
        assert!(is_free(([127, 0, 0, 1], port).into()) && is_free((std::net::Ipv6Addr::LOCALHOST, port).into()));
    }

    #[test]
    fn a_web_server_is_asked_by_curl_over_ipv4_and_ipv6() {
        if Command::new("curl").arg("--version").output().is_err() && !missing("curl") {
            return;
        }
        let serve = "mkdir /srv; echo a page >/srv/index.html; echo up; exec httpd -f -p 80 -h /srv";
        for network in ["slirp4netns", "pasta"] {
            let (rl, port) = (Rl::new(), free_port());
            let publish = format!("{port}:80");
            let words = ["run", "--rm", "--network", network, "-p", &publish, "busybox", "sh", "-c", serve];
            let mut running = rl.command(&words).spawn();
            running.wait_for_line("up");
            for url in [format!("http://127.0.0.1:{port}/"), format!("http://[::1]:{port}/")] {
                // `up` is said before it listens: a first answer may be none.
                let retry = ["--retry", "100", "--retry-delay", "1", "--retry-all-errors", "--max-time", "30"];
                let line = ["-gsS", "--noproxy", "*"].iter().chain(&retry).copied().chain([url.as_str()]);
                let out = Command::new("curl").args(line).output().expect("curl");
                let said = String::from_utf8_lossy(&out.stderr);
                assert_eq!(String::from_utf8_lossy(&out.stdout), "a page\n", "{network} {url}: {said}");
            }
            ended(running);
        }
    }

    /// Whether a process that was alive when `watched` was opened ends; the kernel takes its time with its interface.
    fn ends(watched: &impl AsFd) -> bool {
        poll(&mut [PollFd::new(watched.as_fd(), PollFlags::POLLIN)], PollTimeout::from(30_000_u16)) == Ok(1)
    }

    #[test]
    fn a_network_without_ports_ends_behind_its_container_and_nothing_is_left() {
        for network in ["slirp4netns", "pasta"] {
            let rl = Rl::new();
            let words = ["run", "--rm", "-i", "--network", network, "busybox", "sh", "-c", "echo up; cat"];
            let mut running = rl.command(&words).piped_stdin().spawn();
            running.wait_for_line("up");
            let carrier = rl::sys::child::open_pidfd(running.child_called(network)).expect("a pidfd");
            running.close_stdin();
            running.finish().success();
            assert!(ends(&carrier), "{network}");
        }
    }

    #[test]
    fn a_port_is_free_when_its_run_has_ended_also_one_that_was_added() {
        for network in ["slirp4netns", "pasta"] {
            let (rl, port, added) = (Rl::new(), free_port(), free_port());
            let publish = format!("127.0.0.1:{port}:80");
            let network = format!("--network={network}");
            let flags: &[&str] =
                if network.ends_with("slirp4netns") { &[&network] } else { &[&network, "-p", &publish] };
            let words =
                [&["run", "--rm", "-i", "--name=web"], flags, &["busybox", "sh", "-c", "echo up; cat"]].concat();
            let mut running = rl.command(&words).piped_stdin().spawn();
            running.wait_for_line("up");
            rl.run(&["port", "add", "web", &format!("127.0.0.1:{added}:80")]).success();
            running.close_stdin();
            running.finish().success();
            // Once, without a second try.
            for port in [port, added] {
                TcpListener::bind(("127.0.0.1", port)).unwrap_or_else(|error| panic!("{network} {port}: {error}"));
            }
        }
    }

    #[test]
    fn datagrams_find_their_way_in_and_back_in_both_families() {
        let (rl, port) = (Rl::with_debian(), free_port());
        let publish = format!("{port}:53/udp");
        let mut running = rl.command(&["run", "--rm", "-p", &publish, "debian", "perl", "-e", UDP]).spawn();
        running.wait_for_line("up");
        for own in ["127.0.0.1:0", "[::1]:0"] {
            let socket = UdpSocket::bind(own).expect("a socket");
            let to = SocketAddr::new(socket.local_addr().expect("an address").ip(), port);
            socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
            for text in ["ping", "and again"] {
                socket.send_to(text.as_bytes(), to).expect("send");
                let mut answer = [0; 64];
                let (count, from) = socket.recv_from(&mut answer).expect("an answer");
                assert_eq!((&answer[..count], from), (text.as_bytes(), to), "{own}");
            }
        }
        ended(running);
    }

    #[test]
    fn a_megabyte_goes_both_ways_whole_and_ends_are_passed_on() {
        let (rl, port) = (Rl::new(), free_port());
        let publish = format!("{port}:80");
        // It stays: what slirp4netns has not passed on yet when the container ends, ends with it.
        let server = "echo up; nc -l -p 80 -e cat; cat";
        let words = ["run", "--rm", "-i", "-p", &publish, "busybox", "sh", "-c", server];
        for address in [format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
            let mut running = rl.command(&words).piped_stdin().spawn();
            running.wait_for_line("up");
            let sent: Vec<u8> = (0..1_000_000_u32).map(|number| number.to_le_bytes()[0]).collect();
            let mut stream = connected(&address);
            let mut reader = stream.try_clone().expect("clone");
            let back = std::thread::spawn(move || {
                let mut text = Vec::new();
                reader.read_to_end(&mut text).map(|_| text)
            });
            stream.write_all(&sent).expect("write");
            stream.shutdown(std::net::Shutdown::Write).expect("shutdown");
            assert!(back.join().expect("join").expect("read") == sent, "{address}");
            running.close_stdin();
            running.finish().success();
        }
    }

    /// Connected to the container's server, which may not listen yet: then the connection ends at once.
    fn connected(address: &str) -> TcpStream {
        for _ in 0..200 {
            if let Ok(stream) = TcpStream::connect(address) {
                stream.set_read_timeout(Some(Duration::from_millis(100))).expect("a time limit");
                let open =
                    matches!(stream.peek(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
                if open {
                    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
                    return stream;
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("nobody lets us in at {address}");
    }

    #[test]
    fn ranges_and_exposed_ports_are_published() {
        let rl = Rl::empty();
        let archive = crate::support::archive("busybox.tar");
        let image = ["import", "-q", "-c", "EXPOSE 80", "-c", "EXPOSE 53/udp", &archive.to_string_lossy(), "exposing"];
        rl.run(&image).success();
        let first = (20000 + u16::try_from(std::process::id() % 20000).expect("small")) & !7;
        let range = format!("127.0.0.1:{first}-{}:90-92", first + 2);
        let flags = ["run", "--rm", "--name", "all", "-P", "--expose", "70-71/udp", "--expose", "80", "-p", &range];
        let words = [&flags[..], &["-i", "exposing", "sh", "-c", "echo up; cat"]].concat();
        let mut running = rl.command(&words).piped_stdin().spawn();
        running.wait_for_line("up");
        let listed = rl.run(&["port", "all"]).success().stdout;
        for offset in 0..3 {
            assert!(listed.contains(&format!("{}/tcp -> 127.0.0.1:{}\n", 90 + offset, first + offset)), "{listed}");
        }
        for port in ["80/tcp", "53/udp", "70/udp", "71/udp"] {
            assert_eq!(listed.matches(&format!("{port} -> 0.0.0.0:")).count(), 1, "{port}: {listed}");
        }
        let one = rl.run(&["port", "all", "91"]).success().stdout;
        assert_eq!(one, format!("127.0.0.1:{}\n", first + 1));
        assert!(rl.run(&["port", "all", "91/udp"]).fails_with(1).stderr.contains("91/udp"));
        running.close_stdin();
        running.finish().success();
    }

    #[test]
    fn a_port_in_use_is_found_before_anything_starts_and_its_holder_named() {
        let rl = Rl::new();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let port = listener.local_addr().expect("an address").port();
        for publish in [format!("127.0.0.1:{port}:80"), format!("{port}:80")] {
            let out = rl.run(&["run", "--rm", "-p", &publish, "busybox", "echo", "started"]).fails_with(125);
            assert!(out.stdout.is_empty() && out.stderr.contains("RL0705"), "{}", out.stderr);
            assert!(out.stderr.contains(&format!("(process {})", std::process::id())), "{}", out.stderr);
            assert!(out.stderr.contains(&port.to_string()), "{}", out.stderr);
        }
    }

    #[test]
    fn a_port_for_root_names_the_sysctl() {
        let start = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").expect("the sysctl");
        if start.trim() == "0" {
            return;
        }
        let out = Rl::new().run(&["run", "--rm", "-p", "127.0.0.1:1:80", "busybox", "true"]).fails_with(125);
        assert!(out.stderr.contains("ip_unprivileged_port_start=1"), "{}", out.stderr);
    }

    #[test]
    fn ports_are_added_and_withdrawn_while_it_runs() {
        let rl = Rl::with_debian();
        let running = web(&rl, &["--name", "web"]);
        assert_eq!(rl.run(&["port", "web"]).success().stdout, "");
        let (four, six) = (free_port(), free_port());
        let (four_word, six_word) = (format!("127.0.0.1:{four}:80"), format!("[::1]:{six}:80"));
        let added = rl.run(&["port", "add", "web", &four_word]).success().stdout;
        assert_eq!(added, format!("80/tcp -> 127.0.0.1:{four}\n"));
        rl.run(&["port", "add", "web", &six_word]).success();
        // The second one of the same kind, for which there is a forwarder already.
        let more = free_port();
        rl.run(&["port", "add", "web", &format!("[::1]:{more}:80")]).success();
        let addresses = [format!("127.0.0.1:{four}"), format!("[::1]:{six}"), format!("[::1]:{more}")];
        for address in &addresses {
            assert_eq!(asked(address), "hello\n", "{address}");
        }
        rl.run(&["port", "add", "web", &four_word]).fails_with(125);
        rl.run(&["port", "rm", "web", &four_word, &six_word]).success();
        assert!(
            is_free(addresses[0].parse().expect("an address")) && is_free(addresses[1].parse().expect("an address"))
        );
        assert_eq!(asked(&addresses[2]), "hello\n");
        let more_word = format!("[::1]:{more}:80");
        let refused = rl.run(&["port", "rm", "web", &more_word, &four_word]).fails_with(125).stderr;
        assert!(refused.contains("RL0707") && refused.contains(&four_word), "{refused}");
        assert_eq!(asked(&addresses[2]), "hello\n", "none is withdrawn where one is not there");
        ended(running);
        assert!(is_free(addresses[2].parse().expect("an address")), "what was added ends with the container");
    }

    #[test]
    fn a_port_whose_forwarder_was_killed_can_be_withdrawn_and_had_again() {
        let (rl, port) = (Rl::new(), free_port());
        let word = format!("[::1]:{port}:80");
        let running = web(&rl, &["--name", "web", "-p", &word]);
        assert_eq!(asked(&format!("[::1]:{port}")), "hello\n");
        kill(running.child_called("rl: ports"), Signal::SIGKILL).expect("kill");
        assert!(is_free((std::net::Ipv6Addr::LOCALHOST, port).into()));
        // With a forwarder that does not know it, and then with the same word once more.
        rl.run(&["port", "add", "web", &format!("[::1]:{}:80", free_port())]).success();
        rl.run(&["port", "rm", "web", &word]).success();
        rl.run(&["port", "add", "web", &word]).success();
        assert_eq!(asked(&format!("[::1]:{port}")), "hello\n");
        ended(running);
    }

    #[test]
    fn a_detached_container_keeps_its_network_and_gives_its_ports_back() {
        let (rl, four) = (Rl::new(), free_port());
        for network in ["slirp4netns", "pasta"] {
            let publish = format!("{four}:80");
            let words =
                ["run", "-d", "--name", "web", "--network", network, "-p", &publish, "busybox", "sh", "-c", TCP];
            rl.run(&words).success();
            for _ in 0..2 {
                assert_eq!(asked(&format!("127.0.0.1:{four}")), "hello\n", "{network}");
                assert_eq!(asked(&format!("[::1]:{four}")), "hello\n", "{network}");
                rl.run(&["restart", "-t", "0", "web"]).success();
            }
            rl.run(&["rm", "-f", "web"]).success();
            assert!(is_free(([127, 0, 0, 1], four).into()), "{network}");
        }
    }

    #[test]
    fn pasta_publishes_too() {
        let (rl, port) = (Rl::new(), free_port());
        let running = web(&rl, &["--network=pasta", "-p", &format!("{port}:80")]);
        assert_eq!(asked(&format!("127.0.0.1:{port}")), "hello\n");
        assert_eq!(asked(&format!("[::1]:{port}")), "hello\n");
        ended(running);
        assert!(is_free(([127, 0, 0, 1], port).into()));
    }

    #[test]
    fn a_hundred_containers_publish_at_once() {
        let rl = Rl::new();
        let words = ["run", "--rm", "-p", "127.0.0.1::80", "busybox", "sh", "-c", TCP];
        let mut all: Vec<_> = (0..100).map(|_| rl.command(&words).spawn()).collect();
        all.iter_mut().for_each(|running| running.wait_for_line("up"));
        let mut ports = Vec::new();
        for entry in std::fs::read_dir(rl.runroot().join("containers")).expect("the containers").flatten() {
            let text = std::fs::read_to_string(entry.path().join("network.json")).expect("its network");
            let record: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            ports.push(record["ports"][0]["host"].as_str().expect("an address").to_owned());
        }
        ports.sort();
        ports.dedup();
        assert_eq!(ports.len(), 100);
        for address in &ports {
            assert_eq!(asked(address), "hello\n", "{address}");
        }
        for running in &all {
            kill(running.pid(), Signal::SIGKILL).expect("kill");
        }
        for running in all {
            running.finish();
        }
        for address in &ports {
            assert!(is_free(address.parse().expect("an address")), "{address}");
        }
    }
}
