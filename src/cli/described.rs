//! docker's document of a volume, for `rl volume` and for `rl inspect`.
//!
//! The surprise: it is here because a container's verbs show volumes, and a volume's verbs choose as a container's do.

use std::io::Write;

use serde_json::{Map, Value, json};

use super::format::{self, Screen};
use crate::error::{Error, Result, catalog::volume as codes};
use crate::host::Host;
use crate::volume::{Volume, Volumes};

/// Shows those that are there, says which are not, and ends with 1 then: each has its own result, as in docker.
pub(super) fn each(
    found: impl Iterator<Item = Result<Value>>,
    print: impl FnOnce(&[Value]) -> Result<()>,
) -> Result<u8> {
    let (mut rows, mut missing) = (Vec::new(), Vec::new());
    for one in found {
        match one {
            Ok(row) => rows.push(row),
            Err(error) => missing.push(error),
        }
    }
    print(&rows)?;
    for error in &missing {
        let _ = Screen::stderr().write_all(format!("rl: {error}\n").as_bytes());
    }
    Ok(u8::from(!missing.is_empty()))
}

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
