//! Root of the new user namespace, before anything is made, so that all of it is owned by that root.
//!
//! Owns the namespaces that clone can't make as they are wanted (time, cgroup). The surprise: this is the last moment at which the
//! process may write to its own files in /proc; from here on it is not dumpable, and they belong to the machine's root.

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid};

use crate::error::{Context, Result, catalog::process as codes};
use crate::plan::{Clock, Plan};
use crate::runtime::attributes;

/// Namespaces, groups and ids, and hidden from other processes at the end.
pub(super) fn become_root(plan: &Plan) -> Result<()> {
    let doing = || "become root in the container".to_owned();
    if let Some(value) = plan.process.oom_score_adj {
        attributes::oom_score(value)?;
    }
    if plan.namespaces.time.is_new() {
        time_namespace(&plan.namespaces.clocks)?;
    }
    if plan.cgroup.is_some() && plan.namespaces.cgroup.is_new() {
        unshare(CloneFlags::CLONE_NEWCGROUP).context(&codes::SETUP, || "make a cgroup namespace".into())?;
    }
    if plan.ids.setgroups && !plan.process.keep_groups {
        nix::unistd::setgroups(&[]).context(&codes::SETUP, doing)?;
    }
    let (uid, gid) = (Uid::from_raw(0), Gid::from_raw(0));
    nix::unistd::setresgid(gid, gid, gid).context(&codes::SETUP, doing)?;
    nix::unistd::setresuid(uid, uid, uid).context(&codes::SETUP, doing)?;
    // Until exec nobody in another container may look at this process, which still has the host's mounts (CVE-2016-9962).
    nix::sys::prctl::set_dumpable(false).context(&codes::SETUP, doing)?;
    Ok(())
}

/// Not with clone: the child of a clone with CLONE_NEWTIME is in the namespace at once, and its offsets are fixed then. After
/// unshare the next exec enters it (Linux 5.19).
fn time_namespace(clocks: &[Clock]) -> Result<()> {
    let new = CloneFlags::from_bits_retain(libc::CLONE_NEWTIME);
    unshare(new).context(&codes::SETUP, || "make a time namespace".into())?;
    if clocks.is_empty() {
        return Ok(());
    }
    let line = |clock: &Clock| format!("{} {} {}\n", clock.name, clock.seconds, clock.nanoseconds);
    let text: String = clocks.iter().map(line).collect();
    std::fs::write("/proc/self/timens_offsets", text).context(&codes::SETUP, || "set the clocks' offsets".into())
}
