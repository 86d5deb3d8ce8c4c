//! The finished tree becomes the root directory.
//!
//! The surprise: there are three ways. A mount namespace of the container's own is pivoted; below an initramfs, which can't be, the
//! new root is moved over the old one; and a mount namespace that is the machine's keeps its root, so that only this process changes its own.

use super::Root;
use super::flags::propagation_flag;
use crate::error::{Context, Result, catalog::rootfs};
use crate::plan::Propagation;
use crate::sys::mount::{Change, mount_setattr};

/// pivot_root(".", "."): the old root ends up on top of the new one and is detached; no directory for it is needed.
pub(in crate::runtime) fn pivot(root: &Root) -> Result<()> {
    let doing = || "make the new root the root directory".to_owned();
    nix::unistd::fchdir(root.fd()).context(&rootfs::MOUNT, doing)?;
    nix::unistd::pivot_root(".", ".").context(&rootfs::MOUNT, doing)?;
    nix::mount::umount2(".", nix::mount::MntFlags::MNT_DETACH)
        .context(&rootfs::MOUNT, || "detach the old root".into())?;
    nix::unistd::chdir("/").context(&rootfs::MOUNT, doing)
}

/// Instead of [`pivot`] where the host's root is an initramfs (`--no-pivot`): the new root is moved over the old one, whose mounts
/// stay below it, where chroot hides them.
pub(in crate::runtime) fn move_root(root: &Root) -> Result<()> {
    let doing = || "move the new root over the host's".to_owned();
    let none: Option<&str> = None;
    nix::unistd::fchdir(root.fd()).context(&rootfs::MOUNT, doing)?;
    nix::mount::mount(Some("."), "/", none, nix::mount::MsFlags::MS_MOVE, none).context(&rootfs::MOUNT, doing)?;
    nix::unistd::chroot(".").context(&rootfs::MOUNT, doing)?;
    nix::unistd::chdir("/").context(&rootfs::MOUNT, doing)
}

/// Instead of [`pivot`] where the mount namespace is the machine's.
pub(in crate::runtime) fn chroot(root: &Root) -> Result<()> {
    let doing = || "make the new root the root directory".to_owned();
    nix::unistd::fchdir(root.fd()).context(&rootfs::MOUNT, doing)?;
    nix::unistd::chroot(".").context(&rootfs::MOUNT, doing)?;
    nix::unistd::chdir("/").context(&rootfs::MOUNT, doing)
}

/// linux.rootfsPropagation, once the root is in its place.
pub(in crate::runtime) fn propagate_root(root: &Root, propagation: Propagation, recursive: bool) -> Result<()> {
    let change = Change { propagation: propagation_flag(propagation), recursive, ..Change::default() };
    mount_setattr(root.fd(), change).context(&rootfs::MOUNT, || format!("make the root's mounts {propagation:?}"))
}

/// The root mount itself, not what is mounted in it.
pub(in crate::runtime) fn root_read_only(root: &Root) -> Result<()> {
    let change = Change { set: libc::MOUNT_ATTR_RDONLY, ..Change::default() };
    mount_setattr(root.fd(), change).context(&rootfs::MOUNT, || "make the root read-only".into())
}
