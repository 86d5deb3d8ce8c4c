//! The container's first process, from clone to exec.
//!
//! Owns the steps' execution, from top to bottom of the plan, with nothing asked of the parent. The surprise: it runs in the
//! memory that clone has copied from the parent, so it needs no arguments; and it reports a failure in full, because after exec
//! nobody can say what went wrong.

mod account;
mod become_root;
mod filter;
mod libraries;
mod lifecycle;
mod sources;
mod steps;
mod terminal;
mod tree;

use std::os::fd::OwnedFd;

use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};

use self::become_root::become_root;
use super::gate::Gate;
use super::handover::Receiver;
use super::message::Channel;
use super::mounts::Root;
use super::stdio::Stdio;
use super::user::Account;
use super::{binfmt, execute, reaper};
use crate::error::{Context, Error, Result, catalog::process as codes};
use crate::plan::{Listener, Plan};
use crate::sys::launcher::Launcher;
use crate::sys::signal::Signals;
use crate::sys::{child, process, seccomp};

pub(super) use self::libraries::examine;

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
    /// The parent's second Go has not been waited for.
    unrecorded: bool,
}

/// The umask under which is made what the container finds; the command gets its own by a step.
pub(super) const MADE_WITH: Mode = Mode::S_IWGRP.union(Mode::S_IWOTH);

/// Runs the plan and execs. Never returns: a failure goes up, and the process ends.
pub(super) fn run(init: &Init<'_>) -> ! {
    let Some(pid) = init.channel.wait_for_go() else { child::exit_now(125) };
    let mut state = State { pid, unrecorded: true, ..State::default() };
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
    umask(MADE_WITH);
    for (index, step) in init.plan.steps.iter().enumerate() {
        if step.is_noticed() {
            state.be_recorded(init);
        }
        state.carry_out(index, step, init)?;
    }
    state.be_recorded(init);
    state.stdio(&init.plan.process)
}

impl State {
    /// Waits, once, until the parent has written the container down. What the command or a hook does first may be to let somebody
    /// know that it is there, who then looks for it. The steps before go on while the parent writes.
    fn be_recorded(&mut self, init: &Init<'_>) {
        if std::mem::take(&mut self.unrecorded) && init.channel.wait_for_go().is_none() {
            child::exit_now(125);
        }
    }
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

/// The parent prints it; the status is for whoever reaps this process.
fn report(channel: &Channel, error: &Error) -> u8 {
    channel.send_failure(error);
    error.exit_status()
}
