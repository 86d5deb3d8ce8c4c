//! `U`: all files of a volume are given to the container's user.
//!
//! Owns the walk, which follows no link and crosses no mount: every entry is opened by its name in a directory that is open
//! (openat2 with RESOLVE_NO_XDEV and RESOLVE_NO_SYMLINKS), and what is opened is what is given away. The surprise: a file with several
//! names is given away only if all of them are in the volume. The others may be files of the user's that are no business of
//! the container's.

use std::collections::HashMap;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{FileStat, fstat};
use nix::unistd::{Gid, Uid, fchownat};

/// Trees that are deeper than this are somebody's trick.
const DEEPEST: u32 = 512;

type Inode = (u64, u64);

/// Gives the directory or file `tree` and all that is in it to `uid` and `gid`.
pub(super) fn give(tree: BorrowedFd<'_>, uid: u32, gid: u32) -> Result<(), Errno> {
    let mut names: HashMap<Inode, u64> = HashMap::new();
    walk(tree, DEEPEST, &mut |_, stat| {
        if several_names(stat) {
            *names.entry((stat.st_dev, stat.st_ino)).or_default() += 1;
        }
        Ok(())
    })?;
    let mut give = |file: BorrowedFd<'_>, stat: &FileStat| {
        let known = names.get(&(stat.st_dev, stat.st_ino)).copied().unwrap_or_default();
        if (stat.st_uid, stat.st_gid) == (uid, gid) || (several_names(stat) && known < stat.st_nlink) {
            return Ok(());
        }
        fchownat(file, c"", Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), AtFlags::AT_EMPTY_PATH)
    };
    walk(tree, DEEPEST, &mut give)?;
    give(tree, &fstat(tree)?)
}

fn several_names(stat: &FileStat) -> bool {
    stat.st_mode & libc::S_IFMT != libc::S_IFDIR && stat.st_nlink > 1
}

fn walk(
    directory: BorrowedFd<'_>,
    left: u32,
    visit: &mut impl FnMut(BorrowedFd<'_>, &FileStat) -> Result<(), Errno>,
) -> Result<(), Errno> {
    if fstat(directory)?.st_mode & libc::S_IFMT != libc::S_IFDIR {
        return Ok(());
    }
    if left == 0 {
        return Err(Errno::ELOOP);
    }
    let list = open(directory, c".", OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
    for entry in Dir::from_fd(list)?.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if [c".", c".."].contains(&name) {
            continue;
        }
        let file = match open(directory, name, OFlag::O_PATH | OFlag::O_NOFOLLOW) {
            // Another file system is mounted there, or it has gone meanwhile.
            Err(Errno::EXDEV | Errno::ENOENT) => continue,
            file => file?,
        };
        let stat = fstat(&file)?;
        walk(file.as_fd(), left - 1, visit)?;
        visit(file.as_fd(), &stat)?;
    }
    Ok(())
}

fn open(at: BorrowedFd<'_>, name: &CStr, flags: OFlag) -> Result<OwnedFd, Errno> {
    let beneath = ResolveFlag::RESOLVE_NO_XDEV | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_BENEATH;
    openat2(at, name, OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(beneath))
}
