//! UDP: for each client a socket on the container's side, by which its answers find back.
//!
//! The surprise: a client never says that it is done, so it is forgotten when it has been silent for a minute.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Instant;

use super::{CLIENTS, Item, Loop};
use crate::network::ports::{Bound, Leg};

/// Nothing that IP carries is longer.
const LONGEST: usize = 65536;
/// How many packets are taken before others have their turn.
const TURNS: usize = 64;

pub(super) struct Listener {
    pub(super) leg: Leg,
    socket: UdpSocket,
    clients: HashMap<SocketAddr, u64>,
}

pub(super) struct Client {
    pub(super) listener: u64,
    pub(super) last: Instant,
    address: SocketAddr,
    socket: UdpSocket,
}

impl Listener {
    pub(super) fn new((leg, fd): Bound) -> Self {
        Self { leg, socket: fd.into(), clients: HashMap::new() }
    }

    pub(super) fn fd(&self) -> &UdpSocket {
        &self.socket
    }

    /// Forgets the clients that are gone.
    pub(super) fn keep(&mut self, alive: &HashSet<u64>) {
        self.clients.retain(|_, id| alive.contains(id));
    }

    pub(super) fn receive(&mut self, all: &mut Loop, own: u64) {
        let mut packet = [0; LONGEST];
        for _ in 0..TURNS {
            let Ok((count, from)) = self.socket.recv_from(&mut packet) else { return };
            let known = self.clients.get(&from).copied().filter(|id| all.items.contains_key(id));
            let Some(id) = known.or_else(|| self.meet(all, own, from)) else { continue };
            if let Some(Item::Client(client)) = all.items.get_mut(&id) {
                client.last = Instant::now();
                // A packet that finds nobody is lost, as on any network.
                let _ = client.socket.send(&packet[..count]);
            }
        }
    }

    /// A new client. Where there are too many, the one that has been silent the longest is forgotten.
    fn meet(&mut self, all: &mut Loop, own: u64, from: SocketAddr) -> Option<u64> {
        let ages = |item: (&u64, &Item)| match item {
            (id, Item::Client(client)) => Some((client.last, *id)),
            _ => None,
        };
        if self.clients.len() >= CLIENTS
            && let Some((_, oldest)) = all.items.iter().filter_map(ages).min()
        {
            all.items.remove(&oldest);
            self.clients.retain(|_, id| *id != oldest);
        }
        let inside = SocketAddr::new(all.guest.addresses().into_iter().next()?, self.leg.container);
        let any: IpAddr = if inside.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0)).ok()?;
        socket.set_nonblocking(true).ok()?;
        socket.connect(inside).ok()?;
        let client = Client { listener: own, last: Instant::now(), address: from, socket };
        let id = all.insert(Item::Client(client)).ok()?;
        self.clients.insert(from, id);
        Some(id)
    }
}

impl Client {
    pub(super) fn fd(&self) -> &UdpSocket {
        &self.socket
    }

    /// Passes answers on; false when the listener is gone.
    pub(super) fn answer(&mut self, listener: &Listener) -> bool {
        let mut packet = [0; LONGEST];
        for _ in 0..TURNS {
            match self.socket.recv(&mut packet) {
                Ok(count) => {
                    self.last = Instant::now();
                    let _ = listener.socket.send_to(&packet[..count], self.address);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return true,
                // ECONNREFUSED of an earlier packet: nobody listened then.
                Err(_) => {}
            }
        }
        true
    }
}
