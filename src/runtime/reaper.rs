//! `--init`: a first process that starts the command, passes signals on and reaps what nobody else waits for.
//!
//! Owns what rl's own pid 1 does in the container; it runs where the command would have been executed, after
//! capabilities, seccomp and no_new_privs, so it can do nothing that the command could not. It does not report a
//! failed exec: the command's process has a copy of the socket to the parent and does that itself. The surprise: a
//! process that is pid 1 is not sent signals that it has no handler for, except those that it blocks; so blocking all
//! of them and taking them one by one is what makes `--init` work.

use std::convert::Infallible;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Pid, getpid, getppid, setpgid, tcgetpgrp, tcsetpgrp};

use crate::sys::child::{self, Exit};
use crate::sys::signal::{Signals, wait_for};

/// Starts the command in a process of its own and stays as its init; never returns once that process exists.
///
/// `exec` runs in the command's process, with the caller's signal mask back in place. It executes the command; where
/// it can't, it reports that to the parent and gives the status to end with (126 or 127), which becomes the
/// container's. This process closes every descriptor above 2, the socket to the parent too: the parent then sees end
/// of file when the command's exec has closed the last copy. Ends with the command's status, or 128 and the signal
/// that killed it.
///
/// An error means that there is no process yet; the caller reports it as any other step.
pub fn run(signals: &Signals, exec: impl FnOnce() -> u8) -> nix::Result<Infallible> {
    let all = SigSet::all();
    all.thread_block()?;
    // /proc/1/exe is rl's own binary, which the container must not reach (CVE-2019-5736): it belongs to root of the
    // caller's namespace while this process is not dumpable. The command's process becomes dumpable again by its
    // exec.
    prctl::set_dumpable(false)?;
    // With --pid=host this is not pid 1: orphans would go to the host's init, and the command would outlive this
    // process.
    let first = getpid() == Pid::from_raw(1);
    if !first {
        prctl::set_child_subreaper(true)?;
    }
    let me = getpid();
    let command = child::fork(|| {
        if !first && (prctl::set_pdeathsig(Signal::SIGKILL).is_err() || getppid() != me) {
            return Exit::Signal(libc::SIGKILL).status();
        }
        take_foreground();
        if signals.restore().is_err() {
            return 125;
        }
        exec()
    })?;
    // Only the name in ps; a kernel without it is no reason to stop.
    let _ = prctl::set_name(c"rl-init");
    // The parent waits for the end of file on its socket, so a failure here must not pass for success: without the
    // command there is nothing to stay for.
    if child::close_all_but(&mut [0, 1, 2]).is_err() {
        child::exit_now(125);
    }
    child::exit_now(reap(&all, command).status())
}

/// Makes the calling process a foreground group of its own, where there is a terminal: a shell that finds itself in the
/// terminal's background stops or complains about job control.
///
/// Without a terminal it stays in init's group, so that one signal to the group stops and continues both (Ctrl-Z on
/// the host). Failing means that the terminal has been closed, which the command will see for itself. SIGTTOU is
/// blocked here, else the second call would stop the process, which is in the background until it returns.
fn take_foreground() {
    let stdin = std::io::stdin();
    if tcgetpgrp(stdin.as_fd()).is_ok() && setpgid(Pid::from_raw(0), Pid::from_raw(0)).is_ok() {
        let _ = tcsetpgrp(stdin.as_fd(), getpid());
    }
}

/// Takes signals until the command has ended.
fn reap(all: &SigSet, command: Pid) -> Exit {
    loop {
        match wait_for(all) {
            Ok(libc::SIGCHLD) => {
                // One SIGCHLD may stand for several children.
                loop {
                    match child::reap_any() {
                        Ok(Some((pid, exit))) if pid == command => return exit,
                        Ok(Some(_)) => {}
                        Ok(None) => break,
                        Err(_) => return Exit::Code(125),
                    }
                }
            }
            // ESRCH: the command has ended and its SIGCHLD comes next. EPERM: it has changed its user and dropped
            // what would let us signal it; then nobody in the container can.
            Ok(number) => match child::signal_pid(command, number) {
                Ok(()) | Err(Errno::ESRCH | Errno::EPERM) => {}
                Err(_) => return Exit::Code(125),
            },
            // Only an invalid set is refused; waiting without forwarding is what is left.
            Err(_) => return child::wait_pid(command).unwrap_or(Exit::Code(125)),
        }
    }
}
