//! An image mounted to be looked at: read-only, in the caller's own mount namespace.
//!
//! Owns the mount and its directory below the run directory. The surprise: it works only inside `rl unshare -m` (or another
//! namespace of the caller's): what an unprivileged user mounts, no process outside can see.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};

use super::mounts::open_directory;
use crate::error::{Context, Error, Result, catalog::image};
use crate::sys::mount::{attach, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen};

/// Mounts layers, topmost first, on a directory of their own below `run`.
///
/// # Errors
/// `RL0317` where the caller may not mount.
pub fn mount(layers: &[PathBuf], id: &str, run: &Path) -> Result<PathBuf> {
    let on = place(run, id);
    for path in [&on, &run.join("empty")] {
        std::fs::create_dir_all(path).context(&image::MOUNT_IMAGE, || format!("make {}", path.display()))?;
    }
    let target = open_directory(&on)?;
    let doing = || format!("mount it on {}", on.display());
    let made = overlay(layers, &run.join("empty")).context(&image::MOUNT_IMAGE, doing)?;
    attach(made.as_fd(), target.as_fd()).context(&image::MOUNT_IMAGE, doing)?;
    Ok(on)
}

/// Takes it away again. False: nothing was mounted.
///
/// # Errors
/// `RL0317` where somebody still uses it.
pub fn unmount(id: &str, run: &Path) -> Result<bool> {
    let on = place(run, id);
    match umount2(&on, MntFlags::UMOUNT_NOFOLLOW) {
        Ok(()) => {}
        Err(Errno::ENOENT | Errno::EINVAL) => return Ok(false),
        Err(errno @ Errno::EBUSY) => {
            let error = Error::new(&image::MOUNT_IMAGE, format!("unmount {}", on.display())).because(errno);
            return Err(error.fix("A process has a file of it open, or its working directory in it."));
        }
        Err(errno) => return Err(errno).context(&image::MOUNT_IMAGE, || format!("unmount {}", on.display())),
    }
    // Another namespace may have its own mount on it.
    let _ = std::fs::remove_dir(&on);
    Ok(true)
}

fn place(run: &Path, id: &str) -> PathBuf {
    run.join("mounts").join(id)
}

/// Without an upper directory an overlay is read-only. It takes two layers at least, so an empty one goes below.
fn overlay(layers: &[PathBuf], empty: &Path) -> Result<OwnedFd, Errno> {
    let fs = fsopen(c"overlay")?;
    fsconfig_set_string(fs.as_fd(), c"source", c"overlay")?;
    for layer in layers.iter().map(PathBuf::as_path).chain([empty]) {
        fsconfig_set_string(fs.as_fd(), c"lowerdir+", &super::mounts::c_path(layer)?)?;
    }
    fsconfig_set_flag(fs.as_fd(), c"userxattr")?;
    fsconfig_create(fs.as_fd())?;
    fsmount(fs.as_fd(), libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NODEV)
}
