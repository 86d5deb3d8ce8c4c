//! `delete`: what a container has left.
//!
//! The surprise: a container that was created and never started is killed without `--force`, as runc has it, for its first process
//! runs nothing of the container's yet.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Runtime;
use super::processes;
use super::state::{Container, Status};
use crate::error::{Context, Error, Result, catalog::oci, catalog::process as codes, catalog::state};
use crate::runtime::hooks;
use crate::sys::child::signal_pidfd;

/// Deletes a container; `force` kills it first, and a missing one is no failure then.
///
/// # Errors
/// It runs; there is none; its directory can't be removed.
pub fn delete(runtime: &Runtime, id: &str, force: bool) -> Result<()> {
    let container = match Container::find(runtime, id) {
        Err(error) if force && *error.entry() == oci::MISSING => {
            // What a create that was killed has left.
            return clear(&runtime.dir(id)?);
        }
        other => other?,
    };
    match container.status() {
        Status::Stopped => {}
        Status::Created => kill(&container)?,
        _ if force => kill(&container)?,
        status => {
            let what = format!("cannot delete container {id:?} that is not stopped: {}", status.word());
            return Err(Error::new(&oci::STATUS, what).fix("Kill it first, or give --force."));
        }
    }
    remove(&container)
}

/// Kills the first process and waits for its end. Its caller reaps it.
pub(super) fn kill(container: &Container) -> Result<()> {
    let Some(pidfd) = container.process() else { return Ok(()) };
    match signal_pidfd(pidfd.as_fd(), libc::SIGKILL) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(errno) => {
            return Err(errno).context(&codes::SUPERVISE, || format!("kill container {:?}", container.saved.id));
        }
    }
    wait(&pidfd).context(&codes::SUPERVISE, || format!("wait for the end of container {:?}", container.saved.id))
}

/// Removes a state directory, which has files and an empty directory. The root of a container without a mount namespace is still attached
/// there, where the machine sees it: nothing below may ever be deleted.
pub(super) fn clear(dir: &Path) -> Result<()> {
    let doing = || format!("remove {}", dir.display());
    let on = dir.join("mnt");
    loop {
        match umount2(&on, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) => {}
            // Nothing is mounted there, or this caller never could.
            Err(Errno::EINVAL | Errno::ENOENT | Errno::EPERM) => break,
            other => return other.context(&state::STATE, doing),
        }
    }
    let gone = |result: std::io::Result<()>| match result {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.context(&state::STATE, doing),
    };
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        gone(if directory { std::fs::remove_dir(path) } else { std::fs::remove_file(path) })?;
    }
    gone(std::fs::remove_dir(dir))
}

fn wait(pidfd: &OwnedFd) -> Result<(), Errno> {
    loop {
        match poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE) {
            Err(Errno::EINTR) => {}
            other => return other.map(drop),
        }
    }
}

/// Removes a container whose first process has ended: others that share its caller's pid namespace, the directory, and last its
/// poststop hooks, whose failure is told and changes nothing.
pub(super) fn remove(container: &Container) -> Result<()> {
    processes::end(container);
    if let Some(group) = &container.saved.group {
        group.end()?;
        group.remove();
    }
    clear(&container.dir)?;
    let bundle = &container.saved.bundle;
    let state = bundle.state(&container.saved.id, Status::Stopped.word(), 0);
    if let Err(error) = hooks::run("poststop", &bundle.hooks.poststop, &state) {
        eprintln!("rl: warning: {}", error.summary());
    }
    Ok(())
}
