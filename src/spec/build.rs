//! RunSpec + ImageConfig + Ids -> OCI runtime `Spec`.
//!
//! Pure; podman's values throughout. The surprise: the default seccomp profile is not written into the specification of a run
//! (it has hundreds of names, and the compiled program is cached); `document` does that for `--plan=oci`.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use oci_spec::runtime::{
    Capabilities, Linux, LinuxBuilder, LinuxCapabilitiesBuilder, LinuxIdMapping, LinuxIdMappingBuilder,
    LinuxNamespaceBuilder, LinuxNamespaceType, LinuxPersonality, LinuxTimeOffsetBuilder, PosixRlimit,
    PosixRlimitBuilder, PosixRlimitType, Process, ProcessBuilder, RootBuilder, Spec, SpecBuilder, UserBuilder,
};
use subid::IdMap;

use super::network::{self, Guard, Network, Publish, Wiring};
use super::networks::Joining;
use super::resources::Cgroups;
use super::{
    Extras, Facts, Identity, Ids, ImageConfig, RunSpec, SeccompChoice, Source, UserNs, capabilities, environment,
    files, made, mounts, ports,
};
use crate::error::{Context, Error, Result, catalog::command_line, catalog::ids as id_codes, catalog::state};

/// The first version that has all that is said here: time namespaces, defaultErrnoRet. Not the newest, because Debian 12's crun
/// reads nothing above 1.1.
const VERSION: &str = "1.1.0";

/// podman 5's twelve.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/dev/block",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/selinux",
];
/// podman 5's six.
const READ_ONLY: [&str; 6] = ["/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Makes the specification and what it has no word for.
///
/// # Errors
/// No command at all; unknown capabilities; ids that are not the caller's.
pub fn build(
    run: &RunSpec,
    image: &ImageConfig,
    ids: &Ids,
    identity: &Identity,
    facts: &Facts,
) -> Result<(Spec, Extras)> {
    let wiring = wiring(run, image, identity, facts);
    let extras = Extras {
        volumes: mounts::extras(run),
        user: user(run, image, ids),
        group_add: run.group_add.clone(),
        keep_groups: run.keep_groups,
        preserve_fds: run.preserve_fds,
        init: run.init,
        seccomp: if run.privileged && run.seccomp == SeccompChoice::Default {
            SeccompChoice::Unconfined
        } else {
            run.seccomp.clone()
        },
        interactive: run.interactive,
        home_given: run.env.iter().any(|(name, _)| name == "HOME")
            || image.env.iter().any(|pair| pair.starts_with("HOME=")),
        bundle: None,
        emulators: Vec::new(),
        wiring,
        cgroups: Cgroups { detached: run.detach || run.cgroups.detached, ..run.cgroups.clone() },
    };
    let builder = SpecBuilder::default()
        .version(VERSION)
        .process(process(run, image, identity, facts, &extras.user)?)
        .root(made(RootBuilder::default().path(root_path(run)).readonly(run.read_only).build())?)
        .mounts(mounts::mounts(run, ids, identity, facts)?)
        .annotations(annotations(run, image))
        .linux(linux(run, ids, facts)?);
    let mut spec = made(builder.build())?;
    // The builder has a default name, and a name without a UTS namespace of the container's own would be the host's.
    spec.set_domainname(run.domainname.clone());
    spec.set_hostname((!run.share.uts).then(|| files::hostname(run, identity, facts)));
    Ok((spec, extras))
}

/// `-u`, else with keep-id the caller, as podman has it, else the image's own.
fn user(run: &RunSpec, image: &ImageConfig, ids: &Ids) -> String {
    let kept = matches!(run.userns, UserNs::KeepId { .. })
        .then(|| Some(format!("{}:{}", ids.uid.inside(0)?, ids.gid.inside(0)?)));
    run.user.clone().or(kept.flatten()).unwrap_or_else(|| image.user.clone())
}

fn root_path(run: &RunSpec) -> PathBuf {
    match &run.source {
        Source::Directory { path, .. } => path.clone(),
        Source::Image(_) => PathBuf::from("rootfs"),
    }
}

fn process(run: &RunSpec, image: &ImageConfig, identity: &Identity, facts: &Facts, user: &str) -> Result<Process> {
    let sets = capabilities::resolve(&run.cap_add, &run.cap_drop, run.privileged)?;
    let set = |names: &[&str]| -> Result<Capabilities> {
        let parse = |name: &&str| name.parse().context(&state::INTERNAL, || format!("name the capability {name}"));
        names.iter().map(parse).collect::<Result<HashSet<_>>>()
    };
    let (bounding, ambient) = (set(&sets.bounding)?, set(&sets.ambient)?);
    let sets = LinuxCapabilitiesBuilder::default()
        .bounding(bounding.clone())
        .effective(bounding.clone())
        .permitted(bounding)
        .inheritable(HashSet::new())
        .ambient(if is_root(user) { HashSet::new() } else { ambient });
    let cwd = [run.workdir.as_deref().unwrap_or_default(), &image.working_dir, "/"];
    let cwd = cwd.into_iter().find(|path| !path.is_empty()).unwrap_or("/");
    let pairs = environment::variables(run, &image.env, Some(&files::hostname(run, identity, facts)));
    let builder = ProcessBuilder::default()
        .terminal(run.tty)
        .user(made(UserBuilder::default().uid(numeric(user).0).gid(numeric(user).1).umask(run.umask).build())?)
        .args(args(run, image)?)
        .env(pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>())
        .cwd(cwd)
        .capabilities(made(sets.build())?)
        .rlimits(run.ulimits.iter().map(limit).collect::<Result<Vec<_>>>()?)
        .no_new_privileges(run.no_new_privileges);
    let mut process = made(builder.build())?;
    process.set_oom_score_adj(run.oom_score_adj);
    Ok(process)
}

fn is_root(user: &str) -> bool {
    matches!(user.split(':').next(), Some("" | "0" | "root"))
}

/// The numbers of `UID[:GID]`; what is a name is looked up inside and 0 here.
fn numeric(user: &str) -> (u32, u32) {
    let (uid, gid) = user.split_once(':').unwrap_or((user, ""));
    (uid.parse().unwrap_or(0), gid.parse().unwrap_or(0))
}

fn args(run: &RunSpec, image: &ImageConfig) -> Result<Vec<String>> {
    let mut args = run.entrypoint.clone().unwrap_or_else(|| image.entrypoint.clone());
    if !run.command.is_empty() {
        args.extend(run.command.iter().cloned());
    } else if run.entrypoint.is_none() {
        // An entrypoint of the command line makes the image's Cmd meaningless, as in docker.
        args.extend(image.cmd.iter().cloned());
    }
    if args.is_empty() {
        return Err(Error::new(&command_line::USAGE, "no command was given and the image names none")
            .fix("Give the command behind the image: rl run IMAGE sh"));
    }
    Ok(args)
}

fn limit(limit: &super::Ulimit) -> Result<PosixRlimit> {
    let name = format!("RLIMIT_{}", limit.name.to_uppercase());
    let kind: PosixRlimitType = serde_json::from_value(serde_json::Value::String(name))
        .map_err(|_| Error::new(&command_line::USAGE, format!("--ulimit: there is no limit {:?}", limit.name)))?;
    made(PosixRlimitBuilder::default().typ(kind).soft(limit.soft).hard(limit.hard).build())
}

fn annotations(run: &RunSpec, image: &ImageConfig) -> HashMap<String, String> {
    let mut all: HashMap<_, _> = image.labels.iter().chain(&run.labels).chain(&run.annotations).cloned().collect();
    // Where image-spec's conversion.md puts it.
    if let Some(signal) = run.stop_signal.map(|signal| signal.to_string()).or_else(|| image.stop_signal.clone()) {
        all.insert("org.opencontainers.image.stopSignal".into(), signal);
    }
    all
}

fn linux(run: &RunSpec, ids: &Ids, facts: &Facts) -> Result<Linux> {
    let mut kinds = vec![LinuxNamespaceType::User, LinuxNamespaceType::Mount];
    let own = [
        (run.share.uts, LinuxNamespaceType::Uts),
        (run.share.ipc, LinuxNamespaceType::Ipc),
        (run.share.pid, LinuxNamespaceType::Pid),
        (run.share.network, LinuxNamespaceType::Network),
        (run.share.cgroup, LinuxNamespaceType::Cgroup),
    ];
    kinds.extend(own.into_iter().filter_map(|(shared, kind)| (!shared).then_some(kind)));
    if run.time_offset.is_some() {
        kinds.push(LinuxNamespaceType::Time);
    }
    let mut namespaces = kinds
        .into_iter()
        .map(|kind| made(LinuxNamespaceBuilder::default().typ(kind).build()))
        .collect::<Result<Vec<_>>>()?;
    if let Some(path) = &facts.network_namespace {
        let joined = LinuxNamespaceBuilder::default().typ(LinuxNamespaceType::Network).path(path.clone());
        namespaces.push(made(joined.build())?);
    }
    let offset = |seconds| made(LinuxTimeOffsetBuilder::default().secs(seconds).build());
    let (masked, read_only) = hidden(run);
    let mut builder = LinuxBuilder::default()
        .uid_mappings(mappings(&ids.uid, &ids.base_uid)?)
        .gid_mappings(mappings(&ids.gid, &ids.base_gid)?)
        .namespaces(namespaces)
        .masked_paths(masked)
        .readonly_paths(read_only);
    let sysctls = sysctls(run, ids, facts);
    if !sysctls.is_empty() {
        builder = builder.sysctl(sysctls);
    }
    if let Some((monotonic, boottime)) = run.time_offset {
        let clocks = [("monotonic".to_owned(), offset(monotonic)?), ("boottime".to_owned(), offset(boottime)?)];
        builder = builder.time_offsets(HashMap::from(clocks));
    }
    let mut linux = made(builder.build())?;
    if let Some(domain) = &run.personality {
        linux.set_personality(Some(personality(domain)?));
    }
    // The builder's defaults are a whole system's; ours are said elsewhere.
    linux.set_resources(run.resources.document()?).set_devices(None).set_cgroups_path(None);
    Ok(linux)
}

fn personality(domain: &str) -> Result<LinuxPersonality> {
    let parsed = serde_json::from_value(serde_json::json!({ "domain": domain }));
    parsed.map_err(|_| Error::new(&command_line::USAGE, format!("--personality {domain:?}: expected LINUX or LINUX32")))
}

/// Congestion controls that need no advice: they take all that a way without losses gives. Every kernel has the first.
const PLAIN: [&str; 2] = ["reno", "cubic"];

/// Whatever the user says, and ping for every group of the container, so that it needs no capability (ICMP sockets, icmp(7)).
/// Without a network there is nothing to ping.
///
/// The way from the container to slirp4netns or pasta loses nothing, and the connection that leaves the host is theirs, with the host's
/// congestion control. One that paces (bbr) is a sixth as fast on the first (docs/architecture.md).
fn sysctls(run: &RunSpec, ids: &Ids, facts: &Facts) -> HashMap<String, String> {
    let mut all = HashMap::new();
    let last = ids.gid.extents().iter().map(|extent| extent.inside + (extent.count - 1)).max().unwrap_or(0);
    if run.network != Network::None && !run.network.is_shared() {
        all.insert("net.ipv4.ping_group_range".to_owned(), format!("0 {last}"));
    }
    if run.network.is_proxied() && !facts.congestion_control.is_empty() && !PLAIN.contains(&&*facts.congestion_control)
    {
        all.insert("net.ipv4.tcp_congestion_control".to_owned(), PLAIN[0].to_owned());
    }
    all.extend(run.sysctls.iter().cloned());
    all
}

/// The ports of `-p`, and with `-P` those of the image that are not among them.
fn wiring(run: &RunSpec, image: &ImageConfig, identity: &Identity, facts: &Facts) -> Wiring {
    let mut ports = run.publish.clone();
    if run.publish_all {
        for port in image.exposed_ports.iter().filter_map(|word| ports::exposed(word)) {
            let same = |one: &Publish| one.container == port.container && one.protocol == port.protocol;
            if !ports.iter().any(same) {
                ports.push(port);
            }
        }
    }
    let guard = run.egress.as_ref().filter(|_| run.is_guarded()).map(|egress| Guard {
        egress: egress.clone(),
        resolvers: network::resolvers(run, facts).iter().filter_map(|word| word.parse().ok()).collect(),
        peers: network::knows_peers(run, facts),
        sysctls: Vec::new(),
    });
    let memberships = if let Network::Named(all) = &run.network { all.as_slice() } else { &[] };
    let places: Vec<_> = memberships.iter().zip(&facts.networks).collect();
    let networks = Joining::all(&places, &identity.id, &identity.name);
    Wiring { network: run.network.clone(), ports, guard, networks }
}

/// Paths that are masked, and those that are read-only.
pub fn hidden(run: &RunSpec) -> (Vec<String>, Vec<String>) {
    let bare = run.privileged || run.unmask.iter().any(|path| path.eq_ignore_ascii_case("all"));
    let kept = |list: &[&str]| -> Vec<String> {
        list.iter()
            .filter(|path| !bare && !run.unmask.iter().any(|open| open == *path))
            .map(|&path| path.to_owned())
            .collect()
    };
    let mut masked = kept(&MASKED);
    if run.is_guarded() && !bare {
        // Of the host's /sys, which stands in for a fresh one.
        masked.extend(kept(&["/sys/class/net", "/sys/devices/virtual/net"]));
    }
    masked.extend(run.mask.iter().cloned());
    (masked, kept(&READ_ONLY))
}

/// As the caller sees them: the container's ids through the base namespace.
fn mappings(map: &IdMap, base: &IdMap) -> Result<Vec<LinuxIdMapping>> {
    let map = map.through(base).context(&id_codes::BAD_ID_MAP, || "say the id map in the caller's ids".into())?;
    let mapping = |extent: &subid::Extent| {
        made(
            LinuxIdMappingBuilder::default()
                .container_id(extent.inside)
                .host_id(extent.outside)
                .size(extent.count)
                .build(),
        )
    };
    map.extents().iter().map(mapping).collect()
}
