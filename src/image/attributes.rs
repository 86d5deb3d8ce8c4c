//! Owner, mode, time and extended attributes of an entry.
//!
//! Owns which attributes are taken from an archive. The surprise: a file capability is written as it is in the archive;
//! in a user namespace the kernel itself makes it one that counts only there (capabilities(7), "Namespaced file
//! capabilities").

use std::ffi::{CString, OsStr};
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::Mode;
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchownat};

use super::archive::Entry;
use super::trouble::{SET_OWNER, Trouble, call, refused};
use crate::sys::xattr;

/// user.overlay.* and its kind would let a layer hide or redirect what lies below it, or lie about owners.
const CONTROL: [&[u8]; 4] = [b"user.overlay.", b"user.fuseoverlayfs.", b"user.containers.", b"user.rootlesscontainers"];
const ACL: &[u8] = b"system.posix_acl_";
const CAPABILITY: &[u8] = b"security.capability";

pub(super) fn mode(entry: &Entry) -> Mode {
    Mode::from_bits_truncate(entry.mode)
}

pub(super) fn time((seconds, nanos): (i64, u32)) -> TimeSpec {
    TimeSpec::new(seconds, i64::from(nanos))
}

/// An empty name means the descriptor itself.
pub(super) fn set_owner(parent: BorrowedFd<'_>, name: &OsStr, entry: &Entry, squash: bool) -> Result<(), Trouble> {
    let id = |id: u64| u32::try_from(id).ok().filter(|id| *id != u32::MAX);
    let (Some(uid), Some(gid)) = (id(entry.uid), id(entry.gid)) else {
        return refused(&format!("its owner {}:{} is no possible id", entry.uid, entry.gid));
    };
    if squash {
        return Ok(());
    }
    let flags = AtFlags::AT_SYMLINK_NOFOLLOW | AtFlags::AT_EMPTY_PATH;
    fchownat(parent, name, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), flags).map_err(call(SET_OWNER))
}

/// Only what programs and the kernel's security understand; trusted.* can't be set in a user namespace anyway.
pub(super) fn is_taken(name: &[u8]) -> bool {
    let known = name.starts_with(b"user.") || name == CAPABILITY || name.starts_with(ACL);
    known && !CONTROL.iter().any(|prefix| name.starts_with(prefix))
}

/// Those that are taken.
pub(super) fn set_xattrs(file: BorrowedFd<'_>, entry: &Entry, squash: bool) -> Result<(), Trouble> {
    for (name, value) in &entry.xattrs {
        // An access list names owners, and those were all replaced by root.
        if !is_taken(name) || squash && name.starts_with(ACL) {
            continue;
        }
        let c_name = CString::new(name.as_slice())
            .map_err(|_| Trouble::Refused("an attribute with a zero byte in its name".into()))?;
        match xattr::set(file, &c_name, value) {
            // A file system without attributes (NFS, some tmpfs) can't keep them; programs live without user.*.
            Err(Errno::ENOTSUP) if name != CAPABILITY => {}
            other => other.map_err(call("set an extended attribute"))?,
        }
    }
    Ok(())
}
