//! `HostConfig` and `Mounts`: what was asked for of the machine, in docker's words.
//!
//! The surprise: docker's names of modes are kept where `rl` does the same, so that a private namespace is `private`, and the empty word
//! where docker has that for its default.

use serde_json::{Map, Value, json};

use super::network;
use crate::spec::resources::{RateKind, Resources};
use crate::spec::{RunSpec, SeccompChoice, UserNs, Volume};
use crate::state::Container;

pub(super) fn host_config(container: &Container) -> Value {
    let run = &container.record.run;
    let host = |shared: bool| if shared { "host" } else { "private" };
    let mut log = Map::new();
    if let Some(size) = run.log.max_size {
        log.insert("max-size".into(), size.to_string().into());
        log.insert("max-file".into(), run.log.max_files.to_string().into());
    }
    let mut config = json!({
        "Binds": binds(container),
        "ContainerIDFile": run.cidfile.as_ref().map_or_else(String::new, |path| path.display().to_string()),
        "NetworkMode": network::mode(container),
        "PortBindings": network::bindings(&run.publish),
        "PublishAllPorts": run.publish_all,
        "LogConfig": { "Type": run.log.driver(), "Config": log },
        "RestartPolicy": { "Name": run.restart.name(), "MaximumRetryCount": run.restart.most() },
        "AutoRemove": run.remove,
        "CapAdd": run.cap_add,
        "CapDrop": run.cap_drop,
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
        "GroupAdd": run.group_add,
        "IpcMode": host(run.share.ipc),
        "PidMode": if run.share.pid { "host" } else { "" },
        "UTSMode": if run.share.uts { "host" } else { "" },
        "CgroupnsMode": host(run.share.cgroup),
        "Privileged": run.privileged,
        "ReadonlyRootfs": run.read_only,
        "Init": run.init,
        "ShmSize": run.shm_size,
        "Ulimits": run.ulimits.iter().map(|limit| json!({ "Name": limit.name, "Soft": limit.soft, "Hard": limit.hard })).collect::<Vec<_>>(),
    });
    if let (Value::Object(config), Value::Object(limits)) = (&mut config, limits(&run.resources)) {
        config.extend(limits);
    }
    config
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
        "BlkioDeviceReadBps": rates(RateKind::ReadBytes),
        "BlkioDeviceWriteBps": rates(RateKind::WriteBytes),
        "BlkioDeviceReadIOps": rates(RateKind::ReadOperations),
        "BlkioDeviceWriteIOps": rates(RateKind::WriteOperations),
    })
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
        let source = text("Name").or_else(|| text("Source"))?;
        let mode = if mount["RW"] == json!(true) { "rw" } else { "ro" };
        (text("Type") != Some("tmpfs")).then(|| format!("{source}:{}:{mode}", text("Destination").unwrap_or_default()))
    };
    mounts(container).iter().filter_map(bind).collect()
}

pub(in crate::cli::container) fn mounts(container: &Container) -> Vec<Value> {
    let run = &container.record.run;
    let mut all = Vec::new();
    for volume in &run.volumes {
        if let Volume::Bind { source, target, options } = volume {
            all.push(json!({
                "Type": "bind",
                "Source": source.display().to_string(),
                "Destination": target.display().to_string(),
                "Mode": "",
                "RW": !options.read_only,
                "Propagation": options.propagation,
            }));
        }
        if let Volume::Named { name, source, target, options, .. } = volume {
            all.push(json!({
                "Type": "volume",
                "Name": name,
                "Driver": "local",
                "Source": source.display().to_string(),
                "Destination": target.display().to_string(),
                "Mode": "",
                "RW": !options.read_only,
                "Propagation": "",
            }));
        }
    }
    all
}
