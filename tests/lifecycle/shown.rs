//! What `ps`, `inspect`, `events` and `wait` show.

mod everywhere {
    use crate::support::Rl;
    use crate::{Clean, background, inspect};

    #[test]
    fn ps_has_dockers_columns_filters_and_flags() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        rl.run(&["create", "--name", "made", "--label", "k=v", "busybox", "true"]).success();
        background(&rl, &["--name", "up", "busybox", "sleep", "1000"]);
        background(&rl, &["--name", "down", "busybox", "sh", "-c", "exit 3"]);
        rl.run(&["wait", "down"]).success();
        let out = rl.run(&["ps", "-a"]).success().stdout;
        let header: Vec<_> =
            out.lines().next().expect("a header").split("  ").map(str::trim).filter(|word| !word.is_empty()).collect();
        assert_eq!(header, ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]);
        assert!(out.contains("\"sleep 1000\"") && out.contains("Exited (3)") && out.contains("Created"), "{out}");
        for (flags, names) in [
            (&["ps"][..], "up\n"),
            (&["ps", "-a"], "down\nup\nmade\n"),
            (&["ps", "-l"], "down\n"),
            (&["ps", "-n", "2"], "down\nup\n"),
            (&["ps", "-a", "--filter", "status=created"], "made\n"),
            (&["ps", "--filter", "status=exited"], "down\n"),
            (&["ps", "--filter", "exited=3"], "down\n"),
            (&["ps", "-a", "--filter", "exited=0"], ""),
            (&["ps", "-a", "--filter", "label=k=v"], "made\n"),
            (&["ps", "-a", "--filter", "name=^up$"], "up\n"),
            (&["ps", "-a", "--filter", "ancestor=busybox", "--filter", "since=made"], "down\nup\n"),
            (&["ps", "-a", "--filter", "before=up"], "made\n"),
        ] {
            let out = rl.run(&[flags, &["--format", "{{.Names}}"]].concat()).success();
            assert_eq!(out.stdout, names, "{flags:?}");
        }
        rl.run(&["ps", "--filter", "colour=red"]).fails_with(125);
    }

    #[test]
    fn inspect_has_the_fields_that_templates_for_docker_use() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        let flags = [
            "-e",
            "A=1",
            "-w",
            "/tmp",
            "-l",
            "x=y",
            "--hostname",
            "host",
            "--stop-signal",
            "INT",
            "--restart",
            "on-failure:2",
        ];
        background(&rl, &[&["--name", "c"][..], &flags, &["busybox", "sleep", "1000"]].concat());
        for (template, shown) in [
            ("{{.Name}}", "/c"),
            ("{{.State.Running}} {{.State.Paused}} {{.State.Restarting}} {{.State.Dead}}", "true false false false"),
            ("{{.Config.Hostname}} {{.Config.WorkingDir}} {{.Config.StopSignal}}", "host /tmp SIGINT"),
            ("{{index .Config.Env 1}}", "A=1"),
            ("{{json .Config.Labels}}", "{\"x\":\"y\"}"),
            ("{{json .Config.Cmd}} {{.Path}} {{json .Args}}", "[\"sleep\",\"1000\"] sleep [\"1000\"]"),
            ("{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}", "on-failure 2"),
            ("{{.HostConfig.LogConfig.Type}} {{.HostConfig.AutoRemove}}", "json-file false"),
            ("{{.State.FinishedAt}}", "0001-01-01T00:00:00Z"),
        ] {
            assert_eq!(inspect(&rl, "c", template), shown, "{template}");
        }
        let out = rl.run(&["inspect", "c", "nosuch"]).fails_with(1);
        assert!(out.stdout.starts_with('[') && out.stderr.contains("nosuch"), "{}", out.stderr);
        let out = rl.run(&["inspect", "busybox"]).success();
        assert!(out.stdout.contains("RootFS"), "an image has the name");
    }

    /// What waits for health, finds a port or an address, or copies a container asks for; docker's answers, of which some are not podman's.
    #[test]
    fn inspect_answers_the_templates_of_scripts_and_tools_as_docker_does() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        let image = "busybox";
        let dir = rl.dir("shared");
        let bind = format!("{}:/shared:ro", dir.display());
        let volumes =
            ["-v", "data:/data", "-v", &bind, "--tmpfs", "/t:size=1m", "--mount", "type=image,src=busybox,dst=/i"];
        let rest = ["--cap-add", "net_admin", "--network", "none", image, "sleep", "1000"];
        background(&rl, &[&["--name", "c"][..], &volumes, &rest].concat());
        let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let mounts = format!("volume|data|/data|true bind||/shared|false image||/i|false {}", dir.display());
        for (template, shown) in [
            ("{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}", "none"),
            ("{{.Config.Entrypoint}} {{json .Config.Entrypoint}} {{len .Config.Entrypoint}}", "[] null 0"),
            ("{{range .Config.Entrypoint}}x{{else}}none{{end}}", "none"),
            ("{{.Config.Volumes}} {{.ExecIDs}} {{.Config.OnBuild}} {{.HostConfig.Links}}", "map[] [] [] []"),
            ("{{json .Config.Volumes}} {{json .ExecIDs}} {{json .Config.Healthcheck}}", "null null null"),
            ("{{range .Config.Env}}{{println .}}{{end}}", path),
            (
                "{{range .Mounts}}{{.Type}}|{{.Name}}|{{.Destination}}|{{.RW}} {{end}}{{(index .Mounts 1).Source}}",
                mounts.as_str(),
            ),
            ("{{.HostConfig.Tmpfs}}", "map[/t:size=1048576]"),
            ("{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}", "none"),
            ("{{.HostConfig.PidMode}}|{{.HostConfig.UTSMode}}|{{.HostConfig.IpcMode}}", "||private"),
            ("{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}", "no 0"),
            ("{{.HostConfig.CapAdd}} {{.HostConfig.Runtime}} {{.Platform}}", "[CAP_NET_ADMIN] rl linux"),
            ("{{if gt .State.Pid 0}}{{if gt .State.ConmonPid 0}}watched{{end}}{{end}}", "watched"),
            ("{{len .HostConfig.ReadonlyPaths}} {{index .HostConfig.MaskedPaths 1}}", "6 /proc/kcore"),
        ] {
            assert_eq!(inspect(&rl, "c", template), shown, "{template}");
        }
        let root = inspect(&rl, "c", "{{.GraphDriver.Data.MergedDir}}");
        assert!(std::path::Path::new(&root).join("bin/busybox").exists(), "{root}");
    }

    #[test]
    fn a_size_is_what_was_written_and_what_that_makes_with_the_image() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        rl.run(&["run", "--name", "c", "busybox", "dd", "if=/dev/zero", "of=/x", "bs=1000", "count=3"]).success();
        let image: u64 =
            rl.run(&["image", "inspect", "-f", "{{.Size}}", "busybox"]).success().stdout.trim().parse().expect("bytes");
        let out = rl.run(&["ps", "-a", "-s", "--format", "{{.Size}}"]).success().stdout;
        assert!(out.starts_with("3kB (virtual ") && out.ends_with("MB)\n"), "{out}");
        let whole: f64 = out["3kB (virtual ".len()..].trim_end().trim_end_matches("MB)").parse().expect("a number");
        assert!((whole * 1e6 - image as f64).abs() < 20_000.0, "{out} {image}");
        let out = rl.run(&["inspect", "--size", "-f", "{{.SizeRw}} {{.SizeRootFs}}", "c"]).success().stdout;
        assert_eq!(out, format!("3000 {}\n", image + 3000));
    }

    #[test]
    fn a_template_asks_an_image_for_what_it_does_not_set() {
        let rl = Rl::new();
        let template = "{{.Config.Entrypoint}}|{{.Config.User}}|{{len .Config.Volumes}}|{{if .Config.Healthcheck}}checked{{end}}|{{json .Config.Cmd}}";
        for words in [&["image", "inspect"][..], &["inspect"], &["inspect", "--type", "image"]] {
            let out = rl.run(&[words, &["-f", template, "busybox"]].concat()).success().stdout;
            assert_eq!(out, "[]||0||null\n", "{words:?}");
        }
        let document = rl.run(&["image", "inspect", "busybox"]).success().stdout;
        assert!(!document.contains("Entrypoint") && !document.contains("Healthcheck"), "{document}");
        assert_eq!(rl.run(&["image", "inspect", "-f", "{{json .Config.Env}}", "busybox"]).success().stdout, "null\n");
        rl.run(&["image", "inspect", "-f", "{{.Config.Entrypont}}", "busybox"]).fails_with(125);
    }

    #[test]
    fn inspect_of_several_shows_those_that_are_there_and_a_verb_about_none_ends_with_1() {
        let rl = Rl::new();
        rl.run(&["network", "create", "inner"]).success();
        for (words, shown) in [
            (&["image", "inspect", "-f", "{{.Os}}", "busybox", "none", "busybox:latest"][..], "linux\nlinux\n"),
            (&["network", "inspect", "-f", "{{.Name}}", "none", "inner"], "inner\n"),
            (&["image", "inspect", "none"], "[]\n"),
            (&["network", "inspect", "none"], "[]\n"),
            (&["volume", "inspect", "none"], "[]\n"),
            (&["history", "none"], ""),
            (&["tag", "none", "other"], ""),
            (&["rmi", "none"], ""),
            (&["image", "tree", "none"], ""),
        ] {
            let out = rl.run(words).fails_with(1);
            assert_eq!(out.stdout, shown, "{words:?}");
            assert!(out.stderr.contains("\"none\""), "{words:?}: {}", out.stderr);
        }
        for verb in ["run", "create"] {
            let out = rl.run(&[verb, "--pull=never", "none", "true"]).fails_with(125);
            assert!(out.stderr.contains("RL0301"), "{}", out.stderr);
        }
    }

    /// The table had its headings for rows: no test had looked at it without a template of its own.
    #[test]
    fn stats_has_a_row_below_dockers_headings_for_each_that_runs() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        background(&rl, &["--name", "one", "busybox", "sleep", "1000"]);
        background(&rl, &["--name", "two", "busybox", "sleep", "1000"]);
        let out = rl.run(&["stats", "--no-stream"]).success().stdout;
        let mut lines = out.lines();
        let headings = "CONTAINER ID NAME CPU % MEM USAGE / LIMIT MEM % NET I/O BLOCK I/O PIDS";
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(lines.next().map(words).map(|words| words.join(" ")).as_deref(), Some(headings));
        let mut names: Vec<_> = lines.map(|line| words(line)[1].clone()).collect();
        names.sort();
        assert_eq!(names, ["one", "two"], "{out}");
        // The example of docker's documentation.
        let out = rl.run(&["stats", "--no-stream", "--format", "{{.Container}}: {{.CPUPerc}}", "one"]).success().stdout;
        let id = rl.run(&["ps", "-q", "--filter", "name=one"]).success().stdout;
        assert!(out.starts_with(&format!("{}: ", id.trim())), "{out}");
    }

    #[test]
    fn the_latest_is_meant_by_every_verb_that_takes_one() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        let nothing = rl.run(&["attach", "-l"]).fails_with(1);
        assert!(nothing.stderr.contains("RL0804"), "{}", nothing.stderr);
        background(&rl, &["--name", "old", "busybox", "sleep", "1000"]);
        background(
            &rl,
            &["--name", "new", "--hostname", "new", "busybox", "sh", "-c", "echo up; touch /made; sleep 1000"],
        );
        crate::eventually("it has written", || rl.run(&["logs", "-l"]).success().stdout == "up\n");
        assert_eq!(rl.run(&["exec", "-l", "hostname"]).success().stdout, "new\n");
        assert_eq!(rl.run(&["inspect", "-l", "-t", "container", "-f", "{{.Name}}"]).success().stdout, "/new\n");
        assert_eq!(rl.run(&["diff", "-l"]).success().stdout, "A /made\n");
        assert!(rl.run(&["top", "-l", "-o", "args"]).success().stdout.contains("sleep 1000"));
        assert!(rl.run(&["top", "old", "args"]).success().stdout.contains("sleep 1000"));
        assert_eq!(rl.run(&["port", "-l"]).success().stdout, "");
        assert_eq!(rl.run(&["stats", "-l", "--no-stream", "--format", "{{.Name}}"]).success().stdout, "new\n");
        assert!(rl.run(&["commit", "-q", "-l", "-s", "new:1"]).success().stdout.starts_with("sha256:"));
        let layers = rl.run(&["image", "inspect", "-f", "{{len .RootFS.Layers}}", "new:1"]).success().stdout;
        assert_eq!(layers, "1\n", "one layer with all of it");
        rl.run(&["run", "--rm", "new:1", "ls", "/made"]).success();
        let file = rl.dir("files").join("new.tar");
        rl.run(&["export", "-l", "-o", &file.to_string_lossy()]).success();
        assert!(file.metadata().is_ok_and(|meta| meta.len() > 1_000_000));
        for verb in ["logs", "attach", "diff", "export", "port", "commit"] {
            rl.run(&[verb]).fails_with(125);
        }
    }

    #[test]
    fn scripts_of_podman_ask_whether_it_is_there_and_wait_for_what_it_does() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        rl.run(&["container", "exists", "c"]).fails_with(1);
        let file = rl.dir("files").join("id");
        let cid = file.to_string_lossy();
        let health = ["--health-cmd", "test -e /well", "--health-interval", "50ms", "--health-retries", "1"];
        let made = ["create", "--name", "c", "--cidfile", &cid, "-v", "data:/data"];
        rl.run(&[&made[..], &health, &["busybox", "sleep", "1000"]].concat()).success();
        rl.run(&["container", "exists", "c"]).success();
        rl.run(&["volume", "exists", "data"]).success();
        rl.run(&["volume", "exists", "other"]).fails_with(1);
        assert_eq!(rl.run(&["wait", "--condition=created", "c"]).success().stdout, "-1\n");
        let mut waiting = rl.command(&["wait", "--condition", "running,exited", "c"]).spawn();
        rl.run(&["start", "c"]).success();
        waiting.wait_for_line("-1");
        waiting.finish().success();
        rl.run(&["wait", "--condition=unhealthy", "c"]).success();
        let waiting = rl.command(&["wait", "--condition=healthy", "c"]).spawn();
        rl.run(&["exec", "c", "touch", "/well"]).success();
        waiting.finish().success();
        assert_eq!(
            rl.run(&["ps", "--noheading", "--sort", "names", "--format", "table {{.Names}}"]).success().stdout,
            "c\n"
        );
        rl.run(&["stop", "-t", "0", "--cidfile", &cid]).success();
        assert_eq!(rl.run(&["wait", "--condition=exited", "c"]).success().stdout, "137\n");
        assert_eq!(rl.run(&["restart", "--running"]).success().stdout, "", "it does not run");
        rl.run(&["rm", "--cidfile", &cid]).success();
        let missing = file.with_extension("no");
        rl.run(&["rm", "-i", "--cidfile", &missing.to_string_lossy()]).success();
        rl.run(&["rm", "--cidfile", &missing.to_string_lossy()]).fails_with(125);
    }

    #[test]
    fn events_tell_what_has_happened_and_follow() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        let mut follower = rl.command(&["events", "--format", "{{.Action}} {{.Actor.Attributes.name}}"]).spawn();
        // It is there when its file is.
        crate::eventually("it follows", || rl.runroot().join("events/log").exists());
        background(&rl, &["--name", "c", "busybox", "sh", "-c", "exit 2"]);
        rl.run(&["wait", "c"]).success();
        rl.run(&["rm", "c"]).success();
        for event in ["create c", "start c", "die c", "destroy c"] {
            follower.wait_for_line(event);
        }
        nix::sys::signal::kill(follower.pid(), nix::sys::signal::Signal::SIGTERM).expect("kill");
        follower.finish();
        let out = rl.run(&[
            "events",
            "--since",
            "1m",
            "--until",
            "0s",
            "--filter",
            "event=die",
            "--format",
            "{{.Actor.Attributes.exitCode}}",
        ]);
        assert_eq!(out.success().stdout, "2\n");
    }

    /// As docker's documentation has them: its JSON says `id`, its templates `.ID`.
    #[test]
    fn events_have_the_fields_of_dockers_templates_and_are_chosen_by_the_kind_of_a_check() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        let health = ["--health-cmd", "true", "--health-interval", "1s"];
        let id = background(&rl, &[&["--name", "c"][..], &health, &["busybox", "sleep", "1000"]].concat());
        rl.run(&["wait", "--condition", "healthy", "c"]).success();
        let told = |event: &str| {
            let format = "Type={{.Type}} Status={{.Status}} ID={{.ID}} From={{.From}} Name={{.Name}}";
            let filter = format!("event={event}");
            let words = ["events", "--since", "1m", "--until", "0s", "--filter", &filter, "--format", format];
            rl.run(&words).success().stdout
        };
        let line = |status: &str| format!("Type=container Status={status} ID={id} From=busybox Name=c\n");
        assert_eq!(told("start"), line("start"));
        assert_eq!(told("health_status"), line("health_status: healthy"));
        assert_eq!(told("health_status: healthy"), line("health_status: healthy"));
        assert_eq!(told("health"), "");
    }

    #[test]
    fn a_label_is_asked_for_by_its_name_as_in_docker() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        rl.run(&["create", "--name", "c", "-l", "a=b", "-l", "org.some-label=d e", "busybox", "true"]).success();
        let ps = |format: &str| rl.run(&["ps", "-a", "--format", format]).success().stdout;
        let template =
            r#"{{.Label "a"}}|{{.Label "org.some-label"}}|{{.Label "none"}}|{{with .Names}}{{$.Label `a`}}{{end}}"#;
        assert_eq!(ps(template), "b|d e||b\n");
        let table = ps(r#"table {{.Names}}\t{{.Label "org.some-label"}}"#);
        assert_eq!(table, "NAMES     SOME LABEL\nc         d e\n");
        rl.run(&["volume", "create", "-l", "x=y", "data"]).success();
        assert_eq!(rl.run(&["volume", "ls", "--format", r#"{{.Label "x"}}"#]).success().stdout, "y\n");
    }

    #[test]
    fn what_runs_again_shows_no_status_of_its_last_end() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        background(&rl, &["--name", "c", "busybox", "sleep", "1000"]);
        let ps = || rl.run(&["ps", "-a", "--format", "{{.State}} {{.ExitCode}}"]).success().stdout;
        rl.run(&["stop", "-t", "0", "c"]).success();
        assert_eq!(ps(), "exited 137\n");
        rl.run(&["start", "c"]).success();
        assert_eq!(ps(), "running 0\n");
    }

    #[test]
    fn wait_prints_each_status_and_a_second_time_as_well() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        background(&rl, &["--name", "a", "busybox", "sh", "-c", "sleep 0.3; exit 3"]);
        background(&rl, &["--name", "b", "busybox", "sh", "-c", "exit 4"]);
        assert_eq!(rl.run(&["wait", "a", "b"]).success().stdout, "3\n4\n");
        assert_eq!(rl.run(&["wait", "a"]).success().stdout, "3\n");
        rl.run(&["wait", "nosuch"]).fails_with(1);
    }

    #[test]
    fn top_shows_the_processes_of_a_container_and_of_exec_without_a_ps_of_the_image() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        background(&rl, &["--name", "c", "busybox", "sh", "-c", "sleep 1001 & exec sleep 1000"]);
        background(&rl, &["--name", "other", "busybox", "sleep", "1002"]);
        rl.run(&["exec", "-d", "c", "sleep", "1003"]).success();
        let lines = |words: &[&str]| -> Vec<Vec<String>> {
            let out = rl.run(&[&["top", "c"], words].concat()).success().stdout;
            out.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
        };
        let count = |words: &[&str]| lines(words).len();
        crate::eventually("all three are there", || count(&[]) == 4);
        let all = lines(&[]);
        assert_eq!(all[0], ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]);
        assert_eq!(all[1][1], inspect(&rl, "c", "{{.State.Pid}}"), "the host's numbers");
        let mut last: Vec<_> = all[1..].iter().map(|line| line.last().expect("a word").as_str()).collect();
        last.sort_unstable();
        assert_eq!(last, ["1000", "1001", "1003"]);
        assert!(all[1..].iter().all(|line| line[0] == "root"), "{all:?}");
        assert_eq!(lines(&["cpid", "comm"])[..2], [["CPID", "COMMAND"], ["1", "sleep"]]);
        assert_eq!(lines(&["aux"])[0].len(), 11);
        rl.run(&["top", "c", "-o", "colour"]).fails_with(125);
        rl.run(&["top", "nosuch"]).fails_with(1);
    }

    /// Attack 27.
    #[test]
    fn a_tables_cells_hold_no_escapes() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        rl.run(&["create", "--name", "c", "--label", "l=\u{1b}[2J", "busybox", "echo", "\u{1b}]52;c;aGk=\u{7}\r\n"])
            .success();
        let out = rl.run(&["ps", "-a", "--no-trunc"]).success().stdout;
        assert!(!out.contains('\u{1b}') && !out.contains('\r') && out.lines().count() == 2, "{out:?}");
    }
}

mod as_user {
    use std::net::TcpListener;

    use crate::support::Rl;
    use crate::{Clean, background, inspect};

    fn free_port() -> u16 {
        TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port()
    }

    #[test]
    fn ports_and_addresses_are_where_docker_s_templates_look_for_them() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        let port = free_port();
        let publish = format!("127.0.0.1:{port}:80");
        background(&rl, &["--name", "web", "-p", &publish, "busybox", "sleep", "1000"]);
        background(&rl, &["--name", "alone", "--network", "none", "busybox", "sleep", "1000"]);
        for (template, shown) in [
            ("{{(index (index .NetworkSettings.Ports \"80/tcp\") 0).HostPort}}", port.to_string()),
            (
                "{{range $p, $at := .NetworkSettings.Ports}}{{$p}} {{(index $at 0).HostIp}}{{end}}",
                "80/tcp 127.0.0.1".into(),
            ),
            ("{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.Gateway}}{{end}}", "10.0.2.100 10.0.2.2".into()),
            ("{{.NetworkSettings.IPAddress}}/{{.NetworkSettings.IPPrefixLen}}", "10.0.2.100/24".into()),
            ("{{.HostConfig.NetworkMode}} {{json .Config.ExposedPorts}}", "slirp4netns {\"80/tcp\":{}}".into()),
            (
                "{{json .HostConfig.PortBindings}}",
                format!("{{\"80/tcp\":[{{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"{port}\"}}]}}"),
            ),
        ] {
            assert_eq!(inspect(&rl, "web", template), shown, "{template}");
        }
        let template = "{{.HostConfig.NetworkMode}} {{json .NetworkSettings.Ports}} {{.NetworkSettings.IPAddress}}";
        assert_eq!(inspect(&rl, "alone", template), "none {}");
        let column = format!("127.0.0.1:{port}->80/tcp");
        assert!(rl.run(&["ps"]).success().stdout.contains(&column));
        let published = format!("publish={port}");
        for (filter, names) in [
            (published.as_str(), "web\n"),
            ("publish=1-2", ""),
            ("expose=80/tcp", "web\n"),
            ("expose=80/udp", ""),
            ("network=none", "alone\n"),
        ] {
            let out = rl.run(&["ps", "--filter", filter, "--format", "{{.Names}}"]).success();
            assert_eq!(out.stdout, names, "{filter}");
        }
        rl.run(&["ps", "--filter", "publish=x"]).fails_with(125);
        rl.run(&["stop", "-t", "0", "web"]).success();
        assert_eq!(inspect(&rl, "web", "{{json .NetworkSettings.Ports}}{{.NetworkSettings.IPAddress}}"), "{}");
    }

    #[test]
    fn limits_are_shown_as_they_were_asked_for() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        let flags = ["-m", "64m", "--cpus", "1.5", "--pids-limit", "100", "--cpu-shares", "512"];
        rl.run(&[&["create", "--name", "c"][..], &flags, &["busybox", "true"]].concat()).success();
        let template = "{{with .HostConfig}}{{.Memory}} {{.NanoCpus}} {{.CpuQuota}}/{{.CpuPeriod}} {{.PidsLimit}} {{.CpuShares}}{{end}}";
        assert_eq!(inspect(&rl, "c", template), "67108864 1500000000 150000/100000 100 512");
        rl.run(&["create", "--name", "free", "busybox", "true"]).success();
        let template =
            "{{with .HostConfig}}{{.Memory}} {{.NanoCpus}} {{.PidsLimit}} {{json .BlkioDeviceReadBps}}{{end}}";
        assert_eq!(inspect(&rl, "free", template), "0 0 0 []");
    }

    #[test]
    fn mounts_are_shown_and_found() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        let dir = rl.dir("host").display().to_string();
        let bind = format!("{dir}:/srv:ro");
        let flags = ["-v", &bind, "-v", "data:/data", "--tmpfs", "/scratch:size=1m"];
        rl.run(&[&["create", "--name", "c"][..], &flags, &["busybox", "true"]].concat()).success();
        assert_eq!(inspect(&rl, "c", "{{json .HostConfig.Binds}}"), format!("[\"{dir}:/srv:ro\",\"data:/data:rw\"]"));
        assert_eq!(
            inspect(&rl, "c", "{{range .Mounts}}{{.Type}} {{.Destination}} {{.RW}};{{end}}"),
            "bind /srv false;volume /data true;"
        );
        assert_eq!(inspect(&rl, "c", "{{json .HostConfig.Tmpfs}}"), "{\"/scratch\":\"size=1048576\"}");
        let shown = rl.run(&["ps", "-a", "--no-trunc", "--format", "{{.Mounts}} {{.LocalVolumes}}"]).success().stdout;
        assert_eq!(shown, format!("{dir},data 1\n"));
        for filter in ["volume=data", "volume=/srv"] {
            assert_eq!(rl.run(&["ps", "-aq", "--filter", filter]).success().stdout.lines().count(), 1, "{filter}");
        }
        assert_eq!(rl.run(&["ps", "-aq", "--filter", "volume=other"]).success().stdout, "");
    }
}
