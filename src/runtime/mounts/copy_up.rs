//! `tmpcopyup`: a tmpfs that starts with what was in its place.
//!
//! Owns the copy, in which nothing is opened by path and no link followed: what is copied is the image's. The surprise: owners and
//! modes, attributes and times are kept, hard links are not.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, UtimensatFlags, fchmod, fstatat, futimens, mkdirat, mknodat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchownat, symlinkat};

use crate::sys::xattr;

/// Trees in images that are deeper than this are somebody's trick.
const DEEPEST: u32 = 128;

/// Copies all that is in `from` into `to`, both directories.
pub(super) fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    directory(from, to, DEEPEST)
}

/// Copies all that is in `from` into a volume, if that is empty, and gives the volume the directory's own owner and mode.
pub(super) fn into_new_volume(from: BorrowedFd<'_>, volume: BorrowedFd<'_>) -> Result<(), Errno> {
    let readable = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
    let list = open(volume, c".", readable, Mode::empty())?;
    let is_name = |name: &CStr| ![c".", c".."].contains(&name);
    if Dir::from_fd(list)?.iter().any(|entry| entry.map_or(true, |entry| is_name(entry.file_name()))) {
        return Ok(());
    }
    directory(from, volume, DEEPEST)?;
    let stat = nix::sys::stat::fstat(from)?;
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    let volume = open(volume, c".", readable, Mode::empty())?;
    nix::unistd::fchown(&volume, Some(uid), Some(gid))?;
    fchmod(&volume, Mode::from_bits_truncate(stat.st_mode & 0o7777))?;
    rest(open(from, c".", readable, Mode::empty())?.as_fd(), volume.as_fd(), &stat)
}

/// Attributes, capabilities of files among them, and times; last, because writing changes both.
fn rest(from: BorrowedFd<'_>, to: BorrowedFd<'_>, stat: &FileStat) -> Result<(), Errno> {
    let mut value = vec![0; 1 << 16];
    for name in xattr::list(from)? {
        // What the overlay itself has noted there.
        if name.to_bytes().starts_with(b"user.overlay.") || name.to_bytes().starts_with(b"trusted.") {
            continue;
        }
        match xattr::get(from, &name, &mut value).and_then(|value| xattr::set(to, &name, value)) {
            // A label of the machine's, or a file system that has none.
            Ok(()) | Err(Errno::EPERM | Errno::ENOTSUP | Errno::ENODATA) => {}
            Err(errno) => return Err(errno),
        }
    }
    let time = |seconds, nanoseconds| TimeSpec::new(seconds, nanoseconds);
    futimens(to, &time(stat.st_atime, stat.st_atime_nsec), &time(stat.st_mtime, stat.st_mtime_nsec))
}

fn open(at: BorrowedFd<'_>, name: &CStr, flags: OFlag, mode: Mode) -> Result<OwnedFd, Errno> {
    openat(at, name, flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, mode)
}

fn directory(from: BorrowedFd<'_>, to: BorrowedFd<'_>, left: u32) -> Result<(), Errno> {
    if left == 0 {
        return Err(Errno::ELOOP);
    }
    let list = open(from, c".", OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())?;
    for entry in Dir::from_fd(list)?.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if [c".", c".."].contains(&name) {
            continue;
        }
        one(from, to, name, left)?;
    }
    Ok(())
}

fn one(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, left: u32) -> Result<(), Errno> {
    let stat = fstatat(from, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    let mode = Mode::from_bits_truncate(stat.st_mode & 0o7777);
    match SFlag::from_bits_truncate(stat.st_mode & libc::S_IFMT) {
        SFlag::S_IFDIR => {
            mkdirat(to, name, Mode::S_IRWXU)?;
            let (old, new) = (OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty());
            let (from, made) = (open(from, name, old, new)?, open(to, name, old, new)?);
            directory(from.as_fd(), made.as_fd(), left - 1)?;
            owner(to, name, &stat)?;
            fchmod(&made, mode)?;
            rest(from.as_fd(), made.as_fd(), &stat)
        }
        SFlag::S_IFREG => {
            let from = open(from, name, OFlag::O_RDONLY | OFlag::O_NONBLOCK, Mode::empty())?;
            let made = open(to, name, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL, Mode::S_IRUSR | Mode::S_IWUSR)?;
            let (mut from, mut made) = (File::from(from), File::from(made));
            let copied = std::io::copy(&mut from, &mut made);
            copied.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
            owner(to, name, &stat)?;
            fchmod(&made, mode)?;
            rest(from.as_fd(), made.as_fd(), &stat)
        }
        SFlag::S_IFLNK => {
            let target = readlinkat(from, name)?;
            symlinkat(target.as_bytes(), to, name)?;
            owner(to, name, &stat)?;
            let time = TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec);
            utimensat(to, name, &time, &time, UtimensatFlags::NoFollowSymlink)
        }
        // Sockets and FIFOs are of whoever listens; nodes can't be made in a user namespace.
        SFlag::S_IFIFO => {
            mknodat(to, name, SFlag::S_IFIFO, mode, 0)?;
            owner(to, name, &stat)
        }
        _ => Ok(()),
    }
}

fn owner(at: BorrowedFd<'_>, name: &CStr, stat: &FileStat) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    fchownat(at, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)
}
