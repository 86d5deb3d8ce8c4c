//! A layer that other users of the machine may read: everything belongs to whoever made it, and the real owners and modes
//! are in an attribute that fuse-overlayfs understands.
//!
//! Owns that attribute, writing and reading. The surprise: nothing in such a layer is secret and nothing in it is setuid,
//! for the files are readable by all users of the machine under their real path; only inside a container do they have the
//! modes that the image gives them.

use std::collections::HashSet;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat};
use nix::unistd::{Gid, Uid, fchown, fchownat};

use super::beneath::{look, open_beneath};
use super::whiteout::is_whiteout;
use crate::error::{Context, Result, catalog::image};
use crate::sys::xattr;

/// Behind the chain id of a layer that was published.
pub(super) const SHARED: &str = ".shared";
/// `UID:GID:MODE`, the mode in octal. No archive's own is ever taken: `attributes` refuses the whole prefix.
const OVERRIDE: &CStr = c"user.fuseoverlayfs.override_stat";
const ROOT: (Uid, Gid) = (Uid::from_raw(0), Gid::from_raw(0));

/// Opens the whole tree to readers.
///
/// # Errors
/// `RL0305` with the path at fault.
pub(super) fn publish(root: &OwnedFd) -> Result<()> {
    let mut pending = vec![PathBuf::new()];
    // A file with several names is met several times.
    let mut done = HashSet::new();
    while let Some(path) = pending.pop() {
        directory(root, &path, &mut pending, &mut done)
            .context(&image::APPLY, || format!("open /{} to other users", path.display()))?;
    }
    Ok(())
}

fn directory(root: &OwnedFd, path: &Path, pending: &mut Vec<PathBuf>, done: &mut HashSet<u64>) -> Result<(), Errno> {
    let here = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let dir = open_beneath(root.as_fd(), here, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
    let mut listed =
        Dir::openat(dir.as_fd(), ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    for entry in listed.iter() {
        let entry = entry?;
        let name = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let Some(stat) = look(dir.as_fd(), name)?.filter(|stat| !is_whiteout(stat)) else { continue };
        match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
            SFlag::S_IFDIR => pending.push(path.join(name)),
            SFlag::S_IFREG if !done.insert(stat.st_ino) => {}
            SFlag::S_IFREG => {
                let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
                let file = openat(&dir, name, flags, Mode::empty())?;
                let executable = stat.st_mode & 0o111 != 0;
                mark(file.as_fd(), &stat, if executable { 0o755 } else { 0o644 })?;
            }
            // Links have no attributes; whoever reads them through fuse-overlayfs sees root as their owner.
            _ => fchownat(&dir, name, Some(ROOT.0), Some(ROOT.1), AtFlags::AT_SYMLINK_NOFOLLOW)?,
        }
    }
    mark(dir.as_fd(), &fstat(&dir)?, 0o755)
}

fn mark(file: BorrowedFd<'_>, real: &FileStat, shown: u32) -> Result<(), Errno> {
    let text = format!("{}:{}:{:o}", real.st_uid, real.st_gid, real.st_mode & 0o7777);
    // chown(2) clears the setuid bit, which must never lie here for a moment under a mode that lets others in.
    fchown(file, Some(ROOT.0), Some(ROOT.1))?;
    xattr::set(file, OVERRIDE, text.as_bytes())?;
    fchmod(file, Mode::from_bits_truncate(shown))
}

/// The owner and mode that the image gives a file of a published layer.
pub(super) fn real(file: BorrowedFd<'_>) -> Option<(Uid, Gid, Mode)> {
    let mut buffer = [0; 64];
    let text = std::str::from_utf8(xattr::get(file, OVERRIDE, &mut buffer).ok()?).ok()?;
    let mut parts = text.split(':');
    let uid = parts.next()?.parse().ok()?;
    let gid = parts.next()?.parse().ok()?;
    let mode = u32::from_str_radix(parts.next()?, 8).ok()?;
    Some((Uid::from_raw(uid), Gid::from_raw(gid), Mode::from_bits_truncate(mode)))
}
