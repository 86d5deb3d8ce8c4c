//! Trees of files to archives and back, by descriptor.
//!
//! Owns what `rl cp`, `rl export` and `rl commit` have in common: [`Pack`] writes what is below a directory as a tar stream, [`Unpack`] makes
//! what a stream says below another. Neither knows what a container is. The surprise: whoever owns the tree may change it
//! meanwhile; so nothing is looked at by a path and used by it later, and no name leads out of the directory that was given.

mod pack;
mod unpack;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

pub use self::pack::{Owners, Pack};
pub use self::unpack::{Unpack, Within};

/// Opens a path as if `root` were the root directory: links lead inside, whatever they say (CVE-2018-15664).
///
/// # Errors
/// The kernel's; EXDEV and ELOOP for names that would lead elsewhere.
pub fn open_in(root: BorrowedFd<'_>, path: &Path, flags: OFlag) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve);
    loop {
        // A rename somewhere on the way: the kernel can't tell whether it has left the root, and asks to try again.
        match openat2(root, path, how) {
            Err(Errno::EAGAIN) => {}
            opened => return opened,
        }
    }
}

/// A descriptor for reading, of what is open for nothing yet (O_PATH).
fn readable(file: impl AsFd, flags: OFlag) -> Result<OwnedFd, Errno> {
    let here = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS;
    openat2(file.as_fd(), ".", OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(here))
}

#[cfg(test)]
mod tests;
