//! config.json of a bundle: read, checked for what `plan` can't check, made independent of its directory.
//!
//! The surprise: members of unknown names are passed over, as the specification demands, but a known one of the wrong kind is an
//! error that names its place; and an unprivileged caller's container gets the user namespace that its document forgot.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxNamespaceBuilder, LinuxNamespaceType, Process, Spec};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::labels;
use crate::error::{Context, Error, Result, catalog::command_line};
use crate::host::{Caller, Kind};

/// A document and where its paths lead.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// The bundle's directory, absolute.
    pub path: PathBuf,
    /// root.path, absolute.
    pub rootfs: PathBuf,
    /// With absolute sources.
    pub spec: Spec,
}

/// No document of an engine comes near this.
const MOST: u64 = 64 << 20;

/// A field of a document that was refused.
pub(crate) fn bad(field: &str, what: &str) -> Error {
    Error::new(&command_line::SPECIFICATION, format!("{field} {what}"))
}

/// Reads the bundle's config.json, or the file that `--config` names.
///
/// # Errors
/// No file, no JSON, a member of the wrong kind, a version that is none of 1.0 to 1.3.
pub fn read(bundle: &Path, config: Option<&Path>) -> Result<Bundle> {
    let path = std::fs::canonicalize(bundle)
        .context(&command_line::INPUT_FILE, || format!("open the bundle {}", bundle.display()))?;
    let file = config.map_or_else(|| path.join("config.json"), Path::to_owned);
    let mut spec: Spec = document(&file)?;
    check_version(spec.version())?;
    let Some(root) = spec.root().as_ref().map(|root| root.path().clone()).filter(|root| !root.as_os_str().is_empty())
    else {
        return Err(bad("root.path", "is missing"));
    };
    let rootfs = path.join(root);
    if !rootfs.is_dir() {
        return Err(bad("root.path", &format!("{} is no directory: No such file or directory", rootfs.display())));
    }
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    for mount in &mut mounts {
        let bound = mount.typ().as_deref() == Some("bind")
            || mount.options().iter().flatten().any(|word| word == "bind" || word == "rbind");
        if let Some(source) = mount.source().clone().filter(|source| bound && source.is_relative()) {
            mount.set_source(Some(path.join(source)));
        }
        // A relative destination is one from the root, which older documents have.
        if mount.destination().is_relative() {
            mount.set_destination(Path::new("/").join(mount.destination()));
        }
    }
    spec.set_mounts(Some(mounts));
    if let Some(mut process) = spec.process().clone() {
        labels::keep_possible(&mut process);
        spec.set_process(Some(process));
    }
    Ok(Bundle { path, rootfs, spec })
}

/// A process document of `exec --process`.
///
/// # Errors
/// As [`read`].
pub fn process(file: &Path) -> Result<Process> {
    document(file)
}

/// The types know these by other names, and not by the specification's.
const RENAMED: [(&str, &str); 2] =
    [("SCHED_FLAG_RESET_ON_FORK", "SCHED_RESET_ON_FORK"), ("SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_D_L_OVERRUN")];

/// In a whole document or in that of a process.
fn rename_flags(document: &mut Value) {
    for place in ["/process/scheduler/flags", "/scheduler/flags"] {
        for flag in document.pointer_mut(place).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some((_, other)) = RENAMED.iter().find(|(name, _)| flag == name) {
                *flag = (*other).into();
            }
        }
    }
}

fn document<T: DeserializeOwned>(file: &Path) -> Result<T> {
    use std::io::Read;
    let doing = || format!("read {}", file.display());
    let mut text = Vec::new();
    let opened = std::fs::File::open(file).context(&command_line::INPUT_FILE, doing)?;
    opened.take(MOST).read_to_end(&mut text).context(&command_line::INPUT_FILE, doing)?;
    let reader = &mut serde_json::Deserializer::from_slice(&text);
    serde_path_to_error::deserialize(reader).or_else(|error| {
        let place = error.path().to_string();
        let told = |place: &str, error: &serde_json::Error| bad(place, &format!("can't be read: {error}"));
        match serde_json::from_slice::<Value>(&text) {
            Ok(mut value) if place.contains("scheduler.flags") => {
                rename_flags(&mut value);
                serde_path_to_error::deserialize(value).map_err(|error| told(&error.path().to_string(), error.inner()))
            }
            _ => Err(told(&place, error.inner())),
        }
    })
}

fn check_version(version: &str) -> Result<()> {
    let mut parts = version.split(['.', '-', '+']);
    let (major, minor) = (parts.next().and_then(|part| part.parse::<u32>().ok()), parts.next());
    let minor = minor.and_then(|part| part.parse::<u32>().ok());
    match (major, minor) {
        (Some(1), Some(0..=3)) => Ok(()),
        _ => Err(bad("ociVersion", &format!("{version:?} is none of 1.0 to 1.3"))),
    }
}

impl Bundle {
    /// As crun does: an unprivileged caller without a user namespace in the document gets one.
    pub fn complete(&mut self, caller: &Caller) -> Result<()> {
        if caller.kind != Kind::Unprivileged {
            return Ok(());
        }
        let Some(mut linux) = self.spec.linux().clone() else { return Err(bad("linux", "is missing")) };
        let mut namespaces = linux.namespaces().clone().unwrap_or_default();
        if namespaces.iter().any(|namespace| namespace.typ() == LinuxNamespaceType::User) {
            return Ok(());
        }
        let user = LinuxNamespaceBuilder::default().typ(LinuxNamespaceType::User).build();
        namespaces.push(user.context(&command_line::SPECIFICATION, || "add a user namespace".into())?);
        linux.set_namespaces(Some(namespaces)).set_uid_mappings(None).set_gid_mappings(None);
        self.spec.set_linux(Some(linux));
        Ok(())
    }
}

impl Bundle {
    /// The command hears of the sockets that it inherits; it is the container's first process.
    pub fn activate(&mut self, count: u32) {
        let Some(mut process) = self.spec.process().clone().filter(|_| count > 0) else { return };
        let mut env = process.env().clone().unwrap_or_default();
        env.extend([format!("LISTEN_FDS={count}"), "LISTEN_PID=1".to_owned()]);
        process.set_env(Some(env));
        self.spec.set_process(Some(process));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Result<Bundle> {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(dir.path().join("rootfs")).expect("mkdir");
        std::fs::write(dir.path().join("config.json"), text).expect("write");
        read(dir.path(), None)
    }

    #[test]
    fn versions_from_1_0_to_1_3_are_read() {
        for version in ["1.0.0", "1.0.2-dev", "1.1.0+dev", "1.2.1", "1.3.0"] {
            assert!(check_version(version).is_ok(), "{version}");
        }
        for version in ["", "0.9.0", "1.4.0", "2.0.0", "one"] {
            assert!(check_version(version).is_err(), "{version}");
        }
    }

    #[test]
    fn what_is_of_the_wrong_kind_is_named_by_its_place() {
        let error = text(r#"{"ociVersion":"1.0.2","process":{"cwd":"/","user":{"uid":"x"}},"root":{"path":"rootfs"}}"#);
        assert!(error.expect_err("a string").summary().contains("process.user.uid"));
    }

    #[test]
    fn all_flags_of_a_scheduler_are_known_by_the_specifications_names() {
        let of = |flag: &str| {
            text(&format!(
                r#"{{"ociVersion":"1.3.0","root":{{"path":"rootfs"}},"process":{{"cwd":"/","user":{{"uid":0,"gid":0}},"args":["x"],
                "scheduler":{{"policy":"SCHED_BATCH","flags":["{flag}"]}}}}}}"#
            ))
        };
        for name in
            ["RESET_ON_FORK", "RECLAIM", "DL_OVERRUN", "KEEP_POLICY", "KEEP_PARAMS", "UTIL_CLAMP_MIN", "UTIL_CLAMP_MAX"]
        {
            assert!(of(&format!("SCHED_FLAG_{name}")).is_ok(), "{name}");
        }
        assert!(of("SCHED_FLAG_NONE").expect_err("unknown").summary().contains("process.scheduler.flags"));
    }

    #[test]
    fn relative_paths_are_the_bundles_and_unknown_members_are_passed_over() {
        let config = r#"{"ociVersion":"1.0.2","root":{"path":"rootfs"},"x":1,
            "mounts":[{"destination":"data","source":"data","options":["rbind"]},{"destination":"/x","type":"tmpfs","source":"y"}]}"#;
        let bundle = text(config).expect("a bundle");
        let mounts = bundle.spec.mounts().clone().expect("mounts");
        assert_eq!(mounts[0].source().as_deref(), Some(bundle.path.join("data").as_path()));
        assert_eq!(mounts[0].destination(), Path::new("/data"));
        assert_eq!(mounts[1].source().as_deref(), Some(Path::new("y")));
    }
}
