//! A container's control group as engines ask for it: `pause`, `resume`, `update`, and what keeps one from being made.
//!
//! Owns none of the files, which are `cgroup`'s. The surprise: a group that only its path asks for is made where that is possible and
//! missed where not, as crun's rootless does; limits that can't be set are an error.

use oci_spec::runtime::{LinuxResources, Spec};

use super::Runtime;
use super::state::{Container, Status};
use crate::cgroup::{Group, Prepared};
use crate::error::{Error, Result, catalog::cgroup, catalog::command_line, catalog::oci};
use crate::plan::{self, Plan};
use crate::runtime::parent;

/// The group of a container that is about to be made.
pub(super) fn prepare(spec: &Spec, plan: &Plan) -> Result<Option<Prepared>> {
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    let limits = resources.map(plan::cgroup::limits).transpose()?.unwrap_or_default();
    if plan.cgroup.is_none() && limits != plan::cgroup::Limits::default() {
        let what = "linux.resources can't be applied without control groups (--cgroup-manager disabled)";
        return Err(Error::new(&command_line::SPECIFICATION, what));
    }
    let field = if limits == plan::cgroup::Limits::default() { "linux.cgroupsPath" } else { "linux.resources" };
    parent::group(plan).map_err(|error| error.within(field))
}

/// The group of a container that is to be frozen, counted or changed.
pub(super) fn of(container: &Container) -> Result<&Group> {
    let doing = || format!("find the control group of container {:?}", container.saved.id);
    container.saved.group.as_ref().ok_or_else(|| {
        Error::new(&cgroup::NO_GROUP, doing())
            .because("none could be made when it was created, or --cgroup-manager disabled was given")
            .exit(1)
    })
}

fn found(runtime: &Runtime, id: &str, fits: &[Status], verb: &str) -> Result<Container> {
    let container = Container::find(runtime, id)?;
    let status = container.status();
    if fits.contains(&status) {
        return Ok(container);
    }
    let more = if status == Status::Stopped { ": container not running" } else { "" };
    let what = format!("cannot {verb} container {id:?} that is {}{more}", status.word());
    Err(Error::new(&oci::STATUS, what))
}

/// `pause`.
///
/// # Errors
/// It does not run, or has no group.
pub fn pause(runtime: &Runtime, id: &str) -> Result<()> {
    let container = found(runtime, id, &[Status::Created, Status::Running], "pause")?;
    of(&container)?.freeze(true)
}

/// `resume`.
///
/// # Errors
/// It is not paused.
pub fn resume(runtime: &Runtime, id: &str) -> Result<()> {
    let container = found(runtime, id, &[Status::Paused], "resume")?;
    of(&container)?.freeze(false)
}

/// `update`: what is not named stays as it is.
///
/// # Errors
/// It has stopped; a resource that cgroup2 can't limit; what the kernel refuses.
pub fn update(runtime: &Runtime, id: &str, resources: &LinuxResources) -> Result<()> {
    let container = found(runtime, id, &[Status::Created, Status::Running, Status::Paused], "update")?;
    let group = of(&container)?;
    let mut resources = resources.clone();
    if let Some(memory) = resources.memory().filter(|memory| memory.check_before_update() == Some(true)) {
        let limit = memory.limit().and_then(|limit| u64::try_from(limit).ok()).filter(|limit| *limit > 0);
        let used = group.read("memory.current").and_then(|text| text.trim().parse::<u64>().ok());
        if let Some((limit, used)) = limit.zip(used).filter(|(limit, used)| limit < used) {
            let what = format!("linux.resources.memory.limit {limit} is less than the {used} bytes in use");
            return Err(Error::new(&command_line::SPECIFICATION, what));
        }
    }
    if let Some(mut memory) = resources.memory().filter(|memory| memory.limit().is_none() && memory.swap().is_some()) {
        // memory.swap includes memory, whose limit stays.
        let limit = group.sample().memory_limit.and_then(|limit| i64::try_from(limit).ok());
        memory.set_limit(limit);
        resources.set_memory(Some(memory));
    }
    group.update(&plan::cgroup::limits(&resources)?)
}
