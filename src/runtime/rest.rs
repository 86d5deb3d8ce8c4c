//! A container's root file system while nothing runs in it.
//!
//! Owns mounting it where no other process sees it: in a mount namespace of `rl`'s own, which ends with `rl`. It executes nothing and
//! holds no lock; its caller has the container in hand. The surprise: it is mounted on a directory that will be removed, so taking it
//! away again comes before that, or the container's files would go with it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::{MntFlags, umount2};

use super::mounts;
use crate::error::{Context, Result, catalog::rootfs, catalog::state};
use crate::plan::RootSource;
use crate::spec::Volume;
use crate::sys::mount::{Change, attach, mount_setattr};
use crate::tree;

/// The mounted root.
#[derive(Debug)]
pub struct Mounted {
    root: OwnedFd,
    on: Option<PathBuf>,
}

impl Mounted {
    /// Mounts what `root` describes, an overlay on a directory below `dir`. `read_only`: nothing is to be changed in it.
    ///
    /// # Errors
    /// RL0401 and its neighbours, as for a start.
    pub fn new(root: &RootSource, dir: &Path, read_only: bool) -> Result<Self> {
        mounts::unshared()?;
        let (lower, upper, work, volatile) = match root {
            RootSource::Overlay { lower, upper, work, volatile } => (lower, upper, work, *volatile),
            RootSource::Directory(path) => return Ok(Self { root: mounts::open_directory(path)?, on: None }),
        };
        let on = dir.join("mnt");
        for (path, mode) in [(upper, 0o755), (work, 0o755), (&on, 0o700)] {
            use std::os::unix::fs::DirBuilderExt;
            let made = std::fs::DirBuilder::new().recursive(true).mode(mode).create(path);
            made.context(&state::STATE, || format!("make {}", path.display()))?;
        }
        let place = mounts::open_directory(&on)?;
        let overlay = mounts::Overlay { lower, upper, work, volatile };
        let overlaid = mounts::overlay(&overlay, &on, &place)?;
        // From here on it is unmounted when this is dropped.
        let mut mounted = Self { root: place, on: Some(on) };
        mounted.root = overlaid.fd().try_clone_to_owned().context(&rootfs::OVERLAY, || "open the root".into())?;
        if read_only {
            let change = Change { set: libc::MOUNT_ATTR_RDONLY, ..Change::default() };
            mount_setattr(mounted.root.as_fd(), change)
                .context(&rootfs::OVERLAY, || "make the root read-only".into())?;
        }
        Ok(mounted)
    }

    /// The root directory.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Puts the volumes into their places, where those are there. A new one that the next start fills from the image is left out: what is
    /// in its place now is what it will be filled with.
    ///
    /// # Errors
    /// RL0404 where a source is missing.
    pub fn volumes(&self, all: &[Volume]) -> Result<()> {
        for volume in all {
            let mut part = None;
            let (source, target, options) = match volume {
                Volume::Bind { source, target, options } => (source, target, options),
                Volume::Named { memory: Some(_), .. } => continue,
                Volume::Named { source, copy: true, .. } if is_empty(source) => continue,
                Volume::Named { source, target, options, subpath, .. } => {
                    part = subpath.as_ref().map(|part| source.join(part.strip_prefix("/").unwrap_or(part)));
                    (source, target, options)
                }
                Volume::Image { .. } | Volume::Tmpfs { .. } => continue,
            };
            let relative = target.strip_prefix("/").unwrap_or(target);
            let doing = || format!("put {} on {}", source.display(), target.display());
            let place = match tree::open_in(self.root.as_fd(), relative, OFlag::O_PATH) {
                Err(Errno::ENOENT) => continue,
                place => place.context(&rootfs::VOLUME, doing)?,
            };
            let volume = match &part {
                Some(part) => mounts::clone_part(source, part, options.recursive)?,
                None => mounts::clone_source(source, options.recursive)?,
            };
            if options.read_only {
                let change = Change { set: libc::MOUNT_ATTR_RDONLY, ..Change::default() };
                mount_setattr(volume.as_fd(), change).context(&rootfs::VOLUME, doing)?;
            }
            attach(volume.as_fd(), place.as_fd()).context(&rootfs::VOLUME, doing)?;
        }
        Ok(())
    }
}

/// Whoever still has something open in it.
impl Drop for Mounted {
    fn drop(&mut self) {
        if let Some(on) = &self.on {
            let _ = umount2(on, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
        }
    }
}

fn is_empty(directory: &Path) -> bool {
    std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none())
}
