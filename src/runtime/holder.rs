//! The held user namespace: mapped once a session, joined by every later run.
//!
//! newuidmap and newgidmap cost 3-4 ms together, more than all the rest of a start; setns costs 0.06 ms. So a tiny process holds
//! the namespace open. Owns that process and its state file `RUN/holder/state`. The surprise: nothing depends on the holder
//! being there. Killed, missing, from another boot or made from another /etc/subuid, it is made again; and it ends by itself
//! when its state file goes or names another.

use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use nix::sched::{CloneFlags, setns};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use subid::IdMap;

use super::{procfs, refusal::refused};
use crate::error::{Context, Error, Result, catalog::ids, catalog::state};
use crate::host::kernel;
use crate::sys::child::{close_all_but, exit_now, open_pidfd};
use crate::sys::clone::{Side, clone};
use crate::sys::process;

const VERSION: u32 = 1;

/// The two maps of a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maps {
    /// uid_map
    pub uid: IdMap,
    /// gid_map
    pub gid: IdMap,
}

/// What `RUN/holder/state` says.
#[derive(Debug, Serialize, Deserialize)]
struct Held {
    version: u32,
    boot_id: String,
    pid: i32,
    start_time: u64,
    /// Where the ranges came from, as identity and time of the files: changed files mean another map.
    sources: String,
    uid_map: String,
    gid_map: String,
}

/// Joins the held namespace, or makes it first. `wanted` is asked only in the second case. `direct`: the caller is root of the
/// machine and writes the maps itself.
pub fn join(run: &Path, wanted: impl FnOnce() -> Result<Maps>, direct: bool) -> Result<Maps> {
    let sources = sources();
    if let Some(maps) = join_existing(run, &sources) {
        return Ok(maps);
    }
    let dir = run.join("holder");
    std::fs::create_dir_all(&dir).context(&state::STATE, || format!("make {}", dir.display()))?;
    let lock = std::fs::File::open(&dir).context(&state::STATE, || format!("open {}", dir.display()))?;
    let _lock = Flock::lock(lock, FlockArg::LockExclusive)
        .map_err(|(_, errno)| errno)
        .context(&state::STATE, || format!("lock {}", dir.display()))?;
    // Another first run may have made it while we waited for the lock.
    if let Some(maps) = join_existing(run, &sources) {
        return Ok(maps);
    }
    let maps = wanted()?;
    let pidfd = start(&dir, &maps, sources, direct)?;
    setns(&pidfd, CloneFlags::CLONE_NEWUSER).context(&ids::HELD_NAMESPACE, || "join the namespace just made".into())?;
    Ok(maps)
}

/// None: there is none, or it can't be trusted; then it is made again.
fn join_existing(run: &Path, sources: &str) -> Option<Maps> {
    let held: Held = serde_json::from_slice(&std::fs::read(run.join("holder/state")).ok()?).ok()?;
    if held.version != VERSION || held.sources != sources || held.boot_id != kernel::boot_id()? {
        return None;
    }
    // The pidfd first, then the start time: if the pid is another process's by now, the time is not the recorded one.
    let pidfd = open_pidfd(Pid::from_raw(held.pid)).ok()?;
    if procfs::start_time(held.pid)? != held.start_time {
        return None;
    }
    let maps = Maps { uid: IdMap::parse(&held.uid_map).ok()?, gid: IdMap::parse(&held.gid_map).ok()? };
    setns(&pidfd, CloneFlags::CLONE_NEWUSER).ok()?;
    Some(maps)
}

/// Identity, size and time of the files from which ranges come. NSS sources can't be told this way; they change with a new session.
fn sources() -> String {
    let stamp = |path: &str| match std::fs::metadata(path) {
        Ok(meta) => format!("{}:{}:{}.{}", meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec()),
        Err(_) => "-".to_owned(),
    };
    format!("{} {}", stamp("/etc/subuid"), stamp("/etc/subgid"))
}

fn start(dir: &Path, maps: &Maps, sources: String, direct: bool) -> Result<OwnedFd> {
    let (ready, mut tell) = std::io::pipe().context(&ids::HELD_NAMESPACE, || "make a pipe".into())?;
    let child = match clone(CloneFlags::CLONE_NEWUSER).map_err(refused)? {
        Side::Parent(child) => child,
        Side::Child => {
            drop(tell);
            hold(dir.to_owned(), ready);
        }
    };
    drop(ready);
    let pid = child.pid.as_raw();
    write_maps(pid, maps, direct)?;
    let unknown = || Error::new(&ids::HELD_NAMESPACE, format!("identify the holder, process {pid}"));
    let held = Held {
        version: VERSION,
        boot_id: kernel::boot_id().ok_or_else(unknown)?,
        pid,
        start_time: procfs::start_time(pid).ok_or_else(unknown)?,
        sources,
        uid_map: maps.uid.to_string(),
        gid_map: maps.gid.to_string(),
    };
    let (path, staged) = (dir.join("state"), dir.join("state.new"));
    let text = serde_json::to_vec(&held).context(&state::INTERNAL, || "write the holder's state".into())?;
    std::fs::write(&staged, text).context(&state::STATE, || format!("write {}", staged.display()))?;
    std::fs::rename(&staged, &path).context(&state::STATE, || format!("rename {} to state", staged.display()))?;
    tell.write_all(b"k").context(&ids::HELD_NAMESPACE, || "tell the holder to stay".into())?;
    Ok(child.pidfd)
}

fn write_maps(pid: i32, maps: &Maps, direct: bool) -> Result<()> {
    if !direct {
        return subid::write_maps(pid, &maps.uid, &maps.gid).map_err(|error| {
            let fix = error.fix();
            Error::new(&ids::NO_NEWUIDMAP, "map the subordinate ids").because(error).fix(fix)
        });
    }
    for (file, map) in [("uid_map", &maps.uid), ("gid_map", &maps.gid)] {
        let path = format!("/proc/{pid}/{file}");
        std::fs::write(&path, map.to_string())
            .context(&ids::HELD_NAMESPACE, || format!("write {:?} to {path}", map.to_string()))?;
    }
    Ok(())
}

/// The holder's whole life. It keeps nothing of the run that made it: no descriptor, no directory, no terminal, no arguments.
fn hold(dir: PathBuf, mut ready: std::io::PipeReader) -> ! {
    let _ = nix::unistd::setsid();
    let _ = nix::unistd::chdir("/");
    // SIGHUP would end it with the terminal of the first run. SIGTERM must still end it, or a logout would wait for it.
    let _ = SigSet::from(Signal::SIGHUP).thread_set_mask();
    process::hide_arguments("rl: holder");
    let _ = nix::sys::prctl::set_name(c"rl: holder");
    let watch = watch(&dir);
    let mut byte = [0];
    // EOF: the first run died before it had written the state, so nobody will ever join.
    if !matches!(ready.read(&mut byte), Ok(1)) {
        exit_now(0);
    }
    drop(ready);
    crate::cgroup::leave_session(&format!("rl-holder-{}.scope", Pid::this()), "rl: holds the user namespace");
    // Without a watch (the user's inotify instances are used up) it can't see its state file go; it stays until the session ends.
    let Some(watch) = watch else {
        let _ = close_all_but(&mut []);
        loop {
            nix::unistd::pause();
        }
    };
    let _ = close_all_but(&mut [watch.as_fd().as_raw_fd()]);
    let me = Pid::this().as_raw();
    while still_named(&dir, me) && watch.read_events().is_ok() {}
    exit_now(0);
}

/// The holder's pid, as its state says.
pub fn pid(run: &Path) -> Option<i32> {
    let held: Held = serde_json::from_slice(&std::fs::read(run.join("holder/state")).ok()?).ok()?;
    Some(held.pid)
}

fn watch(dir: &Path) -> Option<Inotify> {
    let watch = Inotify::init(InitFlags::IN_CLOEXEC).ok()?;
    let events = AddWatchFlags::IN_DELETE | AddWatchFlags::IN_MOVE | AddWatchFlags::IN_DELETE_SELF;
    watch.add_watch(dir, events).ok()?;
    Some(watch)
}

fn still_named(dir: &Path, me: i32) -> bool {
    let text = std::fs::read(dir.join("state")).ok();
    text.and_then(|text| serde_json::from_slice::<Held>(&text).ok()).is_some_and(|held| held.pid == me)
}
