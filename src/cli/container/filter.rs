//! `--filter` of the verbs that choose among containers.
//!
//! Pure. Docker's keys with docker's meaning: values of one key are alternatives, but for labels, and all keys must agree. The
//! surprise: a name is matched anywhere in it, and an id from its beginning.

use clap::{Arg, ArgAction, ArgMatches};

use slirp4netns_ctl::Protocol;

use super::inspect::{host, network};
use super::words;
use crate::cgroup::Group;
use crate::cli::matching::{named, until};
use crate::error::{Error, Result, catalog::command_line, catalog::state as codes};
use crate::state::{Container, Phase};

pub(super) fn argument() -> Arg {
    Arg::new("filter").long("filter").value_name("KEY=VALUE").action(ArgAction::Append).help(
        "id=, name=, label=NAME[=VALUE], status=, exited=, ancestor=IMAGE, before=, since=, until=, \
         health=, restart-policy=, network=, volume=NAME|PATH, publish=PORT[-PORT][/udp], expose=...",
    )
}

/// All of one command line.
#[derive(Debug, Default)]
pub(super) struct Filters(Vec<(String, Vec<Test>)>);

#[derive(Debug)]
enum Test {
    Id(String),
    Name(String),
    Label(String, Option<String>),
    Status(String),
    Exited(u8),
    Image(String),
    Before(u64),
    Since(u64),
    Health(String),
    Policy(String),
    Network(String),
    Volume(String),
    /// First, last, UDP.
    Publish(u16, u16, bool),
    Expose(u16, u16, bool),
}

impl Filters {
    /// `all` are what `before` and `since` can mean.
    pub(super) fn of(matches: &ArgMatches, all: &[Container]) -> Result<Self> {
        let mut filters = Self::default();
        for text in words(matches, "filter") {
            filters.add(text, all)?;
        }
        Ok(filters)
    }

    /// Whether there is one of this key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(have, _)| have == key)
    }

    fn add(&mut self, text: &str, all: &[Container]) -> Result<()> {
        let bad = |why: &str| Error::new(&command_line::USAGE, format!("--filter {text:?}: {why}"));
        let (key, value) = text.split_once('=').ok_or_else(|| bad("expected KEY=VALUE"))?;
        let owned = value.to_owned();
        let test = match key {
            "id" => Test::Id(owned),
            "name" => Test::Name(owned),
            "label" => {
                let (name, value) = value.split_once('=').map_or((value, None), |(name, value)| (name, Some(value)));
                Test::Label(name.to_owned(), value.map(str::to_owned))
            }
            "status" => match value {
                "created" | "running" | "exited" | "restarting" | "paused" | "dead" | "removing" => Test::Status(owned),
                // podman's words.
                "stopped" => Test::Status("exited".into()),
                "configured" => Test::Status("created".into()),
                _ => return Err(bad("one of created, running, paused, restarting, exited")),
            },
            "exited" => Test::Exited(value.parse().map_err(|_| bad("expected an exit status"))?),
            "ancestor" => Test::Image(owned),
            "before" => Test::Before(find(all, value)?),
            "since" => Test::Since(find(all, value)?),
            "until" => Test::Before(until(value).ok_or_else(|| bad("expected a time, or how long ago: 24h"))?),
            "health" => Test::Health(owned),
            "restart-policy" => Test::Policy(owned),
            "network" => Test::Network(owned),
            "volume" => Test::Volume(owned),
            "publish" | "expose" => {
                let (first, last, udp) = ports(value).ok_or_else(|| bad("expected PORT[-PORT][/tcp|/udp]"))?;
                if key == "publish" { Test::Publish(first, last, udp) } else { Test::Expose(first, last, udp) }
            }
            _ => {
                return Err(bad(
                    "the keys are id, name, label, status, exited, ancestor, before, since, until, health, restart-policy, \
                     network, volume, publish, expose",
                ));
            }
        };
        match self.0.iter_mut().find(|(have, _)| have == key) {
            Some((_, tests)) => tests.push(test),
            None => self.0.push((key.to_owned(), vec![test])),
        }
        Ok(())
    }

    pub(super) fn pass(&self, container: &Container) -> bool {
        self.0.iter().all(|(key, tests)| {
            if key == "label" {
                tests.iter().all(|test| test.pass(container))
            } else {
                tests.iter().any(|test| test.pass(container))
            }
        })
    }
}

impl Test {
    fn pass(&self, container: &Container) -> bool {
        let record = &container.record;
        match self {
            Self::Id(digits) => record.id.starts_with(digits.as_str()),
            Self::Name(part) => named(&record.name, part),
            Self::Label(name, value) => {
                record.labels().iter().any(|(have, is)| have == name && value.as_ref().is_none_or(|value| value == is))
            }
            Self::Status(word) => phase(container) == word,
            Self::Exited(status) => {
                let ended = container.phase() == Phase::Exited;
                ended && container.status.as_ref().is_some_and(|last| last.settled().exit == *status)
            }
            Self::Image(image) => of_image(record, image),
            Self::Before(limit) => record.created < *limit,
            Self::Since(limit) => record.created > *limit,
            Self::Health(word) => super::inspect::health(container) == word,
            Self::Policy(word) => record.run.restart.to_string() == *word || record.run.restart.name() == word,
            Self::Network(name) => network::names(container).contains(name),
            Self::Volume(text) => host::mounts(container)
                .iter()
                .any(|mount| ["Name", "Source", "Destination"].iter().any(|key| mount[*key] == text.as_str())),
            Self::Publish(first, last, udp) => network::publishes(container, in_span(*first, *last, *udp)),
            Self::Expose(first, last, udp) => network::exposes(container, in_span(*first, *last, *udp)),
        }
    }
}

/// `80`, `8000-8010`, `53/udp`.
fn ports(text: &str) -> Option<(u16, u16, bool)> {
    let (ports, udp) = match text.split_once('/') {
        None => (text, false),
        Some((ports, "tcp")) => (ports, false),
        Some((ports, "udp")) => (ports, true),
        Some(_) => return None,
    };
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    Some((first.parse().ok()?, last.parse().ok()?, udp))
}

fn in_span(first: u16, last: u16, udp: bool) -> impl Fn(u16, Protocol) -> bool {
    move |port, protocol| (first..=last).contains(&port) && (protocol == Protocol::Udp) == udp
}

fn of_image(record: &crate::state::Record, image: &str) -> bool {
    let id = image.strip_prefix("sha256:").unwrap_or(image);
    let by_id = id.len() >= 4 && record.image_id.as_ref().is_some_and(|have| have.starts_with(id));
    let full = |text: &str| crate::image::Reference::parse(text).ok().map(|name| name.to_string());
    by_id || record.image == image || full(image).is_some_and(|wanted| full(&record.image) == Some(wanted))
}

/// Docker's word for what it is doing.
pub(super) fn phase(container: &Container) -> &'static str {
    match container.phase() {
        Phase::Created => "created",
        Phase::Running if is_paused(container) => "paused",
        Phase::Running => "running",
        Phase::Restarting => "restarting",
        Phase::Exited => "exited",
    }
}

/// Whether `rl pause` has frozen its control group.
pub(super) fn is_paused(container: &Container) -> bool {
    container.running.as_ref().and_then(|running| Group::of(running.pid)).is_some_and(|group| group.is_frozen())
}

fn find(all: &[Container], text: &str) -> Result<u64> {
    let found = all.iter().find(|container| container.record.name == text || container.record.id.starts_with(text));
    found
        .filter(|_| !text.is_empty())
        .map(|container| container.record.created)
        .ok_or_else(|| Error::new(&codes::NO_CONTAINER, format!("{text:?}")))
}
