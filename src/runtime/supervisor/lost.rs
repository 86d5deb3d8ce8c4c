//! The program that carries a container's packets, watched: it must not end before the container.
//!
//! Owns the end of the pipe that is its stderr. The surprise: the pipe hangs up when the program dies, however that is, and then has
//! its last words.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::error::catalog::network as codes;
use crate::network::LastWords;

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
    pub(super) fn said(&mut self) -> Option<String> {
        if !self.0.listen().unwrap_or(false) {
            return None;
        }
        let told = self.0.lines().into_iter().rfind(|line| !slirp4netns_ctl::is_ordinary(line));
        let last = told.map(|line| format!("; its last words: {line}")).unwrap_or_default();
        let entry = &codes::LOST;
        Some(format!("{}: its program has ended{last} (rl explain {})", entry.title, entry.code()))
    }
}
