//! The client's side of a container's attach socket: a terminal or pipes here, the container's stdio there.
//!
//! Owns the relay, the keys by which one leaves, and what becomes of signals. The surprise: leaving is not ending. The keys, a
//! hang-up of the terminal, a closed stdout end this process only; the container and whoever else is attached go on.

use std::io::{IsTerminal, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};

use super::console::RawMode;
pub use super::keys::Keys;
use super::supervisor::{LARGEST, connected};
use crate::error::{Context, Result, catalog::process};
use crate::sys::signal::Signals;
use crate::sys::terminal::window_size;

/// A connection to the supervisor.
#[derive(Debug)]
pub struct Connection(OwnedFd);

/// What the supervisor says.
#[derive(Debug)]
pub enum Packet {
    /// Whether the container has a terminal.
    Greeting(bool),
    /// Of its stdout, or its terminal.
    Output(Vec<u8>),
    /// Of its stderr.
    Errors(Vec<u8>),
    /// It has ended with this status.
    Ended(u8),
    /// The supervisor has gone without a word.
    Gone,
}

/// How it ended for this client.
#[derive(Debug, PartialEq, Eq)]
pub enum Left {
    /// The container has ended.
    Ended(u8),
    /// The keys were typed.
    Detached,
    /// The terminal or the reader of our output has gone.
    HungUp,
    /// The supervisor has.
    Gone,
    /// A signal that nobody wanted to pass on.
    Signalled(i32),
}

/// A connected pair: ours, and one for the supervisor.
pub fn pair() -> Result<(Connection, OwnedFd)> {
    let made = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC);
    let (ours, theirs) = made.context(&process::SETUP, || "make a socket pair".into())?;
    nix::fcntl::fcntl(&theirs, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))
        .context(&process::SETUP, || "make a socket pair".into())?;
    Ok((Connection(ours), theirs))
}

/// Connects; `wish` is what for (`a`: output, `w`: the end). None: nobody listens.
pub fn connect(run: &Path, wish: u8) -> Option<Connection> {
    let connection = Connection(connected(run).ok()?);
    connection.say(&[wish]).then_some(connection)
}

impl Connection {
    fn say(&self, packet: &[u8]) -> bool {
        send(self.0.as_raw_fd(), packet, MsgFlags::MSG_NOSIGNAL).is_ok()
    }

    /// The next packet; waits for it.
    pub fn hear(&mut self) -> Result<Packet, Errno> {
        let mut packet = [0; LARGEST + 1];
        loop {
            let length = match recv(self.0.as_raw_fd(), &mut packet, MsgFlags::empty()) {
                Err(Errno::EINTR) => continue,
                Err(Errno::ECONNRESET) => 0,
                other => other?,
            };
            let bytes = packet.get(1..length).unwrap_or_default();
            return Ok(match (length, packet[0]) {
                (0, _) => Packet::Gone,
                (_, b't') => Packet::Greeting(bytes == b"1"),
                (_, b'o') => Packet::Output(bytes.to_vec()),
                (_, b'e') => Packet::Errors(bytes.to_vec()),
                (_, b'x') => Packet::Ended(bytes.first().copied().unwrap_or(0)),
                _ => continue,
            });
        }
    }
}

/// What is relayed besides the output.
#[derive(Debug)]
pub struct Relay {
    /// stdin is.
    pub input: bool,
    /// The way out.
    pub keys: Keys,
}

/// Relays until somebody leaves. `on_signal` is given those that a person sends to this process; where it does not take one, this
/// client leaves.
pub fn relay(mut connection: Connection, relay: Relay, mut on_signal: impl FnMut(i32) -> bool) -> Result<Left> {
    let signals = Signals::block().context(&process::SUPERVISE, || "block signals".into())?;
    let Relay { input, mut keys } = relay;
    let stdin = std::io::stdin();
    let (mut input, mut raw) = (input, None);
    loop {
        let mut polls =
            vec![PollFd::new(connection.0.as_fd(), PollFlags::POLLIN), PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        if input {
            polls.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut polls, PollTimeout::NONE) {
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(errno).context(&process::SUPERVISE, || "wait for the container's output".into()),
        }
        let mut ready = polls.iter().map(|entry| entry.any().unwrap_or(true));
        let (said, signalled, typed) =
            (ready.next() == Some(true), ready.next() == Some(true), ready.next() == Some(true));
        if said && let Some(left) = heard(&mut connection, input, &mut raw)? {
            return Ok(left);
        }
        if signalled {
            while let Some(number) = signals.next().context(&process::SUPERVISE, || "read a signal".into())? {
                match number {
                    libc::SIGWINCH => connection.size(),
                    libc::SIGHUP => return Ok(Left::HungUp),
                    libc::SIGCHLD | libc::SIGPIPE | libc::SIGCONT | libc::SIGTTIN | libc::SIGTTOU => {}
                    other if on_signal(other) => {}
                    other => return Ok(Left::Signalled(other)),
                }
            }
        }
        if typed {
            match connection.type_from(stdin.as_fd(), &mut keys, raw.is_some())? {
                Typed::More => {}
                Typed::End => input = false,
                Typed::Left(left) => return Ok(left),
            }
        }
    }
}

/// One packet of the supervisor's.
fn heard(connection: &mut Connection, input: bool, raw: &mut Option<RawMode>) -> Result<Option<Left>> {
    let doing = || "hear from the container's supervisor".to_owned();
    let written = match connection.hear().context(&process::SUPERVISE, doing)? {
        Packet::Greeting(true) => {
            let stdin = std::io::stdin();
            if input && stdin.is_terminal() {
                let doing = || "put the terminal into raw mode".to_owned();
                let mode = RawMode::start(stdin.as_fd()).context(&process::TERMINAL, doing)?;
                if mode.in_foreground() {
                    mode.enter().context(&process::TERMINAL, doing)?;
                }
                *raw = Some(mode);
            }
            connection.size();
            Ok(())
        }
        Packet::Greeting(false) => Ok(()),
        Packet::Output(bytes) => {
            let mut out = std::io::stdout().lock();
            out.write_all(&bytes).and_then(|()| out.flush())
        }
        Packet::Errors(bytes) => std::io::stderr().lock().write_all(&bytes),
        Packet::Ended(status) => return Ok(Some(Left::Ended(status))),
        Packet::Gone => return Ok(Some(Left::Gone)),
    };
    Ok(written.is_err().then_some(Left::HungUp))
}

enum Typed {
    More,
    End,
    Left(Left),
}

impl Connection {
    /// Tells the size of our terminal, if there is one.
    fn size(&self) {
        let (stdin, stdout) = (std::io::stdin(), std::io::stdout());
        let size = window_size(stdin.as_fd()).or_else(|_| window_size(stdout.as_fd()));
        if let Ok(size) = size
            && size.ws_row != 0
        {
            let ([a, b], [c, d]) = (size.ws_row.to_be_bytes(), size.ws_col.to_be_bytes());
            self.say(&[b'r', a, b, c, d]);
        }
    }

    fn type_from(&self, stdin: BorrowedFd<'_>, keys: &mut Keys, raw: bool) -> Result<Typed> {
        let mut bytes = [0; LARGEST];
        match nix::unistd::read(stdin, &mut bytes) {
            Ok(0) | Err(Errno::EIO) if raw => Ok(Typed::Left(Left::HungUp)),
            Ok(0) | Err(Errno::EIO) => {
                self.say(b"c");
                Ok(Typed::End)
            }
            Ok(count) => {
                // Only somebody at a keyboard types keys; a file may hold any bytes.
                let (typed, detach) = if raw { keys.filter(&bytes[..count]) } else { (bytes[..count].to_vec(), false) };
                if !typed.is_empty() {
                    let mut packet = vec![b'i'];
                    packet.extend_from_slice(&typed);
                    self.say(&packet);
                }
                Ok(if detach { Typed::Left(Left::Detached) } else { Typed::More })
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(Typed::More),
            Err(errno) => Err(errno).context(&process::TERMINAL, || "read standard input".into()),
        }
    }
}
