//! Looking things up beneath a directory, by descriptor, through no link.
//!
//! Owns the one way in which names of archives become paths. Makes nothing. The surprise: it is stricter than
//! RESOLVE_IN_ROOT: a link on the way is an error here, because nothing that unpacks or deletes has a reason to follow one.

use std::ffi::OsStr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{FileStat, SFlag, fstatat};

use super::trouble::shown;

/// Names nested deeper are made up to exhaust somebody.
const DEEPEST: usize = 1024;

/// Beneath `root`, through no link at all.
pub(super) fn open_beneath(root: BorrowedFd<'_>, path: &Path, flags: OFlag) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    openat2(root, path, OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve))
}

/// lstat; `None`: nothing is there.
pub(super) fn look(directory: BorrowedFd<'_>, name: &OsStr) -> Result<Option<FileStat>, Errno> {
    match fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

pub(super) fn is_directory(stat: &FileStat) -> bool {
    stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits()
}

/// A name of the archive as a path beneath the layer: `./a//b/` is `a/b`. Absolute names and `..` are refused.
pub(super) fn beneath(name: &[u8]) -> Result<PathBuf, String> {
    let refuse = |why: &str| Err(format!("the name {} {why}", shown(name)));
    // The root itself is no place outside; umoci writes it like that.
    if name.starts_with(b"/") && name.iter().any(|byte| *byte != b'/') {
        return refuse("is absolute");
    }
    let mut path = PathBuf::new();
    let parts = name.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".");
    for (depth, part) in parts.enumerate() {
        if part == b".." {
            return refuse("leads out with ..");
        }
        if part.len() > 255 {
            return refuse("has a component of more than 255 bytes");
        }
        if depth == DEEPEST {
            return refuse(&format!("has more than {DEEPEST} components"));
        }
        path.push(OsStr::from_bytes(part));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cleaned_and_bad_ones_refused() {
        assert_eq!(beneath(b"./a//b/./c/"), Ok(PathBuf::from("a/b/c")));
        assert_eq!((beneath(b"./"), beneath(b"/")), (Ok(PathBuf::new()), Ok(PathBuf::new())));
        for bad in [&b"/etc/passwd"[..], b"../x", b"a/../../x", b"a/.."] {
            assert!(beneath(bad).is_err(), "{bad:?}");
        }
        assert!(beneath(&[b'a'; 256]).is_err());
        assert!(beneath(&b"a/".repeat(1024)).is_ok());
        assert!(beneath(&b"a/".repeat(1025)).is_err());
    }
}
