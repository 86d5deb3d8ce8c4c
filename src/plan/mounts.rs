//! The mounts of a specification as steps.
//!
//! Pure: types, options and paths are checked here, each by the name of its field. The surprise: the six devices and the links of
//! /dev are no mounts of the specification; they follow the mount on /dev, as config-linux.md demands ("Default Devices").

use std::path::{Path, PathBuf};

use oci_spec::runtime::{Linux, Mount};

use super::devices;
use super::idmap::{self, MountMap};
use super::options::{Options, SUPERBLOCK, sort};
use super::unsupported::{bad, checked_path};
use super::{Device, Propagation, Step};
use crate::error::Result;
use crate::spec::VolumeExtra;

/// SELinux's mount option.
pub const LABEL: &str = "context";

/// What the steps of the mounts depend on.
pub(super) struct Context {
    /// linux.devices
    pub(super) devices: Vec<Device>,
    /// No user namespace is made: the caller is root of one, or of the machine, and the kernel decides what may be mounted.
    pub(super) host_user: bool,
    /// The document is somebody else's, in which no word has a second meaning.
    pub(super) exact: bool,
    /// What happens to volumes before they are mounted.
    pub(super) volumes: Vec<VolumeExtra>,
    /// The container's user.
    pub(super) user: String,
    /// linux.mountLabel
    pub(super) label: Option<String>,
}

/// What the whole namespace's mounts are to the host's, before any of the container's is made.
pub(super) fn outer_propagation(linux: &Linux, mounts: &[Mount]) -> Propagation {
    let hears = |mount: &Mount| {
        let words = mount.options().as_deref().unwrap_or_default();
        matches!(sort(words).propagation, Some(Propagation::Slave | Propagation::Shared))
    };
    let root = linux.rootfs_propagation().as_deref().unwrap_or_default();
    if mounts.iter().any(hears) || ["slave", "rslave", "shared", "rshared"].contains(&root) {
        Propagation::Slave
    } else {
        Propagation::Private
    }
}

/// linux.rootfsPropagation.
pub(super) fn root_propagation(linux: &Linux) -> Result<Option<Step>> {
    let Some(word) = linux.rootfs_propagation().as_deref().filter(|word| !word.is_empty()) else { return Ok(None) };
    let propagation = match word.trim_start_matches('r') {
        "private" => Propagation::Private,
        "slave" => Propagation::Slave,
        "shared" => Propagation::Shared,
        "unbindable" => Propagation::Unbindable,
        _ => {
            return Err(bad(
                "linux.rootfsPropagation",
                &format!("{word:?} is none of private, slave, shared, unbindable"),
            ));
        }
    };
    // Private is what every mount of the container is, unless it says something else.
    let step = Step::RootPropagation { propagation, recursive: word.starts_with('r') };
    Ok((propagation != Propagation::Private).then_some(step))
}

/// The steps of one mount.
pub(super) fn steps(index: usize, mount: &Mount, context: &Context, steps: &mut Vec<Step>) -> Result<()> {
    let field = |name: &str| format!("mounts[{index}].{name}");
    let target = checked_path(&field("destination"), mount.destination())?;
    let kind = mount.typ().as_deref().unwrap_or("none");
    let options = sort(mount.options().as_deref().unwrap_or_default());
    let is_bind = kind == "bind" || options.bind.is_some();
    let map = idmap::of(index, mount, &options, is_bind, !context.host_user)?;
    if is_bind {
        steps.push(bind(&field("source"), mount, target, (&options, map), context)?);
        return Ok(());
    }
    let filesystem = match kind {
        "cgroup" => "cgroup2",
        "proc" | "sysfs" | "tmpfs" | "devpts" | "mqueue" | "cgroup2" => kind,
        "none" => return Err(bad(&field("type"), "is \"none\", which needs bind or rbind among the options")),
        other if context.host_user => other,
        other => {
            return Err(bad(&field("type"), &format!("{other:?} is no file system that a user namespace can mount")));
        }
    };
    if options.copy_up && filesystem != "tmpfs" {
        return Err(bad(&field("options"), &format!("has tmpcopyup, which is for tmpfs and not for {filesystem}")));
    }
    let Options { attributes, data, propagation, copy_up, .. } = options;
    check_data(&field("options"), filesystem, &data)?;
    let data = labelled(data, filesystem, context.label.as_deref());
    let fallback_bind = match filesystem {
        "proc" => Some(PathBuf::from("/proc")),
        "sysfs" => Some(PathBuf::from("/sys")),
        "cgroup2" => Some(PathBuf::from("/sys/fs/cgroup")),
        _ => None,
    };
    let is_dev = target == Path::new("/dev");
    let source = mount.source().as_ref().map_or_else(|| kind.to_owned(), |path| path.to_string_lossy().into_owned());
    let propagation = propagation.filter(|propagation| *propagation != Propagation::Private);
    let filesystem = filesystem.to_owned();
    steps.push(Step::Mount {
        filesystem,
        source,
        target,
        attributes,
        options: data,
        fallback_bind,
        propagation,
        copy_up,
    });
    if is_dev {
        devices::defaults(&context.devices, context.host_user, steps);
    }
    Ok(())
}

/// linux.mountLabel is for file systems that keep no labels of their own; a machine without SELinux passes over the option.
fn labelled(
    mut data: Vec<(String, Option<String>)>,
    filesystem: &str,
    label: Option<&str>,
) -> Vec<(String, Option<String>)> {
    let takes = !matches!(filesystem, "proc" | "sysfs" | "cgroup2" | "mqueue");
    if let Some(label) = label.filter(|_| takes && !data.iter().any(|(key, _)| key == LABEL)) {
        data.push((LABEL.to_owned(), Some(label.to_owned())));
    }
    data
}

fn bind(
    field: &str,
    mount: &Mount,
    target: PathBuf,
    (options, idmap): (&Options, Option<MountMap>),
    context: &Context,
) -> Result<Step> {
    let source = mount.source().clone().ok_or_else(|| bad(field, "is missing"))?;
    if !source.is_absolute() {
        return Err(bad(field, &format!("{} is not absolute", source.display())));
    }
    let extra = context.volumes.iter().find(|extra| extra.target == target);
    Ok(Step::Bind {
        copy: extra.is_some_and(|extra| extra.copy),
        owner: extra.filter(|extra| extra.chown).map(|_| context.user.clone()),
        beneath: extra.and_then(|extra| extra.beneath.clone()),
        idmap,
        source,
        target,
        recursive: options.bind.unwrap_or(true),
        attributes: options.attributes,
        deep: options.deep,
        propagation: options.propagation.unwrap_or(Propagation::Private),
        // rl's own volumes never say both: a directory is bound with all below it, or without `dev`.
        device: !context.exact
            && options.bind == Some(false)
            && mount.options().iter().flatten().any(|word| word == "dev"),
    })
}

/// An option that the file system does not know would only be told by the kernel as EINVAL, without its name.
fn check_data(field: &str, filesystem: &str, data: &[(String, Option<String>)]) -> Result<()> {
    let known: &[&str] = match filesystem {
        "tmpfs" => {
            &["size", "mode", "nr_inodes", "nr_blocks", "uid", "gid", "huge", "mpol", "inode32", "inode64", "noswap"]
        }
        "devpts" => &["newinstance", "ptmxmode", "mode", "uid", "gid", "max"],
        "proc" => &["hidepid", "gid", "subset"],
        "cgroup2" => &["nsdelegate", "memory_localevents", "memory_recursiveprot"],
        "sysfs" | "mqueue" => &[],
        // Only root of the machine comes here; what such a file system knows, the kernel says.
        _ => return Ok(()),
    };
    let known = |key: &str| known.contains(&key) || SUPERBLOCK.contains(&key) || key.ends_with("context");
    match data.iter().find(|(key, _)| !known(key)) {
        Some((key, _)) => Err(bad(field, &format!("has {key:?}, which is no option of {filesystem}"))),
        None => Ok(()),
    }
}
