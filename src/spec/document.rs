//! The specification as the config.json of `--plan=oci`, for other runtimes and for people.
//!
//! Owns what a run of rl's own leaves out of its `Spec`: the seccomp profile spelled out, the capabilities of a user other than
//! root as a runtime applies them that takes the sets as they are, and a stable order. Pure. The surprise: `oci_spec` keeps
//! capabilities in hash sets, so without sorting here the same command line would print another document each time.

use std::collections::HashSet;

use oci_spec::runtime::{Capabilities, LinuxCapabilitiesBuilder, Spec};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use super::made;
use super::{Extras, SeccompChoice, seccomp};
use crate::error::{Context, Error, Result, catalog::state};

/// The order in which people read; what is long comes last.
const ORDER: [&str; 7] = ["ociVersion", "root", "process", "hostname", "mounts", "annotations", "linux"];

/// config.json.
#[derive(Debug)]
pub struct Document(Map<String, Value>);

/// Completes the specification and puts it into a stable order.
///
/// # Errors
/// None that input can cause.
pub fn document(spec: Spec, extras: &Extras) -> Result<Document> {
    let spec = with_capabilities(with_seccomp(spec, extras))?;
    let doing = || "write the specification as JSON".to_owned();
    let mut value = serde_json::to_value(&spec).context(&state::INTERNAL, doing)?;
    if let Some(Value::Object(sets)) = value.pointer_mut("/process/capabilities") {
        for names in sets.values_mut().filter_map(Value::as_array_mut) {
            names.sort_by(|one, other| one.as_str().cmp(&other.as_str()));
        }
    }
    match value {
        Value::Object(fields) => Ok(Document(fields)),
        _ => Err(Error::new(&state::INTERNAL, doing())),
    }
}

fn with_seccomp(mut spec: Spec, extras: &Extras) -> Spec {
    let sets = spec.process().as_ref().and_then(|process| process.capabilities().as_ref());
    let bounding = sets.and_then(|sets| sets.bounding().as_ref());
    let names: Vec<String> =
        bounding.into_iter().flatten().map(|one| one.to_string().trim_start_matches("CAP_").to_owned()).collect();
    let profile = match &extras.seccomp {
        SeccompChoice::Unconfined => None,
        SeccompChoice::Default => Some(seccomp::default_profile(&names)),
        SeccompChoice::Profile(profile) => Some(profile.resolve(&names)),
        SeccompChoice::Exact(profile) => Some((**profile).clone()),
    };
    let mut linux = spec.linux().clone().unwrap_or_default();
    linux.set_seccomp(profile);
    spec.set_linux(Some(linux));
    spec
}

/// Rl's own init gives a user other than root only what was added by name, whatever the effective set says. Another runtime
/// takes the sets as they are, and would give that user everything that root has.
fn with_capabilities(mut spec: Spec) -> Result<Spec> {
    let Some(mut process) = spec.process().clone().filter(|process| process.user().uid() != 0) else { return Ok(spec) };
    if let Some(sets) = process.capabilities() {
        let own: Capabilities = sets.ambient().clone().unwrap_or_else(HashSet::new);
        let sets = LinuxCapabilitiesBuilder::default()
            .bounding(sets.bounding().clone().unwrap_or_default())
            .effective(own.clone())
            .permitted(own.clone())
            .inheritable(own.clone())
            .ambient(own);
        process.set_capabilities(Some(made(sets.build())?));
        spec.set_process(Some(process));
    }
    Ok(spec)
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in ORDER.iter().filter_map(|key| self.0.get_key_value(*key)) {
            map.serialize_entry(key, value)?;
        }
        for (key, value) in self.0.iter().filter(|(key, _)| !ORDER.contains(&key.as_str())) {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}
