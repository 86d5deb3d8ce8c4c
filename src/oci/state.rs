//! What is known of a container: the file in its state directory, and what the kernel says of its process.
//!
//! Owns `ROOT/ID/state.json` (versioned, staged and renamed). The surprise: the status is in no file. It is whether the recorded
//! process is there (by pid and start time, since this boot), whether it still waits at the gate, and whether it is frozen.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::unistd::Pid;
use oci_spec::runtime::Spec;
use serde::{Deserialize, Serialize};

use super::Runtime;
use crate::cgroup::Group;
use crate::error::{Context, Error, Result, catalog::oci, catalog::state as codes};
use crate::host::{kernel, procfs};
use crate::plan;
use crate::runtime::gate;
use crate::sys::child::open_pidfd;

const VERSION: u32 = 1;
const FILE: &str = "state.json";

/// `state.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Saved {
    version: u32,
    /// The container's id.
    pub id: String,
    /// The first process.
    pub pid: i32,
    start_time: u64,
    boot_id: String,
    /// RFC 3339.
    pub created: String,
    /// Who made it: the uid in the caller's namespace.
    pub owner: u32,
    /// What the state document says of the bundle, and its hooks.
    pub bundle: plan::Bundle,
    /// The document, completed, for `exec`.
    pub spec: Spec,
    /// Whether setgroups works in it.
    pub setgroups: bool,
    /// Whether the kernel ends all its processes with the first one.
    pub own_pids: bool,
    /// Whether it is in a mount namespace that is not its caller's.
    #[serde(default = "yes")]
    pub own_mounts: bool,
    /// Its control group, where it has one.
    #[serde(default)]
    pub group: Option<Group>,
}

/// As an engine may see it: while it is being created there is nothing to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Its first process waits for `start`.
    Created,
    /// Its command runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// Its first process has ended.
    Stopped,
}

impl Status {
    /// The specification's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// A container that was found.
#[derive(Debug)]
pub struct Container {
    /// Its state directory.
    pub dir: PathBuf,
    /// Its file.
    pub saved: Saved,
}

impl Container {
    /// Finds a container by its whole id.
    ///
    /// # Errors
    /// There is none; its file can't be read.
    pub fn find(runtime: &Runtime, id: &str) -> Result<Self> {
        let dir = runtime.dir(id)?;
        let text = match std::fs::read(dir.join(FILE)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(missing(id)),
            other => other.context(&codes::STATE, || format!("read {}", dir.join(FILE).display()))?,
        };
        let saved: Saved = serde_json::from_slice(&text)
            .context(&codes::STATE, || format!("understand {}", dir.join(FILE).display()))?;
        if saved.version != VERSION {
            let what = format!("understand version {} of {}", saved.version, dir.join(FILE).display());
            return Err(Error::new(&codes::STATE, what));
        }
        Ok(Self { dir, saved })
    }

    /// All containers, by id; what can't be read is passed over.
    pub fn all(runtime: &Runtime) -> Vec<Self> {
        let entries = std::fs::read_dir(&runtime.root).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut all: Vec<_> = names.filter_map(|name| Self::find(runtime, &name).ok()).collect();
        all.sort_by(|one, other| one.saved.id.cmp(&other.saved.id));
        all
    }

    /// The first process, if it is still there: pidfd first, then the start time.
    pub fn process(&self) -> Option<OwnedFd> {
        let pidfd = open_pidfd(Pid::from_raw(self.saved.pid)).ok()?;
        let same = procfs::start_time(self.saved.pid) == Some(self.saved.start_time)
            && kernel::boot_id().as_deref() == Some(self.saved.boot_id.as_str());
        (same && !is_zombie(self.saved.pid)).then_some(pidfd)
    }

    /// What it is doing.
    pub fn status(&self) -> Status {
        if self.process().is_none() {
            return Status::Stopped;
        }
        if self.saved.group.as_ref().is_some_and(Group::is_frozen) {
            return Status::Paused;
        }
        if gate::is_closed(&self.dir) { Status::Created } else { Status::Running }
    }

    /// The state document.
    pub fn document(&self) -> serde_json::Value {
        let status = self.status();
        let mut state = self.saved.bundle.state(&self.saved.id, status.word(), self.saved.pid);
        state["pid"] = if status == Status::Stopped { 0.into() } else { self.saved.pid.into() };
        state["rootfs"] = serde_json::json!(self.saved.bundle.rootfs);
        state["created"] = self.saved.created.clone().into();
        state["owner"] = owner(self.saved.owner).into();
        state
    }
}

/// What callers look for when they ask whether a container is gone.
pub(super) fn missing(id: &str) -> Error {
    Error::new(&oci::MISSING, format!("container {id:?} does not exist"))
}

fn owner(uid: u32) -> String {
    let user = nix::unistd::User::from_uid(uid.into()).ok().flatten();
    user.map_or_else(|| format!("#{uid}"), |user| user.name)
}

fn yes() -> bool {
    true
}

fn is_zombie(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
}

impl Saved {
    /// Of a process that has just been cloned.
    pub(super) fn new(id: &str, pid: Pid, owner: u32, bundle: plan::Bundle, spec: Spec) -> Self {
        let pid = pid.as_raw();
        Self {
            version: VERSION,
            id: id.to_owned(),
            pid,
            start_time: procfs::start_time(pid).unwrap_or_default(),
            boot_id: kernel::boot_id().unwrap_or_default(),
            created: now(),
            owner,
            bundle,
            spec,
            setgroups: true,
            own_pids: true,
            own_mounts: true,
            group: None,
        }
    }

    /// Writes the file.
    pub(super) fn write(&self, dir: &Path) -> Result<()> {
        let (path, staged) = (dir.join(FILE), dir.join("state.json.new"));
        let text = serde_json::to_vec(self).context(&codes::INTERNAL, || "write a container's state".into())?;
        std::fs::write(&staged, text).context(&codes::STATE, || format!("write {}", staged.display()))?;
        std::fs::rename(&staged, &path).context(&codes::STATE, || format!("rename {} to {FILE}", staged.display()))
    }
}

/// Now, as RFC 3339 has it.
pub fn now() -> String {
    let now = time::OffsetDateTime::now_utc();
    now.format(&time::format_description::well_known::Rfc3339).unwrap_or_default()
}
