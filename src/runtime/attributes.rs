//! Attributes of a process that only rl's own `oci` asks for: scheduling, personality, labels, keyring.
//!
//! Owns carrying these steps out in the container's first process. What is wrong with them was said by `plan`; what the kernel refuses is
//! said here with the field of config.json.

use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

use super::mounts::Root;
use crate::error::{Context, Error, Result, catalog::process as codes};
use crate::plan::{self, Scheduling};
use crate::sys::schedule;

/// process.oomScoreAdj. To be called while this process is dumpable: afterwards its files in /proc belong to the machine's root.
pub(super) fn oom_score(value: i32) -> Result<()> {
    let written = std::fs::write("/proc/self/oom_score_adj", value.to_string());
    written.map_err(|error| {
        let refused = matches!(error.raw_os_error(), Some(libc::EACCES | libc::EPERM));
        let error = Error::new(&codes::SETUP, format!("set process.oomScoreAdj to {value}")).because(error);
        if refused { error.fix("Only root of the machine may make a process less likely to be killed.") } else { error }
    })
}

pub(super) fn scheduling(wanted: &Scheduling) -> Result<()> {
    if let Some(scheduler) = &wanted.scheduler {
        let plan::scheduling::Scheduler { policy, flags, nice, priority, runtime, deadline, period } = *scheduler;
        let set = schedule::set_scheduler((policy, flags), nice, priority, [runtime, deadline, period]);
        set.context(&codes::SETUP, || "set process.scheduler".into())?;
    }
    if let Some(priority) = wanted.io_priority {
        schedule::set_io_priority(priority).context(&codes::SETUP, || "set process.ioPriority".into())?;
    }
    if let Some(policy) = &wanted.memory {
        let set = schedule::set_memory_policy(policy.mode, &policy.nodes);
        set.context(&codes::SETUP, || "set linux.memoryPolicy".into())?;
    }
    if let Some(processors) = &wanted.processors {
        let set = schedule::set_affinity(processors);
        set.context(&codes::SETUP, || "set process.execCPUAffinity.final".into())?;
    }
    Ok(())
}

pub(super) fn personality(persona: u64) -> Result<()> {
    schedule::set_personality(persona).context(&codes::SETUP, || "set linux.personality".into())
}

/// A kernel without keyrings, or a quota of them that is used up, is no reason not to run.
pub(super) fn keyring() -> Result<()> {
    match schedule::new_session_keyring() {
        Ok(()) | Err(Errno::ENOSYS | Errno::EDQUOT | Errno::EPERM) => Ok(()),
        Err(errno) => Err(errno).context(&codes::SETUP, || "make a session keyring".into()),
    }
}

/// Through the container's procfs, checked to be one: a bind over /proc must not turn this into a write elsewhere (CVE-2019-16884).
pub(super) fn label(root: &Root, module: &str, label: &str) -> Result<()> {
    let doing = || format!("set the label {label} of {module}");
    let (paths, text): (&[&str], String) = if module == "apparmor" {
        (&["/proc/self/attr/apparmor/exec", "/proc/self/attr/exec"], format!("exec {label}"))
    } else {
        (&["/proc/self/attr/exec"], label.to_owned())
    };
    let mut opened = Err(Error::new(&codes::SETUP, doing()));
    for path in paths {
        opened = root.open(Path::new(path), OFlag::O_WRONLY);
        if opened.is_ok() {
            break;
        }
    }
    let file = opened?;
    if fstatfs(&file).context(&codes::SETUP, doing)?.filesystem_type() != PROC_SUPER_MAGIC {
        return Err(Error::new(&codes::SETUP, doing()).because("/proc is not a proc file system"));
    }
    nix::unistd::write(&file, text.as_bytes()).context(&codes::SETUP, doing).map(drop)
}
