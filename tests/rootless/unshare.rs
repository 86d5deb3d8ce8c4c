//! `rl unshare`.

mod everywhere {
    use crate::support::Rl;

    #[test]
    fn the_caller_is_root_in_it() {
        let rl = Rl::new();
        assert_eq!(rl.run(&["unshare", "id", "-u"]).success().stdout, "0\n");
        rl.run(&["unshare", "sh", "-c", "exit 9"]).fails_with(9);
    }

    #[test]
    fn the_letters_of_unshare_are_accepted() {
        let rl = Rl::new();
        let script = "echo $$; hostname letters && uname -n; ls /proc | grep -c '^[0-9]'";
        let out = rl.run(&["unshare", "-muinpfr", "--mount-proc", "sh", "-c", script]).success();
        let lines: Vec<_> = out.stdout.lines().collect();
        assert_eq!(lines[..2], ["1", "letters"], "{}", out.stdout);
        assert!(lines[2].parse::<u32>().is_ok_and(|count| count <= 4), "{}", out.stdout);
    }

    #[test]
    fn a_missing_command_is_127() {
        let out = Rl::new().run(&["unshare", "no-such-command-here"]).fails_with(127);
        assert!(out.stderr.contains("no-such-command-here"), "{}", out.stderr);
    }
}

mod full_map {
    use crate::support::Rl;

    #[test]
    fn what_subordinate_ids_own_can_be_read_and_deleted() {
        let rl = Rl::new();
        let dir = rl.dir("d");
        let volume = format!("{}:/v", dir.display());
        let script =
            "mkdir /v/private && echo secret >/v/private/file && chown -R 1000:1000 /v/private && chmod 700 /v/private";
        rl.run(&["run", "--rm", "-v", &volume, "busybox", "sh", "-c", script]).success();
        let private = dir.join("private").to_string_lossy().into_owned();
        assert_eq!(rl.run(&["unshare", "cat", &format!("{private}/file")]).success().stdout, "secret\n");
        rl.run(&["unshare", "rm", "-rf", &private]).success();
        assert!(!dir.join("private").exists());
    }
}
