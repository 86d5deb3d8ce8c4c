//! Which storage driver puts an image's layers together here: the kernel's overlay, fuse-overlayfs, or a copy.
//!
//! Owns the choice, by a real mount, and remembering it for the session. The surprise: the kernel's overlay is simply tried by
//! the run itself; only when it fails is anything probed, so that where it works the choice costs nothing but the look for a file
//! that is not there.

use std::fmt;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::str::FromStr;

use nix::sched::CloneFlags;

use super::message::{Channel, Report};
use super::mounts;
use crate::error::{Context, Error, Result, catalog::rootfs};
use crate::host::Dirs;
use crate::image::remove_tree;
use crate::plan::Propagation;
use crate::sys::child::exit_now;
use crate::sys::clone::{Side, clone};

/// How layers become one tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// The kernel's overlay, in a user namespace.
    Overlay,
    /// The same by a process of the user's.
    FuseOverlayfs,
    /// All layers copied into a directory of the container's own.
    Copy,
}

/// A choice and why it fell so.
#[derive(Debug)]
pub struct Chosen {
    /// Which.
    pub driver: Driver,
    /// What spoke against the others; empty where nothing did.
    pub against: String,
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overlay => "overlay",
            Self::FuseOverlayfs => "fuse-overlayfs",
            Self::Copy => "copy",
        })
    }
}

impl FromStr for Driver {
    type Err = Error;

    /// podman's `vfs` is our copy.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "overlay" => Ok(Self::Overlay),
            "fuse-overlayfs" | "fuse" => Ok(Self::FuseOverlayfs),
            "copy" | "vfs" => Ok(Self::Copy),
            other => Err(Error::new(&rootfs::STORAGE_DRIVER, format!("{other:?}"))),
        }
    }
}

/// What an earlier probe of this session found; the kernel's overlay where none was needed.
pub fn remembered(dirs: &Dirs) -> Driver {
    let text = fs::read_to_string(dirs.run.join(MEMORY)).unwrap_or_default();
    let of_this_kernel = text.split_once(' ').filter(|(release, _)| *release == kernel());
    of_this_kernel.and_then(|(_, driver)| driver.parse().ok()).unwrap_or(Driver::Overlay)
}

/// Below the run directory: `KERNEL DRIVER`. The run directory need not end with the session, so the kernel is part of it.
const MEMORY: &str = "storage-driver";

fn kernel() -> String {
    let name = nix::sys::utsname::uname();
    name.map(|name| name.release().to_string_lossy().into_owned()).unwrap_or_default()
}

/// Tries the drivers in their order and remembers what works. To be called in the base namespace, with one thread.
///
/// # Errors
/// Only where trying itself is impossible.
pub fn probe(dirs: &Dirs) -> Result<Chosen> {
    let chosen = match try_overlay(&dirs.data)? {
        None => Chosen { driver: Driver::Overlay, against: String::new() },
        Some(why) => match super::fuse::program() {
            Ok(_) => Chosen { driver: Driver::FuseOverlayfs, against: format!("overlay: {}", why.summary()) },
            Err(missing) => Chosen {
                driver: Driver::Copy,
                against: format!("overlay: {}; fuse-overlayfs: {}", why.summary(), missing.summary()),
            },
        },
    };
    let memory = dirs.run.join(MEMORY);
    fs::write(&memory, format!("{} {}", kernel(), chosen.driver))
        .context(&rootfs::OVERLAY, || format!("write {}", memory.display()))?;
    Ok(chosen)
}

/// A small overlay beside the store's own files; what spoke against it.
fn try_overlay(data: &Path) -> Result<Option<Error>> {
    let random = getrandom::u64().context(&rootfs::OVERLAY, || "get random bytes".into())?;
    let dir = data.join("staging").join(format!("probe-{random:016x}"));
    let tried = try_below(&dir);
    remove_tree(&dir)?;
    tried
}

fn try_below(dir: &Path) -> Result<Option<Error>> {
    for name in ["lower/kept", "lower/gone", "upper", "work", "on"] {
        let path = dir.join(name);
        fs::create_dir_all(&path).context(&rootfs::OVERLAY, || format!("make {}", path.display()))?;
    }
    let file = dir.join("lower/gone/file");
    fs::write(&file, "x").context(&rootfs::OVERLAY, || format!("write {}", file.display()))?;
    let (channel, theirs) = Channel::pair().context(&rootfs::OVERLAY, || "make a socket pair".into())?;
    let child = match clone(CloneFlags::CLONE_NEWNS).map_err(super::refusal::refused)? {
        Side::Parent(child) => child,
        Side::Child => {
            drop(channel);
            if let Err(error) = use_overlay(dir) {
                theirs.send_failure(&error);
            }
            exit_now(0)
        }
    };
    drop(theirs);
    let report = channel.next_report().context(&rootfs::OVERLAY, || "hear from the probe".into());
    child.kill();
    match report? {
        Report::Failed(failure) => Ok(Some(failure.into())),
        _ => Ok(None),
    }
}

/// What containers do: write, delete what is below, rename directories.
fn use_overlay(dir: &Path) -> Result<()> {
    mounts::isolate(Propagation::Private)?;
    let (upper, on) = (dir.join("upper"), dir.join("on"));
    let place = mounts::open_directory(&on)?;
    let (lower, work) = ([dir.join("lower")], dir.join("work"));
    let overlay = mounts::Overlay { lower: &lower, upper: &upper, work: &work, volatile: true };
    let _root = mounts::overlay(&overlay, &on, &place)?;
    let did =
        |what: &str, done: std::io::Result<()>| done.context(&rootfs::OVERLAY, || format!("{what} in an overlay"));
    did("write a file", fs::write(on.join("made"), "x"))?;
    did("delete a file", fs::remove_file(on.join("gone/file")))?;
    did(
        "rename a directory",
        fs::create_dir(on.join("new")).and_then(|()| fs::rename(on.join("new"), on.join("newer"))),
    )?;
    let whiteout = fs::symlink_metadata(upper.join("gone/file")).is_ok_and(|meta| meta.file_type().is_char_device());
    if whiteout {
        return Ok(());
    }
    Err(Error::new(&rootfs::OVERLAY, "delete a file in an overlay").because("the file system has no whiteouts"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_have_the_names_that_people_know() {
        for (text, driver) in [
            ("overlay", Driver::Overlay),
            ("fuse-overlayfs", Driver::FuseOverlayfs),
            ("copy", Driver::Copy),
            ("vfs", Driver::Copy),
        ] {
            assert_eq!(text.parse::<Driver>().expect(text), driver);
        }
        assert!("btrfs".parse::<Driver>().is_err());
    }
}
