//! Finding and awaiting processes of a test.

use std::os::fd::{AsFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;

use crate::tmux::PATIENCE;

/// The children of a process and their names.
pub fn children(parent: Pid) -> Vec<(Pid, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("proc").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some((head, tail)) = stat.rsplit_once(')') else { continue };
        let name = head.split_once('(').map_or("", |(_, name)| name).to_owned();
        if tail.split_whitespace().nth(1) == Some(&parent.to_string()) {
            found.push((Pid::from_raw(pid), name));
        }
    }
    found
}

/// The one child of that name, or any when the name is empty.
pub fn child(parent: Pid, name: &str) -> Pid {
    let all = children(parent);
    let mut named = all.iter().filter(|(_, its)| name.is_empty() || its == name);
    let (pid, _) = named.next().unwrap_or_else(|| panic!("{parent} has no child {name:?}, only {all:?}"));
    *pid
}

/// To be opened while the process lives.
pub struct Watched(OwnedFd);

impl Watched {
    pub fn open(pid: Pid) -> Self {
        Self::try_open(pid).expect("pidfd")
    }

    /// For a process that may be gone.
    pub fn try_open(pid: Pid) -> nix::Result<Self> {
        rl::sys::child::open_pidfd(pid).map(Self)
    }

    pub fn wait_for_end(&self) {
        let mut polls = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        let ready = poll(&mut polls, PollTimeout::try_from(PATIENCE).expect("timeout")).expect("poll");
        assert!(ready > 0, "the process has not ended");
    }
}
