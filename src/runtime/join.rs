//! Namespaces of somebody else's making, joined by their paths.
//!
//! Owns the order in which they are joined and the process that joins them. They belong to the base user namespace, or one above it,
//! so the container's own process, in a new user namespace, could not; and the parent itself stays where it is, because it
//! still has paths to open and helpers to start. So a process between the two joins them, clones the container's first process
//! as its sister (CLONE_PARENT) and ends. The surprise: it runs only where something is joined; an ordinary run is one clone.

use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, setns};
use nix::sys::stat::{Mode, fstat, stat};
use nix::unistd::Pid;

use super::refusal::refused;
use crate::error::{Context, Error, Result, catalog::process as codes};
use crate::plan::{Namespace, Namespaces};
use crate::sys::child::{exit_now, open_pidfd, wait_pidfd};
use crate::sys::clone::{self, Child, Side};

/// A namespace to join, open, so that its path is looked up as the caller's.
struct Joined {
    kind: CloneFlags,
    fd: OwnedFd,
    shown: String,
}

/// Clones the container's first process into the namespaces that are joined and those that are new (`flags`).
///
/// # Errors
/// A path that is no namespace of its kind, or not the caller's to join; what clone(2) says.
pub fn clone(namespaces: &Namespaces, flags: CloneFlags, cgroup: Option<BorrowedFd<'_>>) -> Result<Side> {
    let joined = open_all(namespaces)?;
    if joined.is_empty() {
        return clone::clone_into(flags, cgroup).map_err(refused);
    }
    let mapped = namespaces.user.is_new();
    through(flags, cgroup, "join the namespaces of linux.namespaces", || {
        // Nobody in the joined namespaces may look at this memory or through its descriptors (CVE-2016-9962, CVE-2019-5736). Who
        // gets an id map written needs to be reachable in /proc.
        if !mapped {
            nix::sys::prctl::set_dumpable(false).context(&codes::NAMESPACE, || "hide this process".into())?;
        }
        enter(joined)?;
        if !mapped {
            // Entering a user namespace may set this to what fs.suid_dumpable says.
            nix::sys::prctl::set_dumpable(false).context(&codes::NAMESPACE, || "stay hidden".into())?;
        }
        Ok(())
    })
}

/// Clones a process that a process between has prepared for: that one enters namespaces, clones a sister of its own, and ends.
///
/// # Errors
/// What `enter` says; what clone(2) says.
pub(super) fn through(
    flags: CloneFlags,
    cgroup: Option<BorrowedFd<'_>>,
    doing: &str,
    enter: impl FnOnce() -> Result<()>,
) -> Result<Side> {
    let doing = || doing.to_owned();
    let (mut answer, mut tell) = std::io::pipe().context(&codes::NAMESPACE, doing)?;
    let between = match clone::clone(CloneFlags::empty()).context(&codes::NAMESPACE, doing)? {
        Side::Parent(child) => child,
        Side::Child => {
            drop(answer);
            match enter().and_then(|()| clone::clone_sister(flags, cgroup).map_err(refused)) {
                // The pipe's end must not outlive this process in the container's.
                Ok(None) => return Ok(Side::Child),
                Ok(Some(pid)) => {
                    let _ = tell.write_all(format!("{pid}").as_bytes());
                    exit_now(0)
                }
                Err(error) => {
                    let _ = tell.write_all(format!("!{}", error.summary()).as_bytes());
                    exit_now(1)
                }
            }
        }
    };
    drop(tell);
    let mut text = String::new();
    let read = answer.read_to_string(&mut text);
    let _ = wait_pidfd(between.pidfd.as_fd(), true);
    read.context(&codes::NAMESPACE, doing)?;
    let Ok(pid) = text.parse::<i32>().map(Pid::from_raw) else {
        return Err(Error::new(&codes::NAMESPACE, text.trim_start_matches('!').to_owned()));
    };
    // Nobody else can reap it, so the number is still its own.
    let pidfd = open_pidfd(pid).context(&codes::NAMESPACE, doing)?;
    Ok(Side::Parent(Child { pid, pidfd }))
}

fn open_all(namespaces: &Namespaces) -> Result<Vec<Joined>> {
    let all = [
        (&namespaces.user, CloneFlags::CLONE_NEWUSER, "user"),
        (&namespaces.uts, CloneFlags::CLONE_NEWUTS, "uts"),
        (&namespaces.ipc, CloneFlags::CLONE_NEWIPC, "ipc"),
        (&namespaces.network, CloneFlags::CLONE_NEWNET, "net"),
        (&namespaces.pid, CloneFlags::CLONE_NEWPID, "pid"),
        (&namespaces.cgroup, CloneFlags::CLONE_NEWCGROUP, "cgroup"),
        (&namespaces.time, CloneFlags::from_bits_retain(libc::CLONE_NEWTIME), "time"),
        // The last: with it the paths of this process are others.
        (&namespaces.mount, CloneFlags::CLONE_NEWNS, "mnt"),
    ];
    let mut joined = Vec::new();
    for (namespace, kind, name) in all {
        if let Namespace::Join(path) = namespace
            && let Some(fd) = open_one(path, name)?
        {
            joined.push(Joined { kind, fd, shown: format!("{name} namespace {}", path.display()) });
        }
    }
    Ok(joined)
}

/// None: it is the caller's own, in which this process is already (the kernel refuses to join a user namespace again).
fn open_one(path: &Path, name: &str) -> Result<Option<OwnedFd>> {
    let doing = || format!("join the {name} namespace {}", path.display());
    let fd = open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK, Mode::empty());
    let fd = fd.context(&codes::NAMESPACE, doing)?;
    let own = stat(format!("/proc/self/ns/{name}").as_str()).context(&codes::NAMESPACE, doing)?;
    let theirs = fstat(&fd).context(&codes::NAMESPACE, doing)?;
    if (own.st_dev, own.st_ino) != (theirs.st_dev, theirs.st_ino) {
        return Ok(Some(fd));
    }
    if name == "mnt" {
        return Err(Error::new(&codes::NAMESPACE, doing())
            .because("it is the caller's own, and the root file system would be mounted over the host's"));
    }
    Ok(None)
}

/// Those that this process may join as it is; then the user namespace; then those that its root may join.
fn enter(joined: Vec<Joined>) -> Result<()> {
    let (user, others): (Vec<_>, Vec<_>) = joined.into_iter().partition(|one| one.kind == CloneFlags::CLONE_NEWUSER);
    let mut left = Vec::new();
    for one in others {
        match setns(&one.fd, one.kind) {
            Ok(()) => {}
            Err(Errno::EPERM) if !user.is_empty() => left.push(one),
            Err(errno) => return Err(failed(&one, errno)),
        }
    }
    for one in user.into_iter().chain(left) {
        setns(&one.fd, one.kind).map_err(|errno| failed(&one, errno))?;
    }
    Ok(())
}

fn failed(one: &Joined, errno: Errno) -> Error {
    let error = Error::new(&codes::NAMESPACE, format!("join the {}", one.shown)).because(errno);
    match errno {
        Errno::EINVAL => error.fix("The path must be a namespace of that very kind."),
        Errno::EPERM => error.fix("Only root of the user namespace to which it belongs may join a namespace."),
        _ => error,
    }
}
