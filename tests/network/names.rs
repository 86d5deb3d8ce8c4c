//! Names: whom a container asks, and who follows whom.

mod as_user {
    #[test]
    fn the_resolver_is_the_hosts_and_follows_it() {
        crate::lab::inside("names::body::the_resolver_is_the_hosts_and_follows_it");
    }

    #[test]
    fn pasta_asks_whom_the_host_asks() {
        crate::lab::inside("names::body::pasta_asks_whom_the_host_asks");
    }

    #[test]
    fn a_resolver_that_has_ipv6_alone_is_asked_by_every_network() {
        crate::lab::inside("names::body::a_resolver_that_has_ipv6_alone_is_asked_by_every_network");
    }
}

mod body {
    use crate::lab::{Lab, SECOND, SECOND6, resolver, run};
    use crate::support::Rl;

    const LOOK: &str = "nslookup anything.example 2>/dev/null | grep -o '203.0.113.[0-9]*' | head -n 1";

    #[test]
    #[ignore = "a body"]
    fn the_resolver_is_the_hosts_and_follows_it() {
        let (lab, rl) = (Lab::new(), Rl::new());
        lab.resolves(&format!("{SECOND}:53"), [203, 0, 113, 1]);
        run(&format!("nsenter --net=/proc/{}/ns/net ip address add 198.51.100.3/24 dev wire1", lab.second()));
        lab.resolves("198.51.100.3:53", [203, 0, 113, 2]);
        let file = resolver(&rl, &format!("nameserver {SECOND}\nsearch lab.example\n"));
        // libslirp looks at the file once a second at most.
        let script = format!(
            "grep search /etc/resolv.conf; {LOOK}; echo asked; read go; \
             n=0; until {LOOK} | grep 113.2; do n=$((n+1)); [ $n -lt 50 ] || exit 9; usleep 100000; done"
        );
        let mut running = rl.command(&["run", "--rm", "-i", "busybox", "sh", "-c", &script]).piped_stdin().spawn();
        running.wait_for_line("asked");
        std::fs::write(file, "nameserver 198.51.100.3\n").expect("write");
        running.type_in("go\n");
        let out = running.finish().success().stdout;
        assert_eq!(out, "search lab.example\n203.0.113.1\nasked\n203.0.113.2\n");
    }

    #[test]
    #[ignore = "a body"]
    fn pasta_asks_whom_the_host_asks() {
        let (lab, rl) = (Lab::new(), Rl::new());
        lab.resolves(&format!("{SECOND}:53"), [203, 0, 113, 7]);
        resolver(&rl, &format!("nameserver {SECOND}\n"));
        let out = rl.run(&["run", "--rm", "--network=pasta", "busybox", "sh", "-c", LOOK]).success().stdout;
        assert_eq!(out, "203.0.113.7\n");
    }

    #[test]
    #[ignore = "a body"]
    fn a_resolver_that_has_ipv6_alone_is_asked_by_every_network() {
        let (lab, rl) = (Lab::new(), Rl::new());
        lab.resolves(&format!("[{SECOND6}]:53"), [203, 0, 113, 6]);
        resolver(&rl, &format!("nameserver {SECOND6}\n"));
        rl.run(&["network", "create", "one"]).success();
        // The address of IPv6 comes when the router has been heard (SLAAC).
        let script =
            format!("n=0; until {LOOK} | grep 113.6; do n=$((n+1)); [ $n -lt 50 ] || exit 9; usleep 200000; done");
        let egress = "--egress=allow=anything.example";
        for flags in [&["--network=slirp4netns"][..], &["--network=pasta"], &["--network=one"], &[egress]] {
            let words = [&["run", "--rm"][..], flags, &["busybox", "sh", "-c", &script]].concat();
            assert_eq!(rl.run(&words).success().stdout, "203.0.113.6\n", "{flags:?}");
        }
    }
}
