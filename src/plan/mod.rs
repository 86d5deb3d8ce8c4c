//! The plan: everything that will be done to make the container, as an ordered list of data.
//!
//! Owns [`Plan`] and [`Step`], and `compile`, which validates a specification once and orders it. `runtime::init` carries the
//! steps out from top to bottom; `shell` writes the same list as a script. No effects here. The surprise: a plan is made without a
//! look at the machine; what only it can tell, such as who `-u web` is in the image, is a step of its own.

pub mod cgroup;
pub mod compile;
mod devices;
pub mod exec;
pub mod hooks;
pub mod idmap;
mod listener;
pub mod mounts;
mod namespaces;
pub mod options;
mod process;
pub mod scheduling;
pub mod shell;
mod step;
mod sysctl;
mod unsupported;

#[cfg(test)]
mod golden;

use std::path::PathBuf;

use serde::Serialize;

pub use self::devices::{Device, DeviceKind};
pub use self::hooks::{Bundle, Hook, Hooks};
pub use self::listener::Listener;
pub use self::namespaces::{Clock, Namespace, Namespaces, namespaces};
pub use self::process::Process;
pub use self::scheduling::Scheduling;
pub use self::step::{Attributes, CapabilitySets, Propagation, Step};
use crate::spec::network::Wiring;

/// The whole container.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// 64 hexadecimal digits.
    pub id: String,
    /// The container's name.
    pub name: String,
    /// Which namespaces are new, and which are somebody else's.
    pub namespaces: Namespaces,
    /// The id maps that the parent writes.
    pub ids: IdPlan,
    /// The control group; None: the caller's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<cgroup::CgroupPlan>,
    /// What the parent does before the child may go on.
    pub host: HostPlan,
    /// The network that the parent makes while the child carries its steps out.
    #[serde(skip_serializing_if = "Wiring::is_nothing")]
    pub network: Wiring,
    /// What the child does, in this order.
    pub steps: Vec<Step>,
    /// What runs in the end.
    pub process: Process,
    /// Who is asked about system calls that the filter notifies of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener: Option<Listener>,
    /// The bundle, where the container was described by one (`rl oci`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<Bundle>,
}

/// The maps, ready to be written to /proc/PID/uid_map.
#[derive(Debug, Clone, Serialize)]
pub struct IdPlan {
    /// Lines of uid_map, in terms of the base namespace.
    pub uid_map: String,
    /// Lines of gid_map.
    pub gid_map: String,
    /// The base namespace's own maps, in terms of the caller's: what newuidmap is given.
    pub base_uid_map: String,
    /// See above.
    pub base_gid_map: String,
    /// False: `deny` is written to /proc/PID/setgroups first.
    pub setgroups: bool,
}

/// Effects on the host side, before Go.
#[derive(Debug, Clone, Serialize)]
pub struct HostPlan {
    /// Files made for the container below its run directory: name, content.
    pub files: Vec<(PathBuf, String)>,
    /// Directories that must exist (upper, work).
    pub directories: Vec<PathBuf>,
}

/// Where the root file system comes from, as `compile` is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootSource {
    /// Native overlay.
    Overlay {
        /// Layers, topmost first.
        lower: Vec<PathBuf>,
        /// Upper directory.
        upper: PathBuf,
        /// Work directory.
        work: PathBuf,
        /// The upper directory is thrown away.
        volatile: bool,
    },
    /// A directory, or a mount that a helper has made.
    Directory(PathBuf),
}

impl Plan {
    /// The container's first process waits for `start`.
    pub fn waits(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::AwaitStart { .. }))
    }

    /// A process that joins a container finds its root made.
    pub fn joins_root(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::EnterRoot))
    }

    /// The bounding set, on which the default seccomp profile depends; None: the plan sets no capabilities.
    pub fn bounding(&self) -> Option<&[String]> {
        self.steps.iter().find_map(|step| match step {
            Step::Capabilities(sets) => Some(sets.bounding.as_slice()),
            _ => None,
        })
    }
}
