//! `pause`, `resume`, `events`, `update`: the verbs of a container's control group.
//!
//! Owns `update`'s flags, which are runc's and crun's, as the document that `-r` reads. The surprise: a flag of the document wins over
//! none of it, so `-r FILE --memory 1g` is the file's with another memory limit.

use std::io::Read;
use std::path::Path;

use clap::{Arg, ArgMatches, Command};
use oci_spec::runtime::LinuxResources;
use serde_json::{Value, json};

use super::Verb;
use super::verbs::{at, id, path, switch, with_id};
use crate::error::{Context, Error, Result, catalog::command_line};
use crate::oci::{Runtime, events, group};

/// Behind the verbs of `verbs`.
pub(super) static ALL: &[Verb] = &[
    Verb { name: "pause", about: "Freeze all processes of a container", command: with_id, run: run_pause },
    Verb { name: "resume", about: "Let them go on", command: with_id, run: run_resume },
    Verb { name: "update", about: "Change a container's limits", command: update, run: run_update },
    Verb { name: "events", about: "Print what a container uses", command: events_flags, run: run_events },
];

/// Flag, its place in the document, what it is.
const FLAGS: [(&str, &str, Kind, &str); 15] = [
    ("blkio-weight", "/blockIO/weight", Kind::Number, "10 to 1000"),
    ("cpu-period", "/cpu/period", Kind::Number, "microseconds"),
    ("cpu-quota", "/cpu/quota", Kind::Number, "microseconds in each period"),
    ("cpu-burst", "/cpu/burst", Kind::Number, "microseconds above the quota"),
    ("cpu-share", "/cpu/shares", Kind::Number, "relative weight"),
    ("cpu-rt-period", "/cpu/realtimePeriod", Kind::Number, "refused: cgroup2 has none"),
    ("cpu-rt-runtime", "/cpu/realtimeRuntime", Kind::Number, "refused: cgroup2 has none"),
    ("cpuset-cpus", "/cpu/cpus", Kind::Text, "processors, 0-2,5"),
    ("cpuset-mems", "/cpu/mems", Kind::Text, "memory nodes"),
    ("cpu-idle", "/cpu/idle", Kind::Number, "1: only what others leave"),
    ("memory", "/memory/limit", Kind::Bytes, "bytes, or with k, m, g"),
    ("memory-reservation", "/memory/reservation", Kind::Bytes, "what is kept for it"),
    ("memory-swap", "/memory/swap", Kind::Bytes, "memory and swap together; -1: no limit"),
    ("pids-limit", "/pids/limit", Kind::Number, "processes; -1: no limit"),
    // The kernel has done away with limits of its own memory.
    ("kernel-memory", "", Kind::Bytes, "accepted"),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Bytes,
    Text,
}

fn update(command: Command) -> Command {
    let flag = |(name, _, _, help): &(&'static str, &str, Kind, &'static str)| {
        Arg::new(*name).long(*name).value_name("VALUE").allow_hyphen_values(true).help(*help)
    };
    let command = with_id(command).arg(path("resources", "a document like linux.resources; -: stdin").short('r'));
    let refused = ["l3-cache-schema", "mem-bw-schema", "kernel-memory-tcp"];
    let refused = refused.map(|name| Arg::new(name).long(name).value_name("VALUE").hide(true));
    command.args(FLAGS.iter().map(flag)).args(refused)
}

fn events_flags(command: Command) -> Command {
    with_id(command)
        .arg(switch("stats", "once, now"))
        .arg(Arg::new("interval").long("interval").value_name("TIME").default_value("5s").help("between two documents"))
}

fn run_pause(runtime: &Runtime, matches: &ArgMatches) -> Result<u8> {
    group::pause(runtime, &id(matches)).map(|()| 0)
}

fn run_resume(runtime: &Runtime, matches: &ArgMatches) -> Result<u8> {
    group::resume(runtime, &id(matches)).map(|()| 0)
}

fn run_events(runtime: &Runtime, matches: &ArgMatches) -> Result<u8> {
    let word = matches.get_one::<String>("interval").map_or("5s", String::as_str);
    let bad = || Error::new(&command_line::USAGE, format!("events: --interval {word:?} is no time such as 5s"));
    let (digits, unit) = word.split_at(word.trim_end_matches(|one: char| one.is_ascii_alphabetic()).len());
    let number: u64 = digits.parse().map_err(|_| bad())?;
    let seconds = match unit {
        "" | "s" => number,
        "m" => number * 60,
        "h" => number * 3600,
        _ => return Err(bad()),
    };
    if seconds == 0 {
        return Err(bad());
    }
    events::events(runtime, &id(matches), matches.get_flag("stats"), seconds).map(|()| 0)
}

fn run_update(runtime: &Runtime, matches: &ArgMatches) -> Result<u8> {
    let mut document = at(matches, "resources").map_or_else(|| Ok(json!({})), |file| read(&file))?;
    for name in ["l3-cache-schema", "mem-bw-schema", "kernel-memory-tcp"] {
        if matches.contains_id(name) {
            return Err(Error::new(&command_line::USAGE, format!("update: --{name} can't be limited with cgroup2")));
        }
    }
    for (name, place, kind, _) in FLAGS {
        let Some(word) = matches.get_one::<String>(name).filter(|word| !word.is_empty()) else { continue };
        let value = value(kind, word).ok_or_else(|| {
            Error::new(&command_line::USAGE, format!("update: --{name} {word:?} is not {}", kind.word()))
        })?;
        if let Some((parent, member)) = place.rsplit_once('/') {
            put(&mut document, parent.trim_start_matches('/'), member, value);
        }
    }
    let resources: LinuxResources = serde_path_to_error::deserialize(document).map_err(|error| {
        let what = format!("linux.resources.{} can't be read: {}", error.path(), error.inner());
        Error::new(&command_line::SPECIFICATION, what)
    })?;
    group::update(runtime, &id(matches), &resources).map(|()| 0)
}

fn read(file: &Path) -> Result<Value> {
    let doing = || format!("read {}", file.display());
    let mut text = String::new();
    let most = 1 << 20;
    let read = if file == Path::new("-") {
        std::io::stdin().take(most).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(most).read_to_string(&mut text))
    };
    read.context(&command_line::INPUT_FILE, doing)?;
    let value: Value = serde_json::from_str(&text).context(&command_line::SPECIFICATION, doing)?;
    if value.is_object() {
        Ok(value)
    } else {
        Err(Error::new(&command_line::SPECIFICATION, doing()).because("it is no object"))
    }
}

fn put(document: &mut Value, parent: &str, member: &str, value: Value) {
    if !document[parent].is_object() {
        document[parent] = json!({});
    }
    document[parent][member] = value;
}

fn value(kind: Kind, word: &str) -> Option<Value> {
    if kind == Kind::Text {
        return Some(word.into());
    }
    let digits = word.trim_end_matches(|one: char| one.is_ascii_alphabetic());
    let shift = match word[digits.len()..].to_ascii_lowercase().as_str() {
        "" => 0,
        _ if kind == Kind::Number => return None,
        "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    digits.parse::<i64>().ok()?.checked_mul(1 << shift).map(Value::from)
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Number => "a number",
            Self::Bytes => "a number of bytes",
            Self::Text => "text",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_numbers_or_have_a_unit_where_they_are_bytes() {
        assert_eq!(value(Kind::Bytes, "64M"), Some(json!(67_108_864)));
        assert_eq!(value(Kind::Bytes, "-1"), Some(json!(-1)));
        assert_eq!(value(Kind::Number, "5"), Some(json!(5)));
        for (kind, word) in
            [(Kind::Number, "5k"), (Kind::Bytes, "x"), (Kind::Bytes, "9223372036854775807k"), (Kind::Bytes, "1q")]
        {
            assert_eq!(value(kind, word), None, "{word}");
        }
    }

    #[test]
    fn every_flag_has_its_place_in_the_specifications_document() {
        for (name, place, kind, _) in FLAGS.iter().filter(|flag| !flag.1.is_empty()) {
            let (parent, member) = place.rsplit_once('/').expect("a place");
            let mut document = json!({});
            put(
                &mut document,
                parent.trim_start_matches('/'),
                member,
                if *kind == Kind::Text { "0".into() } else { 1.into() },
            );
            let read: LinuxResources = serde_json::from_value(document.clone()).expect(name);
            let back = serde_json::to_value(&read).expect("JSON");
            assert_eq!(back.pointer(place), document.pointer(place), "{name}");
        }
    }
}
