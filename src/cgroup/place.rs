//! Where the caller may have a control group: in their own systemd, or right where they stand.
//!
//! Owns finding that out, once and only for a container that needs a group, and saying which of the reasons it is where there is
//! no place. The surprise: that a directory can be written does not make it ours: below the user's manager every
//! directory belongs to the user, but those of units without `Delegate=` are systemd's to manage. The others have an attribute,
//! or systemd says so.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use nix::unistd::{AccessFlags, Pid, access};

use super::scope::Manager;
use crate::error::{Context, Error, Result, catalog::cgroup as codes};
use crate::plan::cgroup::{CgroupPlan, Limits};
use crate::spec::resources::Way;
use crate::sys::xattr;

/// Where cgroup2 is.
pub(super) const ROOT: &str = "/sys/fs/cgroup";

/// The leaf into which the processes of a delegated group are moved, so that it can have children with controllers.
pub(super) const LEAF: &str = "rl-caller";

/// The group of a scope's supervisor and helpers, beside the container's.
pub(super) const BESIDE: &str = "supervisor";

/// systemd's mark of a delegated group, which users may read.
const DELEGATED: &CStr = c"user.delegate";

pub(super) enum Place {
    /// This directory is the caller's to divide.
    Subtree(PathBuf),
    Manager(Manager),
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// cgroup v1.
    VersionOne,
    /// v1, and a v2 without controllers beside it.
    Hybrid,
    /// No systemd, and the caller's group is not theirs.
    NoSystemd,
    /// systemd, but not the user's own.
    NoUserManager,
    /// --cgroups=split where the caller's group is not theirs.
    NotSplit,
    /// A directory was asked for where nothing can be made.
    NoDirectory,
}

impl Reason {
    pub(super) fn error(self, plan: &CgroupPlan) -> Error {
        if plan.limits == Limits::default() {
            return self.at("make a control group for the container".into());
        }
        self.error_for(&plan.limits)
    }

    pub(super) fn error_for(self, limits: &Limits) -> Error {
        let words: Vec<_> = limits.files().into_iter().map(|(file, value)| format!("{file}={value}")).collect();
        self.at(format!("limit the container to {}", words.join(", ")))
    }

    fn at(self, doing: String) -> Error {
        match self {
            Self::VersionOne => Error::new(&codes::OLD_HIERARCHY, doing).because("/sys/fs/cgroup is cgroup v1"),
            Self::Hybrid => Error::new(&codes::OLD_HIERARCHY, doing)
                .because("/sys/fs/cgroup is hybrid: the controllers are in cgroup v1"),
            Self::NoSystemd => Error::new(&codes::NO_MANAGER, doing),
            Self::NoUserManager => Error::new(&codes::NO_USER_MANAGER, doing),
            Self::NoDirectory => Error::new(&codes::NO_MANAGER, doing)
                .because("the manager cgroupfs makes directories, and neither the hierarchy nor the own group can be written"),
            Self::NotSplit => Error::new(&codes::NO_MANAGER, doing)
                .because("--cgroups=split divides the caller's own group, which is not delegated to you")
                .fix("Start rl in a unit with Delegate=yes, for example: systemd-run --user --scope -p Delegate=yes rl run ..."),
        }
    }
}

/// Looks at the kernel first, at the caller's own group next, at systemd last.
pub(super) fn find(plan: &CgroupPlan) -> Result<Place, Reason> {
    hierarchy()?;
    // A parent that is a slice is systemd's affair.
    let slice = plan.parent.as_deref().is_some_and(|parent| parent.ends_with(".slice"));
    if plan.way == Way::Directory && !slice {
        return directory(plan);
    }
    // Nobody's processes are moved about for a group that is only wished for.
    if (plan.needed || plan.split)
        && !slice
        && plan.way != Way::Scope
        && scope_of_supervisor(&plan.name).is_none()
        && let Some(base) = own_subtree()
    {
        return Ok(Place::Subtree(base));
    }
    if plan.split {
        return Err(Reason::NotSplit);
    }
    manager().map(Place::Manager)
}

/// What an engine means by cgroupfs: a path of the whole hierarchy for whoever can write there, else one below the own group.
fn directory(plan: &CgroupPlan) -> Result<Place, Reason> {
    let parent = plan.parent.as_deref().unwrap_or_default();
    if is_writable(&Path::new(ROOT).join(parent.trim_start_matches('/'))) {
        return Ok(Place::Subtree(ROOT.into()));
    }
    let own = if plan.needed { own_subtree() } else { None };
    own.map(Place::Subtree).ok_or(Reason::NoDirectory)
}

/// By the nearest directory that is there.
fn is_writable(whole: &Path) -> bool {
    let there = whole.ancestors().find(|dir| dir.is_dir());
    there.is_some_and(|dir| access(&dir.join("cgroup.procs"), AccessFlags::W_OK).is_ok())
}

/// The scope of this name, where this process is its supervisor: its container is started once more.
pub(super) fn scope_of_supervisor(name: &str) -> Option<PathBuf> {
    let own = group_of(Pid::this()).ok()?;
    let scope = own.parent().filter(|_| own.ends_with(BESIDE))?;
    let unit = scope.file_name()?.to_str()?.strip_suffix(".scope")?;
    (unit == name).then(|| scope.to_owned())
}

/// Where a directory with a `/` before it is: in the hierarchy itself, where that can be written (root, or a path that the caller
/// was told); else below the caller's own group.
pub(super) fn absolute(base: &Path, parent: &str) -> PathBuf {
    let whole = Path::new(ROOT).join(parent.trim_start_matches('/'));
    if is_writable(&whole) { whole } else { base.join(parent.trim_start_matches('/')) }
}

/// The user's manager, or for root the machine's.
pub(super) fn manager() -> Result<Manager, Reason> {
    hierarchy()?;
    if !booted() {
        return Err(Reason::NoSystemd);
    }
    Manager::find().ok_or(Reason::NoUserManager)
}

fn hierarchy() -> Result<(), Reason> {
    let is_unified = |path: &str| statfs(path).is_ok_and(|stat| stat.filesystem_type() == CGROUP2_SUPER_MAGIC);
    if is_unified(ROOT) {
        return Ok(());
    }
    Err(if is_unified("/sys/fs/cgroup/unified") { Reason::Hybrid } else { Reason::VersionOne })
}

/// sd_booted(3).
pub(super) fn booted() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// The caller's own group, where it is theirs to divide.
fn own_subtree() -> Option<PathBuf> {
    let own = group_of(Pid::this()).ok()?;
    // In the leaf that an earlier run has made.
    let base = if own.ends_with(LEAF) { own.parent()?.to_owned() } else { own };
    let ours = ["", "cgroup.procs", "cgroup.subtree_control"]
        .iter()
        .all(|name| access(&base.join(name), AccessFlags::W_OK).is_ok());
    (ours && (!booted() || is_delegated(&base))).then_some(base)
}

/// By the unit that the group is, or is in.
fn is_delegated(base: &Path) -> bool {
    let is_unit = |path: &&Path| {
        let name = path.extension().and_then(|end| end.to_str());
        matches!(name, Some("scope" | "service" | "slice"))
    };
    let Some(unit) = base.ancestors().find(is_unit) else { return false };
    let mut value = [0; 8];
    let marked = |open: File| xattr::get(open.as_fd(), DELEGATED, &mut value).is_ok_and(|value| value == b"1");
    if File::open(unit).is_ok_and(marked) {
        return true;
    }
    // systemd 252 marks user@.service, but not the scopes of a user's manager: it is asked itself.
    let name = unit.file_name().and_then(|name| name.to_str());
    name.zip(Manager::find()).is_some_and(|(name, manager)| manager.delegates(name))
}

/// The directory of the group in which a process is.
pub(super) fn group_of(pid: Pid) -> Result<PathBuf> {
    let path = format!("/proc/{pid}/cgroup");
    let text = std::fs::read_to_string(&path).context(&codes::APPLY, || format!("read {path}"))?;
    let group = text.lines().find_map(|line| line.strip_prefix("0::/"));
    // What lies above the own cgroup namespace is shown as `/..`.
    let group = group.filter(|group| !group.split('/').any(|part| part == ".."));
    let group = group.ok_or_else(|| Error::new(&codes::APPLY, format!("find the control group of pid {pid}")))?;
    Ok(if group.is_empty() { ROOT.into() } else { Path::new(ROOT).join(group) })
}
