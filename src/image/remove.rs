//! Deleting a tree that holds anything: directories without permissions, files of subordinate ids, a hundred thousand levels.
//!
//! Iterative, by descriptor, never through a link. The surprise: a tree deeper than descriptors allow is flattened first, by
//! moving what lies too deep up to the top.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::tree::is_directory;
use crate::error::{Context, Result, catalog::image};

/// Open directories at a time.
const DEEPEST: usize = 64;

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
    let top = open(parent, name)?;
    let mut moved = 0_u64;
    empty(top, &mut moved)?;
    unlinkat(parent, name, UnlinkatFlags::RemoveDir)
}

/// One level of the walk: an open directory and what is left to do in it.
struct Level {
    fd: OwnedFd,
    names: Vec<CString>,
    /// Its name in the level above.
    own: CString,
}

fn empty(top: OwnedFd, moved: &mut u64) -> Result<(), Errno> {
    let root = top.try_clone().map_err(|_| Errno::EMFILE)?;
    let mut levels = vec![Level { names: list(&top)?, fd: top, own: CString::default() }];
    while let Some(depth) = levels.len().checked_sub(1) {
        let Some(name) = levels[depth].names.pop() else {
            let Some(done) = levels.pop() else { break };
            if let Some(above) = levels.last() {
                unlinkat(&above.fd, done.own.as_c_str(), UnlinkatFlags::RemoveDir)?;
            } else {
                // What was moved to the top meanwhile.
                let names = list(&root)?;
                if !names.is_empty() {
                    levels.push(Level { names, ..done });
                }
            }
            continue;
        };
        let here = &levels[depth].fd;
        // Unlinking first saves a stat for all that is no directory (EISDIR on Linux).
        match unlinkat(here, name.as_c_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => continue,
            Err(Errno::EISDIR | Errno::EPERM) => {}
            Err(errno) => return Err(errno),
        }
        match unlinkat(here, name.as_c_str(), UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => continue,
            Err(Errno::ENOTEMPTY | Errno::EEXIST) => {}
            Err(errno) => return Err(errno),
        }
        if levels.len() >= DEEPEST {
            *moved += 1;
            renameat(here, name.as_c_str(), &root, format!(".rl-moved-{moved}").as_str())?;
            continue;
        }
        let fd = open(here, OsStr::from_bytes(name.as_bytes()))?;
        levels.push(Level { names: list(&fd)?, fd, own: name });
    }
    Ok(())
}

fn open(parent: &OwnedFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    match openat(parent, name, flags, Mode::empty()) {
        // Root of a namespace with one id has no CAP_DAC_OVERRIDE over what it can't chmod, but it owns all of it.
        Err(Errno::EACCES) => {
            fchmodat(parent, name, Mode::S_IRWXU, FchmodatFlags::FollowSymlink)?;
            openat(parent, name, flags, Mode::empty())
        }
        other => other,
    }
}

fn list(directory: &OwnedFd) -> Result<Vec<CString>, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut open = Dir::openat(directory.as_fd(), ".", flags, Mode::empty())?;
    let names =
        open.iter().map(|entry| entry.map(|entry| entry.file_name().to_owned())).collect::<Result<Vec<_>, Errno>>()?;
    Ok(names.into_iter().filter(|name| ![c".", c".."].contains(&name.as_c_str())).collect())
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
}
