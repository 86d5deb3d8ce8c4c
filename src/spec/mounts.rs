//! The mounts of a container, podman's: what every container has, what shared namespaces change, the user's volumes. Pure.

use std::path::Path;

use oci_spec::runtime::{Mount, MountBuilder};

use super::{BindOptions, Facts, Identity, Ids, RunSpec, Volume};
use crate::error::{Context, Result, catalog::state};

/// In the order in which they are mounted.
pub(super) fn mounts(run: &RunSpec, ids: &Ids, identity: &Identity, facts: &Facts) -> Result<Vec<Mount>> {
    let mut list = vec![proc(run)?, mount("tmpfs", "/dev", "nosuid,strictatime,mode=755,size=65536k")?];
    list.push(sys(run)?);
    // gid 5 is tty in every distribution; where it is not mapped, as with a single id, devpts would refuse it.
    let tty = if ids.gid.outside(5).is_some() { ",gid=5" } else { "" };
    list.push(mount("devpts", "/dev/pts", &format!("nosuid,noexec,newinstance,ptmxmode=0666,mode=0620{tty}"))?);
    if run.share.ipc {
        if facts.host_mqueue {
            list.push(bind(Path::new("/dev/mqueue"), Path::new("/dev/mqueue"), "rbind,nosuid,noexec,nodev")?);
        }
        list.push(bind(Path::new("/dev/shm"), Path::new("/dev/shm"), "rbind,nosuid,noexec,nodev")?);
    } else {
        list.push(mount("mqueue", "/dev/mqueue", "nosuid,noexec,nodev")?);
        list.push(mount("tmpfs", "/dev/shm", &format!("nosuid,noexec,nodev,mode=1777,size={}", run.shm_size))?);
    }
    if facts.unified_cgroup {
        let access = if run.privileged { "rw" } else { "ro" };
        list.push(mount("cgroup2", "/sys/fs/cgroup", &format!("{access},nosuid,noexec,nodev"))?);
    }
    if run.read_only {
        for target in ["/run", "/tmp", "/var/tmp"].into_iter().filter(|target| !is_covered(run, target)) {
            list.push(mount("tmpfs", target, "nosuid,nodev,mode=1777")?);
        }
    }
    for file in ["hosts", "hostname", "resolv.conf"] {
        let target = format!("/etc/{file}");
        if !is_covered(run, &target) {
            list.push(bind(&identity.dir.join(file), Path::new(&target), "bind,nosuid,nodev,noexec")?);
        }
    }
    for device in &run.devices {
        let access = if device.read_only { "ro" } else { "rw" };
        list.push(bind(&device.source, &device.target, &format!("bind,device,{access},nosuid,noexec"))?);
    }
    let mut volumes: Vec<_> = run.volumes.iter().collect();
    // A volume inside another one must be mounted after it, however they were given.
    volumes.sort_by_key(|volume| target(volume).components().count());
    for one in volumes {
        list.push(volume(one)?);
    }
    Ok(list)
}

fn proc(run: &RunSpec) -> Result<Mount> {
    if run.share.pid {
        return bind(Path::new("/proc"), Path::new("/proc"), "rbind,nosuid,noexec,nodev");
    }
    mount("proc", "/proc", "nosuid,noexec,nodev")
}

fn sys(run: &RunSpec) -> Result<Mount> {
    // A fresh sysfs shows the network namespace's devices and is refused to who does not own that namespace.
    if run.share.network {
        return bind(Path::new("/sys"), Path::new("/sys"), "rbind,ro,nosuid,noexec,nodev");
    }
    let access = if run.privileged { "rw" } else { "ro" };
    mount("sysfs", "/sys", &format!("{access},nosuid,noexec,nodev"))
}

fn volume(volume: &Volume) -> Result<Mount> {
    match volume {
        Volume::Bind { source, target, options } => bind(source, target, &words(options)),
        Volume::Tmpfs { target, options } => {
            let mut words = String::from("nosuid,nodev,mode=1777");
            for option in options {
                words.push(',');
                words.push_str(option);
            }
            mount("tmpfs", &target.to_string_lossy(), &words)
        }
    }
}

fn words(options: &BindOptions) -> String {
    let BindOptions { read_only, recursive, propagation, nosuid, nodev, noexec } = options;
    let mut words = vec![if *recursive { "rbind" } else { "bind" }, if *read_only { "ro" } else { "rw" }, propagation];
    words.extend(
        [(*nosuid, "nosuid"), (*nodev, "nodev"), (*noexec, "noexec")]
            .iter()
            .filter_map(|(on, word)| on.then_some(*word)),
    );
    words.join(",")
}

fn target(volume: &Volume) -> &Path {
    match volume {
        Volume::Bind { target, .. } | Volume::Tmpfs { target, .. } => target,
    }
}

fn is_covered(run: &RunSpec, path: &str) -> bool {
    run.volumes.iter().any(|volume| target(volume) == Path::new(path))
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
