//! `RUN/containers/ID/state.json`: which process is a container's first one.
//!
//! Written once, when that process has been cloned, in one write. The surprise: believing it takes three looks. The boot id, then a
//! pidfd of the pid, and only then the start time: were the pid another process's by now, the time would not be the recorded one
//! (attack 25: a stale pid file that made a runtime kill somebody else).

use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::files::{create_private, write_replacing};
use super::record::Record;
use crate::error::{Context, Result, catalog::state};
use crate::host::{kernel, procfs};
use crate::spec::lifecycle::Restart;
use crate::sys::child::{open_pidfd, signal_pidfd};

const VERSION: u32 = 1;
const FILE: &str = "state.json";

/// What the file says, unverified.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunningFile {
    version: u32,
    boot_id: String,
    /// The container's first process.
    pub pid: i32,
    start_time: u64,
    /// Nanoseconds since 1970: when it was cloned.
    pub started: u64,
    /// The process that watches over it, its parent.
    pub supervisor: i32,
    supervisor_start_time: u64,
    /// Of a container of `--rm` in the foreground, which has no `container.json`.
    pub record: Option<Box<Record>>,
}

/// A container's first process, found to be alive and itself.
#[derive(Debug)]
pub struct Running {
    /// Its pid in our pid namespace.
    pub pid: Pid,
    /// Of the very process; readable when it has ended.
    pub pidfd: OwnedFd,
    /// Nanoseconds since 1970.
    pub started: u64,
}

impl RunningFile {
    /// Of a child of this process.
    pub fn of_child(pid: Pid, record: Option<&Record>) -> Self {
        let me = Pid::this().as_raw();
        Self {
            version: VERSION,
            boot_id: kernel::boot_id().unwrap_or_default(),
            pid: pid.as_raw(),
            start_time: procfs::start_time(pid.as_raw()).unwrap_or_default(),
            started: super::now(),
            supervisor: me,
            supervisor_start_time: procfs::start_time(me).unwrap_or_default(),
            record: record.cloned().map(Box::new),
        }
    }

    /// None: there is none, or not all of it yet.
    pub fn read(run: &Path) -> Option<Self> {
        let file: Self = serde_json::from_slice(&std::fs::read(run.join(FILE)).ok()?).ok()?;
        (file.version == VERSION).then_some(file)
    }

    /// For whoever finds the container.
    pub fn write(&self, run: &Path) -> Result<()> {
        let path = run.join(FILE);
        let doing = || format!("write {}", path.display());
        let text = serde_json::to_vec(self).context(&state::INTERNAL, doing)?;
        create_private(&path).and_then(|mut file| file.write_all(&text)).context(&state::STATE, doing)
    }

    /// Whether it was written in this boot.
    fn of_this_boot(&self) -> bool {
        kernel::boot_id().is_some_and(|id| id == self.boot_id)
    }

    /// The container's first process; None: it has ended.
    pub fn verify(&self) -> Option<Running> {
        if !self.of_this_boot() {
            return None;
        }
        let pidfd = verified(self.pid, self.start_time)?;
        Some(Running { pid: Pid::from_raw(self.pid), pidfd, started: self.started })
    }

    /// The process that watches over it; None: it has ended.
    pub fn verify_supervisor(&self) -> Option<OwnedFd> {
        if self.of_this_boot() { verified(self.supervisor, self.supervisor_start_time) } else { None }
    }
}

impl Running {
    /// Sends a signal to this very process. That it has ended meanwhile is no error.
    pub fn signal(&self, number: i32) -> Result<()> {
        match signal_pidfd(self.pidfd.as_fd(), number) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
            Err(errno) => Err(errno).context(&state::STATE, || format!("send signal {number} to pid {}", self.pid)),
        }
    }

    /// Waits for its end, at most so long; false: it still runs.
    pub fn wait(&self, timeout: PollTimeout) -> bool {
        ended(self.pidfd.as_fd(), timeout)
    }
}

const STOP: &str = "stop";

/// Leaves word that somebody wants the container's end, so that it is not started again.
pub fn ask_to_stop(run: &Path) -> Result<()> {
    let path = run.join(STOP);
    create_private(&path).map(drop).context(&state::STATE, || format!("write {}", path.display()))
}

const POLICY: &str = "restart.json";

/// Leaves word that the container's restart policy is another one now.
pub fn ask_for_policy(run: &Path, policy: Restart) -> Result<()> {
    write_replacing(&run.join(POLICY), &policy, false)
}

/// The policy of that word, if anybody has left it.
pub fn asked_policy(run: &Path) -> Option<Restart> {
    serde_json::from_slice(&std::fs::read(run.join(POLICY)).ok()?).ok()
}

/// Asks the process behind this pidfd, a supervisor, to end. That it has ended is as good.
pub fn ask_to_end(supervisor: BorrowedFd<'_>) {
    let _ = signal_pidfd(supervisor, libc::SIGTERM);
}

/// Whether somebody has left that word.
pub fn asked_to_stop(run: &Path) -> bool {
    run.join(STOP).exists()
}

/// The pidfd first: if the pid passed to another process before it was opened, the start time shows that.
fn verified(pid: i32, start_time: u64) -> Option<OwnedFd> {
    if pid <= 0 {
        return None;
    }
    let pidfd = open_pidfd(Pid::from_raw(pid)).ok()?;
    let same = procfs::start_time(pid) == Some(start_time);
    // A process that has ended keeps its pid until it is reaped.
    (same && !ended(pidfd.as_fd(), PollTimeout::ZERO)).then_some(pidfd)
}

fn ended(pidfd: BorrowedFd<'_>, timeout: PollTimeout) -> bool {
    let mut polls = [PollFd::new(pidfd, PollFlags::POLLIN)];
    poll(&mut polls, timeout).is_ok_and(|ready| ready > 0)
}
