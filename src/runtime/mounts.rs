//! The mount steps: what the container sees as its file tree.
//!
//! Owns the new root while it is being built: what of the host goes into it (`source`), where in it (`resolve`), and each kind of
//! mount in a module of its own. Every path of the container is resolved inside that root and every mount is attached by
//! descriptor, so a symbolic link in an image leads nowhere else (CVE-2021-30465, CVE-2024-45310). The surprise: until the root
//! is pivoted to, it is attached in the host's tree, where recursive copies of that tree must pass it over.

mod bind;
mod copy_up;
mod device;
mod filesystem;
mod flags;
mod mask;
mod overlay;
mod own;
mod owner;
mod pivot;
mod resolve;
mod source;
mod working;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use self::flags::propagation_flag;
use crate::error::{Context, Result, catalog::rootfs};
use crate::plan::Propagation;
use crate::sys::mount::{Change, attach, mount_setattr};

pub(super) use self::bind::Bind;
pub(super) use self::device::host_node;
pub(super) use self::filesystem::NewMount;
pub(super) use self::overlay::{Overlay, overlay};
pub(super) use self::own::unshared;
pub(super) use self::pivot::{chroot, move_root, pivot, propagate_root, root_read_only};
pub(super) use self::source::{
    c_path, clone_host, clone_part, clone_root, clone_source, open_directory, open_part, open_source,
};

/// The root file system under construction.
pub(super) struct Root {
    inner: pathrs::Root,
    /// The last tmpfs that was mounted here (`/dev`): nobody else has been in it, so files are made in it directly.
    fresh: Option<(PathBuf, OwnedFd)>,
    /// The empty read-only tmpfs on the first masked directory, cloned for each further one: of a mount that is attached nowhere
    /// no kernel before 6.15 makes a copy.
    empty: Option<OwnedFd>,
}

impl Root {
    fn attach(mount: OwnedFd, on: &OwnedFd) -> Result<Self> {
        attach(mount.as_fd(), on.as_fd()).context(&rootfs::MOUNT, || "attach the root".into())?;
        Ok(Self::attached(mount))
    }

    fn attached(mount: OwnedFd) -> Self {
        Self { inner: pathrs::Root::from_fd(mount), fresh: None, empty: None }
    }

    /// The root directory.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

/// The whole namespace's mounts stop (or go on only) hearing of the host's.
pub(super) fn isolate(propagation: Propagation) -> Result<()> {
    let flags = nix::mount::MsFlags::MS_REC | nix::mount::MsFlags::from_bits_retain(propagation_flag(propagation));
    let none: Option<&str> = None;
    nix::mount::mount(none, "/", none, flags, none).context(&rootfs::MOUNT, || "make all mounts private".into())
}

/// A directory of the host is the root.
pub(super) fn bind_root(tree: OwnedFd, on: &OwnedFd) -> Result<Root> {
    let change = Change { propagation: propagation_flag(Propagation::Private), recursive: true, ..Change::default() };
    mount_setattr(tree.as_fd(), change).context(&rootfs::ROOTFS, || "make the root's mounts private".into())?;
    Root::attach(tree, on)
}

/// The root that this process has by now: that of a mount namespace which it has joined.
pub(super) fn enter_root() -> Result<Root> {
    open_directory(Path::new("/")).map(Root::attached)
}
