//! What a process says about itself: its title, its open descriptors, its signals at the parent's death.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

#[allow(unsafe_code)]
fn close_range(first: u32, last: u32, flags: libc::c_uint) -> Result<(), Errno> {
    // SAFETY: integers only.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    Errno::result(result).map(drop)
}

/// Marks every descriptor above 2 close-on-exec, those too that the caller of `rl` has left open (CVE-2024-21626).
///
/// # Errors
/// EINVAL before Linux 5.11, which knows no CLOSE_RANGE_CLOEXEC.
pub fn close_on_exec_above_stdio() -> Result<(), Errno> {
    close_range(3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC)
}

/// Closes every descriptor but one, for a process that goes on for long and owns nothing else: stdio is closed too, so that no
/// pipe stays open behind a run.
///
/// # Errors
/// ENOSYS before Linux 5.9.
pub fn close_all_but(kept: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
    let Some(kept) = kept.map(|fd| fd.as_raw_fd().cast_unsigned()) else {
        return close_range(0, u32::MAX, 0);
    };
    if kept > 0 {
        close_range(0, kept - 1, 0)?;
    }
    close_range(kept + 1, u32::MAX, 0)
}

/// Overwrites the command line that ps(1) shows, so that a long-lived child does not show its parent's arguments to the whole
/// machine (they may hold a password). Only for a process that will never look at its arguments again.
#[allow(unsafe_code)]
pub fn hide_arguments(title: &str) {
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else { return };
    // Fields 48 and 49 (proc_pid_stat(5)), counted behind the command's closing parenthesis, which ends field 2.
    let Some((_, rest)) = stat.rsplit_once(") ") else { return };
    let mut fields = rest.split(' ').skip(45).map(str::parse::<usize>);
    let (Some(Ok(start)), Some(Ok(end))) = (fields.next(), fields.next()) else { return };
    if start == 0 || end <= start {
        return;
    }
    // SAFETY: the kernel says that [start, end) is this process's argument area: mapped, writable, and of no other use once
    // the arguments have been read; the process is single-threaded.
    let area = unsafe { std::slice::from_raw_parts_mut(std::ptr::with_exposed_provenance_mut::<u8>(start), end - start) };
    area.fill(0);
    let shown = title.len().min(area.len().saturating_sub(1));
    area[..shown].copy_from_slice(&title.as_bytes()[..shown]);
}

/// Ends the process at once: no destructors, no buffers, which are the parent's after a clone.
#[allow(unsafe_code)]
pub fn exit_now(status: i32) -> ! {
    // SAFETY: takes an integer and does not return.
    unsafe { libc::_exit(status) }
}

/// Takes ownership of a descriptor that the kernel has just installed in this process (SCM_RIGHTS gives bare numbers).
#[allow(unsafe_code)]
pub fn adopt(fd: RawFd) -> OwnedFd {
    // SAFETY: the only caller passes numbers that recvmsg(2) has made for this very message; nobody else owns them.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
