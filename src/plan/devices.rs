//! Device nodes: the six that every container has, and linux.devices.
//!
//! Pure. The surprise: in a user namespace no node can be made at all, so there the host's own node is bound; but root of the machine
//! gets nodes of its own, because chmod in a container must not change the host's /dev/null.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{Linux, LinuxDeviceType};
use serde::{Deserialize, Serialize};

use super::unsupported::{bad, checked_path};
use super::{Attributes, Propagation, Step};
use crate::error::Result;

/// What kind of node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceKind {
    /// c
    Character,
    /// b
    Block,
    /// p
    Fifo,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Container path; the host's node is looked for at the same one.
    pub path: PathBuf,
    /// Its kind.
    pub kind: DeviceKind,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// Owner in the container.
    pub uid: u32,
    /// Group in the container.
    pub gid: u32,
}

/// Name, minor, major of the nodes that every container has (config-linux.md, Default Devices).
const DEFAULT: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

const LINKS: [(&str, &str); 6] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/core", "/proc/kcore"),
    ("/dev/ptmx", "pts/ptmx"),
];

/// What follows the mount on /dev. `listed` nodes come later, by themselves. `make`: nodes of the container's own are tried.
pub(super) fn defaults(listed: &[Device], make: bool, steps: &mut Vec<Step>) {
    let attributes = Attributes { nosuid: true, noexec: true, ..Attributes::default() };
    for (name, major, minor) in DEFAULT {
        let path = Path::new("/dev").join(name);
        if listed.iter().any(|device| device.path == path) {
            continue;
        }
        steps.push(if make {
            Step::Device(Device { path, kind: DeviceKind::Character, major, minor, mode: 0o666, uid: 0, gid: 0 })
        } else {
            Step::Bind {
                source: path.clone(),
                target: path,
                recursive: false,
                attributes,
                deep: Attributes::default(),
                propagation: Propagation::Private,
                copy: false,
                owner: None,
                beneath: None,
                idmap: None,
                device: true,
            }
        });
    }
    steps.extend(LINKS.iter().map(|(target, to)| Step::Symlink { target: target.into(), to: (*to).to_owned() }));
}

/// linux.devices.
pub(super) fn listed(linux: &Linux) -> Result<Vec<Device>> {
    let devices = linux.devices().as_deref().unwrap_or_default();
    devices.iter().enumerate().map(|(index, device)| one(&format!("linux.devices[{index}]"), device)).collect()
}

fn one(field: &str, device: &oci_spec::runtime::LinuxDevice) -> Result<Device> {
    let number = |name: &str, number: i64| {
        u32::try_from(number).map_err(|_| bad(&format!("{field}.{name}"), &format!("{number} is no device number")))
    };
    let kind = match device.typ() {
        LinuxDeviceType::C | LinuxDeviceType::U => DeviceKind::Character,
        LinuxDeviceType::B => DeviceKind::Block,
        LinuxDeviceType::P => DeviceKind::Fifo,
        LinuxDeviceType::A => return Err(bad(&format!("{field}.type"), "\"a\" is for linux.resources.devices only")),
    };
    let (major, minor) = if kind == DeviceKind::Fifo {
        (0, 0)
    } else {
        (number("major", device.major())?, number("minor", device.minor())?)
    };
    Ok(Device {
        path: checked_path(&format!("{field}.path"), device.path())?,
        kind,
        major,
        minor,
        mode: device.file_mode().unwrap_or(0o666) & 0o7777,
        uid: device.uid().unwrap_or(0),
        gid: device.gid().unwrap_or(0),
    })
}
