//! Resource limits and their names, as docker's `--ulimit` and, behind `RLIMIT_`, runtime-spec write them.
//!
//! Owns the names alone; who reads limits or sets them does so with nix.

use nix::sys::resource::Resource;
use serde::{Deserialize, Serialize};

/// A resource limit by its getrlimit(2) name without RLIMIT_, in lower case (`nofile`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// `nofile`, `core`, ...
    pub name: String,
    /// u64::MAX: unlimited.
    pub soft: u64,
    /// u64::MAX: unlimited.
    pub hard: u64,
}

/// Every limit, in the order of the names.
pub const RESOURCES: [(&str, Resource); 16] = [
    ("as", Resource::RLIMIT_AS),
    ("core", Resource::RLIMIT_CORE),
    ("cpu", Resource::RLIMIT_CPU),
    ("data", Resource::RLIMIT_DATA),
    ("fsize", Resource::RLIMIT_FSIZE),
    ("locks", Resource::RLIMIT_LOCKS),
    ("memlock", Resource::RLIMIT_MEMLOCK),
    ("msgqueue", Resource::RLIMIT_MSGQUEUE),
    ("nice", Resource::RLIMIT_NICE),
    ("nofile", Resource::RLIMIT_NOFILE),
    ("nproc", Resource::RLIMIT_NPROC),
    ("rss", Resource::RLIMIT_RSS),
    ("rtprio", Resource::RLIMIT_RTPRIO),
    ("rttime", Resource::RLIMIT_RTTIME),
    ("sigpending", Resource::RLIMIT_SIGPENDING),
    ("stack", Resource::RLIMIT_STACK),
];

/// The kernel's number of a limit's name.
pub fn resource(name: &str) -> Option<Resource> {
    RESOURCES.iter().find(|(known, _)| *known == name).map(|(_, resource)| *resource)
}
