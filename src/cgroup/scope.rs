//! Scopes: asked of systemd in one call, and waited for.
//!
//! Owns which manager is asked and how limits are called there. The surprise: the private socket is tried first, because with a bus
//! between connecting alone takes longer than the whole call.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use nix::unistd::Pid;
use zbus::{OwnedObjectPath, OwnedVariant, Variant};

use super::dbus::{self, Failure, Peer, Target};
use crate::error::{Context, Error, Result, catalog::cgroup as codes};
use crate::host::Caller;
use crate::plan::cgroup::{CgroupPlan, Limits, MAX};

const MANAGER: Target<'static> = Target {
    name: "org.freedesktop.systemd1",
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
};

/// From SIGTERM to SIGKILL when the manager ends: with systemd's 90 s a container that ignores SIGTERM would keep its user's next login
/// waiting.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A manager and the ways to it.
#[derive(Debug)]
pub struct Manager {
    uid: u32,
    /// Peer to peer: no bus between, and six milliseconds to connect.
    private: PathBuf,
    bus: PathBuf,
}

/// What helpers of a container in the background may need beside it.
const HELPERS_MEMORY: u64 = 64 << 20;
const HELPERS_PROCESSES: u64 = 32;

type Property<'a> = (&'static str, Variant<'a>);

/// JobRemoved: number, job, unit, result.
type Removed = (u32, OwnedObjectPath, String, String);

impl Manager {
    /// The user's own, or the machine's for root; None where none runs.
    pub(super) fn find() -> Option<Self> {
        let caller = Caller::read().ok()?;
        let uid = caller.uid_map.outside(caller.uid)?;
        if uid == 0 {
            let manager =
                Self { uid, private: "/run/systemd/private".into(), bus: "/run/dbus/system_bus_socket".into() };
            return manager.private.exists().then_some(manager);
        }
        let own = |dir: &PathBuf| std::fs::metadata(dir).is_ok_and(|meta| meta.uid() == caller.uid);
        let given = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        // Without PAM the variable is missing, although the manager may well run (linger).
        let dirs = given.into_iter().chain([PathBuf::from(format!("/run/user/{uid}"))]);
        dirs.filter(own)
            .map(|dir| Self { uid, private: dir.join("systemd/private"), bus: dir.join("bus") })
            .find(|manager| manager.private.exists() || manager.bus.exists())
    }

    /// Whose it is, outside of all namespaces.
    pub(super) fn uid(&self) -> u32 {
        self.uid
    }

    /// Whether a unit that runs has `Delegate=yes`.
    pub(super) fn delegates(&self, unit: &str) -> bool {
        let asked = || -> Option<bool> {
            let mut peer = self.connect().ok()?;
            let path: OwnedObjectPath = peer.query(&MANAGER, "GetUnit", "s", &unit).ok()?;
            let kind = if unit.ends_with(".scope") { "Scope" } else { "Service" };
            let properties = Target { path: path.as_str(), interface: "org.freedesktop.DBus.Properties", ..MANAGER };
            let interface = format!("{}.{kind}", MANAGER.name);
            let value: OwnedVariant = peer.query(&properties, "Get", "ss", &(interface.as_str(), "Delegate")).ok()?;
            Some(matches!(&*value, Variant::Bool(true)))
        };
        asked().unwrap_or(false)
    }

    /// Only the system's manager knows machine.slice; a user's own has user.slice from the first unit in it.
    fn slice(&self) -> &'static str {
        if self.uid == 0 { "machine.slice" } else { "user.slice" }
    }

    fn connect(&self) -> Result<Peer> {
        if let Ok(peer) = Peer::private(&self.private, self.uid) {
            return Ok(peer);
        }
        let by_bus = || -> std::result::Result<Peer, Failure> {
            let mut peer = Peer::bus(&self.bus, self.uid)?;
            // Over a bus signals are sent only to who has asked for them; the private socket gets all.
            peer.call(&MANAGER, "Subscribe", "", &())?;
            let rule = format!("type='signal',interface='{}',member='JobRemoved'", MANAGER.interface);
            peer.call(&dbus::DAEMON, "AddMatch", "s", &rule)?;
            Ok(peer)
        };
        by_bus().context(&codes::NO_BUS, || format!("connect to {} or {}", self.private.display(), self.bus.display()))
    }
}

/// Starts a scope with these processes in it; afterwards they have been moved.
pub(super) fn start(manager: &Manager, plan: &CgroupPlan, unit: &str, pids: &[Pid]) -> Result<()> {
    let slice = plan.parent.as_deref().unwrap_or(manager.slice());
    let mut properties = limits(&plan.limits, plan.supervised);
    properties.push(("Delegate", true.into()));
    transient(manager, unit, (&plan.description, slice), pids, properties)
}

/// The same for a process that is no container's.
pub(super) fn plain(manager: &Manager, unit: &str, description: &str, pid: Pid) -> Result<()> {
    transient(manager, unit, (description, manager.slice()), &[pid], Vec::new())
}

fn transient(
    manager: &Manager,
    unit: &str,
    (description, slice): (&str, &str),
    pids: &[Pid],
    more: Vec<Property<'_>>,
) -> Result<()> {
    let doing = || format!("start {unit}");
    let processes: Vec<_> = pids.iter().map(|pid| pid.as_raw().cast_unsigned()).collect();
    let micros = u64::try_from(STOP_TIMEOUT.as_micros()).unwrap_or(MAX);
    let mut properties: Vec<Property<'_>> = vec![
        ("Description", description.into()),
        ("Slice", slice.into()),
        ("PIDs", processes.into()),
        ("TimeoutStopUSec", micros.into()),
        // A scope that has failed is forgotten too: its name and its directory go.
        ("CollectMode", "inactive-or-failed".into()),
    ];
    properties.extend(more);
    let none: Vec<(&str, Vec<Property<'_>>)> = Vec::new();
    let mut peer = manager.connect()?;
    let body = (unit, "fail", properties, none);
    let mut asked: Result<OwnedObjectPath, Failure> =
        peer.query(&MANAGER, "StartTransientUnit", "ssa(sv)a(sa(sv))", &body);
    for _ in 0..3 {
        // Of an attempt a moment ago, on its way out: systemd is told to see to it now.
        if !matches!(&asked, Err(Failure::Refused(words)) if words.contains("already")) {
            break;
        }
        if let Ok(stopped) = peer.query::<_, OwnedObjectPath>(&MANAGER, "StopUnit", "ss", &(unit, "replace")) {
            peer.wait_for("JobRemoved", |(_, done, _, _): Removed| (done == stopped).then_some(()))
                .context(&codes::SCOPE, doing)?;
        }
        asked = peer.query(&MANAGER, "StartTransientUnit", "ssa(sv)a(sa(sv))", &body);
    }
    let job = asked.context(&codes::SCOPE, doing)?;
    let of_ours = |(_, done, _, result): Removed| (done == job).then_some(result);
    let result = peer.wait_for("JobRemoved", of_ours).context(&codes::SCOPE, doing)?;
    match result.as_str() {
        "done" => Ok(()),
        other => Err(Error::new(&codes::SCOPE, doing()).because(format!("the job ended with {other}"))),
    }
}

/// Other limits for a scope that runs, until it ends.
pub(super) fn update(manager: &Manager, unit: &str, changed: &Limits, supervised: bool) -> Result<()> {
    let properties = limits(changed, supervised);
    if properties.is_empty() {
        return Ok(());
    }
    let doing = || format!("change the limits of {unit}");
    let mut peer = manager.connect()?;
    peer.call(&MANAGER, "SetUnitProperties", "sba(sv)", &(unit, true, properties)).context(&codes::SCOPE, doing)
}

/// Moves a process into a group of a scope that runs.
pub(super) fn admit(manager: &Manager, unit: &str, below: &str, pid: Pid) -> Result<()> {
    let doing = || format!("move pid {pid} into {unit}");
    let processes = vec![u32::try_from(pid.as_raw()).context(&codes::SCOPE, doing)?];
    let mut peer = manager.connect()?;
    peer.call(&MANAGER, "AttachProcessesToUnit", "ssau", &(unit, below, processes)).context(&codes::SCOPE, doing)
}

/// systemd.resource-control(5). Rates of single devices and files that systemd has no word for are set in the container's group alone.
/// The supervisor and the network's helper are in the scope beside the container's group, so there it is a little more.
fn limits(limits: &Limits, supervised: bool) -> Vec<Property<'static>> {
    let mut all: Vec<Property<'static>> = Vec::new();
    let and =
        |value: Option<u64>, more: u64| value.map(|value| if supervised { value.saturating_add(more) } else { value });
    let numbers = [
        ("MemoryMax", and(limits.memory, HELPERS_MEMORY)),
        ("MemorySwapMax", limits.swap),
        ("MemoryLow", limits.memory_low),
        ("CPUWeight", limits.cpu_weight),
        ("TasksMax", and(limits.pids, HELPERS_PROCESSES)),
    ];
    all.extend(numbers.into_iter().filter_map(|(name, value)| Some((name, value?.into()))));
    if let Some((quota, period)) = limits.cpu {
        let second = if quota == MAX { MAX } else { quota.saturating_mul(1_000_000) / period.max(1) };
        all.push(("CPUQuotaPerSecUSec", second.into()));
        all.push(("CPUQuotaPeriodUSec", period.into()));
    }
    let masks = [("AllowedCPUs", &limits.cpus), ("AllowedMemoryNodes", &limits.mems)];
    all.extend(masks.into_iter().filter_map(|(name, list)| Some((name, mask(list.as_deref()?)?.into()))));
    all
}

/// `0-2,5` as systemd's mask: bytes, lowest numbers first.
fn mask(list: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for part in list.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        for number in first..=last.min(8191) {
            if bytes.len() <= number / 8 {
                bytes.resize(number / 8 + 1, 0);
            }
            bytes[number / 8] |= 1 << (number % 8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_cpus_is_a_mask() {
        assert_eq!(mask("0-2,5"), Some(vec![0b10_0111]));
        assert_eq!(mask("9"), Some(vec![0, 2]));
        assert_eq!(mask("x"), None);
    }

    #[test]
    fn limits_are_systemds_properties() {
        let words = |given: &Limits| format!("{:?}", limits(given, false));
        let half = Limits { cpu: Some((50_000, 100_000)), memory: Some(64 << 20), ..Limits::default() };
        let text = words(&half);
        for part in ["MemoryMax", "67108864", "CPUQuotaPerSecUSec", "500000"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(limits(&Limits::default(), true).is_empty());
    }
}
