//! Extended attributes of an open file (xattr(7)); nix has no calls for them.

use std::ffi::{CStr, CString};
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

/// Reads an attribute of at most `into.len()` bytes.
///
/// # Errors
/// ENODATA where the file has none of that name, ERANGE when it is longer.
pub fn get<'a>(file: BorrowedFd<'_>, name: &CStr, into: &'a mut [u8]) -> Result<&'a [u8], Errno> {
    // SAFETY: name is a C string and `into` writable memory of the length that is passed; both outlive the call.
    let result = unsafe { libc::fgetxattr(file.as_raw_fd(), name.as_ptr(), into.as_mut_ptr().cast(), into.len()) };
    let count = usize::try_from(Errno::result(result)?).map_err(|_| Errno::EIO)?;
    Ok(&into[..count.min(into.len())])
}

/// The names of all attributes.
///
/// # Errors
/// The kernel's; none for a file system without attributes.
pub fn list(file: BorrowedFd<'_>) -> Result<Vec<CString>, Errno> {
    // XATTR_LIST_MAX: the kernel has no longer list.
    let mut names = vec![0_u8; 1 << 16];
    // SAFETY: `names` is writable memory of the length that is passed, and outlives the call.
    let result = unsafe { libc::flistxattr(file.as_raw_fd(), names.as_mut_ptr().cast(), names.len()) };
    let count = match Errno::result(result) {
        Err(Errno::ENOTSUP) => 0,
        result => usize::try_from(result?).map_err(|_| Errno::EIO)?,
    };
    names.truncate(count);
    let ended = names.split_inclusive(|byte| *byte == 0);
    ended.map(|name| CStr::from_bytes_with_nul(name).map(CStr::to_owned).map_err(|_| Errno::EIO)).collect()
}
