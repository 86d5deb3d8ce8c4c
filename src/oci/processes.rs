//! Which processes a container has.
//!
//! Those of its control group; without one, but with a pid namespace of its own, those in it, whoever their parents are; without one, the first process and its descendants. The
//! surprise: with a pid namespace nothing ever has to be ended one by one, because the kernel ends all with the first.

use std::collections::{HashMap, HashSet};
use std::os::fd::AsFd;
use std::path::PathBuf;

use nix::unistd::Pid;

use super::state::Container;
use crate::error::Result;
use crate::sys::child::{open_pidfd, signal_pidfd};

/// The pids, as this process sees them, in order.
pub fn list(container: &Container) -> Vec<i32> {
    if container.process().is_none() {
        return Vec::new();
    }
    let first = container.saved.pid;
    if let Some(group) = &container.saved.group {
        let mut pids: Vec<i32> = group.processes().into_iter().map(Pid::as_raw).collect();
        pids.sort_unstable();
        return pids;
    }
    let mut pids = if container.saved.own_pids { in_namespace(first) } else { descendants(first) };
    pids.sort_unstable();
    pids
}

fn namespace(pid: i32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok()
}

fn all() -> impl Iterator<Item = i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn in_namespace(first: i32) -> Vec<i32> {
    let Some(own) = namespace(first) else { return vec![first] };
    all().filter(|pid| namespace(*pid).as_ref() == Some(&own)).collect()
}

fn descendants(first: i32) -> Vec<i32> {
    let parent = |pid: i32| -> Option<i32> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
    };
    let parents: HashMap<i32, i32> = all().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut found = HashSet::from([first]);
    loop {
        let before = found.len();
        let more: Vec<i32> = parents.iter().filter(|(_, parent)| found.contains(parent)).map(|(pid, _)| *pid).collect();
        found.extend(more);
        if found.len() == before {
            return found.into_iter().collect();
        }
    }
}

/// `kill --all`: a container that has ended already is no failure.
///
/// # Errors
/// What the kernel says of its control group.
pub fn signal_all(container: &Container, signal: i32) -> Result<()> {
    if let Some(group) = &container.saved.group {
        return if group.dir.exists() { group.signal_all(signal) } else { Ok(()) };
    }
    for pid in list(container) {
        // Whoever has ended meanwhile needs no signal.
        if let Ok(pidfd) = open_pidfd(Pid::from_raw(pid)) {
            let _ = signal_pidfd(pidfd.as_fd(), signal);
        }
    }
    Ok(())
}

/// What is left of a container without a pid namespace after its first process has ended can't be told from others' processes
/// without a cgroup, so only the first one's own descendants are ended while it is there.
pub(super) fn end(container: &Container) {
    if !container.saved.own_pids {
        let _ = signal_all(container, libc::SIGKILL);
    }
}
