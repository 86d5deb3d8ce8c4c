//! Volumes: named and anonymous, what is in them, whose they are, when they go.

mod everywhere {
    use crate::support::Rl;
    use crate::{Clean, background, inspect};

    fn names(rl: &Rl) -> Vec<String> {
        rl.run(&["volume", "ls", "-q"]).success().stdout.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_volume_outlives_its_containers_and_is_shared_by_them() {
        let rl = Rl::new();
        rl.run(&["run", "--rm", "-v", "data:/data", "busybox", "sh", "-c", "echo kept >/data/file"]).success();
        let out = rl.run(&["run", "--rm", "-v", "data:/other:ro", "busybox", "cat", "/other/file"]).success();
        assert_eq!(out.stdout, "kept\n");
        rl.run(&["run", "--rm", "-v", "data:/x:ro", "busybox", "touch", "/x/no"]).fails_with(1);
        let mount = ["run", "--rm", "--mount", "type=volume,src=data,dst=/x", "busybox", "cat", "/x/file"];
        assert_eq!(rl.run(&mount).success().stdout, "kept\n");
        // docker's default is a volume, too.
        let mount = ["run", "--rm", "--mount", "source=data,target=/x", "busybox", "cat", "/x/file"];
        assert_eq!(rl.run(&mount).success().stdout, "kept\n");
        assert_eq!(names(&rl), ["data"]);
        rl.run(&["volume", "rm", "data"]).success();
        assert!(names(&rl).is_empty());
    }

    #[test]
    fn a_new_volume_begins_with_the_images_files() {
        let rl = Rl::new();

        let of_the_image = rl.run(&["run", "--rm", "busybox", "sh", "-c", "cd /bin; ls -ln | sort"]).success().stdout;
        let copied = ["run", "--rm", "-v", "bin:/bin", "busybox", "sh", "-c", "cd /bin; ls -ln | sort"];
        assert_eq!(rl.run(&copied).success().stdout, of_the_image);
        // Only while it is empty.
        rl.run(&["run", "--rm", "-v", "etc:/data", "busybox", "touch", "/data/own"]).success();
        let out = rl.run(&["run", "--rm", "-v", "etc:/usr", "busybox", "ls", "/usr"]).success();
        assert_eq!(out.stdout, "own\n");
        let out = rl.run(&["run", "--rm", "-v", "none:/bin/sub:nocopy", "busybox", "ls", "/bin/sub"]).success();
        assert_eq!(out.stdout, "");
    }

    #[test]
    fn all_options_of_a_volume_go_together() {
        let rl = Rl::empty();
        let archive = crate::support::archive("busybox.tar").to_string_lossy().into_owned();
        rl.run(&["import", "-q", &archive, "busybox"]).success();
        rl.run(&["run", "--name", "make", "busybox", "sh", "-c", "mkdir /opt; echo of-the-image >/opt/file"]).success();
        rl.run(&["commit", "-q", "make", "tools"]).success();
        rl.run(&["rm", "make"]).success();
        let look = |options: &str| {
            let volume = format!("{}:/opt:{options}", options.replace(',', "-"));
            let script = "ls -A /opt; touch /opt/x 2>/dev/null && echo written || echo refused";
            rl.run(&["run", "--rm", "-v", &volume, "tools", "sh", "-c", script]).success().stdout
        };
        assert_eq!(look("z"), "file\nwritten\n");
        assert_eq!(look("ro,Z"), "file\nrefused\n");
        assert_eq!(look("nocopy"), "written\n");
        assert_eq!(look("U,ro,z,nocopy"), "refused\n");
    }

    /// docker's volume-subpath, in a volume to which containers write.
    #[test]
    fn a_part_of_a_volume_is_mounted_and_no_link_leads_out_of_it() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        let make = "mkdir -p /v/a/b; echo x >/v/a/b/file; ln -s /a/b /v/inside; ln -s ../../../../../../../../../etc /v/outside; \
                    ln -s /proc/self/root /v/magic";
        rl.run(&["run", "--rm", "-v", "data:/v", "busybox", "sh", "-c", make]).success();
        let part = |subpath: &str, more: &str| {
            format!("--mount=type=volume,src=data,dst=/part,volume-subpath={subpath}{more}")
        };
        let list = |subpath: &str| rl.run(&["run", "--rm", &part(subpath, ""), "busybox", "ls", "-A", "/part"]);
        assert_eq!(list("/a/b").success().stdout, "file\n");
        assert_eq!(list("/inside").success().stdout, "file\n");
        for bad in ["/outside", "/magic", "/magic/etc", "/nothing"] {
            let out = list(bad).fails_with(125);
            assert!(out.stderr.contains("RL0403"), "{bad}: {}", out.stderr);
        }
        // The first process ends while the parent still writes it down: the failure is told, not the broken pipe.
        for _ in 0..20 {
            assert!(list("/nothing").fails_with(125).stderr.contains("RL0403"));
        }
        for bad in ["../a", "/a/../b", "/"] {
            assert!(list(bad).fails_with(125).stderr.contains("RL0101"), "{bad}");
        }
        let write = |more: &str| rl.run(&["run", "--rm", &part("/a", more), "busybox", "touch", "/part/new"]);
        write(",ro").fails_with(1);
        write("").success();
        assert_eq!(rl.run(&["run", "--rm", "-v", "data:/v", "busybox", "ls", "/v/a"]).success().stdout, "b\nnew\n");
        // It is what --volumes-from hands on, and what rl cp finds before the first start.
        rl.run(&["create", "--name", "c", &part("/a/b", ""), "busybox", "true"]).success();
        let out = rl.dir("out").join("file");
        rl.run(&["start", "-a", "c"]).success();
        rl.run(&["cp", "c:/part/file", &out.to_string_lossy()]).success();
        assert_eq!(std::fs::read_to_string(&out).expect("the copy"), "x\n");
        let shown = rl.run(&["run", "--rm", "--volumes-from", "c", "busybox", "ls", "/part"]).success().stdout;
        assert_eq!(shown, "file\n");
        rl.run(&["volume", "rm", "data"]).fails_with(1);
    }

    #[test]
    fn anonymous_volumes_go_with_their_container() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        rl.run(&["run", "--rm", "-v", "/data", "busybox", "touch", "/data/x"]).success();
        assert!(names(&rl).is_empty(), "{:?}", names(&rl));
        background(&rl, &["--rm", "--name", "short", "-v", "/data", "busybox", "sleep", "1000"]);
        assert_eq!(names(&rl).len(), 1);
        rl.run(&["stop", "-t", "0", "short"]).success();
        crate::eventually("the volume goes with the container", || names(&rl).is_empty());
        background(&rl, &["--name", "stays", "-v", "/data", "-v", "named:/named", "busybox", "sleep", "1000"]);
        let used = names(&rl).into_iter().find(|name| name != "named").expect("an anonymous one");
        rl.run(&["volume", "rm", &used]).fails_with(1);
        rl.run(&["volume", "prune", "-af"]).success();
        assert_eq!(names(&rl).len(), 2, "what is used stays");
        rl.run(&["exec", "stays", "touch", "/data/x"]).success();
        rl.run(&["stop", "-t", "0", "stays"]).success();
        rl.run(&["start", "stays"]).success();
        rl.run(&["exec", "stays", "ls", "/data/x"]).success();
        assert_eq!(names(&rl).len(), 2, "a restart makes no new one");
        rl.run(&["rm", "-f", "-v", "-t", "0", "stays"]).success();
        assert_eq!(names(&rl), ["named"]);
    }

    #[test]
    fn volumes_have_verbs_of_their_own() {
        let rl = Rl::new();
        assert_eq!(rl.run(&["volume", "create", "--label", "a=b", "one"]).success().stdout, "one\n");
        rl.run(&["volume", "create", "one"]).success();
        rl.run(&["volume", "create", "two"]).success();
        assert_eq!(names(&rl), ["one", "two"]);
        assert_eq!(rl.run(&["volume", "ls", "-q", "-f", "label=a=b"]).success().stdout, "one\n");
        assert_eq!(rl.run(&["volume", "ls"]).success().stdout, "DRIVER    VOLUME NAME\nlocal     one\nlocal     two\n");
        let out = rl.run(&["volume", "inspect", "-f", "{{.Name}} {{.Driver}} {{.Labels.a}} {{.Mountpoint}}", "one"]);
        let place = rl.root().join("volumes/one/_data");
        assert_eq!(out.success().stdout, format!("one local b {}\n", place.display()));
        rl.run(&["volume", "rm", "none"]).fails_with(1);
        rl.run(&["volume", "rm", "-f", "none"]).success();
        for bad in ["../x", "-rf", "a/b", "a\nb", &"a".repeat(300)] {
            assert_ne!(rl.run(&["volume", "create", "--", bad]).code(), 0, "{bad:?}");
        }
        let out = rl.run(&["volume", "inspect", "-f", "{{.Name}}", "one", "none", "two"]).fails_with(1);
        assert_eq!(out.stdout, "one\ntwo\n");
        assert!(out.stderr.contains("\"none\""), "{}", out.stderr);
        let out = rl.run(&["volume", "rm", "one", "none", "two"]).fails_with(1);
        assert_eq!(out.stdout, "one\ntwo\n");
    }

    #[test]
    fn a_directory_stands_for_a_volume() {
        let rl = Rl::new();
        let dir = rl.dir("own");
        std::fs::write(dir.join("file"), "mine\n").expect("write");
        let device = format!("device={}", dir.display());
        rl.run(&["volume", "create", "-o", "type=none", "-o", &device, "-o", "o=bind", "dir"]).success();
        let run = |words: &[&str]| rl.run(&[&["run", "--rm", "--network", "none"], words].concat());
        let out = run(&["-v", "dir:/data", "busybox", "sh", "-c", "cat /data/file; echo new >/data/new"]);
        assert_eq!(out.success().stdout, "mine\n");
        assert_eq!(std::fs::read_to_string(dir.join("new")).expect("read"), "new\n");
        let out = rl.run(&["volume", "inspect", "-f", "{{.Mountpoint}} {{.Options.type}} {{.Options.o}}", "dir"]);
        assert_eq!(out.success().stdout, format!("{} none bind\n", dir.display()));
        rl.run(&["volume", "create", "-o", &device, "--opt", "o=bind,ro", "reads"]).success();
        run(&["-v", "reads:/data", "busybox", "touch", "/data/x"]).fails_with(1);
        // Nothing of the user's own is given away or removed.
        assert!(run(&["-v", "dir:/data:U", "-u", "5", "busybox", "true"]).fails_with(125).stderr.contains("RL0455"));
        rl.run(&["volume", "rm", "dir", "reads"]).success();
        assert!(dir.join("file").exists());
        for bad in ["type=nfs", "o=size=1g", "bogus=1"] {
            assert!(rl.run(&["volume", "create", "-o", bad]).fails_with(125).stderr.contains("RL0101"), "{bad}");
        }
        rl.run(&["volume", "create", "-o", "type=none", "-o", "device=/no/where", "gone"]).success();
        assert!(run(&["-v", "gone:/data", "busybox", "true"]).fails_with(125).stderr.contains("/no/where"));
    }

    /// docker's example: `--opt type=tmpfs --opt device=tmpfs --opt o=size=100m,uid=1000`.
    #[test]
    fn a_volume_in_memory_is_there_while_its_container_runs_and_is_that_ones_alone() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        let options = ["-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m,mode=0700"];
        rl.run(&[&["volume", "create"][..], &options, &["memory"]].concat()).success();
        let script = "stat -c '%u %a %F' /data; df -k /data | tail -1; echo kept >/data/file; exec sleep 1000";
        background(&rl, &["--name", "c", "-v", "memory:/data", "busybox", "sh", "-c", script]);
        let logs = || rl.run(&["logs", "c"]).success().stdout;
        crate::eventually("it has written", || rl.run(&["exec", "c", "cat", "/data/file"]).stdout == "kept\n");
        crate::eventually("its log has both lines", || logs().lines().count() == 2);
        assert!(logs().starts_with("0 700 directory\ntmpfs ") && logs().contains(" 1024 "), "{}", logs());
        assert_eq!(rl.run(&["exec", "c", "sh", "-c", "head -c 2000000 /dev/zero >/data/big"]).code(), 1);
        assert!(rl.run(&["cp", "c:/data/file", "-"]).success().stdout.contains("kept"));
        // Another one would have other memory by that name.
        let other = ["run", "--rm", "-v", "memory:/data", "busybox", "ls", "-A", "/data"];
        let refused = rl.run(&other).fails_with(125);
        assert!(refused.stderr.contains("RL0453") && refused.stderr.contains("/dev/shm"), "{}", refused.stderr);
        assert!(rl.run(&["volume", "export", "memory"]).fails_with(125).stderr.contains("memory of the container"));
        rl.run(&["volume", "rm", "memory"]).fails_with(1);
        rl.run(&["stop", "-t", "0", "c"]).success();
        assert_eq!(rl.run(&other).success().stdout, "");
        // What is on the disk in its place is nobody's.
        assert_eq!(std::fs::read_dir(rl.root().join("volumes/memory/_data")).expect("read").count(), 0);
        let mount = inspect(&rl, "c", "{{(index .Mounts 0).Type}} {{(index .Mounts 0).Name}}");
        assert_eq!(mount, "volume memory");
        rl.run(&["rm", "c"]).success();
        rl.run(&["volume", "create", "-o", "type=tmpfs", "-o", "o=ro", "reads"]).success();
        rl.run(&["run", "--rm", "-v", "reads:/data", "busybox", "touch", "/data/x"]).fails_with(1);
        rl.run(&["volume", "rm", "memory", "reads"]).success();
    }

    #[test]
    fn what_is_in_a_volume_goes_out_and_comes_in_as_a_stream() {
        let rl = Rl::new();
        let script = "mkdir -p /data/d; echo x >/data/d/f; ln -s f /data/d/l; chmod 640 /data/d/f";
        rl.run(&["run", "--rm", "--network", "none", "-v", "one:/data", "busybox", "sh", "-c", script]).success();
        let (tar, out) = (rl.dir("out").join("one.tar").display().to_string(), rl.dir("out"));
        rl.run(&["volume", "export", "-o", &tar, "one"]).success();
        let listed = rl.plain_shell(&format!("tar -tf {tar} | sort; gzip -k {tar}")).success().stdout;
        assert!(listed.contains("d/f\n") && listed.contains("d/l\n"), "{listed}");
        let seen = |name: &str| {
            let volume = format!("{name}:/data");
            let script = "cat /data/d/f; readlink /data/d/l; stat -c %a /data/d/f";
            rl.run(&["run", "--rm", "--network", "none", "-v", &volume, "busybox", "sh", "-c", script]).success().stdout
        };
        for (name, file) in [("two", tar.clone()), ("three", format!("{tar}.gz"))] {
            rl.run(&["volume", "create", name]).success();
            rl.run(&["volume", "import", name, &file]).success();
            assert_eq!(seen(name), "x\nf\n640\n");
        }
        // From one to the other, and no name that leads out of it.
        let binary = rl.binary().display().to_string();
        rl.run(&["volume", "create", "four"]).success();
        rl.shell(&format!("{binary} volume export one | {binary} volume import four -")).success();
        assert_eq!(seen("four"), "x\nf\n640\n");
        rl.plain_shell(&format!(
            "cd {0} && echo evil >evil && tar -cf evil.tar --transform 's,^,../../,' -P evil",
            out.display()
        ))
        .success();
        rl.run(&["volume", "import", "four", &out.join("evil.tar").display().to_string()]).fails_with(125);
        assert!(!rl.root().join("volumes/evil").exists() && !rl.root().join("volumes/four/evil").exists());
        rl.run(&["volume", "import", "none", &tar]).fails_with(1);
        rl.run(&["volume", "export", "none"]).fails_with(1);
        let place = rl.run(&["volume", "mount", "one"]).success().stdout;
        assert_eq!(place, format!("{}\n", rl.root().join("volumes/one/_data").display()));
        assert_eq!(rl.run(&["volume", "unmount", "one"]).success().stdout, "one\n");
    }

    #[test]
    fn volumes_are_chosen_by_the_keys_of_docker_and_podman() {
        let rl = Rl::new();
        let _clean = Clean(&rl);
        rl.run(&["volume", "create", "-l", "a=b", "one"]).success();
        rl.run(&["volume", "create", "-l", "a=c", "-o", "o=nocopy", "two"]).success();
        rl.run(&["create", "-v", "two:/data", "-v", "/anon", "busybox", "true"]).success();
        let of = |filters: &[&str]| {
            let flags: Vec<_> = filters.iter().flat_map(|filter| ["--filter", filter]).collect();
            let out = rl.run(&[&["volume", "ls", "--format", "{{.Name}}"][..], &flags].concat()).success().stdout;
            out.lines()
                .map(|name| if name.len() == 64 { "anonymous" } else { name }.to_owned())
                .collect::<Vec<_>>()
                .join(" ")
        };
        for (filters, wanted) in [
            (&["name=one", "name=two"][..], "one two"),
            (&["label=a"], "one two"),
            (&["label=a=b"], "one"),
            (&["label!=a=b", "anonymous=false"], "two"),
            (&["opt=o=nocopy"], "two"),
            (&["opt=o", "label=a=b"], ""),
            (&["dangling=true"], "one"),
            (&["anonymous=true"], "anonymous"),
            (&["since=one", "name=two"], "two"),
            (&["driver=local", "name=one"], "one"),
            (&["driver=nfs"], ""),
            (&["until=0s", "name=one"], "one"),
        ] {
            assert_eq!(of(filters), wanted, "{filters:?}");
        }
        rl.run(&["volume", "ls", "--filter", "bogus=1"]).fails_with(125);
        rl.run(&["volume", "ls", "--filter", "since=none"]).fails_with(1);
        rl.run(&["volume", "prune", "-a", "-f", "--filter", "label=a=c"]).success();
        assert_eq!(of(&["label=a"]), "one two");
        assert_eq!(rl.run(&["volume", "prune", "-a", "-f", "--filter", "label=a=b"]).success().stdout, "one\n");
    }

    #[test]
    fn a_plan_makes_no_volume() {
        let rl = Rl::new();
        let out = rl.run(&["run", "--plan=json", "-v", "data:/data", "busybox", "true"]).success();
        assert!(out.stdout.contains("volumes/data/_data") && out.stdout.contains("\"copy\": true"), "{}", out.stdout);
        assert!(names(&rl).is_empty());
    }
}

mod full_map {
    use std::os::unix::fs::{MetadataExt, symlink};

    use crate::support::{Canary, Rl};

    /// Row 30.
    #[test]
    fn u_gives_away_what_is_in_the_volume_and_nothing_else() {
        let rl = Rl::new();
        let canary: Canary = rl.canary();
        let (dir, outside) = (rl.dir("volume"), rl.dir("outside"));
        std::fs::create_dir(dir.join("sub")).expect("mkdir");
        for file in ["own", "sub/own"] {
            std::fs::write(dir.join(file), "").expect("write");
        }
        std::fs::write(outside.join("secret"), "").expect("write");
        std::fs::hard_link(dir.join("own"), dir.join("sub/twin")).expect("link");
        symlink(&outside, dir.join("away")).expect("symlink");
        symlink(outside.join("secret"), dir.join("file")).expect("symlink");
        std::fs::hard_link(outside.join("secret"), dir.join("hard")).expect("link");
        let me = std::fs::metadata(outside.join("secret")).expect("stat").uid();
        let volume = format!("{}:/data:U", dir.display());
        let nested = format!("{}:/data/nested", outside.display());
        let script = "stat -c '%u:%g %n' /data /data/own /data/sub /data/sub/own /data/sub/twin /data/hard";
        let out = rl.run(&["run", "--rm", "-u", "7:8", "-v", &volume, "-v", &nested, "busybox", "sh", "-c", script]);
        let wanted = "7:8 /data\n7:8 /data/own\n7:8 /data/sub\n7:8 /data/sub/own\n7:8 /data/sub/twin\n0:0 /data/hard\n";
        assert_eq!(out.success().stdout, wanted);
        for path in [&outside, &outside.join("secret")] {
            assert_eq!(std::fs::metadata(path).expect("stat").uid(), me, "{}", path.display());
        }
        canary.is_untouched("U");
        let home = std::env::var("HOME").expect("HOME");
        let above = std::path::Path::new(&home).parent().expect("a parent").display().to_string();
        for path in [home.as_str(), "/", &above] {
            let out =
                rl.command(&["run", "--rm", "-v", &format!("{path}:/data:U"), "busybox", "true"]).env("HOME", &home);
            let out = out.output().fails_with(125);
            assert!(out.stderr.contains("RL0455"), "{path}: {}", out.stderr);
        }
    }

    #[test]
    fn a_new_volume_belongs_to_the_containers_root_whoever_that_is() {
        for map in ["keep-id", "auto", "nomap"] {
            let rl = Rl::new();
            let flag = format!("--userns={map}");
            let words = [
                "run",
                "--rm",
                "-u",
                "0",
                &flag,
                "-v",
                "data:/data",
                "busybox",
                "sh",
                "-c",
                "stat -c %u:%g /data; echo x >/data/x",
            ];
            assert_eq!(rl.run(&words).success().stdout, "0:0\n", "{map}");
        }
    }

    #[test]
    fn owners_modes_and_attributes_of_the_image_come_along() {
        let rl = Rl::with_debian();
        let script = "stat -c '%u:%g %a %n' /var/mail /var/cache/apt /var/cache/apt/archives /var/cache/apt/archives/partial 2>/dev/null; getcap -r /usr/bin 2>/dev/null";
        let plain = rl.run(&["run", "--rm", "debian", "sh", "-c", script]);
        let out = rl.run(&[
            "run",
            "--rm",
            "-v",
            "mail:/var/mail",
            "-v",
            "cache:/var/cache",
            "-v",
            "bin:/usr/bin",
            "debian",
            "sh",
            "-c",
            script,
        ]);
        assert_eq!(out.stdout, plain.stdout);
        assert!(out.stdout.contains("/var/mail"), "{}", out.stdout);
    }

    #[test]
    fn a_new_volume_belongs_to_whom_its_options_say() {
        let rl = Rl::new();
        rl.run(&["volume", "create", "-o", "o=uid=33,gid=44", "data"]).success();
        let words = [
            "run",
            "--rm",
            "--network",
            "none",
            "-v",
            "data:/data",
            "-u",
            "33:44",
            "busybox",
            "sh",
            "-c",
            "stat -c %u:%g /data; touch /data/x",
        ];
        assert_eq!(rl.run(&words).success().stdout, "33:44\n");
    }
}
