//! The parent's side of a run: everything on the host before Go, then supervision until the container has ended.
//!
//! Owns the order on the host side: [`start`] up to exec's success, [`run`] for whoever stays in the foreground. The surprise: the
//! child is cloned early and waits, so that its namespaces are made while nothing else can be done; after Go it asks for nothing.

use std::borrow::Cow;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::sys::stat::umask;
use nix::unistd::Pid;
use subid::IdMap;

use super::console::Console;
use super::container::{Container, collect};
use super::execute;
use super::hooks;
use super::idmapped;
use super::init::{self, Init, MADE_WITH};
use super::inside;
use super::join;
use super::maps::write_maps;
use super::message::{Channel, Report};
use super::stdio::Stdio;
use super::supervise;
use crate::cgroup::{self, Held, Owner, Prepared};
use crate::error::{Context, Error, Result, catalog::ids, catalog::process as codes, catalog::state};
use crate::host::Dirs;
use crate::network;
use crate::plan::{HostPlan, Namespace, Namespaces, Plan};
use crate::spec::lifecycle::PidFiles;
use crate::state::Record;
use crate::sys::child::Exit;
use crate::sys::clone::{Child, Side, clone};
use crate::sys::seccomp::Filter;
use crate::sys::signal::Signals;

/// How a run has ended.
#[derive(Debug)]
pub struct Ended {
    /// The command's own end.
    pub exit: Exit,
    /// What `rl` can say about it.
    pub remark: Option<Error>,
    /// The kernel has killed for want of memory.
    pub oom: bool,
}

/// What a start needs.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// What is to be made.
    pub plan: &'a Plan,
    /// The compiled seccomp filter.
    pub filter: Option<&'a Filter>,
    /// Its directories, in hand.
    pub container: &'a Container,
    /// Of a container that does not stay: to be found by others while it runs.
    pub record: Option<&'a Record>,
    /// Where `rl` keeps everything.
    pub dirs: &'a Dirs,
    /// Its stdin, stdout and stderr, where they are not this process's own.
    pub stdio: Option<&'a Stdio>,
    /// Where numbers of processes are written.
    pub pid_files: &'a PidFiles,
    /// After which it is killed; in the background that is the supervisor's affair.
    pub timeout: Option<Duration>,
}

/// A container whose command runs. Whoever has this must wait for the child; it dies with this process.
#[derive(Debug)]
pub struct Started<T> {
    /// The container's first process.
    pub child: Child,
    /// The signals of this process, blocked since before the clone.
    pub signals: Signals,
    /// What was made of the master of the container's terminal.
    pub terminal: Option<T>,
    /// The network that was made for it; it ends when this is dropped.
    pub network: Option<network::Running>,
    /// Its control group, where it has one of its own.
    pub group: Option<Held>,
}

/// Carries the plan out up to the command's exec. `meanwhile` is done while the container's first process is busy. `on_terminal` is given the master of the container's terminal as soon as it has
/// come, so that nothing typed before the command runs is echoed twice.
///
/// # Errors
/// What failed before exec, here or in the container's first process.
pub fn start<T>(
    job: &Job<'_>,
    meanwhile: impl FnOnce(),
    on_terminal: impl FnOnce(OwnedFd) -> Result<T>,
) -> Result<Started<T>> {
    let Job { plan, filter, container, record, dirs, stdio, pid_files, .. } = *job;
    prepare(&plan.host, &dirs.run)?;
    let network = if plan.network.is_nothing() { None } else { network::prepare(&plan.network, &dirs.run)? };
    let network = network.map(|network| (network, container.identity.dir.as_path()));
    let write_down = |pid| {
        inside::record(&container.identity.dir, plan, filter)?;
        container.running(pid, record)?;
        write_pid_files(pid_files, pid)
    };
    let group = group(plan)?;
    if let Some(path) = group.as_ref().and_then(Prepared::path) {
        // Before there is a process in it: whatever is killed from here on, somebody will remove it.
        let note = container.identity.dir.join(cgroup::NOTE);
        std::fs::write(&note, path.as_os_str().as_encoded_bytes())
            .context(&state::STATE, || format!("write {}", note.display()))?;
    }
    bring_up(plan, filter, stdio, Made { group, network }, write_down, meanwhile, on_terminal)
}

/// Before the command runs, for whoever waits for the file.
fn write_pid_files(files: &PidFiles, pid: Pid) -> Result<()> {
    for (path, pid) in [(&files.own, pid), (&files.supervisor, Pid::this())] {
        let Some(path) = path else { continue };
        std::fs::write(path, pid.to_string()).context(&state::STATE, || format!("write {}", path.display()))?;
    }
    Ok(())
}

/// What the host side has made beforehand, for the container's first process.
#[derive(Default)]
struct Made<'a> {
    group: Option<Prepared>,
    network: Option<(network::Prepared, &'a Path)>,
}

/// The control group that the plan asks for, as far as it can be made without a process.
///
/// # Errors
/// Why a limit can't be had here.
pub fn group(plan: &Plan) -> Result<Option<Prepared>> {
    let Some(wanted) = &plan.cgroup else { return Ok(None) };
    cgroup::prepare(wanted, owner(plan)?)
}

/// Root of the container, in the ids of this process, where it is somebody else.
fn owner(plan: &Plan) -> Result<Owner> {
    let root = |map: &str| -> Result<u32> {
        let map = IdMap::parse(map).context(&ids::BAD_ID_MAP, || format!("understand {map:?}"))?;
        Ok(map.outside(0).unwrap_or(0))
    };
    let root = (root(&plan.ids.uid_map)?, root(&plan.ids.gid_map)?);
    let own = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    Ok((root != own).then_some(root))
}

/// The same for a container whose directories are none of `rl`'s own: they are there already, and `record` writes its process down.
///
/// # Errors
/// As [`start`].
pub fn begin<T>(
    plan: &Plan,
    filter: Option<&Filter>,
    group: Option<Prepared>,
    record: impl FnOnce(Pid) -> Result<()>,
    on_terminal: impl FnOnce(OwnedFd) -> Result<T>,
) -> Result<Started<T>> {
    bring_up(plan, filter, None, Made { group, network: None }, record, || (), on_terminal)
}

fn bring_up<T>(
    plan: &Plan,
    filter: Option<&Filter>,
    stdio: Option<&Stdio>,
    Made { group, network }: Made<'_>,
    record: impl FnOnce(Pid) -> Result<()>,
    meanwhile: impl FnOnce(),
    on_terminal: impl FnOnce(OwnedFd) -> Result<T>,
) -> Result<Started<T>> {
    let signals = Signals::block().context(&codes::SETUP, || "block signals".into())?;
    let (channel, theirs) = Channel::pair().context(&codes::SETUP, || "make a socket pair".into())?;
    if !plan.namespaces.pid.is_new() && !plan.process.detached {
        // Without a pid namespace nothing ends the container's other processes with its first one; they become ours instead.
        nix::sys::prctl::set_child_subreaper(true).context(&codes::SETUP, || "become a subreaper".into())?;
    }
    let launcher = plan.namespaces.mount.is_joined().then(|| execute::launcher(&plan.process)).transpose()?.flatten();
    let directory = group.as_ref().and_then(Prepared::directory);
    let joined = namespaces(plan, network.as_ref())?;
    let mapped = idmapped::sources(plan)?;
    let child = match join::clone(&joined, flags(plan), directory)? {
        Side::Parent(child) => child,
        Side::Child => {
            drop(channel);
            init::run(&Init {
                plan,
                channel: theirs,
                signals: &signals,
                filter,
                listener: plan.listener.as_ref(),
                launcher: launcher.as_ref(),
                mapped: &mapped,
                stdio,
            })
        }
    };
    drop((theirs, mapped));
    let mut held = None;
    let made = Made { group, network };
    match lead(plan, &child, &channel, made, &mut held, record, meanwhile, on_terminal) {
        Ok((network, terminal)) => Ok(Started { child, signals, terminal, network, group: held }),
        Err(error) => {
            child.kill();
            // Whoever tries once more, in another way, must find the caller's own mask.
            signals.restore().context(&codes::SETUP, || "restore the signal mask".into())?;
            // Not before: nobody may be in it.
            drop(held);
            Err(error)
        }
    }
}

/// The host's part for a child that waits for it, from the id maps to exec's success. `held`: the group that it is in, even if this
/// fails.
#[expect(clippy::too_many_arguments, reason = "it is the second half of one function")]
fn lead<T>(
    plan: &Plan,
    child: &Child,
    channel: &Channel,
    Made { group, network }: Made<'_>,
    held: &mut Option<Held>,
    record: impl FnOnce(Pid) -> Result<()>,
    meanwhile: impl FnOnce(),
    on_terminal: impl FnOnce(OwnedFd) -> Result<T>,
) -> Result<(Option<network::Running>, Option<T>)> {
    if plan.namespaces.user.is_new() {
        write_maps(child, &plan.ids)?;
    }
    *held = attach(plan, group, child.pid)?;
    let namespace = || std::fs::File::open(format!("/proc/{}/ns/net", child.pid));
    let opened = network.is_some().then(namespace).transpose();
    let opened = opened.context(&codes::SETUP, || "open the container's network namespace".into())?;
    channel.send_go(child.pid).context(&codes::SETUP, || "send Go".into())?;
    // What carries the packets takes the longest, so it is started first of all.
    let wanted = network.zip(opened);
    let network = wanted.map(|((network, dir), opened)| network.start(opened, child.pid, dir)).transpose()?;
    record(child.pid)?;
    let network = match channel.send_go(child.pid) {
        // It has failed already, and has said why.
        Err(Errno::EPIPE) => None,
        sent => sent.map(|()| network).context(&codes::SETUP, || "send the second Go".into())?,
    };
    meanwhile();
    let network = network.map(|network| connect(network, channel)).transpose()?;
    Ok((network, hear(channel, plan, child.pid, on_terminal)?))
}

/// With the guarded one by its path; nobody who was to be guarded runs without.
fn namespaces<'a>(plan: &'a Plan, network: Option<&(network::Prepared, &Path)>) -> Result<Cow<'a, Namespaces>> {
    if plan.namespaces.network != Namespace::Guarded {
        return Ok(Cow::Borrowed(&plan.namespaces));
    }
    let made = network.and_then(|(network, _)| network.guarded());
    let made = made.ok_or_else(|| Error::new(&state::INTERNAL, "find the network that was made for the container"))?;
    let path = Path::new("/proc/self/fd").join(made.as_raw_fd().to_string());
    Ok(Cow::Owned(Namespaces { network: Namespace::Join(path), ..plan.namespaces.clone() }))
}

/// Waits for the network while the container's first process sets its root up, and tells it when it may go on.
fn connect(network: network::Starting, channel: &Channel) -> Result<network::Running> {
    let running = network.wait()?;
    // EPIPE: that process has failed meanwhile, and says so itself.
    let _ = channel.send_network();
    Ok(running)
}

/// The first process waits for Go, so whatever is set here holds for all that it does.
fn attach(plan: &Plan, group: Option<Prepared>, pid: Pid) -> Result<Option<Held>> {
    let Some((wanted, group)) = plan.cgroup.as_ref().zip(group) else { return Ok(None) };
    match group.attach(wanted, pid, owner(plan)?) {
        Err(_) if !wanted.needed && wanted.logout.is_none() => Ok(None),
        attached => attached.map(Some),
    }
}

/// Starts the container in the foreground and waits for its end.
///
/// # Errors
/// As [`start`].
pub fn run(job: &Job<'_>) -> Result<Ended> {
    let plan = job.plan;
    let interactive = plan.process.interactive;
    let Started { child, signals, terminal: console, network, group } =
        start(job, || collect(job.dirs), |master| Console::start(master, interactive))?;
    let limit = job.timeout.map(|timeout| Instant::now() + timeout);
    let exit = supervise::supervise(child, &signals, console, network, limit);
    let out_of_memory = group.as_ref().and_then(Held::out_of_memory);
    if !plan.namespaces.pid.is_new() {
        supervise::end_descendants();
    }
    let exit = exit?;
    // A shell says 127 of a command that it has not found; so does the loader of a library.
    let oom = out_of_memory.is_some();
    let remark = if exit == Exit::Code(127) { examine(plan, &signals) } else { out_of_memory };
    Ok(Ended { exit, remark, oom })
}

/// Looks for what the loader can't have found; best effort, because the container has had its say already.
fn examine(plan: &Plan, signals: &Signals) -> Option<Error> {
    let (channel, theirs) = Channel::pair().ok()?;
    let child = match clone(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS).ok()? {
        Side::Parent(child) => child,
        Side::Child => {
            drop(channel);
            init::examine(&Init {
                plan,
                channel: theirs,
                signals,
                filter: None,
                listener: None,
                launcher: None,
                mapped: &[],
                stdio: None,
            })
        }
    };
    drop(theirs);
    let go = write_maps(&child, &plan.ids).is_ok() && channel.send_go(child.pid).is_ok();
    let report = if go { channel.next_report().ok() } else { None };
    child.kill();
    match report {
        Some(Report::Failed(failure)) => Some(Error::from(failure)),
        _ => None,
    }
}

/// Waits until the command runs, or until `create`'s process waits for `start`.
pub(super) fn hear<T>(
    channel: &Channel,
    plan: &Plan,
    pid: Pid,
    on_terminal: impl FnOnce(OwnedFd) -> Result<T>,
) -> Result<Option<T>> {
    let (mut terminal, mut on_terminal) = (None, Some(on_terminal));
    loop {
        match channel.next_report().context(&codes::SETUP, || "hear from the container's first process".into())? {
            Report::Terminal(master) => {
                if let Some(make) = on_terminal.take() {
                    terminal = Some(make(master)?);
                }
            }
            Report::Hooks => {
                run_hooks(plan, pid)?;
                channel.send_go(pid).context(&codes::SETUP, || "go on after the hooks".into())?;
            }
            Report::Failed(failure) => return Err(Error::from(failure)),
            Report::NotExecuted(errno, pid) => return Err(inside::explain(pid, plan, errno)),
            Report::End if plan.waits() => {
                let what = "the container's first process has ended before it could wait for start";
                return Err(Error::new(&codes::SETUP, what));
            }
            Report::End | Report::Waiting => return Ok(terminal),
            Report::Ready(_) => {}
        }
    }
}

/// prestart and createRuntime, in this process's own namespaces.
fn run_hooks(plan: &Plan, pid: Pid) -> Result<()> {
    let Some(bundle) = &plan.bundle else { return Ok(()) };
    // As crun and OCI's own validation have it, although `create` has not ended yet.
    let state = bundle.state(&plan.id, "created", pid.as_raw());
    hooks::run("prestart", &bundle.hooks.prestart, &state)?;
    hooks::run("createRuntime", &bundle.hooks.create_runtime, &state)
}

/// Without the caller's umask: with 077 nobody but its root could enter the container or read its /etc/hosts.
fn prepare(host: &HostPlan, run: &Path) -> Result<()> {
    let callers = umask(MADE_WITH);
    let made = make_directories(host, run);
    umask(callers);
    made
}

fn make_directories(host: &HostPlan, run: &Path) -> Result<()> {
    let make = |path: &Path, mode| {
        let made = std::fs::DirBuilder::new().recursive(true).mode(mode).create(path);
        made.context(&state::STATE, || format!("make {}", path.display()))
    };
    make(&run.join("mnt"), 0o700)?;
    for directory in &host.directories {
        if let Some(parent) = directory.parent() {
            make(parent, 0o700)?;
        }
        // The upper directory is the container's root directory: others than its root must be able to enter it.
        make(directory, 0o755)?;
    }
    for (path, content) in &host.files {
        std::fs::write(path, content).context(&state::STATE, || format!("write {}", path.display()))?;
    }
    Ok(())
}

/// The namespaces that the clone makes.
fn flags(plan: &Plan) -> CloneFlags {
    let namespaces = &plan.namespaces;
    // The time namespace is made by init; so is the cgroup namespace of a container with a group of its own, because its root is
    // the group in which its maker stands, and a clone into another group does not count yet.
    let Namespaces { user, mount, uts, ipc, pid, network, cgroup, time: _, clocks: _ } = namespaces;
    [
        (user, CloneFlags::CLONE_NEWUSER),
        (mount, CloneFlags::CLONE_NEWNS),
        (uts, CloneFlags::CLONE_NEWUTS),
        (ipc, CloneFlags::CLONE_NEWIPC),
        (pid, CloneFlags::CLONE_NEWPID),
        (network, CloneFlags::CLONE_NEWNET),
        (cgroup, CloneFlags::CLONE_NEWCGROUP),
    ]
    .into_iter()
    .filter(|(_, flag)| *flag != CloneFlags::CLONE_NEWCGROUP || plan.cgroup.is_none())
    .filter_map(|(namespace, flag)| namespace.is_new().then_some(flag))
    .fold(CloneFlags::empty(), |all, flag| all | flag)
}
