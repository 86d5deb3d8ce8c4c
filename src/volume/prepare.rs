//! The volumes of one container, before it is started: made where they are missing, and named where they have no name.
//!
//! The surprise: a new volume belongs to the container's root, whom the id map may have made a subordinate id; so this is done in the
//! base namespace, in which all ids of the caller exist.

use std::fs::File;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use nix::fcntl::OFlag;
use nix::unistd::{Gid, Uid, fchown};

use super::{Made, Volumes};
use crate::error::{Context, Error, Result, catalog::volume as codes};
use crate::host::Dirs;
use crate::spec::{BindOptions, Ids, ImageConfig, ImageVolumes, RunSpec, Volume};

/// Adds what the image declares, makes what is missing, and says where each is.
///
/// # Errors
/// RL0451, RL0454.
pub fn prepare(run: &mut RunSpec, image: &ImageConfig, ids: &Ids, dirs: &Dirs, container: &str) -> Result<()> {
    declared(run, image);
    let volumes = Volumes::open(dirs);
    for volume in &mut run.volumes {
        let Volume::Named { name, source, anonymous, options, copy, subpath, memory, .. } = volume else { continue };
        if name.is_empty() {
            *name = random_name()?;
        }
        let made = volumes.create(name, &[], anonymous.then_some(container))?;
        *source = volumes.data(name);
        if made == Made::New {
            own(source, ids)?;
            continue;
        }
        if let Some(found) = volumes.find(name)?.filter(|found| !found.options.is_empty()) {
            let backing = found.backing()?;
            if backing.device.is_some() && options.chown {
                let what = format!("the volume {name} is a directory of yours, which U would give away");
                return Err(Error::new(&codes::VOLUME_OWNER, what));
            }
            if backing.memory.is_some() {
                volumes.alone(name, container)?;
                if subpath.is_some() {
                    return Err(Error::new(
                        &codes::VOLUME_STATE,
                        format!("find a part of {name}: it is memory, and empty at first"),
                    ));
                }
            } else {
                *source = volumes.place(&found)?;
            }
            options.read_only |= backing.read_only;
            options.noexec |= backing.noexec;
            // What the image has there has owners of its own.
            *copy &= !backing.nocopy && backing.owner == (None, None) && backing.memory.is_none();
            *memory = backing.memory;
        }
    }
    Ok(())
}

/// What [`prepare`] would say, without making anything (`--plan`).
pub fn foresee(run: &mut RunSpec, image: &ImageConfig, dirs: &Dirs) {
    declared(run, image);
    for volume in &mut run.volumes {
        if let Volume::Named { name, source, memory, .. } = volume {
            let shown = if name.is_empty() { "anonymous" } else { name.as_str() };
            let volumes = Volumes::open(dirs);
            let found = volumes.find(shown).ok().flatten();
            *memory = found.as_ref().and_then(|found| found.backing().ok()?.memory);
            let there = found.and_then(|found| volumes.place(&found).ok());
            *source = there.unwrap_or_else(|| volumes.data(shown));
        }
    }
}

/// The image's VOLUMEs that nothing is mounted on.
fn declared(run: &mut RunSpec, image: &ImageConfig) {
    for target in &image.volumes {
        let target: std::path::PathBuf = std::path::Path::new(target).components().collect();
        let plain = target.is_absolute()
            && target.components().count() > 1
            && !target.components().any(|part| part == std::path::Component::ParentDir);
        if !plain || run.volumes.iter().any(|volume| volume.target() == target) {
            continue;
        }
        match run.image_volumes {
            ImageVolumes::Ignore => {}
            ImageVolumes::Tmpfs => run.volumes.push(Volume::Tmpfs { target, options: Vec::new() }),
            ImageVolumes::Anonymous => run.volumes.push(Volume::Named {
                name: String::new(),
                source: std::path::PathBuf::new(),
                target,
                options: BindOptions::default(),
                copy: true,
                anonymous: true,
                subpath: None,
                memory: None,
            }),
        }
    }
}

fn random_name() -> Result<String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).context(&codes::VOLUME_STATE, || "get random bytes for a name".into())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn own(path: &std::path::Path, ids: &Ids) -> Result<()> {
    let (uid, gid) = (ids.uid.outside(0).unwrap_or(0), ids.gid.outside(0).unwrap_or(0));
    give(path, uid, gid)
}

/// Gives a new volume's directory to these ids of the base namespace, in which this process must be.
///
/// # Errors
/// RL0454 for ids that are not the caller's.
pub fn give(path: &std::path::Path, uid: u32, gid: u32) -> Result<()> {
    let doing = || format!("give {} to {uid}:{gid}", path.display());
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
    let dir = File::options().read(true).custom_flags(flags.bits()).open(path).context(&codes::VOLUME_STATE, doing)?;
    let now = dir.metadata().context(&codes::VOLUME_STATE, doing)?;
    if (now.uid(), now.gid()) == (uid, gid) {
        return Ok(());
    }
    fchown(&dir, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).context(&codes::VOLUME_STATE, doing)
}

/// Removes the volumes that were made without a name for a container that is gone.
///
/// # Errors
/// RL0454.
pub fn remove_of(dirs: &Dirs, container: &str) -> Result<()> {
    let volumes = Volumes::open(dirs);
    for volume in volumes.list()?.iter().filter(|volume| volume.container.as_deref() == Some(container)) {
        // Given to another container by its name meanwhile.
        if volumes.users(&volume.name)?.is_empty() {
            volumes.take_away(&volume.name)?;
        }
    }
    Ok(())
}
