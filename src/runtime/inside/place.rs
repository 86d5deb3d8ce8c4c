//! Where the container is: which of its namespaces are not the caller's, and through which process they are entered.
//!
//! The surprise: below `--init` the first process is rl's own reaper, which nobody may look into; its namespaces are those of its
//! first child, the command.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::sys::stat::{fstat, stat};
use nix::unistd::Pid;

use super::Target;
use crate::error::{Context, Error, Result, catalog::process as codes};
use crate::sys::child::{open_pidfd, signal_pidfd};
use crate::sys::namespace;

/// What has to be entered.
pub(in crate::runtime) struct Place {
    /// A process that is in all of them, by number.
    pub(in crate::runtime) pid: i32,
    /// The same, for sure.
    pub(in crate::runtime) pidfd: OwnedFd,
    /// The user namespace that owns the container's, where it is not the caller's own.
    pub(in crate::runtime) base: Option<OwnedFd>,
    /// Whether the pid namespace is another.
    pub(in crate::runtime) pids: bool,
    /// The others.
    pub(in crate::runtime) others: CloneFlags,
}

const KINDS: [(&str, CloneFlags); 8] = [
    ("user", CloneFlags::CLONE_NEWUSER),
    ("mnt", CloneFlags::CLONE_NEWNS),
    ("pid", CloneFlags::CLONE_NEWPID),
    ("net", CloneFlags::CLONE_NEWNET),
    ("ipc", CloneFlags::CLONE_NEWIPC),
    ("uts", CloneFlags::CLONE_NEWUTS),
    ("cgroup", CloneFlags::CLONE_NEWCGROUP),
    ("time", CloneFlags::from_bits_retain(libc::CLONE_NEWTIME)),
];

impl Place {
    /// Looks at the container's namespaces. Every number was checked to be still the same process after the last look.
    pub(in crate::runtime) fn of(target: &Target) -> Result<Self> {
        let doing = || format!("look at the namespaces of process {}", target.pid);
        if !target.record.template.process.init {
            return Self::through(target.pid, target.pidfd.try_clone().context(&codes::JOIN, doing)?);
        }
        let (pid, pidfd) = command(target.pid).ok_or_else(|| Error::new(&codes::JOIN, doing()))?;
        let place = Self::through(pid, pidfd)?;
        alive(&target.pidfd)?;
        Ok(place)
    }

    /// Whether the process is still there, and so its number still its own.
    pub(in crate::runtime) fn alive(&self) -> Result<()> {
        alive(&self.pidfd)
    }

    /// Of the process of this number.
    pub(in crate::runtime) fn through(pid: i32, pidfd: OwnedFd) -> Result<Self> {
        let doing = || format!("look at the namespaces of process {pid}");
        let user = fs::File::open(format!("/proc/{pid}/ns/user")).context(&codes::JOIN, doing)?;
        let mut all = CloneFlags::empty();
        for (name, flag) in KINDS {
            let of = |whose: &str| stat(format!("/proc/{whose}/ns/{name}").as_str());
            let (theirs, own) = match (of(&pid.to_string()), of("self")) {
                // A kernel without this kind.
                (Err(Errno::ENOENT), Err(Errno::ENOENT)) => continue,
                (theirs, own) => (theirs.context(&codes::JOIN, doing)?, own.context(&codes::JOIN, doing)?),
            };
            all.set(flag, (theirs.st_dev, theirs.st_ino) != (own.st_dev, own.st_ino));
        }
        alive(&pidfd)?;
        let base = if all.contains(CloneFlags::CLONE_NEWUSER) {
            base(user.as_fd()).context(&codes::JOIN, doing)?
        } else {
            None
        };
        let pids = all.contains(CloneFlags::CLONE_NEWPID);
        Ok(Self { pid, pidfd, base, pids, others: all - CloneFlags::CLONE_NEWPID })
    }
}

/// None: it is the caller's own.
fn base(user: BorrowedFd<'_>) -> Result<Option<OwnedFd>, Errno> {
    let base = namespace::parent(user)?;
    let (theirs, own) = (fstat(&base)?, stat("/proc/self/ns/user")?);
    Ok(((theirs.st_dev, theirs.st_ino) != (own.st_dev, own.st_ino)).then_some(base))
}

fn alive(pidfd: &OwnedFd) -> Result<()> {
    signal_pidfd(pidfd.as_fd(), 0).context(&codes::JOIN, || "find the container's first process".into())
}

/// The oldest child of rl's reaper. One that was taken in from elsewhere comes behind it in the list.
fn command(init: i32) -> Option<(i32, OwnedFd)> {
    let children = fs::read_to_string(format!("/proc/{init}/task/{init}/children")).ok()?;
    let pid: i32 = children.split_ascii_whitespace().next()?.parse().ok()?;
    let pidfd = open_pidfd(Pid::from_raw(pid)).ok()?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let parent: i32 = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
    (parent == init).then_some((pid, pidfd))
}
