//! A process of its own for what goes on after `rl` has ended.
//!
//! Owns how a supervisor comes to be: a child in a session of its own, with nothing of the caller's open but stderr for what goes wrong,
//! which says over a socket that the container runs, or why not. The surprise: it is a plain child of the caller's `rl`, so it stays in
//! the caller's control group and audit session, and under its limits.

use std::os::fd::{AsFd, AsRawFd};

use super::message::{Channel, Report};
use crate::error::{Context, Error, Result, catalog::process};
use crate::sys::child::{close_all_but, fork};

/// Runs `body` in the child; it must not come back with anything but an error. Gives the container's id once that runs.
///
/// `keep` are descriptors that `body` needs.
///
/// # Errors
/// What kept the container from running.
pub fn detached(keep: &[std::os::fd::RawFd], body: impl FnOnce(&Channel) -> Error) -> Result<String> {
    let doing = || "start the container's supervisor".to_owned();
    let (channel, theirs) = Channel::pair().context(&process::SETUP, doing)?;
    let pid = fork(|| {
        let mut open = vec![0, 1, 2, theirs.as_fd().as_raw_fd()];
        open.extend_from_slice(keep);
        let error = match leave(&mut open) {
            Ok(()) => body(&theirs),
            Err(error) => error,
        };
        theirs.send_failure(&error);
        error.exit_status()
    })
    .context(&process::SETUP, doing)?;
    drop(theirs);
    match channel.next_report().context(&process::SETUP, doing)? {
        Report::Ready(id) => Ok(id),
        Report::Failed(failure) => {
            // Its cleaning up is part of the failure.
            let _ = crate::sys::child::wait_pid(pid);
            Err(Error::from(failure))
        }
        _ => Err(Error::new(&process::SUPERVISE, doing()).because("it has ended before the container ran")),
    }
}

/// No terminal, no descriptor of the caller's.
fn leave(open: &mut [std::os::fd::RawFd]) -> Result<()> {
    let doing = || "leave the caller's session".to_owned();
    nix::unistd::setsid().context(&process::SETUP, doing)?;
    let null = std::fs::File::open("/dev/null").context(&process::SETUP, doing)?;
    nix::unistd::dup2_stdin(&null).context(&process::SETUP, doing)?;
    drop(null);
    close_all_but(open).context(&process::SETUP, doing)
}

/// The last of the caller goes: stdout, stderr, the directory. A terminal that is held open would keep ssh from ending.
pub fn let_go() -> Result<()> {
    let doing = || "let go of the caller's terminal".to_owned();
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null").context(&process::SETUP, doing)?;
    nix::unistd::dup2_stdout(null.as_fd()).context(&process::SETUP, doing)?;
    nix::unistd::dup2_stderr(null.as_fd()).context(&process::SETUP, doing)?;
    nix::unistd::chdir("/").context(&process::SETUP, doing)
}
