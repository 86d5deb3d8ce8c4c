//! `create`, `start` and `run`: a bundle's container, up to its command.
//!
//! Owns the order around `runtime::parent`: the state directory first, then the base user namespace, the plan, the process, its
//! state, the pid file last, because an engine takes that for success. The surprise: `run` has no gate and no second process: it
//! is `create` without waiting.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use nix::unistd::Pid;

use super::bundle::{self, Bundle};
use super::caller::{Handing, Terminal};
use super::state::{Container, Saved, Status};
use super::{Runtime, delete, group, maps};
use crate::cgroup::{Group, Held};
use crate::error::{Context, Error, Result, catalog::oci, catalog::state};
use crate::host::{Host, Kind};
use crate::plan::{self, Plan, RootSource};
use crate::runtime::base;
use crate::runtime::parent::{self, Started};
use crate::runtime::{gate, hooks, seccomp, supervise};
use crate::spec::ids::Base;
use crate::spec::{Bundled, Extras, Identity, Ids, UserNs};

/// The flags of `create` and `run`.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// The container's id.
    pub id: String,
    /// `--bundle`
    pub bundle: PathBuf,
    /// `--config`
    pub config: Option<PathBuf>,
    /// What the caller gets.
    pub handing: Handing,
    /// `--no-pivot`
    pub no_pivot: bool,
    /// `--no-new-keyring`
    pub no_new_keyring: bool,
    /// `--keep`
    pub keep: bool,
}

/// `create`.
///
/// # Errors
/// Whatever keeps the container from being made; nothing of it is left then.
pub fn create(runtime: &Runtime, flags: &Flags) -> Result<()> {
    let place = Place::make(runtime, flags)?;
    let made = gate::make(&place.dir).and_then(|()| place.begin(true, true));
    place.finish(made.map(|(_, started)| leave(started.group)))
}

/// `start`.
///
/// # Errors
/// It has been started already, or its command could not be executed.
pub fn start(runtime: &Runtime, id: &str) -> Result<()> {
    let container = Container::find(runtime, id)?;
    match container.status() {
        Status::Created if container.saved.spec.process().is_none() => {
            // runtime.md wants an error here; callers, and OCI's own validation, that nothing fails and the container ends, as crun has it.
            eprintln!("rl: warning: process is missing: there is nothing to start, container {id:?} ends");
            return delete::kill(&container);
        }
        Status::Created => {}
        Status::Stopped => return Err(Error::new(&oci::STATUS, "cannot start a container that has stopped")),
        status => {
            return Err(Error::new(&oci::STATUS, format!("cannot start a container in the {} state", status.word())));
        }
    }
    gate::open_up(&container.dir)?;
    poststart(&container.saved.bundle, id, container.saved.pid);
    Ok(())
}

/// `run`; gives the command's status, 0 where it goes on by itself.
///
/// # Errors
/// As [`create`].
pub fn run(runtime: &Runtime, flags: &Flags, detach: bool) -> Result<u8> {
    let place = Place::make(runtime, flags)?;
    let begun = place.begin(false, detach);
    let (plan, Started { child, signals, terminal, network, group }) = match begun {
        Ok(begun) => begun,
        Err(error) => return place.finish(Err(error)).map(|()| 0),
    };
    if let Some(bundle) = &plan.bundle {
        poststart(bundle, &flags.id, child.pid.as_raw());
    }
    if detach {
        leave(group);
        return Ok(0);
    }
    let exit = supervise::supervise(child, &signals, terminal.and_then(Terminal::console), network, None);
    if !plan.namespaces.pid.is_new() {
        supervise::end_descendants();
    }
    leave(group);
    if !flags.keep {
        delete::remove(&Container::find(runtime, &flags.id)?)?;
    }
    Ok(exit?.status())
}

/// The group goes with `delete`, not with this process.
fn leave(group: Option<Held>) {
    group.map(Held::keep);
}

/// A failure of these is told and changes nothing (runtime.md, Lifecycle).
fn poststart(bundle: &plan::Bundle, id: &str, pid: i32) {
    let state = bundle.state(id, Status::Running.word(), pid);
    if let Err(error) = hooks::run("poststart", &bundle.hooks.poststart, &state) {
        eprintln!("rl: warning: {}", error.summary());
    }
}

/// The state directory of a container that is being made.
struct Place<'a> {
    runtime: &'a Runtime,
    flags: &'a Flags,
    dir: PathBuf,
    bundle: Bundle,
}

impl<'a> Place<'a> {
    fn make(runtime: &'a Runtime, flags: &'a Flags) -> Result<Self> {
        let dir = runtime.dir(&flags.id)?;
        let mut bundle = bundle::read(&flags.bundle, flags.config.as_deref())?;
        bundle.complete(&runtime.caller)?;
        bundle.activate(listen_fds());
        runtime.make_root()?;
        match DirBuilder::new().mode(0o711).create(&dir) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(Error::new(&oci::EXISTS, format!("container {:?} already exists", flags.id)));
            }
            made => made.context(&state::STATE, || format!("make {}", dir.display()))?,
        }
        Ok(Self { runtime, flags, dir, bundle })
    }

    /// A container that could not be made leaves nothing.
    fn finish<T>(&self, made: Result<T>) -> Result<T> {
        if made.is_err()
            && let Err(error) = delete::clear(&self.dir)
        {
            eprintln!("rl: warning: {}", error.summary());
        }
        made
    }

    fn begin(&self, awaits: bool, detached: bool) -> Result<(Plan, Started<Terminal>)> {
        let on = self.dir.join("mnt");
        DirBuilder::new().mode(0o700).create(&on).context(&state::STATE, || format!("make {}", on.display()))?;
        let extras = self.extras(awaits, detached);
        let ids = self.ids()?;
        let plan = self.plan(&extras, &ids)?;
        self.flags.handing.check(&plan, detached)?;
        let bounding = plan.bounding().unwrap_or_default();
        let filter = seccomp::program(&extras.seccomp, bounding, &self.runtime.filters())?;
        let started = parent::begin(
            &plan,
            filter.as_ref(),
            group::prepare(&self.bundle.spec, &plan)?,
            |pid| self.record(pid, &plan),
            |master| self.flags.handing.terminal(master),
        )?;
        let noted = started.group.as_ref().map_or(Ok(()), |held| self.note(&held.group));
        if let Err(error) = noted.and_then(|()| self.flags.handing.tell(&started.child)) {
            started.child.kill();
            return Err(error);
        }
        Ok((plan, started))
    }

    fn extras(&self, awaits: bool, detached: bool) -> Extras {
        let spec = &self.bundle.spec;
        let bundled = Bundled {
            path: self.bundle.path.clone(),
            rootfs: self.bundle.rootfs.clone(),
            awaits: awaits.then(|| self.dir.clone()),
            detached,
            preserve_fds: self.flags.handing.preserve_fds + listen_fds(),
            no_pivot: self.flags.no_pivot,
            keyring: !self.flags.no_new_keyring,
        };
        Extras::of_bundle(spec, spec.process().as_ref(), self.runtime.cgroups(), bundled)
    }

    fn ids(&self) -> Result<Ids> {
        let Some(linux) = self.bundle.spec.linux() else { return Err(bundle::bad("linux", "is missing")) };
        let user = plan::namespaces(linux)?.user;
        let base = enter(self.runtime, user.is_new())?;
        maps::resolve(linux, &user, &base)
    }

    fn plan(&self, extras: &Extras, ids: &Ids) -> Result<Plan> {
        let id = self.flags.id.clone();
        let identity = Identity { name: id.clone(), id, dir: self.dir.clone() };
        let root = RootSource::Directory(self.bundle.rootfs.clone());
        plan::compile::compile(&self.bundle.spec, extras, ids, &identity, &root, &self.dir, Vec::new())
    }

    fn record(&self, pid: Pid, plan: &Plan) -> Result<()> {
        let bundle = plan.bundle.clone().unwrap_or_default();
        let owner = self.runtime.caller.uid;
        let mut saved = Saved::new(&self.flags.id, pid, owner, bundle, self.bundle.spec.clone());
        saved.setgroups = plan.ids.setgroups;
        saved.own_pids = plan.namespaces.pid.is_new();
        saved.own_mounts = !plan.namespaces.mount.is_host();
        saved.write(&self.dir)
    }

    /// Known only when the process is in it.
    fn note(&self, group: &Group) -> Result<()> {
        let mut container = Container::find(self.runtime, &self.flags.id)?;
        container.saved.group = Some(group.clone());
        container.saved.write(&self.dir)
    }
}

/// Descriptors of socket activation (sd_listen_fds(3)), which come before those of `--preserve-fds`.
fn listen_fds() -> u32 {
    std::env::var("LISTEN_FDS").ok().and_then(|text| text.parse().ok()).filter(|count| *count < 1024).unwrap_or(0)
}

/// The base user namespace. An unprivileged caller enters one only to make another in it: what is joined by its path may be joined as
/// whoever made it.
pub(super) fn enter(runtime: &Runtime, makes: bool) -> Result<Base> {
    let caller = &runtime.caller;
    if caller.kind != Kind::Unprivileged || !makes {
        return base::current(caller);
    }
    // Nothing of rl's own data is needed, and HOME may be another's (Slurm gives its daemon's).
    let host = Host::probe(Some(&runtime.root.join(".data")), None)?;
    let entered = base::enter(&host, &UserNs::Default)?;
    Ok(entered.base)
}
