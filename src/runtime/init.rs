//! The container's first process, from clone to exec.
//!
//! Owns the steps' execution, from top to bottom of the plan, with nothing asked of the parent. The surprise: it runs in the
//! memory that clone has copied from the parent, so it needs no arguments; and it reports a failure in full, because after exec
//! nobody can say what went wrong.

mod account;

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid};

use super::gate::Gate;
use super::handover::Receiver;
use super::message::Channel;
use super::mounts::{self, Bind, NewMount, Root};
use super::stdio::Stdio;
use super::user::{self, Account};
use super::uts;
use super::{attributes, binfmt, diagnose, execute, hooks, reaper, rights};
use crate::error::{Context, Error, Result, catalog::process as codes, catalog::rootfs};
use crate::plan::{Clock, Listener, Plan, Process, Step};
use crate::sys::launcher::Launcher;
use crate::sys::signal::Signals;
use crate::sys::{child, loopback, process, seccomp, terminal};

/// What the child has besides the plan.
pub(super) struct Init<'a> {
    pub(super) plan: &'a Plan,
    pub(super) channel: Channel,
    pub(super) signals: &'a Signals,
    /// The compiled seccomp filter.
    pub(super) filter: Option<&'a seccomp::Filter>,
    /// Who hears of what it notifies of.
    pub(super) listener: Option<&'a Listener>,
    /// The sealed launcher, where the parent had to see to it: what joins a mount namespace has that one's /proc, which may lie
    /// about whose rl's file is.
    pub(super) launcher: Option<&'a Launcher>,
    /// Binds whose ids are mapped, which only the parent could make; by the index of their steps.
    pub(super) mapped: &'a [(usize, OwnedFd)],
    /// What 0-2 are to be, where the command does not share the parent's.
    pub(super) stdio: Option<&'a Stdio>,
}

/// What the steps leave for later ones.
#[derive(Default)]
struct State {
    root: Option<Root>,
    account: Option<Account>,
    /// Looked up before the filter is loaded, which may forbid looking up.
    known: Option<Account>,
    slave: Option<OwnedFd>,
    /// What of the host each step needs, by its index; taken by the step.
    sources: Vec<Option<OwnedFd>>,
    /// Where the root is attached until pivot_root.
    on: Option<OwnedFd>,
    /// Where `create` waits for `start`.
    gate: Option<Gate>,
    /// Who is asked about notified system calls.
    listener: Option<Receiver>,
    /// This process's pid as the parent sees it.
    pid: i32,
    /// The emulators of the one step that has them.
    emulators: Vec<OwnedFd>,
    /// What this process becomes before the command is executed; None where nobody inside could write to `rl`.
    launcher: Option<Launcher>,
}

/// After the container has ended with 127: builds its root once more and looks for libraries that the loader can't have found.
/// Never returns; what it finds goes up as a failure, nothing as an end.
pub(super) fn examine(init: &Init<'_>) -> ! {
    if init.channel.wait_for_go().is_some()
        && let Ok(Some(error)) = missing_libraries(init)
    {
        report(&init.channel, &error);
    }
    child::exit_now(0)
}

fn missing_libraries(init: &Init<'_>) -> Result<Option<Error>> {
    let mut state = State::default();
    state.open_host(init)?;
    become_root(init.plan)?;
    // The root file system and the volumes; no terminal, no device, nothing behind the pivot.
    let needed =
        |step: &Step| matches!(step, Step::Overlay { .. } | Step::BindRoot { .. } | Step::Bind { device: false, .. });
    for (index, step) in init.plan.steps.iter().enumerate().filter(|(_, step)| needed(step)) {
        state.carry_out(index, step, init)?;
    }
    let command = &init.plan.process;
    let Some(program) = command.args.first() else { return Ok(None) };
    let root = state.root()?.fd();
    let Ok(path) = diagnose::locate(root, program, execute::search_path(&command.env), Path::new("/")) else {
        return Ok(None);
    };
    let missing = diagnose::missing_libraries(root, &path);
    let what = format!("{} needs {}", path.display(), missing.join(", "));
    Ok((!missing.is_empty()).then(|| Error::new(&codes::MISSING_LIBRARIES, what)))
}

/// Runs the plan and execs. Never returns: a failure goes up, and the process ends.
pub(super) fn run(init: &Init<'_>) -> ! {
    let Some(pid) = init.channel.wait_for_go() else { child::exit_now(125) };
    let mut state = State { pid, ..State::default() };
    let error = match carry_out(init, &mut state) {
        Ok(()) => start(init, &state),
        Err(error) => error,
    };
    if let Some(gate) = &state.gate {
        gate.send_failure(&error);
    }
    child::exit_now(report(&init.channel, &error))
}

/// The same in a container that runs already: `join` enters its namespaces, and the plan has no steps that make any.
/// `bound`: the process ends with this process's parent.
pub(super) fn run_joined(init: &Init<'_>, join: impl FnOnce() -> Result<()>, bound: bool) -> ! {
    let mut state = State::default();
    let carried_out = |state: &mut State| {
        state.launcher = execute::launcher(&init.plan.process)?;
        join()?;
        become_root(init.plan)?;
        steps(init, state)?;
        if bound { die_with_parent(&init.channel) } else { Ok(()) }
    };
    let error = match carried_out(&mut state) {
        Ok(()) => start(init, &state),
        Err(error) => error,
    };
    child::exit_now(report(&init.channel, &error))
}

fn carry_out(init: &Init<'_>, state: &mut State) -> Result<()> {
    if !init.plan.namespaces.mount.is_joined() {
        state.launcher = execute::launcher(&init.plan.process)?;
    }
    state.open_host(init)?;
    become_root(init.plan)?;
    // What the command does first may be to let somebody know that it is there, who then looks for it.
    if init.channel.wait_for_go().is_none() {
        child::exit_now(125);
    }
    steps(init, state)?;
    if init.plan.process.detached { Ok(()) } else { die_with_parent(&init.channel) }
}

/// From root of the namespace to the last moment before exec.
fn steps(init: &Init<'_>, state: &mut State) -> Result<()> {
    // Everything but 0-2 goes at exec, what the caller of rl has left open too (CVE-2024-21626).
    let first = 3 + init.plan.process.preserve_fds;
    process::close_on_exec_from(first).context(&codes::SETUP, || "mark the descriptors close-on-exec".into())?;
    // A session of its own: the caller's terminal is not the controlling one, so TIOCSTI can't type into it (CVE-2017-5226).
    nix::unistd::setsid().context(&codes::SETUP, || "make a session".into())?;
    if let Some(own) = init.stdio {
        own.take_place()?;
    }
    for (index, step) in init.plan.steps.iter().enumerate() {
        state.carry_out(index, step, init)?;
    }
    stdio(&init.plan.process, state)
}

/// Root of the new user namespace, before anything is made, so that all of it is owned by that root.
fn become_root(plan: &Plan) -> Result<()> {
    let doing = || "become root in the container".to_owned();
    if let Some(value) = plan.process.oom_score_adj {
        attributes::oom_score(value)?;
    }
    if plan.namespaces.time.is_new() {
        time_namespace(&plan.namespaces.clocks)?;
    }
    if plan.cgroup.is_some() && plan.namespaces.cgroup.is_new() {
        unshare(CloneFlags::CLONE_NEWCGROUP).context(&codes::SETUP, || "make a cgroup namespace".into())?;
    }
    if plan.ids.setgroups {
        nix::unistd::setgroups(&[]).context(&codes::SETUP, doing)?;
    }
    let (uid, gid) = (Uid::from_raw(0), Gid::from_raw(0));
    nix::unistd::setresgid(gid, gid, gid).context(&codes::SETUP, doing)?;
    nix::unistd::setresuid(uid, uid, uid).context(&codes::SETUP, doing)?;
    // Until exec nobody in another container may look at this process, which still has the host's mounts (CVE-2016-9962).
    nix::sys::prctl::set_dumpable(false).context(&codes::SETUP, doing)?;
    Ok(())
}

/// Not with clone: the child of a clone with CLONE_NEWTIME is in the namespace at once, and its offsets are fixed then. After
/// unshare the next exec enters it (Linux 5.19).
fn time_namespace(clocks: &[Clock]) -> Result<()> {
    let new = CloneFlags::from_bits_retain(libc::CLONE_NEWTIME);
    unshare(new).context(&codes::SETUP, || "make a time namespace".into())?;
    if clocks.is_empty() {
        return Ok(());
    }
    let line = |clock: &Clock| format!("{} {} {}\n", clock.name, clock.seconds, clock.nanoseconds);
    let text: String = clocks.iter().map(line).collect();
    std::fs::write("/proc/self/timens_offsets", text).context(&codes::SETUP, || "set the clocks' offsets".into())
}

/// The kernel forgets this at every change of credentials, so it comes last, and the parent may have died before.
fn die_with_parent(channel: &Channel) -> Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
        .context(&codes::SETUP, || "bind the container's life to rl's".into())?;
    if channel.is_orphan() {
        child::exit_now(125);
    }
    Ok(())
}

impl State {
    /// Opens whatever of the host the steps name, while this is still the caller: container root may be another, who has no way
    /// through the caller's private directories (nomap, auto). No path is looked up again.
    fn open_host(&mut self, init: &Init<'_>) -> Result<()> {
        for (index, step) in init.plan.steps.iter().enumerate() {
            let source = match step {
                Step::Isolate { propagation } => {
                    mounts::isolate(*propagation)?;
                    None
                }
                Step::Overlay { on, .. } => Some(mounts::open_directory(on)?),
                Step::BindRoot { source, on } => {
                    self.on = Some(mounts::open_directory(on)?);
                    Some(mounts::clone_root(source)?)
                }
                Step::Bind { idmap: Some(_), .. } => {
                    let made = init.mapped.iter().find(|(of, _)| *of == index);
                    let copy = made.map(|(_, tree)| tree.try_clone()).transpose();
                    copy.context(&codes::SETUP, || "take what the parent has made".into())?
                }
                Step::Bind { source, beneath: Some(root), .. } => Some(mounts::open_part(root, source)?),
                Step::Bind { source, .. } => Some(mounts::open_source(source)?),
                Step::Device(device) => mounts::host_node(device),
                Step::Emulate { emulators } => {
                    self.emulators = emulators.iter().map(binfmt::open).collect::<Result<_>>()?;
                    None
                }
                Step::AwaitStart { dir } => {
                    self.gate = Some(Gate::open(dir)?);
                    None
                }
                _ => None,
            };
            self.sources.push(source);
        }
        if let Some(listener) = init.listener {
            self.listener = Some(Receiver::connect(&listener.path, "linux.seccomp.listenerPath")?);
        }
        Ok(())
    }

    fn carry_out(&mut self, index: usize, step: &Step, init: &Init<'_>) -> Result<()> {
        match step {
            // Before anything of the host was opened.
            Step::Isolate { .. } => Ok(()),
            Step::Overlay { lower, upper, work, volatile, on } => {
                let overlay = mounts::Overlay { lower, upper, work, volatile: *volatile };
                self.root = Some(mounts::overlay(&overlay, on, &self.source(index)?)?);
                Ok(())
            }
            Step::BindRoot { .. } => {
                let (tree, on) = (self.source(index)?, self.on.take());
                let on = on.ok_or_else(|| Error::new(&rootfs::MOUNT, "find where the root is attached"))?;
                self.root = Some(mounts::bind_root(tree, &on)?);
                Ok(())
            }
            Step::EnterRoot => {
                self.root = Some(mounts::enter_root()?);
                Ok(())
            }
            Step::Emulate { emulators } => {
                let programs = std::mem::take(&mut self.emulators);
                let emulators: Vec<_> = emulators.iter().zip(programs).collect();
                binfmt::emulate(self.root()?, &emulators)
            }
            Step::Terminal => self.terminal(init),
            Step::PivotRoot { moved: false, .. } => mounts::pivot(self.root()?),
            Step::PivotRoot { moved: true, .. } => mounts::move_root(self.root()?),
            Step::Chroot => mounts::chroot(self.root()?),
            Step::RootPropagation { propagation, recursive } => {
                mounts::propagate_root(self.root()?, *propagation, *recursive)
            }
            Step::RootReadOnly => mounts::root_read_only(self.root()?),
            Step::Hostname { name } => uts::set_hostname(name),
            Step::Domainname { name } => uts::set_domainname(name),
            Step::Loopback => loopback::up().context(&codes::SETUP, || "bring the loopback interface up".into()),
            Step::Network => {
                if !init.channel.wait_for_network() {
                    child::exit_now(125);
                }
                Ok(())
            }
            Step::Sysctl { key, value } => self.sysctl(key, value),
            Step::Rlimit(limit) => rights::set_limit(limit),
            Step::Umask { mask } => {
                nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(*mask));
                Ok(())
            }
            Step::User { setgroups, .. } | Step::Ids { setgroups, .. } => {
                let account = self.look_up(step, init)?;
                self.become_account(account, *setgroups)
            }
            Step::WorkingDirectory { path } => self.working_directory(path, init.plan.joins_root()),
            Step::Capabilities(sets) => {
                rights::set_capabilities(sets, self.account.as_ref().is_none_or(|account| account.uid == 0))
            }
            Step::NoNewPrivileges => {
                nix::sys::prctl::set_no_new_privs().context(&codes::SETUP, || "set no_new_privs".into())
            }
            Step::Seccomp { .. } => {
                let later =
                    init.plan.steps[index..].iter().find(|step| matches!(step, Step::User { .. } | Step::Ids { .. }));
                self.known = later.map(|step| self.look_up(step, init)).transpose()?;
                self.load_filter(init)
            }
            Step::Keyring => attributes::keyring(),
            Step::Scheduling(scheduling) => attributes::scheduling(scheduling),
            Step::Personality { persona } => attributes::personality(*persona),
            Step::Label { module, label } => attributes::label(self.root()?, module, label),
            Step::RuntimeHooks | Step::ContainerHooks { .. } | Step::AwaitStart { .. } | Step::StartHooks { .. } => {
                self.lifecycle(step, init)
            }
            Step::Device(device) => {
                let host = self.sources.get_mut(index).and_then(Option::take);
                self.root()?.device(device, host.as_ref())
            }
            Step::Mount { .. }
            | Step::Bind { .. }
            | Step::Directory { .. }
            | Step::Symlink { .. }
            | Step::Mask { .. }
            | Step::ReadOnly { .. } => self.mount(index, step),
        }
    }

    fn root(&mut self) -> Result<&mut Root> {
        self.root.as_mut().ok_or_else(|| Error::new(&rootfs::MOUNT, "use a root file system before it was mounted"))
    }

    fn source(&mut self, index: usize) -> Result<OwnedFd> {
        let source = self.sources.get_mut(index).and_then(Option::take);
        source.ok_or_else(|| Error::new(&rootfs::MOUNT, format!("find what step {index} has opened of the host")))
    }

    fn mount(&mut self, index: usize, step: &Step) -> Result<()> {
        let opened = if let Step::Bind { .. } = step { Some(self.source(index)?) } else { None };
        let root = self.root()?;
        match step {
            Step::Mount { filesystem, source, target, attributes, options, fallback_bind, propagation, copy_up } => {
                root.mount(&NewMount {
                    filesystem,
                    source,
                    target,
                    attributes: *attributes,
                    options,
                    fallback: fallback_bind.as_deref(),
                    propagation: *propagation,
                    copy_up: *copy_up,
                })
            }
            Step::Bind {
                source, target, recursive, attributes, deep, propagation, device, copy, owner, idmap, ..
            } => {
                let (attributes, deep, propagation) = (*attributes, *deep, *propagation);
                let (recursive, device, copy) = (*recursive, *device, *copy);
                let owner = owner.as_ref().map(|words| user::account(root.fd(), words, &[])).transpose()?;
                let owner = owner.map(|account| (account.uid, account.gid));
                let bind = Bind { source, target, recursive, attributes, deep, propagation, device, copy, owner };
                let Some(opened) = opened else { return Ok(()) };
                let made = idmap.is_some();
                let tree = if made { opened } else { root.copy_opened(&opened, source, recursive)? };
                root.bind(&bind, &tree)
            }
            Step::Directory { target, .. } => root.directory(target).map(drop),
            Step::Symlink { target, to } => root.symlink(target, to),
            Step::Mask { targets } => targets.iter().try_for_each(|target| root.mask(target)),
            Step::ReadOnly { targets } => targets.iter().try_for_each(|target| root.read_only(target)),
            _ => Ok(()),
        }
    }

    /// A pty of the container's own devpts: what the container gets is never a descriptor of the caller's terminal.
    fn terminal(&mut self, init: &Init<'_>) -> Result<()> {
        let doing = || "open a terminal in the container's devpts".to_owned();
        let root = self.root()?;
        let master = root.open(Path::new("/dev/pts/ptmx"), OFlag::O_RDWR | OFlag::O_NOCTTY)?;
        // Root of a container that runs may have put something else there.
        let kind = nix::sys::statfs::fstatfs(&master).context(&codes::SETUP, doing)?.filesystem_type();
        if kind != nix::sys::statfs::DEVPTS_SUPER_MAGIC {
            return Err(Error::new(&codes::SETUP, doing()).because("/dev/pts is not a devpts file system"));
        }
        terminal::unlock(master.as_fd()).context(&codes::SETUP, doing)?;
        let slave = terminal::peer(master.as_fd()).context(&codes::SETUP, doing)?;
        if let Some((rows, columns)) = init.plan.process.console_size {
            let size = terminal::WindowSize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
            terminal::set_window_size(master.as_fd(), &size).context(&codes::SETUP, doing)?;
        }
        if !init.plan.joins_root() {
            root.bind_descriptor(slave.as_fd(), Path::new("/dev/console"))?;
        }
        terminal::make_controlling(slave.as_fd()).context(&codes::SETUP, doing)?;
        init.channel.send_terminal(&master).context(&codes::SETUP, || "hand the terminal to rl".into())?;
        self.slave = Some(slave);
        Ok(())
    }

    /// Through the container's own procfs, checked to be one: a bind over /proc must not turn this into a write elsewhere
    /// (CVE-2019-19921, CVE-2025-52881).
    fn sysctl(&mut self, key: &str, value: &str) -> Result<()> {
        let doing = || format!("set the sysctl {key}={value}");
        let path = PathBuf::from("/proc/sys").join(key.replace('.', "/"));
        let file = self.root()?.open(&path, OFlag::O_WRONLY)?;
        let kind = nix::sys::statfs::fstatfs(&file).context(&codes::SETUP, doing)?.filesystem_type();
        if kind != nix::sys::statfs::PROC_SUPER_MAGIC {
            return Err(Error::new(&codes::SETUP, doing()).because("/proc is not a proc file system"));
        }
        nix::unistd::write(&file, value.as_bytes()).context(&codes::SETUP, doing).map(drop)
    }

    /// What happens between the container's own steps: hooks, and waiting for `start`.
    fn lifecycle(&mut self, step: &Step, init: &Init<'_>) -> Result<()> {
        let state = |status| init.plan.bundle.as_ref().map(|bundle| bundle.state(&init.plan.id, status, self.pid));
        match step {
            Step::RuntimeHooks => {
                if !init.channel.have_hooks_run() {
                    child::exit_now(125);
                }
                Ok(())
            }
            Step::ContainerHooks { hooks } => {
                hooks::run("createContainer", hooks, &state("created").unwrap_or_default())
            }
            Step::StartHooks { hooks } => hooks::run("startContainer", hooks, &state("created").unwrap_or_default()),
            Step::AwaitStart { .. } => {
                let command = &init.plan.process;
                if !command.args.is_empty()
                    && let Err(errno) = execute::findable(&command.args, &command.env)
                {
                    return Err(execute::explain(command, &command.env, errno));
                }
                init.channel.send_waiting().context(&codes::SETUP, || "tell that all is done".into())?;
                self.wait_at_gate(init.plan.namespaces.pid.is_new())
            }
            _ => Ok(()),
        }
    }

    /// Engines join the namespaces of a container that was created by its pid, which the kernel refuses while it is not dumpable.
    /// With a pid namespace of its own nobody in it can see this process yet.
    fn wait_at_gate(&self, alone: bool) -> Result<()> {
        let doing = || "wait for start".to_owned();
        nix::sys::prctl::set_dumpable(alone).context(&codes::SETUP, doing)?;
        self.gate.as_ref().map_or(Ok(()), Gate::wait)?;
        nix::sys::prctl::set_dumpable(false).context(&codes::SETUP, doing)
    }

    fn load_filter(&self, init: &Init<'_>) -> Result<()> {
        let Some(filter) = init.filter else { return Ok(()) };
        let asked = seccomp::load(filter).context(&codes::SETUP, || "load the seccomp filter".into())?;
        let (Some(fd), Some(receiver), Some(listener)) = (asked, &self.listener, init.listener) else { return Ok(()) };
        let state = init.plan.bundle.as_ref().map(|bundle| bundle.state(&init.plan.id, "creating", self.pid));
        let text = serde_json::json!({
            "ociVersion": init.plan.bundle.as_ref().map(|bundle| &bundle.version),
            "fds": ["seccompFd"],
            "pid": self.pid,
            "metadata": listener.metadata,
            "state": state,
        });
        receiver.send(text.to_string().as_bytes(), fd.as_fd())
    }

    /// Made when it is missing, but not in a container that is there already.
    fn working_directory(&mut self, path: &Path, there: bool) -> Result<()> {
        let doing = || format!("change to the working directory {}", path.display());
        let directory = if there { self.root()?.existing_directory(path)? } else { self.root()?.directory(path)? };
        nix::unistd::fchdir(&directory).context(&codes::SETUP, doing)?;
        // getcwd(2) answers "(unreachable)" for a directory outside the root (CVE-2024-21626).
        let inside = nix::unistd::getcwd().is_ok_and(|cwd| cwd.is_absolute());
        if inside {
            Ok(())
        } else {
            Err(Error::new(&rootfs::UNSAFE_TARGET, doing()).because("it is outside the container"))
        }
    }
}

fn stdio(process: &Process, state: &State) -> Result<()> {
    let doing = || "set up stdin, stdout and stderr".to_owned();
    if let Some(slave) = &state.slave {
        nix::unistd::dup2_stdin(slave).context(&codes::SETUP, doing)?;
        nix::unistd::dup2_stdout(slave).context(&codes::SETUP, doing)?;
        nix::unistd::dup2_stderr(slave).context(&codes::SETUP, doing)?;
    } else if !process.interactive {
        nix::unistd::dup2_stdin(&null_device().context(&codes::SETUP, doing)?).context(&codes::SETUP, doing)?;
    }
    Ok(())
}

/// Checked to be the device: without waiting for the other end of what root of a running container may have put there.
fn null_device() -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let null = std::fs::OpenOptions::new().read(true).custom_flags(flags.bits()).open("/dev/null")?;
    if null.metadata()?.rdev() == libc::makedev(1, 3) {
        return Ok(null);
    }
    Err(std::io::Error::other("/dev/null is not the null device"))
}

/// The parent prints it; the status is for whoever reaps this process.
fn report(channel: &Channel, error: &Error) -> u8 {
    channel.send_failure(error);
    error.exit_status()
}

/// Execs the command, or starts it below rl's own reaper; what comes back is why not.
fn start(init: &Init<'_>, state: &State) -> Error {
    let command = &init.plan.process;
    let mut env = command.env.clone();
    if let (true, Some(account)) = (command.set_home, &state.account) {
        env.push(format!("HOME={}", account.home));
    }
    binfmt::warn_of_a_native_program(init.plan, &env);
    let report_to = state.gate.as_ref().map_or_else(|| init.channel.as_fd(), Gate::launchers_end);
    let by = state.launcher.as_ref().or(init.launcher).map(|program| (program, report_to));
    let launch = || execute::explain(command, &env, execute::execute(&command.args, &env, by));
    if command.init {
        // The container sees pid 1's command line: rl's own would show the host's paths and the values of -e.
        process::hide_arguments("rl-init");
        return match reaper::run(init.signals, || report(&init.channel, &launch())) {
            Ok(never) => match never {},
            Err(errno) => Error::new(&codes::SETUP, "start the command below rl's init").because(errno),
        };
    }
    match init.signals.restore() {
        Ok(()) => launch(),
        Err(errno) => Error::new(&codes::SETUP, "restore the signal mask").because(errno),
    }
}
