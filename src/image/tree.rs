//! The directory tree that a layer becomes: making things in it, by descriptor, never through a link.
//!
//! Owns the last used parent directory, so that the many entries of one directory cost one lookup. The surprise: a
//! parent is opened with RESOLVE_NO_SYMLINKS, so an archive that writes through a link of its own is refused and not
//! followed.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat, mkdirat};

use super::trouble::shown;

/// Names nested deeper are made up to exhaust somebody.
const DEEPEST: usize = 1024;

/// A layer under construction.
pub(super) struct Tree {
    root: OwnedFd,
    parent: Option<(PathBuf, OwnedFd)>,
}

impl Tree {
    pub(super) fn new(root: OwnedFd) -> Self {
        Self { root, parent: None }
    }

    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The directory of `path` and its last component; missing directories are made with mode 0755, as tar does.
    pub(super) fn parent<'a>(&mut self, path: &'a Path) -> Result<(BorrowedFd<'_>, &'a OsStr), Errno> {
        let name = path.file_name().ok_or(Errno::EINVAL)?;
        let parent = path.parent().unwrap_or(Path::new(""));
        if parent.as_os_str().is_empty() {
            return Ok((self.root.as_fd(), name));
        }
        if self.parent.as_ref().is_none_or(|(have, _)| have != parent) {
            let opened = self.open_directory(parent)?;
            self.parent = Some((parent.to_owned(), opened));
        }
        let (_, directory) = self.parent.as_ref().ok_or(Errno::EINVAL)?;
        Ok((directory.as_fd(), name))
    }

    /// A directory of the tree was replaced or removed: what is remembered may be it.
    pub(super) fn forget(&mut self) {
        self.parent = None;
    }

    fn open_directory(&self, path: &Path) -> Result<OwnedFd, Errno> {
        match open_beneath(self.root(), path, OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
            Err(Errno::ENOENT) => self.make_directories(path),
            other => other,
        }
    }

    fn make_directories(&self, path: &Path) -> Result<OwnedFd, Errno> {
        let mut directory = self.root.try_clone().map_err(|_| Errno::EMFILE)?;
        for part in path.components() {
            match mkdirat(&directory, part.as_os_str(), Mode::from_bits_truncate(0o755)) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno),
            }
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            directory = openat(&directory, part.as_os_str(), flags, Mode::empty())?;
        }
        Ok(directory)
    }
}

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
    if name.starts_with(b"/") {
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
        assert_eq!(beneath(b"./"), Ok(PathBuf::new()));
        for bad in [&b"/etc/passwd"[..], b"../x", b"a/../../x", b"a/.."] {
            assert!(beneath(bad).is_err(), "{bad:?}");
        }
        assert!(beneath(&[b'a'; 256]).is_err());
        assert!(beneath(&b"a/".repeat(1024)).is_ok());
        assert!(beneath(&b"a/".repeat(1025)).is_err());
    }
}
