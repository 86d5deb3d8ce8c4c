//! The caller's stdin and stdout without blocking, and the buffer between two streams.
//!
//! Owns how single reads and writes are made so that they never wait. The surprise: where the kernel allows it a
//! terminal or pipe is opened once more through /proc/self/fd, which gives an open file of our own that may be
//! O_NONBLOCK. Where it does not (a terminal of another user after su, a socket), the descriptor is used as it is:
//! only after poll, and in pieces that fit into what poll promises.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::unistd::{isatty, read, write};

/// What one read of a pty gives at most, and what poll promises of a pipe: one page (PIPE_BUF).
const SIZE: usize = 4096;
/// For keys that were held back from the read before.
const SPARE: usize = 64;

/// One end of the caller's.
#[derive(Debug)]
pub struct Stream {
    fd: OwnedFd,
    nonblocking: bool,
}

impl Stream {
    /// `access` is O_RDONLY or O_WRONLY.
    pub fn open(fd: BorrowedFd<'_>, access: OFlag) -> nix::Result<Self> {
        if let Some(fd) = own(fd, access) {
            return Ok(Self { fd, nonblocking: true });
        }
        let copy = fd.try_clone_to_owned();
        let fd = copy.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))?;
        // The caller's own O_NONBLOCK is as good as ours.
        let nonblocking = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?).contains(OFlag::O_NONBLOCK);
        Ok(Self { fd, nonblocking })
    }

    /// Whether a write may be tried without asking poll first.
    pub fn nonblocking(&self) -> bool {
        self.nonblocking
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A second open file for the same terminal or pipe. Never for a regular file: it would have an offset of its own, and
/// `(rl run; echo) >file` would overwrite.
fn own(fd: BorrowedFd<'_>, access: OFlag) -> Option<OwnedFd> {
    let kind = SFlag::from_bits_truncate(fstat(fd).ok()?.st_mode) & SFlag::S_IFMT;
    if kind != SFlag::S_IFIFO && !isatty(fd).unwrap_or(false) {
        return None;
    }
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let flags = access | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    open(path.as_str(), flags, Mode::empty()).ok()
}

/// Bytes on their way; filled when empty, so that a slow reader slows the writer down.
pub struct Buffer {
    /// On the heap: whoever has buffers is moved about before there is anything in them, by starts that have no terminal, too.
    bytes: Box<[u8; SIZE + SPARE]>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// Nothing is on its way.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// One read into the empty buffer; 0 is the end. Bytes that have not been written yet are kept, and nothing is
    /// read.
    pub fn fill(&mut self, from: BorrowedFd<'_>) -> nix::Result<usize> {
        if !self.is_empty() {
            return Err(Errno::EAGAIN);
        }
        let count = retry(|| read(from, &mut self.bytes[..SIZE]))?;
        (self.start, self.end) = (0, count);
        Ok(count)
    }

    /// Writes as much as goes without waiting.
    pub fn flush(&mut self, to: &Stream) -> nix::Result<()> {
        if to.nonblocking {
            return self.flush_to(to.as_fd());
        }
        // Poll has promised one write, not two.
        if self.is_empty() { Ok(()) } else { self.write_once(to.as_fd()) }
    }

    /// Writes to a non-blocking descriptor until all is written or it answers EAGAIN.
    pub fn flush_to(&mut self, to: BorrowedFd<'_>) -> nix::Result<()> {
        while !self.is_empty() {
            self.write_once(to)?;
        }
        Ok(())
    }

    fn write_once(&mut self, to: BorrowedFd<'_>) -> nix::Result<()> {
        let count = retry(|| write(to, &self.bytes[self.start..self.end]))?;
        // A pty that takes nothing says so with 0.
        if count == 0 {
            return Err(Errno::EAGAIN);
        }
        self.start += count;
        Ok(())
    }

    /// Takes out all that has not been written.
    pub fn take(&mut self) -> Vec<u8> {
        let bytes = self.bytes[self.start..self.end].to_vec();
        self.start = self.end;
        bytes
    }

    /// Puts a few bytes into the empty buffer.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.is_empty() && bytes.len() <= self.bytes.len() {
            self.bytes[..bytes.len()].copy_from_slice(bytes);
            (self.start, self.end) = (0, bytes.len());
        }
    }

    /// The byte that will be written last.
    pub fn last(&self) -> Option<u8> {
        self.bytes[self.start..self.end].last().copied()
    }
}

impl Default for Buffer {
    fn default() -> Self {
        Self { bytes: Box::new([0; SIZE + SPARE]), start: 0, end: 0 }
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Buffer").field("bytes", &(self.end - self.start)).finish()
    }
}

/// EINTR comes after being stopped and continued, even with every signal blocked.
fn retry(mut call: impl FnMut() -> nix::Result<usize>) -> nix::Result<usize> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            answer => return answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, Write};

    use super::*;

    #[test]
    fn a_pipe_gets_an_open_file_of_its_own_and_the_callers_stays_blocking() {
        let (_read, write) = nix::unistd::pipe().expect("pipe");
        let stream = Stream::open(write.as_fd(), OFlag::O_WRONLY).expect("open");
        assert!(stream.nonblocking());
        let flags = OFlag::from_bits_retain(fcntl(&write, FcntlArg::F_GETFL).expect("flags"));
        assert!(!flags.contains(OFlag::O_NONBLOCK));
    }

    #[test]
    fn a_regular_file_keeps_the_callers_offset() {
        let mut file = tempfile::tempfile().expect("file");
        file.write_all(b"before ").expect("write");
        let stream = Stream::open(file.as_fd(), OFlag::O_WRONLY).expect("open");
        let mut buffer = Buffer::default();
        buffer.push(b"after");
        buffer.flush(&stream).expect("flush");
        file.rewind().expect("rewind");
        let mut text = String::new();
        file.read_to_string(&mut text).expect("read");
        assert_eq!(text, "before after");
    }

    #[test]
    fn a_full_pipe_keeps_the_rest_in_the_buffer_and_nothing_is_lost_or_doubled() {
        let (from, to) = nix::unistd::pipe().expect("pipe");
        let stream = Stream::open(to.as_fd(), OFlag::O_WRONLY).expect("open");
        drop(to);
        let mut sent = Vec::new();
        let mut buffer = Buffer::default();
        let refused = loop {
            let piece: Vec<u8> = (0..SIZE - 1).map(|n| u8::try_from((n + sent.len()) % 251).unwrap_or(0)).collect();
            buffer.push(&piece);
            sent.extend_from_slice(&piece);
            if let Err(errno) = buffer.flush(&stream) {
                break errno;
            }
        };
        assert_eq!(refused, Errno::EAGAIN);
        assert_eq!(buffer.last(), sent.last().copied());
        let mut received = Vec::new();
        let mut chunk = [0; SIZE];
        while !buffer.is_empty() {
            let count = read(&from, &mut chunk).expect("read");
            received.extend_from_slice(&chunk[..count]);
            match buffer.flush(&stream) {
                Ok(()) | Err(Errno::EAGAIN) => {}
                Err(errno) => panic!("flush: {errno}"),
            }
        }
        drop(stream);
        std::fs::File::from(from).read_to_end(&mut received).expect("read the rest");
        assert!(received == sent, "{} bytes sent, {} received", sent.len(), received.len());
    }
}
