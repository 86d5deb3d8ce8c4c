//! What lies below the layer that is being made: the directories and files that its archive takes for granted.
//!
//! Owns looking a path up through the layers below, and copying what is found up. A layer's archive need not hold the
//! directories above its entries, and a hard link may lead to a file of a lower layer; an overlay shows a directory
//! with the attributes of its topmost layer, so those must be the lower one's. The surprise: this is the kernel's own
//! lookup once more (whiteouts, opaque directories), because nothing is mounted while an image is unpacked.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};
use std::rc::Rc;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, futimens};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchown};

use super::attributes::is_taken;
use super::beneath::{is_directory, look};
use super::publish;
use super::whiteout::{is_opaque, is_whiteout};
use crate::sys::xattr;

/// The trees of the layers below, topmost first.
#[derive(Debug, Default, Clone)]
pub(super) struct Lower(Vec<Rc<OwnedFd>>);

/// A file or directory of a lower layer.
pub(super) struct Found {
    directory: OwnedFd,
    name: OsString,
    pub(super) stat: FileStat,
}

/// One layer's answer.
enum Answer {
    Here(Found),
    /// Not in this layer; `sealed`: and an opaque directory hides what is below.
    Missing {
        sealed: bool,
    },
    /// A whiteout or a file is in the way.
    Hidden,
}

impl Lower {
    /// These layers and one more above them.
    pub(super) fn with(&self, top: OwnedFd) -> Self {
        Self([Rc::new(top)].into_iter().chain(self.0.iter().cloned()).collect())
    }

    /// Whether `top`, a layer above these, has nothing at `path` and hides nothing there.
    pub(super) fn shows_through(&self, top: &OwnedFd, path: &Path) -> Result<bool, Errno> {
        Ok(matches!(walk(top, path)?, Answer::Missing { sealed: false }))
    }

    /// What an overlay of these layers would show at `path`.
    pub(super) fn find(&self, path: &Path) -> Result<Option<Found>, Errno> {
        for layer in &self.0 {
            match walk(layer, path)? {
                Answer::Here(found) => return Ok(Some(found)),
                Answer::Missing { sealed: false } => {}
                Answer::Missing { sealed: true } | Answer::Hidden => return Ok(None),
            }
        }
        Ok(None)
    }
}

fn walk(layer: &OwnedFd, path: &Path) -> Result<Answer, Errno> {
    let mut directory = layer.try_clone().map_err(|_| Errno::EMFILE)?;
    let mut sealed = false;
    let mut parts = path.components().peekable();
    while let Some(Component::Normal(name)) = parts.next() {
        let Some(stat) = look(directory.as_fd(), name)? else { return Ok(Answer::Missing { sealed }) };
        if is_whiteout(&stat) {
            return Ok(Answer::Hidden);
        }
        if parts.peek().is_none() {
            return Ok(Answer::Here(Found { directory, name: name.to_owned(), stat }));
        }
        if !is_directory(&stat) {
            return Ok(Answer::Hidden);
        }
        directory = open(directory.as_fd(), name, OFlag::O_DIRECTORY)?;
        sealed |= is_opaque(directory.as_fd());
    }
    Ok(Answer::Missing { sealed })
}

fn open(directory: BorrowedFd<'_>, name: &OsStr, flags: OFlag) -> Result<OwnedFd, Errno> {
    openat(directory, name, flags | OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())
}

impl Found {
    pub(super) fn new(directory: OwnedFd, name: OsString, stat: FileStat) -> Self {
        Self { directory, name, stat }
    }

    pub(super) fn is_directory(&self) -> bool {
        is_directory(&self.stat)
    }

    pub(super) fn is_file(&self) -> bool {
        self.stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFREG.bits()
    }

    /// Seconds and nanoseconds.
    pub(super) fn mtime(&self) -> (i64, u32) {
        (self.stat.st_mtime, u32::try_from(self.stat.st_mtime_nsec).unwrap_or(0))
    }

    /// Gives `to` the owner, the mode and the extended attributes.
    pub(super) fn attributes(&self, to: BorrowedFd<'_>) -> Result<(), Errno> {
        let kind = if self.is_directory() { OFlag::O_DIRECTORY } else { OFlag::O_NONBLOCK };
        let from = open(self.directory.as_fd(), &self.name, kind)?;
        self.attributes_from(from.as_fd(), to)
    }

    fn attributes_from(&self, from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
        let own = (Uid::from_raw(self.stat.st_uid), Gid::from_raw(self.stat.st_gid));
        let own = (own.0, own.1, Mode::from_bits_truncate(self.stat.st_mode));
        // In a shared store they are not those of the file itself.
        let (uid, gid, mode) = publish::real(from).unwrap_or(own);
        fchown(to, Some(uid), Some(gid))?;
        fchmod(to, mode)?;
        for name in xattr::list(from)? {
            if is_taken(name.to_bytes()) {
                let mut value = vec![0; usize::from(u16::MAX) + 1];
                xattr::set(to, &name, xattr::get(from, &name, &mut value)?)?;
            }
        }
        Ok(())
    }

    /// Makes `to`, a new file, the same file with the same attributes.
    pub(super) fn copy(&self, to: OwnedFd) -> io::Result<()> {
        let from = open(self.directory.as_fd(), &self.name, OFlag::O_NONBLOCK)?;
        let (mut from, mut to) = (File::from(from), File::from(to));
        io::copy(&mut from, &mut to)?;
        self.attributes_from(from.as_fd(), to.as_fd())?;
        let time = TimeSpec::new(self.stat.st_mtime, self.stat.st_mtime_nsec);
        Ok(futimens(&to, &time, &time)?)
    }
}
