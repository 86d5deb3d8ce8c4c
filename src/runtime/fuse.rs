//! An image through fuse-overlayfs: where the kernel can't mount it, and where the container sees other ids than it was
//! unpacked with (keep-id, auto, nomap, --uidmap).
//!
//! A disk file system can't be id-mapped without host privilege, so fuse-overlayfs shifts the owners at the mount; nothing is ever
//! copied. Owns that mount, and that of images which are volumes. The surprise: it is made in a mount namespace of `rl`'s own, before the container is cloned, which
//! then has it as an ordinary directory; with `rl` it goes, however `rl` ends.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fuse_overlayfs::{Mount, Program, Running, Shift};
use subid::IdMap;

use super::mounts;
use crate::error::{Context, Error, Result, catalog::rootfs};
use crate::host::kernel::OVERFLOW_ID;
use crate::plan::RootSource;
use crate::spec::Ids;
use crate::sys::process;

/// The container has ended and its mount namespace with it; only a program that hangs needs longer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The mount, for as long as the container runs.
#[derive(Debug)]
pub struct Fuse {
    running: Running,
    target: PathBuf,
}

/// Whether the container sees other ids than the layers were unpacked with.
pub fn is_needed(ids: &Ids) -> bool {
    let moved = |map: &IdMap| map.extents().iter().any(|extent| extent.inside != extent.outside);
    moved(&ids.uid) || moved(&ids.gid)
}

/// Mounts the overlay that `root` describes below `dir`, with its owners shifted where `ids` needs it. `shared`: its layers
/// are somebody else's.
///
/// # Errors
/// `RL0405` when fuse-overlayfs or /dev/fuse is missing or does not work.
pub fn mount(root: &RootSource, ids: &Ids, shared: bool, dir: &Path) -> Result<Fuse> {
    let RootSource::Overlay { lower, upper, work, volatile } = root else {
        return Err(Error::new(&rootfs::SHIFT, "mount a directory that is no overlay"));
    };
    let doing = || "mount the image with fuse-overlayfs".to_owned();
    let target = dir.join("fuse");
    for path in [upper, work, &target] {
        std::fs::create_dir_all(path).context(&rootfs::SHIFT, || format!("make {}", path.display()))?;
    }
    let mount = Mount {
        lower: lower.clone(),
        upper: Some(upper.clone()),
        work: Some(work.clone()),
        target,
        uid_mapping: mapping(&ids.uid, is_needed(ids), shared),
        gid_mapping: mapping(&ids.gid, is_needed(ids), shared),
        volatile: *volatile,
    };
    start(mount, &doing())
}

/// The layers of an image that is a volume, read-only, below `dir` under a name of the volume's own, with their owners shifted in the same
/// way. Whatever an earlier start has left in its place goes.
///
/// # Errors
/// As [`mount`].
pub fn mount_volume(layers: &[PathBuf], ids: &Ids, shared: bool, dir: &Path, index: usize) -> Result<Fuse> {
    let target = dir.join(format!("image-{index}"));
    std::fs::create_dir_all(&target).context(&rootfs::SHIFT, || format!("make {}", target.display()))?;
    let mount = Mount {
        lower: layers.to_vec(),
        target,
        uid_mapping: mapping(&ids.uid, is_needed(ids), shared),
        gid_mapping: mapping(&ids.gid, is_needed(ids), shared),
        ..Mount::default()
    };
    start(mount, "mount an image that is a volume with fuse-overlayfs")
}

/// In a mount namespace of this process's own.
fn start(mount: Mount, doing: &str) -> Result<Fuse> {
    mounts::unshared()?;
    let program = program()?;
    let running = mount.start(&program, process::end_with_parent).map_err(|error| failed(error, doing))?;
    Ok(Fuse { running, target: mount.target })
}

/// fuse-overlayfs, in PATH or where install.sh has put it without root.
///
/// # Errors
/// `RL0405`: there is none, or /dev/fuse can't be used.
pub fn program() -> Result<Program> {
    // Where it is 0600, as in a container, fuse-overlayfs would start and fail without a word.
    let device = std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse");
    device.context(&rootfs::SHIFT, || "open /dev/fuse".into())?;
    let extra = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.parent()?.join("lib/rl/bin")));
    Program::find(None, extra.as_slice()).map_err(|error| failed(error, "find fuse-overlayfs"))
}

fn failed(error: fuse_overlayfs::Error, doing: &str) -> Error {
    let fix = error.fix();
    Error::new(&rootfs::SHIFT, doing).because(error).fix(fix)
}

/// None: owners are shown as they are.
fn mapping(map: &IdMap, moved: bool, shared: bool) -> Vec<Shift> {
    match (moved, shared) {
        (false, false) => Vec::new(),
        (_, false) => shifts(map),
        (_, true) => without_strangers(&shifts(map)),
    }
}

/// Links of a shared store belong to its maker, who is no id in this namespace and shows as the overflow id: root in
/// their place. A file of that very id, nobody, is root's then, too.
fn without_strangers(shifts: &[Shift]) -> Vec<Shift> {
    let root = shifts.iter().find(|shift| shift.stored == 0).map_or(0, |shift| shift.shown);
    let mut all = Vec::new();
    for shift in shifts {
        let behind = OVERFLOW_ID + 1;
        let end = shift.stored + shift.count;
        if shift.stored < OVERFLOW_ID {
            all.push(Shift { count: end.min(OVERFLOW_ID) - shift.stored, ..*shift });
        }
        if end > behind {
            let from = shift.stored.max(behind);
            all.push(Shift { stored: from, shown: shift.shown + (from - shift.stored), count: end - from });
        }
    }
    all.push(Shift { stored: OVERFLOW_ID, shown: root, count: 1 });
    all
}

/// What is container id C in the image is id C of the base on disk, and must be shown as whatever C is in the base now.
fn shifts(map: &IdMap) -> Vec<Shift> {
    map.extents()
        .iter()
        .map(|extent| Shift { stored: extent.inside, shown: extent.outside, count: extent.count })
        .collect()
}

impl Fuse {
    /// The container's root: a directory.
    pub fn root(&self) -> RootSource {
        RootSource::Directory(self.target.clone())
    }

    /// Where it is.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// What must stay open for as long as the mount is used.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.running.as_fd()
    }

    /// Takes the mount away; what fuse-overlayfs says of that is of no use to anybody once the container has ended.
    ///
    /// # Errors
    /// `RL0410`: it had ended before, and the container was without its files.
    pub fn stop(mut self) -> Result<()> {
        let lived = self.running.check();
        let _ = self.running.stop(PATIENCE);
        lived.context(&rootfs::FUSE_GONE, || "keep the image mounted".into())
    }
}

#[cfg(test)]
mod tests {
    use subid::Extent;

    use super::*;

    #[test]
    fn an_id_of_the_image_is_shown_as_what_it_is_in_the_container() {
        // keep-id for uid 1001: container 1001 is the caller, base 0.
        let extent = |inside, outside, count| Extent { inside, outside, count };
        let map = IdMap::new(vec![extent(0, 1, 1001), extent(1001, 0, 1), extent(1002, 1002, 10)]).expect("map");
        let shown = |id: u32| {
            let all = shifts(&map);
            let one = all.iter().find(|shift| shift.stored <= id && id - shift.stored < shift.count).expect("mapped");
            one.shown + (id - one.stored)
        };
        assert_eq!((shown(0), shown(1001), shown(1002)), (1, 0, 1002));
    }
}
