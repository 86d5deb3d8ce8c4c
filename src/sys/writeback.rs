//! Starting to write a file to the disk without waiting for it (sync_file_range(2)).

use std::fs::File;
use std::os::fd::AsRawFd;

use nix::errno::Errno;

/// Hands `length` bytes from `offset` on to the disk. It promises nothing: that is fdatasync's, which has less to wait for then.
///
/// # Errors
/// ESPIPE for what is no file; what the disk said of earlier writes.
pub fn start(file: &File, offset: u64, length: u64) -> Result<(), Errno> {
    let (Ok(offset), Ok(length)) = (i64::try_from(offset), i64::try_from(length)) else { return Err(Errno::EFBIG) };
    // SAFETY: the descriptor is open; no memory is passed.
    let result = unsafe { libc::sync_file_range(file.as_raw_fd(), offset, length, libc::SYNC_FILE_RANGE_WRITE) };
    Errno::result(result).map(drop)
}
