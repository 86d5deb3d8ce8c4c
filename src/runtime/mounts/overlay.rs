//! The overlay of an image's layers and a writable directory.
//!
//! Owns the two ways in which kernels take many layers. The surprise: neither the old page of options (4096 bytes for all) nor
//! fsconfig's strings (256 bytes each) holds 127 paths, so the old way names its layers by descriptor, which is short.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::MsFlags;

use super::{Root, c_path, open_directory};
use crate::error::{Context, Result, catalog::rootfs};
use crate::sys::mount::{fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen};

/// Image layers below a writable directory.
pub(in crate::runtime) struct Overlay<'a> {
    pub(in crate::runtime) lower: &'a [PathBuf],
    pub(in crate::runtime) upper: &'a Path,
    pub(in crate::runtime) work: &'a Path,
    /// Unmounting an overlay syncs the whole file system of its upper directory, other people's writes too, unless it is
    /// volatile (Linux 5.10): 2 ms here, seconds on a busy disk, and for nothing when the directory is thrown away.
    pub(in crate::runtime) volatile: bool,
}

/// Attached on `on`, of which `place` is open.
pub(in crate::runtime) fn overlay(overlay: &Overlay<'_>, on: &Path, place: &OwnedFd) -> Result<Root> {
    let Overlay { lower, upper, .. } = overlay;
    let doing = || format!("mount an overlay of {} layers with the upper directory {}", lower.len(), upper.display());
    match one_by_one(overlay) {
        Ok(mount) => Root::attach(mount, place),
        Err(Way::Unknown) => by_descriptors(overlay, on, place),
        Err(Way::Failed(errno)) => Err(errno).context(&rootfs::OVERLAY, doing),
    }
}

/// Why the new way was left.
enum Way {
    /// The kernel is too old for it.
    Unknown,
    Failed(Errno),
}

impl From<Errno> for Way {
    fn from(errno: Errno) -> Self {
        Self::Failed(errno)
    }
}

/// One layer a call, from Linux 6.7 on: no option page to fill, and a colon in a path is no separator.
fn one_by_one(overlay: &Overlay<'_>) -> Result<OwnedFd, Way> {
    let Overlay { lower, upper, work, volatile } = *overlay;
    let fs = fsopen(c"overlay")?;
    fsconfig_set_string(fs.as_fd(), c"source", c"overlay")?;
    for (index, layer) in lower.iter().enumerate() {
        match fsconfig_set_string(fs.as_fd(), c"lowerdir+", &c_path(layer)?) {
            Err(Errno::EINVAL) if index == 0 => return Err(Way::Unknown),
            set => set?,
        }
    }
    fsconfig_set_string(fs.as_fd(), c"upperdir", &c_path(upper)?)?;
    fsconfig_set_string(fs.as_fd(), c"workdir", &c_path(work)?)?;
    // In a user namespace overlay keeps its marks in user.overlay.* (Linux 5.11).
    fsconfig_set_flag(fs.as_fd(), c"userxattr")?;
    if volatile {
        fsconfig_set_flag(fs.as_fd(), c"volatile")?;
    }
    match fsconfig_create(fs.as_fd()) {
        // Before 6.5 every option is taken and looked at only here; the old way says what else it may have been.
        Err(Errno::EINVAL) => return Err(Way::Unknown),
        made => made?,
    }
    Ok(fsmount(fs.as_fd(), 0)?)
}

/// All layers in one page of options, named by the numbers of their descriptors in /proc/self/fd.
fn by_descriptors(overlay: &Overlay<'_>, on: &Path, place: &OwnedFd) -> Result<Root> {
    let Overlay { lower, upper, work, volatile } = *overlay;
    let layers = lower.iter().map(|layer| open_directory(layer)).collect::<Result<Vec<_>>>()?;
    let (upper, work) = (open_directory(upper)?, open_directory(work)?);
    let numbers: Vec<_> = layers.iter().map(|layer| layer.as_raw_fd().to_string()).collect();
    let (upper, work) = (upper.as_raw_fd(), work.as_raw_fd());
    let volatile = if volatile { ",volatile" } else { "" };
    let options = format!("lowerdir={},upperdir={upper},workdir={work},userxattr{volatile}", numbers.join(":"));
    let doing = || format!("mount an overlay of {} layers with the options {options}", lower.len());
    nix::unistd::chdir("/proc/self/fd").context(&rootfs::OVERLAY, doing)?;
    let target = place.as_raw_fd().to_string();
    nix::mount::mount(Some("overlay"), target.as_str(), Some("overlay"), MsFlags::empty(), Some(options.as_str()))
        .context(&rootfs::OVERLAY, doing)?;
    nix::unistd::chdir("/").context(&rootfs::OVERLAY, doing)?;
    // `place` is open on what lies below the mount; the path leads to the mount.
    Ok(Root::attached(open_directory(on)?))
}
