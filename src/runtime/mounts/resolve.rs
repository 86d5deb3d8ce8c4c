//! Paths of the container: resolved inside the new root, and made where they are missing.
//!
//! Owns every lookup in a tree that an image or a container has written, with openat2 and RESOLVE_IN_ROOT through pathrs. The
//! surprise: below `/dev`, a tmpfs of our own in which nobody else has been, files are made directly, without a lookup.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2, readlinkat};
use nix::sys::stat::{Mode, mkdirat};

use super::Root;
use crate::error::{Context, Error, Result, catalog::rootfs};

/// As many links as the kernel follows in one path (ELOOP).
const MOST_LINKS: usize = 40;

/// What a missing mount target is made as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    File,
}

impl Root {
    /// mkdir -p.
    pub(in crate::runtime) fn directory(&self, target: &Path) -> Result<OwnedFd> {
        self.ensure(target, Kind::Directory)
    }

    /// What is at `path`, which nothing is made for.
    pub(super) fn resolve(&self, path: &Path) -> Result<OwnedFd, pathrs::error::Error> {
        self.inner.resolve(path).map(OwnedFd::from)
    }

    /// ln -s, where nothing is.
    pub(in crate::runtime) fn symlink(&self, target: &Path, to: &str) -> Result<()> {
        let doing = || format!("link {} to {to}", target.display());
        let (parent, name) = split(target)?;
        let made = match &self.fresh {
            Some((fresh, directory)) if fresh == parent => nix::unistd::symlinkat(to, directory, name),
            _ => nix::unistd::symlinkat(to, self.ensure(parent, Kind::Directory)?, name),
        };
        match made {
            Err(Errno::EEXIST) => Ok(()),
            other => other.context(&rootfs::MOUNT, doing),
        }
    }

    /// Opens a file of the container, without following a last link.
    pub(in crate::runtime) fn open(&self, target: &Path, flags: OFlag) -> Result<OwnedFd> {
        let doing = || format!("open {}", target.display());
        let (parent, name) = split(target)?;
        let parent = self.inner.resolve(parent).context(&rootfs::MOUNT, doing)?;
        let fd = openat(parent.as_fd(), name, flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty());
        fd.context(&rootfs::MOUNT, doing)
    }

    /// What is at `path`, if anything is. The kernel is asked before pathrs, which explains an error with seven more system calls; and
    /// of the paths that are masked a kernel lacks nearly all.
    pub(super) fn existing(&self, path: &Path) -> Result<Option<OwnedFd>> {
        let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        match openat2(self.fd(), path, OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(resolve)) {
            Ok(handle) => return Ok(Some(handle)),
            Err(Errno::ENOENT) => return Ok(None),
            // No openat2 before Linux 5.6; a rename has come between (EAGAIN); an error to explain.
            Err(_) => {}
        }
        match self.inner.resolve(path) {
            Ok(handle) => Ok(Some(handle.into())),
            Err(error) if errno(&error).is_some_and(|errno| [Errno::ENOENT, Errno::ENOTDIR].contains(&errno)) => {
                Ok(None)
            }
            Err(error) => Err(Error::new(&rootfs::MOUNT, format!("resolve {}", path.display())).because(error)),
        }
    }

    /// A directory at `path`, made where it is missing; a link anywhere on the way is refused.
    pub(super) fn ensure_no_links(&self, path: &Path) -> Result<OwnedFd> {
        let flags = pathrs::flags::ResolverFlags::NO_SYMLINKS;
        match self.inner.as_ref().with_resolver_flags(flags).resolve(path) {
            Ok(handle) => Ok(handle.into()),
            Err(error) if errno(&error) == Some(Errno::ENOENT) => self.ensure(path, Kind::Directory),
            Err(error) => Err(Error::new(&rootfs::UNSAFE_TARGET, format!("resolve {}", path.display())).because(error)),
        }
    }

    /// Resolves `path`, making what is missing. Links are followed inside the root, dangling ones too: an image's
    /// /etc/resolv.conf often points to a file that only a running system has.
    pub(super) fn ensure(&self, path: &Path, kind: Kind) -> Result<OwnedFd> {
        self.ensure_within(path, kind, MOST_LINKS)
    }

    /// None: the path is elsewhere, or there already.
    fn make_in_fresh(&self, path: &Path, kind: Kind) -> Option<OwnedFd> {
        let (fresh, directory) = self.fresh.as_ref()?;
        let name = path.strip_prefix(fresh).ok().filter(|name| name.components().count() == 1)?;
        make_at(directory.as_fd(), name.as_os_str(), kind).ok()
    }

    fn ensure_within(&self, path: &Path, kind: Kind, links: usize) -> Result<OwnedFd> {
        let doing = || format!("make {} in the container", path.display());
        if let Some(made) = self.make_in_fresh(path, kind) {
            return Ok(made);
        }
        match self.inner.resolve(path) {
            Ok(handle) => return Ok(handle.into()),
            Err(error) if errno(&error) == Some(Errno::ENOENT) && links > 0 => {}
            Err(error) => return Err(Error::new(&rootfs::UNSAFE_TARGET, doing()).because(error)),
        }
        let (parent, name) = split(path)?;
        let directory = self.ensure_within(parent, Kind::Directory, links - 1)?;
        match make_at(directory.as_fd(), name, kind) {
            Ok(made) => Ok(made),
            Err(Errno::EEXIST) => {
                let link = readlinkat(&directory, name).context(&rootfs::UNSAFE_TARGET, doing)?;
                self.ensure_within(&parent.join(link), kind, links - 1)
            }
            Err(errno) => Err(Error::new(&rootfs::MOUNT, doing()).because(errno)),
        }
    }
}

/// Makes what is not there yet and opens it.
fn make_at(directory: BorrowedFd<'_>, name: &OsStr, kind: Kind) -> Result<OwnedFd, Errno> {
    match kind {
        Kind::Directory => {
            mkdirat(directory, name, Mode::from_bits_truncate(0o755))?;
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            openat(directory, name, flags, Mode::empty())
        }
        Kind::File => {
            let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            openat(directory, name, flags, Mode::from_bits_truncate(0o644))
        }
    }
}

/// The directory and the name in it.
pub(super) fn split(path: &Path) -> Result<(&Path, &OsStr)> {
    path.parent().zip(path.file_name()).ok_or_else(|| {
        Error::new(&rootfs::UNSAFE_TARGET, format!("resolve {}", path.display())).because("it has no last component")
    })
}

/// The kernel's part of it.
pub(super) fn errno(error: &pathrs::error::Error) -> Option<Errno> {
    match error.kind() {
        pathrs::error::ErrorKind::OsError(Some(code)) => Some(Errno::from_raw(code)),
        _ => None,
    }
}
