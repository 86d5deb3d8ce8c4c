//! The hooks of a bundle and the state document that they are given on stdin.
//!
//! Pure: which program, with what, when; `runtime::hooks` runs them. The surprise: a hook's environment is exactly what config.json
//! says, not even PATH is added, because the specification wants execve's semantics.

use std::collections::BTreeMap;
use std::path::PathBuf;

use oci_spec::runtime::Spec;
use serde::{Deserialize, Serialize};

use super::unsupported::bad;
use crate::error::Result;

/// One program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// Absolute path.
    pub path: PathBuf,
    /// argv, with argv[0]; empty: the path alone.
    #[serde(default)]
    pub args: Vec<String>,
    /// NAME=VALUE, and nothing else.
    #[serde(default)]
    pub env: Vec<String>,
    /// Seconds after which it is killed.
    #[serde(default)]
    pub timeout: Option<u32>,
}

/// All six kinds, each in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hooks {
    /// In the runtime's namespaces, after the container's were made, before pivot_root.
    pub prestart: Vec<Hook>,
    /// The same, after these.
    pub create_runtime: Vec<Hook>,
    /// In the container's namespaces with the host's files, before pivot_root.
    pub create_container: Vec<Hook>,
    /// In the container, before its command.
    pub start_container: Vec<Hook>,
    /// In the runtime's namespaces, after the command was started.
    pub poststart: Vec<Hook>,
    /// In the runtime's namespaces, after the container was deleted.
    pub poststop: Vec<Hook>,
}

/// What of the bundle the state document says, and its hooks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// ociVersion of the document.
    pub version: String,
    /// Its directory.
    pub path: PathBuf,
    /// The container's root directory on the host.
    pub rootfs: PathBuf,
    /// annotations
    pub annotations: BTreeMap<String, String>,
    /// hooks
    pub hooks: Hooks,
}

impl Bundle {
    /// The state of the runtime specification.
    pub fn state(&self, id: &str, status: &str, pid: i32) -> serde_json::Value {
        let mut state = serde_json::json!({
            "ociVersion": self.version,
            "id": id,
            "status": status,
            "bundle": self.path,
            "annotations": self.annotations,
        });
        if status != "stopped" {
            state["pid"] = pid.into();
        }
        state
    }
}

/// Reads and checks the hooks of a document.
///
/// # Errors
/// A relative path, an empty argv[0], a timeout of zero or less.
pub fn hooks(spec: &Spec) -> Result<Hooks> {
    let Some(all) = spec.hooks() else { return Ok(Hooks::default()) };
    let prestart = all.prestart();
    Ok(Hooks {
        prestart: list("prestart", prestart.as_deref())?,
        create_runtime: list("createRuntime", all.create_runtime().as_deref())?,
        create_container: list("createContainer", all.create_container().as_deref())?,
        start_container: list("startContainer", all.start_container().as_deref())?,
        poststart: list("poststart", all.poststart().as_deref())?,
        poststop: list("poststop", all.poststop().as_deref())?,
    })
}

fn list(kind: &str, hooks: Option<&[oci_spec::runtime::Hook]>) -> Result<Vec<Hook>> {
    hooks
        .unwrap_or_default()
        .iter()
        .enumerate()
        .map(|(index, hook)| one(&format!("hooks.{kind}[{index}]"), hook))
        .collect()
}

fn one(field: &str, hook: &oci_spec::runtime::Hook) -> Result<Hook> {
    if !hook.path().is_absolute() {
        return Err(bad(&format!("{field}.path"), &format!("{} is not absolute", hook.path().display())));
    }
    let timeout = match hook.timeout() {
        None => None,
        Some(seconds) => match u32::try_from(seconds) {
            Ok(seconds) if seconds > 0 => Some(seconds),
            _ => return Err(bad(&format!("{field}.timeout"), &format!("{seconds} is not greater than zero"))),
        },
    };
    Ok(Hook {
        path: hook.path().clone(),
        args: hook.args().clone().unwrap_or_default(),
        env: hook.env().clone().unwrap_or_default(),
        timeout,
    })
}
