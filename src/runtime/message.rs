//! What goes between the parent and the container's first process.
//!
//! Owns the words and the one sequenced-packet socket pair for them.
//!
//! ```text
//! parent -> child   go PID      the id maps are written; PID is the child's, as the parent sees it
//!                   go PID      the container is written down
//!                   go PID      the hooks of the runtime's namespaces have run (after `hooks`)
//!                   network     the network is there, where there is one to wait for
//! child -> parent   terminal    with the pty's master (SCM_RIGHTS)
//!                   hooks       run them now
//!                   waiting     all is done up to `start`
//!                   {...}       one failure: an error as JSON
//!                   (errno)     the launcher's execve was refused; it waits until it has been looked into
//!                   (end)       exec has succeeded
//! supervisor -> rl  ready ID    the container runs
//! ```
//!
//! The surprise: success has no message. The socket is close-on-exec, so end of file says it; it says the same of a process that was
//! killed before, and its exit status tells.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, UnixCredentials, recv,
    recvmsg, sendmsg, setsockopt, socketpair, sockopt,
};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::error::{Error, catalog};
use crate::sys::launcher;
use crate::sys::process::adopt;

/// A report that is longer is cut by the kernel and then not understood; paths are at most 4 KiB.
const LONGEST: usize = 64 * 1024;

/// One end of the pair.
#[derive(Debug)]
pub struct Channel(OwnedFd);

/// What comes up.
#[derive(Debug)]
pub enum Report {
    /// The master of the container's terminal.
    Terminal(OwnedFd),
    /// The hooks of the runtime's namespaces are to be run now.
    Hooks,
    /// Everything is done up to `start`.
    Waiting,
    /// A step has failed; the process has ended or is about to.
    Failed(Failure),
    /// The launcher's execve was refused. The process, of this number, waits until the channel is closed.
    NotExecuted(Errno, Pid),
    /// From a supervisor to whoever has made it: the container of this id runs.
    Ready(String),
    /// Exec has succeeded, or the process died without a word.
    End,
}

/// An [`Error`] on its way through the socket.
#[derive(Debug, Serialize, Deserialize)]
pub struct Failure {
    id: u16,
    summary: String,
    fix: String,
    exit: u8,
    about: Option<String>,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self {
            id: error.entry().id,
            summary: error.summary(),
            fix: error.remedy().to_owned(),
            exit: error.exit_status(),
            about: error.about().map(str::to_owned),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let entry = catalog::all().find(|entry| entry.id == failure.id).unwrap_or(&catalog::state::INTERNAL);
        let error = Self::new(entry, failure.summary).fix(failure.fix).exit(failure.exit);
        match failure.about {
            Some(word) => error.concerning(word),
            None => error,
        }
    }
}

impl Channel {
    /// Both ends, close-on-exec: the parent's, the child's.
    pub fn pair() -> Result<(Self, Self), Errno> {
        let (a, b) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        // Each message brings its sender's pid, as this process sees it: the launcher can't say it.
        setsockopt(&a, sockopt::PassCred, &true)?;
        Ok((Self(a), Self(b)))
    }

    /// Parent: everything that the host side must do has been done. `pid` is the child's.
    pub fn send_go(&self, pid: Pid) -> Result<(), Errno> {
        self.send(format!("go {pid}").as_bytes(), None)
    }

    /// Child: waits for Go; its own pid, or None when the parent has died.
    pub fn wait_for_go(&self) -> Option<i32> {
        let Message { text, .. } = self.receive().ok()?;
        std::str::from_utf8(&text).ok()?.strip_prefix("go ")?.parse().ok()
    }

    /// Child: asks for the hooks and waits until they have run; false when the parent has died.
    pub fn have_hooks_run(&self) -> bool {
        self.send(b"hooks", None).is_ok() && self.wait_for_go().is_some()
    }

    /// Child: waits for `start` from now on.
    pub fn send_waiting(&self) -> Result<(), Errno> {
        self.send(b"waiting", None)
    }

    /// Parent: the network is there.
    pub fn send_network(&self) -> Result<(), Errno> {
        self.send(b"network", None)
    }

    /// Child: waits for the network; false when the parent has given up.
    pub fn wait_for_network(&self) -> bool {
        matches!(self.receive(), Ok(Message { text, .. }) if text == b"network")
    }

    /// Child: whether the parent has gone.
    pub fn is_orphan(&self) -> bool {
        let mut byte = [0];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK;
        matches!(recv(self.0.as_raw_fd(), &mut byte, flags), Ok(0))
    }

    /// Child: sends the master up.
    pub fn send_terminal(&self, master: &OwnedFd) -> Result<(), Errno> {
        self.send(b"terminal", Some(master))
    }

    /// Supervisor: the container of this id runs.
    pub fn send_ready(&self, id: &str) -> Result<(), Errno> {
        self.send(format!("ready {id}").as_bytes(), None)
    }

    /// Child: sends the one failure. What can't be sent is lost; the parent then says that the process died.
    pub fn send_failure(&self, error: &Error) {
        if let Ok(text) = serde_json::to_vec(&Failure::from(error)) {
            let _ = self.send(&text, None);
        }
    }

    /// Parent: the next report.
    pub fn next_report(&self) -> Result<Report, Errno> {
        let Message { text, fd, sender } = match self.receive() {
            // The child ended with unread data in its direction.
            Err(Errno::ECONNRESET) => return Ok(Report::End),
            other => other?,
        };
        match (text.as_slice(), fd) {
            (b"", _) => Ok(Report::End),
            (b"hooks", _) => Ok(Report::Hooks),
            (b"waiting", _) => Ok(Report::Waiting),
            (b"terminal", Some(master)) => Ok(Report::Terminal(master)),
            (text, None) if let Some(errno) = launcher::answer(text) => {
                Ok(Report::NotExecuted(errno, sender.ok_or(Errno::EBADMSG)?))
            }
            (text, _) if text.starts_with(b"ready ") => {
                Ok(Report::Ready(String::from_utf8_lossy(&text[6..]).into_owned()))
            }
            (text, _) => serde_json::from_slice(text).map(Report::Failed).map_err(|_| Errno::EBADMSG),
        }
    }

    /// Child: where the launcher reports.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    fn send(&self, text: &[u8], fd: Option<&OwnedFd>) -> Result<(), Errno> {
        let raw = fd.map(|fd| [fd.as_raw_fd()]);
        let rights = raw.as_ref().map(|raw| ControlMessage::ScmRights(raw));
        let control = rights.as_slice();
        sendmsg::<UnixAddr>(self.0.as_raw_fd(), &[IoSlice::new(text)], control, MsgFlags::MSG_NOSIGNAL, None).map(drop)
    }

    /// Waits for a message. Room for the longest would be zeroed in both processes at every start.
    fn next_length(&self) -> Result<usize, Errno> {
        loop {
            match recv(self.0.as_raw_fd(), &mut [], MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC) {
                // ECONNRESET: the other end has gone without having read all; it is said once, before what that end had sent.
                Err(Errno::EINTR | Errno::ECONNRESET) => {}
                length => return length.map(|length| length.min(LONGEST)),
            }
        }
    }

    fn receive(&self) -> Result<Message, Errno> {
        let mut text = vec![0; self.next_length()?];
        let mut space = nix::cmsg_space!([std::os::fd::RawFd; 1], UnixCredentials);
        let (length, fd, sender) = loop {
            let mut buffers = [IoSliceMut::new(&mut text)];
            match recvmsg::<UnixAddr>(self.0.as_raw_fd(), &mut buffers, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC) {
                Err(Errno::EINTR | Errno::ECONNRESET) => {}
                Err(errno) => return Err(errno),
                Ok(message) => {
                    let (mut fd, mut sender) = (None, None);
                    for control in message.cmsgs()? {
                        match control {
                            ControlMessageOwned::ScmRights(fds) => fd = fds.first().copied(),
                            ControlMessageOwned::ScmCredentials(of) => sender = Some(Pid::from_raw(of.pid())),
                            _ => {}
                        }
                    }
                    break (message.bytes, fd, sender);
                }
            }
        };
        text.truncate(length);
        Ok(Message { text, fd: fd.map(adopt), sender })
    }
}

struct Message {
    text: Vec<u8>,
    fd: Option<OwnedFd>,
    sender: Option<Pid>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::catalog::rootfs;

    #[test]
    fn what_an_end_has_said_is_heard_although_it_went_without_reading() {
        let (parent, child) = Channel::pair().expect("a pair");
        parent.send_go(Pid::this()).expect("a Go that nobody reads");
        child.send_failure(&Error::new(&rootfs::VOLUME, "find it"));
        drop(child);
        assert!(matches!(parent.next_report(), Ok(Report::Failed(_))));
        assert!(matches!(parent.next_report(), Ok(Report::End)));
    }
}
