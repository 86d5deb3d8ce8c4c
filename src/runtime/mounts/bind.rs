//! Bind mounts: a file, a directory or a device of the host in the container's tree.
//!
//! Owns what is done to a tree before it is attached: the copy of the image's files, the owner, the attributes. The surprise: a
//! bind over /proc is refused unless it was asked for by that name, because an image's link may lead there.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::stat::{FileStat, SFlag, fstat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

use super::flags::{attribute_bits, propagation_flag};
use super::resolve::Kind;
use super::{Root, copy_up, owner};
use crate::error::{Context, Error, Result, catalog::rootfs, catalog::volume};
use crate::plan::{Attributes, Propagation};
use crate::sys::mount::{Change, attach, mount_setattr, open_tree_clone};

/// A bind mount's parts, as [`crate::plan::Step::Bind`] has them.
pub(in crate::runtime) struct Bind<'a> {
    pub(in crate::runtime) source: &'a Path,
    pub(in crate::runtime) target: &'a Path,
    pub(in crate::runtime) recursive: bool,
    pub(in crate::runtime) attributes: Attributes,
    pub(in crate::runtime) deep: Attributes,
    pub(in crate::runtime) propagation: Propagation,
    pub(in crate::runtime) device: bool,
    pub(in crate::runtime) copy: bool,
    /// uid and gid.
    pub(in crate::runtime) owner: Option<(u32, u32)>,
}

impl Root {
    /// A file or directory of the host; a missing target is made in its kind.
    pub(in crate::runtime) fn bind(&self, bind: &Bind<'_>, tree: &OwnedFd) -> Result<()> {
        let doing = || format!("bind {} on {}", bind.source.display(), bind.target.display());
        let stat = fstat(tree).context(&rootfs::VOLUME, doing)?;
        if bind.device {
            check_device(&stat, bind.source)?;
        }
        let is_directory = SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFDIR;
        let place = self.ensure(bind.target, if is_directory { Kind::Directory } else { Kind::File })?;
        // Before the volume may be read-only, and before it covers what is copied.
        if bind.copy && is_directory {
            copy_up::into_new_volume(place.as_fd(), tree.as_fd())
                .context(&rootfs::VOLUME, || format!("copy {} of the image into the volume", bind.target.display()))?;
        }
        if let Some((uid, gid)) = bind.owner {
            owner::give(tree.as_fd(), uid, gid).context(&volume::VOLUME_OWNER, || {
                format!("give {} to uid {uid} and gid {gid} of the container", bind.source.display())
            })?;
        }
        let (own, deep) = (attribute_bits(bind.attributes), attribute_bits(bind.deep));
        let propagation = propagation_flag(bind.propagation);
        // Without the mounts below it one call does for both.
        let set = if bind.recursive { deep } else { own | deep };
        let change = Change { set, propagation, recursive: bind.recursive, ..Change::default() };
        let mut locked = change_bind(tree, change).context(&rootfs::VOLUME, doing)?;
        if own & !set != 0 {
            let change = Change { set: own, ..Change::default() };
            locked |= change_bind(tree, change).context(&rootfs::VOLUME, doing)?;
        }
        if locked {
            let target = bind.target.display();
            eprintln!(
                "rl: warning: access times of {target} are counted as the machine counts them, which only its root can change"
            );
        }
        if !bind.device {
            refuse_disguised_proc(bind.target, &place)?;
        }
        attach(tree.as_fd(), place.as_fd()).context(&rootfs::VOLUME, doing)
    }

    /// The slave of a pty becomes `target` (`/dev/console`).
    pub(in crate::runtime) fn bind_descriptor(&self, source: BorrowedFd<'_>, target: &Path) -> Result<()> {
        let doing = || format!("bind the terminal on {}", target.display());
        let tree = open_tree_clone(source, c"", false).context(&rootfs::MOUNT, doing)?;
        let place = self.ensure(target, Kind::File)?;
        attach(tree.as_fd(), place.as_fd()).context(&rootfs::MOUNT, doing)
    }
}

/// A user namespace can't change how a mount of the host counts access times (it is locked, mount_namespaces(7)); the rest holds. Whether
/// that was asked for in vain.
fn change_bind(tree: &OwnedFd, change: Change) -> Result<bool, Errno> {
    const TIMES: u64 = libc::MOUNT_ATTR__ATIME | libc::MOUNT_ATTR_NODIRATIME;
    match mount_setattr(tree.as_fd(), change) {
        Err(Errno::EPERM) if change.set & TIMES != 0 => {
            mount_setattr(tree.as_fd(), Change { set: change.set & !TIMES, ..change }).map(|()| true)
        }
        other => other.map(|()| false),
    }
}

fn check_device(stat: &FileStat, source: &Path) -> Result<()> {
    let kind = stat.st_mode & libc::S_IFMT;
    if kind == libc::S_IFCHR || kind == libc::S_IFBLK {
        return Ok(());
    }
    Err(Error::new(&rootfs::VOLUME, format!("bind the device {}", source.display())).because("it is no device node"))
}

/// An image's link may not put a volume into /proc, where it would pass for the kernel's word (CVE-2019-16884, CVE-2023-28642).
/// Who asks for /proc/cpuinfo by that name gets it.
fn refuse_disguised_proc(target: &Path, place: &OwnedFd) -> Result<()> {
    let doing = || format!("bind on {}", target.display());
    let kind = fstatfs(place).context(&rootfs::VOLUME, doing)?.filesystem_type();
    if kind != PROC_SUPER_MAGIC || target.starts_with("/proc") {
        return Ok(());
    }
    Err(Error::new(&rootfs::UNSAFE_TARGET, doing()).because("a link of the image leads from there into /proc"))
}
