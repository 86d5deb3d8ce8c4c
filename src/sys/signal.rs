//! Signals of the supervising process: blocked before the clone, read from a descriptor, given back before exec.
//!
//! Owns the mask, the signalfd and the dispositions that Rust's runtime or the caller have changed. Who gets which
//! signal is decided in `runtime::supervise` and `runtime::reaper`. The surprise: the kernel queues a blocked signal
//! even where it is ignored, so signals that the caller ignores (SIGHUP under nohup) must stay out of the mask, or
//! they would come to life.

use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// Signals that are left alone: they tell of a bug in this very process.
const FAULTS: [Signal; 6] =
    [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGILL, Signal::SIGFPE, Signal::SIGTRAP, Signal::SIGSYS];

/// Needed whatever the caller's dispositions are: SIGCHLD and SIGWINCH are not for the child alone, SIGCONT always
/// continues, and a write to a closed pipe must be an errno.
const ALWAYS: [Signal; 4] = [Signal::SIGCHLD, Signal::SIGWINCH, Signal::SIGCONT, Signal::SIGPIPE];

/// Every signal that can be forwarded, blocked, and a descriptor that they are read from.
#[derive(Debug)]
pub struct Signals {
    fd: SignalFd,
    old: SigSet,
}

impl Signals {
    /// Blocks the signals; done before the clone, so that none is lost between it and the supervision.
    pub fn block() -> nix::Result<Self> {
        let mut set = SigSet::all();
        for signal in FAULTS {
            set.remove(signal);
        }
        for signal in Signal::iterator() {
            if !ALWAYS.contains(&signal) && set.contains(signal) && is_ignored(signal)? {
                set.remove(signal);
            }
        }
        let old = SigSet::thread_get_mask()?;
        set.thread_block()?;
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self { fd, old })
    }

    /// The next signal that has arrived, by number because real-time signals have no name; `None`: no more for now.
    pub fn next(&self) -> nix::Result<Option<i32>> {
        Ok(self.fd.read_signal()?.and_then(|info| i32::try_from(info.ssi_signo).ok()))
    }

    /// The caller's own mask again, for the child before exec. Dispositions need nothing: none was changed since
    /// [`reset_dispositions`].
    pub fn restore(&self) -> nix::Result<()> {
        self.old.thread_set_mask()
    }

    /// Stops this process by `signal` (SIGTSTP, SIGTTIN, SIGTTOU) as the terminal would stop any other, and returns
    /// when it is continued. Where nobody could continue it (an orphaned process group) the kernel ignores the
    /// signal, and this returns at once.
    pub fn stop_self(&self, signal: Signal) -> nix::Result<()> {
        let mut set = SigSet::empty();
        set.add(signal);
        nix::sys::signal::kill(nix::unistd::getpid(), signal)?;
        // With one thread the pending signal is acted on before this call returns.
        set.thread_unblock()?;
        set.thread_block()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Gives SIGPIPE and SIGCHLD their default actions; called first in `main`.
///
/// What is ignored stays so through exec. Of SIGPIPE, which a caller (and Rust's own start, where it is used) may ignore: every
/// command in a container would see failing writes where it expects to die (`yes | head -1`). A caller that ignores SIGCHLD would
/// make the kernel reap our children before we can ask for their status.
pub fn reset_dispositions() -> nix::Result<()> {
    for signal in [Signal::SIGPIPE, Signal::SIGCHLD] {
        let action = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        // SAFETY: the default action runs no code of ours.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
}

/// Waits for any of the blocked signals `set` and takes it; gives its number.
pub fn wait_for(set: &SigSet) -> nix::Result<i32> {
    let mut number = 0;
    // SAFETY: the set is read and `number` is written, both for the length of the call.
    match unsafe { libc::sigwait(set.as_ref(), &raw mut number) } {
        0 => Ok(number),
        errno => Err(Errno::from_raw(errno)),
    }
}

fn is_ignored(signal: Signal) -> nix::Result<bool> {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a null new action changes nothing; the old one is written to memory of its size.
    let answer = unsafe { libc::sigaction(signal as i32, std::ptr::null(), action.as_mut_ptr()) };
    Errno::result(answer)?;
    // SAFETY: sigaction has filled it, and it is plain numbers.
    let action = unsafe { action.assume_init() };
    Ok(action.sa_sigaction == libc::SIG_IGN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_sent_to_this_thread_is_read_by_number_and_the_mask_comes_back() {
        let before = SigSet::thread_get_mask().expect("mask");
        let signals = Signals::block().expect("block");
        assert_eq!(signals.next(), Ok(None));
        nix::sys::signal::raise(Signal::SIGUSR2).expect("raise");
        assert_eq!(signals.next(), Ok(Some(libc::SIGUSR2)));
        signals.restore().expect("restore");
        assert_eq!(SigSet::thread_get_mask(), Ok(before));
    }

    #[test]
    fn a_crash_of_this_process_is_not_blocked_but_what_can_be_forwarded_is() {
        let signals = Signals::block().expect("block");
        let mask = SigSet::thread_get_mask().expect("mask");
        assert!(!mask.contains(Signal::SIGSEGV) && !mask.contains(Signal::SIGBUS));
        assert!(mask.contains(Signal::SIGTERM) && mask.contains(Signal::SIGTSTP) && mask.contains(Signal::SIGTTOU));
        signals.restore().expect("restore");
    }
}
