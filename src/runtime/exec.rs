//! `rl exec`: one more process in a container that runs.
//!
//! Owns the way in. A process between joins the pid namespace and clones the new one as its sister, because the member of a pid
//! namespace is born, not moved; the new one then joins all other namespaces at once, by pidfd, and carries out the same steps as
//! the container's first process did, with the same code. The surprise: the process is seen in the container before it is of the
//! container, so it is not dumpable from before its birth until exec: nobody inside can read its memory, take its descriptors, or
//! open what it was executed from (CVE-2016-9962, CVE-2019-5736).

mod keep;

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::unistd::Pid;

use super::console::Console;
use super::init::{self, Init};
use super::inside::Place;
pub use super::inside::{Record, Target};
use super::keys::Keys;
use super::message::Channel;
use super::parent::{Started, hear};
use super::{join, rights, supervise};
use crate::cgroup::Group;
use crate::error::{Context, Error, Result, catalog::process as codes};
use crate::plan::Plan;
use crate::plan::exec::{Wish, compile};
use crate::sys::child::Exit;
use crate::sys::clone::Side;
use crate::sys::signal::Signals;

/// The plan of one exec in a container that was found.
pub fn plan(target: &Target, wish: &Wish) -> Plan {
    compile(&target.record.template, wish, &rights::limits())
}

/// Starts the process and stays until its end, or until the keys have been typed: None, and it goes on with its terminal.
///
/// # Errors
/// What failed before exec.
pub fn run(target: &Target, plan: &Plan, keys: Keys) -> Result<Option<Exit>> {
    let interactive = plan.process.interactive;
    let on_terminal = |master| Console::start(master, interactive).map(|console| console.with_keys(keys));
    let Started { child, signals, mut terminal, .. } = start(target, plan, false, on_terminal)?;
    match supervise::until_left(&child, &signals, terminal.as_mut()) {
        Ok(Some(exit)) => Ok(Some(exit)),
        Ok(None) => {
            let master = terminal.and_then(Console::into_master);
            master.map_or(Ok(()), |master| keep::keep(&child, &master)).map(|()| None)
        }
        Err(error) => {
            child.kill();
            Err(error)
        }
    }
}

/// Starts the process, with nothing of the caller's, and leaves it to the container.
///
/// # Errors
/// What failed before exec.
pub fn detach(target: &Target, plan: &Plan) -> Result<()> {
    let Started { child, terminal, .. } = start(target, plan, true, Ok)?;
    match terminal {
        Some(master) => keep::keep(&child, &master),
        None => Ok(()),
    }
}

/// Up to the command's exec. `alone`: it gets nothing of the caller's stdin, stdout and stderr.
///
/// # Errors
/// What failed before.
pub fn start<T>(
    target: &Target,
    plan: &Plan,
    alone: bool,
    on_terminal: impl FnOnce(OwnedFd) -> Result<T>,
) -> Result<Started<T>> {
    let place = Place::of(target)?;
    let filter = target.record.filter(plan)?;
    let signals = Signals::block().context(&codes::SETUP, || "block signals".into())?;
    let (channel, theirs) = Channel::pair().context(&codes::SETUP, || "make a socket pair".into())?;
    let between = || {
        // Its limits are those of whatever runs in it. The process that is cloned is born in its maker's group.
        if let Some(group) = Group::of(Pid::from_raw(target.pid)) {
            group.admit(Pid::from_raw(target.pid), Pid::this())?;
        }
        approach(&place)
    };
    let side = join::through(CloneFlags::empty(), None, "make a process in the container", between)?;
    let Side::Parent(child) = side else {
        drop(channel);
        // Where the kernel does not end the process with the container's first one, it ends with this rl.
        let bound = !target.record.template.own_pids;
        let init = Init {
            plan,
            channel: theirs,
            signals: &signals,
            filter: filter.as_ref(),
            listener: None,
            launcher: None,
            mapped: &[],
            stdio: None,
        };
        let prepare = || {
            if alone {
                without_streams()?;
            }
            enter(&place)
        };
        init::run_joined(&init, prepare, bound)
    };
    drop(theirs);
    match hear(&channel, plan, child.pid, on_terminal) {
        Ok(terminal) => Ok(Started { child, signals, terminal, network: None, group: None }),
        Err(error) => {
            child.kill();
            Err(error)
        }
    }
}

fn without_streams() -> Result<()> {
    let doing = || "open /dev/null".to_owned();
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null").context(&codes::SETUP, doing)?;
    nix::unistd::dup2_stdin(&null).context(&codes::SETUP, doing)?;
    nix::unistd::dup2_stdout(&null).context(&codes::SETUP, doing)?;
    nix::unistd::dup2_stderr(&null).context(&codes::SETUP, doing)
}

/// The process between. What it sets on itself its sister is born with.
fn approach(place: &Place) -> Result<()> {
    nix::sys::prctl::set_dumpable(false).context(&codes::JOIN, || "hide from the container".into())?;
    if let Some(base) = &place.base {
        // As root of the namespace that owns the container's: without it no pid namespace can be entered.
        setns(base, CloneFlags::CLONE_NEWUSER).map_err(|errno| refused("its user namespace's parent", errno))?;
    }
    if place.pids {
        setns(place.pidfd.as_fd(), CloneFlags::CLONE_NEWPID).map_err(|errno| refused("its pid namespace", errno))?;
    }
    Ok(())
}

/// The new process. The kernel enters the user namespace first, which gives the rights for the others.
fn enter(place: &Place) -> Result<()> {
    if place.others.is_empty() {
        return Ok(());
    }
    setns(place.pidfd.as_fd(), place.others).map_err(|errno| refused("its namespaces", errno))?;
    // Entering a user namespace may reset it.
    nix::sys::prctl::set_dumpable(false).context(&codes::JOIN, || "hide from the container".into())
}

fn refused(what: &str, errno: Errno) -> Error {
    let error = Error::new(&codes::JOIN, format!("enter {what}")).because(errno);
    if errno == Errno::ESRCH { error.fix("The container has just ended.") } else { error }
}
