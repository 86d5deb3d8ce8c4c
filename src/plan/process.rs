//! The command that is executed in the end, and the steps that are about its process alone.
//!
//! Owns what a container's first process and one that joins it have in common. The surprise: the place of the seccomp filter depends
//! on no_new_privs, without which loading one is a right that the capabilities' step takes away.

use std::path::Path;

use oci_spec::runtime::{Capabilities, Linux};
use serde::{Deserialize, Serialize};

use super::unsupported::{bad, checked_path};
use super::{CapabilitySets, Step, scheduling};
use crate::error::Result;
use crate::spec::{Extras, Ids, SeccompChoice, Ulimit};

/// What is executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// argv.
    pub args: Vec<String>,
    /// NAME=VALUE.
    pub env: Vec<String>,
    /// Set HOME from the passwd entry.
    pub set_home: bool,
    /// A terminal.
    pub terminal: bool,
    /// Without it stdin is /dev/null.
    pub interactive: bool,
    /// rl's own reaper is pid 1.
    pub init: bool,
    /// It outlives the process that starts it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub detached: bool,
    /// Descriptors from 3 on that it inherits from rl's caller.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub preserve_fds: u32,
    /// It keeps the supplementary groups of rl's caller.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_groups: bool,
    /// /proc/self/oom_score_adj.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_score_adj: Option<i32>,
    /// Rows and columns of its terminal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console_size: Option<(u16, u16)>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What is executed in the end, and as whose child.
pub(super) fn command(process: &oci_spec::runtime::Process, extras: &Extras, terminal: bool) -> Result<Process> {
    let args = process.args().clone().unwrap_or_default();
    let bundled = extras.bundle.clone().unwrap_or_default();
    let side =
        |length: u64| u16::try_from(length).map_err(|_| bad("process.consoleSize", "is larger than a terminal can be"));
    let console_size = match process.console_size().filter(|_| terminal) {
        Some(size) => Some((side(size.height())?, side(size.width())?)),
        None => None,
    };
    let init = extras.init || !extras.emulators.is_empty() && !is_init(&args);
    Ok(Process {
        args,
        env: process.env().clone().unwrap_or_default(),
        set_home: !extras.home_given,
        terminal,
        interactive: extras.interactive,
        init,
        detached: bundled.detached,
        preserve_fds: bundled.preserve_fds + extras.preserve_fds,
        keep_groups: extras.keep_groups,
        oom_score_adj: process.oom_score_adj(),
        console_size,
    })
}

/// qemu ends a program that a signal has killed by sending itself that signal, which the kernel keeps from pid 1: a crash or a
/// SIGTERM would leave qemu waiting for ever. So rl's own reaper is pid 1 of an emulated container, but for programs that must be it.
fn is_init(args: &[String]) -> bool {
    let name = args.first().map(|command| Path::new(command).file_name().unwrap_or_default().to_string_lossy());
    name.is_some_and(|name| {
        ["init", "systemd", "runit", "s6-svscan", "openrc-init", "tini", "dumb-init"].contains(&&*name)
    })
}

/// Everything about the process itself, for a container's first one and for those that join it.
pub(super) fn process_steps(
    process: &oci_spec::runtime::Process,
    linux: &Linux,
    extras: &Extras,
    ids: &Ids,
    steps: &mut Vec<Step>,
) -> Result<()> {
    for limit in process.rlimits().iter().flatten() {
        let name = limit.typ().to_string().to_lowercase();
        let name = name.strip_prefix("rlimit_").unwrap_or(&name).to_owned();
        if limit.soft() > limit.hard() {
            return Err(bad("process.rlimits", &format!("has {name} with a soft limit above the hard one")));
        }
        steps.push(Step::Rlimit(Ulimit { name, soft: limit.soft(), hard: limit.hard() }));
    }
    steps.extend(scheduling::scheduling(process, linux)?.map(Step::Scheduling));
    steps.extend(scheduling::personality(linux)?.map(|persona| Step::Personality { persona }));
    steps.push(Step::Umask { mask: process.user().umask().unwrap_or(0o022) });
    steps.push(Step::WorkingDirectory { path: checked_path("process.cwd", process.cwd())? });
    for (module, label) in [("apparmor", process.apparmor_profile()), ("selinux", process.selinux_label())] {
        if let Some(label) = label.clone().filter(|label| !label.is_empty()) {
            steps.push(Step::Label { module: module.to_owned(), label });
        }
    }
    let no_new_privileges = process.no_new_privileges().unwrap_or(false);
    let filter = match &extras.seccomp {
        SeccompChoice::Default => Some("default"),
        SeccompChoice::Profile(_) => Some("custom"),
        SeccompChoice::Exact(_) => Some("linux.seccomp"),
        SeccompChoice::Unconfined => None,
    }
    .map(|profile| Step::Seccomp { profile: profile.to_owned() });
    // Without no_new_privs loading a filter needs CAP_SYS_ADMIN, which is gone after the capabilities have been set.
    if !no_new_privileges {
        steps.extend(filter.clone());
    }
    steps.push(user(process, extras, ids));
    steps.push(Step::Capabilities(capability_sets(process, extras)));
    if no_new_privileges {
        steps.push(Step::NoNewPrivileges);
        steps.extend(filter);
    }
    Ok(())
}

fn user(process: &oci_spec::runtime::Process, extras: &Extras, ids: &Ids) -> Step {
    let setgroups = ids.setgroups && !extras.keep_groups;
    if extras.bundle.is_none() {
        return Step::User { user: extras.user.clone(), groups: extras.group_add.clone(), setgroups };
    }
    let user = process.user();
    let groups = user.additional_gids().clone().unwrap_or_default();
    Step::Ids { uid: user.uid(), gid: user.gid(), groups, setgroups }
}

fn capability_sets(process: &oci_spec::runtime::Process, extras: &Extras) -> CapabilitySets {
    let names = |set: &Option<Capabilities>| -> Vec<String> {
        let mut names: Vec<_> =
            set.iter().flatten().map(|one| one.to_string().trim_start_matches("CAP_").to_owned()).collect();
        names.sort();
        names
    };
    let exact = |names: Vec<String>| extras.bundle.is_some().then_some(names);
    let Some(sets) = process.capabilities() else {
        return CapabilitySets { permitted: exact(Vec::new()), ..CapabilitySets::default() };
    };
    CapabilitySets {
        bounding: names(sets.bounding()),
        effective: names(sets.effective()),
        permitted: exact(names(sets.permitted())),
        inheritable: names(sets.inheritable()),
        ambient: names(sets.ambient()),
    }
}
