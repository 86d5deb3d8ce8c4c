//! clone3(2) as a fork that makes namespaces.

use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::unistd::Pid;

/// A child of this process; a container's is leader of its own session and process group.
#[derive(Debug)]
pub struct Child {
    /// Its pid in our namespace; it can't be reused before we have reaped it.
    pub pid: Pid,
    /// The same, immune to reuse of the number; readable when it has ended.
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
pub fn clone(namespaces: CloneFlags) -> Result<Side, Errno> {
    clone_into(namespaces, None)
}

/// The same, into the control group whose directory this is (Linux 5.7): its limits hold from the first instruction, and nothing waits
/// for the kernel's lock of all groups, as a move does.
///
/// # Errors
/// As [`clone`]; EACCES where the group that both sides have in common is not the caller's, ENODEV where it is being removed.
pub fn clone_into(namespaces: CloneFlags, cgroup: Option<BorrowedFd<'_>>) -> Result<Side, Errno> {
    let mut pidfd: libc::c_int = -1;
    // SAFETY: clone_args is plain data for which all zeros is a valid value (clone(2)).
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = (namespaces.bits() | libc::CLONE_PIDFD) as u64;
    args.pidfd = (&raw mut pidfd) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    into_cgroup(&mut args, cgroup);
    match clone3(&mut args)? {
        None => Ok(Side::Child),
        Some(pid) => Ok(Side::Parent(Child {
            pid,
            // SAFETY: with CLONE_PIDFD a successful clone has stored a new descriptor that nobody else owns.
            pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
        })),
    }
}

/// The same, but the new process is a child of the caller's parent, whom its end is told as the caller's own would be. None: in
/// the new process.
///
/// # Errors
/// As [`clone`]; EINVAL for the first process of a pid namespace.
pub fn clone_sister(namespaces: CloneFlags, cgroup: Option<BorrowedFd<'_>>) -> Result<Option<Pid>, Errno> {
    // SAFETY: clone_args is plain data for which all zeros is a valid value; with CLONE_PARENT exit_signal must be zero.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = (namespaces.bits() | libc::CLONE_PARENT) as u64;
    into_cgroup(&mut args, cgroup);
    clone3(&mut args)
}

/// libc's own is narrower than the kernel's flags, and overflows.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

fn into_cgroup(args: &mut libc::clone_args, cgroup: Option<BorrowedFd<'_>>) {
    if let Some(fd) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = fd.as_raw_fd() as u64;
    }
}

fn clone3(args: &mut libc::clone_args) -> Result<Option<Pid>, Errno> {
    debug_assert_eq!(threads(), 1, "clone copies the calling thread only; locks of others would stay locked for ever");
    // SAFETY: no CLONE_VM and no stack: the child runs on a copy of this stack, as after fork(2); what the arguments point to
    // outlives the call. The process is single-threaded (asserted above), so the child may allocate.
    let result = unsafe { libc::syscall(libc::SYS_clone3, std::ptr::from_mut(args), size_of::<libc::clone_args>()) };
    match Errno::result(result)? {
        0 => Ok(None),
        pid => Ok(Some(Pid::from_raw(pid as libc::pid_t))),
    }
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}
