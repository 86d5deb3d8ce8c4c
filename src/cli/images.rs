//! `rl images`: what the store has.

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{Globals, Verb};
use crate::error::{Context, Error, Result, catalog::command_line, catalog::state};
use crate::host::Host;
use crate::image::{Listed, Reference, Store};

/// The verb.
pub const VERB: Verb = Verb { name: "images", about: "List the images", command, run };

fn command() -> Command {
    Command::new("rl images")
        .about(VERB.about)
        .arg(Arg::new("quiet").long("quiet").short('q').action(ArgAction::SetTrue).help("Only ids"))
        .arg(Arg::new("no-trunc").long("no-trunc").action(ArgAction::SetTrue).help("Whole ids"))
        .arg(Arg::new("format").long("format").value_name("FORMAT").help("table (default) or json"))
}

fn run(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    let images = Store::open(&host.dirs).list()?;
    let shown =
        |id: &str| if matches.get_flag("no-trunc") { format!("sha256:{id}") } else { id.chars().take(12).collect() };
    match matches.get_one::<String>("format").map_or("table", String::as_str) {
        _ if matches.get_flag("quiet") => images.iter().for_each(|image| println!("{}", shown(&image.id))),
        "json" => {
            let text = serde_json::to_string_pretty(&images).context(&state::INTERNAL, || "write JSON".into())?;
            println!("{text}");
        }
        "table" => table(&images, &shown),
        other => return Err(Error::new(&command_line::USAGE, format!("--format {other:?}: expected table or json"))),
    }
    Ok(0)
}

fn table(images: &[Listed], shown: &impl Fn(&str) -> String) {
    let row = |image: &Listed| {
        let name = image.name.as_deref().and_then(|name| Reference::parse(name).ok());
        let (repository, tag) =
            name.map_or(("<none>".into(), "<none>".into()), |name| (name.familiar(), name.tag().to_owned()));
        [repository, tag, shown(&image.id), ago(image.created), human(image.size)]
    };
    let mut rows = vec![["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"].map(str::to_owned)];
    rows.extend(images.iter().map(row));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 5] = std::array::from_fn(width);
    for row in &rows {
        let line: String = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}  ")).collect();
        println!("{}", line.trim_end());
    }
}

fn ago(created: u64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let seconds = now.saturating_sub(created);
    let units = [
        (86400 * 365, "year"),
        (86400 * 30, "month"),
        (86400 * 7, "week"),
        (86400, "day"),
        (3600, "hour"),
        (60, "minute"),
        (1, "second"),
    ];
    let (length, unit) = units.into_iter().find(|(length, _)| seconds >= *length).unwrap_or((1, "second"));
    let count = seconds / length;
    format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" })
}

/// Decimal units, as docker shows them.
fn human(bytes: u64) -> String {
    let units = [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1000, "kB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => {
            let tenths = bytes * 10 / unit;
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}
