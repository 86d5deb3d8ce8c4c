//! Spec + Extras -> Plan: everything is checked here, once, and put into the order in which it must happen.
//!
//! Pure. The order is the kernel's doing more than ours: mounts before pivot_root, what needs /proc of the host before it is
//! gone, limits before the user (only root may raise), the filter before the capabilities go unless no_new_privs allows it
//! after them. The surprise: somebody else's document (`rl oci`) is taken to the letter, where `rl run`'s own is read together
//! with its [`Extras`]: names of users, the default filter, capability sets that depend on the user.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Capabilities, Linux, LinuxNamespaceType, LinuxSeccompAction, LinuxSeccompFilterFlag, Spec};

use super::mounts::{self, Context};
use super::unsupported::{self, bad, checked_path};
use super::{
    Bundle, CapabilitySets, Clock, HostPlan, IdPlan, Listener, Namespace, Namespaces, Plan, Process, RootSource, Step,
    devices, hooks, scheduling, sysctl,
};
use crate::error::Result;
use crate::spec::network::Wiring;
use crate::spec::{Bundled, Extras, Identity, Ids, SeccompChoice, Ulimit};

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

/// What is executed in the end, and as whose child.
pub(super) fn command(process: &oci_spec::runtime::Process, extras: &Extras, terminal: bool) -> Result<Process> {
    let args = process.args().clone().unwrap_or_default();
    let bundled = extras.bundle.clone().unwrap_or_default();
    let side =
        |length: u64| u16::try_from(length).map_err(|_| bad("process.consoleSize", "is larger than a terminal can be"));
    let console_size = match process.console_size().filter(|_| terminal) {
        Some(size) => Some((side(size.height())?, side(size.width())?)),
        None => None,
    };
    let init = extras.init || !extras.emulators.is_empty() && !is_init(&args);
    Ok(Process {
        args,
        env: process.env().clone().unwrap_or_default(),
        set_home: !extras.home_given,
        terminal,
        interactive: extras.interactive,
        init,
        detached: bundled.detached,
        preserve_fds: bundled.preserve_fds + extras.preserve_fds,
        keep_groups: extras.keep_groups,
        oom_score_adj: process.oom_score_adj(),
        console_size,
    })
}

/// Of somebody else's document alone.
fn listener(linux: &Linux, extras: &Extras) -> Result<Option<Listener>> {
    let Some(seccomp) = linux.seccomp().as_ref().filter(|_| extras.bundle.is_some()) else { return Ok(None) };
    let notifies = seccomp.syscalls().iter().flatten().any(|rule| rule.action() == LinuxSeccompAction::ScmpActNotify);
    if seccomp.default_action() == LinuxSeccompAction::ScmpActNotify {
        return Err(bad("linux.seccomp.defaultAction", "is SCMP_ACT_NOTIFY, which would ask about the very answer"));
    }
    let killable = LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv;
    if !notifies && seccomp.flags().iter().flatten().any(|flag| *flag == killable) {
        let what = "has SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, and no rule has SCMP_ACT_NOTIFY";
        return Err(bad("linux.seccomp.flags", what));
    }
    let Some(path) = seccomp.listener_path().clone().filter(|path| !path.as_os_str().is_empty()) else {
        return if notifies {
            Err(bad("linux.seccomp.listenerPath", "is missing, and a rule has SCMP_ACT_NOTIFY"))
        } else {
            Ok(None)
        };
    };
    Ok(Some(Listener { path, metadata: seccomp.listener_metadata().clone().unwrap_or_default() }))
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

/// linux.namespaces.
///
/// # Errors
/// A kind that is listed twice, a relative path, no mount namespace.
pub fn namespaces(linux: &Linux) -> Result<Namespaces> {
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
    if all.mount.is_host() && all.user.is_new() {
        let what = "has no mount namespace beside a new user namespace, whose root may mount nothing in the caller's";
        return Err(bad("linux.namespaces", what));
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

/// Everything about the process itself, for a container's first one and for those that join it.
pub(super) fn process_steps(
    process: &oci_spec::runtime::Process,
    linux: &Linux,
    extras: &Extras,
    ids: &Ids,
    steps: &mut Vec<Step>,
) -> Result<()> {
    for limit in process.rlimits().iter().flatten() {
        let name = limit.typ().to_string().to_lowercase();
        let name = name.strip_prefix("rlimit_").unwrap_or(&name).to_owned();
        if limit.soft() > limit.hard() {
            return Err(bad("process.rlimits", &format!("has {name} with a soft limit above the hard one")));
        }
        steps.push(Step::Rlimit(Ulimit { name, soft: limit.soft(), hard: limit.hard() }));
    }
    steps.extend(scheduling::scheduling(process, linux)?.map(Step::Scheduling));
    steps.extend(scheduling::personality(linux)?.map(|persona| Step::Personality { persona }));
    steps.push(Step::Umask { mask: process.user().umask().unwrap_or(0o022) });
    steps.push(Step::WorkingDirectory { path: checked_path("process.cwd", process.cwd())? });
    for (module, label) in [("apparmor", process.apparmor_profile()), ("selinux", process.selinux_label())] {
        if let Some(label) = label.clone().filter(|label| !label.is_empty()) {
            steps.push(Step::Label { module: module.to_owned(), label });
        }
    }
    let no_new_privileges = process.no_new_privileges().unwrap_or(false);
    let filter = match &extras.seccomp {
        SeccompChoice::Default => Some("default"),
        SeccompChoice::Profile(_) => Some("custom"),
        SeccompChoice::Exact(_) => Some("linux.seccomp"),
        SeccompChoice::Unconfined => None,
    }
    .map(|profile| Step::Seccomp { profile: profile.to_owned() });
    // Without no_new_privs loading a filter needs CAP_SYS_ADMIN, which is gone after the capabilities have been set.
    if !no_new_privileges {
        steps.extend(filter.clone());
    }
    steps.push(user(process, extras, ids));
    steps.push(Step::Capabilities(capability_sets(process, extras)));
    if no_new_privileges {
        steps.push(Step::NoNewPrivileges);
        steps.extend(filter);
    }
    Ok(())
}

fn user(process: &oci_spec::runtime::Process, extras: &Extras, ids: &Ids) -> Step {
    let setgroups = ids.setgroups && !extras.keep_groups;
    if extras.bundle.is_none() {
        return Step::User { user: extras.user.clone(), groups: extras.group_add.clone(), setgroups };
    }
    let user = process.user();
    let groups = user.additional_gids().clone().unwrap_or_default();
    Step::Ids { uid: user.uid(), gid: user.gid(), groups, setgroups }
}

/// qemu ends a program that a signal has killed by sending itself that signal, which the kernel keeps from pid 1: a crash or a
/// SIGTERM would leave qemu waiting for ever. So rl's own reaper is pid 1 of an emulated container, but for programs that must be it.
fn is_init(args: &[String]) -> bool {
    let name = args.first().map(|command| Path::new(command).file_name().unwrap_or_default().to_string_lossy());
    name.is_some_and(|name| {
        ["init", "systemd", "runit", "s6-svscan", "openrc-init", "tini", "dumb-init"].contains(&&*name)
    })
}

fn capability_sets(process: &oci_spec::runtime::Process, extras: &Extras) -> CapabilitySets {
    let names = |set: &Option<Capabilities>| -> Vec<String> {
        let mut names: Vec<_> =
            set.iter().flatten().map(|one| one.to_string().trim_start_matches("CAP_").to_owned()).collect();
        names.sort();
        names
    };
    let exact = |names: Vec<String>| extras.bundle.is_some().then_some(names);
    let Some(sets) = process.capabilities() else {
        return CapabilitySets { permitted: exact(Vec::new()), ..CapabilitySets::default() };
    };
    CapabilitySets {
        bounding: names(sets.bounding()),
        effective: names(sets.effective()),
        permitted: exact(names(sets.permitted())),
        inheritable: names(sets.inheritable()),
        ambient: names(sets.ambient()),
    }
}

fn checked(field: &str, paths: Vec<PathBuf>) -> Result<Vec<PathBuf>> {
    paths.iter().map(|path| checked_path(field, path)).collect()
}
