//! Names of networks by name: who finds whom, from when on, and through all that happens beside it.

mod as_user {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    use crate::networks::{holder, up, works};
    use crate::support::Rl;

    /// Sleeps until its stdin is closed.
    const IDLE: &str = "echo up; cat";

    /// What a container is told of a name: its addresses, or nothing.
    fn addresses(rl: &Rl, container: &str, name: &str) -> String {
        let look = format!("nslookup -type=a {name} 2>/dev/null | sed -n 's/^Address: //p' | sort | paste -s -d ' ' -");
        rl.run(&["exec", container, "sh", "-c", &look]).success().stdout.trim().to_owned()
    }

    fn network(rl: &Rl, name: &str, third: u8) {
        rl.run(&["network", "create", &format!("--subnet=10.78.{third}.0/24"), name]).success();
    }

    /// The process that answers for a network's names.
    fn names(rl: &Rl, network: &str) -> Pid {
        let holder = holder(rl, network);
        let children = std::fs::read_to_string(format!("/proc/{holder}/task/{holder}/children")).expect("children");
        let mut all = children.split_ascii_whitespace();
        let called = |pid: &&str| {
            std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|words| words.starts_with(b"rl: names"))
        };
        Pid::from_raw(all.find(called).expect("rl: names").parse().expect("a pid"))
    }

    #[test]
    fn a_container_of_several_networks_finds_the_names_of_all_and_nobody_else_does() {
        if !works() {
            return;
        }
        let rl = Rl::new();
        network(&rl, "one", 1);
        network(&rl, "two", 2);
        let first = up(&rl, &["--name=first", "--network=one", "--network-alias=uno"], IDLE);
        let second = up(&rl, &["--name=second", "--network=two"], IDLE);
        let both = up(&rl, &["--name=both", "--network=one", "--network=two"], IDLE);
        for name in ["first", "uno", "FIRST", "first.dns.podman"] {
            assert_eq!(addresses(&rl, "both", name), "10.78.1.2", "{name}");
        }
        assert_eq!(addresses(&rl, "both", "second"), "10.78.2.2");
        assert_eq!(addresses(&rl, "both", "both"), "10.78.1.3 10.78.2.3");
        // Each alone hears of whom it can reach, and of nobody behind the one that both share.
        assert_eq!(addresses(&rl, "first", "both"), "10.78.1.3");
        assert_eq!(addresses(&rl, "first", "second"), "");
        assert_eq!(addresses(&rl, "second", "both"), "10.78.2.3");
        assert_eq!(addresses(&rl, "second", "first"), "");
        for mut running in [first, second, both] {
            running.close_stdin();
            running.finish().success();
        }
    }

    #[test]
    fn a_name_is_known_when_its_container_has_joined_and_gone_with_it() {
        if !works() {
            return;
        }
        let rl = Rl::new();
        network(&rl, "web", 3);
        let asking = up(&rl, &["--name=asking", "--network=web"], IDLE);
        for _ in 0..3 {
            rl.run(&["run", "-d", "--name=late", "--network=web", "busybox", "sleep", "1000"]).success();
            assert_eq!(addresses(&rl, "asking", "late"), "10.78.3.3");
            rl.run(&["rm", "-f", "-t", "0", "late"]).success();
            assert_eq!(addresses(&rl, "asking", "late"), "");
        }
        let mut asking = asking;
        asking.close_stdin();
        asking.finish().success();
    }

    #[test]
    fn who_asks_is_answered_while_others_join_and_leave() {
        if !works() {
            return;
        }
        let rl = Rl::with_debian();
        network(&rl, "web", 4);
        // Each question on its own, sent once: the C library would ask again, and hide one that was lost.
        let script = r#"use Socket; $| = 1;
            my $question = pack("n6", 7, 0x100, 1, 0, 0, 0) . pack("C/a C/a", "asking", "") . pack("n2", 1, 1);
            my ($asked, $lost) = (0, 0);
            my $stdin = ""; vec($stdin, 0, 1) = 1;
            until (select(my $closed = $stdin, undef, undef, 0)) {
                socket(my $s, PF_INET, SOCK_DGRAM, 0) or die; connect($s, sockaddr_in(53, inet_aton("10.78.4.1"))) or die;
                send($s, $question, 0); my $set = ""; vec($set, fileno($s), 1) = 1;
                my $heard = select($set, undef, undef, 10) && recv($s, my $answer, 512, 0);
                $asked++; $lost++ unless defined $heard && $answer =~ /\x0a\x4e\x04\x02$/s; print "up\n" if $asked == 1;
            }
            print $asked > 100 ? "asked" : "asked $asked times", ", lost $lost\n";"#;
        let words = ["run", "--rm", "-i", "--name=asking", "--network=web", "debian", "perl", "-e", script];
        let mut asking = rl.command(&words).piped_stdin().spawn();
        asking.wait_for_line("up");
        for _ in 0..3 {
            let joined: Vec<_> = (0..4).map(|_| up(&rl, &["--network=web"], IDLE)).collect();
            for mut running in joined {
                running.close_stdin();
                running.finish().success();
            }
        }
        asking.close_stdin();
        let out = asking.finish().success().stdout;
        assert!(out.ends_with("\nasked, lost 0\n"), "{out}");
    }

    #[test]
    fn names_are_answered_over_tcp_as_well_and_to_who_asks_with_edns() {
        if !works() {
            return;
        }
        let rl = Rl::with_debian();
        rl.run(&["network", "create", "--ipv6", "--subnet=10.78.10.0/24", "--subnet=fd78:10::/64", "web"]).success();
        let mut first = up(&rl, &["--name=first", "--network=web"], IDLE);
        // Two questions on one connection, the second with EDNS (1232 bytes); each answer's id, code, addresses and whether it has EDNS.
        let script = r#"use IO::Socket::IP;
            for my $server ("10.78.10.1", "fd78:10::1") {
                my $s = IO::Socket::IP->new(PeerHost => $server, PeerPort => 53, Proto => "tcp") or die "$server: $@";
                my $asked = pack("C/a C/a", "first", "") . pack("n2", 1, 1);
                my $opt = pack("C n2 N n", 0, 41, 1232, 0, 0);
                for my $question (pack("n6", 7, 0x100, 1, 0, 0, 0) . $asked, pack("n6", 8, 0x100, 1, 0, 0, 1) . $asked . $opt) {
                    print $s pack("n/a", $question); $s->flush;
                    read($s, my $length, 2) == 2 or die; read($s, my $answer, unpack("n", $length)) or die;
                    my ($id, $flags, $q, $a, $ns, $more) = unpack("n6", $answer);
                    print "$id code ", $flags & 15, " addresses $a edns $more ", $answer =~ /\x0a\x4e\x0a\x02/s ? "right" : "wrong", "\n";
                }
            }"#;
        let words = ["run", "--rm", "--name=asking", "--network=web", "debian", "perl", "-e", script];
        let both = "7 code 0 addresses 1 edns 0 right\n8 code 0 addresses 1 edns 1 right\n";
        assert_eq!(rl.run(&words).success().stdout, both.repeat(2));
        first.close_stdin();
        first.finish().success();
    }

    #[test]
    fn who_answers_for_names_has_no_rights_and_is_replaced_when_it_was_killed() {
        if !works() {
            return;
        }
        let rl = Rl::new();
        network(&rl, "web", 5);
        let mut first = up(&rl, &["--name=first", "--network=web"], IDLE);
        let old = names(&rl, "web");
        let status = std::fs::read_to_string(format!("/proc/{old}/status")).expect("its status");
        for line in ["CapPrm:\t0000000000000000\n", "CapBnd:\t0000000000000000\n", "NoNewPrivs:\t1\n"] {
            assert!(status.contains(line), "{line}{status}");
        }
        kill(old, Signal::SIGKILL).expect("kill");
        let again = (0..250).any(|_| addresses(&rl, "first", "first") == "10.78.5.2");
        assert!(again && names(&rl, "web") != old, "nobody answers");
        first.close_stdin();
        first.finish().success();
    }

    #[test]
    fn connected_and_disconnected_it_asks_the_resolvers_of_where_it_is() {
        if !works() {
            return;
        }
        let rl = Rl::new();
        network(&rl, "one", 6);
        network(&rl, "two", 7);
        rl.run(&["network", "create", "--disable-dns", "--subnet=10.78.8.0/24", "plain"]).success();
        let servers = |container: &str| {
            let look = "sed -n 's/^nameserver //p' /etc/resolv.conf | paste -s -d ' ' -";
            rl.run(&["exec", container, "sh", "-c", look]).success().stdout.trim().to_owned()
        };
        let mut other = up(&rl, &["--name=other", "--network=two"], IDLE);
        let mut moving = up(&rl, &["--name=moving", "--network=one"], IDLE);
        rl.run(&["network", "connect", "two", "moving"]).success();
        assert_eq!(
            (servers("moving"), addresses(&rl, "moving", "other")),
            ("10.78.6.1 10.78.7.1".into(), "10.78.7.2".into())
        );
        rl.run(&["network", "disconnect", "one", "moving"]).success();
        assert_eq!((servers("moving"), addresses(&rl, "moving", "other")), ("10.78.7.1".into(), "10.78.7.2".into()));
        // Whoever knows no names of containers would say that there are none.
        let mut plain = up(&rl, &["--name=plain", "--network=plain"], IDLE);
        assert_eq!(servers("plain"), "10.0.2.3");
        rl.run(&["network", "connect", "two", "plain"]).success();
        assert_eq!((servers("plain"), addresses(&rl, "plain", "other")), ("10.78.7.1".into(), "10.78.7.2".into()));
        // First who can ask outside; what somebody has written there stays.
        rl.run(&["network", "create", "--internal", "--subnet=10.78.9.0/24", "inner"]).success();
        let mut inner = up(&rl, &["--name=inner", "--network=inner"], IDLE);
        let own = "echo 'options ndots:1' >>/etc/resolv.conf; echo 'nameserver 192.0.2.1' >>/etc/resolv.conf";
        rl.run(&["exec", "inner", "sh", "-c", own]).success();
        rl.run(&["network", "connect", "two", "inner"]).success();
        assert_eq!(servers("inner"), "10.78.7.1 10.78.9.1 192.0.2.1");
        let default = rl.run(&["exec", "inner", "ip", "route", "show", "default"]).success().stdout;
        assert!(default.starts_with("default via 10.78.7.1"), "{default}");
        rl.run(&["network", "disconnect", "two", "inner"]).success();
        assert_eq!(servers("inner"), "10.78.9.1 192.0.2.1");
        rl.run(&["exec", "inner", "grep", "-q", "ndots:1", "/etc/resolv.conf"]).success();
        for running in [&mut other, &mut moving, &mut plain, &mut inner] {
            running.close_stdin();
        }
        for running in [other, moving, plain, inner] {
            running.finish().success();
        }
    }

    #[test]
    fn an_internal_network_beside_another_takes_nothing_from_it() {
        if works() {
            crate::lab::inside("finding::body::an_internal_network_beside_another_takes_nothing_from_it");
        }
    }

    #[test]
    fn an_answer_that_fits_into_no_packet_comes_over_tcp_from_outside() {
        if works() {
            crate::lab::inside("finding::body::an_answer_that_fits_into_no_packet_comes_over_tcp_from_outside");
        }
    }
}

mod body {
    use crate::lab::{Lab, SECOND, resolver};
    use crate::support::Rl;

    #[test]
    #[ignore = "a body"]
    fn an_internal_network_beside_another_takes_nothing_from_it() {
        let (lab, rl) = (Lab::new(), Rl::new());
        lab.says(&format!("{SECOND}:80"), "four\n");
        lab.resolves(&format!("{SECOND}:53"), [203, 0, 113, 5]);
        resolver(&rl, &format!("nameserver {SECOND}\n"));
        rl.run(&["network", "create", "--internal", "inner"]).success();
        rl.run(&["network", "create", "web"]).success();
        let script = format!("nc -w 5 {SECOND} 80; nslookup any.example | grep -c 203.0.113.5");
        for order in [["--network=inner", "--network=web"], ["--network=web", "--network=inner"]] {
            let words = [&["run", "--rm"][..], &order, &["busybox", "sh", "-c", &script]].concat();
            assert_eq!(rl.run(&words).success().stdout, "four\n1\n", "{order:?}");
        }
        let alone = ["run", "--rm", "--network=inner", "busybox", "nslookup", "any.example"];
        let alone = rl.run(&alone).fails_with(1);
        assert!(alone.stdout.contains("NXDOMAIN"), "{}", alone.stdout);
    }

    #[test]
    #[ignore = "a body"]
    fn an_answer_that_fits_into_no_packet_comes_over_tcp_from_outside() {
        let (lab, rl) = (Lab::new(), Rl::with_debian());
        lab.resolves_over_tcp(&format!("{SECOND}:53"), [203, 0, 113, 5]);
        resolver(&rl, &format!("nameserver {SECOND}\n"));
        rl.run(&["network", "create", "web"]).success();
        let look = "getent ahostsv4 any.example | sed -n 's/ *STREAM.*//p'";
        let guarded = ["--egress=allow=any.example"];
        for network in [&["--network=web"][..], &guarded, &["--network=web", guarded[0]]] {
            // Over UDP it is the C library that asks again, over TCP.
            for options in ["", "use-vc"] {
                let options = format!("--env=RES_OPTIONS={options}");
                let words = [&["run", "--rm", &options][..], network, &["debian", "sh", "-c", look]].concat();
                assert_eq!(rl.run(&words).success().stdout, "203.0.113.5\n", "{network:?} {options}");
            }
        }
    }
}
