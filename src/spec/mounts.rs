//! The mounts of a container, podman's: what every container has, what shared namespaces change, the user's volumes.
//!
//! Pure. The surprise: a volume takes the place of the mount that a container would have there, and all mounts are sorted by
//! depth, so that `-v /dev:/dev` still leaves the container a devpts of its own, in which its terminal is made.

use std::path::Path;

use oci_spec::runtime::{Mount, MountBuilder};

use super::{BindOptions, Facts, Identity, Ids, RunSpec, Volume, VolumeExtra};
use crate::error::{Context, Result, catalog::state};

/// In the order in which they are mounted.
pub(super) fn mounts(run: &RunSpec, ids: &Ids, identity: &Identity, facts: &Facts) -> Result<Vec<Mount>> {
    let mut list = own(run, ids, identity, facts)?;
    list.retain(|mount| !is_covered(run, mount.destination()));
    for device in &run.devices {
        let access = if device.read_only { "ro" } else { "rw" };
        // `bind` together with `dev` is what the plan knows a device by: it is checked to be one.
        list.push(bind(&device.source, &device.target, &format!("bind,dev,{access},nosuid,noexec"))?);
    }
    for one in &run.volumes {
        list.push(volume(one)?);
    }
    // A mount inside another one must come after it, however they were given. The sort is stable.
    list.sort_by_key(|mount| mount.destination().components().count());
    Ok(list)
}

/// What a container has without being asked.
fn own(run: &RunSpec, ids: &Ids, identity: &Identity, facts: &Facts) -> Result<Vec<Mount>> {
    let mut list = vec![proc(run)?, mount("tmpfs", "/dev", "nosuid,strictatime,mode=755,size=65536k")?];
    list.push(sys(run)?);
    // gid 5 is tty in every distribution; where it is not mapped, as with a single id, devpts would refuse it.
    let tty = if ids.gid.outside(5).is_some() { ",gid=5" } else { "" };
    list.push(mount("devpts", "/dev/pts", &format!("nosuid,noexec,newinstance,ptmxmode=0666,mode=0620{tty}"))?);
    if run.share.ipc {
        if facts.host_mqueue {
            list.push(bind(Path::new("/dev/mqueue"), Path::new("/dev/mqueue"), "rbind,rnosuid,rnoexec,rnodev")?);
        }
        list.push(bind(Path::new("/dev/shm"), Path::new("/dev/shm"), "rbind,rnosuid,rnoexec,rnodev")?);
    } else {
        list.push(mount("mqueue", "/dev/mqueue", "nosuid,noexec,nodev")?);
        list.push(mount("tmpfs", "/dev/shm", &format!("nosuid,noexec,nodev,mode=1777,size={}", run.shm_size))?);
    }
    if facts.unified_cgroup {
        // Writable is what is below the container's own group: at its namespace's root the kernel refuses limits (nsdelegate).
        let access = if run.privileged || run.cgroups.delegated { "rw" } else { "ro" };
        list.push(mount("cgroup2", "/sys/fs/cgroup", &format!("{access},nosuid,noexec,nodev"))?);
    }
    if run.systemd {
        list.push(mount("tmpfs", "/run", "nosuid,nodev,mode=755")?);
        list.push(mount("tmpfs", "/run/lock", "nosuid,nodev,noexec,mode=1777,size=5120k")?);
        list.push(mount("tmpfs", "/tmp", "nosuid,nodev,mode=1777")?);
    }
    if run.read_only && !run.bare_read_only {
        for target in ["/run", "/tmp", "/var/tmp"].into_iter().filter(|target| !run.systemd || *target == "/var/tmp") {
            list.push(mount("tmpfs", target, "nosuid,nodev,mode=1777")?);
        }
    }
    for file in run.etc.made() {
        let target = Path::new("/etc").join(file);
        list.push(bind(&identity.dir.join(file), &target, "bind,nosuid,nodev,noexec")?);
    }
    if let Some(zone) = &run.etc.localtime {
        list.push(bind(zone, Path::new("/etc/localtime"), "bind,ro,nosuid,nodev,noexec")?);
    }
    Ok(list)
}

/// A volume on the very place replaces ours; below a volume ours would make its mount point in the user's own directory. What is
/// below /dev stays: without its devpts a container has no terminal of its own.
fn is_covered(run: &RunSpec, path: &Path) -> bool {
    let covers = |target: &Path| target == path || (path.starts_with(target) && target != Path::new("/dev"));
    run.volumes.iter().any(|volume| covers(volume.target()))
}

fn proc(run: &RunSpec) -> Result<Mount> {
    if run.share.pid {
        return bind(Path::new("/proc"), Path::new("/proc"), "rbind,rnosuid,rnoexec,rnodev");
    }
    mount("proc", "/proc", "nosuid,noexec,nodev")
}

fn sys(run: &RunSpec) -> Result<Mount> {
    // A fresh sysfs shows the network namespace's devices and is refused to who does not own that namespace.
    if run.share.network || run.is_guarded() {
        return bind(Path::new("/sys"), Path::new("/sys"), "rbind,rro,rnosuid,rnoexec,rnodev");
    }
    let access = if run.privileged { "rw" } else { "ro" };
    mount("sysfs", "/sys", &format!("{access},nosuid,noexec,nodev"))
}

fn volume(volume: &Volume) -> Result<Mount> {
    match volume {
        Volume::Bind { source, target, options } => bind(source, target, &words(options)),
        Volume::Named { target, options, memory: Some(memory), .. } => {
            let own = [
                (options.read_only, "ro"),
                (options.noexec, "noexec"),
                (!options.nosuid, "suid"),
                (!options.nodev, "dev"),
            ];
            let own = own.iter().filter(|(on, _)| *on).map(|(_, word)| (*word).to_owned());
            tmpfs(target, &memory.iter().cloned().chain(own).collect::<Vec<_>>())
        }
        Volume::Named { source, target, options, subpath, .. } => {
            let part = subpath.as_ref().map(|part| source.join(part.strip_prefix("/").unwrap_or(part)));
            bind(part.as_ref().unwrap_or(source), target, &words(options))
        }
        Volume::Image { source, target, .. } => {
            bind(source, target, &words(&BindOptions { read_only: true, ..BindOptions::default() }))
        }
        Volume::Tmpfs { target, options } => tmpfs(target, options),
    }
}

fn tmpfs(target: &Path, options: &[String]) -> Result<Mount> {
    let mut words = vec!["nosuid", "nodev"];
    if !options.iter().any(|option| option.starts_with("mode=")) {
        words.push("mode=1777");
    }
    words.extend(options.iter().map(String::as_str));
    mount("tmpfs", &target.to_string_lossy(), &words.join(","))
}

/// A volume that is read-only is so with all that is mounted below it: the words with an `r` in front.
fn words(options: &BindOptions) -> String {
    let BindOptions { read_only, recursive, propagation, nosuid, nodev, noexec, chown: _ } = options;
    let all = if *recursive { "r" } else { "" };
    let mut words = vec![format!("{all}bind")];
    words.push(if *read_only { format!("{all}ro") } else { "rw".to_owned() });
    words.push(propagation.clone());
    let flags = [(*nosuid, "nosuid"), (*nodev, "nodev"), (*noexec, "noexec")];
    words.extend(flags.iter().filter(|(on, _)| *on).map(|(_, word)| format!("{all}{word}")));
    words.join(",")
}

/// What is done with volumes before they are mounted.
pub(super) fn extras(run: &RunSpec) -> Vec<VolumeExtra> {
    let extra = |volume: &Volume| {
        let (copy, chown) = match volume {
            Volume::Bind { options, .. } => (false, options.chown),
            // It begins empty, and its words say whose it is.
            Volume::Named { memory: Some(_), .. } => (false, false),
            Volume::Named { options, copy, .. } => (*copy, options.chown),
            Volume::Image { .. } | Volume::Tmpfs { .. } => (false, false),
        };
        let beneath = match volume {
            Volume::Named { source, subpath: Some(_), .. } => Some(source.clone()),
            _ => None,
        };
        let target = volume.target().to_owned();
        (copy || chown || beneath.is_some()).then_some(VolumeExtra { target, copy, chown, beneath })
    };
    run.volumes.iter().filter_map(extra).collect()
}

fn mount(kind: &str, target: &str, words: &str) -> Result<Mount> {
    built(MountBuilder::default().typ(kind).source(kind).destination(target).options(split(words)))
}

fn bind(source: &Path, target: &Path, words: &str) -> Result<Mount> {
    built(MountBuilder::default().typ("bind").source(source).destination(target).options(split(words)))
}

fn split(words: &str) -> Vec<String> {
    words.split(',').map(str::to_owned).collect()
}

fn built(builder: MountBuilder) -> Result<Mount> {
    builder.build().context(&state::INTERNAL, || "make a mount of the specification".into())
}
