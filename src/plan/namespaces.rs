//! Which of the eight namespaces are the container's own, and which it shares or joins.
//!
//! Owns reading `linux.namespaces` and `linux.timeOffsets`. The surprise: without a mount namespace of its own a container is possible,
//! for root of the machine alone.

use std::path::PathBuf;

use oci_spec::runtime::{Linux, LinuxNamespaceType};
use serde::Serialize;

use super::unsupported::bad;
use crate::error::Result;

/// Where one of the container's namespaces comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Namespace {
    /// The caller's (or the base's) own.
    #[default]
    Host,
    /// A new one.
    New,
    /// The one at this path: /proc/PID/ns/NAME or a file that it is bound on.
    Join(PathBuf),
    /// A new one of the base user namespace: the container is in it, and its root has no rights over it.
    Guarded,
}

impl Namespace {
    /// Whether it is made for this container.
    pub fn is_new(&self) -> bool {
        *self == Self::New
    }

    /// Whether it is one that is there already.
    pub fn is_joined(&self) -> bool {
        matches!(self, Self::Join(_))
    }

    /// Whether the container shares it with its caller.
    pub fn is_host(&self) -> bool {
        *self == Self::Host
    }
}

/// All eight namespaces. Whatever is new is made at once, by one clone, for which the user namespace comes first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Namespaces {
    /// The host's only for a caller who has a namespace's (or the machine's) root rights already.
    pub user: Namespace,
    /// New in every plan of `rl run`.
    pub mount: Namespace,
    /// Names of the machine.
    pub uts: Namespace,
    /// System V and POSIX queues.
    pub ipc: Namespace,
    /// Processes.
    pub pid: Namespace,
    /// Network devices.
    pub network: Namespace,
    /// The root of what /proc/self/cgroup shows.
    pub cgroup: Namespace,
    /// Clocks.
    pub time: Namespace,
    /// Offsets of a new time namespace.
    pub clocks: Vec<Clock>,
}

/// The offset of one clock, as /proc/PID/timens_offsets has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Clock {
    /// `monotonic` or `boottime`.
    pub name: String,
    /// Whole seconds; may be negative.
    pub seconds: i64,
    /// To be added to them.
    pub nanoseconds: u32,
}

/// linux.namespaces.
///
/// # Errors
/// A kind that is listed twice, a relative path, no mount namespace.
pub fn namespaces(linux: &Linux) -> Result<Namespaces> {
    let mut all = Namespaces::default();
    for listed in linux.namespaces().iter().flatten() {
        let slot = match listed.typ() {
            LinuxNamespaceType::User => &mut all.user,
            LinuxNamespaceType::Mount => &mut all.mount,
            LinuxNamespaceType::Uts => &mut all.uts,
            LinuxNamespaceType::Ipc => &mut all.ipc,
            LinuxNamespaceType::Pid => &mut all.pid,
            LinuxNamespaceType::Network => &mut all.network,
            LinuxNamespaceType::Cgroup => &mut all.cgroup,
            LinuxNamespaceType::Time => &mut all.time,
        };
        let field = format!("linux.namespaces: {}", listed.typ());
        if !slot.is_host() {
            return Err(bad(&field, "is listed twice"));
        }
        *slot = match listed.path() {
            None => Namespace::New,
            Some(path) if path.as_os_str().is_empty() => Namespace::New,
            Some(path) if path.is_absolute() => Namespace::Join(path.clone()),
            Some(path) => return Err(bad(&field, &format!("has the path {}, which is not absolute", path.display()))),
        };
    }
    if all.mount.is_host() && all.user.is_new() {
        let what = "has no mount namespace beside a new user namespace, whose root may mount nothing in the caller's";
        return Err(bad("linux.namespaces", what));
    }
    all.clocks = clocks(linux, &all.time)?;
    Ok(all)
}

fn clocks(linux: &Linux, time: &Namespace) -> Result<Vec<Clock>> {
    let mut clocks = Vec::new();
    for (name, offset) in linux.time_offsets().iter().flatten() {
        if !matches!(name.as_str(), "monotonic" | "boottime") {
            return Err(bad("linux.timeOffsets", &format!("has {name:?}; the clocks are monotonic and boottime")));
        }
        let (seconds, nanoseconds) = (offset.secs().unwrap_or_default(), offset.nanosecs().unwrap_or_default());
        clocks.push(Clock { name: name.clone(), seconds, nanoseconds });
    }
    if !clocks.is_empty() && !time.is_new() {
        return Err(bad("linux.timeOffsets", "needs a new time namespace in linux.namespaces"));
    }
    clocks.sort_by(|one, other| other.name.cmp(&one.name));
    Ok(clocks)
}
