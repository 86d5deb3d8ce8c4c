//! clone3(2) as a fork that makes namespaces, and setns(2) through a pidfd.

use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::unistd::Pid;

/// A child of this process.
#[derive(Debug)]
pub struct Child {
    /// Its pid in our namespace; it can't be reused before we have reaped it.
    pub pid: Pid,
    /// Readable when it has ended.
    pub pidfd: OwnedFd,
}

/// On which side of the clone we are.
#[derive(Debug)]
pub enum Side {
    /// In the parent.
    Parent(Child),
    /// In the child.
    Child,
}

/// Forks with the given CLONE_NEW* flags. The child has a copy of all memory, and SIGCHLD is sent when it ends.
///
/// # Errors
/// EPERM and ENOSPC where user namespaces are forbidden or exhausted, EAGAIN at the limit of processes.
#[allow(unsafe_code)]
pub fn clone(namespaces: CloneFlags) -> Result<Side, Errno> {
    debug_assert_eq!(threads(), 1, "clone copies the calling thread only; locks of others would stay locked for ever");
    let mut pidfd: libc::c_int = -1;
    // SAFETY: clone_args is plain data for which all zeros is a valid value (clone(2)).
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = (namespaces.bits() | libc::CLONE_PIDFD) as u64;
    args.pidfd = (&raw mut pidfd) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    // SAFETY: no CLONE_VM and no stack: the child runs on a copy of this stack, as after fork(2); pidfd outlives the call. The
    // process is single-threaded (asserted above), so the child may allocate.
    let result = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) };
    match Errno::result(result)? {
        0 => Ok(Side::Child),
        pid => Ok(Side::Parent(Child {
            pid: Pid::from_raw(pid as libc::pid_t),
            // SAFETY: with CLONE_PIDFD a successful clone has stored a new descriptor that nobody else owns.
            pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
        })),
    }
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}

/// Opens a pidfd for a process that need not be a child (pidfd_open(2), Linux 5.3).
///
/// # Errors
/// ESRCH when there is no such process.
#[allow(unsafe_code)]
pub fn pidfd_open(pid: Pid) -> Result<OwnedFd, Errno> {
    // SAFETY: takes two integers.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    let fd = Errno::result(result)?;
    // SAFETY: the kernel has just made this descriptor for us; it is close-on-exec by itself.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}

/// Sends a signal to the very process that the pidfd stands for (pidfd_send_signal(2), Linux 5.1).
///
/// # Errors
/// ESRCH when it has ended.
#[allow(unsafe_code)]
pub fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: libc::c_int) -> Result<(), Errno> {
    let none: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: a null siginfo means the same as kill(2); the other arguments are integers.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, none, 0) };
    Errno::result(result).map(drop)
}
