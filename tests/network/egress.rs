//! What goes out of a container with `--egress`, and what its root can do against that.

mod as_user {
    use std::process::Command;

    use crate::support::{Rl, missing};

    fn has_nftables() -> bool {
        let words = ["-rn", "--", "sh", "-c", "PATH=$PATH:/usr/sbin:/sbin nft list ruleset"];
        Command::new("unshare").args(words).output().is_ok_and(|out| out.status.success()) || missing("nft(8)")
    }

    fn inside(body: &str) {
        if has_nftables() {
            crate::lab::inside(&format!("egress::body::{body}"));
        }
    }

    #[test]
    fn nothing_goes_out_but_what_is_allowed() {
        inside("nothing_goes_out_but_what_is_allowed");
    }

    #[test]
    fn names_are_allowed_by_name_and_their_addresses_only_then() {
        inside("names_are_allowed_by_name_and_their_addresses_only_then");
    }

    #[test]
    fn a_name_that_leads_to_a_private_address_leads_nowhere() {
        inside("a_name_that_leads_to_a_private_address_leads_nowhere");
    }

    #[test]
    fn clients_from_outside_are_answered() {
        inside("clients_from_outside_are_answered");
    }

    #[test]
    fn nft_that_is_missing_is_named() {
        inside("nft_that_is_missing_is_named");
    }

    #[test]
    fn root_of_the_container_has_no_rights_over_its_network() {
        if !has_nftables() {
            return;
        }
        let script = "ip link set tap0 down; ip route add 192.0.2.0/24 via 10.0.2.2; ip addr add 10.9.9.9/24 dev lo; \
                      ping -c 1 -W 1 10.0.2.2; echo 1 >/proc/sys/net/ipv4/ip_forward";
        let rl = Rl::new();
        let words = ["run", "--rm", "-i", "--name=box", "--privileged", "--egress=deny", "busybox", "sh", "-c"];
        let whole = format!("echo up; {script}; cat");
        let words = [&words[..], &[&whole]].concat();
        let mut running = rl.command(&words).piped_stdin().spawn();
        running.wait_for_line("up");
        let exec = rl.run(&["exec", "--privileged", "box", "sh", "-c", script]);
        running.close_stdin();
        let out = running.finish().success();
        for said in [&out.stderr, &exec.stderr] {
            assert!(said.matches("Operation not permitted").count() >= 3, "{said}");
            assert!(said.contains("permission denied (are you root?)") && said.contains("ip_forward"), "{said}");
        }
    }

    #[test]
    fn low_ports_and_ping_work_all_the_same() {
        if !has_nftables() {
            return;
        }
        let script = "cp /usr/bin/ping /tmp/ping && /tmp/ping -c 1 127.0.0.1 && perl -MIO::Socket -e \
                      'IO::Socket::INET->new(Listen => 1, LocalPort => 80) or die $!'";
        let words = ["run", "--rm", "--egress=deny", "--tmpfs=/tmp:exec", "debian", "sh", "-c", script];
        Rl::with_debian().run(&words).success();
    }

    #[test]
    fn who_serves_names_can_do_nothing_else() {
        if !has_nftables() {
            return;
        }
        let rl = Rl::new();
        let words = ["run", "--rm", "-i", "--egress=allow=a.example", "busybox", "sh", "-c", "echo up; cat"];
        let mut running = rl.command(&words).piped_stdin().spawn();
        running.wait_for_line("up");
        let status = std::fs::read_to_string(format!("/proc/{}/status", running.child_called("rl: egress")));
        let status = status.expect("its status");
        // CAP_NET_ADMIN, over the container's network.
        assert!(status.contains("CapEff:\t0000000000001000\n") && status.contains("NoNewPrivs:\t1\n"), "{status}");
        assert!(status.contains("CapBnd:\t0000000000001000\n"), "{status}");
        running.close_stdin();
        running.finish().success();
    }

    #[test]
    fn without_a_network_nothing_goes_out_anyway() {
        let rl = Rl::new();
        rl.run(&["run", "--rm", "--network=none", "--egress=deny", "busybox", "true"]).success();
        for words in [["--network=none", "--egress=allow=a.example"], ["--network=host", "--egress=deny"]] {
            let out = rl.run(&[&["run", "--rm"][..], &words, &["busybox", "true"]].concat()).fails_with(125);
            assert!(out.stderr.contains("--egress"), "{}", out.stderr);
        }
    }
}

mod body {

    use crate::LISTENS;
    use crate::lab::{Lab, MACHINE, SECOND, SECOND6, resolver, run};
    use crate::support::Rl;

    fn said(rl: &Rl, egress: &str, script: &str) -> String {
        let words = ["run", "--rm", "--egress", egress, "busybox", "sh", "-c", script];
        rl.run(&words).success().stdout
    }

    #[test]
    #[ignore = "a body"]
    fn nothing_goes_out_but_what_is_allowed() {
        let (lab, rl) = (Lab::new(), Rl::new());
        for port in [80, 81] {
            lab.says(&format!("{SECOND}:{port}"), "four\n");
            lab.says(&format!("[{SECOND6}]:{port}"), "six\n");
        }
        let ask = |port: u16| format!("nc -w 5 {SECOND} {port} || echo refused; ");
        let both = ask(80) + &ask(81);
        assert_eq!(rl.run(&["run", "--rm", "busybox", "sh", "-c", &both]).success().stdout, "four\nfour\n");
        assert_eq!(said(&rl, "deny", &both), "refused\nrefused\n");
        assert_eq!(said(&rl, "allow=198.51.100.0/24:80", &both), "four\nrefused\n");
        assert_eq!(said(&rl, "allow=198.51.0.0/16", &both), "four\nfour\n");
        assert_eq!(said(&rl, "allow=198.51.101.0/24,[2001:db8::]:80", &both), "refused\nrefused\n");
        // The address of IPv6 comes when the router has been heard (SLAAC).
        let six = format!(
            "n=0; until ip -6 route | grep -q ^default; do n=$((n+1)); [ $n -lt 100 ] || exit 9; usleep 100000; done; \
             until nc -w 5 {SECOND6} 80; do n=$((n+1)); [ $n -lt 100 ] || exit 9; usleep 100000; done; \
             nc -w 5 {SECOND6} 81 || echo refused"
        );
        assert_eq!(said(&rl, &format!("allow=[{SECOND6}]:80"), &six), "six\nrefused\n");
    }

    #[test]
    #[ignore = "a body"]
    fn names_are_allowed_by_name_and_their_addresses_only_then() {
        let (lab, rl) = (Lab::new(), Rl::new());
        lab.resolves(&format!("{SECOND}:53"), [198, 51, 100, 2]);
        lab.says(&format!("{SECOND}:80"), "there\n");
        lab.says(&format!("{SECOND}:81"), "there\n");
        resolver(&rl, &format!("nameserver {SECOND}\nsearch lab.example\n"));
        let script = format!(
            "grep -c search /etc/resolv.conf; nc -w 5 {SECOND} 80 || echo before; \
             nslookup secret.evil.example >/dev/null || echo no such name; \
             nc -w 5 {SECOND} 80 || echo still not; \
             nslookup www.good.example | grep -c {SECOND}; \
             nc -w 5 {SECOND} 80; nc -w 5 {SECOND} 81 || echo another port; \
             nslookup -type=txt www.good.example | grep -c text; \
             nslookup www.good.example 10.0.2.3 >/dev/null 2>&1 || echo nobody else answers"
        );
        let out = said(&rl, "allow=*.good.example:80", &script);
        let expected = "0\nbefore\nno such name\nstill not\n1\nthere\nanother port\n0\nnobody else answers\n";
        assert_eq!(out, expected);
        let pasta = ["run", "--rm", "--network=pasta", "--egress=allow=a.example", "busybox", "sh", "-c"];
        let script = format!("nslookup a.example | grep -c {SECOND}; nslookup b.example | grep -c {SECOND} || :");
        assert_eq!(rl.run(&[&pasta[..], &[&script]].concat()).success().stdout, "1\n0\n");
    }

    #[test]
    #[ignore = "a body"]
    fn a_name_that_leads_to_a_private_address_leads_nowhere() {
        let (lab, rl) = (Lab::new(), Rl::new());
        lab.resolves(&format!("{SECOND}:53"), [10, 0, 2, 2]);
        resolver(&rl, &format!("nameserver {SECOND}\n"));
        let script = "nslookup a.example | grep -c 'Address: 10.0.2.2$'";
        assert_eq!(said(&rl, "allow=a.example", &format!("{script} || :")), "0\n");
        assert_eq!(said(&rl, "allow=a.example,10.0.2.0/24", script), "1\n");
    }

    #[test]
    #[ignore = "a body"]
    fn clients_from_outside_are_answered() {
        let (lab, rl) = (Lab::new(), Rl::new());
        let words = ["run", "--rm", "--egress=deny", "-p", "8080:80", "busybox", "sh", "-c"];
        let server = format!("{LISTENS} & exec nc -l -p 80 -e echo hello");
        let mut running = rl.command(&[&words[..], &[&server]].concat()).spawn();
        running.wait_for_line("up");
        let seen = lab.asked_from_second(&format!("{MACHINE}:8080"));
        assert_eq!(seen, "hello\n");
        running.finish().success();
    }

    #[test]
    #[ignore = "a body"]
    fn nft_that_is_missing_is_named() {
        run("for dir in /usr/local/sbin /usr/sbin /sbin /usr/bin /bin /usr/local/bin; do \
             [ ! -e $dir/nft ] || mount --bind /dev/null $dir/nft; done");
        let out = Rl::new().run(&["run", "--rm", "--egress=deny", "busybox", "true"]).fails_with(125);
        assert!(out.stderr.contains("RL0708") && out.stderr.contains("nftables"), "{}", out.stderr);
    }
}
