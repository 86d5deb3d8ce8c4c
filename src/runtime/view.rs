//! An image mounted to be looked at: read-only, in the caller's own mount namespace.
//!
//! Owns the mount and its directory below the run directory. The surprise: it works only inside `rl unshare -m` (or another
//! namespace of the caller's): what an unprivileged user mounts, no process outside can see.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, MsFlags, umount2};
use nix::sys::stat::Mode;

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
    match overlay(layers, &run.join("empty")) {
        // No kernel before 6.5 takes layers one by one.
        Err(Errno::EINVAL) => {
            by_descriptors(layers, &run.join("empty"), &target).context(&image::MOUNT_IMAGE, doing)?
        }
        made => {
            let made = made.context(&image::MOUNT_IMAGE, doing)?;
            attach(made.as_fd(), target.as_fd()).context(&image::MOUNT_IMAGE, doing)?;
        }
    }
    Ok(on)
}

/// The same in a mount namespace of this process's own, in place of what an earlier start has left there. `subpath`: only what is there
/// in the image, whose links lead nowhere else.
///
/// # Errors
/// `RL0317`.
pub fn mount_alone(layers: &[PathBuf], id: &str, run: &Path, subpath: Option<&Path>) -> Result<PathBuf> {
    super::mounts::unshared()?;
    while unmount(id, run)? {}
    within(&mount(layers, id, run)?, subpath)
}

/// A directory or file of an image that is mounted there, whose links lead nowhere else.
///
/// # Errors
/// `RL0317` where there is none.
pub fn within(on: &Path, subpath: Option<&Path>) -> Result<PathBuf> {
    let Some(subpath) = subpath else { return Ok(on.to_owned()) };
    let doing = || format!("find {} in the image", subpath.display());
    let relative = subpath.strip_prefix("/").unwrap_or(subpath);
    // Nobody can change it: it is read-only. So the name that the kernel has for it is good for as long.
    let found = crate::tree::open_in(open_directory(on)?.as_fd(), relative, OFlag::O_PATH);
    let found = found.context(&image::MOUNT_IMAGE, doing)?;
    let name = format!("/proc/self/fd/{}", found.as_raw_fd());
    std::fs::read_link(name).context(&image::MOUNT_IMAGE, doing)
}

fn by_descriptors(layers: &[PathBuf], empty: &Path, target: &OwnedFd) -> Result<(), Errno> {
    let open = |path: &Path| open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
    let here = open(Path::new("."))?;
    let layers = layers.iter().map(PathBuf::as_path).chain([empty]).map(open).collect::<Result<Vec<_>, _>>()?;
    let numbers: Vec<_> = layers.iter().map(|layer| layer.as_raw_fd().to_string()).collect();
    let options = format!("lowerdir={},userxattr", numbers.join(":"));
    // Short names, because all of them share one page.
    nix::unistd::chdir("/proc/self/fd")?;
    let on = target.as_raw_fd().to_string();
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NODEV;
    let mounted = nix::mount::mount(Some("overlay"), on.as_str(), Some("overlay"), flags, Some(options.as_str()));
    nix::unistd::fchdir(&here)?;
    mounted
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
