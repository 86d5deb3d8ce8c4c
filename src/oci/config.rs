//! `spec [--rootless]`: a config.json that runs, to be edited.
//!
//! As runc's, with a shell of the root file system beside it. The surprise: with `--rootless` it names the caller's one id, because
//! that is what every other runtime can do as well; `rl oci` itself needs no mapping there, and without one maps all that the caller has.

use std::path::Path;

use oci_spec::runtime::Spec;
use serde_json::{Value, json};

use crate::error::{Context, Result, catalog::state};
use crate::host::Caller;

const VERSION: &str = "1.2.0";

/// The document.
///
/// # Errors
/// None that input can cause.
pub fn document(caller: &Caller, rootless: bool) -> Result<Value> {
    let capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
    let mut kinds = vec!["pid", "network", "ipc", "uts", "mount", "cgroup"];
    let mut linux = json!({
        "maskedPaths": [
            "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
            "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/sys/devices/virtual/powercap", "/proc/scsi",
        ],
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    });
    if rootless {
        kinds.push("user");
        let map = |id: u32| json!([{ "containerID": 0, "hostID": id, "size": 1 }]);
        linux["uidMappings"] = map(caller.uid);
        linux["gidMappings"] = map(caller.gid);
    } else {
        linux["resources"] = json!({ "devices": [{ "allow": false, "access": "rwm" }] });
    }
    linux["namespaces"] = kinds.iter().map(|kind| json!({ "type": kind })).collect();
    let document = json!({
        "ociVersion": VERSION,
        "process": {
            "terminal": true,
            "user": { "uid": 0, "gid": 0 },
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": { "bounding": capabilities, "effective": capabilities, "permitted": capabilities },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
            "noNewPrivileges": true,
        },
        "root": { "path": "rootfs", "readonly": true },
        "hostname": "rl",
        "mounts": mounts(!rootless && caller.gid_map.outside(5).is_some()),
        "linux": linux,
    });
    // What the types do not know would be a slip of this table.
    let _: Spec =
        serde_json::from_value(document.clone()).context(&state::INTERNAL, || "read the own config".into())?;
    Ok(document)
}

/// `group`: there is a group 5, tty, to which terminals can belong.
fn mounts(group: bool) -> Value {
    let mount = |kind: &str, target: &str, options: &[&str]| json!({ "destination": target, "type": kind, "source": kind, "options": options });
    let mut pts = vec!["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
    if group {
        pts.push("gid=5");
    }
    let mut list = vec![
        mount("proc", "/proc", &[]),
        mount("tmpfs", "/dev", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("devpts", "/dev/pts", &pts),
        mount("tmpfs", "/dev/shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        mount("mqueue", "/dev/mqueue", &["nosuid", "noexec", "nodev"]),
        mount("sysfs", "/sys", &["nosuid", "noexec", "nodev", "ro"]),
        mount("cgroup", "/sys/fs/cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
    ];
    list[3]["source"] = "shm".into();
    list.into()
}

/// Writes config.json into a bundle.
///
/// # Errors
/// There is one already.
pub fn write(bundle: &Path, document: &Value) -> Result<()> {
    use std::io::Write;
    let path = bundle.join("config.json");
    let doing = || format!("write {}", path.display());
    let text = serde_json::to_string_pretty(document).context(&state::INTERNAL, doing)?;
    let made = std::fs::OpenOptions::new().write(true).create_new(true).open(&path);
    made.and_then(|mut file| writeln!(file, "{text}")).context(&state::STATE, doing)
}
