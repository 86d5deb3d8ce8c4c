//! Interfaces, addresses and routes, in the words of ip(8).
//!
//! Owns running it inside a network namespace. The surprise: it is given all commands of one namespace at once (`-batch`), because
//! each start of it costs as much as ten of them.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;

use nix::sched::{CloneFlags, unshare};

use super::Lease;
use crate::network::egress::nft;
use crate::network::forward::Forwarder;
use crate::network::program::feed;
use crate::spec::networks::{Definition, Subnet};
use crate::sys::child::fork;
use crate::sys::loopback;
use crate::sys::process::in_network;

/// The bridge's, in every network: they have no link in common. Without one of its own a bridge has the lowest of its members', another
/// whenever one comes or goes, and containers would send to the old one for half a minute.
const HARDWARE_ADDRESS: &str = "02:72:6c:00:00:01";
/// As large as slirp4netns' own packets.
const MTU: u32 = 65520;

/// A new network namespace with its loopback interface up and these kernel parameters.
pub(super) fn namespace(sysctls: &[(&str, &str)]) -> Result<File, String> {
    let (mut answer, mut tell) = std::io::pipe().map_err(|error| error.to_string())?;
    let pid = fork(|| {
        let made = unshare(CloneFlags::CLONE_NEWNET).and_then(|()| loopback::up()).map_err(|errno| errno.to_string());
        let set = |(key, value): &(&str, &str)| {
            std::fs::write(format!("/proc/sys/{key}"), value).map_err(|error| format!("set the sysctl {key}: {error}"))
        };
        let done = made.and_then(|()| sysctls.iter().try_for_each(set));
        let _ = tell.write_all(done.err().unwrap_or_default().as_bytes());
        drop(tell);
        loop {
            nix::unistd::pause();
        }
    })
    .map_err(|errno| errno.to_string())?;
    let child = Forwarder::of(pid).map_err(|errno| errno.to_string())?;
    let mut said = String::new();
    std::io::Read::read_to_string(&mut answer, &mut said).map_err(|error| error.to_string())?;
    let opened = File::open(format!("/proc/{pid}/ns/net")).map_err(|error| error.to_string());
    drop(child);
    if said.is_empty() { opened } else { Err(said) }
}

fn ip(program: &Path, namespace: &File, commands: &str) -> Result<(), String> {
    let mut command = Command::new(program);
    command.args(["-batch", "-"]);
    in_network(&mut command, namespace.as_fd());
    feed(command, commands)
}

/// nft inside a namespace.
pub(super) fn nft(program: &Path, namespace: &File, commands: &str) -> Result<(), String> {
    let mut command = nft::command(program);
    in_network(&mut command, namespace.as_fd());
    feed(command, commands)
}

fn address(text: &mut String, address: IpAddr, subnet: &Subnet, device: &str) {
    // Nobody else is on the link who could have it: no waiting for duplicates.
    let nodad = if address.is_ipv6() { " nodad" } else { "" };
    let _ = writeln!(text, "address add {address}/{} dev {device}{nodad}", subnet.bits);
}

pub(super) fn bridge(program: &Path, held: &File, network: &Definition) -> Result<(), String> {
    let mut text = format!("link add name br0 mtu {MTU} address {HARDWARE_ADDRESS} type bridge\n");
    for subnet in std::iter::once(&network.v4).chain(&network.v6) {
        address(&mut text, subnet.gateway, subnet, "br0");
    }
    text.push_str("link set br0 up\n");
    ip(program, held, &text)
}

/// A pair of interfaces from the bridge into the container.
pub(super) fn plug(
    program: &Path,
    held: &File,
    network: &Definition,
    lease: &Lease,
    theirs: &File,
) -> Result<(), String> {
    let Lease { interface, port, pid, .. } = lease;
    let outside = format!(
        "link add name rl{port} mtu {MTU} type veth peer name {interface} mtu {MTU} netns {pid}\n\
         link set rl{port} master br0 up\n"
    );
    ip(program, held, &outside)?;
    let mut inside = String::new();
    for (own, subnet) in std::iter::once((Some(lease.ip), Some(&network.v4))).chain([(lease.ip6, network.v6.as_ref())])
    {
        if let (Some(own), Some(subnet)) = (own, subnet) {
            address(&mut inside, own, subnet, interface);
        }
    }
    let _ = writeln!(inside, "link set {interface} up");
    if lease.default_route && !network.internal {
        let gateways = std::iter::once(&network.v4).chain(&network.v6).map(|subnet| subnet.gateway);
        for gateway in gateways {
            let _ = writeln!(inside, "route add default via {gateway} dev {interface}");
        }
    }
    let done = ip(program, theirs, &inside);
    if done.is_err() {
        let _ = unplug(program, held, *port);
    }
    done
}

/// The container's end of a pair; the other end goes with it.
pub(super) fn clear(program: &Path, theirs: &File, interface: &str) -> Result<(), String> {
    ip(program, theirs, &format!("link delete {interface}\n"))
}

pub(super) fn unplug(program: &Path, held: &File, port: u32) -> Result<(), String> {
    ip(program, held, &format!("link delete rl{port}\n"))
}
