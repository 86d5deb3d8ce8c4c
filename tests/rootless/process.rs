//! The command, its environment, its rights and its end.

mod everywhere {
    use crate::support::Rl;

    #[test]
    fn descriptors_that_the_caller_has_closed_are_dev_null_and_no_file_of_ours() {
        let rl = Rl::new();
        let file = rl.dir("out").join("fds");
        let binary = crate::support::binary().display().to_string();
        let volume = format!("-v {}:/out", file.parent().expect("a parent").display());
        let look = "for fd in 0 1 2; do readlink /proc/self/fd/$fd; done >/out/fds";
        rl.shell(&format!("{binary} run --rm {volume} busybox sh -c '{look}' <&- >&- 2>&-")).success();
        // 1 is the file itself, by then.
        let text = std::fs::read_to_string(file).expect("what was seen");
        assert_eq!(text, "/dev/null\n/out/fds\n/dev/null\n");
    }

    #[test]
    fn exit_codes_are_the_commands_own() {
        let rl = Rl::new();
        rl.run(&["run", "--rm", "busybox", "sh", "-c", "exit 42"]).fails_with(42);
    }

    #[test]
    fn death_by_a_signal_is_128_and_its_number() {
        let script = "sh -c 'kill -TERM $$'; exit $?";
        Rl::new().run(&["run", "--rm", "busybox", "sh", "-c", script]).fails_with(143);
    }

    #[test]
    fn the_environment_is_the_images_and_what_was_asked_for() {
        let rl = Rl::new();
        let out = rl
            .command(&["run", "--rm", "-e", "A=1", "-e", "PASSED", "-e", "MISSING", "busybox", "env"])
            .env("PASSED", "two words")
            .env("SECRET", "of the host")
            .output()
            .success();
        let has = |line: &str| out.stdout.lines().any(|have| have == line);
        assert!(has("A=1") && has("PASSED=two words") && has("HOME=/root") && has("container=rl"), "{}", out.stdout);
        assert!(!out.stdout.contains("SECRET") && !out.stdout.contains("MISSING"), "{}", out.stdout);
    }

    #[test]
    fn without_i_stdin_is_empty_and_with_it_it_is_the_callers() {
        let rl = Rl::new();
        assert_eq!(rl.command(&["run", "--rm", "busybox", "cat"]).stdin("hello").output().success().stdout, "");
        assert_eq!(
            rl.command(&["run", "--rm", "-i", "busybox", "cat"]).stdin("hello").output().success().stdout,
            "hello"
        );
    }

    #[test]
    fn a_working_directory_is_made_and_entered() {
        let out = Rl::new().run(&["run", "--rm", "-w", "/new/place", "busybox", "pwd"]).success();
        assert_eq!(out.stdout, "/new/place\n");
    }

    /// By people, and by engines that read it from `rl oci`; nothing of how it was looked up.
    #[test]
    fn a_working_directory_that_cannot_be_is_told_with_why() {
        let rl = Rl::new();
        let run = |flags: &[&str], code: i32, why: &str, fix: &str| {
            let out = rl.run(&[&["run", "--rm"], flags, &["busybox", "pwd"]].concat()).fails_with(code);
            let said = format!("rl: cannot use the working directory: change to {} in the container: ", flags[1]);
            assert!(out.stderr.starts_with(&said) && out.stderr.contains(fix), "{}", out.stderr);
            assert!(out.stderr.contains(why) && !out.stderr.contains("openat2"), "{}", out.stderr);
        };
        run(&["-w", "/bin/busybox"], 125, "Not a directory (ENOTDIR)", "is a file");
        run(&["-w", "/bin/busybox/deep"], 125, "Not a directory (ENOTDIR)", "is a file");
        run(&["-w", "/proc/self/root"], 125, "(ELOOP)", "/proc's");
        run(&["-w", "/new/place", "--read-only"], 125, "Read-only file system (EROFS)", "--tmpfs /new/place");
        let there = ["run", "--rm", "-w", "/new/place", "--read-only", "--tmpfs", "/new/place", "busybox", "pwd"];
        assert_eq!(rl.run(&there).success().stdout, "/new/place\n");
    }

    #[test]
    fn capabilities_are_the_default_eleven_and_drop_and_add_are_obeyed() {
        let rl = Rl::new();
        let caps = |flags: &[&str]| {
            let mut words = vec!["run", "--rm"];
            words.extend(flags);
            words.extend(["busybox", "sed", "-n", "s/^Cap...://p", "/proc/self/status"]);
            let out = rl.run(&words).success().stdout;
            out.split_whitespace().map(|word| u64::from_str_radix(word, 16).expect("hex")).collect::<Vec<_>>()
        };
        // CapInh, CapPrm, CapEff, CapBnd, CapAmb: chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service
        // sys_chroot setfcap.
        let default = 0x8004_05fb;
        assert_eq!(caps(&[]), [0, default, default, default, 0]);
        assert_eq!(caps(&["--cap-drop=all"]), [0, 0, 0, 0, 0]);
        assert_eq!(caps(&["--cap-drop=chown", "--cap-add=net_admin"])[2], (default & !1) | 1 << 12);
    }

    #[test]
    fn limits_and_umask_are_set() {
        let rl = Rl::new();
        let out = rl
            .run(&["run", "--rm", "--ulimit", "nofile=100:200", "busybox", "sh", "-c", "ulimit -n; ulimit -Hn; umask"])
            .success();
        assert_eq!(out.stdout, "100\n200\n0022\n");
        assert_eq!(
            rl.run(&["run", "--rm", "--umask", "0077", "busybox", "sh", "-c", "umask"]).success().stdout,
            "0077\n"
        );
    }

    #[test]
    fn only_stdio_is_open_inside() {
        let rl = Rl::new();
        let script = format!("exec 7</; exec {} run --rm busybox ls /proc/self/fd", rl.binary().display());
        let out = rl.shell(&script).success();
        let open: Vec<_> = out.stdout.split_whitespace().collect();
        // The fourth is ls's own, of the directory it lists.
        assert_eq!(open, ["0", "1", "2", "3"]);
    }

    #[test]
    fn a_working_directory_through_a_descriptor_of_proc_stays_inside() {
        let rl = Rl::new();
        for fd in 3..20 {
            let path = format!("/proc/self/fd/{fd}");
            let out = rl.shell(&format!("exec 7</; exec {} run --rm -w {path} busybox ls", rl.binary().display()));
            assert!(!out.stdout.contains("home"), "{path}: {}", out.stdout);
        }
    }

    #[test]
    fn seccomp_is_on_unless_unconfined() {
        let rl = Rl::new();
        let mode = |flags: &[&str]| {
            let mut words = vec!["run", "--rm"];
            words.extend(flags);
            words.extend(["busybox", "grep", "^Seccomp:", "/proc/self/status"]);
            rl.run(&words).success().stdout
        };
        assert_eq!(mode(&[]), "Seccomp:\t2\n");
        assert_eq!(mode(&["--security-opt", "seccomp=unconfined"]), "Seccomp:\t0\n");
    }

    #[test]
    fn init_reaps_what_others_left_and_keeps_the_exit_code() {
        let rl = Rl::new();
        let script = "(sleep 0.1 & exec true) ; sleep 0.5; ps -o stat,args | grep -c '^Z' ; exit 7";
        let out = rl.run(&["run", "--rm", "--init", "busybox", "sh", "-c", script]).fails_with(7);
        assert_eq!(out.stdout.trim(), "0");
    }

    #[test]
    fn a_container_id_is_written_once() {
        let rl = Rl::new();
        let path = rl.dir("ids").join("cid");
        let flag = format!("--cidfile={}", path.display());
        rl.run(&["run", "--rm", &flag, "busybox", "true"]).success();
        let id = std::fs::read_to_string(&path).expect("the cidfile");
        assert!(id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        rl.run(&["run", "--rm", &flag, "busybox", "true"]).fails_with(125);
    }

    #[test]
    fn bad_names_are_refused() {
        let rl = Rl::new();
        for name in ["../x", "-rf", "a\nb", "%n", &"x".repeat(300), ""] {
            rl.run(&["run", "--rm", &format!("--name={name}"), "busybox", "true"]).fails_with(125);
        }
    }

    #[test]
    fn a_flag_behind_the_image_is_the_commands() {
        let out = Rl::new().run(&["run", "--rm", "busybox", "echo", "--privileged", "-v"]).success();
        assert_eq!(out.stdout, "--privileged -v\n");
    }
}

mod full_map {
    use std::os::unix::fs::PermissionsExt;

    use crate::support::Rl;

    /// The status is podman's with runc and docker's: 126.
    #[test]
    fn a_working_directory_that_is_closed_to_the_container_is_told_as_such() {
        let rl = Rl::new();
        let closed = rl.dir("closed");
        std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).expect("chmod");
        let volume = format!("{}:/closed", closed.display());
        for path in ["/closed", "/closed/deep"] {
            let words = ["run", "--rm", "--userns=nomap", "-v", &volume, "-w", path, "busybox", "pwd"];
            let out = rl.run(&words).fails_with(126);
            let said = format!("change to {path} in the container: Permission denied (EACCES)");
            assert!(out.stderr.contains(&said) && out.stderr.contains("chmod o+x"), "{}", out.stderr);
        }
    }
}
