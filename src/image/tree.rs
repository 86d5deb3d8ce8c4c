//! The directory tree that a layer becomes: making things in it, by descriptor, never through a link.
//!
//! Owns the last used parent directory, so that the many entries of one directory cost one lookup, and the directories
//! that no entry of the archive has made, which are as the layers below have them. The surprise: a parent is opened
//! with RESOLVE_NO_SYMLINKS, so an archive that writes through a link of its own is refused and not followed.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::beneath::{look, open_beneath};
use super::lower::{Found, Lower};
use super::whiteout::{is_opaque, is_whiteout, make_opaque};

/// Of directories that neither the archive nor a lower layer has, as tar makes them.
const DIRECTORY_MODE: Mode = Mode::from_bits_truncate(0o755);

/// A layer under construction.
pub(super) struct Tree {
    root: OwnedFd,
    parent: Option<(PathBuf, OwnedFd)>,
    lower: Lower,
    /// Directories that were made for an entry below them, and the times that they have in the layers below.
    implied: Vec<(PathBuf, (i64, u32))>,
}

impl Tree {
    pub(super) fn new(root: OwnedFd, lower: Lower) -> Self {
        Self { root, parent: None, lower, implied: Vec::new() }
    }

    /// What an overlay of this layer and those below shows at `path`, where this layer has nothing itself.
    pub(super) fn below(&self, path: &Path) -> Result<Option<Found>, Errno> {
        if self.lower.shows_through(&self.root, path)? { self.lower.find(path) } else { Ok(None) }
    }

    /// Directories of lower layers that were made here since the last call, with their times.
    pub(super) fn take_implied(&mut self) -> Vec<(PathBuf, (i64, u32))> {
        std::mem::take(&mut self.implied)
    }

    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The directory of `path` and its last component; missing directories are made.
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

    /// Opens a directory of the tree; missing ones are made.
    pub(super) fn open_directory(&mut self, path: &Path) -> Result<OwnedFd, Errno> {
        match open_beneath(self.root(), path, OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
            // ENOTDIR: it may be a whiteout, behind which an entry of the same archive makes the directory anew.
            Err(Errno::ENOENT | Errno::ENOTDIR) => self.make_directories(path),
            other => other,
        }
    }

    fn make_directories(&mut self, path: &Path) -> Result<OwnedFd, Errno> {
        let mut directory = self.root.try_clone().map_err(|_| Errno::EMFILE)?;
        let mut here = PathBuf::new();
        // Behind an opaque directory of this layer nothing of the layers below counts.
        let mut sealed = false;
        for part in path.components() {
            let name = part.as_os_str();
            here.push(name);
            let mut made = mkdirat(&directory, name, DIRECTORY_MODE);
            let mut hiding = false;
            if made == Err(Errno::EEXIST) && look(directory.as_fd(), name)?.as_ref().is_some_and(is_whiteout) {
                unlinkat(&directory, name, UnlinkatFlags::NoRemoveDir)?;
                made = mkdirat(&directory, name, DIRECTORY_MODE);
                hiding = true;
            }
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            directory = match made {
                Ok(()) | Err(Errno::EEXIST) => openat(&directory, name, flags, Mode::empty())?,
                Err(errno) => return Err(errno),
            };
            if hiding {
                make_opaque(directory.as_fd())?;
            } else if made.is_ok()
                && !sealed
                && let Some(found) = self.lower.find(&here)?.filter(Found::is_directory)
            {
                found.attributes(directory.as_fd())?;
                self.implied.push((here.clone(), found.mtime()));
            }
            sealed = sealed || is_opaque(directory.as_fd());
        }
        Ok(directory)
    }
}
