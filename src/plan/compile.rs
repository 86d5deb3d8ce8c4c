//! Spec + Extras -> Plan: everything is checked here, once, and put into the order in which it must happen.
//!
//! Pure. The order is the kernel's doing more than ours: mounts before pivot_root, what needs /proc of the host before it is
//! gone, limits before the user (only root may raise), the filter before the capabilities go unless no_new_privs allows it
//! after them. The surprise: the six devices and the links of /dev are no mounts of the specification; they follow the mount
//! on /dev, as the runtime specification demands ("Default Devices").

use std::path::{Component, Path, PathBuf};

use oci_spec::runtime::{Capabilities, Linux, LinuxNamespaceType, Mount, Spec};

use super::options::{Options, sort};
use super::unsupported::{self, bad};
use super::{
    CapabilitySets, Clock, HostPlan, IdPlan, Namespace, Namespaces, Plan, Process, Propagation, RootSource, Step,
};
use crate::error::{Error, Result, catalog::rootfs};
use crate::spec::{Extras, Identity, Ids, SeccompChoice, Ulimit};

const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
const LINKS: [(&str, &str); 6] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/core", "/proc/kcore"),
    ("/dev/ptmx", "pts/ptmx"),
];

/// Checks and orders. Pure. `files` are written into the container's run directory before anything else.
///
/// # Errors
/// What the plan can't carry out, by the name of its field in config.json.
pub fn compile(
    spec: &Spec,
    extras: &Extras,
    ids: &Ids,
    identity: &Identity,
    root: &RootSource,
    run_root: &Path,
    files: Vec<(PathBuf, String)>,
) -> Result<Plan> {
    unsupported::check(spec)?;
    let process = spec.process().as_ref().ok_or_else(|| bad("process", "is missing"))?;
    let linux = spec.linux().as_ref().ok_or_else(|| bad("linux", "is missing"))?;
    let namespaces = namespaces(linux)?;
    let on = run_root.join("mnt");
    let mounts = spec.mounts().as_deref().unwrap_or_default();
    let mut steps = vec![Step::Isolate { propagation: outer_propagation(mounts) }, root_step(root, &on)];
    for (index, mount) in mounts.iter().enumerate() {
        mount_steps(index, mount, &mut steps)?;
    }
    let terminal = process.terminal().unwrap_or(false);
    if terminal {
        steps.push(Step::Terminal);
    }
    machine(spec, linux, &namespaces, &mut steps);
    let paths = |list: &Option<Vec<String>>| list.iter().flatten().map(PathBuf::from).collect::<Vec<_>>();
    let (read_only, masked) = (paths(linux.readonly_paths()), paths(linux.masked_paths()));
    if !read_only.is_empty() {
        steps.push(Step::ReadOnly { targets: checked("linux.readonlyPaths", read_only)? });
    }
    if !masked.is_empty() {
        steps.push(Step::Mask { targets: checked("linux.maskedPaths", masked)? });
    }
    steps.push(Step::PivotRoot { on });
    if spec.root().as_ref().is_some_and(|root| root.readonly().unwrap_or(false)) {
        steps.push(Step::RootReadOnly);
    }
    process_steps(process, extras, ids, &mut steps)?;
    Ok(Plan {
        id: identity.id.clone(),
        name: identity.name.clone(),
        namespaces,
        ids: id_plan(ids),
        host: HostPlan { files, directories: directories(root) },
        steps,
        process: Process {
            args: process.args().clone().unwrap_or_default(),
            env: process.env().clone().unwrap_or_default(),
            set_home: !extras.home_given,
            terminal,
            interactive: extras.interactive,
            init: extras.init,
        },
    })
}

fn id_plan(ids: &Ids) -> IdPlan {
    IdPlan {
        uid_map: ids.uid.to_string(),
        gid_map: ids.gid.to_string(),
        base_uid_map: ids.base_uid.to_string(),
        base_gid_map: ids.base_gid.to_string(),
        setgroups: ids.setgroups,
    }
}

fn directories(root: &RootSource) -> Vec<PathBuf> {
    match root {
        RootSource::Overlay { upper, work, .. } => vec![upper.clone(), work.clone()],
        RootSource::Directory(_) => Vec::new(),
    }
}

fn root_step(root: &RootSource, on: &Path) -> Step {
    match root {
        RootSource::Overlay { lower, upper, work, volatile } => Step::Overlay {
            lower: lower.clone(),
            upper: upper.clone(),
            work: work.clone(),
            volatile: *volatile,
            on: on.to_owned(),
        },
        RootSource::Directory(source) => Step::BindRoot { source: source.clone(), on: on.to_owned() },
    }
}

fn namespaces(linux: &Linux) -> Result<Namespaces> {
    let mut all = Namespaces::default();
    for listed in linux.namespaces().iter().flatten() {
        let slot = match listed.typ() {
            LinuxNamespaceType::User => &mut all.user,
            LinuxNamespaceType::Mount => &mut all.mount,
            LinuxNamespaceType::Uts => &mut all.uts,
            LinuxNamespaceType::Ipc => &mut all.ipc,
            LinuxNamespaceType::Pid => &mut all.pid,
            LinuxNamespaceType::Network => &mut all.network,
            LinuxNamespaceType::Cgroup => &mut all.cgroup,
            LinuxNamespaceType::Time => &mut all.time,
        };
        let field = format!("linux.namespaces: {}", listed.typ());
        if !slot.is_host() {
            return Err(bad(&field, "is listed twice"));
        }
        *slot = match listed.path() {
            None => Namespace::New,
            Some(path) if path.as_os_str().is_empty() => Namespace::New,
            Some(path) if path.is_absolute() => Namespace::Join(path.clone()),
            Some(path) => return Err(bad(&field, &format!("has the path {}, which is not absolute", path.display()))),
        };
    }
    if all.mount.is_host() {
        return Err(bad("linux.namespaces", "has no mount namespace, and the root file system is made in one"));
    }
    all.clocks = clocks(linux, &all.time)?;
    Ok(all)
}

fn clocks(linux: &Linux, time: &Namespace) -> Result<Vec<Clock>> {
    let mut clocks = Vec::new();
    for (name, offset) in linux.time_offsets().iter().flatten() {
        if !matches!(name.as_str(), "monotonic" | "boottime") {
            return Err(bad("linux.timeOffsets", &format!("has {name:?}; the clocks are monotonic and boottime")));
        }
        let (seconds, nanoseconds) = (offset.secs().unwrap_or_default(), offset.nanosecs().unwrap_or_default());
        clocks.push(Clock { name: name.clone(), seconds, nanoseconds });
    }
    if !clocks.is_empty() && !time.is_new() {
        return Err(bad("linux.timeOffsets", "needs a new time namespace in linux.namespaces"));
    }
    clocks.sort_by(|one, other| other.name.cmp(&one.name));
    Ok(clocks)
}

/// A volume that wants to hear of the host's later mounts needs a parent that does too.
fn outer_propagation(mounts: &[Mount]) -> Propagation {
    let hears = |mount: &Mount| {
        let words = mount.options().as_deref().unwrap_or_default();
        matches!(sort(words).propagation, Some(Propagation::Slave | Propagation::Shared))
    };
    if mounts.iter().any(hears) { Propagation::Slave } else { Propagation::Private }
}

fn mount_steps(index: usize, mount: &Mount, steps: &mut Vec<Step>) -> Result<()> {
    let field = |name: &str| format!("mounts[{index}].{name}");
    let target = checked_path(&field("destination"), mount.destination())?;
    let kind = mount.typ().as_deref().unwrap_or("none");
    let options = sort(mount.options().as_deref().unwrap_or_default());
    if kind == "bind" || options.bind.is_some() {
        steps.push(bind(&field("source"), mount, target, &options)?);
        return Ok(());
    }
    let filesystem = match kind {
        "cgroup" => "cgroup2",
        "proc" | "sysfs" | "tmpfs" | "devpts" | "mqueue" | "cgroup2" => kind,
        other => {
            return Err(bad(&field("type"), &format!("{other:?} is no file system that a user namespace can mount")));
        }
    };
    let Options { attributes, data, .. } = options;
    check_data(&field("options"), filesystem, &data)?;
    let fallback_bind = match filesystem {
        "proc" => Some(PathBuf::from("/proc")),
        "sysfs" => Some(PathBuf::from("/sys")),
        _ => None,
    };
    let is_dev = target == Path::new("/dev");
    steps.push(Step::Mount { filesystem: filesystem.to_owned(), target, attributes, options: data, fallback_bind });
    if is_dev {
        devices(steps);
    }
    Ok(())
}

fn bind(field: &str, mount: &Mount, target: PathBuf, options: &Options) -> Result<Step> {
    let source = mount.source().clone().ok_or_else(|| bad(field, "is missing"))?;
    if !source.is_absolute() {
        return Err(bad(field, &format!("{} is not absolute", source.display())));
    }
    Ok(Step::Bind {
        source,
        target,
        recursive: options.bind.unwrap_or(true),
        attributes: options.attributes,
        propagation: options.propagation.unwrap_or(Propagation::Private),
        // Volumes never say both: a directory is bound with all below it, or without `dev`.
        device: options.bind == Some(false) && mount.options().iter().flatten().any(|word| word == "dev"),
    })
}

fn devices(steps: &mut Vec<Step>) {
    let attributes = super::Attributes { nosuid: true, noexec: true, ..super::Attributes::default() };
    steps.extend(DEVICES.iter().map(|name| Step::Bind {
        source: Path::new("/dev").join(name),
        target: Path::new("/dev").join(name),
        recursive: false,
        attributes,
        propagation: Propagation::Private,
        device: true,
    }));
    steps.extend(LINKS.iter().map(|(target, to)| Step::Symlink { target: target.into(), to: (*to).to_owned() }));
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
        _ => &[],
    };
    match data.iter().find(|(key, _)| !known.contains(&key.as_str())) {
        Some((key, _)) => Err(bad(field, &format!("has {key:?}, which is no option of {filesystem}"))),
        None => Ok(()),
    }
}

fn machine(spec: &Spec, linux: &Linux, namespaces: &Namespaces, steps: &mut Vec<Step>) {
    if let (true, Some(name)) = (!namespaces.uts.is_host(), spec.hostname()) {
        steps.push(Step::Hostname { name: name.clone() });
    }
    if let (true, Some(name)) = (!namespaces.uts.is_host(), spec.domainname()) {
        steps.push(Step::Domainname { name: name.clone() });
    }
    if namespaces.network.is_new() {
        steps.push(Step::Loopback);
    }
    let mut sysctls: Vec<_> = linux.sysctl().iter().flatten().collect();
    sysctls.sort();
    steps.extend(sysctls.into_iter().map(|(key, value)| Step::Sysctl { key: key.clone(), value: value.clone() }));
}

fn process_steps(
    process: &oci_spec::runtime::Process,
    extras: &Extras,
    ids: &Ids,
    steps: &mut Vec<Step>,
) -> Result<()> {
    for limit in process.rlimits().iter().flatten() {
        let name = limit.typ().to_string().to_lowercase();
        let name = name.strip_prefix("rlimit_").unwrap_or(&name).to_owned();
        steps.push(Step::Rlimit(Ulimit { name, soft: limit.soft(), hard: limit.hard() }));
    }
    steps.push(Step::Umask { mask: process.user().umask().unwrap_or(0o022) });
    steps.push(Step::WorkingDirectory { path: checked_path("process.cwd", process.cwd())? });
    let no_new_privileges = process.no_new_privileges().unwrap_or(false);
    let filter = match &extras.seccomp {
        SeccompChoice::Default => Some("default"),
        SeccompChoice::Profile(_) => Some("custom"),
        SeccompChoice::Unconfined => None,
    }
    .map(|profile| Step::Seccomp { profile: profile.to_owned() });
    // Without no_new_privs loading a filter needs CAP_SYS_ADMIN, which is gone after the capabilities have been set.
    if !no_new_privileges {
        steps.extend(filter.clone());
    }
    steps.push(Step::User { user: extras.user.clone(), groups: extras.group_add.clone(), setgroups: ids.setgroups });
    steps.push(Step::Capabilities(capability_sets(process)));
    if no_new_privileges {
        steps.push(Step::NoNewPrivileges);
        steps.extend(filter);
    }
    Ok(())
}

fn capability_sets(process: &oci_spec::runtime::Process) -> CapabilitySets {
    let names = |set: &Option<Capabilities>| -> Vec<String> {
        let mut names: Vec<_> =
            set.iter().flatten().map(|one| one.to_string().trim_start_matches("CAP_").to_owned()).collect();
        names.sort();
        names
    };
    process.capabilities().as_ref().map_or_else(CapabilitySets::default, |sets| CapabilitySets {
        bounding: names(sets.bounding()),
        effective: names(sets.effective()),
        inheritable: names(sets.inheritable()),
        ambient: names(sets.ambient()),
    })
}

fn checked(field: &str, paths: Vec<PathBuf>) -> Result<Vec<PathBuf>> {
    paths.iter().map(|path| checked_path(field, path)).collect()
}

/// Absolute and without `..`: a target is a place in the container, not a way to it.
fn checked_path(field: &str, path: &Path) -> Result<PathBuf> {
    let plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    if path.is_absolute() && path.components().all(plain) {
        return Ok(path.components().collect());
    }
    let what = format!("{field}: {} is not an absolute path without ..", path.display());
    Err(Error::new(&rootfs::UNSAFE_TARGET, what).fix("Give an absolute path inside the container."))
}
