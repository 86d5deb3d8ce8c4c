//! The program that carries a container's packets, watched: it must not end before the container.
//!
//! Owns the end of the pipe that is its stderr. The surprise: the pipe hangs up when the program dies, however that is, and then has
//! its last words.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::error::catalog::network as codes;

/// How much of the last words is kept.
const WORDS: usize = 512;

pub(super) struct Lost {
    stderr: File,
    words: Vec<u8>,
}

impl Lost {
    pub(super) fn new(stderr: OwnedFd) -> Self {
        Self { stderr: stderr.into(), words: Vec::new() }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.stderr.as_fd()
    }

    /// What there is to say, when it has ended.
    pub(super) fn said(&mut self) -> Option<String> {
        let mut buffer = [0; WORDS];
        loop {
            match self.stderr.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    self.words.extend_from_slice(&buffer[..count]);
                    self.words.drain(..self.words.len().saturating_sub(WORDS));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        let words = String::from_utf8_lossy(&self.words);
        let last = words.lines().map(str::trim).rfind(|line| !line.is_empty());
        let last = last.map(|line| format!("; its last words: {line}")).unwrap_or_default();
        let entry = &codes::LOST;
        Some(format!("{}: its program has ended{last} (rl explain {})", entry.title, entry.code()))
    }
}
