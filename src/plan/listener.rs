//! Who is asked about system calls that a seccomp filter notifies of.
//!
//! Owns what `linux.seccomp` says of it. The surprise: only somebody else's document (`rl oci`) can name one.

use std::path::PathBuf;

use oci_spec::runtime::{Linux, LinuxSeccompAction, LinuxSeccompFilterFlag};
use serde::{Deserialize, Serialize};

use super::unsupported::bad;
use crate::error::Result;
use crate::spec::Extras;

/// linux.seccomp.listenerPath and listenerMetadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// A UNIX socket of the host.
    pub path: PathBuf,
    /// Handed on as it is.
    pub metadata: String,
}

/// Of somebody else's document alone.
pub(super) fn listener(linux: &Linux, extras: &Extras) -> Result<Option<Listener>> {
    let Some(seccomp) = linux.seccomp().as_ref().filter(|_| extras.bundle.is_some()) else { return Ok(None) };
    let notifies = seccomp.syscalls().iter().flatten().any(|rule| rule.action() == LinuxSeccompAction::ScmpActNotify);
    if seccomp.default_action() == LinuxSeccompAction::ScmpActNotify {
        return Err(bad("linux.seccomp.defaultAction", "is SCMP_ACT_NOTIFY, which would ask about the very answer"));
    }
    let killable = LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv;
    if !notifies && seccomp.flags().iter().flatten().any(|flag| *flag == killable) {
        let what = "has SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, and no rule has SCMP_ACT_NOTIFY";
        return Err(bad("linux.seccomp.flags", what));
    }
    let Some(path) = seccomp.listener_path().clone().filter(|path| !path.as_os_str().is_empty()) else {
        return if notifies {
            Err(bad("linux.seccomp.listenerPath", "is missing, and a rule has SCMP_ACT_NOTIFY"))
        } else {
            Ok(None)
        };
    };
    Ok(Some(Listener { path, metadata: seccomp.listener_metadata().clone().unwrap_or_default() }))
}
