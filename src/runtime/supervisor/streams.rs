//! The supervisor's ends of a container's stdio: three pipes, or the master of its terminal.
//!
//! Owns reading what the container writes, into the log and to whoever listens, and writing what is typed. The surprise: of a terminal
//! the slave is held open as well; otherwise the master would answer EIO for as long as the container has it closed, which systemd in
//! a container does at its start.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::PollFlags;
use nix::unistd::{read, write};

use super::clients::{Clients, Wish};
use super::log::{Log, Stream};
use crate::error::{Context, Result, catalog::process};
use crate::sys::terminal::{WindowSize, peer, set_window_size};

/// Output, complaints, input.
pub(super) const COUNT: usize = 3;
/// One read.
const SIZE: usize = 16 * 1024;
/// The end-of-file character of a terminal.
const END: u8 = 0x04;

/// See above.
#[derive(Debug)]
pub(super) struct Streams {
    /// The master of a terminal, or the pipe of stdout.
    output: Option<OwnedFd>,
    errors: Option<OwnedFd>,
    /// The same master, or the pipe of stdin.
    input: Option<OwnedFd>,
    terminal: bool,
    #[expect(dead_code, reason = "held open")]
    slave: Option<OwnedFd>,
    /// Typed, but not taken yet.
    typed: Vec<u8>,
    close_input: bool,
    buffer: Vec<u8>,
}

impl Streams {
    pub(super) fn new(
        master: Option<OwnedFd>,
        stdin: Option<OwnedFd>,
        stdout: Option<OwnedFd>,
        stderr: Option<OwnedFd>,
    ) -> Result<Self> {
        let doing = || "take over the container's stdio".to_owned();
        for fd in [&master, &stdin, &stdout, &stderr].into_iter().flatten() {
            let flags = fcntl(fd, FcntlArg::F_GETFL).context(&process::SUPERVISE, doing)?;
            let flags = OFlag::from_bits_retain(flags) | OFlag::O_NONBLOCK;
            fcntl(fd, FcntlArg::F_SETFL(flags)).context(&process::SUPERVISE, doing)?;
        }
        let terminal = master.is_some();
        let slave = master.as_ref().and_then(|master| peer(master.as_fd()).ok());
        let input = match &master {
            Some(master) => Some(master.try_clone().context(&process::SUPERVISE, doing)?),
            None => stdin,
        };
        Ok(Self {
            output: master.or(stdout),
            errors: stderr,
            input,
            terminal,
            slave,
            typed: Vec::new(),
            close_input: false,
            buffer: vec![0; SIZE],
        })
    }

    pub(super) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Whether more may be typed now.
    pub(super) fn takes_input(&self) -> bool {
        self.typed.is_empty()
    }

    /// What to poll for; nothing is read while a client is behind.
    pub(super) fn interest(&self, behind: bool) -> [Option<(BorrowedFd<'_>, PollFlags)>; COUNT] {
        let [output, errors] = [&self.output, &self.errors]
            .map(|fd| fd.as_ref().filter(|_| !behind).map(|fd| (fd.as_fd(), PollFlags::POLLIN)));
        let input = self.input.as_ref().filter(|_| !self.typed.is_empty()).map(|fd| (fd.as_fd(), PollFlags::POLLOUT));
        [output, errors, input]
    }

    pub(super) fn turn(&mut self, [output, errors, input]: [bool; COUNT], log: &mut Log, clients: &mut Clients) {
        if output {
            self.read(Stream::Stdout, log, clients);
        }
        if errors {
            self.read(Stream::Stderr, log, clients);
        }
        if input {
            self.write();
        }
    }

    /// All that was written before the container's end.
    pub(super) fn drain(&mut self, log: &mut Log, clients: &mut Clients) {
        while self.read(Stream::Stdout, log, clients) {}
        while self.read(Stream::Stderr, log, clients) {}
    }

    /// One read; whether there may be more.
    fn read(&mut self, stream: Stream, log: &mut Log, clients: &mut Clients) -> bool {
        let fd = if stream == Stream::Stdout { &mut self.output } else { &mut self.errors };
        let Some(open) = fd else { return false };
        match read(&*open, &mut self.buffer) {
            Ok(0) | Err(Errno::EIO) => {
                *fd = None;
                false
            }
            Ok(count) => {
                log.take(stream, &self.buffer[..count]);
                clients.output(if stream == Stream::Stdout { b'o' } else { b'e' }, &self.buffer[..count]);
                true
            }
            Err(Errno::EINTR) => true,
            Err(Errno::EAGAIN) => false,
            Err(_) => {
                *fd = None;
                false
            }
        }
    }

    /// What a client wants.
    pub(super) fn wish(&mut self, wish: Wish, closes: bool) {
        match wish {
            Wish::Typed(bytes) => {
                if self.input.is_some() {
                    self.typed.extend_from_slice(&bytes);
                    self.write();
                }
            }
            Wish::Closed if self.terminal => self.wish(Wish::Typed(vec![END]), false),
            Wish::Closed => {
                self.close_input |= closes;
                self.write();
            }
            Wish::Size(rows, columns) => {
                if let Some(master) = self.input.as_ref().filter(|_| self.terminal) {
                    let size = WindowSize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
                    // Refused only where the terminal is gone, which shows elsewhere.
                    let _ = set_window_size(master.as_fd(), &size);
                }
            }
        }
    }

    fn write(&mut self) {
        while let (Some(input), false) = (&self.input, self.typed.is_empty()) {
            match write(input, &self.typed) {
                Ok(0) | Err(Errno::EAGAIN) => return,
                Ok(count) => drop(self.typed.drain(..count)),
                Err(Errno::EINTR) => {}
                // It reads no more.
                Err(_) => {
                    self.typed.clear();
                    self.close_input = true;
                }
            }
        }
        if self.close_input && !self.terminal {
            self.input = None;
        }
    }
}
