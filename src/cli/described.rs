//! docker's document of a volume, for `rl volume` and for `rl inspect`.
//!
//! The surprise: it is here because a container's verbs show volumes, and a volume's verbs choose as a container's do.

use serde_json::{Map, Value, json};

use super::format;
use crate::error::{Error, Result, catalog::volume as codes};
use crate::host::Host;
use crate::volume::{Volume, Volumes};

/// docker's.
pub(super) fn document(volume: &Volume, volumes: &Volumes) -> Value {
    let labels: Map<_, _> = volume.labels.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    json!({
        "CreatedAt": format::date(volume.created / 1_000_000_000),
        "Driver": "local",
        "Labels": labels,
        "Mountpoint": volumes.place(volume).unwrap_or_else(|_| volumes.data(&volume.name)).to_string_lossy(),
        "Name": volume.name,
        "Options": volume.options,
        "Scope": "local",
        "Anonymous": volume.container.is_some(),
    })
}

/// `rl inspect` of a volume.
pub(super) fn volume(host: &Host, name: &str) -> Result<Value> {
    let volumes = Volumes::open(&host.dirs);
    let none = || Error::new(&codes::NO_VOLUME, format!("{name:?}"));
    volumes.find(name)?.map(|found| document(&found, &volumes)).ok_or_else(none)
}
