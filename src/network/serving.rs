//! The processes of `rl`'s own that serve one container's network, watched: none should end before the container.
//!
//! Owns what is said of one that has. They are children of the container's own `rl`, which hears of their end from the kernel. The
//! surprise: `rl: ports` ends by itself when the container has; so it is after an end has been heard of that one looks whether the
//! container is there still.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::record::Record;
use crate::error::{Error, catalog::network as codes};
use crate::sys::child::Exit;

/// Ports that are named one by one.
const NAMED: usize = 8;

/// Which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Helper {
    /// `rl: ports`: those published ports that slirp4netns does not serve.
    Ports,
    /// `rl: egress`: the names that `--egress` allows.
    Names,
}

impl Helper {
    /// That it has ended, and what no longer works. `dir` is the container's run directory; `exit` None: nobody knows how it ended.
    pub fn lost(self, dir: &Path, exit: Option<Exit>) -> Error {
        let how = match exit {
            Some(Exit::Signal(number)) => format!(" (signal {number})"),
            Some(Exit::Code(code)) => format!(" (exit status {code})"),
            None => String::new(),
        };
        match self {
            Self::Ports => {
                let (ended, ports) = (format!("rl: ports has ended{how}"), ports(dir));
                if ports.is_empty() {
                    return Error::new(&codes::PORTS_LOST, ended);
                }
                Error::new(&codes::PORTS_LOST, ports).because(ended)
            }
            Self::Names => Error::new(&codes::NAMES_LOST, format!("rl: egress has ended{how}")),
        }
    }
}

/// What `rl: ports` has served, those too that were added while it ran.
fn ports(dir: &Path) -> String {
    let Ok(Some(record)) = Record::read(dir) else { return String::new() };
    let served = record.ports.iter().filter(|leg| !record.is_slirps(leg));
    let mut served: Vec<_> = served.map(|leg| format!("{}/{}", leg.host, leg.protocol)).collect();
    let more = served.len().saturating_sub(NAMED);
    if more > 0 {
        served.truncate(NAMED);
        served.push(format!("{more} more"));
    }
    served.join(", ")
}
