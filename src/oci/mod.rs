//! An OCI runtime, by runtime-spec 1.3: bundles in, containers out, for engines that have their own ideas of images and state.
//!
//! Owns bundles, the state directory (`--root`) and the verbs' work; printing and flags are `cli::oci`'s. A bundle becomes a
//! [`crate::plan::Plan`] and is carried out by the same parent and init as `rl run`. The surprise: nothing supervises a container
//! here. Its first process is an orphan for whoever called `create` (conmon, containerd's shim, buildah) to adopt, and what is known
//! of it is asked of the kernel anew by each verb.

pub mod bundle;
pub mod caller;
pub mod config;
pub mod create;
pub mod delete;
pub mod events;
pub mod exec;
pub mod features;
pub mod group;
mod labels;
mod maps;
pub mod processes;
pub mod signal;
pub mod state;

use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::error::{Context, Error, Result, catalog::command_line, catalog::state as codes};
use crate::host::{Caller, Dirs, Kind};
use crate::spec::resources::{Cgroups, Mode, Way};

/// Which cgroup manager was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Manager {
    /// Directories below /sys/fs/cgroup.
    #[default]
    Cgroupfs,
    /// Scopes of systemd.
    Systemd,
    /// None: the container stays in its caller's cgroup, and limits are not set.
    Disabled,
}

/// Where the containers of one caller are kept.
#[derive(Debug, Clone)]
pub struct Runtime {
    /// Who calls.
    pub caller: Caller,
    /// One directory a container.
    pub root: PathBuf,
    /// Limits.
    pub manager: Manager,
}

impl Runtime {
    /// Finds the state directory; makes nothing.
    ///
    /// # Errors
    /// The caller can't be told, or has no place for it.
    pub fn find(root: Option<&Path>, manager: Manager) -> Result<Self> {
        let caller = Caller::read()?;
        let root = match root {
            Some(root) => {
                std::path::absolute(root).context(&codes::STATE, || format!("make {} absolute", root.display()))?
            }
            None => default_root(&caller)?,
        };
        Ok(Self { caller, root, manager })
    }

    /// The state directory of a container, which need not exist.
    ///
    /// # Errors
    /// An id that could lead elsewhere.
    pub fn dir(&self, id: &str) -> Result<PathBuf> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_+.-".contains(&byte);
        if id.is_empty() || id.starts_with('.') || id.len() > 255 || !id.bytes().all(good) {
            let what = format!("invalid container id format: {id:?}");
            return Err(Error::new(&command_line::USAGE, what).fix("Ids are made of letters, digits and _ + . -"));
        }
        Ok(self.root.join(id))
    }

    /// Makes the state directory's parent, closed to others.
    fn make_root(&self) -> Result<()> {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.root);
        made.context(&codes::STATE, || format!("make {}", self.root.display()))
    }

    /// What becomes of the containers' control groups.
    fn cgroups(&self) -> Cgroups {
        let (mode, way) = match self.manager {
            Manager::Cgroupfs => (Mode::Auto, Way::Directory),
            Manager::Systemd => (Mode::Auto, Way::Scope),
            Manager::Disabled => (Mode::Disabled, Way::Any),
        };
        Cgroups { mode, way, ..Cgroups::default() }
    }

    /// Where compiled filters are kept; no id begins with a dot.
    fn filters(&self) -> PathBuf {
        self.root.join(".seccomp")
    }
}

/// `$XDG_RUNTIME_DIR/rl-oci` where that is the caller's own, as root of the machine `/run/rl-oci`.
fn default_root(caller: &Caller) -> Result<PathBuf> {
    let given = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let own = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|meta| meta.is_dir() && meta.uid() == caller.uid);
    match given.filter(own) {
        Some(path) => Ok(path.join("rl-oci")),
        None if caller.kind == Kind::Root => Ok(PathBuf::from("/run/rl-oci")),
        None => Ok(Dirs::find(caller, None, None)?.run.join("oci")),
    }
}
