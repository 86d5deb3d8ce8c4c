//! stdin, stdout and stderr of a container in the background.
//!
//! Owns the pipes' ends that the command gets. The surprise: they take the places of the parent's own right after the clone, before
//! any step, so that nothing of a step can go to where the parent writes.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::error::{Context, Result, catalog::process as codes};
use crate::spec::lifecycle::Attached;
use crate::sys::process::is_inherited;

/// The first of so many descriptors behind stderr that this process was not started with. `rl`'s own are close-on-exec.
pub fn first_missing(count: u32) -> Option<u32> {
    let is_given = |number: &u32| i32::try_from(*number).is_ok_and(|number| is_inherited(number) == Ok(true));
    (3..3 + count).find(|number| !is_given(number))
}

/// The container's ends of three pipes.
#[derive(Debug)]
pub struct Stdio {
    /// Of `-i`.
    pub stdin: Option<OwnedFd>,
    /// Where it writes.
    pub stdout: OwnedFd,
    /// Where it complains.
    pub stderr: OwnedFd,
}

impl Stdio {
    /// This process's own, but for the outputs that nobody is to see.
    ///
    /// # Errors
    /// None but the kernel's.
    pub fn muted(attached: Attached) -> Result<Self> {
        let doing = || "set up stdout and stderr".to_owned();
        let output = |shown: bool, own: BorrowedFd<'_>| -> Result<OwnedFd> {
            if shown {
                return own.try_clone_to_owned().context(&codes::SETUP, doing);
            }
            let null = std::fs::OpenOptions::new().write(true).open("/dev/null");
            null.map(OwnedFd::from).context(&codes::SETUP, doing)
        };
        let stdout = output(attached.stdout, std::io::stdout().as_fd())?;
        let stderr = output(attached.stderr, std::io::stderr().as_fd())?;
        Ok(Self { stdin: None, stdout, stderr })
    }

    /// In the container's first process: these are 0, 1 and 2 from now on.
    pub(super) fn take_place(&self) -> Result<()> {
        let doing = || "set up stdin, stdout and stderr".to_owned();
        if let Some(stdin) = &self.stdin {
            nix::unistd::dup2_stdin(stdin).context(&codes::SETUP, doing)?;
        }
        nix::unistd::dup2_stdout(&self.stdout).context(&codes::SETUP, doing)?;
        nix::unistd::dup2_stderr(&self.stderr).context(&codes::SETUP, doing)
    }
}
