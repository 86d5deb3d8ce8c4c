//! The attach socket, on the supervisor's side: who listens to a container, who types into it, who waits for its end.
//!
//! `RUN/containers/ID/attach`, a sequenced-packet socket, so that a message is a packet. The first byte says what it is:
//!
//! | from a client | | to a client | |
//! |---|---|---|---|
//! | `a` | wants the output | `t` + `1` or `0` | greets it: the container has a terminal, or pipes |
//! | `w` | wants to hear of the end only | `o`, `e` + bytes | stdout, stderr |
//! | `i` + bytes | typed | `x` + status | it has ended |
//! | `c` | no more will be typed | | |
//! | `r` + rows + columns | the size of its terminal | | |
//!
//! The surprise: a client that takes nothing holds the container up, as a terminal does whose output was stopped, but only for a
//! while; then it is dropped, because a forgotten one must not stop a database.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, accept4, bind, connect, listen, recv, send, socket,
};

use crate::error::{Context, Result, catalog::state};
use crate::sys::process::adopt;

/// Its name below the container's run directory.
const SOCKET: &str = "attach";
/// What a packet holds besides its first byte.
pub const LARGEST: usize = 8 * 1024;
/// How long a client may take nothing.
const PATIENCE: Duration = Duration::from_secs(10);
/// More are refused: each costs the container time.
const MOST: usize = 64;

/// What came from a client.
#[derive(Debug, PartialEq, Eq)]
pub enum Wish {
    /// Bytes for the container's stdin.
    Typed(Vec<u8>),
    /// Its stdin has ended.
    Closed,
    /// Rows and columns.
    Size(u16, u16),
}

#[derive(Debug)]
struct Client {
    fd: OwnedFd,
    listens: bool,
    /// What it has not taken yet, and since when.
    held: Vec<Vec<u8>>,
    since: Option<Instant>,
    gone: bool,
}

/// All of them, and where others come in.
#[derive(Debug)]
pub struct Clients {
    listener: OwnedFd,
    all: Vec<Client>,
    terminal: bool,
}

/// Makes the socket. Its path may be longer than the 108 bytes of an address, so it is reached through a descriptor of its directory.
pub fn listener(run: &Path) -> Result<OwnedFd> {
    let doing = || format!("make the socket {}", run.join(SOCKET).display());
    let _ = std::fs::remove_file(run.join(SOCKET));
    let fd = socket(AddressFamily::Unix, SockType::SeqPacket, flags(), None).context(&state::STATE, doing)?;
    let dir = std::fs::File::open(run).context(&state::STATE, doing)?;
    bind(fd.as_raw_fd(), &address(dir.as_fd()).context(&state::STATE, doing)?).context(&state::STATE, doing)?;
    let backlog = Backlog::new(64).unwrap_or(Backlog::MAXCONN);
    listen(&fd, backlog).context(&state::STATE, doing)?;
    Ok(fd)
}

/// The client's end of a new connection; the error says that nobody listens.
pub fn connected(run: &Path) -> Result<OwnedFd, Errno> {
    let dir = std::fs::File::open(run).map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))?;
    let fd = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)?;
    connect(fd.as_raw_fd(), &address(dir.as_fd())?)?;
    Ok(fd)
}

fn address(dir: BorrowedFd<'_>) -> Result<UnixAddr, Errno> {
    UnixAddr::new(format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd()).as_str())
}

fn flags() -> SockFlag {
    SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK
}

impl Clients {
    /// On a listening socket; `terminal`: whether the container has one.
    pub fn new(listener: OwnedFd, terminal: bool) -> Self {
        Self { listener, all: Vec::new(), terminal }
    }

    /// What to poll for: the listener first, then each client. `input`: whether typed bytes have a place to go.
    pub fn interest(&self, input: bool) -> Vec<(BorrowedFd<'_>, PollFlags)> {
        let of = |client: &Client| {
            let mut events = PollFlags::empty();
            events.set(PollFlags::POLLIN, input);
            events.set(PollFlags::POLLOUT, !client.held.is_empty());
            events
        };
        let own = self.all.iter().map(|client| (client.fd.as_fd(), of(client)));
        std::iter::once((self.listener.as_fd(), PollFlags::POLLIN)).chain(own).collect()
    }

    /// Whether somebody has not taken all of the output yet: then no more is read from the container.
    pub fn is_behind(&self) -> bool {
        self.all.iter().any(|client| !client.held.is_empty())
    }

    /// When the slowest one is dropped.
    pub fn deadline(&self) -> Option<Instant> {
        self.all.iter().filter_map(|client| client.since).min().map(|since| since + PATIENCE)
    }

    /// Does what poll has found possible, in the order of [`Clients::interest`].
    pub fn turn(&mut self, ready: &[PollFlags]) -> Vec<Wish> {
        let mut wishes = Vec::new();
        let (listener, each) =
            ready.split_first().map_or((PollFlags::empty(), &[][..]), |(first, rest)| (*first, rest));
        for (client, ready) in self.all.iter_mut().zip(each) {
            if ready.contains(PollFlags::POLLOUT) {
                client.flush();
            }
            if ready.intersects(PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR) {
                client.read(&mut wishes);
            }
        }
        let now = Instant::now();
        self.all.retain(|client| !client.gone && client.since.is_none_or(|since| since + PATIENCE > now));
        if listener.contains(PollFlags::POLLIN) {
            self.accept();
        }
        wishes
    }

    fn accept(&mut self) {
        while let Ok(fd) = accept4(self.listener.as_raw_fd(), flags()) {
            self.add(adopt(fd), false);
        }
    }

    /// One whose socket is connected already.
    pub fn add(&mut self, fd: OwnedFd, listens: bool) {
        if self.all.len() < MOST {
            let mut client = Client { fd, listens, held: Vec::new(), since: None, gone: false };
            client.send(&[b't', if self.terminal { b'1' } else { b'0' }]);
            self.all.push(client);
        }
    }

    /// Output of the container, to all who listen.
    pub fn output(&mut self, kind: u8, bytes: &[u8]) {
        for chunk in bytes.chunks(LARGEST) {
            let mut packet = Vec::with_capacity(chunk.len() + 1);
            packet.push(kind);
            packet.extend_from_slice(chunk);
            self.all.iter_mut().filter(|client| client.listens).for_each(|client| client.send(&packet));
        }
    }

    /// Tells all of the end, once they have taken what came before it; nobody is connected afterwards.
    pub fn end(&mut self, status: u8) {
        self.accept();
        for mut client in self.all.drain(..) {
            // Who has connected but not said yet what for wants the end as well. The rest is sent with waiting, for a while.
            let _ = set_patience(client.fd.as_fd());
            client.held.push(vec![b'x', status]);
            client.flush();
        }
    }
}

/// Makes sends wait, at most a second.
fn set_patience(fd: BorrowedFd<'_>) -> nix::Result<()> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    fcntl(fd, FcntlArg::F_SETFL(OFlag::empty()))?;
    nix::sys::socket::setsockopt(&fd, nix::sys::socket::sockopt::SendTimeout, &nix::sys::time::TimeVal::new(1, 0))
}

impl Client {
    fn send(&mut self, packet: &[u8]) {
        if self.held.is_empty() {
            match send(self.fd.as_raw_fd(), packet, MsgFlags::MSG_NOSIGNAL) {
                Ok(_) => return,
                Err(Errno::EAGAIN | Errno::EINTR) => self.since = Some(Instant::now()),
                Err(_) => {
                    self.gone = true;
                    return;
                }
            }
        }
        self.held.push(packet.to_vec());
    }

    fn flush(&mut self) {
        while let Some(packet) = self.held.first() {
            match send(self.fd.as_raw_fd(), packet, MsgFlags::MSG_NOSIGNAL) {
                Ok(_) => {
                    self.held.remove(0);
                    self.since = Some(Instant::now());
                }
                Err(Errno::EAGAIN | Errno::EINTR) => return,
                Err(_) => {
                    self.gone = true;
                    self.held.clear();
                }
            }
        }
        self.since = None;
    }

    fn read(&mut self, wishes: &mut Vec<Wish>) {
        let mut packet = [0; LARGEST + 1];
        let length = match recv(self.fd.as_raw_fd(), &mut packet, MsgFlags::empty()) {
            Ok(0) => {
                self.gone = true;
                return;
            }
            Ok(length) => length,
            Err(Errno::EAGAIN | Errno::EINTR) => return,
            Err(_) => {
                self.gone = true;
                return;
            }
        };
        match (packet[0], &packet[1..length]) {
            (b'a', _) => self.listens = true,
            (b'w', _) => {}
            (b'i', bytes) => wishes.push(Wish::Typed(bytes.to_vec())),
            (b'c', _) => wishes.push(Wish::Closed),
            (b'r', &[a, b, c, d]) => wishes.push(Wish::Size(u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))),
            // Of another version, or no client of ours at all.
            _ => self.gone = true,
        }
    }
}
