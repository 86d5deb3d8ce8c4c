//! What a logout does to containers in the background, and what is said of it.

mod as_root {
    use crate::{inside, login, sh};

    const RUN: &str = "/payload/rl run -d --init --network=none --name web";
    const IMAGE: &str = "--rootfs /srv/systemd:O sleep 1000";

    /// Until the user's last session has gone, and with it their manager, where it goes.
    fn logged_out(lingers: bool) {
        let gone = if lingers {
            "! loginctl list-sessions --no-legend | grep -qw user"
        } else {
            "! systemctl -q is-active user@1000"
        };
        sh(&format!("for i in $(seq 300); do {gone} && exit; sleep 0.2; done; exit 1")).success();
    }

    /// Removes what a test has made, also where it fails.
    struct Web;

    impl Drop for Web {
        fn drop(&mut self) {
            login("/payload/rl rm -f web");
            sh("loginctl disable-linger user");
        }
    }

    #[test]
    fn without_linger_a_container_in_the_background_ends_with_the_last_session_and_that_is_said() {
        if !inside() {
            return;
        }
        let _web = Web;
        login(&format!("{RUN} --logout=keep {IMAGE}")).fails_with(125);
        let out = login(&format!("{RUN} {IMAGE}")).success();
        assert_eq!(out.stderr.lines().count(), 1, "{}", out.stderr);
        assert!(out.stderr.contains("log out") && out.stderr.contains("loginctl enable-linger"), "{}", out.stderr);
        let unit = format!("rl-{}.scope", out.stdout.trim());
        let group = login("cat /proc/$(/payload/rl inspect -f '{{.State.Pid}}' web)/cgroup").success().stdout;
        assert!(group.contains("/user@1000.service/user.slice/") && group.contains(&unit), "{group}");
        logged_out(false);
        let status = login("/payload/rl inspect -f '{{.State.Status}}' web").success().stdout;
        assert_eq!(status, "exited\n");
        // Whoever knows says so.
        let out =
            login(&format!("/payload/rl rm web && {RUN} --rm --logout=stop {IMAGE} && /payload/rl stop web")).success();
        assert_eq!(out.stderr, "");
    }

    #[test]
    fn with_linger_it_goes_on_and_limits_work_without_a_session() {
        if !inside() {
            return;
        }
        sh("loginctl enable-linger user").success();
        let _web = Web;
        let out = login(&format!("{RUN} --logout=stop {IMAGE}")).fails_with(125);
        assert!(out.stderr.contains("RL1010") && out.stderr.contains("linger"), "{}", out.stderr);
        let out = login(&format!("{RUN} --logout=keep {IMAGE}")).success();
        assert_eq!(out.stderr, "");
        logged_out(true);
        let cron = "systemd-run --quiet --pipe --wait --uid=user --gid=user -E HOME=/home/user -E PATH=/usr/bin:/bin
            /payload/rl run --rm --network=none -m 64m --rootfs /srv/systemd:O cat /sys/fs/cgroup/memory.max"
            .replace('\n', " ");
        assert_eq!(sh(&cron).success().stdout, "67108864\n");
        let status = login("/payload/rl inspect -f '{{.State.Status}}' web").success().stdout;
        assert_eq!(status, "running\n");
    }
}
