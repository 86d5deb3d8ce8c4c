//! Child processes: fork without exec, waiting by pidfd, signals by pidfd, closing what a child must not hold.
//!
//! Owns the few process calls that nix offers only by pid, only for named signals, or not at all. It does not clone
//! containers (`sys::clone`). The surprise: an exit is read with raw numbers, because nix refuses a status whose
//! signal is a real-time one.

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{ForkResult, Pid};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It called exit with this status.
    Code(u8),
    /// This signal killed it.
    Signal(i32),
}

impl Exit {
    /// The status that a shell would show: the code, or 128 and the signal.
    pub fn status(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(number) => u8::try_from(number).unwrap_or(0).saturating_add(128),
        }
    }
}

/// Forks; the child runs `body` and ends with the status that it returns. No destructors, no exit handlers and no
/// buffered output of the parent's run in the child.
///
/// Only for a process with one thread: the child has a copy of every lock in the state in which another thread held
/// it, so that allocating could hang for ever. `runtime::parent` asserts this before the first clone, and nothing
/// starts threads later.
pub fn fork(body: impl FnOnce() -> u8) -> nix::Result<Pid> {
    // SAFETY: the process has one thread (see above), so the child may do whatever the parent could.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            // Unwinding must not leave this frame: the rest of the stack is the parent's work.
            let status = catch_unwind(AssertUnwindSafe(body)).unwrap_or(255);
            exit_now(status)
        }
    }
}

/// Ends this process without running exit handlers or writing out buffers, which in a forked process are its parent's.
pub fn exit_now(status: u8) -> ! {
    // SAFETY: _exit takes a number and does not return.
    unsafe { libc::_exit(i32::from(status)) }
}

/// A descriptor for a process that can't end meanwhile: a child that nobody has reaped (pidfd_open, Linux 5.3).
pub fn open_pidfd(pid: Pid) -> nix::Result<OwnedFd> {
    // SAFETY: two numbers.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) })?;
    let fd = RawFd::try_from(fd).map_err(|_| Errno::EBADF)?;
    // SAFETY: the call has just made this descriptor, nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Whether the process behind a pidfd has ended; it may be nobody's child of ours, and is not reaped.
pub fn has_ended(pidfd: BorrowedFd<'_>) -> bool {
    poll(&mut [PollFd::new(pidfd, PollFlags::POLLIN)], PollTimeout::ZERO) != Ok(0)
}

/// Reaps the child behind a pidfd (Linux 5.4). With `block` false, `None` says that it still runs.
pub fn wait_pidfd(pidfd: BorrowedFd<'_>, block: bool) -> nix::Result<Option<Exit>> {
    let id = libc::id_t::try_from(pidfd.as_raw_fd()).map_err(|_| Errno::EBADF)?;
    Ok(wait(libc::P_PIDFD, id, block)?.map(|(_, exit)| exit))
}

/// Reaps the child of this pid, waiting for it.
pub fn wait_pid(pid: Pid) -> nix::Result<Exit> {
    let id = libc::id_t::try_from(pid.as_raw()).map_err(|_| Errno::ECHILD)?;
    wait(libc::P_PID, id, true)?.map(|(_, exit)| exit).ok_or(Errno::ECHILD)
}

/// Reaps any child that has ended; `None`: children are left, but none has ended. Without children the answer is
/// ECHILD.
pub fn reap_any() -> nix::Result<Option<(Pid, Exit)>> {
    wait(libc::P_ALL, 0, false)
}

fn wait(kind: libc::idtype_t, id: libc::id_t, block: bool) -> nix::Result<Option<(Pid, Exit)>> {
    let options = libc::WEXITED | if block { 0 } else { libc::WNOHANG };
    // With WNOHANG and nobody to reap the kernel leaves the structure as it is, so that si_pid must start as zero.
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    loop {
        // SAFETY: `info` is writable memory of the structure's size.
        let answer = unsafe { libc::waitid(kind, id, info.as_mut_ptr(), options) };
        match Errno::result(answer) {
            Ok(_) => break,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    // SAFETY: siginfo_t is plain numbers, for which zeros are a valid value, and the kernel has filled it since.
    let info = unsafe { info.assume_init() };
    // SAFETY: waitid fills the SIGCHLD member of the union, of which si_pid is a field.
    let pid = unsafe { info.si_pid() };
    if pid == 0 {
        return Ok(None);
    }
    // SAFETY: as above.
    let status = unsafe { info.si_status() };
    let exit = match info.si_code {
        libc::CLD_EXITED => Exit::Code(u8::try_from(status & 0xff).unwrap_or(u8::MAX)),
        _ => Exit::Signal(status),
    };
    Ok(Some((Pid::from_raw(pid), exit)))
}

/// Sends a signal, real-time ones included, to the process behind a pidfd: it can't reach another that got the pid
/// later.
pub fn signal_pidfd(pidfd: BorrowedFd<'_>, number: i32) -> nix::Result<()> {
    let info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo makes the kernel fill in what kill(2) would; nothing else is a pointer.
    let answer = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), number, info, 0) };
    Errno::result(answer).map(drop)
}

/// A descriptor of another process, shared with it (pidfd_getfd(2), Linux 5.6); needs what ptrace(2) would.
pub fn descriptor_of(pidfd: BorrowedFd<'_>, number: RawFd) -> nix::Result<OwnedFd> {
    // SAFETY: three numbers.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), number, 0) })?;
    let fd = RawFd::try_from(fd).map_err(|_| Errno::EBADF)?;
    // SAFETY: the call has just made this descriptor, close-on-exec; nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// kill(2) with a raw number, for real-time signals. A negative pid means the process group.
pub fn signal_pid(pid: Pid, number: i32) -> nix::Result<()> {
    // SAFETY: kill takes two numbers.
    Errno::result(unsafe { libc::kill(pid.as_raw(), number) }).map(drop)
}

/// Closes every descriptor of this process but those in `keep` (close_range, Linux 5.9).
///
/// For a process that was forked and goes on without exec; owners of the closed descriptors in its memory must never
/// be dropped.
pub fn close_all_but(keep: &mut [RawFd]) -> nix::Result<()> {
    keep.sort_unstable();
    let mut first = 0;
    for fd in keep.iter() {
        let fd = u32::try_from(*fd).map_err(|_| Errno::EBADF)?;
        if first < fd {
            close_range(first, fd - 1)?;
        }
        first = fd + 1;
    }
    close_range(first, u32::MAX)
}

fn close_range(first: u32, last: u32) -> nix::Result<()> {
    // SAFETY: three numbers; the caller's contract above covers what is closed.
    match Errno::result(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }) {
        Ok(_) => Ok(()),
        // A seccomp profile older than the call refuses it. A process without it has only descriptors that rl's
        // set-up has opened, lowest numbers first, so that a thousand are more than enough.
        Err(Errno::ENOSYS | Errno::EPERM) => {
            for fd in first..=last.min(1023) {
                // SAFETY: as above; EBADF for numbers that are not open is no failure.
                unsafe { libc::close(i32::try_from(fd).unwrap_or(-1)) };
            }
            Ok(())
        }
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_time_signal_has_a_status_too() {
        assert_eq!(Exit::Signal(libc::SIGTERM).status(), 143);
        assert_eq!(Exit::Signal(64).status(), 192);
        assert_eq!(Exit::Code(127).status(), 127);
    }

    #[test]
    fn waiting_for_a_process_that_is_no_child_is_refused() {
        assert_eq!(wait_pid(Pid::from_raw(1)), Err(Errno::ECHILD));
    }
}
