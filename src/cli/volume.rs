//! `rl volume create|ls|inspect|rm|prune`.
//!
//! Owns docker's columns and document of a volume. The surprise: `prune` without `-a` takes those without a name only, as docker's does.

use std::io::Write;

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Map, Value, json};

use super::container::until;
use super::format::{self, Format, Screen};
use super::prune::agreed;
use super::run::env;
use super::{Globals, Verb, in_namespace};
use crate::error::{Error, Result, catalog::command_line, catalog::volume as codes};
use crate::host::Host;
use crate::volume::{Volume, Volumes};

/// `rl volume create`.
pub const CREATE: Verb = Verb { name: "create", about: "Make a volume", command: create_command, run: create };
/// `rl volume ls`.
pub const LS: Verb = Verb { name: "ls", about: "List the volumes", command: ls_command, run: ls };
/// `rl volume inspect`.
pub const INSPECT: Verb =
    Verb { name: "inspect", about: "All that is known of volumes", command: inspect_command, run: inspect };
/// `rl volume rm`.
pub const RM: Verb =
    Verb { name: "rm", about: "Remove volumes with all that is in them", command: rm_command, run: rm };
/// `rl volume prune`.
pub const PRUNE: Verb =
    Verb { name: "prune", about: "Remove volumes that no container uses", command: prune_command, run: prune };

fn flag(name: &'static str, short: char, help: &'static str) -> Arg {
    Arg::new(name).long(name).short(short).action(ArgAction::SetTrue).help(help)
}

fn several(name: &'static str, shown: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(shown).action(ArgAction::Append).help(help)
}

fn volumes(globals: &Globals) -> Result<(Host, Volumes)> {
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    let volumes = Volumes::open(&host.dirs);
    Ok((host, volumes))
}

fn names(matches: &ArgMatches) -> impl Iterator<Item = &String> {
    matches.get_many::<String>("name").into_iter().flatten()
}

fn create_command() -> Command {
    Command::new("rl volume create")
        .about(CREATE.about)
        .arg(several("label", "K=V", "Label of the volume").short('l'))
        .arg(Arg::new("driver").long("driver").short('d').value_name("DRIVER").help("local, the only one"))
        .arg(Arg::new("name").value_name("NAME").help("Made up where it is not given"))
}

fn create(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    if let Some(driver) = matches.get_one::<String>("driver").filter(|driver| *driver != "local") {
        return Err(Error::new(&command_line::USAGE, format!("--driver {driver:?}: local is the only driver")));
    }
    let labels: Vec<_> = matches.get_many::<String>("label").into_iter().flatten().cloned().collect();
    let labels = env::labels(&[], &labels)?;
    let (_, volumes) = volumes(globals)?;
    let name = match matches.get_one::<String>("name") {
        Some(name) => name.clone(),
        None => crate::runtime::container::new_id()?,
    };
    volumes.create(&name, &labels, None)?;
    println!("{name}");
    Ok(0)
}

fn ls_command() -> Command {
    Command::new("rl volume ls")
        .about(LS.about)
        .arg(flag("quiet", 'q', "Only names"))
        .arg(
            Arg::new("noheading")
                .long("noheading")
                .action(ArgAction::SetTrue)
                .help("Without the line above the columns"),
        )
        .arg(several("filter", "KEY=VALUE", "dangling=true|false, name=PART, label=NAME[=VALUE]").short('f'))
        .arg(Arg::new("format").long("format").value_name("FORMAT").help("json, table, or a template of Go"))
        .after_help("Fields: .Name .Driver .Mountpoint .Labels .Scope .CreatedAt")
}

fn ls(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let asked = matches.get_one::<String>("format").map(String::as_str);
    let format = if matches.get_flag("quiet") && Format::is_table(asked) {
        Format::parse(Some("{{.Name}}"), &[])?
    } else {
        Format::parse(asked, &[("DRIVER", "{{.Driver}}"), ("VOLUME NAME", "{{.Name}}")])?
    };
    let format = if matches.get_flag("noheading") { format.without_heading() } else { format };
    let (_, volumes) = volumes(globals)?;
    let mut all = volumes.list()?;
    for filter in matches.get_many::<String>("filter").into_iter().flatten() {
        let bad = || {
            let what = format!("--filter {filter:?}: expected dangling=true|false, name=PART or label=NAME[=VALUE]");
            Error::new(&command_line::USAGE, what)
        };
        let (key, value) = filter.split_once('=').ok_or_else(bad)?;
        match (key, value) {
            ("dangling", "true" | "1" | "false" | "0") => {
                let unused =
                    all.iter().map(|one| Ok(volumes.users(&one.name)?.is_empty())).collect::<Result<Vec<_>>>()?;
                let mut unused = unused.into_iter();
                all.retain(|_| unused.next().unwrap_or(false) == matches!(value, "true" | "1"));
            }
            ("name", part) => all.retain(|one| one.name.contains(part)),
            ("label", label) => all.retain(|one| has_label(one, label)),
            _ => return Err(bad()),
        }
    }
    let rows: Vec<_> = all
        .iter()
        .map(|one| {
            let mut row = document(one, &volumes);
            let labels: Vec<_> = one.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            row["Labels"] = labels.join(",").into();
            row
        })
        .collect();
    format.print(&rows, &mut Screen::stdout())?;
    Ok(0)
}

/// `--filter` of prune, all of which must agree.
enum Kept {
    Label(String, bool),
    Until(u64),
    /// docker's way of saying `-a`.
    Named,
}

impl Kept {
    fn parse(text: &str) -> Result<Self> {
        let bad = || {
            let what =
                format!("--filter {text:?}: expected label=NAME[=VALUE], label!=NAME[=VALUE], until=TIME or all=true");
            Error::new(&command_line::USAGE, what)
        };
        match text.split_once('=').ok_or_else(bad)? {
            ("label", label) => Ok(Self::Label(label.to_owned(), true)),
            ("label!", label) => Ok(Self::Label(label.to_owned(), false)),
            ("until", time) => until(time).map(Self::Until).ok_or_else(bad),
            ("all", "true" | "1") => Ok(Self::Named),
            _ => Err(bad()),
        }
    }

    fn pass(&self, volume: &Volume) -> bool {
        match self {
            Self::Label(label, wanted) => has_label(volume, label) == *wanted,
            Self::Until(time) => volume.created < *time,
            Self::Named => true,
        }
    }
}

fn has_label(volume: &Volume, label: &str) -> bool {
    let (name, value) = label.split_once('=').map_or((label, None), |(name, value)| (name, Some(value)));
    volume.labels.iter().any(|(have, of)| have == name && value.is_none_or(|value| value == of))
}

/// docker's.
fn document(volume: &Volume, volumes: &Volumes) -> Value {
    let labels: Map<_, _> = volume.labels.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    json!({
        "CreatedAt": format::date(volume.created / 1_000_000_000),
        "Driver": "local",
        "Labels": labels,
        "Mountpoint": volumes.data(&volume.name).to_string_lossy(),
        "Name": volume.name,
        "Options": {},
        "Scope": "local",
        "Anonymous": volume.container.is_some(),
    })
}

fn inspect_command() -> Command {
    Command::new("rl volume inspect")
        .about(INSPECT.about)
        .arg(Arg::new("format").long("format").short('f').value_name("FORMAT").help("json, or a template of Go"))
        .arg(flag("all", 'a', "All of them"))
        .arg(Arg::new("name").required_unless_present("all").num_args(1..).value_name("VOLUME"))
}

fn inspect(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let format = Format::parse(Some(matches.get_one::<String>("format").map_or("json", String::as_str)), &[])?;
    let (_, volumes) = volumes(globals)?;
    let mut rows = Vec::new();
    if matches.get_flag("all") {
        rows.extend(volumes.list()?.iter().map(|volume| document(volume, &volumes)));
    }
    for name in names(matches) {
        let found = volumes.find(name)?.ok_or_else(|| Error::new(&codes::NO_VOLUME, format!("{name:?}")))?;
        rows.push(document(&found, &volumes));
    }
    format.print(&rows, &mut Screen::stdout())?;
    Ok(0)
}

fn rm_command() -> Command {
    Command::new("rl volume rm")
        .about(RM.about)
        .arg(flag("force", 'f', "That there is none is no error"))
        .arg(flag("all", 'a', "All that no container uses"))
        .arg(Arg::new("name").required_unless_present("all").num_args(1..).value_name("VOLUME"))
}

fn rm(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let (host, _) = in_namespace(globals, None)?;
    let volumes = Volumes::open(&host.dirs);
    let (mut status, all) = (0, matches.get_flag("all"));
    let mut wanted: Vec<String> = names(matches).cloned().collect();
    if all {
        wanted.extend(volumes.list()?.into_iter().map(|volume| volume.name));
    }
    for name in &wanted {
        match volumes.remove(name) {
            Ok(()) => println!("{name}"),
            Err(error) if all && *error.entry() == codes::VOLUME_IN_USE => {}
            Err(error) if *error.entry() == codes::NO_VOLUME && matches.get_flag("force") => {}
            Err(error) => {
                // Each has its own result, as in docker.
                let _ = Screen::stderr().write_all(format!("rl: {error}\n").as_bytes());
                status = 1;
            }
        }
    }
    Ok(status)
}

fn prune_command() -> Command {
    Command::new("rl volume prune")
        .about(PRUNE.about)
        .arg(flag("all", 'a', "Those with a name, too"))
        .arg(flag("force", 'f', "Without asking"))
        .arg(several("filter", "KEY=VALUE", "label=NAME[=VALUE], label!=NAME[=VALUE], until=TIME, all=true"))
}

fn prune(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let filters = matches.get_many::<String>("filter").into_iter().flatten();
    let filters = filters.map(|text| Kept::parse(text)).collect::<Result<Vec<_>>>()?;
    let all = matches.get_flag("all") || filters.iter().any(|filter| matches!(filter, Kept::Named));
    let what =
        if all { "all volumes that no container uses" } else { "all volumes without a name that no container uses" };
    if !matches.get_flag("force") && !agreed("rl volume prune", what)? {
        return Ok(0);
    }
    let (host, _) = in_namespace(globals, None)?;
    let volumes = Volumes::open(&host.dirs);
    let meant =
        |volume: &&Volume| (all || volume.container.is_some()) && filters.iter().all(|filter| filter.pass(volume));
    for volume in volumes.list()?.iter().filter(meant) {
        match volumes.remove(&volume.name) {
            Ok(()) => println!("{}", volume.name),
            Err(error) if [&codes::VOLUME_IN_USE, &codes::NO_VOLUME].contains(&error.entry()) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(0)
}
