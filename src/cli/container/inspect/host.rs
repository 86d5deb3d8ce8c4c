//! `HostConfig` and `Mounts`: what was asked for of the machine, in docker's words.
//!
//! The surprise: docker's names of modes are kept where `rl` does the same, so that a private namespace is `private`, and the empty word
//! where docker has that for its default.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::network;
use crate::spec::build::hidden;
use crate::spec::resources::{RateKind, Resources};
use crate::spec::{BindOptions, RunSpec, SeccompChoice, UserNs, Volume};
use crate::state::Container;

pub(super) fn host_config(container: &Container) -> Value {
    let run = &container.record.run;
    let host = |shared: bool| if shared { "host" } else { "private" };
    let mut log = Map::new();
    if let Some(size) = run.log.max_size {
        log.insert("max-size".into(), size.to_string().into());
        log.insert("max-file".into(), run.log.max_files.to_string().into());
    }
    let (masked, read_only) = hidden(run);
    let mut config = json!({
        "Binds": binds(container),
        "ContainerIDFile": run.cidfile.as_ref().map_or_else(String::new, |path| path.display().to_string()),
        "NetworkMode": network::mode(container),
        "PortBindings": network::bindings(&run.publish),
        "PublishAllPorts": run.publish_all,
        "LogConfig": { "Type": run.log.driver(), "Config": log },
        "RestartPolicy": { "Name": run.restart.name(), "MaximumRetryCount": run.restart.most() },
        "AutoRemove": run.remove,
        "CapAdd": capabilities(&run.cap_add),
        "CapDrop": capabilities(&run.cap_drop),
        "CgroupParent": run.cgroups.parent.clone().unwrap_or_default(),
        "Dns": run.dns,
        "DnsOptions": run.dns_option,
        "DnsSearch": run.dns_search,
        "VolumesFrom": null,
        "VolumeDriver": "",
        "Links": null,
        "Devices": run.devices.iter().map(device).collect::<Vec<_>>(),
        "SecurityOpt": security(run),
        "Sysctls": run.sysctls.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect::<Map<_, Value>>(),
        "Tmpfs": tmpfs(run),
        "UsernsMode": userns(&run.userns),
        "Runtime": "rl",
        "OomScoreAdj": run.oom_score_adj.unwrap_or(0),
        "ExtraHosts": run.add_hosts.iter().map(|(name, ip)| format!("{name}:{ip}")).collect::<Vec<_>>(),
        "GroupAdd": groups(run),
        "IpcMode": host(run.share.ipc),
        "PidMode": if run.share.pid { "host" } else { "" },
        "UTSMode": if run.share.uts { "host" } else { "" },
        "CgroupnsMode": host(run.share.cgroup),
        "Privileged": run.privileged,
        "ReadonlyRootfs": run.read_only,
        "Init": run.init,
        "ShmSize": run.shm_size,
        "MaskedPaths": masked,
        "ReadonlyPaths": read_only,
        "Ulimits": run.ulimits.iter().map(|limit| json!({ "Name": limit.name, "Soft": limit.soft, "Hard": limit.hard })).collect::<Vec<_>>(),
    });
    config["Annotations"] = annotations(run);
    for more in [limits(&run.resources), idle()] {
        if let (Value::Object(config), Value::Object(more)) = (&mut config, more) {
            config.extend(more);
        }
    }
    config
}

/// What docker has, and what no kernel of today, or no Linux, or nobody here, does.
fn idle() -> Value {
    json!({
        "Cgroup": "",
        "ConsoleSize": [0, 0],
        "CpuCount": 0,
        "CpuPercent": 0,
        "CpuRealtimePeriod": 0,
        "CpuRealtimeRuntime": 0,
        "DeviceCgroupRules": null,
        "DeviceRequests": null,
        "IOMaximumBandwidth": 0,
        "IOMaximumIOps": 0,
        "Isolation": "",
        "KernelMemory": 0,
        "MemorySwappiness": null,
        "Mounts": [],
        "OomKillDisable": false,
        "StorageOpt": null,
    })
}

/// The kernel's, in microseconds.
const PERIOD: u64 = 100_000;

/// 0, or the empty word, is no limit.
fn limits(resources: &Resources) -> Value {
    let quota = resources.cpu_quota.unwrap_or(0);
    let period = resources.cpu_period.unwrap_or(if quota > 0 { PERIOD } else { 0 });
    // `--cpus` in docker's unit, of which it knows nothing but the quota here.
    let cpus = if quota > 0 { i128::from(quota) * 1_000_000_000 / i128::from(period.max(1)) } else { 0 };
    let rates = |kind: RateKind| -> Vec<Value> {
        let all = resources.devices.iter().filter(|one| one.kind == kind);
        all.map(|one| json!({ "Path": format!("{}:{}", one.device.0, one.device.1), "Rate": one.rate })).collect()
    };
    json!({
        "Memory": resources.memory.unwrap_or(0),
        "MemorySwap": resources.memory_swap.unwrap_or(0),
        "MemoryReservation": resources.memory_reservation.unwrap_or(0),
        "NanoCpus": i64::try_from(cpus).unwrap_or(0),
        "CpuQuota": quota,
        "CpuPeriod": period,
        "CpuShares": resources.cpu_shares.unwrap_or(0),
        "CpusetCpus": resources.cpuset_cpus.clone().unwrap_or_default(),
        "CpusetMems": resources.cpuset_mems.clone().unwrap_or_default(),
        "PidsLimit": resources.pids.unwrap_or(0),
        "BlkioWeight": resources.blkio_weight.unwrap_or(0),
        "BlkioWeightDevice": [],
        "BlkioDeviceReadBps": rates(RateKind::ReadBytes),
        "BlkioDeviceWriteBps": rates(RateKind::WriteBytes),
        "BlkioDeviceReadIOps": rates(RateKind::ReadOperations),
        "BlkioDeviceWriteIOps": rates(RateKind::WriteOperations),
    })
}

/// `net_admin` as the kernel calls it.
fn capabilities(typed: &[String]) -> Vec<String> {
    let full = |word: &String| {
        let word = word.to_uppercase();
        if word == "ALL" || word.starts_with("CAP_") { word } else { format!("CAP_{word}") }
    };
    typed.iter().map(full).collect()
}

fn device(device: &crate::spec::DeviceBind) -> Value {
    json!({
        "PathOnHost": device.source.display().to_string(),
        "PathInContainer": device.target.display().to_string(),
        "CgroupPermissions": if device.read_only { "r" } else { "rwm" },
    })
}

fn security(run: &RunSpec) -> Vec<String> {
    let mut all = Vec::new();
    match run.seccomp {
        SeccompChoice::Default => {}
        SeccompChoice::Unconfined => all.push("seccomp=unconfined".to_owned()),
        SeccompChoice::Profile(_) | SeccompChoice::Exact(_) => all.push("seccomp=profile".to_owned()),
    }
    if run.no_new_privileges {
        all.push("no-new-privileges".to_owned());
    }
    all.extend(run.mask.iter().map(|path| format!("mask={path}")));
    all.extend(run.unmask.iter().map(|path| format!("unmask={path}")));
    all
}

pub(super) fn annotations(run: &RunSpec) -> Value {
    Value::Object(run.annotations.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect())
}

fn groups(run: &RunSpec) -> Vec<String> {
    let kept = run.keep_groups.then(|| "keep-groups".to_owned());
    run.group_add.iter().cloned().chain(kept).collect()
}

fn tmpfs(run: &RunSpec) -> Map<String, Value> {
    let of = |volume: &Volume| match volume {
        Volume::Tmpfs { target, options } => Some((target.display().to_string(), options.join(",").into())),
        _ => None,
    };
    run.volumes.iter().filter_map(of).collect()
}

fn userns(mode: &UserNs) -> String {
    match mode {
        UserNs::Default => String::new(),
        UserNs::Full => "full".into(),
        UserNs::Single => "single".into(),
        UserNs::KeepId { .. } => "keep-id".into(),
        UserNs::Auto { .. } => "auto".into(),
        UserNs::NoMap => "nomap".into(),
        UserNs::Custom { .. } => "private".into(),
    }
}

/// As they could be typed again: a volume by its name.
fn binds(container: &Container) -> Vec<String> {
    let bind = |mount: &Value| {
        let text = |key: &str| mount[key].as_str();
        let mode = if mount["RW"] == json!(true) { "rw" } else { "ro" };
        let at = text("Destination").unwrap_or_default();
        (text("Type") != Some("image")).then(|| format!("{}:{at}:{mode}", source(mount)))
    };
    mounts(container).iter().filter_map(bind).collect()
}

/// A volume's name, or where it comes from.
pub(in crate::cli::container) fn source(mount: &Value) -> &str {
    let named = mount["Name"].as_str().filter(|name| !name.is_empty());
    named.or_else(|| mount["Source"].as_str()).unwrap_or_default()
}

/// Memory is none, as with podman; it is in `HostConfig.Tmpfs`.
pub(in crate::cli::container) fn mounts(container: &Container) -> Vec<Value> {
    container.record.run.volumes.iter().filter_map(mount).collect()
}

/// With every field that one of them has: docker's templates may ask each of them for a name.
fn mount(volume: &Volume) -> Option<Value> {
    let shown = |kind: &str, name: &str, source: String, target: &Path, options: Option<&BindOptions>| {
        json!({
            "Type": kind,
            "Name": name,
            "Driver": if kind == "volume" { "local" } else { "" },
            "Source": source,
            "Destination": target.display().to_string(),
            "Mode": "",
            "Options": options.map_or_else(|| vec!["ro".to_owned()], words),
            "RW": options.is_some_and(|options| !options.read_only),
            "Propagation": options.filter(|_| kind == "bind").map_or("", |options| options.propagation.as_str()),
        })
    };
    match volume {
        Volume::Bind { source, target, options } => {
            Some(shown("bind", "", source.display().to_string(), target, Some(options)))
        }
        Volume::Named { name, source, target, options, .. } => {
            Some(shown("volume", name, source.display().to_string(), target, Some(options)))
        }
        Volume::Image { name, target, .. } => Some(shown("image", "", name.clone(), target, None)),
        Volume::Tmpfs { .. } => None,
    }
}

/// podman's `Options`.
fn words(options: &BindOptions) -> Vec<String> {
    let all = [
        (options.nosuid, "nosuid"),
        (options.nodev, "nodev"),
        (options.noexec, "noexec"),
        (options.chown, "U"),
        (true, if options.recursive { "rbind" } else { "bind" }),
    ];
    all.into_iter().filter(|(is, _)| *is).map(|(_, word)| word.to_owned()).collect()
}
