//! What serves a container's network, watched: it must not end before the container.
//!
//! Owns the end of the pipe that is the stderr of the program that carries the packets, and where it is told that this, or a process of
//! `rl`'s own, has ended. The surprise: the pipe hangs up when the program dies, however that is, and then has its last words; the
//! others need no descriptor, because this process is their parent and reaps them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::unistd::Pid;

use super::{Supervisor, log};
use crate::error::{Error, catalog::network as codes};
use crate::network::{Helper, LastWords};
use crate::state::{self, Status};
use crate::sys::child::Exit;

/// How much of the last words is kept.
const WORDS: usize = 512;

pub(super) struct Lost(LastWords);

impl Lost {
    pub(super) fn new(stderr: OwnedFd) -> Self {
        Self(LastWords::new(stderr, WORDS))
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// What there is to say, when it has ended.
    pub(super) fn said(&mut self) -> Option<Error> {
        if !self.0.listen().unwrap_or(false) {
            return None;
        }
        let told = self.0.lines().into_iter().rfind(|line| !slirp4netns_ctl::is_ordinary(line));
        let last = told.map(|line| format!("; its last words: {line}")).unwrap_or_default();
        Some(Error::new(&codes::LOST, format!("its program has ended{last}")))
    }
}

impl Supervisor<'_> {
    /// The helper of this number, which has just been reaped: from now on the number may be another's.
    pub(super) fn helper_of(&mut self, pid: Pid) -> Option<Helper> {
        let at = self.helpers.iter().position(|(helper, _)| *helper == pid.as_raw())?;
        Some(self.helpers.swap_remove(at).1)
    }

    /// While the container is there; when everything is being ended, that is no news.
    pub(super) fn helper_has_ended(&mut self, helper: Helper, exit: Exit) {
        if !self.stopping {
            let run = self.handoff.origin.dirs().containers().join(&self.handoff.id);
            self.lost(&helper.lost(&run, Some(exit)));
        }
    }

    /// The container's log and its status say so; it goes on without.
    pub(super) fn lost(&mut self, error: &Error) {
        let said = error.line();
        let data = state::data_of(&self.handoff.origin.dirs(), &self.handoff.id);
        if let Ok(Some(mut status)) = Status::read(&data) {
            let before = std::mem::take(&mut status.error);
            status.error = if before.is_empty() { said.clone() } else { format!("{before}; {said}") };
            // A disk that is full: the log is tried as well.
            let _ = status.write(&data);
        }
        // Last, for who follows it and then looks at the status.
        self.log.take(log::Stream::Stderr, format!("rl: {said}\n").as_bytes());
    }
}
