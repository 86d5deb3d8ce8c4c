//! Deleting a tree that holds anything: directories without permissions, files of subordinate ids, a hundred thousand
//! levels.
//!
//! Iterative, by descriptor, never through a link, with bounded memory however many names a directory has. The
//! surprise: a tree deeper than descriptors allow is flattened, by moving what lies too deep up to the top.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FchmodatFlags, Mode, fchmod, fchmodat, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::beneath::is_directory;
use crate::error::{Context, Result, catalog::image};

/// Open directories at a time.
const DEEPEST: usize = 64;
/// Names of a directory that are read at a time; a directory with more is read again when they are gone.
const BATCH: usize = 16 * 1024;

/// Deletes `path` and all that is below it. A missing path is no error.
///
/// # Errors
/// `RL0310` with the path and the errno.
pub fn remove_tree(path: &Path) -> Result<()> {
    let doing = || format!("delete {}", path.display());
    let parent = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().unwrap_or_default();
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let parent = match openat(AT_FDCWD, parent, flags, Mode::empty()) {
        Err(Errno::ENOENT) => return Ok(()),
        other => other.context(&image::REMOVE, doing)?,
    };
    remove(&parent, name).context(&image::REMOVE, doing)
}

fn remove(parent: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
    match fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(stat) if is_directory(&stat) => {}
        Ok(_) => return unlinkat(parent, name, UnlinkatFlags::NoRemoveDir),
        Err(Errno::ENOENT) => return Ok(()),
        Err(errno) => return Err(errno),
    }
    empty(open(parent, name)?)?;
    unlinkat(parent, name, UnlinkatFlags::RemoveDir)
}

/// One level of the walk: an open directory and what is left to do in it.
struct Level {
    fd: OwnedFd,
    names: Vec<CString>,
    /// There may be more names than those.
    more: bool,
    /// Its name in the level above.
    own: CString,
}

impl Level {
    fn new(fd: OwnedFd, own: CString) -> Result<Self, Errno> {
        let mut level = Self { fd, names: Vec::new(), more: true, own };
        level.read()?;
        Ok(level)
    }

    fn read(&mut self) -> Result<(), Errno> {
        self.names = list(&self.fd)?;
        self.more = self.names.len() == BATCH;
        Ok(())
    }
}

fn empty(top: OwnedFd) -> Result<(), Errno> {
    let root = top.try_clone().map_err(|_| Errno::EMFILE)?;
    let mut moved = Moved::new()?;
    let mut levels = vec![Level::new(top, CString::default())?];
    while let Some(depth) = levels.len().checked_sub(1) {
        let level = &mut levels[depth];
        let Some(name) = level.names.pop() else {
            // The top is read once more in any case: for what was moved to it.
            if level.more || depth == 0 {
                level.read()?;
                if !level.names.is_empty() {
                    continue;
                }
            }
            let Some(done) = levels.pop() else { break };
            if let Some(above) = levels.last() {
                unlinkat(&above.fd, done.own.as_c_str(), UnlinkatFlags::RemoveDir)?;
            }
            continue;
        };
        // Unlinking first saves a stat for all that is no directory (EISDIR on Linux).
        match unlinkat(&level.fd, name.as_c_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => continue,
            Err(Errno::EISDIR | Errno::EPERM) => {}
            Err(errno) => return Err(errno),
        }
        match unlinkat(&level.fd, name.as_c_str(), UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => continue,
            Err(Errno::ENOTEMPTY | Errno::EEXIST) => {}
            Err(errno) => return Err(errno),
        }
        if depth + 1 >= DEEPEST {
            renameat(&level.fd, name.as_c_str(), &root, moved.next().as_str())?;
            continue;
        }
        let fd = open(&level.fd, OsStr::from_bytes(name.as_bytes()))?;
        levels.push(Level::new(fd, name)?);
    }
    Ok(())
}

/// Names that nothing in the tree can have, or an image could make its own tree undeletable by having them.
struct Moved {
    prefix: u64,
    count: u64,
}

impl Moved {
    fn new() -> Result<Self, Errno> {
        let prefix = getrandom::u64().map_err(|_| Errno::EIO)?;
        Ok(Self { prefix, count: 0 })
    }

    fn next(&mut self) -> String {
        self.count += 1;
        format!(".rl-{:016x}-{}", self.prefix, self.count)
    }
}

fn open(parent: &OwnedFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let fd = match openat(parent, name, flags, Mode::empty()) {
        // Root of a namespace with one id has no CAP_DAC_OVERRIDE over what it can't chmod, but it owns all of it.
        Err(Errno::EACCES) => {
            fchmodat(parent, name, Mode::S_IRWXU, FchmodatFlags::FollowSymlink)?;
            openat(parent, name, flags, Mode::empty())?
        }
        other => other?,
    };
    // One that can be read need not be one in which something can be removed; where it is needless, it may fail.
    if fstat(&fd)?.st_mode & 0o700 != 0o700 {
        let _ = fchmod(&fd, Mode::S_IRWXU);
    }
    Ok(fd)
}

fn list(directory: &OwnedFd) -> Result<Vec<CString>, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut open = Dir::openat(directory.as_fd(), ".", flags, Mode::empty())?;
    let mut names = Vec::new();
    for entry in open.iter() {
        let entry = entry?;
        if ![c".", c".."].contains(&entry.file_name()) {
            names.push(entry.file_name().to_owned());
        }
        if names.len() == BATCH {
            break;
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_closed_a_linked_and_a_very_deep_tree_all_go() {
        let dir = tempfile::tempdir().expect("a directory");
        let tree = dir.path().join("tree");
        let outside = dir.path().join("outside");
        std::fs::create_dir_all(tree.join("closed")).expect("mkdir");
        std::fs::write(&outside, "stays").expect("write");
        std::fs::write(tree.join("closed/file"), "").expect("write");
        std::fs::set_permissions(tree.join("closed"), PermissionsExt::from_mode(0o000)).expect("chmod");
        std::os::unix::fs::symlink("../outside", tree.join("link")).expect("link");
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        let mut at = openat(AT_FDCWD, &tree, flags, Mode::empty()).expect("open");
        for _ in 0..3000 {
            nix::sys::stat::mkdirat(&at, "d", Mode::S_IRWXU).expect("mkdir");
            at = openat(&at, "d", flags, Mode::empty()).expect("open");
        }
        remove_tree(&tree).expect("remove");
        assert!(!tree.exists());
        assert_eq!(std::fs::read_to_string(outside).expect("read"), "stays");
        remove_tree(&tree).expect("a missing tree is no error");
    }

    #[test]
    fn a_directory_with_more_names_than_are_read_at_a_time_goes() {
        let dir = tempfile::tempdir().expect("a directory");
        let tree = dir.path().join("tree");
        std::fs::create_dir(&tree).expect("mkdir");
        for number in 0..=2 * BATCH {
            std::fs::File::create(tree.join(number.to_string())).expect("a file");
        }
        remove_tree(&tree).expect("remove");
        assert!(!tree.exists());
    }
}
