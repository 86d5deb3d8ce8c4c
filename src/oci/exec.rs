//! `exec`: one more process of a container, by the plan of a process alone.
//!
//! The container's namespaces are joined by its first process's own /proc/PID/ns, and the same init as everywhere does the rest. The
//! surprise: the process has the document's user, capabilities and filter, unless `--process` or flags give others; what is not
//! said there is none, not the container's.

use std::path::PathBuf;

use nix::unistd::Pid;
use oci_spec::runtime::Process;

use super::bundle;
use super::caller::{Handing, Terminal};
use super::state::{Container, Status};
use super::{Runtime, create, labels};
use crate::error::{Context, Error, Result, catalog::oci, catalog::process as codes};
use crate::plan::{self, Plan};
use crate::runtime::parent::{self, Started};
use crate::runtime::{seccomp, supervise};
use crate::spec::resources::Cgroups;
use crate::spec::{Bundled, Extras, Identity, Ids};
use crate::sys::schedule;

/// The flags of `exec`.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// The container's id.
    pub id: String,
    /// `--process FILE`
    pub process: Option<PathBuf>,
    /// The words behind the id.
    pub args: Vec<String>,
    /// `--cwd`
    pub cwd: Option<PathBuf>,
    /// `--env`
    pub env: Vec<String>,
    /// `--tty`
    pub tty: bool,
    /// `--user UID[:GID]`
    pub user: Option<(u32, Option<u32>)>,
    /// `--additional-gids`
    pub groups: Vec<u32>,
    /// `--cap`
    pub capabilities: Vec<String>,
    /// `--no-new-privs`
    pub no_new_privileges: bool,
    /// `--apparmor`
    pub apparmor: Option<String>,
    /// `--process-label`
    pub label: Option<String>,
    /// `--detach`
    pub detach: bool,
    /// What the caller gets.
    pub handing: Handing,
    /// `--ignore-paused`
    pub ignore_paused: bool,
}

/// Starts the process; gives its status, 0 for one that goes on by itself.
///
/// # Errors
/// The container does not run; what failed before exec.
pub fn exec(runtime: &Runtime, flags: &Flags) -> Result<u8> {
    let container = Container::find(runtime, &flags.id)?;
    match container.status() {
        Status::Running | Status::Created => {}
        Status::Paused if flags.ignore_paused => {}
        status => {
            let what = format!("cannot exec in a container that is {}: container not running", status.word());
            return Err(Error::new(&oci::STATUS, what));
        }
    }
    if !container.saved.own_mounts {
        let what =
            "cannot exec in a container without a mount namespace: there is nothing to join but the machine's own root";
        return Err(Error::new(&oci::STATUS, what));
    }
    let process = process(&container, flags)?;
    let (plan, extras) = plan(runtime, &container, &process, flags)?;
    flags.handing.check(&plan, flags.detach)?;
    on_first_processors(&process)?;
    let filter = seccomp::program(&extras.seccomp, plan.bounding().unwrap_or_default(), &runtime.filters())?;
    let Started { child, signals, terminal, network, group: _ } = parent::begin(
        &plan,
        filter.as_ref(),
        None,
        |pid| admit(&container, pid),
        |master| flags.handing.terminal(master),
    )?;
    flags.handing.tell(&child)?;
    if flags.detach {
        return Ok(0);
    }
    Ok(supervise::supervise(child, &signals, terminal.and_then(Terminal::console), network, None)?.status())
}

/// The new process counts as one of the container's from before it does anything.
fn admit(container: &Container, pid: Pid) -> Result<()> {
    let group = container.saved.group.as_ref();
    group.map_or(Ok(()), |group| group.admit(Pid::from_raw(container.saved.pid), pid))
}

/// process.execCPUAffinity.initial: where the new process is born, until it is in the container's cgroup.
fn on_first_processors(process: &Process) -> Result<()> {
    match plan::scheduling::affinity(process)?.initial {
        Some(processors) => {
            schedule::set_affinity(&processors).context(&codes::SETUP, || "set process.execCPUAffinity.initial".into())
        }
        None => Ok(()),
    }
}

/// The document's own process with the words of the command line, or the one of `--process`.
fn process(container: &Container, flags: &Flags) -> Result<Process> {
    let mut process = match &flags.process {
        Some(file) => bundle::process(file)?,
        None => {
            let own = container.saved.spec.process().clone();
            let mut process = own.ok_or_else(|| bundle::bad("process", "is missing"))?;
            process.set_terminal(Some(false)).set_args(Some(flags.args.clone()));
            process
        }
    };
    if flags.tty {
        process.set_terminal(Some(true));
    }
    if let Some(cwd) = &flags.cwd {
        process.set_cwd(cwd.clone());
    }
    if !flags.env.is_empty() {
        let mut env = process.env().clone().unwrap_or_default();
        env.extend(flags.env.iter().cloned());
        process.set_env(Some(env));
    }
    let mut user = process.user().clone();
    if let Some((uid, gid)) = flags.user {
        let gid = gid.unwrap_or_else(|| user.gid());
        user.set_uid(uid).set_gid(gid);
    }
    if !flags.groups.is_empty() {
        let mut groups = user.additional_gids().clone().unwrap_or_default();
        groups.extend(&flags.groups);
        user.set_additional_gids(Some(groups));
    }
    process.set_user(user);
    if flags.no_new_privileges {
        process.set_no_new_privileges(Some(true));
    }
    for name in &flags.capabilities {
        add_capability(&mut process, name)?;
    }
    if let Some(profile) = &flags.apparmor {
        process.set_apparmor_profile(Some(profile.clone()));
    }
    if let Some(label) = &flags.label {
        process.set_selinux_label(Some(label.clone()));
    }
    labels::keep_possible(&mut process);
    Ok(process)
}

fn add_capability(process: &mut Process, name: &str) -> Result<()> {
    let upper = name.to_uppercase();
    let capability = upper.trim_start_matches("CAP_").parse();
    let capability = capability.map_err(|_| bundle::bad("--cap", &format!("{name:?} is no capability")))?;
    let mut sets = process.capabilities().clone().unwrap_or_default();
    let with = |set: &Option<oci_spec::runtime::Capabilities>| {
        let mut set = set.clone().unwrap_or_default();
        set.insert(capability);
        Some(set)
    };
    let (bounding, effective, permitted) = (with(sets.bounding()), with(sets.effective()), with(sets.permitted()));
    sets.set_bounding(bounding).set_effective(effective).set_permitted(permitted);
    process.set_capabilities(Some(sets));
    Ok(())
}

fn plan(runtime: &Runtime, container: &Container, process: &Process, flags: &Flags) -> Result<(Plan, Extras)> {
    let base = create::enter(runtime, false)?;
    let saved = &container.saved;
    let ids = Ids {
        uid: base.uid.clone(),
        gid: base.gid.clone(),
        base_uid: base.uid,
        base_gid: base.gid,
        setgroups: saved.setgroups,
    };
    let bundled = Bundled {
        path: saved.bundle.path.clone(),
        rootfs: saved.bundle.rootfs.clone(),
        detached: flags.detach,
        preserve_fds: flags.handing.preserve_fds,
        ..Bundled::default()
    };
    let extras = Extras::of_bundle(&saved.spec, Some(process), Cgroups::default(), bundled);
    let identity = Identity { id: saved.id.clone(), name: saved.id.clone(), dir: container.dir.clone() };
    let plan = plan::compile::joining(&saved.spec, process, &extras, &ids, &identity, saved.pid)?;
    Ok((plan, extras))
}
