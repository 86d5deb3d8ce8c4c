//! Containers as services of the user's own systemd.

mod over_ssh {
    use crate::inside;
    use crate::support::Rl;

    #[test]
    fn a_paused_container_of_services_is_shown_as_one() {
        if !inside() {
            return;
        }
        let rl = Rl::new();
        rl.run(&["run", "-d", "--name", "c", "-m", "64m", "busybox", "sleep", "1000"]).success();
        rl.run(&["pause", "c"]).success();
        let shown = rl.run(&["inspect", "-f", "{{.State.Status}} {{.State.Paused}} {{.State.Running}}", "c"]).success();
        let listed =
            rl.run(&["ps", "--filter", "status=paused", "--format", "{{.Names}} {{.State}} {{.Status}}"]).success();
        rl.run(&["unpause", "c"]).success();
        let again = rl.run(&["inspect", "-f", "{{.State.Status}}", "c"]).success();
        rl.run(&["rm", "-f", "-t", "0", "c"]).success();
        assert_eq!((shown.stdout.as_str(), again.stdout.as_str()), ("paused true true\n", "running\n"));
        assert!(
            listed.stdout.starts_with("c paused Up ") && listed.stdout.ends_with(" (Paused)\n"),
            "{}",
            listed.stdout
        );
    }
}

mod as_root {
    use std::process::Command;

    use crate::inside;
    use crate::support::{Line, Output};

    fn sh(script: &str) -> Output {
        let mut command = Command::new("sh");
        command.arg("-c").arg(script);
        Line::new(command, script.to_owned()).output()
    }

    /// In a login of the user's own.
    fn as_the_user(script: &str) -> Output {
        let mut command = Command::new("ssh");
        command.arg("user@localhost").arg(format!("rl=/payload/rl; {script}"));
        Line::new(command, script.to_owned()).output()
    }

    #[test]
    fn a_container_file_and_a_generated_unit_are_services_that_come_back_without_a_login() {
        if !inside() {
            return;
        }
        as_the_user(
            "set -e; $rl import -q /payload/busybox.tar services; mkdir -p ~/.config/containers/systemd ~/.config/systemd/user; \
             printf '[Container]\\nImage=services\\nExec=sleep 1000\\nRunInit=yes\\nVolume=data.volume:/data\\n[Install]\\nWantedBy=default.target\\n' \
             >~/.config/containers/systemd/web.container; printf '[Volume]\\n' >~/.config/containers/systemd/data.volume; \
             $rl create --init --name typed services sleep 1001; cd ~/.config/systemd/user; $rl generate systemd --new --name --files typed; \
             $rl rm typed; $rl quadlet ~/.config/systemd/user; systemctl --user daemon-reload; \
             systemctl --user start web; systemctl --user enable --now container-typed",
        )
        .success();
        // --init: pid 1 of a pid namespace would not hear SIGTERM, and one that had to be killed has failed.
        // Started means running: the manager was told so.
        let running = "$rl ps --format '{{.Names}} {{.State}}'";
        let out = as_the_user(running).success().stdout;
        assert_eq!(out, "typed running\nsystemd-web running\n");
        // What a boot does: the user's manager starts with nobody logged in.
        sh("loginctl enable-linger user && systemctl stop user@$(id -u user) && systemctl start user@$(id -u user)")
            .success();
        let out = as_the_user("systemctl --user is-active --wait web container-typed");
        for _ in 0..100 {
            if sh("pgrep -x -u user sleep | wc -l").stdout.trim() == "2" {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        let again = as_the_user(running).success().stdout;
        let ended = as_the_user("systemctl --user stop web container-typed; $rl ps -a -q; $rl volume ls -q").success();
        let failed = as_the_user("systemctl --user --failed --no-legend").success();
        sh("rm -rf /home/user/.config/systemd /home/user/.config/containers; loginctl disable-linger user");
        as_the_user("systemctl --user daemon-reload; $rl volume rm systemd-data; $rl rmi services");
        let mut names: Vec<_> = again.lines().collect();
        names.sort_unstable();
        assert_eq!(names, ["systemd-web running", "typed running"], "{} {}", out.stdout, out.stderr);
        assert_eq!((ended.stdout.as_str(), failed.stdout.as_str()), ("systemd-data\n", ""));
    }
}
