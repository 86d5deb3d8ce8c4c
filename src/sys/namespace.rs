//! What nix has no call for about namespaces: ioctl_ns(2).

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

/// _IO(0xb7, 0x2) of linux/nsfs.h.
const NS_GET_PARENT: libc::Ioctl = 0xb702;

/// The parent of a user namespace.
///
/// # Errors
/// EPERM where the parent is none that the caller can see.
pub fn parent(namespace: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    // SAFETY: NS_GET_PARENT takes no argument.
    let fd = Errno::result(unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_PARENT) })?;
    // SAFETY: the call has just made this descriptor, nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
