//! A second host behind a wire: what goes out to it, and what comes in from it.

mod as_user {
    use crate::lab::inside;

    #[test]
    fn it_is_reached_over_ipv4_and_ipv6() {
        inside("second_host::body::it_is_reached_over_ipv4_and_ipv6");
    }

    #[test]
    fn its_own_address_is_what_the_container_sees() {
        inside("second_host::body::its_own_address_is_what_the_container_sees");
    }

    #[test]
    fn the_host_gateway_is_the_machine() {
        inside("second_host::body::the_host_gateway_is_the_machine");
    }
}

mod body {

    use crate::LISTENS;
    use crate::lab::{Lab, MACHINE, SECOND, SECOND6};
    use crate::support::Rl;

    #[test]
    #[ignore = "a body"]
    fn it_is_reached_over_ipv4_and_ipv6() {
        let (lab, rl) = (Lab::new(), Rl::new());
        lab.says(&format!("{SECOND}:80"), "four\n");
        lab.says(&format!("[{SECOND6}]:80"), "six\n");
        // The address of IPv6 comes when the router has been heard (SLAAC).
        let script = format!(
            "nc {SECOND} 80; n=0; until ip -6 route | grep -q ^default; do n=$((n+1)); [ $n -lt 100 ] || exit 9; \
             usleep 100000; done; until nc {SECOND6} 80; do n=$((n+1)); [ $n -lt 100 ] || exit 9; usleep 100000; done"
        );
        let out = rl.run(&["run", "--rm", "busybox", "sh", "-c", &script]).success().stdout;
        assert_eq!(out, "four\nsix\n");
    }

    #[test]
    #[ignore = "a body"]
    fn its_own_address_is_what_the_container_sees() {
        let (lab, rl) = (Lab::new(), Rl::new());
        let server = format!("{LISTENS} & exec nc -l -p 80 -e sh -c 'netstat -tn'");
        let mut running = rl.command(&["run", "--rm", "-p", "8080:80", "busybox", "sh", "-c", &server]).spawn();
        running.wait_for_line("up");
        let seen = lab.asked_from_second(&format!("{MACHINE}:8080"));
        assert!(seen.contains(&format!("{SECOND}:")), "{seen}");
        running.finish().success();
    }

    #[test]
    #[ignore = "a body"]
    fn the_host_gateway_is_the_machine() {
        let (_lab, rl) = (Lab::new(), Rl::new());
        let hosts = |network: &str| {
            let words = ["run", "--rm", "--network", network, "--add-host", "host:host-gateway", "busybox"];
            rl.run(&[&words[..], &["grep", "-E", "[[:space:]]host$", "/etc/hosts"]].concat()).success().stdout
        };
        assert_eq!(hosts("slirp4netns"), format!("{MACHINE}\thost\n"));
        assert_eq!(hosts("slirp4netns:allow_host_loopback=true"), "10.0.2.2\thost\n");
    }
}
