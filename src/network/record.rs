//! What a running container publishes: `RUN/containers/ID/network.json`.
//!
//! Owns the file, and `rl port add` and `rl port rm`, which change it. The surprise: the file is written when the ports are there,
//! and locked by whoever changes it, so that it never names a port that leads nowhere.

use std::fs::File;
use std::net::{SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use slirp4netns_ctl::{Api, Forward, Protocol};

use super::forward;
use super::ports::{Bound, Leg, bind_all, unknown};
use super::slirp::{API, failed, let_clients_wait};
use crate::error::{Context, Result, catalog::state};
use crate::spec::network::Publish;

const VERSION: u32 = 1;
const FILE: &str = "network.json";
const PORTS: &str = "ports";

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    version: u32,
    /// Who carries the packets: `slirp4netns`, `pasta`.
    pub driver: String,
    /// The container's own address where slirp4netns forwards to it.
    guest: Option<std::net::Ipv4Addr>,
    /// What is published, in the order of the command line.
    pub ports: Vec<Leg>,
}

impl Record {
    pub(super) fn new(driver: &str, guest: Option<std::net::Ipv4Addr>, ports: Vec<Leg>) -> Self {
        Self { version: VERSION, driver: driver.to_owned(), guest, ports }
    }

    /// Of the container with this run directory; None: it has no network of its own making.
    ///
    /// # Errors
    /// Where the file is there and can't be understood.
    pub fn read(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(FILE);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context(&state::STATE, || format!("read {}", path.display())),
        };
        let record: Self =
            serde_json::from_slice(&text).context(&state::STATE, || format!("understand {}", path.display()))?;
        if record.version != VERSION {
            return Err(unknown(format!("understand {} of version {}", path.display(), record.version)));
        }
        Ok(Some(record))
    }

    pub(super) fn write(&self, dir: &Path) -> Result<()> {
        let (path, staged) = (dir.join(FILE), dir.join("network.json.new"));
        let text = serde_json::to_vec(self).context(&state::INTERNAL, || "write JSON".into())?;
        std::fs::write(&staged, text)
            .and_then(|()| std::fs::rename(&staged, &path))
            .context(&state::STATE, || format!("write {}", path.display()))
    }

    /// Whether slirp4netns itself listens there: TCP over IPv4. The rest is the forwarder's, and with pasta all of what was added
    /// later.
    pub(super) fn is_slirps(&self, leg: &Leg) -> bool {
        self.guest.is_some() && leg.protocol == Protocol::Tcp && leg.host.is_ipv4()
    }

    fn forward(&self, leg: &Leg) -> Option<Forward> {
        match (self.guest.filter(|_| self.is_slirps(leg)), leg.host) {
            (Some(guest), SocketAddr::V4(host)) => {
                Some(Forward { protocol: leg.protocol, host, guest: SocketAddrV4::new(guest, leg.container) })
            }
            _ => None,
        }
    }
}

/// The forwarder's socket.
pub(super) fn control(dir: &Path) -> PathBuf {
    dir.join(PORTS)
}

fn locked(dir: &Path) -> Result<Flock<File>> {
    let path = dir.join("network.lock");
    let file = File::create(&path).context(&state::STATE, || format!("open {}", path.display()))?;
    Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, errno)| errno)
        .context(&state::STATE, || format!("lock {}", path.display()))
}

/// Hands what is bound to whoever will listen there. What is left over is for the forwarder.
pub(super) fn hand_over(record: &Record, bound: Vec<Bound>, dir: &Path) -> Result<Vec<Bound>> {
    let api = Api::new(dir.join(API));
    let (mut left, mut listening) = (Vec::new(), None);
    for one in bound {
        match record.forward(&one.0) {
            None => left.push(one),
            Some(forward) => {
                let doing = || format!("publish the container's port {}/{}", one.0.container, one.0.protocol);
                listening = Some(api.add(&forward).map_err(|error| failed(error, &doing()))?.process);
            }
        }
    }
    if let Some(slirp4netns) = listening {
        let_clients_wait(slirp4netns);
    }
    Ok(left)
}

/// Publishes more ports of a running container. `enter` makes this process root of the base user namespace, which is needed where
/// a forwarder must be started.
///
/// # Errors
/// `RL0705` for a port that can't be had; `RL0707` for a container whose network can't have ports.
pub fn add(dir: &Path, first: Pid, ports: &[Publish], enter: impl FnOnce() -> Result<()>) -> Result<Vec<Leg>> {
    let _lock = locked(dir)?;
    let mut record = Record::read(dir)?.ok_or_else(|| unknown("publish ports of a container without a network"))?;
    let bound = bind_all(ports)?;
    let legs: Vec<_> = bound.iter().map(|(leg, _)| *leg).collect();
    let left = hand_over(&record, bound, dir)?;
    let mut homeless = Vec::new();
    for one in left {
        if !forward::add(&control(dir), &one)? {
            homeless.push(one);
        }
    }
    if !homeless.is_empty() {
        enter()?;
        forward::start_beside(homeless, first, &control(dir))?;
    }
    record.ports.extend(&legs);
    record.write(dir)?;
    Ok(legs)
}

/// Withdraws every leg that `which` names; connections that are there stay.
///
/// # Errors
/// `RL0707` where nothing is named, or where it is pasta that listens.
pub fn remove(dir: &Path, which: impl Fn(&Leg) -> bool) -> Result<Vec<Leg>> {
    let _lock = locked(dir)?;
    let mut record = Record::read(dir)?.ok_or_else(|| unknown("withdraw ports of a container without a network"))?;
    let (gone, kept): (Vec<_>, Vec<_>) = record.ports.iter().copied().partition(|leg| which(leg));
    if gone.is_empty() {
        return Err(unknown("find the port among those that the container publishes"));
    }
    let api = Api::new(dir.join(API));
    for leg in &gone {
        if let Some(forward) = record.forward(leg) {
            let listed = api.list().map_err(|error| failed(error, "list the forwards"))?;
            let same = listed
                .iter()
                .find(|entry| entry.forward.host == forward.host && entry.forward.protocol == leg.protocol);
            let id = same.map(|entry| entry.id).ok_or_else(|| unknown(format!("find {} at slirp4netns", leg.host)))?;
            api.remove(id).map_err(|error| failed(error, &format!("withdraw {}", leg.host)))?;
        } else if !forward::remove(&control(dir), leg)? && record.driver == "pasta" {
            // Of another driver: the forwarder was killed, and nobody listens there any more.
            return Err(unknown(format!("withdraw {}: pasta listens there as long as it runs", leg.host)));
        }
    }
    record.ports = kept;
    record.write(dir)?;
    Ok(gone)
}
