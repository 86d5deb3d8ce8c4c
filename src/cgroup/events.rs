//! What the kernel says has happened in a group: kills for want of memory, being frozen.
//!
//! The surprise: a scope's directory goes as soon as its last process has ended, with the count of its kills; so the slice above it,
//! which counts all below it, is remembered beforehand.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::Group;
use crate::error::{Context, Error, Result, catalog::cgroup as codes};

/// Watches whether a container's end is the kernel's doing.
#[derive(Debug)]
pub struct OomWatch {
    dir: PathBuf,
    above: Option<(PathBuf, u64)>,
}

impl OomWatch {
    /// From now on.
    pub fn new(group: &Group) -> Self {
        let scope = group.unit.as_ref().and_then(|_| group.dir.parent());
        let above = scope.and_then(Path::parent).map(|slice| (slice.to_owned(), kills(slice).unwrap_or(0)));
        Self { dir: group.dir.clone(), above }
    }

    /// Becomes readable when the group's memory.events has changed. None: its memory is not counted.
    pub fn alarm(&self) -> Option<Inotify> {
        let watch = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).ok()?;
        watch.add_watch(&self.dir.join("memory.events"), AddWatchFlags::IN_MODIFY).ok()?;
        Some(watch)
    }

    /// How many processes were killed for want of memory; None: it is not counted, or the group has gone.
    pub fn count(&self) -> Option<u64> {
        kills(&self.dir)
    }

    /// Whether a process of the container was killed for want of memory; to be asked right after its end.
    pub fn has_killed(&self) -> bool {
        match kills(&self.dir) {
            Some(count) => count > 0,
            None => self.above.as_ref().is_some_and(|(slice, before)| kills(slice).is_some_and(|now| now > *before)),
        }
    }
}

fn kills(dir: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(dir.join("memory.events")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

/// Until every process stands still, or runs again.
pub(super) fn wait_frozen(dir: &Path, frozen: bool) -> Result<()> {
    wait_for(dir, &format!("frozen {}", u8::from(frozen)))
}

/// Until the last process has ended.
pub(super) fn wait_empty(dir: &Path) -> Result<()> {
    wait_for(dir, "populated 0")
}

/// The kernel says so in cgroup.events.
fn wait_for(dir: &Path, wanted: &str) -> Result<()> {
    let file = dir.join("cgroup.events");
    let doing = || format!("wait for {}", file.display());
    let watch = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).context(&codes::APPLY, doing)?;
    watch.add_watch(&file, AddWatchFlags::IN_MODIFY).context(&codes::APPLY, doing)?;
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let text = std::fs::read_to_string(&file).context(&codes::APPLY, doing)?;
        if text.lines().any(|line| line == wanted) {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(
                Error::new(&codes::APPLY, doing()).because("some process does not stop (uninterruptible sleep)")
            );
        }
        use std::os::fd::AsFd;
        let mut polls = [nix::poll::PollFd::new(watch.as_fd(), nix::poll::PollFlags::POLLIN)];
        let timeout = nix::poll::PollTimeout::try_from(left.as_millis() + 1).unwrap_or(nix::poll::PollTimeout::MAX);
        let _ = nix::poll::poll(&mut polls, timeout);
        let _ = watch.read_events();
    }
}
