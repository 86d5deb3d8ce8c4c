//! A full Debian root file system, imported as `docker export` makes it.

mod full_map {
    use crate::support::{Rl, debian};

    #[test]
    fn its_programs_work_as_root_and_as_others() {
        let rl = Rl::with_debian();
        let script =
            "su - nobody -s /bin/sh -c id; stat -c %u:%g /etc/shadow; getcap /bin/ping || true; dpkg -l | wc -l";
        let out = rl.run(&["run", "--rm", "debian", "sh", "-c", script]).success();
        let lines: Vec<_> = out.stdout.lines().collect();
        assert!(lines[0].starts_with("uid=65534(nobody) gid=65534(nogroup)"), "{}", out.stdout);
        assert_eq!(lines[1], "0:42");
        assert!(lines[2].contains("cap_net_raw"), "{}", out.stdout);
        assert!(
            lines.last().and_then(|count| count.parse::<u32>().ok()).is_some_and(|count| count > 50),
            "{}",
            out.stdout
        );
    }

    #[test]
    fn a_dropped_capability_is_missing_inside() {
        let rl = Rl::with_debian();
        let out = rl.run(&["run", "--rm", "--cap-drop=sys_chroot", "debian", "chroot", "/", "true"]).fails_with(125);
        assert!(out.stderr.contains("Operation not permitted"), "{}", out.stderr);
    }

    #[test]
    fn setuid_programs_work_and_no_new_privileges_stops_them() {
        let rl = Rl::with_debian();
        // A copy of id that is setuid root: its euid is 0 although uid 1000 runs it.
        let script = "cp /usr/bin/id /tmp/id && chmod 4755 /tmp/id && setpriv --reuid 1000 --clear-groups /tmp/id -u";
        let with = |flags: &[&str]| {
            let mut words = vec!["run", "--rm"];
            words.extend(flags);
            words.extend(["debian", "sh", "-c", script]);
            rl.run(&words).success().stdout
        };
        assert_eq!(with(&[]), "0\n");
        assert_eq!(with(&["--security-opt", "no-new-privileges"]), "1000\n");
    }

    #[test]
    fn system_v_and_posix_queues_of_one_container_are_in_no_other() {
        let rl = Rl::with_debian();
        let made =
            rl.run(&["run", "--rm", "debian", "sh", "-c", "ipcmk -Q >/dev/null; ipcs -q | grep -c 0x"]).success();
        assert_eq!(made.stdout, "1\n");
        let other = rl.run(&["run", "--rm", "debian", "sh", "-c", "ipcs -q | grep -c 0x || true"]).success();
        assert_eq!(other.stdout, "0\n");
    }

    #[test]
    fn users_and_groups_come_from_its_own_files() {
        let rl = Rl::with_debian();
        let out = rl
            .run(&["run", "--rm", "-u", "games:tty", "--group-add", "audio", "debian", "sh", "-c", "id; echo $HOME"])
            .success();
        assert_eq!(out.stdout, "uid=5(games) gid=5(tty) groups=5(tty),29(audio)\n/usr/games\n");
        let _ = debian();
    }

    #[test]
    fn a_file_capability_that_the_container_lacks_is_named() {
        let rl = Rl::with_debian();
        let out = rl.run(&["run", "--rm", "debian", "ping", "-c", "1", "127.0.0.1"]).fails_with(126);
        assert!(out.stderr.contains("--cap-add=net_raw"), "{}", out.stderr);
        rl.run(&["run", "--rm", "--cap-add=net_raw", "debian", "ping", "-c", "1", "127.0.0.1"]).success();
    }
}
