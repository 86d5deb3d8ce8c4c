//! A container that runs, seen from outside: where its namespaces are, and what it has left for execs.
//!
//! Owns [`Target`], the record below the run directory, and asking a process inside why it could not be executed. It starts nothing.

mod place;
mod record;

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, setns};
use nix::sys::stat::Mode;
use nix::unistd::Pid;

pub(super) use self::place::Place;
pub use self::record::{Record, write as record};
use super::execute;
use super::message::{Channel, Report};
use crate::error::{Context, Error, Result, catalog::process as codes};
use crate::plan::Plan;
use crate::sys::child::{exit_now, open_pidfd};
use crate::sys::clone::{Side, clone};

/// The container: its first process, by number and by descriptor, and what it has left for execs.
#[derive(Debug)]
pub struct Target {
    /// In our namespace.
    pub pid: i32,
    /// The same, for sure.
    pub pidfd: OwnedFd,
    /// See [`Record`].
    pub record: Record,
}

/// The container's root directory, to look names up in. Whoever runs in the container can change what is there, not where it is.
///
/// # Errors
/// RL0516.
pub fn root(target: &Target) -> Result<OwnedFd> {
    let doing = || "open the container's root directory".to_owned();
    let place = Place::of(target)?;
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let path = format!("/proc/{}/root", place.pid);
    let root = nix::fcntl::open(path.as_str(), flags, Mode::empty()).context(&codes::JOIN, doing)?;
    // Was it still the same process?
    place.alive()?;
    Ok(root)
}

/// Why the command of a plan was refused, asked where its process is, which waits. Best effort: there is always the errno.
pub(super) fn explain(pid: Pid, plan: &Plan, errno: Errno) -> Error {
    let command = plan.process.args.first().map_or("", String::as_str);
    let plain = || Error::new(&codes::NOT_EXECUTABLE, format!("execute {command}")).because(errno);
    let looked = || -> Option<Error> {
        let pidfd = open_pidfd(pid).ok()?;
        let place = Place::through(pid.as_raw(), pidfd).ok()?;
        let (channel, theirs) = Channel::pair().ok()?;
        let child = match clone(CloneFlags::empty()).ok()? {
            Side::Parent(child) => child,
            Side::Child => {
                drop(channel);
                let files = place.others & (CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS);
                let hidden = nix::sys::prctl::set_dumpable(false);
                if hidden.is_ok() && setns(place.pidfd.as_fd(), files).is_ok() {
                    theirs.send_failure(&execute::explain_here(plan, errno));
                }
                exit_now(0)
            }
        };
        drop(theirs);
        let report = channel.next_report().ok();
        child.kill();
        match report {
            Some(Report::Failed(failure)) => Some(Error::from(failure)),
            _ => None,
        }
    };
    looked().unwrap_or_else(plain)
}
