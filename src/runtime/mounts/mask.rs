//! What of /proc and /sys the container does not see, or may only read.
//!
//! Owns the covers. The surprise: what is not there is passed over, since kernels differ in what they have.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::stat::{SFlag, fstat};

use super::filesystem::fresh;
use super::{Root, clone_host};
use crate::error::{Context, Result, catalog::rootfs};
use crate::plan::Attributes;
use crate::sys::mount::{Change, attach, mount_setattr, open_tree_clone};

impl Root {
    /// Hides a directory behind an empty read-only tmpfs and a file behind /dev/null; what is not there is passed over.
    pub(in crate::runtime) fn mask(&mut self, target: &Path) -> Result<()> {
        let doing = || format!("mask {}", target.display());
        let Some(place) = self.existing(target)? else { return Ok(()) };
        let stat = fstat(&place).context(&rootfs::MOUNT, doing)?;
        let is_directory = stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits();
        let cover = match &self.empty {
            _ if !is_directory => null_device(),
            Some(attached) => open_tree_clone(attached.as_fd(), c"", false),
            None => empty_directory(),
        };
        let cover = cover.context(&rootfs::MOUNT, doing)?;
        attach(cover.as_fd(), place.as_fd()).context(&rootfs::MOUNT, doing)?;
        if is_directory && self.empty.is_none() {
            self.empty = Some(cover);
        }
        Ok(())
    }

    /// Makes what is at `target` read-only in place; what is not there is passed over.
    pub(in crate::runtime) fn read_only(&self, target: &Path) -> Result<()> {
        let doing = || format!("make {} read-only", target.display());
        let Some(place) = self.existing(target)? else { return Ok(()) };
        let tree = open_tree_clone(place.as_fd(), c"", true).context(&rootfs::MOUNT, doing)?;
        let change = Change { set: libc::MOUNT_ATTR_RDONLY, recursive: true, ..Change::default() };
        mount_setattr(tree.as_fd(), change).context(&rootfs::MOUNT, doing)?;
        attach(tree.as_fd(), place.as_fd()).context(&rootfs::MOUNT, doing)
    }
}

/// What a masked directory shows.
fn empty_directory() -> Result<OwnedFd, Errno> {
    let attributes = Attributes { read_only: true, nosuid: true, nodev: true, noexec: true, ..Attributes::default() };
    let options = [("size".to_owned(), Some("0".to_owned())), ("mode".to_owned(), Some("755".to_owned()))];
    fresh("tmpfs", "tmpfs", attributes, &options)
}

/// The host's own /dev/null, checked to be it: a mask that is a regular file could be written to (CVE-2025-31133).
fn null_device() -> Result<OwnedFd, Errno> {
    let null = clone_host(Path::new("/dev/null"), false)?;
    let stat = fstat(&null)?;
    if stat.st_rdev == libc::makedev(1, 3) && stat.st_mode & libc::S_IFMT == libc::S_IFCHR {
        return Ok(null);
    }
    Err(Errno::ENODEV)
}
