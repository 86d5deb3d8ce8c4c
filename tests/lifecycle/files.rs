//! The files of containers that run and of those that do not: cp, export, diff.

mod everywhere {
    use std::fs;
    use std::io::Write;
    use std::process::Stdio;

    use crate::support::Rl;
    use crate::{Clean, background, entries, eventually, inspect};

    /// A container that has run `script` and ended.
    fn ended(rl: &Rl, name: &str, flags: &[&str], script: &str) {
        let words = [&["run", "--name", name], flags, &["busybox", "sh", "-c", script]].concat();
        rl.run(&words).success();
    }

    /// What a tar stream has, by name.
    fn listed(rl: &Rl, words: &str) -> Vec<String> {
        let listed = rl.shell(&format!("{} {words} | tar -tf - | sort", rl.binary().display())).success().stdout;
        listed.lines().map(str::to_owned).collect()
    }

    #[test]
    fn cp_reaches_containers_that_do_not_run_and_leaves_nothing_behind() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        let here = rl.dir("here");
        let path = |name: &str| here.join(name).to_string_lossy().into_owned();
        fs::write(here.join("file"), "from here\n").expect("write");
        ended(&rl, "ended", &[], "mkdir -p /srv/deep; echo inside >/srv/deep/f; ln -s deep/f /srv/link");
        rl.run(&["create", "--name", "new", "busybox", "cat", "/etc/brought"]).success();
        rl.run(&["cp", "ended:/srv", &path("srv")]).success();
        assert_eq!(fs::read_to_string(here.join("srv/deep/f")).expect("read"), "inside\n");
        assert!(here.join("srv/link").is_symlink());
        rl.run(&["cp", "-L", "ended:/srv/link", &path("followed")]).success();
        assert_eq!(fs::read_to_string(here.join("followed")).expect("read"), "inside\n");
        // One that was never started has the files when it is.
        rl.run(&["cp", &path("file"), "new:/etc/brought"]).success();
        assert_eq!(rl.run(&["start", "-a", "new"]).success().stdout, "from here\n");
        // From one to the other, and as a stream.
        rl.run(&["cp", "ended:/srv/deep", "new:/tmp-of-mine"]).success();
        assert_eq!(listed(&rl, "cp new:/tmp-of-mine -"), ["tmp-of-mine/", "tmp-of-mine/f"]);
        let stream = format!("tar -C {} -cf - file | {} cp - ended:/srv", here.display(), rl.binary().display());
        rl.shell(&stream).success();
        assert_eq!(listed(&rl, "cp ended:/srv/file -"), ["file"]);
        rl.run(&["cp", "ended:/none", &path("x")]).fails_with(125);
        rl.run(&["cp", "nosuch:/none", &path("x")]).fails_with(1);
        assert_eq!(entries(&rl.runroot().join("containers")), 0, "a run directory was left");
        assert_eq!(inspect(&rl, "ended", "{{.State.Status}} {{.State.ExitCode}}"), "exited 0");
    }

    #[test]
    fn cp_sees_the_volumes_of_a_container_that_does_not_run() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        let (here, bound) = (rl.dir("here"), rl.dir("bound"));
        fs::write(here.join("file"), "x").expect("write");
        let bind = format!("{}:/bound:ro", bound.display());
        ended(&rl, "c", &["-v", "data:/data", "-v", &bind], "echo kept >/data/kept");
        assert_eq!(listed(&rl, "cp c:/data -"), ["data/", "data/kept"]);
        rl.run(&["cp", &here.join("file").to_string_lossy(), "c:/data/brought"]).success();
        assert_eq!(
            rl.run(&["run", "--rm", "-v", "data:/d", "busybox", "ls", "/d"]).success().stdout,
            "brought\nkept\n"
        );
        rl.run(&["cp", &here.join("file").to_string_lossy(), "c:/bound/"]).fails_with(125);
        assert_eq!(entries(&bound), 0, "a read-only volume was written to");
        // Neither export nor diff show what is in a volume.
        assert!(!listed(&rl, "export c").contains(&"data/kept".to_owned()));
        assert!(!rl.run(&["diff", "c"]).success().stdout.contains("kept"));
    }

    #[test]
    fn nobody_starts_a_container_while_its_files_are_copied() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        ended(&rl, "c", &[], "true");
        let mut copy = rl.command(&["cp", "-", "c:/"]).piped_stdin().spawn();
        eventually("the copy has the container in hand", || entries(&rl.runroot().join("containers")) == 1);
        let mut start = std::process::Command::new(rl.binary());
        start.arg("--root").arg(rl.root()).arg("--runroot").arg(rl.runroot()).args(["start", "c"]);
        let mut start = start.stdout(Stdio::null()).spawn().expect("rl start");
        // An empty archive: two blocks of zeros.
        copy.type_in(&String::from_utf8(vec![0; 1024]).expect("zeros"));
        assert!(start.try_wait().expect("look").is_none(), "it was started under a copy");
        copy.finish().success();
        assert!(start.wait().expect("wait").success());
        rl.run(&["wait", "c"]).success();
    }

    /// Row 6, for containers that do not run: what they have left can't lead out.
    #[test]
    fn links_of_a_container_that_does_not_run_lead_nowhere_else() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        let canary = rl.canary();
        let (here, host) = (rl.dir("here"), canary.path().to_string_lossy().into_owned());
        fs::write(here.join("file"), "x").expect("write");
        let file = here.join("file").to_string_lossy().into_owned();
        let out = |name: &str| here.join(name).to_string_lossy().into_owned();
        let script = format!(
            "ln -s {host} /away; ln -s ../../../../..{host} /up; ln -s /proc/self/root{host} /proc-link; mkfifo /fifo; ln -s {host} /vol"
        );
        ended(&rl, "c", &["-v", "empty:/x"], &script);
        for link in ["/away", "/up", "/proc-link", "/vol"] {
            rl.run(&["cp", &format!("c:{link}/secret"), &out("got")]).fails_with(125);
            let _ = rl.run(&["cp", "-L", &format!("c:{link}"), &out("followed")]);
            let _ = rl.run(&["cp", &file, &format!("c:{link}/secret")]);
            let _ = rl.run(&["cp", &file, &format!("c:{link}/new")]);
        }
        rl.run(&["cp", "c:/fifo", &out("fifo")]).success();
        assert!(listed(&rl, "export c").contains(&"fifo".to_owned()));
        rl.run(&["diff", "c"]).success();
        canary.is_untouched("cp, export and diff");
        for name in ["got", "followed"] {
            assert!(
                !here.join(name).join("secret").exists() && !here.join(name).is_file(),
                "{name} has come from outside"
            );
        }
    }

    #[test]
    fn diff_tells_what_was_changed_added_and_deleted() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        let script = "mkdir -p /srv/d; echo hi >/srv/d/f; rm /etc/passwd; chmod 700 /tmp; mv /bin/acpid /bin/renamed; \
                      rm -r /root; mkdir /root; echo x >>/etc/group";
        let wanted = "C /bin\nD /bin/acpid\nA /bin/renamed\nC /etc\nC /etc/group\nD /etc/passwd\nA /srv\nA /srv/d\nA /srv/d/f\nC /tmp\n";
        ended(&rl, "c", &[], "true");
        assert_eq!(rl.run(&["diff", "c"]).success().stdout, "", "what rl itself makes is no change");
        let said = |name: &str| {
            let said = rl.run(&["diff", name]).success().stdout;
            // Of a directory that was made anew only the mode may differ.
            said.lines().filter(|line| !line.ends_with("/root")).map(|line| format!("{line}\n")).collect::<String>()
        };
        ended(&rl, "one", &[], script);
        assert_eq!(said("one"), wanted);
        background(&rl, &["--name", "two", "busybox", "sh", "-c", &format!("{script}; echo ready; sleep 1000")]);
        eventually("it is ready", || rl.run(&["logs", "two"]).stdout.contains("ready"));
        assert_eq!(said("two"), wanted);
        rl.run(&["--storage-driver", "copy", "run", "--name", "three", "busybox", "sh", "-c", script]).success();
        assert_eq!(said("three"), wanted);
        let json = rl.run(&["diff", "--format", "json", "one"]).success().stdout;
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(json["deleted"], serde_json::json!(["/bin/acpid", "/etc/passwd"]));
        rl.run(&["create", "--name", "never", "busybox", "true"]).success();
        assert_eq!(rl.run(&["diff", "never"]).success().stdout, "");
        let root = rl.busybox_root();
        rl.run(&["run", "--name", "dir", "--rootfs", &root.to_string_lossy(), "true"]).success();
        assert!(rl.run(&["diff", "dir"]).fails_with(125).stderr.contains("RL0462"));
        rl.run(&["diff", "nosuch"]).fails_with(1);
    }

    #[test]
    fn an_export_is_the_tree_that_the_container_sees_and_can_be_imported() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        let script = "mkdir /mine; echo text >/mine/file; ln /mine/file /mine/hard; ln -s file /mine/soft; mkfifo /mine/fifo; rm /etc/passwd";
        ended(&rl, "one", &[], script);
        background(&rl, &["--name", "two", "busybox", "sh", "-c", &format!("{script}; echo ready; sleep 1000")]);
        eventually("it is ready", || rl.run(&["logs", "two"]).stdout.contains("ready"));
        let (one, two) = (listed(&rl, "export one"), listed(&rl, "export two"));
        assert_eq!(one, two, "running or not is no difference");
        for name in ["bin/busybox", "mine/", "mine/file", "mine/hard", "mine/soft", "mine/fifo", "etc/hosts", "proc/"] {
            assert!(one.contains(&name.to_owned()), "{name}");
        }
        assert!(!one.contains(&"etc/passwd".to_owned()) && !one.iter().any(|name| name.starts_with("proc/1")));
        let file = rl.dir("here").join("out.tar");
        rl.run(&["export", "-o", &file.to_string_lossy(), "one"]).success();
        let other = Rl::empty();
        other.run(&["import", "-q", &file.to_string_lossy(), "flat"]).success();
        let out = other.run(&[
            "run",
            "--rm",
            "flat",
            "sh",
            "-c",
            "cat /mine/hard; stat -c %h /mine/file; readlink /mine/soft",
        ]);
        assert_eq!(out.success().stdout, "text\n2\nfile\n");
        rl.run(&["export", "nosuch"]).fails_with(1);
        let _ = std::io::stdout().flush();
    }
}

mod full_map {
    use crate::support::Rl;
    use crate::{Clean, background, eventually};

    #[test]
    fn owners_modes_and_attributes_are_exported_as_the_container_has_them() {
        let rl = Rl::with_debian();
        let _clean = Clean(&rl);
        let script = "mkdir /mine; echo x >/mine/f; chown 7:8 /mine/f; chmod 4750 /mine/f; setcap cap_net_raw+ep /mine/f 2>/dev/null; \
                      ls -l /mine >/dev/null; echo ready; sleep 1000";
        for userns in ["full", "keep-id", "nomap"] {
            let flag = format!("--userns={userns}");
            background(&rl, &["--name", userns, &flag, "-u", "0", "debian", "sh", "-c", script]);
            eventually("it is ready", || rl.run(&["logs", userns]).stdout.contains("ready"));
            let binary = rl.binary().display().to_string();
            let list =
                format!("{binary} export {userns} | tar --numeric-owner -tvf - mine/f usr/bin/passwd etc/shadow");
            let running = rl.shell(&list).success().stdout;
            assert!(running.contains("-rwsr-x--- 7/8") && running.contains("-rw-r----- 0/42"), "{userns}: {running}");
            rl.run(&["stop", "-t", "0", userns]).success();
            assert_eq!(rl.shell(&list).success().stdout, running, "{userns}");
            let listed =
                rl.shell(&format!("{binary} cp {userns}:/mine - | tar --numeric-owner -tvf -")).success().stdout;
            assert!(listed.contains(" 7/8 "), "{userns}: {listed}");
        }
    }
}
