//! Limits in the terms of cgroup2, from `linux.resources`.
//!
//! Owns the conversions from the specification's terms, which are cgroup v1's: shares to weights, memory and swap together to swap
//! alone. What has no meaning in cgroup2 is refused by its field's name. The surprise: rules for devices are passed over, because
//! nobody can make a device node in a user namespace; every runtime's config.json denies them all first.

use std::collections::BTreeMap;

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources};
use serde::Serialize;

use crate::error::Result;
use crate::plan::unsupported::bad;

/// `max` in the files of cgroup2, infinity in systemd's properties.
pub const MAX: u64 = u64::MAX;

/// Limits; None is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// memory.max
    pub memory: Option<u64>,
    /// memory.swap.max
    pub swap: Option<u64>,
    /// memory.low
    pub memory_low: Option<u64>,
    /// cpu.max: quota, or MAX, in each period.
    pub cpu: Option<(u64, u64)>,
    /// cpu.weight
    pub cpu_weight: Option<u64>,
    /// cpuset.cpus
    pub cpus: Option<String>,
    /// cpuset.mems
    pub mems: Option<String>,
    /// pids.max
    pub pids: Option<u64>,
    /// io.weight
    pub io_weight: Option<u64>,
    /// io.max: by `MAJOR:MINOR`, `rbps=1048576 wiops=max`.
    pub io: BTreeMap<String, String>,
    /// io.weight of single devices, by `MAJOR:MINOR`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub io_weights: BTreeMap<String, u64>,
    /// hugetlb.SIZE.max, by size: `2MB`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub huge_pages: BTreeMap<String, u64>,
    /// rdma.max, by device: `hca_handle=2 hca_object=max`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rdma: BTreeMap<String, String>,
    /// Files of cgroup2 by their names (`linux.resources.unified`).
    pub unified: BTreeMap<String, String>,
}

impl Limits {
    /// The files of cgroup2 and what is written into them, in an order in which no write is refused for an earlier one.
    pub fn files(&self) -> Vec<(String, String)> {
        let number = |value: u64| if value == MAX { "max".to_owned() } else { value.to_string() };
        let mut files: Vec<(String, String)> = Vec::new();
        let mut add = |name: &str, value: Option<String>| files.extend(value.map(|value| (name.to_owned(), value)));
        add("memory.max", self.memory.map(number));
        add("memory.swap.max", self.swap.map(number));
        add("memory.low", self.memory_low.map(number));
        add("cpu.max", self.cpu.map(|(quota, period)| format!("{} {period}", number(quota))));
        add("cpu.weight", self.cpu_weight.map(number));
        add("cpuset.mems", self.mems.clone());
        add("cpuset.cpus", self.cpus.clone());
        add("pids.max", self.pids.map(number));
        add("io.weight", self.io_weight.map(number));
        let weights = self.io_weights.iter();
        files.extend(weights.map(|(device, weight)| ("io.weight".to_owned(), format!("{device} {weight}"))));
        for (size, most) in &self.huge_pages {
            // What is reserved (Linux 5.7), too: what is only used kills with SIGBUS instead of refusing.
            files.push((format!("hugetlb.{size}.rsvd.max"), number(*most)));
            files.push((format!("hugetlb.{size}.max"), number(*most)));
        }
        files.extend(self.rdma.iter().map(|(device, words)| ("rdma.max".to_owned(), format!("{device} {words}"))));
        files.extend(self.io.iter().map(|(device, words)| ("io.max".to_owned(), format!("{device} {words}"))));
        files.extend(self.unified.iter().map(|(file, value)| (file.clone(), value.clone())));
        files
    }

    /// Which controllers that takes, in the kernel's order.
    pub fn controllers(&self) -> Vec<&'static str> {
        let files = self.files();
        let needs = |controller: &str| files.iter().any(|(file, _)| file.split('.').next() == Some(controller));
        ["cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc"]
            .into_iter()
            .filter(|one| needs(one))
            .collect()
    }
}

/// The limits of `linux.resources`.
///
/// # Errors
/// What cgroup2 can't limit, by its field's name.
pub fn limits(resources: &LinuxResources) -> Result<Limits> {
    let mut limits = Limits::default();
    if let Some(memory) = resources.memory() {
        self::memory(memory, &mut limits)?;
    }
    if let Some(cpu) = resources.cpu() {
        self::cpu(cpu, &mut limits)?;
    }
    limits.pids = resources.pids().as_ref().map(|pids| maximum(pids.limit()));
    if let Some(io) = resources.block_io() {
        block_io(io, &mut limits)?;
    }
    refuse("linux.resources", &[("network", resources.network().is_some())])?;
    huge_pages(resources, &mut limits)?;
    rdma(resources, &mut limits)?;
    for (file, value) in resources.unified().iter().flatten() {
        let plain =
            |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if !plain(file) || !file.contains('.') || file.starts_with("cgroup.") {
            return Err(bad("linux.resources.unified", &format!("has {file:?}, which is no file of a controller")));
        }
        limits.unified.insert(file.clone(), value.clone());
    }
    Ok(limits)
}

fn huge_pages(resources: &LinuxResources, limits: &mut Limits) -> Result<()> {
    for (index, one) in resources.hugepage_limits().iter().flatten().enumerate() {
        let size = one.page_size();
        let number = size.strip_suffix("KB").or_else(|| size.strip_suffix("MB")).or_else(|| size.strip_suffix("GB"));
        let is_size = |text: &str| !text.starts_with('0') && text.parse::<u32>().is_ok();
        if !number.is_some_and(is_size) {
            let field = format!("linux.resources.hugepageLimits[{index}].pageSize");
            return Err(bad(&field, &format!("{size:?} is no size such as 64KB, 2MB or 1GB")));
        }
        limits.huge_pages.insert(size.clone(), u64::try_from(one.limit()).unwrap_or(MAX));
    }
    Ok(())
}

fn rdma(resources: &LinuxResources, limits: &mut Limits) -> Result<()> {
    for (device, most) in resources.rdma().iter().flatten() {
        if device.is_empty() || device.contains(char::is_whitespace) {
            return Err(bad("linux.resources.rdma", &format!("has {device:?}, which is no device")));
        }
        let word = |key: &str, value: Option<u32>| value.map(|value| format!("{key}={value}"));
        let words = [word("hca_handle", most.hca_handles()), word("hca_object", most.hca_objects())];
        let words: Vec<_> = words.into_iter().flatten().collect();
        if !words.is_empty() {
            limits.rdma.insert(device.clone(), words.join(" "));
        }
    }
    Ok(())
}

fn refuse(field: &str, refused: &[(&str, bool)]) -> Result<()> {
    match refused.iter().find(|(_, set)| *set) {
        Some((name, _)) => Err(bad(&format!("{field}.{name}"), "can't be limited with cgroup2")),
        None => Ok(()),
    }
}

/// Negative and 0 are the runtime specification's words for no limit.
fn maximum(value: i64) -> u64 {
    u64::try_from(value).ok().filter(|value| *value > 0).unwrap_or(MAX)
}

fn memory(memory: &LinuxMemory, limits: &mut Limits) -> Result<()> {
    refuse(
        "linux.resources.memory",
        &[
            ("kernel", memory.kernel().is_some_and(|limit| limit > 0)),
            ("kernelTCP", memory.kernel_tcp().is_some()),
            ("swappiness", memory.swappiness().is_some()),
            ("disableOOMKiller", memory.disable_oom_killer() == Some(true)),
        ],
    )?;
    limits.memory = memory.limit().map(maximum);
    limits.memory_low = memory.reservation().map(maximum);
    limits.swap = match (memory.swap(), memory.limit()) {
        (None | Some(0), _) => None,
        (Some(..0), _) => Some(MAX),
        (Some(swap), Some(limit)) if limit > 0 => {
            let above = u64::try_from(swap.saturating_sub(limit));
            Some(
                above
                    .map_err(|_| bad("linux.resources.memory.swap", "is less than memory.limit, which it includes"))?,
            )
        }
        (Some(_), _) => return Err(bad("linux.resources.memory.swap", "includes memory, and memory.limit is missing")),
    };
    Ok(())
}

fn cpu(cpu: &LinuxCpu, limits: &mut Limits) -> Result<()> {
    refuse(
        "linux.resources.cpu",
        &[
            ("realtimeRuntime", cpu.realtime_runtime().is_some_and(|value| value != 0)),
            ("realtimePeriod", cpu.realtime_period().is_some_and(|value| value != 0)),
        ],
    )?;
    let period = cpu.period().filter(|period| *period != 0);
    limits.cpu = match (cpu.quota().filter(|quota| *quota != 0), period) {
        (None, None) => None,
        (quota, period) => Some((quota.map_or(MAX, maximum), period.unwrap_or(100_000))),
    };
    limits.cpu_weight = cpu.shares().filter(|shares| *shares != 0).map(cpu_weight);
    let listed = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    (limits.cpus, limits.mems) = (listed(cpu.cpus()), listed(cpu.mems()));
    if let Some(idle) = cpu.idle() {
        limits.unified.insert("cpu.idle".into(), idle.to_string());
    }
    if let Some(burst) = cpu.burst() {
        limits.unified.insert("cpu.max.burst".into(), burst.to_string());
    }
    Ok(())
}

/// crun's and runc's: 2..262144 lie linearly on 1..10000.
fn cpu_weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

/// The same for io: 10..1000 on 1..10000.
fn io_weight(weight: u16) -> u64 {
    1 + (u64::from(weight.clamp(10, 1000)) - 10) * 9999 / 990
}

fn block_io(io: &LinuxBlockIo, limits: &mut Limits) -> Result<()> {
    let weights = || io.weight_device().iter().flatten();
    refuse(
        "linux.resources.blockIO",
        &[
            ("leafWeight", io.leaf_weight().is_some_and(|weight| weight != 0)),
            ("weightDevice.leafWeight", weights().any(|one| one.leaf_weight().is_some_and(|weight| weight != 0))),
        ],
    )?;
    limits.io_weight = io.weight().filter(|weight| *weight != 0).map(io_weight);
    for one in weights() {
        if let Some(weight) = one.weight().filter(|weight| *weight != 0) {
            limits.io_weights.insert(format!("{}:{}", one.major(), one.minor()), io_weight(weight));
        }
    }
    let kinds = [
        ("rbps", io.throttle_read_bps_device()),
        ("wbps", io.throttle_write_bps_device()),
        ("riops", io.throttle_read_iops_device()),
        ("wiops", io.throttle_write_iops_device()),
    ];
    for (key, list) in kinds {
        for device in list.iter().flatten() {
            let words = limits.io.entry(format!("{}:{}", device.major(), device.minor())).or_default();
            let rate = if device.rate() == 0 { "max".to_owned() } else { device.rate().to_string() };
            *words = format!("{words} {key}={rate}").trim_start().to_owned();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Result<Limits> {
        limits(&serde_json::from_str(json).expect(json))
    }

    fn written(json: &str) -> Vec<(String, String)> {
        of(json).expect(json).files()
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(file, value)| ((*file).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn memory_and_swap_together_become_swap_alone() {
        assert_eq!(
            written(r#"{"memory": {"limit": 67108864, "swap": 134217728}}"#),
            pairs(&[("memory.max", "67108864"), ("memory.swap.max", "67108864")])
        );
        assert_eq!(
            written(r#"{"memory": {"limit": -1, "swap": -1}}"#),
            pairs(&[("memory.max", "max"), ("memory.swap.max", "max")])
        );
        assert!(of(r#"{"memory": {"limit": 10, "swap": 9}}"#).is_err());
        assert!(of(r#"{"memory": {"swap": 9}}"#).is_err());
    }

    #[test]
    fn shares_lie_on_weights_as_cruns_do() {
        for (shares, weight) in [(2, 1), (1024, 39), (2048, 79), (262_144, 10_000)] {
            assert_eq!(cpu_weight(shares), weight, "{shares}");
        }
        for (own, weight) in [(10, 1), (500, 4950), (1000, 10_000)] {
            assert_eq!(io_weight(own), weight, "{own}");
        }
    }

    #[test]
    fn a_quota_has_a_period_and_a_device_one_line() {
        assert_eq!(written(r#"{"cpu": {"quota": 50000}}"#), pairs(&[("cpu.max", "50000 100000")]));
        assert_eq!(written(r#"{"cpu": {"quota": -1, "period": 5000}}"#), pairs(&[("cpu.max", "max 5000")]));
        let io = r#"{"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1024}],
            "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 10}]}}"#;
        assert_eq!(written(io), pairs(&[("io.max", "8:0 rbps=1024 wiops=10")]));
    }

    #[test]
    fn huge_pages_rdma_and_weights_of_devices_have_files_of_their_own() {
        let pages = r#"{"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]}"#;
        let both = [("hugetlb.2MB.rsvd.max", "4194304"), ("hugetlb.2MB.max", "4194304")];
        assert_eq!(written(pages), pairs(&both));
        assert_eq!(of(pages).expect("limits").controllers(), ["hugetlb"]);
        let rdma = r#"{"rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}, "mlx4_0": {"hcaObjects": 1}}}"#;
        let lines = [("rdma.max", "mlx4_0 hca_object=1"), ("rdma.max", "mlx5_1 hca_handle=3 hca_object=10000")];
        assert_eq!(written(rdma), pairs(&lines));
        let weights = r#"{"blockIO": {"weight": 10, "weightDevice": [{"major": 8, "minor": 0, "weight": 1000}]}}"#;
        assert_eq!(written(weights), pairs(&[("io.weight", "1"), ("io.weight", "8:0 10000")]));
        for size in ["2", "MB", "02MB", "2mb", "../xMB", "-1MB", ""] {
            let json = format!(r#"{{"hugepageLimits": [{{"pageSize": "{size}", "limit": 1}}]}}"#);
            assert!(of(&json).is_err(), "{size}");
        }
        assert!(of(r#"{"rdma": {"a b": {"hcaHandles": 3}}}"#).is_err());
        assert!(of(r#"{"memory": {"kernel": 5}}"#).is_err());
    }

    #[test]
    fn a_file_that_is_no_controllers_is_refused() {
        assert_eq!(written(r#"{"unified": {"memory.high": "1"}}"#), pairs(&[("memory.high", "1")]));
        for file in ["../x.y", "cgroup.procs", "memory", "a/b.c", ""] {
            assert!(of(&format!(r#"{{"unified": {{"{file}": "1"}}}}"#)).is_err(), "{file}");
        }
    }

    #[test]
    fn the_controllers_are_those_of_the_files() {
        let limits = of(r#"{"memory": {"limit": 1}, "pids": {"limit": 5}, "cpu": {"cpus": "0"}}"#).expect("limits");
        assert_eq!(limits.controllers(), ["cpuset", "memory", "pids"]);
    }
}
