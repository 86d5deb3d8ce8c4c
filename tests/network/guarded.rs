//! `--egress` in networks by name: who is reached there, who is found, and what the container's root can do against that.

mod as_user {
    use crate::networks::{server, up, works};
    use crate::support::Rl;

    fn inside(body: &str) {
        if works() {
            crate::lab::inside(&format!("guarded::body::{body}"));
        }
    }

    #[test]
    fn other_containers_are_reached_by_allowed_names_and_addresses_only() {
        inside("other_containers_are_reached_by_allowed_names_and_addresses_only");
    }

    #[test]
    fn the_world_is_reached_by_what_is_allowed_only() {
        inside("the_world_is_reached_by_what_is_allowed_only");
    }

    #[test]
    fn a_name_of_the_world_does_not_lead_to_a_container() {
        inside("a_name_of_the_world_does_not_lead_to_a_container");
    }

    #[test]
    fn root_of_the_container_has_no_rights_over_its_place_in_a_network() {
        if !works() {
            return;
        }
        let rl = Rl::new();
        rl.run(&["network", "create", "--subnet=10.79.1.0/24", "web"]).success();
        let mut peer = up(&rl, &["--name=peer", "--network=web"], &server());
        let script = "ip link set eth0 down; ip addr add 10.9.9.9/24 dev eth0; ip route add 192.0.2.0/24 via 10.79.1.1; \
                      arping -c 1 -w 1 -I eth0 10.79.1.2; \
                      ping -c 1 -W 1 10.79.1.2; echo 1 >/proc/sys/net/ipv4/ip_forward; nc -w 5 10.79.1.2 80 || echo refused";
        for rights in ["--privileged", "--cap-add=NET_ADMIN,NET_RAW,SYS_ADMIN"] {
            let words =
                ["run", "--rm", "-i", "--name=box", "--network=web", "--egress=deny", rights, "busybox", "sh", "-c"];
            let whole = format!("echo up; {script}; cat");
            let mut running = rl.command(&[&words[..], &[&whole]].concat()).piped_stdin().spawn();
            running.wait_for_line("up");
            let exec = rl.run(&["exec", "--privileged", "box", "sh", "-c", script]).success();
            running.close_stdin();
            let out = running.finish().success();
            for said in [&out.stdout, &exec.stdout] {
                assert!(said.ends_with("\nrefused\n") && !said.contains("hello"), "{rights}: {said}");
            }
            for said in [&out.stderr, &exec.stderr] {
                // Three of ip's, and arping's socket.
                assert!(said.matches("Operation not permitted").count() >= 4, "{rights}: {said}");
                assert!(said.contains("permission denied (are you root?)") && said.contains("ip_forward"), "{said}");
            }
        }
        // It was there all the time.
        let asked = ["run", "--rm", "--network=web", "busybox", "nc", "-w", "5", "peer", "80"];
        assert_eq!(rl.run(&asked).success().stdout, "hello\n");
        peer.close_stdin();
        peer.finish().success();
    }

    #[test]
    fn who_comes_is_answered_and_the_rules_go_along_into_another_network() {
        if !works() {
            return;
        }
        let rl = Rl::new();
        rl.run(&["network", "create", "--subnet=10.79.2.0/24", "one"]).success();
        rl.run(&["network", "create", "--subnet=10.79.3.0/24", "two"]).success();
        let mut good = up(&rl, &["--name=good", "--network=two"], &server());
        let mut bad = up(&rl, &["--name=bad", "--network=two"], &server());
        let mut guarded = up(&rl, &["--name=guarded", "--network=one", "--egress=allow=good:80"], &server());
        let ask = |name: &str| format!("nc -w 5 {name} 80 2>/dev/null || echo no; ");
        let asked = ["run", "--rm", "--network=one", "busybox", "sh", "-c", &ask("guarded")];
        assert_eq!(rl.run(&asked).success().stdout, "hello\n");
        let look = ask("good") + &ask("bad") + &ask("10.79.3.3");
        assert_eq!(rl.run(&["exec", "guarded", "sh", "-c", &look]).success().stdout, "no\nno\nno\n");
        rl.run(&["network", "connect", "two", "guarded"]).success();
        assert_eq!(rl.run(&["exec", "guarded", "sh", "-c", &look]).success().stdout, "hello\nno\nno\n");
        for running in [&mut good, &mut bad, &mut guarded] {
            running.close_stdin();
        }
        for running in [good, bad, guarded] {
            running.finish().success();
        }
    }
}

mod body {
    use crate::lab::{Lab, SECOND, resolver};
    use crate::support::Rl;

    /// A network with the containers `db` (10.79.0.2) and `other` (10.79.0.3), which answer at the ports 80 and 81.
    fn network(rl: &Rl) {
        rl.run(&["network", "create", "--subnet=10.79.0.0/24", "web"]).success();
        let server = "nc -ll -p 81 -e echo hello & exec nc -ll -p 80 -e echo hello";
        for (name, address) in [("db", "10.79.0.2"), ("other", "10.79.0.3")] {
            let words = ["run", "-d", "--name", name, "--network=web", "busybox", "sh", "-c", server];
            rl.run(&words).success();
            // They listen a moment later.
            let listen = format!("for port in 80 81; do until nc -w 5 {address} $port; do usleep 20000; done; done");
            rl.run(&["run", "--rm", "--network=web", "busybox", "sh", "-c", &listen]).success();
        }
    }

    fn done(rl: &Rl) {
        rl.run(&["rm", "-f", "-t", "0", "db", "other"]).success();
    }

    fn said(rl: &Rl, egress: &str, script: &str) -> String {
        let words = ["run", "--rm", "--network=web", "--egress", egress, "busybox", "sh", "-c", script];
        rl.run(&words).success().stdout
    }

    /// What each place says, as a word.
    fn ask(places: &[(&str, u16)]) -> String {
        places.iter().map(|(place, port)| format!("nc -w 5 {place} {port} 2>/dev/null || echo no; ")).collect()
    }

    #[test]
    #[ignore = "a body"]
    fn other_containers_are_reached_by_allowed_names_and_addresses_only() {
        let (_lab, rl) = (Lab::new(), Rl::new());
        network(&rl);
        let all =
            ask(&[("10.79.0.2", 80), ("10.79.0.3", 80), ("db", 80), ("db", 81), ("other", 80), ("10.79.0.2", 80)]);
        assert_eq!(said(&rl, "deny", &all), "no\n".repeat(6));
        // By its address only after its name was asked for, as with any other name.
        assert_eq!(said(&rl, "allow=db:80", &all), "no\nno\nhello\nno\nno\nhello\n");
        assert_eq!(said(&rl, "allow=DB", &all), "no\nno\nhello\nhello\nno\nhello\n");
        assert_eq!(said(&rl, "allow=10.79.0.0/24:80", &all), "hello\nhello\nhello\nno\nhello\nhello\n");
        // A name is found where its address is allowed, and nowhere else.
        assert_eq!(said(&rl, "allow=10.79.0.3", &all), "no\nhello\nno\nno\nhello\nno\n");
        assert_eq!(said(&rl, "allow=a.example", &all), "no\n".repeat(6));
        let unseen = "nslookup other 2>/dev/null | grep -c 10.79.0.3; nc -w 5 -u 10.79.0.1 53 </dev/null; \
                      nslookup db 10.79.0.1 >/dev/null 2>&1 || echo nobody else answers";
        assert_eq!(said(&rl, "allow=db", unseen), "0\nnobody else answers\n");
        done(&rl);
    }

    #[test]
    #[ignore = "a body"]
    fn the_world_is_reached_by_what_is_allowed_only() {
        let (lab, rl) = (Lab::new(), Rl::new());
        lab.says(&format!("{SECOND}:80"), "there\n");
        lab.resolves(&format!("{SECOND}:53"), [198, 51, 100, 2]);
        resolver(&rl, &format!("nameserver {SECOND}\n"));
        network(&rl);
        let all = ask(&[(SECOND, 80), ("www.good.example", 80), ("www.evil.example", 80), ("db", 80)]);
        let words = ["run", "--rm", "--network=web", "busybox", "sh", "-c", &all];
        assert_eq!(rl.run(&words).success().stdout, "there\nthere\nthere\nhello\n");
        assert_eq!(said(&rl, "deny", &all), "no\n".repeat(4));
        assert_eq!(said(&rl, "allow=db", &all), "no\nno\nno\nhello\n");
        assert_eq!(said(&rl, "allow=*.good.example:80", &all), "no\nthere\nno\nno\n");
        assert_eq!(said(&rl, "allow=198.51.100.0/24:80", &all), "there\nno\nno\nno\n");
        done(&rl);
    }

    #[test]
    #[ignore = "a body"]
    fn a_name_of_the_world_does_not_lead_to_a_container() {
        let (lab, rl) = (Lab::new(), Rl::new());
        lab.resolves(&format!("{SECOND}:53"), [10, 79, 0, 2]);
        resolver(&rl, &format!("nameserver {SECOND}\n"));
        network(&rl);
        let all = ask(&[("www.evil.example", 80), ("10.79.0.2", 80)]);
        assert_eq!(said(&rl, "allow=www.evil.example", &all), "no\nno\n");
        // With a resolver of the user's choice nobody is a container by name, whatever that says.
        let words = ["run", "--rm", "--network=web", "--dns", SECOND, "--egress=allow=db", "busybox", "sh", "-c"];
        let out = rl.run(&[&words[..], &[&ask(&[("db", 80), ("10.79.0.2", 80)])]].concat()).success();
        assert_eq!(out.stdout, "no\nno\n");
        done(&rl);
    }
}
