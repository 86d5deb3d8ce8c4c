//! `rl unshare`: a command in the caller's mapped namespace, without a root file system of its own.
//!
//! Owns the order of unshare(1): namespaces, fork, proc, exec. The base namespace has been entered before. The surprise: with a
//! new pid namespace it always forks, because the process that unshares does not enter it itself and the next fork would be
//! the last.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;

use nix::sched::CloneFlags;

use super::mounts;
use super::supervise;
use crate::error::{Context, Error, Result, catalog::process as codes, catalog::rootfs};
use crate::plan::Propagation;
use crate::sys::child::{Exit, exit_now};
use crate::sys::clone::{Side, clone};
use crate::sys::signal::Signals;

/// What is asked for.
#[derive(Debug)]
pub struct Unshare<'a> {
    /// CLONE_NEW* beside the user namespace.
    pub namespaces: CloneFlags,
    /// `--fork`.
    pub fork: bool,
    /// `--mount-proc`: where.
    pub mount_proc: Option<&'a Path>,
    /// The command; never empty.
    pub command: &'a [OsString],
}

/// Runs the command; returns only when it was forked.
///
/// # Errors
/// 127 when the command is not found, 126 when it can't be executed.
pub fn run(unshare: &Unshare<'_>) -> Result<Exit> {
    let Unshare { namespaces, fork, .. } = *unshare;
    if !fork && !namespaces.contains(CloneFlags::CLONE_NEWPID) {
        nix::sched::unshare(namespaces).context(&codes::SETUP, || format!("make the namespaces {namespaces:?}"))?;
        return Err(exec(unshare));
    }
    // The terminal's signals reach the command directly, in the same process group; here they must not end the wait.
    let signals = Signals::block().context(&codes::SETUP, || "block signals".into())?;
    match clone(namespaces).context(&codes::SETUP, || format!("make the namespaces {namespaces:?}"))? {
        Side::Parent(child) => supervise::wait_for_end(&child),
        Side::Child => {
            let _ = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL);
            let error = signals
                .restore()
                .map_or_else(|errno| Error::new(&codes::SETUP, "restore signals").because(errno), |()| exec(unshare));
            eprintln!("rl: {error}");
            exit_now(error.exit_status());
        }
    }
}

fn exec(unshare: &Unshare<'_>) -> Error {
    let prepared = || -> Result<()> {
        if unshare.namespaces.contains(CloneFlags::CLONE_NEWNS) {
            mounts::isolate(Propagation::Private)?;
        }
        unshare.mount_proc.map_or(Ok(()), mount_proc)
    };
    if let Err(error) = prepared() {
        return error;
    }
    let Some((program, args)) = unshare.command.split_first() else {
        return Error::new(&codes::COMMAND_NOT_FOUND, "execute an empty command");
    };
    let error = std::process::Command::new(program).args(args).exec();
    let doing = format!("execute {}", program.display());
    let status = if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 };
    Error::new(&codes::COMMAND_NOT_FOUND, doing).because(error).exit(status)
}

fn mount_proc(on: &Path) -> Result<()> {
    let flags = nix::mount::MsFlags::MS_NOSUID | nix::mount::MsFlags::MS_NODEV | nix::mount::MsFlags::MS_NOEXEC;
    let none: Option<&str> = None;
    nix::mount::mount(Some("proc"), on, Some("proc"), flags, none)
        .context(&rootfs::MOUNT, || format!("mount proc on {}", on.display()))
}
