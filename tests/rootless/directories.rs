//! Directories that others could have made first, and callers without ids.

mod everywhere {
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use crate::support::{Line, Output, Rl, binary};

    fn run_with(rl: &Rl, runtime: &std::path::Path) -> Output {
        with(rl, runtime, &["run", "--rm", "busybox", "true"])
    }

    fn with(rl: &Rl, runtime: &std::path::Path, words: &[&str]) -> Output {
        let mut command = Command::new(binary());
        command.arg("--root").arg(rl.root()).args(words);
        command.env("XDG_RUNTIME_DIR", runtime).env("HOME", rl.dir("home"));
        Line::new(command, "another XDG_RUNTIME_DIR".into()).output()
    }

    #[test]
    fn a_run_directory_that_others_may_write_to_is_not_used() {
        let rl = Rl::new();
        let open = rl.dir("open");
        std::fs::set_permissions(&open, PermissionsExt::from_mode(0o777)).expect("chmod");
        run_with(&rl, &open).success();
        assert!(!open.join("rl").exists(), "state lies in a directory that is the caller's alone");
    }

    #[test]
    fn what_runs_is_found_again_when_others_may_pass_through_the_run_directory() {
        let rl = Rl::new();
        let runtime = rl.dir("runtime");
        let mode = |mode| std::fs::set_permissions(&runtime, PermissionsExt::from_mode(mode)).expect("chmod");
        mode(0o700);
        let id = with(&rl, &runtime, &["run", "-d", "--rm", "busybox", "sleep", "1000"]).success().stdout;
        let own = std::fs::metadata(runtime.join("rl")).expect("its state lies there").permissions().mode();
        assert_eq!(own & 0o7777, 0o700);
        // As podman does for a container whose root is a subordinate id.
        mode(0o711);
        let seen = with(&rl, &runtime, &["ps", "-q", "--no-trunc"]).success().stdout;
        with(&rl, &runtime, &["rm", "-f", id.trim()]).success();
        assert_eq!(seen, id);
    }

    #[test]
    fn info_says_where_things_are_in_any_format() {
        let rl = Rl::empty();
        let root = rl.root().display().to_string();
        let text = rl.run(&["info"]).success().stdout;
        assert!(text.lines().any(|line| line == format!("root: {root}")), "{text}");
        assert_eq!(rl.run(&["info", "-f", "{{.root}}"]).success().stdout.trim(), root);
        let json = rl.run(&["info", "-f", "{{json .root}}"]).success().stdout;
        assert_eq!(json.trim(), format!("{root:?}"));
        rl.run(&["info", "--format", "json"]).success();
        let out = rl.run(&["info", "-f", "{{.root"]).fails_with(125);
        assert!(out.stderr.contains("RL0101"), "{}", out.stderr);
    }

    #[test]
    fn a_link_in_place_of_the_run_directory_is_refused() {
        let rl = Rl::new();
        let (private, elsewhere) = (rl.dir("private"), rl.dir("elsewhere"));
        std::fs::set_permissions(&private, PermissionsExt::from_mode(0o700)).expect("chmod");
        std::os::unix::fs::symlink(&elsewhere, private.join("rl")).expect("link");
        let out = run_with(&rl, &private).fails_with(125);
        assert!(out.stderr.contains("RL0801"), "{}", out.stderr);
        assert_eq!(std::fs::read_dir(elsewhere).expect("list").count(), 0);
    }
}

mod as_root {
    use crate::support::{Rl, binary};

    /// Nobody has this uid: no name, no ranges. Its group is among its supplementary ones, as a login makes them.
    const NOBODY: &str = "64999";

    fn as_nobody(rl: &Rl, flags: &str) -> crate::support::Output {
        let home = rl.dir("nobody");
        let root = rl.busybox_root();
        let setup = format!(
            "chown -R {NOBODY}:{NOBODY} {0} {1}; chmod a+x {2}",
            home.display(),
            root.display(),
            home.parent().expect("home").display()
        );
        rl.shell(&setup).success();
        let line = format!(
            "exec setpriv --reuid={NOBODY} --regid={NOBODY} --groups={NOBODY} env -i PATH=/usr/bin:/bin HOME={0} {1} \
             --root {0}/data --runroot {0}/run run --rm {flags} --rootfs {2} id",
            home.display(),
            binary().display(),
            root.display()
        );
        // Not through `shell`, which puts the harness's own directories before the verb.
        rl.plain_shell(&line)
    }

    #[test]
    fn a_user_without_ranges_gets_one_id_and_one_warning_with_the_fix() {
        let out = as_nobody(&Rl::new(), "").success();
        assert_eq!(out.stdout, "uid=0(root) gid=0(root) groups=0(root)\n");
        assert_eq!(out.stderr.matches("warning").count(), 1, "{}", out.stderr);
        assert!(out.stderr.contains("usermod --add-subuids"), "{}", out.stderr);
    }

    #[test]
    fn full_makes_the_lack_of_ids_an_error() {
        let out = as_nobody(&Rl::new(), "--userns=full").fails_with(125);
        assert!(out.stderr.contains("RL0202"), "{}", out.stderr);
    }
}

mod nested {
    use crate::support::Rl;

    #[test]
    fn full_is_refused_where_the_namespace_has_one_id() {
        let out = Rl::new().run(&["run", "--rm", "--userns=full", "busybox", "true"]).fails_with(125);
        assert!(out.stderr.contains("RL0202"), "{}", out.stderr);
    }
}
