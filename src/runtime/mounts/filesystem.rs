//! New instances of file systems: proc, sysfs, tmpfs, devpts and the like.
//!
//! Owns making and attaching them. The surprise: where the kernel refuses a proc or sysfs of the container's own, as inside other
//! containers, the host's is bound in its place.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::statfs::{FsType, PROC_SUPER_MAGIC, fstatfs};

use super::flags::{attribute_bits, propagation_flag};
use super::resolve::Kind;
use super::{Root, clone_host, copy_up};
use crate::error::{Context, Error, Result, catalog::rootfs};
use crate::host::kernel;
use crate::plan::mounts::LABEL;
use crate::plan::{Attributes, Propagation};
use crate::sys::mount::{
    Change, attach, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount_setattr,
};

/// include/uapi/linux/magic.h; the machine's own may be there already where /proc is bound.
const BINFMTFS_MAGIC: FsType = FsType(0x4249_4e4d);

/// A new file system's parts, as [`crate::plan::Step::Mount`] has them.
#[derive(Clone, Copy)]
pub(in crate::runtime) struct NewMount<'a> {
    pub(in crate::runtime) filesystem: &'a str,
    pub(in crate::runtime) source: &'a str,
    pub(in crate::runtime) target: &'a Path,
    pub(in crate::runtime) attributes: Attributes,
    pub(in crate::runtime) options: &'a [(String, Option<String>)],
    pub(in crate::runtime) fallback: Option<&'a Path>,
    pub(in crate::runtime) propagation: Option<Propagation>,
    pub(in crate::runtime) copy_up: bool,
}

impl Root {
    /// A new instance of a file system; where the kernel refuses one, `fallback` of the host is bound instead.
    pub(in crate::runtime) fn mount(&mut self, new: &NewMount<'_>) -> Result<()> {
        let NewMount { filesystem, target, attributes, fallback, .. } = *new;
        let doing = || format!("mount {filesystem} on {}", target.display());
        let place = if matches!(filesystem, "proc" | "sysfs" | "cgroup2") {
            // A link here would let an image move what is masked to a place where nothing masks it (CVE-2019-19921).
            self.ensure_no_links(target)?
        } else {
            self.ensure(target, Kind::Directory)?
        };
        let mount = match (fresh(filesystem, new.source, attributes, new.options), fallback) {
            // A partly covered proc or sysfs of the host, as in other containers (mount_too_revealing in the kernel); a unified
            // hierarchy that this mount namespace does not show.
            (Err(Errno::EPERM), Some(host)) => {
                let tree = clone_host(host, true).context(&rootfs::MOUNT, doing)?;
                let change = Change { set: attribute_bits(attributes), recursive: true, ..Change::default() };
                mount_setattr(tree.as_fd(), change).context(&rootfs::MOUNT, doing)?;
                tree
            }
            (made, _) => made.context(&rootfs::MOUNT, doing)?,
        };
        if let Some(propagation) = new.propagation {
            let change = Change { propagation: propagation_flag(propagation), ..Change::default() };
            mount_setattr(mount.as_fd(), change).context(&rootfs::MOUNT, doing)?;
        }
        if new.copy_up {
            copy_up::copy(place.as_fd(), mount.as_fd())
                .context(&rootfs::MOUNT, || format!("copy what is in {} into its tmpfs", target.display()))?;
        }
        attach(mount.as_fd(), place.as_fd()).context(&rootfs::MOUNT, doing)?;
        if filesystem == "tmpfs" && target == Path::new("/dev") {
            self.fresh = Some((target.to_owned(), mount));
        }
        Ok(())
    }

    /// Attaches a mount on a directory of the container's procfs, which must be one and there.
    pub(in crate::runtime) fn attach_in_proc(&self, mount: &OwnedFd, target: &Path) -> Result<()> {
        let doing = || format!("mount on {}", target.display());
        let flags = pathrs::flags::ResolverFlags::NO_SYMLINKS;
        let place = self.inner.as_ref().with_resolver_flags(flags).resolve(target).context(&rootfs::MOUNT, doing)?;
        let kind = fstatfs(&place).context(&rootfs::MOUNT, doing)?.filesystem_type();
        if kind != PROC_SUPER_MAGIC && kind != BINFMTFS_MAGIC {
            return Err(Error::new(&rootfs::UNSAFE_TARGET, doing()).because("it is in no procfs"));
        }
        attach(mount.as_fd(), place.as_fd()).context(&rootfs::MOUNT, doing)
    }
}

pub(super) fn fresh(
    filesystem: &str,
    source: &str,
    attributes: Attributes,
    options: &[(String, Option<String>)],
) -> Result<OwnedFd, Errno> {
    let text = |text: &str| CString::new(text).map_err(|_| Errno::EINVAL);
    let fs = fsopen(&text(filesystem)?)?;
    fsconfig_set_string(fs.as_fd(), c"source", &text(source)?)?;
    for (key, value) in options {
        // As every runtime: labels are of machines that have them.
        if key == LABEL && !kernel::has_selinux() {
            continue;
        }
        match value {
            Some(value) => fsconfig_set_string(fs.as_fd(), &text(key)?, &text(value)?)?,
            None => fsconfig_set_flag(fs.as_fd(), &text(key)?)?,
        }
    }
    fsconfig_create(fs.as_fd())?;
    fsmount(fs.as_fd(), attribute_bits(attributes))
}
