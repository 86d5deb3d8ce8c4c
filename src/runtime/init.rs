//! The container's first process, from clone to exec.
//!
//! Owns the steps' execution, from top to bottom of the plan, with nothing asked of the parent. The surprise: it runs in the
//! memory that clone has copied from the parent, so it needs no arguments; and it reports a failure in full, because after exec
//! nobody can say what went wrong.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid};

use super::message::Channel;
use super::mounts::{self, Bind, Root};
use super::user::{self, Account};
use super::{diagnose, reaper};
use crate::error::{Context, Error, Result, catalog::process as codes, catalog::rootfs};
use crate::plan::{CapabilitySets, Clock, Plan, Process, Step};
use crate::spec::{Ulimit, capabilities};
use crate::sys::signal::Signals;
use crate::sys::{capability, child, loopback, process, seccomp, terminal};

/// What the child has besides the plan.
pub(super) struct Init<'a> {
    pub(super) plan: &'a Plan,
    pub(super) channel: Channel,
    pub(super) signals: &'a Signals,
    /// The compiled seccomp filter.
    pub(super) filter: Option<&'a seccomp::Filter>,
}

/// What the steps leave for later ones.
#[derive(Default)]
struct State {
    root: Option<Root>,
    account: Option<Account>,
    slave: Option<OwnedFd>,
    /// What of the host each step needs, by its index; taken by the step.
    sources: Vec<Option<OwnedFd>>,
    /// Where the root is attached until pivot_root.
    on: Option<OwnedFd>,
}

/// After the container has ended with 127: builds its root once more and looks for libraries that the loader can't have found.
/// Never returns; what it finds goes up as a failure, nothing as an end.
pub(super) fn examine(init: &Init<'_>) -> ! {
    if init.channel.wait_for_go()
        && let Ok(Some(error)) = missing_libraries(init)
    {
        report(&init.channel, &error);
    }
    child::exit_now(0)
}

fn missing_libraries(init: &Init<'_>) -> Result<Option<Error>> {
    let mut state = open_host(init.plan)?;
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
    let Ok(path) = diagnose::locate(root, program, search_path(&command.env), Path::new("/")) else { return Ok(None) };
    let missing = diagnose::missing_libraries(root, &path);
    let what = format!("{} needs {}", path.display(), missing.join(", "));
    Ok((!missing.is_empty()).then(|| Error::new(&codes::MISSING_LIBRARIES, what)))
}

/// Runs the plan and execs. Never returns: a failure goes up, and the process ends.
pub(super) fn run(init: &Init<'_>) -> ! {
    if !init.channel.wait_for_go() {
        child::exit_now(125);
    }
    let error = match carry_out(init) {
        Ok(state) => start(init, &state),
        Err(error) => error,
    };
    child::exit_now(report(&init.channel, &error))
}

fn carry_out(init: &Init<'_>) -> Result<State> {
    let mut state = open_host(init.plan)?;
    become_root(init.plan)?;
    // Everything but 0-2 goes at exec, what the caller of rl has left open too (CVE-2024-21626).
    process::close_on_exec_above_stdio().context(&codes::SETUP, || "mark the descriptors close-on-exec".into())?;
    // A session of its own: the caller's terminal is not the controlling one, so TIOCSTI can't type into it (CVE-2017-5226).
    nix::unistd::setsid().context(&codes::SETUP, || "make a session".into())?;
    for (index, step) in init.plan.steps.iter().enumerate() {
        state.carry_out(index, step, init)?;
    }
    stdio(&init.plan.process, &state)?;
    die_with_parent(&init.channel)?;
    Ok(state)
}

/// Opens whatever of the host the steps name, while this is still the caller: container root may be another, who has no way
/// through the caller's private directories (nomap, auto). What is opened is detached already, so no path is looked up again.
fn open_host(plan: &Plan) -> Result<State> {
    let mut state = State::default();
    for step in &plan.steps {
        let source = match step {
            Step::Isolate { propagation } => {
                mounts::isolate(*propagation)?;
                None
            }
            Step::Overlay { on, .. } => Some(mounts::open_directory(on)?),
            Step::BindRoot { source, on } => {
                state.on = Some(mounts::open_directory(on)?);
                Some(mounts::clone_root(source)?)
            }
            Step::Bind { source, recursive, .. } => Some(mounts::clone_source(source, *recursive)?),
            _ => None,
        };
        state.sources.push(source);
    }
    Ok(state)
}

/// Root of the new user namespace, before anything is made, so that all of it is owned by that root.
fn become_root(plan: &Plan) -> Result<()> {
    let doing = || "become root in the container".to_owned();
    if plan.namespaces.time.is_new() {
        time_namespace(&plan.namespaces.clocks)?;
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
            Step::Terminal => self.terminal(&init.channel),
            Step::PivotRoot { .. } => mounts::pivot(self.root()?),
            Step::RootReadOnly => mounts::root_read_only(self.root()?),
            Step::Hostname { name } => set_hostname(name),
            Step::Domainname { name } => set_domainname(name),
            Step::Loopback => loopback::up().context(&codes::SETUP, || "bring the loopback interface up".into()),
            Step::Sysctl { key, value } => self.sysctl(key, value),
            Step::Rlimit(limit) => set_limit(limit),
            Step::Umask { mask } => {
                nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(*mask));
                Ok(())
            }
            Step::User { user, groups, setgroups } => self.become_user(user, groups, *setgroups),
            Step::WorkingDirectory { path } => self.working_directory(path),
            Step::Capabilities(sets) => self.capabilities(sets),
            Step::NoNewPrivileges => {
                nix::sys::prctl::set_no_new_privs().context(&codes::SETUP, || "set no_new_privs".into())
            }
            Step::Seccomp { .. } => load_filter(init.filter),
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
        let tree = if let Step::Bind { .. } = step { Some(self.source(index)?) } else { None };
        let root = self.root()?;
        match step {
            Step::Mount { filesystem, target, attributes, options, fallback_bind } => {
                root.mount(filesystem, target, *attributes, options, fallback_bind.as_deref())
            }
            Step::Bind { source, target, recursive, attributes, propagation, device } => {
                let (attributes, propagation) = (*attributes, *propagation);
                let bind = Bind { source, target, recursive: *recursive, attributes, propagation, device: *device };
                tree.map_or(Ok(()), |tree| root.bind(&bind, &tree))
            }
            Step::Directory { target, .. } => root.directory(target).map(drop),
            Step::Symlink { target, to } => root.symlink(target, to),
            Step::Mask { targets } => targets.iter().try_for_each(|target| root.mask(target)),
            Step::ReadOnly { targets } => targets.iter().try_for_each(|target| root.read_only(target)),
            _ => Ok(()),
        }
    }

    /// A pty of the container's own devpts: what the container gets is never a descriptor of the caller's terminal.
    fn terminal(&mut self, channel: &Channel) -> Result<()> {
        let doing = || "open a terminal in the container's devpts".to_owned();
        let root = self.root()?;
        let master = root.open(Path::new("/dev/pts/ptmx"), OFlag::O_RDWR | OFlag::O_NOCTTY)?;
        terminal::unlock(master.as_fd()).context(&codes::SETUP, doing)?;
        let slave = terminal::peer(master.as_fd()).context(&codes::SETUP, doing)?;
        root.bind_descriptor(slave.as_fd(), Path::new("/dev/console"))?;
        terminal::make_controlling(slave.as_fd()).context(&codes::SETUP, doing)?;
        channel.send_terminal(&master).context(&codes::SETUP, || "hand the terminal to rl".into())?;
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

    fn become_user(&mut self, words: &str, groups: &[String], setgroups: bool) -> Result<()> {
        let account = user::account(self.root()?.fd(), words, groups)?;
        let doing = || format!("become uid {} with gid {} and groups {:?}", account.uid, account.gid, account.groups);
        // Permitted capabilities survive until the Capabilities step has set all the sets.
        nix::sys::prctl::set_keepcaps(true).context(&codes::SETUP, doing)?;
        if setgroups {
            let groups: Vec<_> = account.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
            nix::unistd::setgroups(&groups).map_err(|errno| unmapped(errno, &account))?;
        } else if account.groups.iter().any(|gid| *gid != account.gid) && !groups.is_empty() {
            return Err(Error::new(&codes::UNKNOWN_USER, doing())
                .because("with a single id the kernel denies setgroups")
                .fix("Additional groups need subordinate ids: rl explain RL0202"));
        }
        own_stdio(&account, self.slave.as_ref());
        let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
        nix::unistd::setresgid(gid, gid, gid).map_err(|errno| unmapped(errno, &account))?;
        nix::unistd::setresuid(uid, uid, uid).map_err(|errno| unmapped(errno, &account))?;
        self.account = Some(account);
        Ok(())
    }

    fn capabilities(&self, sets: &CapabilitySets) -> Result<()> {
        let doing = || "set the capabilities".to_owned();
        let mask = |names: &[String]| capabilities::mask(names);
        let is_root = self.account.as_ref().is_none_or(|account| account.uid == 0);
        let (bounding, ambient) = (mask(&sets.bounding), if is_root { 0 } else { mask(&sets.ambient) });
        let (own, inheritable) =
            if is_root { (mask(&sets.effective), mask(&sets.inheritable)) } else { (ambient, ambient) };
        let permitted = capability::get().context(&codes::SETUP, doing)?.permitted;
        // After a change of uid the effective set is empty; dropping from the bounding set needs CAP_SETPCAP in it.
        capability::set(permitted, permitted, 0).context(&codes::SETUP, doing)?;
        capability::drop_bounding(bounding).context(&codes::SETUP, doing)?;
        capability::clear_ambient().context(&codes::SETUP, doing)?;
        capability::set(own, own, inheritable).context(&codes::SETUP, doing)?;
        nix::sys::prctl::set_keepcaps(false).context(&codes::SETUP, doing)?;
        capability::raise_ambient(ambient).context(&codes::SETUP, doing)
    }

    fn working_directory(&mut self, path: &Path) -> Result<()> {
        let doing = || format!("change to the working directory {}", path.display());
        let directory = self.root()?.directory(path)?;
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

/// A joined UTS namespace has the name already as a rule, and may belong to a user namespace above this one.
fn set_hostname(name: &str) -> Result<()> {
    if nix::unistd::gethostname().is_ok_and(|own| own == name) {
        return Ok(());
    }
    nix::unistd::sethostname(name).context(&codes::SETUP, || format!("set the hostname {name}"))
}

fn set_domainname(name: &str) -> Result<()> {
    std::fs::write("/proc/sys/kernel/domainname", name).context(&codes::SETUP, || format!("set the domain name {name}"))
}

fn load_filter(filter: Option<&seccomp::Filter>) -> Result<()> {
    filter.map_or(Ok(()), |filter| seccomp::load(filter).context(&codes::SETUP, || "load the seccomp filter".into()))
}

fn set_limit(limit: &Ulimit) -> Result<()> {
    let doing = || format!("set the limit {}={}:{}", limit.name, limit.soft, limit.hard);
    let resource =
        resource(&limit.name).ok_or_else(|| Error::new(&codes::SETUP, doing()).because("there is no such limit"))?;
    setrlimit(resource, limit.soft, limit.hard).map_err(|errno| {
        let error = Error::new(&codes::SETUP, doing()).because(errno);
        if errno == Errno::EPERM {
            error.fix("Nobody without privilege can raise a hard limit; ulimit -H shows yours.")
        } else {
            error
        }
    })
}

fn resource(name: &str) -> Option<Resource> {
    Some(match name {
        "as" => Resource::RLIMIT_AS,
        "core" => Resource::RLIMIT_CORE,
        "cpu" => Resource::RLIMIT_CPU,
        "data" => Resource::RLIMIT_DATA,
        "fsize" => Resource::RLIMIT_FSIZE,
        "locks" => Resource::RLIMIT_LOCKS,
        "memlock" => Resource::RLIMIT_MEMLOCK,
        "msgqueue" => Resource::RLIMIT_MSGQUEUE,
        "nice" => Resource::RLIMIT_NICE,
        "nofile" => Resource::RLIMIT_NOFILE,
        "nproc" => Resource::RLIMIT_NPROC,
        "rss" => Resource::RLIMIT_RSS,
        "rtprio" => Resource::RLIMIT_RTPRIO,
        "rttime" => Resource::RLIMIT_RTTIME,
        "sigpending" => Resource::RLIMIT_SIGPENDING,
        "stack" => Resource::RLIMIT_STACK,
        _ => return None,
    })
}

fn unmapped(errno: Errno, account: &Account) -> Error {
    let doing = format!("become uid {} with gid {} and groups {:?}", account.uid, account.gid, account.groups);
    let error = Error::new(&codes::UNKNOWN_USER, doing).because(errno);
    if errno == Errno::EINVAL {
        return error.fix("An id is not mapped in the container: you have too few subordinate ids (rl explain RL0202) or the id is wrong.");
    }
    error
}

/// So that a program that reopens /dev/stdout may: only pipes and the container's own terminal, never a file of the caller's.
fn own_stdio(account: &Account, slave: Option<&OwnedFd>) {
    if account.uid == 0 {
        return;
    }
    let (uid, gid) = (Some(Uid::from_raw(account.uid)), None::<Gid>);
    if let Some(slave) = slave {
        let _ = nix::unistd::fchown(slave, uid, gid);
    }
    for stream in [std::io::stdin().as_fd(), std::io::stdout().as_fd(), std::io::stderr().as_fd()] {
        let is_pipe = nix::sys::stat::fstat(stream).is_ok_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFIFO);
        if is_pipe {
            let _ = nix::unistd::fchown(stream, uid, gid);
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
        let null = std::fs::File::open("/dev/null").context(&codes::SETUP, doing)?;
        nix::unistd::dup2_stdin(&null).context(&codes::SETUP, doing)?;
    }
    Ok(())
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
    let launch = || explain(command, &env, execute(&command.args, &env));
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

fn explain(process: &Process, env: &[String], errno: Errno) -> Error {
    let doing = || format!("execute {}", process.args.first().map_or("", String::as_str));
    let root = match std::fs::File::open("/") {
        Ok(root) => root,
        Err(error) => return Error::new(&codes::SETUP, doing()).because(error),
    };
    let cwd = nix::unistd::getcwd().unwrap_or_else(|_| PathBuf::from("/"));
    let command = process.args.first().map_or("", String::as_str);
    diagnose::explain(root.as_fd(), command, search_path(env), &cwd, errno)
}

fn search_path(env: &[String]) -> &str {
    env.iter()
        .rev()
        .find_map(|pair| pair.strip_prefix("PATH="))
        .unwrap_or("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
}

/// execvp(3) with the container's PATH: a file that may not be executed is passed over, but remembered.
fn execute(args: &[String], env: &[String]) -> Errno {
    let strings = |list: &[String]| list.iter().map(|text| CString::new(text.as_str())).collect::<Result<Vec<_>, _>>();
    let (Ok(argv), Ok(envp)) = (strings(args), strings(env)) else { return Errno::EINVAL };
    let Some(command) = args.first().filter(|command| !command.is_empty()) else { return Errno::ENOENT };
    let attempt = |path: &str| -> Errno {
        let Ok(path) = CString::new(path) else { return Errno::EINVAL };
        match nix::unistd::execve(&path, &argv, &envp) {
            Ok(never) => match never {},
            Err(errno) => errno,
        }
    };
    if command.contains('/') {
        return attempt(command);
    }
    let mut worst = Errno::ENOENT;
    for directory in search_path(env).split(':') {
        let directory = if directory.is_empty() { "." } else { directory };
        match attempt(&format!("{directory}/{command}")) {
            Errno::ENOENT | Errno::ENOTDIR => {}
            Errno::EACCES => worst = Errno::EACCES,
            errno => return errno,
        }
    }
    worst
}
