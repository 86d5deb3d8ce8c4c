//! Whiteouts: how a layer says that something of the layers below is not there any more.
//!
//! Owns the archive's form (`.wh.NAME`, `.wh..wh..opq`; image specification, "Layer Filesystem Changeset") and the
//! kernel's (a character device 0:0, the attribute `user.overlay.opaque`). The surprise: such a device is the one that
//! anybody may make (Linux 5.8), and fuse-overlayfs understands the same two signs.

use std::ffi::{CStr, OsStr};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::sys::stat::{FileStat, Mode, SFlag, mknodat};

use crate::sys::xattr;

/// On a directory whose lower namesakes are hidden.
const OPAQUE: &CStr = c"user.overlay.opaque";

const PREFIX: &[u8] = b".wh.";

/// What a name in a layer's archive means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning<'a> {
    /// A file of that name.
    Ordinary,
    /// What is below, in its directory, is hidden.
    Opaque,
    /// What is below of this name is hidden.
    Hides(&'a OsStr),
    /// Bookkeeping of aufs, which some archives still have.
    Nothing,
    /// It would hide nothing, or the directory itself.
    Absurd,
}

pub(super) fn meaning(name: &OsStr) -> Meaning<'_> {
    match name.as_bytes().strip_prefix(PREFIX) {
        None => Meaning::Ordinary,
        Some(b".wh..opq") => Meaning::Opaque,
        Some(rest) if rest.starts_with(PREFIX) => Meaning::Nothing,
        Some(b"" | b"." | b"..") => Meaning::Absurd,
        Some(hidden) => Meaning::Hides(OsStr::from_bytes(hidden)),
    }
}

pub(super) fn is_whiteout(stat: &FileStat) -> bool {
    stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFCHR.bits() && stat.st_rdev == 0
}

pub(super) fn make_whiteout(directory: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
    mknodat(directory, name, SFlag::S_IFCHR, Mode::empty(), 0)
}

pub(super) fn make_opaque(directory: BorrowedFd<'_>) -> Result<(), Errno> {
    xattr::set(directory, OPAQUE, b"y")
}

pub(super) fn is_opaque(directory: BorrowedFd<'_>) -> bool {
    xattr::get(directory, OPAQUE, &mut [0; 8]).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_what_the_specification_says() {
        for (name, means) in [
            ("file", Meaning::Ordinary),
            (".whatever", Meaning::Ordinary),
            (".wh.file", Meaning::Hides(OsStr::new("file"))),
            (".wh..hidden", Meaning::Hides(OsStr::new(".hidden"))),
            (".wh..wh..opq", Meaning::Opaque),
            (".wh..wh.plnk", Meaning::Nothing),
            (".wh..wh.aufs", Meaning::Nothing),
            (".wh.", Meaning::Absurd),
            (".wh..", Meaning::Absurd),
            (".wh...", Meaning::Absurd),
        ] {
            assert_eq!(meaning(OsStr::new(name)), means, "{name}");
        }
    }
}
