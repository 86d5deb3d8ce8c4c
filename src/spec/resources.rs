//! Limits of a container's control group, in docker's terms, and where that group is to be.
//!
//! Owns [`Resources`] and [`Cgroups`], and saying the former as the specification's `linux.resources`. Pure. The surprise: docker's
//! --memory-swap is memory and swap together, and without it swap may be as much as memory again.

use std::collections::{BTreeMap, HashMap};

use oci_spec::runtime::{
    LinuxBlockIoBuilder, LinuxCpuBuilder, LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder,
    LinuxThrottleDevice, LinuxThrottleDeviceBuilder,
};
use serde::{Deserialize, Serialize};

use super::made;
use crate::error::Result;

/// What was asked for; what is None or empty is not limited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// `--memory`, bytes.
    pub memory: Option<i64>,
    /// `--memory-swap`: memory and swap together, -1: as much swap as there is.
    pub memory_swap: Option<i64>,
    /// `--memory-reservation`, bytes.
    pub memory_reservation: Option<i64>,
    /// `--cpu-quota`, or `--cpus` times the period: microseconds in each period.
    pub cpu_quota: Option<i64>,
    /// `--cpu-period`, microseconds.
    pub cpu_period: Option<u64>,
    /// `--cpu-shares`, 2 to 262144, 1024 is the ordinary.
    pub cpu_shares: Option<u64>,
    /// `--cpuset-cpus`.
    pub cpuset_cpus: Option<String>,
    /// `--cpuset-mems`.
    pub cpuset_mems: Option<String>,
    /// `--pids-limit`.
    pub pids: Option<i64>,
    /// `--blkio-weight`, 10 to 1000.
    pub blkio_weight: Option<u16>,
    /// `--device-read-bps` and its siblings.
    pub devices: Vec<DeviceRate>,
    /// `--cgroup-conf`: files of cgroup2 by their names.
    pub unified: BTreeMap<String, String>,
}

/// One limit of one block device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRate {
    /// Major and minor number.
    pub device: (i64, i64),
    /// What is limited.
    pub kind: RateKind,
    /// Bytes or operations a second.
    pub rate: u64,
}

/// What `--device-*` limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RateKind {
    /// `--device-read-bps`
    ReadBytes,
    /// `--device-write-bps`
    WriteBytes,
    /// `--device-read-iops`
    ReadOperations,
    /// `--device-write-iops`
    WriteOperations,
}

/// `--cgroups`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// A group where a limit or a detached container needs one.
    #[default]
    Auto,
    /// Always a group.
    Enabled,
    /// Never.
    Disabled,
    /// Below the caller's own group, never a scope.
    Split,
}

/// What a group may be made as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    /// A scope, or a directory where the caller's own group is theirs to divide.
    #[default]
    Any,
    /// An engine has said cgroupfs: a directory where the path says, but for a path that names a scope.
    Directory,
    /// An engine has said systemd.
    Scope,
}

/// `--logout`: what a container in the background does at its user's last logout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Logout {
    /// It ends with the user's systemd.
    Stop,
    /// It goes on.
    Keep,
}

/// Where the container's group is, and whose it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cgroups {
    /// `--cgroups`.
    pub mode: Mode,
    /// `--cgroup-parent`: a slice, or a directory below the caller's own group.
    pub parent: Option<String>,
    /// The container may make groups of its own below it (`--systemd=true`, `--security-opt unmask=/sys/fs/cgroup`).
    pub delegated: bool,
    /// It goes on without the `rl` that has started it.
    pub detached: bool,
    /// `--cgroup-manager` of `rl oci`.
    pub way: Way,
    /// `--logout`; None: whatever happens.
    pub logout: Option<Logout>,
}

impl Resources {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// With what `rl update` changes.
    #[must_use]
    pub fn changed(self, new: Self) -> Self {
        let mut devices = self.devices;
        devices.retain(|old| !new.devices.iter().any(|one| (one.device, one.kind) == (old.device, old.kind)));
        devices.extend(new.devices);
        // Twice the memory follows the memory, unless it was said otherwise.
        Self {
            memory: new.memory.or(self.memory),
            memory_swap: new.memory_swap.or(self.memory_swap),
            memory_reservation: new.memory_reservation.or(self.memory_reservation),
            cpu_quota: new.cpu_quota.or(self.cpu_quota),
            cpu_period: new.cpu_period.or(self.cpu_period.filter(|_| new.cpu_quota.is_none())),
            cpu_shares: new.cpu_shares.or(self.cpu_shares),
            cpuset_cpus: new.cpuset_cpus.or(self.cpuset_cpus),
            cpuset_mems: new.cpuset_mems.or(self.cpuset_mems),
            pids: new.pids.or(self.pids),
            blkio_weight: new.blkio_weight.or(self.blkio_weight),
            devices,
            unified: self.unified.into_iter().chain(new.unified).collect(),
        }
    }

    /// `linux.resources`; None where nothing is limited.
    ///
    /// # Errors
    /// None but the builders' own.
    pub fn document(&self) -> Result<Option<LinuxResources>> {
        if self.is_empty() {
            return Ok(None);
        }
        let mut builder = LinuxResourcesBuilder::default();
        if self.memory.or(self.memory_reservation).is_some() {
            builder = builder.memory(self.memory()?);
        }
        if self.cpu_quota.is_some()
            || self.cpu_shares.is_some()
            || self.cpuset_cpus.is_some()
            || self.cpuset_mems.is_some()
        {
            builder = builder.cpu(self.cpu()?);
        }
        if let Some(limit) = self.pids {
            builder = builder.pids(made(LinuxPidsBuilder::default().limit(limit).build())?);
        }
        if self.blkio_weight.is_some() || !self.devices.is_empty() {
            builder = builder.block_io(self.block_io()?);
        }
        if !self.unified.is_empty() {
            builder = builder.unified(self.unified.clone().into_iter().collect::<HashMap<_, _>>());
        }
        made(builder.build()).map(Some)
    }

    fn memory(&self) -> Result<oci_spec::runtime::LinuxMemory> {
        let mut memory = LinuxMemoryBuilder::default();
        if let Some(limit) = self.memory {
            memory = memory.limit(limit).swap(self.memory_swap.unwrap_or_else(|| limit.saturating_mul(2)));
        }
        if let Some(reservation) = self.memory_reservation {
            memory = memory.reservation(reservation);
        }
        made(memory.build())
    }

    fn cpu(&self) -> Result<oci_spec::runtime::LinuxCpu> {
        let mut cpu = LinuxCpuBuilder::default();
        if let Some(quota) = self.cpu_quota {
            cpu = cpu.quota(quota).period(self.cpu_period.unwrap_or(100_000));
        }
        if let Some(shares) = self.cpu_shares {
            cpu = cpu.shares(shares);
        }
        if let Some(cpus) = &self.cpuset_cpus {
            cpu = cpu.cpus(cpus);
        }
        if let Some(mems) = &self.cpuset_mems {
            cpu = cpu.mems(mems);
        }
        made(cpu.build())
    }

    fn block_io(&self) -> Result<oci_spec::runtime::LinuxBlockIo> {
        let mut io = LinuxBlockIoBuilder::default();
        if let Some(weight) = self.blkio_weight {
            io = io.weight(weight);
        }
        let of = |kind| -> Result<Vec<LinuxThrottleDevice>> {
            let fitting = self.devices.iter().filter(|one| one.kind == kind);
            fitting
                .map(|one| {
                    let (major, minor) = one.device;
                    made(LinuxThrottleDeviceBuilder::default().major(major).minor(minor).rate(one.rate).build())
                })
                .collect()
        };
        made(
            io.throttle_read_bps_device(of(RateKind::ReadBytes)?)
                .throttle_write_bps_device(of(RateKind::WriteBytes)?)
                .throttle_read_iops_device(of(RateKind::ReadOperations)?)
                .throttle_write_iops_device(of(RateKind::WriteOperations)?)
                .build(),
        )
    }
}
