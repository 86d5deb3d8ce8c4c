//! A plain run works from wherever a person comes, without a word and without a control group of its own.

use crate::inside;
use crate::support::{Output, Rl};

fn plain(rl: &Rl) -> Output {
    rl.run(&["run", "--rm", "busybox", "cat", "/proc/self/cgroup"]).success()
}

fn is_plain() {
    if !inside() {
        return;
    }
    let out = plain(&Rl::new());
    assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("0::/\n", ""));
}

mod over_ssh {
    #[test]
    fn a_plain_run_says_nothing() {
        super::is_plain();
    }
}

mod by_su {
    #[test]
    fn a_plain_run_says_nothing() {
        super::is_plain();
    }
}

mod from_cron {
    use crate::inside;
    use crate::support::Rl;

    #[test]
    fn a_limit_is_refused_where_no_manager_of_the_user_runs() {
        if !inside() {
            return;
        }
        let out = Rl::new().run(&["run", "--rm", "-m", "64m", "busybox", "echo", "ran"]).fails_with(125);
        assert!(out.stderr.contains("RL1003") && out.stderr.contains("enable-linger"), "{}", out.stderr);
        assert_eq!(out.stdout, "");
    }

    #[test]
    fn a_plain_run_says_nothing() {
        super::is_plain();
    }
}

mod as_root {
    use crate::support::Rl;
    use crate::{inside, login, sh};

    #[test]
    fn where_the_machine_forbids_user_namespaces_the_error_names_the_sysctl() {
        if !inside() {
            return;
        }
        for (key, off, on) in
            [("kernel.unprivileged_userns_clone", "0", "1"), ("user.max_user_namespaces", "0", "9000")]
        {
            sh(&format!("sysctl -qw {key}={off}")).success();
            let out = login("/payload/rl run --rm --rootfs /srv/systemd:O true");
            sh(&format!("sysctl -qw {key}={on}")).success();
            assert!(out.stderr.contains(key), "{}", out.stderr);
            out.fails_with(125);
        }
    }

    #[test]
    fn apparmor_is_on() {
        if !inside() {
            return;
        }
        // machine.sh boots with it: all that passes here passes beside it.
        assert_eq!(sh("cat /sys/module/apparmor/parameters/enabled").success().stdout, "Y\n");
    }

    #[test]
    fn roots_own_plain_run_works() {
        if !inside() {
            return;
        }
        Rl::new().run(&["run", "--rm", "busybox", "true"]).success();
    }
}
