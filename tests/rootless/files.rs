//! The container's file tree.

mod everywhere {
    use crate::support::{Rl, binary};

    #[test]
    fn the_devices_and_links_of_dev_are_there_and_nothing_else() {
        let out = Rl::new().run(&["run", "--rm", "busybox", "ls", "/dev"]).success();
        let names: Vec<_> = out.stdout.split_whitespace().collect();
        let expected = [
            "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty",
            "urandom", "zero",
        ];
        assert_eq!(names, expected);
    }

    /// The bug: upper directory, mount targets and /etc/hosts had the caller's umask, and with 077 nobody but root could use them.
    #[test]
    fn a_callers_strict_umask_closes_nothing_in_the_container() {
        let rl = Rl::new();
        let source = rl.dir("source");
        let look =
            "stat -c '%a %n' / /etc/hosts /etc/hostname /etc/resolv.conf /new /new/place /volume /made/for; umask";
        let flags = format!("-v {}:/new/place -v named:/volume --tmpfs /made/for/it -w /made/for", source.display());
        std::fs::set_permissions(&source, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("chmod");
        let expected = "755 /\n644 /etc/hosts\n644 /etc/hostname\n644 /etc/resolv.conf\n755 /new\n755 /new/place\n\
                        755 /volume\n755 /made/for\n0022\n";
        let rl_binary = binary().display().to_string();
        let out = rl.shell(&format!("umask 077; {rl_binary} run --rm {flags} busybox sh -c \"{look}\""));
        assert_eq!(out.success().stdout, expected);
    }

    #[test]
    fn what_is_mounted_on_is_no_change_of_the_container() {
        let rl = Rl::new();
        rl.run(&["run", "--name", "box", "busybox", "touch", "/mine"]).success();
        let out = rl.run(&["diff", "box"]).success();
        assert_eq!(out.stdout, "A /mine\n");
        let image = "cat /etc/hosts; rm -f /etc/hosts2; ls /dev /proc /sys >/dev/null && ls /etc";
        let out = rl.run(&["run", "--rm", "busybox", "sh", "-c", image]).success();
        assert!(out.stdout.ends_with("group\nhostname\nhosts\npasswd\nresolv.conf\n"), "{}", out.stdout);
    }

    #[test]
    fn proc_and_sys_are_masked_and_read_only() {
        let script = "cat /proc/kcore /proc/keys /proc/timer_list 2>/dev/null | wc -c; ls /sys/firmware | wc -l; \
                      echo x 2>/dev/null >/proc/sys/kernel/domainname || echo refused; touch /sys/x 2>/dev/null || echo refused";
        let out = Rl::new().run(&["run", "--rm", "busybox", "sh", "-c", script]).success();
        assert_eq!(out.stdout, "0\n0\nrefused\nrefused\n");
    }

    #[test]
    fn a_volume_is_shared_and_read_only_is_obeyed_below_too() {
        let rl = Rl::new();
        let dir = rl.dir("v");
        std::fs::write(dir.join("file"), "from the host").expect("write");
        let rw = format!("{}:/v", dir.display());
        let ro = format!("{}:/v:ro", dir.display());
        assert_eq!(rl.run(&["run", "--rm", "-v", &rw, "busybox", "cat", "/v/file"]).success().stdout, "from the host");
        let out = rl.run(&["run", "--rm", "-v", &ro, "busybox", "touch", "/v/other"]).fails_with(1);
        assert!(out.stderr.contains("Read-only file system"), "{}", out.stderr);
        assert!(!dir.join("other").exists());
    }

    #[test]
    fn commas_colons_and_spaces_in_a_source_are_data() {
        let rl = Rl::new();
        let dir = rl.dir("a,b \\c");
        std::fs::write(dir.join("file"), "odd").expect("write");
        let mount = format!("type=bind,\"src={}\",dst=/v,ro", dir.display());
        assert_eq!(rl.run(&["run", "--rm", "--mount", &mount, "busybox", "cat", "/v/file"]).success().stdout, "odd");
    }

    #[test]
    fn a_missing_source_is_named_and_not_made() {
        let rl = Rl::new();
        let missing = rl.dir("x").join("missing");
        let out =
            rl.run(&["run", "--rm", "-v", &format!("{}:/v", missing.display()), "busybox", "true"]).fails_with(125);
        assert!(out.stderr.contains(&*missing.to_string_lossy()), "{}", out.stderr);
        assert!(!missing.exists());
    }

    #[test]
    fn a_tmpfs_has_its_size_and_mode() {
        let script = "stat -c %a /t; df -k /t | tail -1 | awk '{print $2}'";
        let out =
            Rl::new().run(&["run", "--rm", "--tmpfs", "/t:size=4m,mode=0700", "busybox", "sh", "-c", script]).success();
        assert_eq!(out.stdout, "700\n4096\n");
    }

    #[test]
    fn a_read_only_root_can_not_be_written_but_tmp_can() {
        let script = "touch /x 2>/dev/null || echo refused; touch /tmp/x && echo made";
        let out = Rl::new().run(&["run", "--rm", "--read-only", "busybox", "sh", "-c", script]).success();
        assert_eq!(out.stdout, "refused\nmade\n");
    }

    #[test]
    fn writes_of_one_container_are_not_seen_by_the_next() {
        let rl = Rl::new();
        rl.run(&["run", "--rm", "busybox", "touch", "/etc/mine"]).success();
        rl.run(&["run", "--rm", "busybox", "test", "-e", "/etc/mine"]).fails_with(1);
    }

    #[test]
    fn a_directory_as_root_keeps_what_is_written() {
        let rl = Rl::new();
        let root = rl.busybox_root();
        let at = root.to_string_lossy().into_owned();
        rl.run(&["run", "--rm", "--rootfs", &at, "touch", "/tmp/kept"]).success();
        assert!(root.join("tmp/kept").exists());
        rl.run(&["run", "--rm", "--rootfs", &format!("{at}:O"), "touch", "/tmp/thrown-away"]).success();
        assert!(!root.join("tmp/thrown-away").exists());
    }

    #[test]
    fn links_in_place_of_mount_targets_lead_nowhere_on_the_host() {
        let rl = Rl::new();
        let canary = rl.canary();
        for path in ["dev", "dev/pts", "proc", "sys", "etc/resolv.conf", "etc/hosts", "run", "work", "tmpfs", "volume"]
        {
            for link in [
                canary.path().to_string_lossy().into_owned(),
                "../../../../../..".into(),
                "/nowhere".into(),
                "/proc/self/root".into(),
            ] {
                let root = rl.busybox_root();
                replace_by_link(&root.join(path), &link);
                let at = root.to_string_lossy().into_owned();
                let source = rl.dir("source");
                let volume = format!("{}:/volume", source.display());
                // It may work, inside the root, or be refused; it must not touch the host.
                rl.run(&["run", "--rm", "-w", "/work", "--tmpfs", "/tmpfs", "-v", &volume, "--rootfs", &at, "true"]);
                canary.is_untouched(&format!("{path} -> {link}"));
            }
        }
    }

    /// Row 3 of the attacks: somebody exchanges directories for links, and back, while rl makes and mounts what lies below them.
    #[test]
    fn targets_that_are_exchanged_for_links_meanwhile_lead_nowhere_on_the_host() {
        use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
        let rl = Rl::new();
        let canary = rl.canary();
        let root = rl.busybox_root();
        let raced = ["volume", "tmpfs", "work", "home", "etc", "dev", "run"].map(|name| root.join(name));
        for path in &raced {
            std::fs::create_dir_all(path).expect("a directory");
            std::os::unix::fs::symlink(canary.path(), path.with_extension("link")).expect("a link");
        }
        let source = rl.dir("source");
        std::fs::write(source.join("mine"), "x").expect("write");
        let (at, volume) = (root.to_string_lossy().into_owned(), format!("{}:/volume/deep:ro", source.display()));
        let words =
            ["run", "--rm", "--network=none", "-w", "/work/deep", "--tmpfs", "/tmpfs/deep", "-e", "HOME=/home/deep"];
        let script = "cat /volume/file /work/file /etc/file /home/file 2>/dev/null; touch /tmpfs/deep/made /work/deep/made; true";
        let words = [&words[..], &["-v", &volume, "--rootfs", &at, "sh", "-c", script]].concat();
        let (over, swaps, mut worked) = (AtomicBool::new(false), AtomicUsize::new(0), 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
                while !over.load(Relaxed) {
                    for path in &raced {
                        let link = path.with_extension("link");
                        let done = renameat2(AT_FDCWD, path, AT_FDCWD, &link, RenameFlags::RENAME_EXCHANGE);
                        swaps.fetch_add(usize::from(done.is_ok()), Relaxed);
                    }
                }
            });
            // It ends also where an assertion does.
            let _end = Ending(&over);
            for round in 0..250 {
                let out = rl.run(&words);
                assert!(!out.stdout.contains("canary"), "{round}: {}", out.stdout);
                assert!([0, 125, 126, 127].contains(&out.code()), "{round}: {} {}", out.code(), out.stderr);
                canary.is_untouched(&format!("round {round}: {}", out.stderr));
                worked += usize::from(out.code() == 0);
            }
        });
        assert!(
            swaps.load(Relaxed) > 1000 && worked > 5,
            "{} swaps, {worked} starts: they prove nothing",
            swaps.load(Relaxed)
        );
        assert_eq!(std::fs::read_dir(&source).expect("list").count(), 1);
    }

    struct Ending<'a>(&'a std::sync::atomic::AtomicBool);

    impl Drop for Ending<'_> {
        fn drop(&mut self) {
            self.0.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }

    /// Row 3, the other half: links of distributions are followed, and directories that one may only pass through are no obstacle.
    #[test]
    fn links_of_distributions_and_closed_parents_still_work() {
        use std::os::unix::fs::PermissionsExt;
        let rl = Rl::new();
        let root = rl.busybox_root();
        replace_by_link(&root.join("var/run"), "/run");
        std::fs::create_dir_all(root.join("closed/place")).expect("a directory");
        std::fs::set_permissions(root.join("closed"), std::fs::Permissions::from_mode(0o711)).expect("chmod");
        let source = rl.dir("parent/source");
        std::fs::write(source.join("mine"), "x").expect("write");
        let parent = source.parent().expect("its parent");
        std::fs::set_permissions(parent, std::fs::Permissions::from_mode(0o711)).expect("chmod");
        let (at, from) = (root.to_string_lossy().into_owned(), source.display());
        let (linked, closed) = (format!("{from}:/var/run/deep"), format!("{from}:/closed/place"));
        let words = [
            "run",
            "--rm",
            "-v",
            &linked,
            "-v",
            &closed,
            "--rootfs",
            &at,
            "cat",
            "/run/deep/mine",
            "/closed/place/mine",
        ];
        assert_eq!(rl.run(&words).success().stdout, "xx");
    }

    fn replace_by_link(path: &std::path::Path, link: &str) {
        let _ = std::fs::remove_dir_all(path);
        let _ = std::fs::remove_file(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).expect("a parent");
        }
        std::os::unix::fs::symlink(link, path).expect("a link");
    }

    #[test]
    fn proc_and_sys_must_not_be_links() {
        let rl = Rl::new();
        for name in ["proc", "sys"] {
            let root = rl.busybox_root();
            std::fs::create_dir(root.join("x")).expect("x");
            replace_by_link(&root.join(name), "/x");
            let out = rl.run(&["run", "--rm", "--rootfs", &root.to_string_lossy(), "true"]).fails_with(125);
            assert!(out.stderr.contains("RL0404"), "{name}: {}", out.stderr);
        }
    }

    #[test]
    fn no_link_of_an_image_leads_a_volume_into_proc() {
        let rl = Rl::new();
        let source = rl.dir("source");
        let root = rl.busybox_root();
        for link in ["/proc/sys", "/proc/self/attr", "../proc/1"] {
            replace_by_link(&root.join("volume"), link);
            let volume = format!("{}:/volume", source.display());
            let out =
                rl.run(&["run", "--rm", "-v", &volume, "--rootfs", &root.to_string_lossy(), "true"]).fails_with(125);
            assert!(out.stderr.contains("RL0404"), "{link}: {}", out.stderr);
        }
    }

    #[test]
    fn kernels_that_take_layers_on_one_page_only_mount_images_too() {
        // What a kernel before 6.7 answers to the first layer: it does not know `lowerdir+`.
        let script = format!(
            "strace -f -qq -o /dev/null -e trace=fsconfig -e inject=fsconfig:error=EINVAL:when=2 {} run --rm busybox \
             sh -c 'echo x > /made; cat /made; stat -f -c %T / 2>/dev/null; ls /bin/busybox'",
            binary().display()
        );
        let rl = Rl::new();
        // The holder first: strace would wait for it, and newuidmap has no rights under ptrace.
        rl.run(&["run", "--rm", "busybox", "true"]).success();
        let out = rl.shell(&script).success();
        assert!(out.stdout.starts_with("x\n") && out.stdout.ends_with("/bin/busybox\n"), "{}", out.stdout);
    }

    /// Writes, deletes and sees what is below, whatever puts the layers together.
    const USE: &str =
        "rm /bin/ls && echo made > /etc/made && cat /etc/made && ! test -e /bin/ls && stat -c %u:%g /bin/busybox";

    #[test]
    fn every_storage_driver_shows_the_image() {
        let rl = Rl::new();
        for driver in ["overlay", "copy"] {
            let run =
                |script: &str| rl.run(&["--storage-driver", driver, "run", "--rm", "busybox", "sh", "-c", script]);
            assert_eq!(run(USE).success().stdout, "made\n0:0\n", "{driver}");
            run("test -e /bin/ls && ! test -e /etc/made").success();
        }
        let out = rl.run(&["--storage-driver", "btrfs", "run", "--rm", "busybox", "true"]).fails_with(125);
        assert!(out.stderr.contains("RL0407"), "{}", out.stderr);
    }

    #[test]
    fn where_the_kernel_refuses_overlays_another_driver_is_found_and_remembered() {
        let rl = Rl::new();
        // The holder first, as above.
        rl.run(&["run", "--rm", "busybox", "true"]).success();
        // Every process's first file system is refused: the overlay of the run, that of the probe, and then, of the second
        // attempt, one that must be there.
        let strace = "strace -f -qq -o /dev/null -e trace=fsopen -e inject=fsopen:error=ENODEV:when=1";
        let out = rl.shell(&format!("{strace} {} run --rm busybox true", binary().display())).fails_with(125);
        assert!(out.stderr.contains("images are put together with"), "{}", out.stderr);
        let memory = std::fs::read_to_string(rl.runroot().join("storage-driver")).expect("what was found");
        assert!(memory.ends_with(" fuse-overlayfs") || memory.ends_with(" copy"), "{memory}");
        let out = rl.run(&["run", "--rm", "busybox", "sh", "-c", USE]).success();
        assert_eq!(out.stdout, "made\n0:0\n");
        assert!(!out.stderr.contains("images are put together with"), "said once: {}", out.stderr);
    }
}
