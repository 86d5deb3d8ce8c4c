//! Flags of the verbs on containers that docker's and podman's users type.

mod everywhere {
    use crate::support::{Rl, archive};
    use crate::{Clean, background};

    #[test]
    fn ps_has_the_numbers_of_namespaces_and_podmans_fields() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        background(&rl, &["--name", "up", "--network", "none", "busybox", "sleep", "1000"]);
        rl.run(&["create", "--name", "made", "--network", "none", "busybox", "true"]).success();
        let out = rl.run(&["ps", "--ns"]).success().stdout;
        let heading: Vec<_> = out.lines().next().expect("a heading").split_whitespace().collect();
        assert_eq!(
            heading,
            ["CONTAINER", "ID", "NAMES", "PID", "CGROUPNS", "IPC", "MNT", "NET", "PIDNS", "USERNS", "UTS"]
        );
        let of = |template: &str, name: &str| {
            let filter = format!("name={name}");
            rl.run(&["ps", "-a", "--filter", &filter, "--format", template]).success().stdout.trim_end().to_owned()
        };
        let pid = of("{{.Pid}}", "up");
        for (field, kind) in [("NET", "net"), ("PIDNS", "pid"), ("USERNS", "user"), ("UTS", "uts"), ("MNT", "mnt")] {
            let link = std::fs::read_link(format!("/proc/{pid}/ns/{kind}"));
            // Of a process of another user nobody may ask.
            if let Ok(link) = link {
                let number = of(&format!("{{{{.PIDNS}}}} {{{{.{field}}}}}"), "up");
                assert!(link.to_string_lossy().contains(number.split(' ').nth(1).expect("a number")), "{field}");
            }
        }
        assert_eq!(of("{{.Exited}} {{.AutoRemove}} {{.ExitedAt}}{{.CIDFile}}", "up"), "false false 0");
        assert_eq!(of("{{.StartedAt}}{{.NET}}", "made"), "0");
        assert!(of("{{.Created}}", "up").parse::<u64>().expect("seconds") > 1_700_000_000);
    }

    #[test]
    fn rm_takes_those_in_its_network_first_when_that_is_asked_for() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        background(&rl, &["--name", "one", "--network", "none", "busybox", "sleep", "1000"]);
        background(&rl, &["--name", "two", "--network", "container:one", "busybox", "sleep", "1000"]);
        background(&rl, &["--name", "three", "--network", "container:two", "busybox", "sleep", "1000"]);
        background(&rl, &["--name", "other", "--network", "none", "busybox", "sleep", "1000"]);
        let out = rl.run(&["rm", "-f", "-t", "0", "--depend", "one", "two"]).success().stdout;
        assert_eq!(out, "three\ntwo\none\n");
        assert_eq!(rl.run(&["ps", "-a", "--format", "{{.Names}}"]).success().stdout, "other\n");
    }

    #[test]
    fn inspect_looks_at_volumes_and_networks_too() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        rl.run(&["volume", "create", "data"]).success();
        rl.run(&["network", "create", "net"]).success();
        let of = |words: &[&str]| rl.run(&[&["inspect", "-f", "{{.Name}} {{.Driver}}"], words].concat());
        assert_eq!(of(&["data"]).success().stdout, "data local\n");
        assert_eq!(of(&["net"]).success().stdout, "net bridge\n");
        assert_eq!(of(&["--type", "volume", "data"]).success().stdout, "data local\n");
        assert!(of(&["--type", "network", "data"]).fails_with(1).stderr.contains("data"));
        assert!(of(&["--type", "container", "data"]).fails_with(1).stderr.contains("RL0804"));
        assert!(of(&["nothing"]).fails_with(1).stderr.contains("RL0804"));
        of(&["--type", "pod", "data"]).fails_with(125);
        rl.run(&["network", "rm", "net"]).success();
    }

    #[test]
    fn events_end_where_nothing_is_to_follow() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        rl.run(&["create", "--name", "made", "busybox", "true"]).success();
        let out = rl.run(&["events", "--stream=false", "--format", "{{.Action}}"]).success().stdout;
        assert_eq!(out, "create\n");
    }

    #[test]
    fn a_commit_may_have_the_places_of_volumes() {
        let rl = Rl::empty();
        let _clean = Clean(&rl);
        rl.run(&["import", "-q", &archive("busybox.tar").to_string_lossy(), "busybox"]).success();
        let words = ["create", "--name", "box", "-v", "data:/data", "-v", "/anon", "--tmpfs", "/t", "busybox", "true"];
        rl.run(&words).success();
        rl.run(&["commit", "-q", "box", "without"]).success();
        rl.run(&["commit", "-q", "--include-volumes", "box", "with"]).success();
        let volumes =
            |image: &str| rl.run(&["image", "inspect", "-f", "{{json .Config.Volumes}}", image]).success().stdout;
        assert_eq!(volumes("with"), "{\"/anon\":{},\"/data\":{}}\n");
        assert_eq!(volumes("without"), "null\n");
    }

    #[test]
    fn top_has_podmans_descriptors() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        let flags = ["--name", "box", "--network", "none", "--cap-drop", "all", "--cap-add", "chown"];
        background(&rl, &[&flags[..], &["busybox", "sleep", "1000"]].concat());
        let out =
            rl.run(&["top", "box", "capbnd", "capinh", "seccomp", "user", "group", "ruser", "args"]).success().stdout;
        let row: Vec<_> = out.lines().nth(1).expect("a row").split_whitespace().collect();
        assert_eq!(row, ["CHOWN", "none", "filter", "root", "root", "root", "sleep", "1000"]);
        assert!(out.starts_with("BOUNDING CAPS"), "{out}");
        rl.run(&["top", "box", "label"]).fails_with(125);
    }

    #[test]
    fn what_cp_does_not_do_is_said() {
        let rl = Rl::new();
        assert!(rl.run(&["cp", "--overwrite", "a", "b:/c"]).fails_with(125).stderr.contains("RL0105"));
    }
}
