//! The processes of `rl`'s own that serve one container's network, `rl: ports` and `rl: egress`: how long they stay, and what is said
//! when one was killed.

mod as_user {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    use crate::networks::works;
    use crate::ports::{TCP, asked, free_port};
    use crate::support::Rl;

    /// The signals that have been sent to a process and not been heard.
    fn unheard(pid: Pid) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
        let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:")).expect("a mask");
        u64::from_str_radix(pending.trim(), 16).expect("a number")
    }

    #[test]
    fn what_asks_the_container_to_end_does_not_end_who_serves_it() {
        if !works() {
            return;
        }
        let (rl, port) = (Rl::new(), free_port());
        let address = format!("[::1]:{port}");
        let words = ["run", "--rm", "--egress=allow=a.example", "-p", &format!("{address}:80"), "busybox", "sh", "-c"];
        let mut running = rl.command(&[&words[..], &[TCP]].concat()).spawn();
        running.wait_for_line("up");
        // As Ctrl-C, a terminal that goes and systemd send them to every process around the container.
        let signals = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM];
        for name in ["rl: ports", "rl: egress"] {
            let helper = running.child_called(name);
            signals.iter().for_each(|signal| kill(helper, *signal).expect("kill"));
            let sent = signals.iter().map(|signal| 1 << (*signal as i32 - 1)).sum::<u64>();
            assert_eq!(unheard(helper), sent, "{name}");
        }
        assert_eq!(asked(&address), "hello\n");
        kill(running.pid(), Signal::SIGKILL).expect("kill");
        running.finish();
    }
}
