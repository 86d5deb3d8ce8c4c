//! The kernel's numbers for what a plan says of a mount.
//!
//! The surprise: mount_setattr(2) takes propagation as the old MS_ flags, and attributes as MOUNT_ATTR_ ones.

use crate::plan::{Attributes, Propagation};

pub(super) fn attribute_bits(attributes: Attributes) -> u64 {
    let Attributes { read_only, nosuid, nodev, noexec, noatime, strictatime, nodiratime, nosymfollow } = attributes;
    [
        (read_only, libc::MOUNT_ATTR_RDONLY),
        (nosuid, libc::MOUNT_ATTR_NOSUID),
        (nodev, libc::MOUNT_ATTR_NODEV),
        (noexec, libc::MOUNT_ATTR_NOEXEC),
        (noatime, libc::MOUNT_ATTR_NOATIME),
        (strictatime, libc::MOUNT_ATTR_STRICTATIME),
        (nodiratime, libc::MOUNT_ATTR_NODIRATIME),
        (nosymfollow, libc::MOUNT_ATTR_NOSYMFOLLOW),
    ]
    .into_iter()
    .filter_map(|(on, bit)| on.then_some(bit))
    .fold(0, |bits, bit| bits | bit)
}

pub(super) fn propagation_flag(propagation: Propagation) -> u64 {
    match propagation {
        Propagation::Private => libc::MS_PRIVATE,
        Propagation::Slave => libc::MS_SLAVE,
        Propagation::Shared => libc::MS_SHARED,
        Propagation::Unbindable => libc::MS_UNBINDABLE,
    }
}
