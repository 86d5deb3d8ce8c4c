//! What a run is made of besides the OCI specification.
//!
//! Owns what the specification has no word for, and what of this machine it depends on. The surprise: [`Bundled`] turns the meaning of
//! the document around: without it the document is our own and these words come first, with it the document is taken as it stands.

use std::net::IpAddr;
use std::path::PathBuf;

use oci_spec::runtime::{Process, Spec};

use super::{SeccompChoice, network, networks, resources};
use crate::host::emulation::Emulator;

/// Who the container is; made by the runtime before the specification.
#[derive(Debug, Clone)]
pub struct Identity {
    /// 64 hexadecimal digits.
    pub id: String,
    /// `--name` or a made-up one.
    pub name: String,
    /// The container's directory below the run root; the made files (hosts, hostname, resolv.conf) lie in it.
    pub dir: PathBuf,
}

/// What the OCI specification has no word for.
#[derive(Debug, Clone, PartialEq)]
pub struct Extras {
    /// `USER[:GROUP]`, unresolved; empty: root.
    pub user: String,
    /// Additional groups, unresolved.
    pub group_add: Vec<String>,
    /// It keeps the supplementary groups of the caller.
    pub keep_groups: bool,
    /// Descriptors from 3 on that it has of the caller's.
    pub preserve_fds: u32,
    /// Run rl's own reaper as pid 1.
    pub init: bool,
    /// Which filter; the default one is not spelled out in the Spec of a run, to save its cost.
    pub seccomp: SeccompChoice,
    /// What `-i` says: without it the command's stdin is /dev/null.
    pub interactive: bool,
    /// Environment variables that were given by name; HOME is set from the passwd entry only where it is not among them.
    pub home_given: bool,
    /// Where the control group is to be.
    pub cgroups: resources::Cgroups,
    /// The document is somebody else's (`rl oci`): user, capability sets and seccomp are taken from it as they stand.
    pub bundle: Option<Bundled>,
    /// What runs programs of other architectures; none where the image is for this machine.
    pub emulators: Vec<Emulator>,
    /// What happens to volumes before they are mounted.
    pub volumes: Vec<VolumeExtra>,
    /// What is made on the host for the container's network.
    pub wiring: network::Wiring,
}

impl Extras {
    /// Beside somebody else's document, which says itself what can be said. `process`: the one that is executed.
    pub fn of_bundle(spec: &Spec, process: Option<&Process>, cgroups: resources::Cgroups, bundled: Bundled) -> Self {
        let seccomp = spec.linux().as_ref().and_then(|linux| linux.seccomp().clone());
        let env = process.and_then(|process| process.env().as_deref()).unwrap_or_default();
        Self {
            user: String::new(),
            group_add: Vec::new(),
            keep_groups: false,
            preserve_fds: 0,
            init: false,
            seccomp: seccomp.map_or(SeccompChoice::Unconfined, |profile| SeccompChoice::Exact(Box::new(profile))),
            interactive: true,
            home_given: env.iter().any(|pair| pair.starts_with("HOME=")),
            cgroups,
            emulators: Vec::new(),
            volumes: Vec::new(),
            wiring: network::Wiring::default(),
            bundle: Some(bundled),
        }
    }
}

/// What a bind mount of the specification can't say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeExtra {
    /// Which mount, by its target.
    pub target: PathBuf,
    /// While it is empty it gets what the image has in its place.
    pub copy: bool,
    /// It is given to the container's user.
    pub chown: bool,
    /// A part of a volume, to which containers write: its name is looked up as if this were the root directory.
    pub beneath: Option<PathBuf>,
}

/// How a container of somebody else's document is started.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bundled {
    /// The bundle's directory.
    pub path: PathBuf,
    /// The root file system, absolute.
    pub rootfs: PathBuf,
    /// `create`: the first process waits for `start` on a FIFO in this state directory.
    pub awaits: Option<PathBuf>,
    /// It outlives the process that starts it.
    pub detached: bool,
    /// `--preserve-fds`.
    pub preserve_fds: u32,
    /// `--no-pivot`.
    pub no_pivot: bool,
    /// A session keyring of its own; not with `--no-new-keyring`.
    pub keyring: bool,
}

/// What of this machine the specification depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Whether /sys/fs/cgroup is the unified hierarchy.
    pub unified_cgroup: bool,
    /// Whether the host has /dev/mqueue, which a container that shares the IPC namespace gets.
    pub host_mqueue: bool,
    /// The host's name, where the container shares it.
    pub host_name: Option<String>,
    /// The host's /etc/resolv.conf, or that of the container whose network is shared.
    pub resolv_conf: String,
    /// /etc/hosts of the container whose network is shared.
    pub hosts: String,
    /// The network namespace of the container that shares its network.
    pub network_namespace: Option<PathBuf>,
    /// The networks by name that the container is to be in.
    pub networks: Vec<networks::Definition>,
    /// The host's congestion control of TCP, which a new network namespace has, too.
    pub congestion_control: String,
    /// What `host-gateway` stands for: an address at which the container finds the host.
    pub host_gateway: Option<IpAddr>,
}
