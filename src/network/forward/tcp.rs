//! TCP: a client of the host's side, a connection on the container's, and what goes to and fro.
//!
//! The surprise: an end is taken out of the poll while nothing is wanted of it, because a connection that both sides have closed
//! would be reported without end.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrIn6, sockopt};

use super::{Item, Loop, token};
use crate::network::ports::Leg;

const CHUNK: usize = 64 << 10;
/// How many chunks go one way before others have their turn.
const TURNS: usize = 16;
/// How many clients are let in before others have their turn.
const CLIENTS: usize = 64;

/// One way: what has been read and not been written yet.
#[derive(Default)]
struct Way {
    held: Vec<u8>,
    /// The end of what is to be read has come, and was passed on.
    ended: bool,
}

/// Two connections that are one. `ways[0]` leads from the client into the container.
pub(super) struct Pair {
    ends: [TcpStream; 2],
    ways: [Way; 2],
    wanted: [EpollFlags; 2],
    /// While the container's side is not connected: where else to try.
    connecting: Option<Vec<SocketAddr>>,
}

/// Lets waiting clients in. False: there is no file for the next one.
pub(super) fn accept(all: &mut Loop, leg: Leg, listener: &OwnedFd) -> bool {
    for _ in 0..CLIENTS {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let client = match socket::accept4(listener.as_raw_fd(), flags) {
            Ok(fd) => TcpStream::from(crate::sys::process::adopt(fd)),
            // ECONNABORTED: a client has gone again; another may wait.
            Err(Errno::EINTR | Errno::ECONNABORTED) => continue,
            Err(errno) => return !matches!(errno, Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM),
        };
        let _ = client.set_nodelay(true);
        let mut rest: Vec<_> =
            all.guest.addresses().into_iter().rev().map(|ip: IpAddr| SocketAddr::new(ip, leg.container)).collect();
        let Some((inside, connected)) = connect_next(&mut rest) else {
            reset(&client);
            continue;
        };
        let mut pair = Pair {
            ends: [client, inside],
            ways: <[Way; 2]>::default(),
            wanted: [EpollFlags::empty(); 2],
            connecting: (!connected).then_some(rest),
        };
        let Ok(id) = all.insert(Item::Watched) else { continue };
        if pair.turn(&all.epoll, id, true) {
            all.items.insert(id, Item::Pair(pair));
        } else {
            all.items.remove(&id);
        }
    }
    true
}

/// The next address that does not refuse at once, and whether it has answered already.
fn connect_next(rest: &mut Vec<SocketAddr>) -> Option<(TcpStream, bool)> {
    while let Some(address) = rest.pop() {
        let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let Ok(fd) = socket::socket(family, SockType::Stream, flags, None) else { continue };
        let connected = match address {
            SocketAddr::V4(address) => socket::connect(fd.as_raw_fd(), &SockaddrIn::from(address)),
            SocketAddr::V6(address) => socket::connect(fd.as_raw_fd(), &SockaddrIn6::from(address)),
        };
        let stream = TcpStream::from(fd);
        let _ = stream.set_nodelay(true);
        match connected {
            Ok(()) => return Some((stream, true)),
            Err(Errno::EINPROGRESS) => return Some((stream, false)),
            Err(_) => {}
        }
    }
    None
}

/// The client hears at once that nobody is there, as it would without anything in between.
fn reset(client: &TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let _ = socket::setsockopt(client, sockopt::Linger, &linger);
}

impl Pair {
    /// Copies what can be copied; false when nothing is left to do. `second`: something has happened on the container's side.
    pub(super) fn turn(&mut self, epoll: &Epoll, id: u64, second: bool) -> bool {
        if self.connecting.is_some() {
            if second && !self.connected(epoll) {
                reset(&self.ends[0]);
                return false;
            }
            if self.connecting.is_some() {
                return self.want(epoll, id, [EpollFlags::empty(), EpollFlags::EPOLLOUT]);
            }
        }
        let mut scratch = [0; CHUNK];
        for way in 0..2 {
            if self.copy(way, &mut scratch).is_err() {
                // The other side hears that it did not end in order.
                self.ends.iter().for_each(reset);
                return false;
            }
        }
        if self.ways.iter().all(|way| way.ended) {
            return false;
        }
        let wanted = [0, 1].map(|end| {
            let (out, back) = (&self.ways[end], &self.ways[1 - end]);
            let mut flags = EpollFlags::empty();
            flags.set(EpollFlags::EPOLLIN, out.held.is_empty() && !out.ended);
            flags.set(EpollFlags::EPOLLOUT, !back.held.is_empty());
            flags
        });
        self.want(epoll, id, wanted)
    }

    /// Whether there is, or may still come, a connection to the container.
    fn connected(&mut self, epoll: &Epoll) -> bool {
        let error = socket::getsockopt(&self.ends[1], sockopt::SocketError).unwrap_or(libc::EIO);
        // Asked before it has an answer, the socket has no peer and no error.
        if error == 0 && self.ends[1].peer_addr().is_ok() {
            self.connecting = None;
            return true;
        }
        if error == 0 {
            return true;
        }
        let mut rest = self.connecting.take().unwrap_or_default();
        let Some((stream, connected)) = connect_next(&mut rest) else { return false };
        let _ = epoll.delete(&self.ends[1]);
        self.wanted[1] = EpollFlags::empty();
        self.ends[1] = stream;
        self.connecting = (!connected).then_some(rest);
        true
    }

    /// One way's turn. What it leaves undone, an event that is wanted after it must bring back: an end that was read and not passed
    /// on would wait for ever.
    fn copy(&mut self, way: usize, scratch: &mut [u8]) -> std::io::Result<()> {
        let Way { held, ended } = &mut self.ways[way];
        let (mut from, mut to) = (&self.ends[way], &self.ends[1 - way]);
        for _ in 0..TURNS {
            while !held.is_empty() {
                match to.write(held) {
                    Ok(count) => drop(held.drain(..count)),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            if *ended {
                return Ok(());
            }
            match from.read(scratch) {
                Ok(0) => {
                    *ended = true;
                    let _ = to.shutdown(Shutdown::Write);
                }
                Ok(count) => {
                    // Most of it goes at once; only what does not is kept.
                    let gone = match to.write(&scratch[..count]) {
                        Ok(gone) => gone,
                        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => 0,
                        Err(error) => return Err(error),
                    };
                    held.extend_from_slice(&scratch[gone..count]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn want(&mut self, epoll: &Epoll, id: u64, wanted: [EpollFlags; 2]) -> bool {
        for (end, flags) in wanted.into_iter().enumerate() {
            if self.wanted[end] == flags {
                continue;
            }
            let mut event = EpollEvent::new(flags, token(id, end == 1));
            let done = match (self.wanted[end].is_empty(), flags.is_empty()) {
                (true, _) => epoll.add(&self.ends[end], event),
                (false, true) => epoll.delete(&self.ends[end]),
                (false, false) => epoll.modify(&self.ends[end], &mut event),
            };
            if done.is_err() {
                return false;
            }
            self.wanted[end] = flags;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Duration;

    use super::*;

    /// The far end, and ours.
    fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let far = TcpStream::connect(listener.local_addr().expect("an address")).expect("connect");
        let (near, _) = listener.accept().expect("accept");
        (far, near)
    }

    /// What came with the last chunk of a turn was not passed on, and neither side said anything any more.
    #[test]
    fn an_end_is_passed_on_however_many_chunks_came_before_it() {
        for chunks in 0..=2 * TURNS {
            let ((mut client, outside), (mut server, inside)) = (connection(), connection());
            server.write_all(&vec![7; chunks]).expect("write");
            server.shutdown(Shutdown::Write).expect("shutdown");
            let mut pair = Pair {
                ends: [outside, inside],
                ways: <[Way; 2]>::default(),
                wanted: [EpollFlags::empty(); 2],
                connecting: None,
            };
            // Again for as long as the loop would: something is to be read, and asked for.
            while !pair.ways[1].ended && pair.ways[1].held.is_empty() {
                pair.copy(1, &mut [0]).expect("copy");
            }
            client.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
            let mut heard = Vec::new();
            client.read_to_end(&mut heard).expect("the end");
            assert_eq!(heard.len(), chunks);
        }
    }
}
