//! What a specification can say and a plan can't yet: an error that names the field, never silence.
//!
//! Pure. The surprise: `rl`'s own specifications never trip it; it is there for a config.json of somebody else's making.

use oci_spec::runtime::{Linux, Spec};

use crate::error::{Error, Result, catalog::command_line};

/// A field of the specification that can't become a plan.
pub(super) fn bad(field: &str, what: &str) -> Error {
    Error::new(&command_line::SPECIFICATION, format!("{field} {what}"))
}

/// Refuses the first field that would have to be ignored.
pub(super) fn check(spec: &Spec) -> Result<()> {
    let set = [
        ("hooks", spec.hooks().is_some()),
        ("solaris", spec.solaris().is_some()),
        ("windows", spec.windows().is_some()),
        ("vm", spec.vm().is_some()),
    ];
    if let Some((field, _)) = set.iter().find(|(_, set)| *set) {
        return Err(bad(field, "is not supported"));
    }
    if let Some(process) = spec.process() {
        let set = [
            ("process.apparmorProfile", process.apparmor_profile().is_some()),
            ("process.selinuxLabel", process.selinux_label().is_some()),
            ("process.oomScoreAdj", process.oom_score_adj().is_some()),
            ("process.ioPriority", process.io_priority().is_some()),
            ("process.scheduler", process.scheduler().is_some()),
            ("process.execCPUAffinity", process.exec_cpu_affinity().is_some()),
        ];
        if let Some((field, _)) = set.iter().find(|(_, set)| *set) {
            return Err(bad(field, "is not supported"));
        }
    }
    spec.linux().as_ref().map_or(Ok(()), check_linux)
}

fn check_linux(linux: &Linux) -> Result<()> {
    let set = [
        ("linux.resources", linux.resources().is_some()),
        ("linux.cgroupsPath", linux.cgroups_path().is_some()),
        ("linux.devices", linux.devices().as_ref().is_some_and(|list| !list.is_empty())),
        ("linux.rootfsPropagation", linux.rootfs_propagation().is_some()),
        ("linux.mountLabel", linux.mount_label().is_some()),
        ("linux.intelRdt", linux.intel_rdt().is_some()),
        ("linux.personality", linux.personality().is_some()),
    ];
    if let Some((field, _)) = set.iter().find(|(_, set)| *set) {
        return Err(bad(field, "is not supported"));
    }
    Ok(())
}
