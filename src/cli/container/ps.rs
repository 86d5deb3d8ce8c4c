//! `rl ps`.
//!
//! Owns docker's columns of a container. The surprise: nothing here is remembered; each line is what the container's process and its
//! files say at this moment.

use std::cmp::Reverse;

use clap::{ArgMatches, Command};
use serde_json::{Map, Value, json};

use super::filter::{self, Filters};
use super::inspect::{host, network};
use super::{flag, value, word};
use crate::cli::format::{self, Format, Screen};
use crate::cli::{Globals, Verb};
use crate::error::{Error, Result, catalog::command_line};
use crate::host::{Dirs, Host};
use crate::image::Store;
use crate::spec::Volume;
use crate::state::{Container, Containers, Phase, now};

/// The verb.
pub const VERB: Verb = Verb { name: "ps", about: "List containers", command, run };

/// Of a command in a table.
const WIDTH: usize = 20;
const MOUNT_WIDTH: usize = 15;
const SECOND: u64 = 1_000_000_000;

/// podman's names of them, and the kernel's.
const NAMESPACES: [(&str, &str); 7] = [
    ("CGROUPNS", "cgroup"),
    ("IPC", "ipc"),
    ("MNT", "mnt"),
    ("NET", "net"),
    ("PIDNS", "pid"),
    ("USERNS", "user"),
    ("UTS", "uts"),
];

fn command() -> Command {
    Command::new("rl ps")
        .about(VERB.about)
        .arg(flag("all", "Those that do not run, too").short('a'))
        .arg(flag("quiet", "Only ids").short('q'))
        .arg(flag("no-trunc", "Whole ids and commands"))
        .arg(flag("latest", "The one that was made last, whatever it does").short('l'))
        .arg(value("last", "N", "The N that were made last").short('n').allow_hyphen_values(true))
        .arg(flag("size", "What they have written").short('s'))
        .arg(flag("noheading", "Without the line of names above the columns"))
        .arg(value("sort", "FIELD", "By command, created, id, image, names, runningfor, size or status; else the newest first"))
        .arg(flag("ns", "The numbers of their namespaces, in place of the other columns"))
        .arg(flag("sync", "For scripts of podman: what is shown is what is"))
        .arg(flag("external", "For scripts of podman: there are no containers of others"))
        .arg(filter::argument().short('f'))
        .arg(value("format", "FORMAT", "json, table, 'table TEMPLATE' or a template of Go: '{{.ID}} {{.Status}}'"))
        .after_help(
            "Fields: .ID .Names .Image .ImageID .Command .CreatedAt .RunningFor .Ports .State .Status .Size .Labels .Mounts .Networks \
             .LocalVolumes .Pid .ExitCode .Restarts .Created .StartedAt .ExitedAt .Exited .AutoRemove .CIDFile, and with --ns .CGROUPNS \
             .IPC .MNT .NET .PIDNS .USERNS .UTS\n\nExamples:\n  rl ps -a --filter status=exited\n  rl rm $(rl ps -aq)",
        )
}

fn run(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let asked = word(matches, "format");
    let size = matches.get_flag("size");
    let format = if matches.get_flag("quiet") && Format::is_table(asked) {
        Format::parse(Some("{{.ID}}"), &[])?
    } else {
        Format::parse(asked, &if matches.get_flag("ns") { of_namespaces() } else { columns(size) })?
    };
    let format = if matches.get_flag("noheading") { format.without_heading() } else { format };
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    let mut all = super::list(&Containers::open(&host.dirs))?;
    let filters = Filters::of(matches, &all)?;
    let last = last(matches)?;
    let everything = matches.get_flag("all") || last.is_some() || filters.has("status") || filters.has("exited");
    all.retain(|container| (everything || container.is_active()) && filters.pass(container));
    all.sort_by_key(|container| Reverse(container.record.created));
    all.truncate(last.unwrap_or(usize::MAX));
    let whole = matches.get_flag("no-trunc");
    let needs_size = size || asked.is_some_and(|text| text.contains(".Size"));
    let time = now();
    // Each is a look at a process.
    let asks = |text: &str| text.contains("json") || NAMESPACES.iter().any(|(name, _)| text.contains(name));
    let needs_namespaces = matches.get_flag("ns") || asked.is_some_and(asks);
    if let Some(field) = word(matches, "sort") {
        sort(&mut all, field, &host.dirs)?;
    }
    let rows: Vec<Value> = all
        .iter()
        .map(|container| {
            let mut row = row(container, whole, time);
            if asked.is_some()
                && let (Value::Object(row), Value::Object(more)) = (&mut row, more(container, whole))
            {
                row.extend(more);
            }
            if needs_namespaces && let Value::Object(row) = &mut row {
                row.extend(namespaces(container));
            }
            if needs_size {
                row["Size"] = size_with_image(&host.dirs, container).into();
            }
            row
        })
        .collect();
    format.print(&rows, &mut Screen::stdout())?;
    Ok(0)
}

/// What it has written, and with it the image below, as docker words it.
fn size_with_image(dirs: &Dirs, container: &Container) -> String {
    let (written, whole) = sizes(dirs, container);
    let whole = whole.map(|whole| format!(" (virtual {})", format::human_size(whole)));
    format::human_size(written) + &whole.unwrap_or_default()
}

/// What it has written, and what that makes with the image, in bytes.
pub(super) fn sizes(dirs: &Dirs, container: &Container) -> (u64, Option<u64>) {
    let written = super::remove::size_of(dirs, &container.record.id);
    let image = container.record.image_id.as_deref();
    let below = image.and_then(|id| Store::open(dirs).details(id, None).ok()).map(|details| details.size());
    (written, below.map(|below| written + below))
}

fn last(matches: &ArgMatches) -> Result<Option<usize>> {
    let Some(word) = word(matches, "last") else { return Ok(matches.get_flag("latest").then_some(1)) };
    let number: i64 =
        word.parse().map_err(|_| Error::new(&command_line::USAGE, format!("--last {word:?}: expected a number")))?;
    Ok(usize::try_from(number).ok().filter(|number| *number > 0))
}

/// podman's fields; from the least to the most, times from the oldest on.
fn sort(all: &mut [Container], field: &str, dirs: &Dirs) -> Result<()> {
    let time = now();
    match field {
        "command" => all.sort_by_cached_key(|one| one.record.command.join(" ")),
        "created" => all.sort_by_key(|one| one.record.created),
        "runningfor" => all.sort_by_key(|one| Reverse(one.record.created)),
        "id" => all.sort_by(|one, other| one.record.id.cmp(&other.record.id)),
        "image" => all.sort_by(|one, other| one.record.image.cmp(&other.record.image)),
        "names" => all.sort_by(|one, other| one.record.name.cmp(&other.record.name)),
        "size" => all.sort_by_cached_key(|one| super::remove::size_of(dirs, &one.record.id)),
        "status" => all.sort_by_cached_key(|one| status(one, time)),
        _ => {
            let what = format!("--sort {field:?}: one of command, created, id, image, names, runningfor, size, status");
            return Err(Error::new(&command_line::USAGE, what));
        }
    }
    Ok(())
}

fn columns(size: bool) -> Vec<(&'static str, &'static str)> {
    let mut columns = vec![
        ("CONTAINER ID", "{{.ID}}"),
        ("IMAGE", "{{.Image}}"),
        ("COMMAND", "{{.Command}}"),
        ("CREATED", "{{.RunningFor}}"),
        ("STATUS", "{{.Status}}"),
        ("PORTS", "{{.Ports}}"),
        ("NAMES", "{{.Names}}"),
    ];
    if size {
        columns.push(("SIZE", "{{.Size}}"));
    }
    columns
}

/// podman's.
fn of_namespaces() -> Vec<(&'static str, &'static str)> {
    vec![
        ("CONTAINER ID", "{{.ID}}"),
        ("NAMES", "{{.Names}}"),
        ("PID", "{{.Pid}}"),
        ("CGROUPNS", "{{.CGROUPNS}}"),
        ("IPC", "{{.IPC}}"),
        ("MNT", "{{.MNT}}"),
        ("NET", "{{.NET}}"),
        ("PIDNS", "{{.PIDNS}}"),
        ("USERNS", "{{.USERNS}}"),
        ("UTS", "{{.UTS}}"),
    ]
}

/// Numbers of the namespaces of what runs.
fn namespaces(container: &Container) -> Map<String, Value> {
    let number = |kind: &str| {
        let pid = container.running.as_ref()?.pid;
        let link = std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok()?;
        let text = link.to_string_lossy().into_owned();
        Some(text.split_once('[')?.1.trim_end_matches(']').to_owned())
    };
    NAMESPACES.iter().map(|(name, kind)| ((*name).to_owned(), number(kind).unwrap_or_default().into())).collect()
}

/// What the table shows.
fn row(container: &Container, whole: bool, time: u64) -> Value {
    let record = &container.record;
    json!({
        "ID": if whole { &record.id } else { container.short() },
        "Names": record.name,
        "Image": record.image,
        "Command": quoted(&record.command.join(" "), whole),
        "RunningFor": format::ago(record.created / SECOND, time / SECOND),
        "Status": status(container, time),
        "Ports": network::column(container),
        "Size": "0B",
        "Pid": container.running.as_ref().map_or(0, |running| running.pid.as_raw()),
    })
}

/// What only who gives a format can see: of a thousand containers, a fifth of the time.
fn more(container: &Container, whole: bool) -> Value {
    let record = &container.record;
    let labels: Map<String, Value> = record.labels().into_iter().map(|(name, value)| (name, value.into())).collect();
    let last = container.status.as_ref().map(|status| status.settled());
    let running = container.running.as_ref().map(|running| running.started);
    let started = running.or(last.as_ref().map(|last| last.started));
    let ended = last.as_ref().filter(|_| running.is_none()).and_then(|last| last.finished);
    json!({
        "ImageID": record.image_id,
        "CreatedAt": format::date(record.created / SECOND),
        "State": filter::phase(container),
        "Labels": labels,
        "Mounts": mounts(container, whole),
        "Networks": network::names(container).join(","),
        "LocalVolumes": container.record.run.volumes.iter().filter(|one| matches!(one, Volume::Named { .. })).count().to_string(),
        // One that runs again has not ended: the last time's status is not its own.
        "ExitCode": last.as_ref().filter(|_| running.is_none()).map_or(0, |last| last.exit),
        "Restarts": last.as_ref().map_or(0, |last| last.restarts),
        // podman's, with its seconds since 1970.
        "Created": record.created / SECOND,
        "StartedAt": started.unwrap_or(0) / SECOND,
        "Exited": ended.is_some(),
        "ExitedAt": ended.unwrap_or(0) / SECOND,
        "AutoRemove": record.run.remove,
        "CIDFile": record.run.cidfile.as_ref().map_or_else(String::new, |path| path.display().to_string()),
    })
}

/// Names of volumes, and directories of the host; docker cuts each.
fn mounts(container: &Container, whole: bool) -> String {
    let text = |mount: &Value| {
        let text = host::source(mount);
        if whole || text.chars().count() <= MOUNT_WIDTH {
            return text.to_owned();
        }
        text.chars().take(MOUNT_WIDTH - 1).chain(['…']).collect()
    };
    host::mounts(container).iter().map(text).collect::<Vec<_>>().join(",")
}

/// As docker shows it: cut, then in quotes.
fn quoted(command: &str, whole: bool) -> String {
    let cut: String = if whole || command.chars().count() <= WIDTH {
        command.to_owned()
    } else {
        command.chars().take(WIDTH - 1).chain(['…']).collect()
    };
    format!("\"{}\"", cut.replace('\\', "\\\\").replace('"', "\\\""))
}

/// `Up 5 minutes (healthy)`, `Exited (0) 2 hours ago`, `Created`.
fn status(container: &Container, time: u64) -> String {
    let ago = |then: u64| format::human_duration(time.saturating_sub(then) / SECOND);
    let last = container.status.as_ref().map(|status| status.settled());
    match (container.phase(), last) {
        (Phase::Running, last) => {
            let health = match super::inspect::health(container) {
                "none" => String::new(),
                "starting" => " (health: starting)".into(),
                word => format!(" ({word})"),
            };
            let health = if filter::is_paused(container) { " (Paused)".into() } else { health };
            let running = container.running.as_ref().map(|running| running.started);
            format!("Up {}{health}", ago(running.or(last.map(|last| last.started)).unwrap_or(time)))
        }
        (Phase::Created, _) | (_, None) => "Created".into(),
        (phase, Some(last)) => {
            let word = if phase == Phase::Restarting { "Restarting" } else { "Exited" };
            // Nobody has seen the end of one whose supervisor was killed; it was after its start.
            format!("{word} ({}) {} ago", last.exit, ago(last.finished.unwrap_or(last.started)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_cut_and_then_quoted() {
        assert_eq!(quoted("sh", false), "\"sh\"");
        assert_eq!(quoted("sh -c 'echo hello world'", false), "\"sh -c 'echo hello w…\"");
        assert_eq!(quoted("say \"x\\\"", false), "\"say \\\"x\\\\\\\"\"");
        assert_eq!(quoted(&"x".repeat(30), true).len(), 32);
    }
}
