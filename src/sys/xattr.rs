//! Extended attributes of an open file (xattr(7)); nix has no call for them.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

/// Sets an attribute.
///
/// # Errors
/// ENOTSUP where the file system has none, EPERM for a name space that the caller may not write.
pub fn set(file: BorrowedFd<'_>, name: &CStr, value: &[u8]) -> Result<(), Errno> {
    // SAFETY: name is a C string and value a buffer of the length that is passed; both outlive the call.
    let result = unsafe { libc::fsetxattr(file.as_raw_fd(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    Errno::result(result).map(drop)
}
