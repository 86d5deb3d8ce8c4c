//! Limits hold, are shown by systemd, and leave nothing behind.

use crate::inside;
use crate::support::{Output, Rl};

/// `rl run --rm LIMITS busybox sh -c SCRIPT`.
fn limited(rl: &Rl, limits: &str, script: &str) -> Output {
    let mut words = vec!["run", "--rm"];
    words.extend(limits.split_whitespace());
    words.extend(["busybox", "sh", "-c", script]);
    rl.run(&words)
}

/// Directories and units that are called as ours are.
fn left(rl: &Rl) -> String {
    let script = "find /sys/fs/cgroup -name 'rl-[0-9a-f]*' ! -name rl-caller; systemctl --user list-units --all --no-legend 'rl-[0-9a-f]*'";
    rl.plain_shell(script).success().stdout
}

/// systemd removes a scope after its last process, in its own time.
pub fn nothing_is_left(rl: &Rl) {
    let start = std::time::Instant::now();
    while start.elapsed() < std::time::Duration::from_secs(30) {
        if left(rl).is_empty() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("left behind: {}", left(rl));
}

/// Memory, from wherever the user came.
fn memory_is_limited() {
    if !inside() {
        return;
    }
    let rl = Rl::new();
    let out = limited(&rl, "-m 64m", "cat /sys/fs/cgroup/memory.max /proc/self/cgroup").success();
    assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("67108864\n0::/\n", ""));
    nothing_is_left(&rl);
}

mod over_ssh {
    use super::{left, limited, nothing_is_left};
    use crate::inside;
    use crate::support::Rl;

    #[test]
    fn memory_is_limited() {
        super::memory_is_limited();
    }

    #[test]
    fn a_process_that_takes_too_much_ends_the_container_and_rl_says_so() {
        if !inside() {
            return;
        }
        let rl = Rl::new();
        let out = limited(&rl, "-m 64m --memory-swap 64m", "sleep 100 & head -c 200m /dev/zero | tail; echo alive")
            .fails_with(137);
        assert!(out.stderr.contains("--memory 64m") && out.stderr.contains("RL1009"), "{}", out.stderr);
        assert!(!out.stdout.contains("alive"), "memory.oom.group ends all of it");
        nothing_is_left(&rl);
    }

    #[test]
    fn systemd_shows_what_the_scope_is_and_keeps_its_limits_at_a_reload() {
        if !inside() {
            return;
        }
        let rl = Rl::new();
        let script = "echo ready; read x; cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max";
        let words =
            ["run", "--rm", "-i", "--name", "web", "-m", "64m", "--pids-limit", "50", "busybox", "sh", "-c", script];
        let mut running = rl.command(&words).piped_stdin().spawn();
        running.wait_for_line("ready");
        let show = "systemctl --user daemon-reload
            unit=$(systemctl --user list-units --no-legend --plain 'rl-[0-9a-f]*.scope' | cut -d' ' -f1)
            systemctl --user show -P Description -P Slice -P MemoryMax -P TasksMax -P Delegate -P TimeoutStopUSec $unit
            cat /sys/fs/cgroup$(systemctl --user show -P ControlGroup $unit)/container/memory.max";
        let shown = rl.plain_shell(show).success().stdout;
        let mut lines: Vec<_> = shown.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["10s", "50", "67108864", "67108864", "rl container web", "user.slice", "yes"], "{shown}");
        running.close_stdin();
        let out = running.finish().success();
        assert!(out.stdout.ends_with("67108864\n50\n"), "{}", out.stdout);
        nothing_is_left(&rl);
    }

    #[test]
    fn nothing_is_left_when_rl_is_killed() {
        if !inside() {
            return;
        }
        let rl = Rl::new();
        let mut running =
            rl.command(&["run", "--rm", "-m", "64m", "busybox", "sh", "-c", "echo ready; sleep 1000"]).spawn();
        running.wait_for_line("ready");
        assert!(!left(&rl).is_empty());
        nix::sys::signal::kill(running.pid(), nix::sys::signal::Signal::SIGKILL).expect("kill");
        running.finish();
        nothing_is_left(&rl);
    }

    #[test]
    fn a_controller_that_is_not_handed_down_is_named_with_the_drop_in() {
        if !inside() {
            return;
        }
        let rl = Rl::new();
        let out = limited(&rl, "--cpuset-cpus 0", "echo ran").fails_with(125);
        assert!(
            out.stderr.contains("RL1005") && out.stderr.contains("Delegate=cpu cpuset io memory pids"),
            "{}",
            out.stderr
        );
        assert!(!out.stdout.contains("ran"));
        nothing_is_left(&rl);
    }

    #[test]
    fn in_a_delegated_scope_no_other_is_made() {
        if !inside() {
            return;
        }
        let rl = Rl::new();
        let own = rl.binary().display().to_string();
        let run = format!("{own} run --rm -m 64m busybox cat /sys/fs/cgroup/memory.max");
        // Twice: the first one has moved the shell into a leaf.
        let script = format!(
            "systemd-run --quiet --user --scope -p Delegate=yes sh -c '{run} && {run} && {own} run --rm --cgroups=split busybox true &&
             cat /proc/self/cgroup; find /sys/fs/cgroup -path \"*run-*\" -name \"rl-[0-9a-f]*\" ! -name rl-caller'"
        );
        let out = rl.shell(&script).success();
        assert!(
            out.stdout.starts_with("67108864\n67108864\n0::/") && out.stdout.ends_with("/rl-caller\n"),
            "{}{}",
            out.stdout,
            out.stderr
        );
    }

    #[test]
    fn what_is_executed_later_is_limited_too_and_limits_can_be_changed() {
        if !inside() {
            return;
        }
        let rl = Rl::new();
        let words = ["run", "--rm", "-i", "--name", "web", "-m", "64m", "busybox", "sh", "-c", "echo ready; read x"];
        let mut running = rl.command(&words).piped_stdin().spawn();
        running.wait_for_line("ready");
        let exec = ["exec", "web", "cat", "/proc/self/cgroup", "/sys/fs/cgroup/memory.max"];
        assert_eq!(rl.run(&exec).success().stdout, "0::/\n67108864\n");
        let hog = "head -c 200m /dev/zero | tail";
        rl.run(&["update", "-m", "32m", "--pids-limit", "9", "web"]).success();
        assert_eq!(rl.run(&exec).success().stdout, "0::/\n33554432\n");
        let shown = "systemctl --user show -P MemoryMax $(systemctl --user list-units --no-legend --plain 'rl-[0-9a-f]*.scope' | cut -d' ' -f1)";
        assert_eq!(rl.plain_shell(shown).success().stdout, "33554432\n");
        rl.run(&["pause", "web"]).success();
        let frozen = "cat /sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/user.slice/rl-[0-9a-f]*.scope/container/cgroup.events";
        assert!(rl.plain_shell(frozen).success().stdout.contains("frozen 1"));
        rl.run(&["unpause", "web"]).success();
        assert!(rl.plain_shell(frozen).success().stdout.contains("frozen 0"));
        let stats = rl.run(&["stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}} {{.PIDs}}"]).success().stdout;
        assert!(stats.starts_with("web ") && stats.contains("/ 33.6MB"), "{stats}");
        rl.run(&["exec", "web", "sh", "-c", hog]).fails_with(137);
        let out = running.finish().fails_with(137);
        assert!(out.stderr.contains("RL1009"), "{}", out.stderr);
    }

    #[test]
    fn outside_of_one_split_is_refused() {
        if !inside() {
            return;
        }
        let out = limited(&Rl::new(), "--cgroups=split", "true").fails_with(125);
        assert!(out.stderr.contains("RL1002") && out.stderr.contains("Delegate=yes"), "{}", out.stderr);
    }

    #[test]
    fn a_container_cannot_raise_its_own_limits() {
        if !inside() {
            return;
        }
        let script = "echo max >/sys/fs/cgroup/memory.max; mkdir /sys/fs/cgroup/x; cat /sys/fs/cgroup/memory.max; ls -d /sys/fs/cgroup/x";
        let rl = Rl::new();
        let out = limited(&rl, "-m 64m", script);
        assert!(out.stdout == "67108864\n" && out.stderr.contains("Read-only"), "{}{}", out.stdout, out.stderr);
        let out = limited(&rl, "-m 64m --security-opt unmask=/sys/fs/cgroup", script).success();
        assert!(out.stdout == "67108864\n/sys/fs/cgroup/x\n", "{}{}", out.stdout, out.stderr);
        // With every right inside: what can be mounted ends at its own group.
        let script = "mkdir /tmp/c && mount -t cgroup2 none /tmp/c && ls /tmp/c && echo max >/tmp/c/memory.max";
        let out = limited(&rl, "-m 64m --privileged", script);
        assert!(out.stdout.contains("cgroup.procs") && !out.stdout.contains("slice"), "{}{}", out.stdout, out.stderr);
        assert!(out.code() != 0 && out.stderr.contains("not permitted"), "{}{}", out.stdout, out.stderr);
        nothing_is_left(&rl);
    }

    #[test]
    fn the_script_of_a_plan_makes_the_scope_too() {
        if !inside() {
            return;
        }
        let rl = Rl::new();
        let command = "run --rm --network=none --plan=shell -m 64m --cpus 0.5 --pids-limit 50 busybox sh -c";
        let mut words: Vec<_> = command.split(' ').collect();
        words.push("cd /sys/fs/cgroup; cat memory.max cpu.max pids.max memory.oom.group /proc/self/cgroup");
        let file = rl.dir("script").join("script.sh");
        std::fs::write(&file, rl.run(&words).success().stdout).expect("write");
        let out = rl.plain_shell(&format!("sh {}", file.display())).success();
        assert_eq!(out.stdout, "67108864\n50000 100000\n50\n1\n0::/\n", "{}", out.stderr);
    }

    #[test]
    fn a_service_of_ones_own_manager_may_ask_for_a_scope_too() {
        if !inside() {
            return;
        }
        let rl = Rl::new();
        let own = rl.binary().display().to_string();
        let run = format!("{own} run --rm --network=none -m 64m busybox cat /sys/fs/cgroup/memory.max");
        let out = rl.shell(&format!("systemd-run --quiet --user --pipe --wait {run}")).success();
        assert_eq!(out.stdout, "67108864\n", "{}", out.stderr);
    }
}

mod by_su {
    use crate::inside;
    use crate::support::Rl;

    #[test]
    fn memory_is_limited() {
        super::memory_is_limited();
    }

    #[test]
    fn without_xdg_runtime_dir_the_manager_is_found() {
        if !inside() {
            return;
        }
        let rl = Rl::new();
        let script = format!(
            "env -u XDG_RUNTIME_DIR -u DBUS_SESSION_BUS_ADDRESS {} run --rm -m 64m busybox cat /sys/fs/cgroup/memory.max",
            rl.binary().display()
        );
        assert_eq!(rl.shell(&script).success().stdout, "67108864\n");
    }
}

mod as_root {
    use crate::inside;
    use crate::support::Rl;

    #[test]
    fn the_machines_own_manager_makes_roots_scopes() {
        if !inside() {
            return;
        }
        let rl = Rl::new();
        let out = super::limited(&rl, "-m 64m", "cat /sys/fs/cgroup/memory.max").success();
        assert_eq!(out.stdout, "67108864\n");
    }
}
