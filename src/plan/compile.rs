//! Spec + Extras -> Plan: everything is checked here, once, and put into the order in which it must happen.
//!
//! Pure. The order is the kernel's doing more than ours: mounts before pivot_root, what needs /proc of the host before it is
//! gone, limits before the user (only root may raise), the filter before the capabilities go unless no_new_privs allows it
//! after them. The surprise: somebody else's document (`rl oci`) is taken to the letter, where `rl run`'s own is read together
//! with its [`Extras`]: names of users, the default filter, capability sets that depend on the user.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Linux, Spec};

use super::listener::listener;
use super::mounts::{self, Context};
use super::process::{command, process_steps};
use super::unsupported::{self, bad, checked_path};
use super::{
    Bundle, HostPlan, IdPlan, Namespace, Namespaces, Plan, RootSource, Step, devices, hooks, namespaces, scheduling,
    sysctl,
};
use crate::error::Result;
use crate::spec::network::Wiring;
use crate::spec::{Bundled, Extras, Identity, Ids};

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
    let process = &first_process(spec, extras)?;
    let linux = spec.linux().as_ref().ok_or_else(|| bad("linux", "is missing"))?;
    let mut namespaces = namespaces(linux)?;
    let wiring = wiring(linux, extras);
    if wiring.guard.is_some() {
        namespaces.network = Namespace::Guarded;
    }
    let bundle = extras.bundle.as_ref().map(|bundled| bundle(spec, bundled)).transpose()?;
    let on = run_root.join("mnt");
    let mut steps = mount_steps(spec, linux, &namespaces, extras, root_step(root, &on))?;
    let terminal = process.terminal().unwrap_or(false);
    if terminal {
        steps.push(Step::Terminal);
    }
    machine(spec, linux, &namespaces, &mut steps)?;
    let on = (!namespaces.mount.is_host()).then_some(on);
    root_steps(spec, linux, on, extras, bundle.as_ref(), &mut steps)?;
    if !extras.wiring.is_nothing() {
        // As late as can be: the network is made at the same time as all before it.
        steps.push(Step::Network);
    }
    scheduling::affinity(process)?;
    process_steps(process, linux, extras, ids, &mut steps)?;
    last_steps(extras, bundle.as_ref(), &mut steps);
    Ok(Plan {
        id: identity.id.clone(),
        name: identity.name.clone(),
        namespaces,
        ids: id_plan(ids),
        cgroup: super::cgroup::compile(linux, &extras.cgroups, identity)?,
        host: HostPlan { files, directories: directories(root) },
        network: wiring,
        steps,
        process: command(process, extras, terminal)?,
        listener: listener(linux, extras)?,
        bundle,
    })
}

/// `create` can do without a process, `start` can't (runtime.md): one that has nothing to execute waits in its place.
fn first_process<'a>(spec: &'a Spec, extras: &Extras) -> Result<Cow<'a, oci_spec::runtime::Process>> {
    let awaits = extras.bundle.as_ref().is_some_and(|bundled| bundled.awaits.is_some());
    match spec.process() {
        Some(process) => check_command(process, extras).map(|()| Cow::Borrowed(process)),
        None if awaits => {
            let nobodys = serde_json::json!({ "cwd": "/", "args": [], "user": { "uid": 0, "gid": 0 } });
            serde_json::from_value(nobodys).map(Cow::Owned).map_err(|error| bad("process", &error.to_string()))
        }
        None => Err(bad("process", "is missing")),
    }
}

/// `rl run` says itself what is missing.
fn check_command(process: &oci_spec::runtime::Process, extras: &Extras) -> Result<()> {
    if extras.bundle.is_some() && process.args().as_ref().is_none_or(Vec::is_empty) {
        return Err(bad("process.args", "is empty"));
    }
    Ok(())
}

/// The plan of one more process of a container whose first process is `pid`: its namespaces, and the steps that are about a process.
///
/// # Errors
/// As [`compile`].
pub fn joining(
    spec: &Spec,
    process: &oci_spec::runtime::Process,
    extras: &Extras,
    ids: &Ids,
    identity: &Identity,
    pid: i32,
) -> Result<Plan> {
    check_command(process, extras)?;
    let linux = spec.linux().clone().unwrap_or_default();
    let of = |name: &str| Namespace::Join(PathBuf::from(format!("/proc/{pid}/ns/{name}")));
    let namespaces = Namespaces {
        user: of("user"),
        mount: of("mnt"),
        uts: of("uts"),
        ipc: of("ipc"),
        pid: of("pid"),
        network: of("net"),
        cgroup: of("cgroup"),
        time: of("time"),
        clocks: Vec::new(),
    };
    let terminal = process.terminal().unwrap_or(false);
    let mut steps = vec![Step::EnterRoot];
    if terminal {
        steps.push(Step::Terminal);
    }
    if let Some(processors) = scheduling::affinity(process)?.last {
        let processors = Some(processors);
        steps.push(Step::Scheduling(scheduling::Scheduling { processors, ..scheduling::Scheduling::default() }));
    }
    process_steps(process, &linux, extras, ids, &mut steps)?;
    Ok(Plan {
        id: identity.id.clone(),
        name: identity.name.clone(),
        namespaces,
        ids: id_plan(ids),
        cgroup: None,
        host: HostPlan { files: Vec::new(), directories: Vec::new() },
        network: Wiring::default(),
        steps,
        process: command(process, extras, terminal)?,
        listener: listener(&linux, extras)?,
        bundle: None,
    })
}

fn bundle(spec: &Spec, bundled: &Bundled) -> Result<Bundle> {
    Ok(Bundle {
        version: spec.version().clone(),
        path: bundled.path.clone(),
        rootfs: bundled.rootfs.clone(),
        annotations: spec.annotations().iter().flatten().map(|(name, value)| (name.clone(), value.clone())).collect(),
        hooks: hooks::hooks(spec)?,
    })
}

fn mount_steps(spec: &Spec, linux: &Linux, namespaces: &Namespaces, extras: &Extras, root: Step) -> Result<Vec<Step>> {
    let listed = spec.mounts().as_deref().unwrap_or_default();
    let exact = extras.bundle.is_some();
    let context = Context {
        devices: devices::listed(linux)?,
        host_user: namespaces.user.is_host(),
        exact,
        volumes: extras.volumes.clone(),
        user: extras.user.clone(),
        label: linux.mount_label().clone().filter(|label| !label.is_empty()),
    };
    // Nothing is changed of mounts that are others', too.
    let isolate = || Step::Isolate { propagation: mounts::outer_propagation(linux, listed) };
    let mut steps: Vec<_> = (!namespaces.mount.is_host()).then(isolate).into_iter().chain([root]).collect();
    for (index, mount) in listed.iter().enumerate() {
        mounts::steps(index, mount, &context, &mut steps)?;
    }
    steps.extend(context.devices.into_iter().map(Step::Device));
    // Into the container's /proc, before parts of that become read-only, and while the emulators can be opened. Never into the
    // table of a user namespace that is not the container's own: root's would be the machine's.
    if !extras.emulators.is_empty() && namespaces.user == Namespace::New {
        steps.push(Step::Emulate { emulators: extras.emulators.clone() });
    }
    Ok(steps)
}

/// From the finished tree of mounts to a root directory. `on`: where it is attached, in a mount namespace that can be changed.
fn root_steps(
    spec: &Spec,
    linux: &Linux,
    on: Option<PathBuf>,
    extras: &Extras,
    bundle: Option<&Bundle>,
    steps: &mut Vec<Step>,
) -> Result<()> {
    let paths = |list: &Option<Vec<String>>| list.iter().flatten().map(PathBuf::from).collect::<Vec<_>>();
    let (read_only, masked) = (paths(linux.readonly_paths()), paths(linux.masked_paths()));
    if !read_only.is_empty() {
        steps.push(Step::ReadOnly { targets: checked("linux.readonlyPaths", read_only)? });
    }
    if !masked.is_empty() {
        steps.push(Step::Mask { targets: checked("linux.maskedPaths", masked)? });
    }
    if let Some(hooks) = bundle.map(|bundle| &bundle.hooks) {
        if !hooks.prestart.is_empty() || !hooks.create_runtime.is_empty() {
            steps.push(Step::RuntimeHooks);
        }
        if !hooks.create_container.is_empty() {
            steps.push(Step::ContainerHooks { hooks: hooks.create_container.clone() });
        }
    }
    let moved = extras.bundle.as_ref().is_some_and(|bundled| bundled.no_pivot);
    steps.push(on.map_or(Step::Chroot, |on| Step::PivotRoot { on, moved }));
    steps.extend(mounts::root_propagation(linux)?);
    if spec.root().as_ref().is_some_and(|root| root.readonly().unwrap_or(false)) {
        steps.push(Step::RootReadOnly);
    }
    if extras.bundle.as_ref().is_some_and(|bundled| bundled.keyring) {
        steps.push(Step::Keyring);
    }
    Ok(())
}

/// `create` waits for `start`, where nothing but the filter is left to be set: a filter need not let through what waiting takes.
fn last_steps(extras: &Extras, bundle: Option<&Bundle>, steps: &mut Vec<Step>) {
    let mut last = Vec::new();
    if let Some(dir) = extras.bundle.as_ref().and_then(|bundled| bundled.awaits.clone()) {
        last.push(Step::AwaitStart { dir });
    }
    if let Some(hooks) = bundle.map(|bundle| bundle.hooks.start_container.clone()).filter(|hooks| !hooks.is_empty()) {
        last.push(Step::StartHooks { hooks });
    }
    let filter_is_last = matches!(steps.last(), Some(Step::Seccomp { .. }));
    let at = steps.len() - usize::from(filter_is_last);
    steps.splice(at..at, last);
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

fn machine(spec: &Spec, linux: &Linux, namespaces: &Namespaces, steps: &mut Vec<Step>) -> Result<()> {
    let named = [("hostname", spec.hostname()), ("domainname", spec.domainname())];
    for (field, name) in named {
        let Some(name) = name.clone().filter(|name| !name.is_empty()) else { continue };
        if namespaces.uts.is_host() {
            return Err(bad(field, "needs a UTS namespace in linux.namespaces"));
        }
        steps.push(if field == "hostname" { Step::Hostname { name } } else { Step::Domainname { name } });
    }
    if namespaces.network.is_new() {
        steps.push(Step::Loopback);
    }
    linux.sysctl().iter().flatten().try_for_each(|(key, _)| sysctl::check(key, namespaces))?;
    let guarded = namespaces.network == Namespace::Guarded;
    let own = sysctls(linux).into_iter().filter(|(key, _)| !guarded || !key.starts_with("net."));
    steps.extend(own.map(|(key, value)| Step::Sysctl { key, value }));
    Ok(())
}

fn sysctls(linux: &Linux) -> Vec<(String, String)> {
    let mut sysctls: Vec<_> =
        linux.sysctl().iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect();
    sysctls.sort();
    sysctls
}

/// The namespace of a guarded network is set up from outside.
fn wiring(linux: &Linux, extras: &Extras) -> Wiring {
    let mut wiring = extras.wiring.clone();
    if let Some(guard) = &mut wiring.guard {
        // Ports below 1024 are a right over the namespace, too, which the container's root would miss.
        guard.sysctls = vec![("net.ipv4.ip_unprivileged_port_start".to_owned(), "0".to_owned())];
        guard.sysctls.extend(sysctls(linux).into_iter().filter(|(key, _)| key.starts_with("net.")));
    }
    wiring
}

fn checked(field: &str, paths: Vec<PathBuf>) -> Result<Vec<PathBuf>> {
    paths.iter().map(|path| checked_path(field, path)).collect()
}
