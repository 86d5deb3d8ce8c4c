//! Ports of the host: what is forwarded, whether it can be had, and who has it.
//!
//! Owns [`Forward`] and the look-up of a port's holder. The surprise: /proc/net shows the sockets of all users, but only an
//! inode leads from there to a process, through /proc/PID/fd, which shows the caller's own processes alone.

use std::fmt;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrIn6, sockopt};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Taken};

/// The default of net.ipv4.ip_unprivileged_port_start, where it can't be read.
const PRIVILEGED: u16 = 1024;

/// TCP or UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// tcp
    Tcp,
    /// udp
    Udp,
}

/// A port of the host that leads to one of the container. The container sees the client's own address; a client on the
/// host's loopback shows as the network's gateway.
///
/// Without `allow_host_loopback` libslirp takes an answer over UDP to such a client for an attempt at the host's loopback, and
/// drops it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Where to listen on the host. slirp4netns knows IPv4 only.
    pub host: SocketAddrV4,
    /// The container's address ([`crate::Network::guest`]) and port.
    pub guest: SocketAddrV4,
}

/// The process that has a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its pid.
    pub pid: u32,
    /// Its name, as ps(1) has it.
    pub command: String,
}

impl Forward {
    /// Whether the port of the host can be had, before anything is started.
    ///
    /// # Errors
    /// [`Error::Port`] with the reason.
    pub fn check(&self) -> Result<(), Error> {
        self.protocol.check(self.host.into())
    }
}

impl Protocol {
    /// Whether a port of the host can be had: it is bound and left again.
    ///
    /// # Errors
    /// [`Error::Port`] with the reason.
    pub fn check(self, host: SocketAddr) -> Result<(), Error> {
        bind(self, host).map_err(|errno| self.refused(host, errno))
    }

    /// Why the kernel gave this errno to somebody who wanted the port.
    pub fn refused(self, host: SocketAddr, errno: Errno) -> Error {
        let why = match errno {
            Errno::EADDRINUSE => Taken::InUse { holder: holder(self, host) },
            Errno::EACCES => Taken::Privileged { start: unprivileged_start() },
            Errno::EADDRNOTAVAIL => Taken::NotLocal,
            other => Taken::Other(other),
        };
        Error::Port { host, protocol: self, why }
    }

    fn tables(self) -> [&'static str; 2] {
        match self {
            Self::Tcp => ["/proc/net/tcp", "/proc/net/tcp6"],
            Self::Udp => ["/proc/net/udp", "/proc/net/udp6"],
        }
    }

    /// The column `st` of a socket that takes a port for all that come: TCP_LISTEN, or TCP_CLOSE, which is what an unconnected UDP
    /// socket has.
    fn state(self) -> &'static str {
        match self {
            Self::Tcp => "0A",
            Self::Udp => "07",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

fn bind(protocol: Protocol, host: SocketAddr) -> Result<(), Errno> {
    let family = if host.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let kind = match protocol {
        Protocol::Tcp => SockType::Stream,
        Protocol::Udp => SockType::Datagram,
    };
    let socket = socket::socket(family, kind, SockFlag::SOCK_CLOEXEC, None)?;
    if protocol == Protocol::Tcp {
        // As a server does: connections that have ended are no reason against it, a listener is.
        socket::setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    }
    let fd = std::os::fd::AsRawFd::as_raw_fd(&socket);
    match host {
        SocketAddr::V4(host) => socket::bind(fd, &SockaddrIn::from(host)),
        SocketAddr::V6(host) => {
            socket::setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
            socket::bind(fd, &SockaddrIn6::from(host))
        }
    }
}

/// The first port that everybody may listen on.
pub fn unprivileged_start() -> u16 {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    text.trim_end().parse().unwrap_or(PRIVILEGED)
}

/// The caller's own process that has this port; None: another user's, or none at all. A connection that goes out takes one, too, so
/// where nobody listens at the port it is looked for among these.
pub fn holder(protocol: Protocol, host: SocketAddr) -> Option<Holder> {
    let tables: Vec<String> =
        protocol.tables().iter().filter_map(|table| std::fs::read_to_string(table).ok()).collect();
    let of = |state: Option<&str>| -> Vec<String> {
        let inodes = tables.iter().flat_map(|text| inodes(text, state, host));
        inodes.map(|inode| format!("socket:[{inode}]")).collect()
    };
    let listening = of(Some(protocol.state()));
    let inodes = if listening.is_empty() { of(None) } else { listening };
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).find_map(|pid| {
        let files = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
        let mut links = files.filter_map(|file| std::fs::read_link(file.path()).ok());
        links.find(|link| inodes.iter().any(|inode| link.as_os_str() == inode.as_str()))?;
        let command = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        Some(Holder { pid, command: command.trim_end().to_owned() })
    })
}

/// The inodes of sockets that stand in the way of `host`, from a table of proc_net(5); `state`: of those in this state alone.
fn inodes(text: &str, state: Option<&str>, host: SocketAddr) -> Vec<u64> {
    let line = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let (local, own) = (fields.nth(1)?, fields.nth(1)?);
        let inode: u64 = fields.nth(5)?.parse().ok()?;
        let (address, port) = local.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        let address = address_of(address)?;
        let same =
            port == host.port() && (address.is_unspecified() || host.ip().is_unspecified() || address == host.ip());
        // Without an inode it is nobody's: a connection that has ended (TIME_WAIT).
        (same && inode != 0 && state.is_none_or(|state| state == own)).then_some(inode)
    };
    text.lines().skip(1).filter_map(line).collect()
}

/// Words of 32 bits in the machine's byte order.
fn address_of(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(hex.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    if hex.len() == 8 {
        return Some(IpAddr::from(word(0)?));
    }
    let mut bytes = [0; 16];
    for (index, chunk) in bytes.chunks_exact_mut(4).enumerate() {
        chunk.copy_from_slice(&word(index * 8)?);
    }
    Some(IpAddr::from(bytes).to_canonical())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use super::*;

    #[test]
    fn a_free_port_can_be_had_and_a_taken_one_names_this_process() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let host = listener.local_addr().expect("an address");
        let Err(Error::Port { why: Taken::InUse { holder: Some(holder) }, .. }) = Protocol::Tcp.check(host) else {
            panic!("the port is taken by this process");
        };
        assert_eq!(holder.pid, std::process::id());
        // The same number of the other protocol is another port.
        assert!(Protocol::Udp.check(host).is_ok());
        drop(listener);
        assert!(Protocol::Tcp.check(host).is_ok());
    }

    #[test]
    fn a_connection_that_goes_out_has_its_port_and_names_this_process() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
        let host = client.local_addr().expect("its own address");
        let Err(Error::Port { why: Taken::InUse { holder: Some(holder) }, .. }) = Protocol::Tcp.check(host) else {
            panic!("the port is taken by this process");
        };
        assert_eq!(holder.pid, std::process::id());
    }

    #[test]
    fn a_wildcard_stands_in_the_way_of_every_address_and_the_other_way_round() {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        let port = socket.local_addr().expect("an address").port();
        assert!(Protocol::Udp.check(([127, 0, 0, 1], port).into()).is_err());
        let one = TcpListener::bind("[::1]:0").expect("a listener");
        let port = one.local_addr().expect("an address").port();
        let all = SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, port));
        assert_eq!(holder(Protocol::Tcp, all).expect("this process").pid, std::process::id());
    }

    #[test]
    fn an_address_of_another_machine_is_told_as_such() {
        let error = Protocol::Tcp.check(([192, 0, 2, 1], 8080).into()).expect_err("not ours");
        assert!(matches!(error, Error::Port { why: Taken::NotLocal, .. }), "{error}");
    }

    #[test]
    fn tables_are_read_in_both_families() {
        let v4 = "  sl  local_address rem_address   st\n\
                  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 1000 0 4711 1\n\
                  1: 0100007F:1F90 0100007F:9999 01 00000000:00000000 00:00000000 00000000 1000 0 4712 1\n";
        let listening = Some(Protocol::Tcp.state());
        assert_eq!(inodes(v4, listening, ([127, 0, 0, 1], 8080).into()), [4711]);
        assert_eq!(inodes(v4, listening, ([0, 0, 0, 0], 8080).into()), [4711]);
        assert_eq!(inodes(v4, None, ([127, 0, 0, 1], 8080).into()), [4711, 4712]);
        assert!(inodes(v4, listening, ([127, 0, 0, 2], 8080).into()).is_empty());
        assert!(inodes("sl\ngarbage\n: : :", None, ([127, 0, 0, 1], 1).into()).is_empty());
        assert_eq!(address_of("00000000000000000000000001000000"), Some("::1".parse().expect("an address")));
    }
}
