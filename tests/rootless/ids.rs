//! Who one is inside.

mod everywhere {
    use crate::support::Rl;

    #[test]
    fn root_inside_is_exactly_root() {
        let out = Rl::new().run(&["run", "--rm", "busybox", "id"]).success();
        assert_eq!(out.stdout, "uid=0(root) gid=0(root) groups=0(root)\n");
    }

    #[test]
    fn single_maps_one_id_and_says_nothing() {
        let out = Rl::new().run(&["run", "--rm", "--userns=single", "busybox", "cat", "/proc/self/uid_map"]).success();
        let numbers: Vec<_> = out.stdout.split_whitespace().collect();
        assert_eq!((numbers[0], numbers[2], numbers.len()), ("0", "1", 3), "{}", out.stdout);
        assert_eq!(out.stderr, "");
    }

    #[test]
    fn an_unknown_user_is_named() {
        let out = Rl::new().run(&["run", "--rm", "-u", "nobody-here", "busybox", "true"]).fails_with(125);
        assert!(out.stderr.contains("nobody-here") && out.stderr.contains("RL0511"), "{}", out.stderr);
    }
}

mod full_map {
    use crate::support::Rl;

    #[test]
    fn a_numeric_user_has_that_very_uid() {
        let out = Rl::new().run(&["run", "--rm", "-u", "1000:1001", "busybox", "id"]).success();
        assert!(out.stdout.starts_with("uid=1000 gid=1001"), "{}", out.stdout);
    }

    #[test]
    fn additional_groups_are_those_asked_for_and_no_others() {
        let out = Rl::new().run(&["run", "--rm", "-u", "7", "--group-add", "42", "busybox", "id", "-G"]).success();
        assert_eq!(out.stdout, "0 42\n");
    }

    #[test]
    fn an_image_keeps_its_owners_through_every_map() {
        let rl = Rl::new();
        for mode in ["--userns=keep-id:uid=1000,gid=1000", "--userns=auto", "--userns=nomap", "--uidmap=0:1:1000"] {
            let script = "stat -c %u:%g /bin/busybox /etc/passwd; touch /made && stat -c %u /made";
            let out = rl.run(&["run", "--rm", mode, "-u", "0", "busybox", "sh", "-c", script]).success();
            assert_eq!(out.stdout, "0:0\n0:0\n0\n", "{mode}");
        }
    }

    #[test]
    fn container_root_has_no_more_than_the_caller_outside() {
        let rl = Rl::new();
        let dir = rl.dir("shared");
        let volume = format!("{}:/v", dir.display());
        rl.run(&["run", "--rm", "-v", &volume, "busybox", "touch", "/v/made"]).success();
        use std::os::unix::fs::MetadataExt;
        let owner = std::fs::metadata(dir.join("made")).expect("the file made inside").uid();
        assert_eq!(owner, nix::unistd::getuid().as_raw());
    }
}

mod as_user {
    use crate::support::Rl;

    #[test]
    fn keep_id_shows_the_caller_under_its_own_uid() {
        let out = Rl::new().run(&["run", "--rm", "--userns=keep-id", "busybox", "id", "-u"]).success();
        let me = nix::unistd::getuid();
        assert!(!me.is_root(), "this pass is an unprivileged user's");
        assert_eq!(out.stdout.trim(), me.to_string());
    }
}
