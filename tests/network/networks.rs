//! Networks by name: containers that find each other, and those that must not.

pub use self::as_user::{holder, server, up, works};

mod as_user {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::process::Command;
    use std::time::Duration;

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    use crate::LISTENS;
    use crate::support::{Rl, Running, missing};

    /// Answers everybody with this line, over TCP.
    pub fn server() -> String {
        format!("nc -ll -p 80 -e echo hello & {LISTENS}; cat")
    }

    pub fn works() -> bool {
        let nft = ["-rn", "--", "sh", "-c", "PATH=$PATH:/usr/sbin:/sbin; nft list ruleset && ip link show lo"];
        let nft = Command::new("unshare").args(nft).output().is_ok_and(|out| out.status.success());
        nft || missing("nft and ip")
    }

    pub fn up(rl: &Rl, flags: &[&str], script: &str) -> Running {
        let words = [&["run", "--rm", "-i"][..], flags, &["busybox", "sh", "-c", script]].concat();
        let mut running = rl.command(&words).piped_stdin().spawn();
        running.wait_for_line("up");
        running
    }

    fn sh(rl: &Rl, flags: &[&str], script: &str) -> String {
        rl.run(&[&["run", "--rm"][..], flags, &["busybox", "sh", "-c", script]].concat()).success().stdout
    }

    /// Asks again while the server does not listen yet.
    fn ask(name: &str) -> String {
        format!("n=0; until nc -w 5 {name} 80; do n=$((n+1)); [ $n -lt 50 ] || exit 9; usleep 100000; done; ")
    }

    fn ended(mut running: Running) {
        running.close_stdin();
        running.finish().success();
    }

    fn inspected(rl: &Rl, network: &str) -> serde_json::Value {
        let text = rl.run(&["network", "inspect", network]).success().stdout;
        serde_json::from_str::<serde_json::Value>(&text).expect("JSON")[0].clone()
    }

    /// The process that holds a network, as it has written itself down.
    pub fn holder(rl: &Rl, network: &str) -> Pid {
        let list = rl.runroot().join("networks").join(network).join("leases.json");
        let text = std::fs::read_to_string(list).expect("the list of who is in it");
        let list: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let pid = list["holder"].as_i64().and_then(|pid| i32::try_from(pid).ok());
        Pid::from_raw(pid.expect("its holder"))
    }

    #[test]
    fn containers_find_each_other_by_name_and_alias() {
        if !works() {
            return;
        }
        let rl = Rl::new();
        rl.run(&["network", "create", "--ipv6", "web"]).success();
        let first = up(&rl, &["--name=one", "--network=web", "--network-alias=uno"], &server());
        let script = ask("one") + &ask("uno") + "nslookup one | grep -c Address; grep -c 10.89 /etc/hosts";
        let out = sh(&rl, &["--network=web"], &script);
        // Its own, and the answers in both families.
        assert_eq!(out, "hello\nhello\n3\n1\n");
        let document = inspected(&rl, "web");
        let containers = document["Containers"].as_object().expect("containers");
        assert_eq!(containers.len(), 1, "{document}");
        assert_eq!(containers.values().next().expect("one")["Name"], "one");
        let refused = rl.run(&["network", "rm", "web"]).fails_with(1);
        assert!(refused.stderr.contains("RL0713") && refused.stderr.contains("one"), "{}", refused.stderr);
        ended(first);
        rl.run(&["network", "rm", "web"]).success();
        let gone = rl.run(&["run", "--rm", "--network=web", "busybox", "true"]).fails_with(125);
        assert!(gone.stderr.contains("RL0712"), "{}", gone.stderr);
    }

    #[test]
    fn networks_do_not_see_each_other_but_a_container_of_both_does() {
        if !works() {
            return;
        }
        let rl = Rl::new();
        rl.run(&["network", "create", "--subnet=10.77.1.0/24", "one"]).success();
        rl.run(&["network", "create", "--subnet=10.77.2.0/24", "--gateway=10.77.2.9", "two"]).success();
        let server = up(&rl, &["--name=server", "--network=one:ip=10.77.1.50"], &server());
        let shown = "{{range $name, $at := .NetworkSettings.Networks}}{{$name}} {{.IPAddress}}/{{.IPPrefixLen}} {{.Gateway}}{{end}}";
        let shown = rl.run(&["inspect", "-f", shown, "server"]).success().stdout;
        assert_eq!(shown, "one 10.77.1.50/24 10.77.1.1\n");
        let alone = sh(
            &rl,
            &["--network=two"],
            "timeout 5 nc -w 2 10.77.1.50 80 | grep hello || echo nobody; ip route | grep default",
        );
        assert_eq!(alone, "nobody\ndefault via 10.77.2.9 dev eth0 \n");
        let both = sh(&rl, &["--network=two", "--network=one"], &(ask("10.77.1.50") + "ip -o -4 addr | grep -c eth"));
        assert_eq!(both, "hello\n2\n");
        let taken = ["run", "--rm", "--network=one", "--ip=10.77.1.50", "busybox", "true"];
        let taken = rl.run(&taken).fails_with(125);
        assert!(taken.stderr.contains("RL0710") && taken.stderr.contains("10.77.1.50"), "{}", taken.stderr);
        ended(server);
    }

    #[test]
    fn a_place_is_free_at_once_when_its_container_has_ended() {
        if !works() {
            return;
        }
        let rl = Rl::new();
        rl.run(&["network", "create", "--subnet=10.77.3.0/24", "web"]).success();
        let stays = up(&rl, &["--network=web"], "echo up; cat");
        for egress in [&[][..], &["--egress=allow=a.example"]] {
            let words = [&["run", "--rm", "--network=web:ip=10.77.3.9"][..], egress, &["busybox", "true"]].concat();
            for _ in 0..20 {
                rl.run(&words).success();
            }
        }
        ended(stays);
    }

    #[test]
    fn ports_are_published_there_too() {
        if !works() {
            return;
        }
        let rl = Rl::new();
        rl.run(&["network", "create", "web"]).success();
        let server = up(&rl, &["--name=web", "--network=web", "-p", "127.0.0.1::80"], &server());
        let listed = rl.run(&["port", "web", "80"]).success().stdout;
        let stream = || std::net::TcpStream::connect(listed.trim()).map(crate::lab::heard).unwrap_or_default();
        let answered = (0..200).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            stream() == "hello\n"
        });
        assert!(answered, "{listed}");
        ended(server);
    }

    #[test]
    fn a_container_is_connected_and_disconnected_while_it_runs() {
        if !works() {
            return;
        }
        let rl = Rl::new();
        for name in ["one", "two"] {
            rl.run(&["network", "create", name]).success();
        }
        let server = up(&rl, &["--name=server", "--network=one"], &server());
        let mut client = up(&rl, &["--name=client", "--network=two"], "echo up; cat");
        let script = ask("server");
        rl.run(&["network", "connect", "--alias=other", "two", "server"]).success();
        assert_eq!(rl.run(&["exec", "client", "sh", "-c", &script]).success().stdout, "hello\n");
        assert_eq!(rl.run(&["exec", "client", "sh", "-c", &ask("other")]).success().stdout, "hello\n");
        rl.run(&["network", "connect", "two", "server"]).fails_with(125);
        rl.run(&["network", "disconnect", "two", "server"]).success();
        let look = "nslookup server >/dev/null 2>&1 || echo gone";
        assert_eq!(rl.run(&["exec", "client", "sh", "-c", look]).success().stdout, "gone\n");
        rl.run(&["network", "disconnect", "two", "server"]).fails_with(125);
        client.close_stdin();
        client.finish().success();
        ended(server);
    }

    #[test]
    fn a_killed_holder_is_made_again_with_all_that_runs() {
        if !works() {
            return;
        }
        let rl = Rl::new();
        rl.run(&["network", "create", "web"]).success();
        let server = up(&rl, &["--name=server", "--network=web"], &server());
        kill(holder(&rl, "web"), Signal::SIGKILL).expect("kill");
        assert_eq!(sh(&rl, &["--network=web"], &ask("server")), "hello\n");
        ended(server);
    }

    /// An ip(8) that fails the first time it is to make the interface of the first container.
    fn failing_ip(rl: &Rl) -> String {
        let dir = rl.dir("programs");
        let real = ["/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip", "/bin/ip"];
        let real = real.iter().find(|path| Path::new(path).exists()).expect("ip");
        let text = format!(
            "#!/bin/sh\nwords=$(cat)\ncase $words in *'name rl0 '*) [ -e {0}/failed ] || {{ : >{0}/failed; echo 'not yet' >&2; \
             exit 1; }};; esac\nprintf '%s\\n' \"$words\" | exec {real} \"$@\"\n",
            dir.display()
        );
        std::fs::write(dir.join("ip"), text).expect("write");
        std::fs::set_permissions(dir.join("ip"), std::fs::Permissions::from_mode(0o755)).expect("chmod");
        format!("{}:{}", dir.display(), std::env::var("PATH").unwrap_or_default())
    }

    #[test]
    fn a_place_that_is_not_got_back_is_told_and_tried_again() {
        if !works() {
            return;
        }
        let rl = Rl::new();
        rl.run(&["network", "create", "web"]).success();
        let server = up(&rl, &["--name=server", "--network=web"], &server());
        kill(holder(&rl, "web"), Signal::SIGKILL).expect("kill");
        let look = "ip -o -4 addr show eth0; echo up; cat";
        let words = ["run", "--rm", "-i", "--network=web", "busybox", "sh", "-c", look];
        let path = failing_ip(&rl);
        let mut next = rl.command(&words).env("PATH", &path).piped_stdin().spawn();
        next.wait_for_line("up");
        assert_eq!(sh(&rl, &["--network=web"], &ask("server")), "hello\n");
        next.close_stdin();
        let next = next.finish().success();
        assert!(next.stderr.contains("server is without it") && next.stderr.contains("not yet"), "{}", next.stderr);
        assert!(next.stdout.contains("10.89.0.3/24"), "the address of the first one stays its own: {}", next.stdout);
        ended(server);
    }

    #[test]
    fn an_internal_network_has_no_way_out_and_one_without_names_has_none() {
        if !works() {
            return;
        }
        let rl = Rl::new();
        rl.run(&["network", "create", "--internal", "inner"]).success();
        rl.run(&["network", "create", "--disable-dns", "plain"]).success();
        let server = up(&rl, &["--name=server", "--network=inner"], &server());
        let out = sh(&rl, &["--network=inner"], &(ask("server") + "ip route | grep -c default || :"));
        assert_eq!(out, "hello\n0\n");
        assert_eq!(sh(&rl, &["--network=plain"], "cat /etc/resolv.conf | grep nameserver"), "nameserver 10.0.2.3\n");
        ended(server);
        let removed = rl.run(&["network", "prune", "-f"]).success().stdout;
        assert_eq!(removed, "inner\nplain\n");
    }

    #[test]
    fn what_makes_no_network_is_refused() {
        let rl = Rl::new();
        for words in [
            &["create", "host"][..],
            &["create", "a/b"],
            &["create", "--subnet=10.0.0.0", "x"],
            &["create", "--subnet=10.0.0.0/24", "--gateway=10.1.0.1", "x"],
            &["create", "--gateway=10.1.0.1", "x"],
            &["create", "--subnet=127.5.0.0/16", "x"],
            &["create", "--subnet=224.0.1.0/24", "x"],
            &["create", "--subnet=10.8.0.0/24", "--subnet=fe80::/64", "x"],
            &["create", "--driver=macvlan", "x"],
            &["rm", "nobody"],
            &["inspect", "nobody"],
        ] {
            assert!(!rl.run(&[&["network"][..], words].concat()).status.success(), "{words:?}");
        }
        rl.run(&["network", "create", "--subnet=10.7.0.0/24", "one"]).success();
        rl.run(&["network", "create", "one"]).fails_with(125);
        rl.run(&["network", "create", "--subnet=10.7.0.128/25", "two"]).fails_with(125);
        for flags in [&["--ip=10.7.0.2"][..], &["--network=one", "--network=host"], &["--network=one", "--network=one"]]
        {
            rl.run(&[&["run", "--rm"][..], flags, &["busybox", "true"]].concat()).fails_with(125);
        }
    }

    #[test]
    fn filters_choose_which_networks_are_listed_and_pruned() {
        let rl = Rl::new();
        for (name, flags) in
            [("web", &["--label=tier=front"][..]), ("db", &["--label=tier=back", "--label=x"]), ("old", &[])]
        {
            rl.run(&[&["network", "create"][..], flags, &[name]].concat()).success();
        }
        rl.run(&["create", "--name=one", "--network=web", "busybox", "true"]).success();
        let listed = |filters: &[&str]| {
            let words = filters.iter().flat_map(|filter| ["--filter", filter]);
            let out = rl.run(&["network", "ls", "-q"].into_iter().chain(words).collect::<Vec<_>>()).success().stdout;
            out.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        for (filters, expected) in [
            (&["name=d"][..], "db old"),
            (&["name=^d"], "db"),
            (&["name=web", "name=old"], "old web"),
            (&["label=tier"], "db web"),
            (&["label=tier=back", "label=x"], "db"),
            (&["label=tier=front", "label=x"], ""),
            (&["label!=tier"], "old"),
            (&["dangling=true"], "db old"),
            (&["dangling=false", "driver=bridge"], "web"),
            (&["driver=macvlan"], ""),
            (&["until=1h"], ""),
        ] {
            assert_eq!(listed(filters), expected, "{filters:?}");
        }
        rl.run(&["network", "ls", "--filter", "colour=red"]).fails_with(125);
        assert_eq!(rl.run(&["network", "prune", "-f", "--filter", "label=tier"]).success().stdout, "db\n");
        assert_eq!(listed(&[]), "old web");
        rl.run(&["network", "exists", "old"]).success();
        rl.run(&["network", "exists", "db"]).fails_with(1);
    }

    #[test]
    fn the_way_out_is_slirp4netns() {
        if works() {
            crate::lab::inside("networks::body::the_way_out_is_slirp4netns");
        }
    }
}

mod body {
    use crate::lab::{Lab, SECOND, SECOND6, resolver};
    use crate::support::Rl;

    #[test]
    #[ignore = "a body"]
    fn the_way_out_is_slirp4netns() {
        let (lab, rl) = (Lab::new(), Rl::new());
        lab.says(&format!("{SECOND}:80"), "four\n");
        lab.says(&format!("[{SECOND6}]:80"), "six\n");
        lab.resolves(&format!("{SECOND}:53"), [203, 0, 113, 5]);
        resolver(&rl, &format!("nameserver {SECOND}\n"));
        rl.run(&["network", "create", "--ipv6", "web"]).success();
        let script = format!(
            "nc -w 5 {SECOND} 80; nslookup any.example | grep -c 203.0.113.5; \
             n=0; until nc -w 5 {SECOND6} 80; do n=$((n+1)); [ $n -lt 100 ] || exit 9; usleep 100000; done"
        );
        let out = rl.run(&["run", "--rm", "--network=web", "busybox", "sh", "-c", &script]).success().stdout;
        assert_eq!(out, "four\n1\nsix\n");
        rl.run(&["network", "create", "--internal", "inner"]).success();
        rl.run(&["network", "create", &format!("--dns={SECOND}"), "--disable-dns", "heard"]).success();
        let out = rl.run(&["run", "--rm", "--network=heard", "busybox", "cat", "/etc/resolv.conf"]).success().stdout;
        assert_eq!(out, format!("nameserver {SECOND}\n"));
        rl.run(&["network", "create", &format!("--dns={SECOND}"), "own"]).success();
        // The host's own has nothing to say any more.
        resolver(&rl, "nameserver 192.0.2.53\n");
        let script = "nslookup any.example | grep -c 203.0.113.5";
        let out = rl.run(&["run", "--rm", "--network=own", "busybox", "sh", "-c", script]).success().stdout;
        assert_eq!(out, "1\n");
        let script = format!("nc -w 2 {SECOND} 80 || echo no way");
        let out = rl.run(&["run", "--rm", "--network=inner", "busybox", "sh", "-c", &script]).success().stdout;
        assert_eq!(out, "no way\n");
    }
}
