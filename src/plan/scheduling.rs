//! process.scheduler, process.ioPriority, linux.memoryPolicy and linux.personality as the numbers that the kernel takes.
//!
//! Pure. The surprise: an I/O priority is a class in the upper bits and a level in the lower (ioprio_set(2)), and personality's
//! 32-bit domain is for what uname(2) says, nothing else.

use oci_spec::runtime::{
    IOPriorityClass, Linux, LinuxPersonalityDomain, LinuxSchedulerFlag, LinuxSchedulerPolicy, MemoryPolicyFlagType,
    MemoryPolicyModeType, Process,
};
use serde::{Deserialize, Serialize};

use super::unsupported::bad;
use crate::error::Result;

/// How the command shares the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduling {
    /// process.scheduler
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<Scheduler>,
    /// process.ioPriority, as ioprio_set(2) takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io_priority: Option<i32>,
    /// linux.memoryPolicy
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryPolicy>,
    /// process.execCPUAffinity.final, of a process that joins a container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processors: Option<Vec<u32>>,
}

/// process.execCPUAffinity: numbers of processors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Affinity {
    /// Until the process is in the container's cgroup.
    pub initial: Option<Vec<u32>>,
    /// From then on.
    pub last: Option<Vec<u32>>,
}

/// Where a process that joins a container runs. A container's first process has nothing of it (config.md, Linux Process), but a
/// document that says nonsense there is refused.
///
/// # Errors
/// What is no list of processors.
pub fn affinity(process: &Process) -> Result<Affinity> {
    let Some(from) = process.exec_cpu_affinity() else { return Ok(Affinity::default()) };
    let list = |name: &str, text: &Option<String>| {
        let Some(text) = text.as_deref().filter(|text| !text.is_empty()) else { return Ok(None) };
        let field = format!("process.execCPUAffinity.{name}");
        numbers(text).map(Some).ok_or_else(|| bad(&field, &format!("{text:?} is no list such as 0-3,7")))
    };
    Ok(Affinity { initial: list("initial", from.initial())?, last: list("final", from.cpu_affinity_final())? })
}

/// struct sched_attr.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduler {
    /// SCHED_*.
    pub policy: u32,
    /// SCHED_FLAG_*.
    pub flags: u64,
    /// nice(2), for SCHED_OTHER and SCHED_BATCH.
    pub nice: i32,
    /// For SCHED_FIFO and SCHED_RR.
    pub priority: u32,
    /// Nanoseconds, for SCHED_DEADLINE.
    pub runtime: u64,
    /// See above.
    pub deadline: u64,
    /// See above.
    pub period: u64,
}

/// set_mempolicy(2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPolicy {
    /// MPOL_* and its flags.
    pub mode: u32,
    /// Node numbers.
    pub nodes: Vec<u32>,
}

/// None: nothing was asked for.
///
/// # Errors
/// Values that can't be the kernel's.
pub(super) fn scheduling(process: &Process, linux: &Linux) -> Result<Option<Scheduling>> {
    let scheduling = Scheduling {
        scheduler: process.scheduler().as_ref().map(scheduler).transpose()?,
        io_priority: process.io_priority().as_ref().map(io_priority).transpose()?,
        memory: linux.memory_policy().as_ref().map(memory).transpose()?,
        processors: None,
    };
    Ok((scheduling != Scheduling::default()).then_some(scheduling))
}

fn scheduler(from: &oci_spec::runtime::Scheduler) -> Result<Scheduler> {
    let policy = match from.policy() {
        LinuxSchedulerPolicy::SchedOther => 0,
        LinuxSchedulerPolicy::SchedFifo => 1,
        LinuxSchedulerPolicy::SchedRr => 2,
        LinuxSchedulerPolicy::SchedBatch => 3,
        LinuxSchedulerPolicy::SchedIso => return Err(bad("process.scheduler.policy", "SCHED_ISO is in no kernel")),
        LinuxSchedulerPolicy::SchedIdle => 5,
        LinuxSchedulerPolicy::SchedDeadline => 6,
    };
    let flag = |flag: &LinuxSchedulerFlag| match flag {
        LinuxSchedulerFlag::SchedResetOnFork => 0x01,
        LinuxSchedulerFlag::SchedFlagReclaim => 0x02,
        LinuxSchedulerFlag::SchedFlagDLOverrun => 0x04,
        LinuxSchedulerFlag::SchedFlagKeepPolicy => 0x08,
        LinuxSchedulerFlag::SchedFlagKeepParams => 0x10,
        LinuxSchedulerFlag::SchedFlagUtilClampMin => 0x20,
        LinuxSchedulerFlag::SchedFlagUtilClampMax => 0x40,
    };
    let priority = from.priority().unwrap_or_default();
    Ok(Scheduler {
        policy,
        flags: from.flags().iter().flatten().map(flag).fold(0, |all, bit| all | bit),
        nice: from.nice().unwrap_or_default(),
        priority: u32::try_from(priority)
            .map_err(|_| bad("process.scheduler.priority", &format!("{priority} is negative")))?,
        runtime: from.runtime().unwrap_or_default(),
        deadline: from.deadline().unwrap_or_default(),
        period: from.period().unwrap_or_default(),
    })
}

fn io_priority(from: &oci_spec::runtime::LinuxIOPriority) -> Result<i32> {
    let class = match from.class() {
        IOPriorityClass::IoprioClassRt => 1,
        IOPriorityClass::IoprioClassBe => 2,
        IOPriorityClass::IoprioClassIdle => 3,
    };
    let level = i32::try_from(from.priority()).ok().filter(|level| (0..8).contains(level));
    let level =
        level.ok_or_else(|| bad("process.ioPriority.priority", &format!("{} is not 0 to 7", from.priority())))?;
    Ok(class << 13 | level)
}

fn memory(from: &oci_spec::runtime::LinuxMemoryPolicy) -> Result<MemoryPolicy> {
    let mode = match from.mode() {
        MemoryPolicyModeType::MpolDefault => 0,
        MemoryPolicyModeType::MpolPreferred => 1,
        MemoryPolicyModeType::MpolBind => 2,
        MemoryPolicyModeType::MpolInterleave => 3,
        MemoryPolicyModeType::MpolLocal => 4,
        MemoryPolicyModeType::MpolPreferredMany => 5,
        MemoryPolicyModeType::MpolWeightedInterleave => 6,
    };
    let flag = |flag: &MemoryPolicyFlagType| match flag {
        MemoryPolicyFlagType::MpolFNumaBalancing => 1 << 13,
        MemoryPolicyFlagType::MpolFRelativeNodes => 1 << 14,
        MemoryPolicyFlagType::MpolFStaticNodes => 1 << 15,
    };
    let flags = from.flags().iter().flatten().map(flag).fold(0, |all, bit| all | bit);
    let text = from.nodes().as_deref().unwrap_or_default();
    let nodes =
        numbers(text).ok_or_else(|| bad("linux.memoryPolicy.nodes", &format!("{text:?} is no list such as 0-3,7")))?;
    Ok(MemoryPolicy { mode: mode | flags, nodes })
}

/// `0-3,7` as numbers; None: it is no such list.
pub fn numbers(text: &str) -> Option<Vec<u32>> {
    let mut all = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
        // No machine has more nodes or processors than this.
        if last < first || last > 8191 {
            return None;
        }
        all.extend(first..=last);
    }
    Some(all)
}

/// linux.personality as personality(2) takes it.
///
/// # Errors
/// Flags: the specification defines none.
pub(super) fn personality(linux: &Linux) -> Result<Option<u64>> {
    let Some(from) = linux.personality() else { return Ok(None) };
    if from.flags().as_ref().is_some_and(|flags| !flags.is_empty()) {
        return Err(bad("linux.personality.flags", "is not supported: the specification defines no flag"));
    }
    Ok(Some(match from.domain() {
        LinuxPersonalityDomain::PerLinux => 0,
        LinuxPersonalityDomain::PerLinux32 => 8,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_numbers_are_read_as_the_kernel_writes_them() {
        assert_eq!(numbers("0-3,7"), Some(vec![0, 1, 2, 3, 7]));
        assert_eq!(numbers(""), Some(Vec::new()));
        for bad in ["3-0", "a", "1-", "-1", "0-4294967295"] {
            assert_eq!(numbers(bad), None, "{bad}");
        }
    }
}
