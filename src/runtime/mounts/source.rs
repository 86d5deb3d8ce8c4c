//! What of the host the container gets: trees, opened and copied by descriptor.
//!
//! Owns the host's side of a bind. The surprise: a volume is opened while this process is still the caller, and copied
//! (open_tree(2)) only when its turn has come.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::Mode;

use super::Root;
use super::flags::propagation_flag;
use crate::error::{Context, Result, catalog::rootfs};
use crate::plan::Propagation;
use crate::sys::mount::{Change, mount_setattr, open_tree, open_tree_clone};
use crate::tree;

/// The kernel's EINVAL for a plain `bind` over a tree whose submounts belong to the host says nothing by itself.
const NOT_RECURSIVE: &str = "Where other file systems are mounted below a directory, binding it without them would uncover what they cover, \
                             which the kernel refuses. Use rbind.";

/// A real directory, to attach something on.
pub(in crate::runtime) fn open_directory(path: &Path) -> Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(AT_FDCWD, path, flags, Mode::empty()).context(&rootfs::MOUNT, || format!("open {}", path.display()))
}

/// A directory of the host, with the mounts below it, to be the root.
pub(in crate::runtime) fn clone_root(source: &Path) -> Result<OwnedFd> {
    clone_host(source, true).context(&rootfs::ROOTFS, || format!("bind {}", source.display()))
}

/// What a volume will bind, for [`Root::copy_opened`].
pub(in crate::runtime) fn open_source(source: &Path) -> Result<OwnedFd> {
    let opened = c_path(source).and_then(|path| open_tree(&path));
    opened.context(&rootfs::VOLUME, || format!("bind {}", source.display()))
}

/// What a volume binds.
pub(in crate::runtime) fn clone_source(source: &Path, recursive: bool) -> Result<OwnedFd> {
    tree_of(source, recursive, clone_host(source, recursive))
}

/// The same of a part of a volume, in which a container may exchange names for links at any moment: they lead nowhere but into it.
pub(in crate::runtime) fn open_part(root: &Path, source: &Path) -> Result<OwnedFd> {
    let root_fd = open_source(root)?;
    let part = source.strip_prefix(root).unwrap_or(source);
    let opened = tree::open_in(root_fd.as_fd(), part, OFlag::O_PATH);
    opened.context(&rootfs::VOLUME, || format!("find {} in the volume", part.display()))
}

/// What a part of a volume binds, now.
pub(in crate::runtime) fn clone_part(root: &Path, source: &Path, recursive: bool) -> Result<OwnedFd> {
    let part = open_part(root, source)?;
    tree_of(source, recursive, open_tree_clone(part.as_fd(), c"", recursive))
}

/// A copy of the host's mount at `path`, attached nowhere.
pub(in crate::runtime) fn clone_host(path: &Path, recursive: bool) -> Result<OwnedFd, Errno> {
    open_tree_clone(AT_FDCWD, &c_path(path)?, recursive)
}

fn tree_of(source: &Path, recursive: bool, tree: Result<OwnedFd, Errno>) -> Result<OwnedFd> {
    let tree = tree.context(&rootfs::VOLUME, || format!("bind {}", source.display()));
    tree.map_err(|error| if recursive { error } else { error.fix(NOT_RECURSIVE) })
}

impl Root {
    /// A copy of what was opened of the host, made as late as this because mountinfo lists mounts in the order in which they were
    /// made (Linux 6.8), which should be the listed one.
    pub(in crate::runtime) fn copy_opened(&self, opened: &OwnedFd, source: &Path, recursive: bool) -> Result<OwnedFd> {
        let copy = || open_tree_clone(opened.as_fd(), c"", recursive);
        if !recursive {
            return tree_of(source, recursive, copy());
        }
        // This root is attached in the host's tree until it is pivoted to: a copy of `/` would have it, and all in it, once more.
        let pass_over = |over| {
            let propagation = propagation_flag(if over { Propagation::Unbindable } else { Propagation::Private });
            mount_setattr(self.fd(), Change { propagation, ..Change::default() })
        };
        let tree = pass_over(true).and_then(|()| copy()).and_then(|tree| pass_over(false).map(|()| tree));
        tree_of(source, recursive, tree)
    }
}

/// As the kernel takes it: a NUL inside is EINVAL.
pub(in crate::runtime) fn c_path(path: &Path) -> Result<CString, Errno> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)
}
