//! systemd as pid 1 of a container, as Debian has it.

mod over_ssh {
    use crate::inside;
    use crate::support::Rl;

    #[test]
    fn systemd_runs_as_pid_1_with_groups_of_its_own_and_halts_when_asked() {
        if !inside() {
            return;
        }
        let rl = Rl::new();
        let words = [
            "run",
            "-d",
            "--name=sd",
            "--network=none",
            "--systemd",
            "-m",
            "400m",
            "--rootfs",
            "/srv/systemd:O",
            "/sbin/init",
        ];
        rl.run(&words).success();
        // Until its bus is there nobody can be asked to wait.
        let script = "i=0; until state=$(systemctl is-system-running --wait 2>/dev/null) || [ \"$state\" = degraded ] || [ $i = 300 ]
            do i=$((i + 1)); sleep 0.2; done; echo $state; systemctl --failed --plain --no-legend
            systemctl show -P ControlGroup dbus.service; cat /proc/1/cgroup";
        let out = rl.run(&["exec", "sd", "sh", "-c", script]).success().stdout;
        let stopped = rl.run(&["stop", "-t", "60", "sd"]);
        // podman's units are in the tree, podman is not.
        let failed = out.lines().filter(|line| line.contains(" failed ") && !line.starts_with("podman")).count();
        assert!(out.contains("/system.slice/dbus.service\n0::/"), "{out}{}", rl.run(&["logs", "sd"]).stdout);
        assert!((out.starts_with("running\n") || out.starts_with("degraded\n")) && failed == 0, "{out}");
        stopped.success();
        let code = rl.run(&["inspect", "-f", "{{.State.ExitCode}}", "sd"]).success().stdout;
        assert_ne!(code, "137\n", "it has halted by itself");
        rl.run(&["rm", "sd"]).success();
    }
}
