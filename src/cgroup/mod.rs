//! Control groups: a scope of the user's own systemd, or a directory in a subtree that is delegated to the caller.
//!
//! Owns carrying a [`CgroupPlan`] out and finding the group of a container again. It does not decide whether a container needs a
//! group. In the order of their use:
//!
//! - [`prepare`] before the clone, [`Prepared::directory`] for it, [`Prepared::attach`] while the first process waits: a [`Held`],
//!   which removes the group when it is dropped. [`Held::keep`] gives the bare [`Group`] to who leaves.
//! - [`Group::of`] finds a container's of `rl run` by its first process; `rl oci` keeps its own in its state.
//! - [`Group::update`], [`freeze`](Group::freeze), [`signal_all`](Group::signal_all), [`admit`](Group::admit) for exec,
//!   [`processes`](Group::processes), [`sample`](Group::sample), [`read`](Group::read), [`remove`](Group::remove).
//!
//! The surprise: in a scope the container sits one level below it, in `container`, with the same limits once more:
//! systemd resets what others write into its own groups at every daemon-reload, and what is below it is left alone.

mod dbus;
pub mod events;
mod files;
mod logout;
mod place;
mod scope;
pub mod stats;

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result, catalog::cgroup as codes};
use crate::plan::cgroup::{CgroupPlan, Limits, MAX};
use events::OomWatch;
pub use logout::Fate;
pub use place::Reason;
use place::{BESIDE, Place};
use scope::Manager;

/// The directory below a scope in which the container is.
const INNER: &str = "container";

/// The file in `RUN/containers/ID` which says what directory is to be removed with the container.
pub const NOTE: &str = "cgroup";

/// Which ids root of the container has, as seen by this process, where they are not this process's own.
pub type Owner = Option<(u32, u32)>;

/// What is known before the clone.
#[derive(Debug)]
pub enum Prepared {
    /// A directory with its limits, into which the first process is cloned.
    Directory(Held, File),
    /// The first process is handed to this manager.
    Manager(Manager),
}

/// The group of a container that runs. `rl oci` keeps it in its state, because the name is its caller's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The container's own directory below /sys/fs/cgroup.
    pub dir: PathBuf,
    /// The scope's unit, whose directory is one above.
    pub unit: Option<String>,
}

/// Finds the place and makes what can be made before there is a process.
///
/// # Errors
/// Why there is no place; a limit that can't be set.
pub fn prepare(plan: &CgroupPlan, owner: Owner) -> Result<Option<Prepared>> {
    let place = place::find(plan);
    if let Some(wish) = plan.logout {
        logout::promise(wish, &place)?;
    }
    match place {
        Ok(Place::Subtree(base)) => {
            let group = files::make(&base, plan, owner)?;
            let open = File::open(&group.dir).context(&codes::APPLY, || format!("open {}", group.dir.display()))?;
            Ok(Some(Prepared::Directory(Held::new(group, &plan.limits), open)))
        }
        Ok(Place::Manager(manager)) => Ok(Some(Prepared::Manager(manager))),
        Err(_) if !plan.needed => Ok(None),
        Err(reason) => Err(reason.error(plan)),
    }
}

impl Prepared {
    /// For CLONE_INTO_CGROUP.
    pub fn directory(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Directory(_, open) => Some(open.as_fd()),
            Self::Manager(_) => None,
        }
    }

    /// The directory that is there already, and nobody else's to remove.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Directory(held, _) => Some(&held.group.dir),
            Self::Manager(_) => None,
        }
    }

    /// With the first process, which waits: afterwards every limit holds.
    ///
    /// # Errors
    /// What systemd says, or the kernel of a limit.
    pub fn attach(self, plan: &CgroupPlan, pid: Pid, owner: Owner) -> Result<Held> {
        let manager = match self {
            Self::Directory(held, _) => return Ok(held),
            Self::Manager(manager) => manager,
        };
        let unit = format!("{}.scope", plan.name);
        let is_scope = |dir: &Path| dir.file_name().is_some_and(|name| name == unit.as_str());
        // A supervisor that starts its container once more is in its scope already.
        let scope = match place::scope_of_supervisor(&plan.name) {
            Some(scope) => scope,
            None => {
                let beside = if plan.supervised && in_session() { files::family(pid) } else { Vec::new() };
                scope::start(&manager, plan, &unit, &[&[pid], &beside[..]].concat())?;
                let scope = place::group_of(pid)?;
                if !is_scope(&scope) {
                    return Err(Error::new(&codes::SCOPE, format!("start {unit}"))
                        .because(format!("pid {pid} is in {}", scope.display())));
                }
                files::move_into(&scope.join(BESIDE), &beside)?;
                scope
            }
        };
        let dir = scope.join(INNER);
        files::remove_tree(&dir);
        files::move_into(&dir, &[pid])?;
        files::enable(&scope, &plan.limits)?;
        files::limit(&dir, &plan.limits)?;
        files::own(&dir, plan, owner)?;
        Ok(Held::new(Group { dir, unit: Some(unit) }, &plan.limits))
    }
}

/// Moves this process, which goes on when its user's session has ended, out of the session's group into a scope of their own
/// systemd: a session lasts as long as there is a process in its group, and their systemd as long as a session.
pub fn leave_session(unit: &str, description: &str) {
    if in_session()
        && let Ok(manager) = place::manager()
    {
        // What can't be is no worse than before.
        let _ = scope::plain(&manager, unit, description, Pid::this());
    }
}

/// Not so in a service: that is its manager's to end, and all that it has started with it.
fn in_session() -> bool {
    let is_session = |dir: &Path| {
        dir.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.starts_with("session-") && name.ends_with(".scope"))
    };
    place::group_of(Pid::this()).is_ok_and(|dir| dir.ancestors().any(is_session))
}

/// A group for as long as somebody watches over its container; removed with it.
#[derive(Debug)]
pub struct Held {
    /// The group.
    pub group: Group,
    memory: Option<(u64, OomWatch)>,
}

impl Held {
    fn new(group: Group, limits: &Limits) -> Self {
        let memory = limits.memory.filter(|limit| *limit != MAX).map(|limit| (limit, OomWatch::new(&group)));
        Self { group, memory }
    }

    /// For whoever leaves the container to itself, as `rl oci create` does: nothing is removed, or watched, from here on.
    pub fn keep(self) -> Group {
        let kept = self.group.clone();
        std::mem::forget(self);
        kept
    }

    /// Of a container that another process has started.
    pub fn watch(group: Group) -> Self {
        let limits = Limits { memory: group.sample().memory_limit, ..Limits::default() };
        Self::new(group, &limits)
    }

    /// Right after the container's end: whether it was for want of memory, with the limit's name.
    pub fn out_of_memory(&self) -> Option<Error> {
        let (limit, watch) = self.memory.as_ref()?;
        watch.has_killed().then(|| {
            Error::new(&codes::OUT_OF_MEMORY, format!("--memory {} ({limit} bytes) was not enough", in_units(*limit)))
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.group.remove();
    }
}

/// As it is typed: `64m`.
fn in_units(bytes: u64) -> String {
    let unit = [("g", 30), ("m", 20), ("k", 10)].into_iter().find(|(_, shift)| bytes.is_multiple_of(1 << shift));
    unit.map_or_else(|| format!("{bytes}b"), |(unit, shift)| format!("{}{unit}", bytes >> shift))
}

impl Group {
    /// The group in which a container's first process is, if it is one of ours.
    pub fn of(pid: Pid) -> Option<Self> {
        let dir = place::group_of(pid).ok()?;
        // A systemd inside puts its first process into a group further down.
        let mut above = dir.ancestors();
        above.find_map(|dir| {
            let name = dir.file_name()?.to_str()?;
            if let Some(id) = name.strip_prefix("rl-").and_then(|name| name.strip_suffix(".scope")) {
                return is_id(id).then(|| Self { dir: dir.join(INNER), unit: Some(name.to_owned()) });
            }
            name.strip_prefix("rl-").is_some_and(is_id).then(|| Self { dir: dir.to_owned(), unit: None })
        })
    }

    /// What a logout will do to the container, where a systemd decides.
    pub fn at_logout(&self) -> Option<Fate> {
        self.unit.as_ref()?;
        place::manager().ok().map(|manager| logout::fate(&manager))
    }

    /// Other limits for a container that runs: in the scope's unit, so that a daemon-reload keeps them, and in the container's group.
    ///
    /// # Errors
    /// What the kernel refuses; a controller that is not there.
    pub fn update(&self, limits: &Limits) -> Result<()> {
        if let Some(unit) = &self.unit {
            let manager = place::manager().map_err(|reason| reason.error_for(limits))?;
            let supervised = self.dir.with_file_name(BESIDE).exists();
            scope::update(&manager, unit, limits, supervised)?;
            if let Some(scope) = self.dir.parent() {
                files::enable(scope, limits)?;
            }
        }
        files::limit(&self.dir, limits)
    }

    /// Moves a process of the caller's to where the container's first process is: with a systemd inside that is a group further
    /// down, because none that hands controllers down may have processes.
    ///
    /// # Errors
    /// What systemd says, or the kernel.
    pub fn admit(&self, first: Pid, pid: Pid) -> Result<()> {
        let dir = place::group_of(first)?;
        let scope = self.unit.as_ref().and_then(|unit| Some((unit, dir.strip_prefix(self.dir.parent()?).ok()?)));
        match scope {
            // From a session's group the kernel lets nobody but systemd move a process into the user's own.
            Some((unit, below)) if files::write(&dir, "cgroup.procs", &pid.to_string()).is_err() => {
                let manager = place::manager().map_err(|reason| reason.error_for(&Limits::default()))?;
                scope::admit(&manager, unit, &format!("/{}", below.display()), pid)
            }
            Some(_) => Ok(()),
            None => files::write(&dir, "cgroup.procs", &pid.to_string()),
        }
    }

    /// The processes of the container, also those in groups that it has made for itself.
    pub fn processes(&self) -> Vec<Pid> {
        files::processes(&self.dir)
    }

    /// A file of the group, such as `memory.events`; None without its controller, or when the group has gone.
    pub fn read(&self, file: &str) -> Option<String> {
        std::fs::read_to_string(self.dir.join(file)).ok()
    }

    /// cgroup.freeze.
    ///
    /// # Errors
    /// The kernel's.
    pub fn freeze(&self, frozen: bool) -> Result<()> {
        files::write(&self.dir, "cgroup.freeze", if frozen { "1" } else { "0" })?;
        events::wait_frozen(&self.dir, frozen)
    }

    /// Whether it is frozen.
    pub fn is_frozen(&self) -> bool {
        std::fs::read_to_string(self.dir.join("cgroup.freeze")).is_ok_and(|text| text.trim() == "1")
    }

    /// A signal to every process of the container, whichever namespaces it has made for itself.
    ///
    /// # Errors
    /// The kernel's.
    pub fn signal_all(&self, number: i32) -> Result<()> {
        if number == libc::SIGKILL {
            // At once, processes that fork meanwhile too (Linux 5.14).
            return files::write(&self.dir, "cgroup.kill", "1");
        }
        for pid in self.processes() {
            // It may have ended meanwhile; a new process of its number would not be in this group, so it is asked again.
            if place::group_of(pid).is_ok_and(|group| group.starts_with(&self.dir)) {
                let _ = crate::sys::child::signal_pid(pid, number);
            }
        }
        Ok(())
    }

    /// Ends every process that is left and waits until the last one has gone.
    ///
    /// # Errors
    /// The kernel's.
    pub fn end(&self) -> Result<()> {
        // A group that has gone has no processes.
        if self.processes().is_empty() {
            return Ok(());
        }
        self.signal_all(libc::SIGKILL)?;
        match events::wait_empty(&self.dir) {
            // A scope's goes by itself.
            Err(error) if self.dir.exists() => Err(error),
            _ => Ok(()),
        }
    }

    /// After the container's end. A scope is systemd's to remove; its directory goes with its last process.
    pub fn remove(&self) {
        let below = self.dir.strip_prefix(place::ROOT).is_ok_and(|below| below != Path::new(""));
        if self.unit.is_none() && below {
            files::remove_tree(&self.dir);
        }
    }
}

/// Removes a container's directory and what the container has made below it; nothing that has processes, and nothing that is
/// not called as ours are.
pub fn remove(dir: &Path) {
    let ours =
        dir.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix("rl-")).is_some_and(is_id);
    if ours && dir.starts_with(place::ROOT) {
        files::remove_tree(dir);
    }
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
