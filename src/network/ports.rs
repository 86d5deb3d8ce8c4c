//! Published ports: which sockets of the host they are, and whether these can be had.
//!
//! Owns [`Leg`], one socket of the host, of which a published port has one for IPv4 and one for IPv6. The surprise: a port is
//! bound, not looked up in a table, before anything is started; so the kernel itself says whether it can be had, and what is
//! bound here and not by a program is kept.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, SockaddrIn6, sockopt};
use serde::{Deserialize, Serialize};
use slirp4netns_ctl::Protocol;

use super::slirp::failed;
use crate::error::{Error, Result, catalog::network as codes};
use crate::spec::network::Publish;

/// How often another free port is looked for, where the same number is taken in the other family.
const ATTEMPTS: usize = 64;

/// One socket of the host that leads to a port of the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Where the host listens.
    pub host: SocketAddr,
    /// The container's port.
    pub container: u16,
}

/// A leg and its socket.
pub(super) type Bound = (Leg, OwnedFd);

/// Binds every published port. All or none: on an error nothing is left bound.
pub(super) fn bind_all(ports: &[Publish]) -> Result<Vec<Bound>> {
    let mut all = Vec::new();
    for port in ports {
        all.extend(bind(port)?);
    }
    Ok(all)
}

/// Whether every port could be had, before anything is made. For a process that is still the caller: only that may see which of the
/// caller's processes holds a port.
///
/// # Errors
/// `RL0705`.
pub fn check(ports: &[Publish]) -> Result<()> {
    bind_all(ports).map(drop)
}

fn bind(port: &Publish) -> Result<Vec<Bound>> {
    let number = port.host.unwrap_or(0);
    let any = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    let Some(address) = port.address else {
        for _ in 1..ATTEMPTS {
            match both(port, any, number) {
                // A free port was asked for, and this one is free in IPv4 only.
                Err(_) if port.host.is_none() => {}
                bound => return bound,
            }
        }
        return both(port, any, number);
    };
    Ok(vec![one(port, SocketAddr::new(address, number))?])
}

/// IPv4, and IPv6 where this machine has it, with the same number.
fn both(port: &Publish, [v4, v6]: [IpAddr; 2], number: u16) -> Result<Vec<Bound>> {
    let first = one(port, SocketAddr::new(v4, number))?;
    let address = SocketAddr::new(v6, first.0.host.port());
    match socket_of(port.protocol, address) {
        Ok((host, fd)) => {
            let second = Leg { host, ..first.0 };
            Ok(vec![first, (second, fd)])
        }
        Err(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL) => Ok(vec![first]),
        Err(errno) => Err(refused(port, address, errno)),
    }
}

fn one(port: &Publish, address: SocketAddr) -> Result<Bound> {
    let (host, fd) = socket_of(port.protocol, address).map_err(|errno| refused(port, address, errno))?;
    Ok((Leg { protocol: port.protocol, host, container: port.container }, fd))
}

fn refused(port: &Publish, address: SocketAddr, errno: Errno) -> Error {
    let Publish { protocol, container, .. } = port;
    failed(protocol.refused(address, errno), &format!("publish the container's port {container}/{protocol}"))
}

/// Bound, and not listening yet: a socket that is given up again must not have taken connections.
fn socket_of(protocol: Protocol, address: SocketAddr) -> Result<(SocketAddr, OwnedFd), Errno> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let kind = match protocol {
        Protocol::Tcp => SockType::Stream,
        Protocol::Udp => SockType::Datagram,
    };
    let fd = socket::socket(family, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
    if protocol == Protocol::Tcp {
        socket::setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    }
    let port = match address {
        SocketAddr::V4(address) => {
            socket::bind(fd.as_raw_fd(), &SockaddrIn::from(address))?;
            socket::getsockname::<SockaddrIn>(fd.as_raw_fd())?.port()
        }
        SocketAddr::V6(address) => {
            socket::setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
            socket::bind(fd.as_raw_fd(), &SockaddrIn6::from(address))?;
            socket::getsockname::<SockaddrIn6>(fd.as_raw_fd())?.port()
        }
    };
    Ok((SocketAddr::new(address.ip(), port), fd))
}

/// From now on clients are let in; they wait until somebody takes them.
pub(super) fn listen(bound: &Bound) -> Result<()> {
    let (leg, fd) = bound;
    if leg.protocol == Protocol::Udp {
        return Ok(());
    }
    socket::listen(fd, Backlog::MAXCONN).map_err(|errno| {
        failed(leg.protocol.refused(leg.host, errno), &format!("publish the container's port {}", leg.container))
    })
}

/// No leg leads elsewhere than where it was found.
pub(super) fn unknown(what: impl Into<String>) -> Error {
    Error::new(&codes::NO_SUCH_PORT, what)
}
