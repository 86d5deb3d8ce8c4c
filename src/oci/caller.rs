//! What a verb that starts a process gives its caller: the terminal's master, a pidfd, a pid file.
//!
//! The surprise: the pid file is the last of them, staged and renamed, because an engine takes it for success.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::unistd::Pid;

use crate::error::{Context, Error, Result, catalog::process as codes, catalog::state};
use crate::plan::Plan;
use crate::runtime::console::Console;
use crate::runtime::handover::Receiver;
use crate::sys::clone::Child;

/// The flags that `create`, `run` and `exec` have in common.
#[derive(Debug, Clone, Default)]
pub struct Handing {
    /// `--pid-file`
    pub pid_file: Option<PathBuf>,
    /// `--console-socket`
    pub console_socket: Option<PathBuf>,
    /// `--pidfd-socket`
    pub pidfd_socket: Option<PathBuf>,
    /// `--preserve-fds`
    pub preserve_fds: u32,
}

/// What becomes of a terminal.
pub(super) enum Terminal {
    /// Somebody else has its master.
    Sent,
    /// It is relayed to the caller's.
    Relayed(Box<Console>),
}

impl Terminal {
    /// What is to be relayed.
    pub(super) fn console(self) -> Option<Console> {
        match self {
            Self::Sent => None,
            Self::Relayed(console) => Some(*console),
        }
    }
}

impl Handing {
    /// Refuses a terminal that nobody would hold: `detached` and no socket.
    pub(super) fn check(&self, plan: &Plan, detached: bool) -> Result<()> {
        if plan.process.terminal && detached && self.console_socket.is_none() {
            let what = "process.terminal needs --console-socket where nobody stays to relay it";
            return Err(Error::new(&codes::TERMINAL, what));
        }
        Ok(())
    }

    /// The master goes to whom it was promised, else it is relayed.
    pub(super) fn terminal(&self, master: OwnedFd) -> Result<Terminal> {
        let Some(socket) = &self.console_socket else {
            return Console::start(master, true).map(|console| Terminal::Relayed(Box::new(console)));
        };
        Receiver::connect(socket, "--console-socket")?.send(b"/dev/ptmx", master.as_fd())?;
        Ok(Terminal::Sent)
    }

    /// Tells of the process.
    pub(super) fn tell(&self, child: &Child) -> Result<()> {
        if let Some(socket) = &self.pidfd_socket {
            Receiver::connect(socket, "--pidfd-socket")?.send(b"pidfd", child.pidfd.as_fd())?;
        }
        self.pid_file.as_ref().map_or(Ok(()), |path| write_pid_file(path, child.pid))
    }
}

/// Digits and no newline, all at once: whoever sees the file may read it.
fn write_pid_file(path: &Path, pid: Pid) -> Result<()> {
    let doing = || format!("write the pid file {}", path.display());
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    let staged = path.with_file_name(name);
    std::fs::write(&staged, pid.to_string()).context(&state::STATE, doing)?;
    std::fs::rename(&staged, path).context(&state::STATE, doing)
}
