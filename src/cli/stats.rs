//! `rl stats`: what containers use, once or again every second or so.
//!
//! Owns docker's columns. The surprise: the share of a processor needs two looks with some time between, so that even
//! `--no-stream` takes as long as one of them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Value, json};

use super::container::{last, latest};
use super::format::{Format, Screen, human_size};
use super::{Globals, Verb};
use crate::cgroup::{Group, stats};
use crate::error::{Context, Result, catalog::state};
use crate::host::Host;
use crate::state::{Container, Containers};

/// The verb.
pub const VERB: Verb = Verb { name: "stats", about: "Show what containers use", command, run };

const COLUMNS: &[(&str, &str)] = &[
    ("CONTAINER ID", "{{.ID}}"),
    ("NAME", "{{.Name}}"),
    ("CPU %", "{{.CPUPerc}}"),
    ("MEM USAGE / LIMIT", "{{.MemUsage}}"),
    ("MEM %", "{{.MemPerc}}"),
    ("NET I/O", "{{.NetIO}}"),
    ("BLOCK I/O", "{{.BlockIO}}"),
    ("PIDS", "{{.PIDs}}"),
];

/// What a container without a group of its own, or without a controller, has to show.
const UNKNOWN: &str = "--";

fn command() -> Command {
    Command::new("rl stats")
        .about(VERB.about)
        .override_usage("rl stats [OPTIONS] [CONTAINER...]")
        .arg(Arg::new("no-stream").long("no-stream").action(ArgAction::SetTrue).help("Once, and not every second"))
        .arg(
            Arg::new("all")
                .long("all")
                .short('a')
                .action(ArgAction::SetTrue)
                .help("For scripts of docker: all that run are shown"),
        )
        .arg(latest())
        .arg(Arg::new("no-trunc").long("no-trunc").action(ArgAction::SetTrue).help("Whole ids"))
        .arg(Arg::new("no-reset").long("no-reset").action(ArgAction::SetTrue).help("Below what was shown before"))
        .arg(
            Arg::new("interval")
                .long("interval")
                .short('i')
                .value_name("SECONDS")
                .value_parser(value_parser!(u16).range(1..))
                .default_value("1")
                .help("Between two looks"),
        )
        .arg(
            Arg::new("format")
                .long("format")
                .value_name("FORMAT")
                .help("json, table, 'table TEMPLATE' or a template of Go"),
        )
        .arg(Arg::new("container").value_name("CONTAINER").num_args(0..).help("Only these"))
        .after_help("Fields: .Container .ID .Name .CPUPerc .MemUsage .MemPerc .NetIO .BlockIO .PIDs")
}

/// One container at one moment.
struct Look {
    container: Container,
    sample: Option<stats::Sample>,
    network: Option<(u64, u64)>,
    at: Instant,
}

fn run(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let format = Format::parse(matches.get_one::<String>("format").map(String::as_str), COLUMNS)?;
    let mut names: Vec<_> = matches.get_many::<String>("container").into_iter().flatten().cloned().collect();
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    let all = Containers::open(&host.dirs);
    if matches.get_flag("latest") {
        names.push(last(&all)?);
    }
    let once = matches.get_flag("no-stream");
    let clear = !once && !matches.get_flag("no-reset") && std::io::IsTerminal::is_terminal(&std::io::stdout());
    let whole = matches.get_flag("no-trunc");
    let interval = Duration::from_secs(matches.get_one::<u16>("interval").copied().unwrap_or(1).into());
    let memory = total_memory();
    let mut before = looks(&all, &names)?;
    loop {
        std::thread::sleep(interval);
        let now = looks(&all, &names)?;
        let earlier: HashMap<_, _> = before.iter().map(|look| (look.container.record.id.as_str(), look)).collect();
        let rows: Vec<Value> =
            now.iter().map(|look| row(look, earlier.get(look.container.record.id.as_str()), memory, whole)).collect();
        let mut screen = Screen::stdout();
        if clear {
            // The cursor to the corner, and what was there away.
            print!("\x1b[H\x1b[2J");
        }
        format.print(&rows, &mut screen)?;
        std::io::Write::flush(&mut std::io::stdout()).context(&state::STATE, || "write to stdout".into())?;
        if once {
            return Ok(0);
        }
        before = now;
    }
}

/// Those that are named must run; of all, those that do are shown.
fn looks(all: &Containers, names: &[String]) -> Result<Vec<Look>> {
    let containers = if names.is_empty() {
        all.list(|error| eprintln!("rl: {}", error.summary()))?
    } else {
        names
            .iter()
            .map(|name| {
                all.find_running(name).map(|(mut container, running)| {
                    container.running = Some(running);
                    container
                })
            })
            .collect::<Result<_>>()?
    };
    let look = |container: Container| {
        let pid = container.running.as_ref()?.pid;
        let sample = Group::of(pid).map(|group| group.sample());
        Some(Look { sample, network: stats::network(pid), at: Instant::now(), container })
    };
    Ok(containers.into_iter().filter_map(look).collect())
}

fn row(look: &Look, before: Option<&&Look>, machine: Option<u64>, whole: bool) -> Value {
    let sample = look.sample.clone().unwrap_or_default();
    let limit = sample.memory_limit.or(machine);
    let percent = |part: f64| format!("{part:.2}%");
    let pair = |pair: Option<(u64, u64)>| {
        pair.map_or_else(|| UNKNOWN.to_owned(), |(one, other)| format!("{} / {}", human_size(one), human_size(other)))
    };
    let cpu = before.and_then(|before| {
        let used = sample.cpu?.checked_sub(before.sample.as_ref()?.cpu?)?;
        let passed = look.at.duration_since(before.at).as_micros();
        Some(percent(ratio(used, u64::try_from(passed).ok()?)))
    });
    let share = sample.memory.zip(limit).map(|(used, limit)| percent(ratio(used, limit)));
    let or_unknown = |text: Option<String>| text.unwrap_or_else(|| UNKNOWN.to_owned());
    json!({
        "ID": if whole { &look.container.record.id } else { look.container.short() },
        // What was typed, in docker.
        "Container": if whole { &look.container.record.id } else { look.container.short() },
        "Name": look.container.record.name,
        "CPUPerc": or_unknown(cpu),
        "MemUsage": pair(sample.memory.zip(limit)),
        "MemPerc": or_unknown(share),
        "NetIO": pair(look.network),
        "BlockIO": pair(sample.read.zip(sample.written)),
        "PIDs": or_unknown(sample.pids.map(|count| count.to_string())),
    })
}

/// In percent.
#[expect(clippy::cast_precision_loss, reason = "two digits behind the point are shown")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

fn total_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kilobytes = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok())?;
    kilobytes.checked_mul(1024)
}
