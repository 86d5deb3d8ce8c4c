//! Named networks: containers that find each other, on a bridge in a network namespace that a process holds.
//!
//! Owns the client's side: starting the holder of a network where there is none, and asking it to let a container in or out. The
//! namespace belongs to the base user namespace; a pair of interfaces leads from its bridge into each container. The surprise:
//! nothing depends on the holder being there. Killed, it is made again by whoever comes next, and takes in again what runs.

mod holder;
mod links;
mod names;
mod resolver;
pub mod store;
mod talk;

use std::fs::File;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use self::talk::Request;
use crate::error::{Context, Error, Result, catalog::network as codes};
use crate::host::procfs;
use crate::network::egress;
use crate::network::program::find;
use crate::network::slirp::Slirp;
use crate::spec::network::{SLIRP_DNS6, is_asked_over_ipv6_alone};
use crate::spec::networks::{Definition, Joining};
use crate::state;

const VERSION: u32 = 1;

/// A container's place in a network, taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The container.
    pub id: String,
    /// By which others find it.
    pub names: Vec<String>,
    /// Its interface inside.
    pub interface: String,
    /// Its address.
    pub ip: IpAddr,
    /// Its IPv6 address, where the network has such.
    pub ip6: Option<IpAddr>,
    /// The number in the outer interface's name.
    port: u32,
    default_route: bool,
    pid: i32,
    start_time: u64,
}

/// `RUN/networks/NAME/leases.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Leases {
    version: u32,
    /// Who has written it.
    holder: u32,
    /// Its containers are found by name.
    dns: bool,
    leases: Vec<Lease>,
}

/// The programs of which a network is made.
#[derive(Debug)]
pub(super) struct Tools {
    ip: PathBuf,
    nft: Option<PathBuf>,
    slirp: Option<Slirp>,
    /// Who is asked for names that are no container's.
    upstream: Vec<IpAddr>,
}

impl Tools {
    /// # Errors
    /// `RL0711` with the name of what is missing, `RL0708`, and slirp4netns' own.
    fn find(network: &Definition, run: &Path) -> Result<Self> {
        let host = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let own = network.servers.is_empty() && !network.internal;
        let upstream_v6 = (own && is_asked_over_ipv6_alone(&host)).then_some(SLIRP_DNS6);
        let outward = || {
            let mut options = slirp4netns_ctl::Options { network: network.outer(), ..Default::default() };
            options.ipv6 = network.v6.is_some() || upstream_v6.is_some();
            Slirp::prepare(&options, run)
        };
        Ok(Self {
            ip: find("ip", None, &["/usr/sbin", "/sbin", "/usr/bin", "/bin"])
                .ok_or_else(|| Error::new(&codes::NO_TOOL, "find ip"))?,
            nft: (!network.internal).then(egress::prepare).transpose()?,
            slirp: (!network.internal).then(outward).transpose()?,
            upstream: upstream_v6.map(IpAddr::V6).into_iter().chain(network.upstream()).collect(),
        })
    }
}

/// Where a network's running state is.
fn directory(run: &Path, network: &str) -> PathBuf {
    run.join("networks").join(network)
}

/// Where it is written who is in it.
fn list(run: &Path, network: &str) -> PathBuf {
    directory(run, network).join("leases.json")
}

/// Lets a container in whose first process is `first`.
///
/// # Errors
/// `RL0710` where an address can't be had or the network can't be made, `RL0711` for a missing program.
pub(super) fn join(joining: &Joining, run: &Path, first: Pid, namespace: &File) -> Result<Lease> {
    let dir = directory(run, &joining.network.name);
    // From here to the answer the network can't end.
    let _lock = state::lock(&dir)?;
    let request = Request::Join { joining: Box::new(joining.clone()), pid: first.as_raw() };
    if let Some(lease) = talk::ask(&dir, &request, Some(namespace))? {
        return Ok(lease);
    }
    holder::start(&joining.network, Tools::find(&joining.network, run)?, run, &dir)?;
    talk::ask(&dir, &request, Some(namespace))?
        .ok_or_else(|| Error::new(&codes::NAMED, "find the network that was just made"))
}

/// Lets a container out. False: it was not in there.
///
/// # Errors
/// `RL0710`.
pub fn leave(run: &Path, network: &str, id: &str) -> Result<bool> {
    let dir = directory(run, network);
    if !dir.exists() {
        return Ok(false);
    }
    let _lock = state::lock(&dir)?;
    Ok(talk::ask(&dir, &Request::Leave { id: id.to_owned() }, None)?.is_some())
}

/// Who is in there, as the holder has written it down; without those that have ended.
pub fn leases(run: &Path, network: &str) -> Vec<Lease> {
    let read = state::read_versioned::<Leases>(&list(run, network), VERSION);
    let all = read.ok().flatten().map(|leases| leases.leases).unwrap_or_default();
    all.into_iter().filter(Lease::is_alive).collect()
}

/// Lets a running container into one more network, which brings it no way out where it has one.
///
/// # Errors
/// As a run's.
pub fn connect(joining: &Joining, run: &Path, first: Pid) -> Result<Lease> {
    let namespace = File::open(procfs::namespace(first.as_raw(), "net"));
    let namespace = namespace.context(&codes::NAMED, || "open the container's network namespace".into())?;
    join(joining, run, first, &namespace)
}

impl Lease {
    /// The container's way out leads through this network.
    pub fn leads_out(&self) -> bool {
        self.default_route
    }

    fn is_alive(&self) -> bool {
        procfs::start_time(self.pid) == Some(self.start_time)
    }
}

/// The container's own name leads to its address, in the file that is mounted over /etc/hosts.
pub(super) fn write_hosts(dir: &Path, lease: &Lease) {
    let path = dir.join("hosts");
    if let Ok(text) = std::fs::read_to_string(&path) {
        // In place: the container has this very file.
        let _ = std::fs::write(&path, text.replace("127.0.1.1\t", &format!("{}\t", lease.ip)));
    }
}

/// Other name servers in place of `ours`, in the file that is mounted over /etc/resolv.conf; all else that somebody has written there
/// stays.
pub fn change_resolvers(dir: &Path, ours: &[IpAddr], after: &[IpAddr]) {
    let path = dir.join("resolv.conf");
    let Ok(text) = std::fs::read_to_string(&path) else { return };
    let is_ours = |line: &str| {
        let server = line.strip_prefix("nameserver ").and_then(|server| server.trim().parse::<IpAddr>().ok());
        server.is_some_and(|server| ours.contains(&server))
    };
    let lines: Vec<&str> = text.lines().collect();
    let (first, rest) = lines.split_at(lines.iter().position(|line| is_ours(line)).unwrap_or(lines.len()));
    let mut lines: Vec<String> = first.iter().map(|&line| line.to_owned()).collect();
    lines.extend(after.iter().map(|server| format!("nameserver {server}")));
    lines.extend(rest.iter().filter(|line| !is_ours(line)).map(|&line| line.to_owned()));
    // In place: the container has this very file.
    let _ = std::fs::write(&path, lines.join("\n") + "\n");
}

/// Whether this child is a network's holder. By its name and by its user namespace, which is ours: a container's processes can have
/// any name, and are in another.
pub fn is_holder(pid: i32) -> bool {
    let user = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/user")).ok();
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim_end() == "rl: network" && user(&pid.to_string()) == user("self")
}
