//! `rl events`.
//!
//! Reads the event file and follows it. The surprise: without `--until` it goes on for ever, as docker's does; inotify wakes it.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use clap::{ArgAction, ArgMatches, Command};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use serde_json::Value;

use super::{value, word, words};
use crate::cli::format::{Format, Screen};
use crate::cli::matching::until;
use crate::cli::run::args::switch;
use crate::cli::{Globals, Verb};
use crate::error::{Context, Error, Result, catalog::command_line, catalog::state as codes};
use crate::host::Host;
use crate::state::{events, now, rfc3339};

/// The verb.
pub const VERB: Verb = Verb { name: "events", about: "What happens to containers", command, run };

fn command() -> Command {
    Command::new("rl events")
        .about(VERB.about)
        .arg(super::flag("no-trunc", "For scripts: nothing is cut"))
        .arg(switch("stream", "false: what has happened up to now, and no more"))
        .arg(value("since", "TIME", "What happened since that date, or so long ago: 10m"))
        .arg(value("until", "TIME", "End at that date; without it, go on"))
        .arg(
            value("filter", "KEY=VALUE", "event=, container=NAME or id, image=, label is not kept")
                .short('f')
                .action(ArgAction::Append),
        )
        .arg(value("format", "FORMAT", "json, or a template of Go: '{{.Action}} {{.Actor.Attributes.name}}'"))
}

struct Wanted {
    since: u64,
    until: u64,
    filters: Vec<(String, String)>,
    /// None: docker's own line.
    format: Option<Format>,
    json: bool,
}

fn run(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let time = |name: &str, otherwise: u64| {
        let bad = |text: &str| Error::new(&command_line::USAGE, format!("--{name} {text:?}: expected a date, or 10m"));
        word(matches, name).map_or(Ok(otherwise), |text| until(text).ok_or_else(|| bad(text)))
    };
    let filters = words(matches, "filter").map(|text| {
        let bad =
            || Error::new(&command_line::USAGE, format!("--filter {text:?}: the keys are event, container, image"));
        let (key, value) = text.split_once('=').ok_or_else(bad)?;
        if matches!(key, "event" | "container" | "image" | "type") {
            Ok((key.to_owned(), value.to_owned()))
        } else {
            Err(bad())
        }
    });
    let streams = matches.get_one::<bool>("stream") != Some(&false);
    let asked = word(matches, "format").filter(|text| !text.is_empty());
    let json = matches!(asked, Some("json" | "{{json .}}"));
    let wanted = Wanted {
        since: time("since", if streams { now() } else { 0 })?,
        until: time("until", if streams { u64::MAX } else { now() })?,
        filters: filters.collect::<Result<_>>()?,
        format: asked.filter(|_| !json).map(|text| Format::parse(Some(text), &[])).transpose()?,
        json,
    };
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    events::prepare(&host.dirs);
    follow(&events::file(&host.dirs), &wanted)?;
    Ok(0)
}

fn follow(path: &std::path::Path, wanted: &Wanted) -> Result<()> {
    let doing = || format!("follow {}", path.display());
    let changes = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).context(&codes::STATE, doing)?;
    let dir = path.parent().unwrap_or(path);
    let what = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
    changes.add_watch(dir, what).context(&codes::STATE, doing)?;
    if let Ok(old) = File::open(path.with_extension("1")) {
        read(&mut BufReader::new(old), &mut Vec::new(), wanted)?;
    }
    let mut file = BufReader::new(File::open(path).context(&codes::STATE, doing)?);
    let mut begun = Vec::new();
    loop {
        read(&mut file, &mut begun, wanted)?;
        if now() >= wanted.until {
            return Ok(());
        }
        let inode = |meta: std::fs::Metadata| meta.ino();
        if let Ok(new) = File::open(path)
            && new.metadata().map(inode).ok() != file.get_ref().metadata().map(inode).ok()
        {
            file = BufReader::new(new);
            continue;
        }
        let mut polls = [PollFd::new(changes.as_fd(), PollFlags::POLLIN)];
        let left = wanted.until.saturating_sub(now()) / 1_000_000 + 1;
        let timeout = PollTimeout::try_from(left.min(1 << 30)).unwrap_or(PollTimeout::MAX);
        let _ = poll(&mut polls, if wanted.until == u64::MAX { PollTimeout::NONE } else { timeout });
        while changes.read_events().is_ok_and(|events| !events.is_empty()) {}
    }
}

fn read(file: &mut BufReader<File>, begun: &mut Vec<u8>, wanted: &Wanted) -> Result<()> {
    loop {
        let count = file.read_until(b'\n', begun).context(&codes::STATE, || "read events".into())?;
        if count == 0 || begun.last() != Some(&b'\n') {
            return Ok(());
        }
        let event = serde_json::from_slice::<Value>(begun);
        begun.clear();
        if let Ok(event) = event {
            wanted.show(&event)?;
        }
    }
}

impl Wanted {
    fn pass(&self, event: &Value) -> bool {
        let time = event["timeNano"].as_u64().unwrap_or(0);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (id, name) = (text(&event["id"]), text(&event["Actor"]["Attributes"]["name"]));
        let is = |key: &str, value: &str| match key {
            // `health_status` is any of `health_status: healthy` and its kin, as in docker.
            "event" => {
                let action = text(&event["Action"]);
                action == value || action.split_once(':').is_some_and(|(word, _)| word == value)
            }
            "container" => name == value || (!value.is_empty() && id.starts_with(value)),
            "image" => text(&event["from"]) == value,
            _ => text(&event["Type"]) == value,
        };
        // Values of one key are alternatives, and all keys must agree.
        let agree = |(key, _): &(String, String)| {
            self.filters.iter().filter(|(have, _)| have == key).any(|(key, value)| is(key, value))
        };
        (self.since..=self.until).contains(&time) && self.filters.iter().all(agree)
    }

    fn show(&self, event: &Value) -> Result<()> {
        if !self.pass(event) {
            return Ok(());
        }
        let mut out = Screen::stdout();
        if let Some(format) = &self.format {
            return format.print(&[for_templates(event)], &mut out);
        }
        let line = if self.json { event.to_string() } else { line(event) };
        out.write_all(format!("{line}\n").as_bytes())
            .and_then(|()| out.flush())
            .context(&codes::STATE, || "write to standard output".into())
    }
}

/// The event with the fields of docker's struct, which its JSON has by other names, and those that only podman's has.
fn for_templates(event: &Value) -> Value {
    let mut event = event.clone();
    for (field, of) in
        [("ID", "id"), ("Status", "status"), ("From", "from"), ("Scope", "scope"), ("TimeNano", "timeNano")]
    {
        event[field] = event[of].clone();
    }
    let attributes = event["Actor"]["Attributes"].clone();
    event["Time"] = event["time"].clone();
    event["Name"] = attributes["name"].clone();
    event["Image"] = event["from"].clone();
    event["Attributes"] = attributes;
    event
}

/// `2026-11-24T22:59:38.123456789Z container start ID (image=busybox, name=web)`.
fn line(event: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let attributes = event["Actor"]["Attributes"].as_object();
    let attributes: Vec<String> =
        attributes.into_iter().flatten().map(|(key, value)| format!("{key}={}", text(value))).collect();
    let time = rfc3339(event["timeNano"].as_u64().unwrap_or(0));
    let (kind, action, id) = (text(&event["Type"]), text(&event["Action"]), text(&event["id"]));
    format!("{time} {kind} {action} {id} ({})", attributes.join(", "))
}
