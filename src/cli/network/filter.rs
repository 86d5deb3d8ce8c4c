//! `--filter` of `rl network ls` and `rl network prune`: docker's and podman's keys.
//!
//! The surprise: of several words of one key one will do, but all labels must be there; that is docker's way and podman's.

use crate::cli::matching::{named, until};
use crate::error::{Error, Result, catalog::command_line};
use crate::spec::networks::Definition;

/// One of them.
pub(super) enum Filter {
    Name(String),
    Id(String),
    /// Whether it has the label.
    Label(String, bool),
    Driver(String),
    /// Whether no container uses it.
    Dangling(bool),
    Before(u64),
}

/// What `--help` says.
pub(super) const KEYS: &str =
    "name=PART, id=START, label=NAME[=VALUE], label!=NAME[=VALUE], driver=, scope=, type=, dangling=BOOL, until=TIME";

impl Filter {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let bad = || Error::new(&command_line::USAGE, format!("--filter {text:?}: expected {KEYS}"));
        let (key, value) = text.split_once('=').ok_or_else(bad)?;
        Ok(match key {
            "name" => Self::Name(value.to_owned()),
            "id" => Self::Id(value.to_owned()),
            "label" => Self::Label(value.to_owned(), true),
            "label!" => Self::Label(value.to_owned(), false),
            // All are bridges of this machine that somebody has made.
            "driver" => Self::Driver(value.to_owned()),
            "scope" if value == "local" => Self::Driver("bridge".to_owned()),
            "type" if value == "custom" => Self::Driver("bridge".to_owned()),
            "scope" | "type" => Self::Driver(String::new()),
            "dangling" => Self::Dangling(match value {
                "true" | "1" => true,
                "false" | "0" => false,
                _ => return Err(bad()),
            }),
            "until" => Self::Before(until(value).ok_or_else(bad)?),
            _ => return Err(bad()),
        })
    }

    /// One of these will do.
    fn key(&self) -> Option<u8> {
        match self {
            Self::Name(_) => Some(0),
            Self::Id(_) => Some(1),
            Self::Driver(_) => Some(2),
            Self::Label(..) | Self::Dangling(_) | Self::Before(_) => None,
        }
    }

    fn pass(&self, network: &Definition, used: impl Fn() -> Result<bool>) -> Result<bool> {
        Ok(match self {
            Self::Name(part) => named(&network.name, part),
            Self::Id(start) => network.id.starts_with(start.as_str()),
            Self::Label(label, wanted) => has(network, label) == *wanted,
            Self::Driver(name) => name == "bridge",
            Self::Dangling(wanted) => used()? != *wanted,
            Self::Before(time) => network.created < *time,
        })
    }
}

/// Whether a network passes all of them. `used` says whether a container is in it, or was made for it.
pub(super) fn pass(filters: &[Filter], network: &Definition, used: impl Fn() -> Result<bool>) -> Result<bool> {
    for filter in filters {
        let mut passes = filter.pass(network, &used)?;
        for other in filters.iter().filter(|other| filter.key().is_some() && other.key() == filter.key()) {
            passes |= other.pass(network, &used)?;
        }
        if !passes {
            return Ok(false);
        }
    }
    Ok(true)
}

/// `NAME`, or `NAME=VALUE`.
fn has(network: &Definition, wanted: &str) -> bool {
    let (name, value) = wanted.split_once('=').map_or((wanted, None), |(name, value)| (name, Some(value)));
    network.labels.get(name).is_some_and(|own| value.is_none_or(|value| value == own))
}
