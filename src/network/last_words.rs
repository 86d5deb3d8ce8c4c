//! The end of the stderr of a network's program: what it said last, and that it has ended.
//!
//! slirp4netns-ctl has the same for itself, because it is for other projects, too.
//!
//! Owns our end of the pipe. It makes no thread and never blocks. The surprise: the pipe hangs up when the program ends, however that
//! is, so it is also what the program is watched through; poll(2) it, and listen when it is readable or hung up.

use std::fs::File;
use std::io::{ErrorKind, Read, Result};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The last bytes that came through a pipe.
#[derive(Debug)]
pub struct LastWords {
    pipe: File,
    words: Vec<u8>,
    most: usize,
}

impl LastWords {
    /// Of the reading end of a pipe that does not block (O_NONBLOCK); the last `most` bytes are kept.
    pub fn new(pipe: impl Into<OwnedFd>, most: usize) -> Self {
        Self { pipe: pipe.into().into(), words: Vec::new(), most }
    }

    /// Reads what there is; true when nobody has the other end any more.
    ///
    /// # Errors
    /// read(2)'s, but for EAGAIN and EINTR.
    pub fn listen(&mut self) -> Result<bool> {
        let mut buffer = [0; 4096];
        loop {
            match self.pipe.read(&mut buffer) {
                Ok(0) => return Ok(true),
                Ok(count) => {
                    self.words.extend_from_slice(&buffer[..count]);
                    self.words.drain(..self.words.len().saturating_sub(self.most));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The lines that were heard, without those that are empty. The first may be the rest of one, and what is no text is replaced.
    pub fn lines(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.words);
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }
}

impl AsFd for LastWords {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_last_of_what_was_said_is_kept_and_the_end_is_heard() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        ours.set_nonblocking(true).expect("nonblocking");
        let mut last = LastWords::new(ours, 12);
        assert!(!last.listen().expect("nothing yet"));
        assert!(last.lines().is_empty());
        theirs.write_all(b"first\n\n  second  \nthird").expect("write");
        assert!(!last.listen().expect("words"));
        assert_eq!(last.lines(), ["cond", "third"]);
        theirs.write_all(&[b'\n', 0xff, b'!']).expect("write");
        drop(theirs);
        assert!(last.listen().expect("the end"));
        assert_eq!(last.lines(), ["d", "third", "\u{fffd}!"]);
    }
}
