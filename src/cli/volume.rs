//! `rl volume create|ls|inspect|rm|prune`; what is in one is in `content`.
//!
//! Owns docker's columns and document of a volume. The surprise: `prune` without `-a` takes those without a name only, as docker's does.

pub mod content;
mod filter;

use std::collections::BTreeMap;
use std::io::Write;

use clap::{Arg, ArgAction, ArgMatches, Command};

use self::filter::Filter;
use super::described;
use super::format::{Format, Screen};
use super::prune::agreed;
use super::run::env;
use super::{Globals, Verb, in_namespace};
use crate::error::{Error, Result, catalog::command_line, catalog::volume as codes};
use crate::host::Host;
use crate::volume::{self, Made, Volumes, backing};

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
        .arg(
            several(
                "opt",
                "KEY=VALUE",
                "type=none, device=DIR, o=bind[,ro,...]: DIR is the volume; type=tmpfs, o=size=64m: memory; o=uid=,gid=: whose it is",
            )
            .short('o'),
        )
        .arg(
            Arg::new("ignore")
                .long("ignore")
                .action(ArgAction::SetTrue)
                .help("For scripts of podman: one that is there is no error"),
        )
        .arg(Arg::new("driver").long("driver").short('d').value_name("DRIVER").help("local, the only one"))
        .arg(Arg::new("name").value_name("NAME").help("Made up where it is not given"))
}

fn create(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    if let Some(driver) = matches.get_one::<String>("driver").filter(|driver| *driver != "local") {
        return Err(Error::new(&command_line::USAGE, format!("--driver {driver:?}: local is the only driver")));
    }
    let labels: Vec<_> = matches.get_many::<String>("label").into_iter().flatten().cloned().collect();
    let labels = env::labels(&[], &labels)?;
    let pair = |text: &String| match text.split_once('=') {
        Some((key, value)) => (key.to_owned(), value.to_owned()),
        None => (text.clone(), String::new()),
    };
    let options: BTreeMap<_, _> = matches.get_many::<String>("opt").into_iter().flatten().map(pair).collect();
    let backing = backing::parse(&options).map_err(|why| Error::new(&command_line::USAGE, format!("--opt: {why}")))?;
    // Giving it to somebody takes the caller's other ids.
    let volumes = match backing.owner {
        (None, None) => volumes(globals)?.1,
        _ => Volumes::open(&in_namespace(globals, None)?.0.dirs),
    };
    let name = match matches.get_one::<String>("name") {
        Some(name) => name.clone(),
        None => crate::runtime::container::new_id()?,
    };
    let made = volumes.create_with(&name, &labels, None, &options)?;
    if let (Made::New, (uid, gid), true) = (made, backing.owner, backing.owner != (None, None)) {
        volume::give(&volumes.data(&name), uid.unwrap_or(0), gid.unwrap_or(0))?;
    }
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
        .arg(several("filter", "KEY=VALUE", filter::KEYS).short('f'))
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
    let filters = filters(matches, &volumes)?;
    let mut all = Vec::new();
    for one in volumes.list()? {
        if filter::pass(&filters, &one, &volumes)? {
            all.push(one);
        }
    }
    let rows: Vec<_> = all
        .iter()
        .map(|one| {
            let mut row = described::document(one, &volumes);
            let labels: Vec<_> = one.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            row["Labels"] = labels.join(",").into();
            row
        })
        .collect();
    format.print(&rows, &mut Screen::stdout())?;
    Ok(0)
}

fn filters(matches: &ArgMatches, volumes: &Volumes) -> Result<Vec<Filter>> {
    matches.get_many::<String>("filter").into_iter().flatten().map(|text| Filter::parse(text, volumes)).collect()
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
    let all = if matches.get_flag("all") { volumes.list()? } else { Vec::new() };
    let named = names(matches).map(|name| {
        let found = volumes.find(name)?.ok_or_else(|| Error::new(&codes::NO_VOLUME, format!("{name:?}")))?;
        Ok(described::document(&found, &volumes))
    });
    let rows = all.iter().map(|volume| Ok(described::document(volume, &volumes))).chain(named);
    described::each(rows, |rows| format.print(rows, &mut Screen::stdout()))
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
        .arg(several("filter", "KEY=VALUE", "As of ls; all=true: as -a"))
}

fn prune(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let filters = filters(matches, &volumes(globals)?.1)?;
    let all = matches.get_flag("all") || filters.iter().any(|filter| matches!(filter, Filter::All));
    let what =
        if all { "all volumes that no container uses" } else { "all volumes without a name that no container uses" };
    if !matches.get_flag("force") && !agreed("rl volume prune", what)? {
        return Ok(0);
    }
    let (host, _) = in_namespace(globals, None)?;
    let volumes = Volumes::open(&host.dirs);
    for volume in volumes.list()?.iter().filter(|volume| all || volume.container.is_some()) {
        if !filter::pass(&filters, volume, &volumes)? {
            continue;
        }
        match volumes.remove(&volume.name) {
            Ok(()) => println!("{}", volume.name),
            Err(error) if [&codes::VOLUME_IN_USE, &codes::NO_VOLUME].contains(&error.entry()) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(0)
}
