//! Many scopes at once, and what one costs.

mod over_ssh {
    use std::process::Command;
    use std::time::{Duration, Instant};

    use crate::support::Rl;
    use crate::{inside, report};

    #[test]
    fn fifty_scopes_at_once_all_succeed() {
        if !inside() {
            return;
        }
        let rl = Rl::new();
        let words = ["run", "--rm", "--network=none", "-m", "64m", "busybox", "cat", "/sys/fs/cgroup/memory.max"];
        // The first makes the holder.
        rl.run(&words).success();
        let running: Vec<_> = (0..50).map(|_| rl.command(&words).spawn()).collect();
        for one in running {
            assert_eq!(one.finish().success().stdout, "67108864\n");
        }
        super::super::limits::nothing_is_left(&rl);
    }

    fn time(command: &mut Command) -> Duration {
        let start = Instant::now();
        assert!(command.output().expect("start").status.success());
        start.elapsed()
    }

    #[test]
    fn a_scope_costs_less_than_systemd_runs() {
        if !inside() {
            return;
        }
        let rl = Rl::new();
        let run = |mode: &str| {
            let mut command = Command::new(rl.binary());
            command.arg("--root").arg(rl.root()).arg("--runroot").arg(rl.runroot());
            command.args(["run", "--rm", "--network=none", mode, "busybox", "true"]);
            command
        };
        let mut scope = Command::new("systemd-run");
        scope.args(["--quiet", "--user", "--scope", "true"]);
        let (mut with, mut without, mut peer) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..7 {
            without.push(time(&mut run("--cgroups=auto")));
            with.push(time(&mut run("--cgroups=enabled")));
            peer.push(time(&mut scope));
        }
        let milliseconds = |times: &mut Vec<Duration>, number: usize| {
            times.sort_unstable();
            times[number].as_secs_f64() * 1000.0
        };
        let mut at = |number| {
            let (with, without) = (milliseconds(&mut with, number), milliseconds(&mut without, number));
            (with - without, milliseconds(&mut peer, number))
        };
        let ((cost, theirs), (least, their_least)) = (at(3), at(0));
        report(&format!(
            "   a scope costs {cost:.0} ms (median of 7; least {least:.0}), systemd-run --user --scope true {theirs:.0} ms ({their_least:.0}): {:.2}x\n",
            cost / theirs
        ));
        // At most half of it on a machine that has nothing else to do; this one may have.
        assert!(cost <= theirs || least <= their_least, "{cost} {theirs} {least} {their_least}");
    }
}
