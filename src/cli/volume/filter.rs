//! `--filter` of `rl volume ls` and `rl volume prune`: docker's and podman's keys.
//!
//! The surprise: all of them must agree, but of several names one will do, as docker has it.

use crate::cli::matching::until;
use crate::error::{Error, Result, catalog::command_line, catalog::volume as codes};
use crate::volume::{Volume, Volumes};

/// One of them.
pub(super) enum Filter {
    Name(String),
    /// Whether it has the label.
    Label(String, bool),
    Option(String),
    Driver(String),
    /// Whether no container uses it.
    Dangling(bool),
    Anonymous(bool),
    Before(u64),
    After(u64),
    /// docker's way of saying `prune -a`.
    All,
}

/// What `--help` says.
pub(super) const KEYS: &str = "name=PART, label=NAME[=VALUE], label!=NAME[=VALUE], opt=KEY[=VALUE], driver=, scope=, dangling=BOOL, anonymous=BOOL, until=TIME, since=VOLUME";

impl Filter {
    pub(super) fn parse(text: &str, volumes: &Volumes) -> Result<Self> {
        let bad = || Error::new(&command_line::USAGE, format!("--filter {text:?}: expected {KEYS}"));
        let truth = |word: &str| match word {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(bad()),
        };
        let (key, value) = text.split_once('=').ok_or_else(bad)?;
        Ok(match key {
            "name" => Self::Name(value.to_owned()),
            "label" => Self::Label(value.to_owned(), true),
            "label!" => Self::Label(value.to_owned(), false),
            "opt" => Self::Option(value.to_owned()),
            // All are of one driver, and of this machine.
            "driver" | "scope" => Self::Driver(value.to_owned()),
            "dangling" => Self::Dangling(truth(value)?),
            "anonymous" => Self::Anonymous(truth(value)?),
            "until" => Self::Before(until(value).ok_or_else(bad)?),
            "since" | "after" => {
                let other = volumes.find(value)?;
                Self::After(other.ok_or_else(|| Error::new(&codes::NO_VOLUME, format!("{value:?}")))?.created)
            }
            "all" if truth(value)? => Self::All,
            _ => return Err(bad()),
        })
    }

    fn pass(&self, volume: &Volume, volumes: &Volumes) -> Result<bool> {
        Ok(match self {
            Self::Name(part) => volume.name.contains(part.as_str()),
            Self::Label(label, wanted) => {
                has(volume.labels.iter().map(|(name, value)| (name, value)), label) == *wanted
            }
            Self::Option(option) => has(volume.options.iter(), option),
            Self::Driver(name) => name == "local",
            Self::Dangling(wanted) => volumes.users(&volume.name)?.is_empty() == *wanted,
            Self::Anonymous(wanted) => volume.container.is_some() == *wanted,
            Self::Before(time) => volume.created < *time,
            Self::After(time) => volume.created > *time,
            Self::All => true,
        })
    }
}

/// Whether a volume passes all of them.
pub(super) fn pass(filters: &[Filter], volume: &Volume, volumes: &Volumes) -> Result<bool> {
    let is_name = |filter: &&Filter| matches!(filter, Filter::Name(_));
    let mut names = filters.iter().filter(is_name).peekable();
    let mut named = names.peek().is_none();
    for filter in names {
        named |= filter.pass(volume, volumes)?;
    }
    for filter in filters.iter().filter(|filter| !is_name(filter)) {
        if !named || !filter.pass(volume, volumes)? {
            return Ok(false);
        }
    }
    Ok(named)
}

/// `NAME`, or `NAME=VALUE`.
fn has<'a>(mut pairs: impl Iterator<Item = (&'a String, &'a String)>, wanted: &str) -> bool {
    let (name, value) = wanted.split_once('=').map_or((wanted, None), |(name, value)| (name, Some(value)));
    pairs.any(|(have, of)| have == name && value.is_none_or(|value| value == of))
}
