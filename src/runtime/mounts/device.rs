//! Device nodes: made where that is allowed, else the host's own bound.
//!
//! The surprise: a bound node keeps the host's mode and owner, and must: changing them would change the host's.

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, fstat, mknodat};
use nix::unistd::{Gid, Uid, fchownat};

use super::resolve::{Kind, split};
use super::{Bind, Root, clone_host};
use crate::error::{Context, Error, Result, catalog::rootfs};
use crate::plan::{Attributes, Device, DeviceKind, Propagation};

/// The host's node of the same path and number, should it be needed. None: there is none.
pub(in crate::runtime) fn host_node(device: &Device) -> Option<OwnedFd> {
    let tree = clone_host(&device.path, false).ok()?;
    let stat = fstat(&tree).ok()?;
    let same = stat.st_rdev == libc::makedev(device.major, device.minor)
        && stat.st_mode & libc::S_IFMT == kind(device.kind).bits() & libc::S_IFMT;
    same.then_some(tree)
}

fn kind(kind: DeviceKind) -> SFlag {
    match kind {
        DeviceKind::Character => SFlag::S_IFCHR,
        DeviceKind::Block => SFlag::S_IFBLK,
        DeviceKind::Fifo => SFlag::S_IFIFO,
    }
}

impl Root {
    /// Makes the node or binds the host's.
    pub(in crate::runtime) fn device(&self, device: &Device, host: Option<&OwnedFd>) -> Result<()> {
        let Device { path, mode, uid, gid, major, minor, .. } = device;
        let doing = || format!("make the device {}", path.display());
        let (parent, name) = split(path)?;
        let directory = self.ensure(parent, Kind::Directory)?;
        let bits = Mode::from_bits_truncate(*mode);
        match mknodat(&directory, name, kind(device.kind), bits, libc::makedev(*major, *minor)) {
            Ok(()) => {
                // Without the umask; a FIFO or node of this very call, so no link can be followed.
                fchmodat(&directory, name, bits, FchmodatFlags::FollowSymlink).context(&rootfs::DEVICE, doing)?;
                let owner = (Some(Uid::from_raw(*uid)), Some(Gid::from_raw(*gid)));
                fchownat(&directory, name, owner.0, owner.1, AtFlags::AT_SYMLINK_NOFOLLOW)
                    .context(&rootfs::DEVICE, doing)
            }
            // A node of that name is there, as a rule the same one listed twice, or the image's own.
            Err(Errno::EPERM | Errno::EEXIST) if host.is_some() => {
                let attributes = Attributes { nosuid: true, noexec: true, ..Attributes::default() };
                let bind = Bind {
                    source: path,
                    target: path,
                    recursive: false,
                    attributes,
                    deep: Attributes::default(),
                    propagation: Propagation::Private,
                    device: true,
                    copy: false,
                    owner: None,
                };
                host.map_or(Ok(()), |tree| self.bind(&bind, tree))
            }
            Err(Errno::EEXIST) => Ok(()),
            Err(errno @ Errno::EPERM) => Err(Error::new(&rootfs::DEVICE, doing()).because(errno).fix(format!(
                "In a user namespace no node can be made, so the host's own {} is bound; the host has none with the \
                 number {major}:{minor}.",
                path.display()
            ))),
            Err(errno) => Err(errno).context(&rootfs::DEVICE, doing),
        }
    }
}
