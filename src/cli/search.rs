//! `rl search TERM`: what a registry has.

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Value, json};

use super::format::{Format, Screen};
use super::registry::{self, Access};
use super::{Globals, Verb};
use crate::error::{Error, Result, catalog::command_line};
use crate::image::Reference;
use crate::image::registry::{Hit, Registry};

/// The verb.
pub const VERB: Verb = Verb { name: "search", about: "Search a registry for images", command, run };

/// The Hub's.
const LIMIT: &str = "25";
/// Of a description in a table.
const WIDTH: usize = 45;

fn command() -> Command {
    registry::flags(Command::new("rl search"))
        .about(VERB.about)
        .override_usage("rl search [OPTIONS] [REGISTRY/]TERM")
        .arg(
            Arg::new("limit")
                .long("limit")
                .value_name("N")
                .default_value(LIMIT)
                .value_parser(clap::value_parser!(u16))
                .help("At most so many"),
        )
        .arg(Arg::new("list-tags").long("list-tags").action(ArgAction::SetTrue).help("The tags of the repository TERM"))
        .arg(Arg::new("no-trunc").long("no-trunc").action(ArgAction::SetTrue).help("Whole descriptions"))
        .arg(
            Arg::new("filter")
                .long("filter")
                .short('f')
                .value_name("KEY=VALUE")
                .action(ArgAction::Append)
                .help("stars=N, is-official=true|false, is-automated=true|false"),
        )
        .arg(Arg::new("format").long("format").value_name("FORMAT").help("json, table, or a template of Go"))
        .arg(Arg::new("term").required(true).value_name("[REGISTRY/]TERM"))
        .after_help(
            "Fields: .Name .Description .Stars .Official .Automated; with --list-tags .Name .Tag\n\nExamples:\n  \
             rl search debian\n  rl search localhost:5000/app\n  rl search --list-tags ghcr.io/owner/app",
        )
}

fn run(_: &Globals, matches: &ArgMatches) -> Result<u8> {
    let term = matches.get_one::<String>("term").map_or("", String::as_str);
    let limit = usize::from(*matches.get_one::<u16>("limit").unwrap_or(&25));
    let access = Access::of(matches)?;
    let asked = matches.get_one::<String>("format").map(String::as_str);
    let (format, rows) = if matches.get_flag("list-tags") {
        let format = Format::parse(asked, &[("NAME", "{{.Name}}"), ("TAG", "{{.Tag}}")])?;
        let (reference, options) = access.to(&Reference::parse(term)?)?;
        let tags = Registry::open(reference.clone(), &options)?.tags(limit)?;
        let row = |tag: String| json!({ "Name": reference.familiar(), "Tag": tag });
        (format, tags.into_iter().map(row).collect::<Vec<Value>>())
    } else {
        let columns = [
            ("NAME", "{{.Name}}"),
            ("DESCRIPTION", "{{.Description}}"),
            ("STARS", "{{.Stars}}"),
            ("OFFICIAL", "{{.Official}}"),
        ];
        let format = Format::parse(asked, &columns)?;
        let filters = matches.get_many::<String>("filter").into_iter().flatten();
        let filters = filters.map(|text| Filter::parse(text)).collect::<Result<Vec<_>>>()?;
        let (host, term) = place(term)?;
        let hub = host == "docker.io";
        // The Hub's search has a host of its own.
        let host = if hub { "index.docker.io" } else { host };
        let (reference, options) = access.to(&Reference::parse(&format!("{host}/search/search"))?)?;
        let mut hits = Registry::open(reference, &options)?.search(term, limit, hub)?;
        hits.retain(|hit| filters.iter().all(|filter| filter.pass(hit)));
        let prefix = if hub { String::new() } else { format!("{host}/") };
        let whole = matches.get_flag("no-trunc") || !Format::is_table(asked);
        (format, hits.iter().map(|hit| row(hit, &prefix, whole)).collect())
    };
    format.print(&rows, &mut Screen::stdout())?;
    Ok(0)
}

/// The registry and what is looked for there.
fn place(term: &str) -> Result<(&str, &str)> {
    let (host, rest) = term.split_once('/').unwrap_or(("docker.io", term));
    let is_host = host.contains(['.', ':']) || host == "localhost";
    let (host, rest) = if is_host { (host, rest) } else { ("docker.io", term) };
    if rest.is_empty() && host == "docker.io" {
        return Err(Error::new(&command_line::USAGE, "rl search: the term is empty"));
    }
    Ok((host, rest))
}

fn row(hit: &Hit, prefix: &str, whole: bool) -> Value {
    let mut description = hit.description.clone();
    if !whole && description.chars().count() > WIDTH {
        description = description.chars().take(WIDTH - 1).chain(['…']).collect();
    }
    json!({
        "Name": format!("{prefix}{}", hit.name),
        "Description": description,
        "Stars": hit.stars,
        "Official": if hit.official { "[OK]" } else { "" },
        "Automated": if hit.automated { "[OK]" } else { "" },
    })
}

enum Filter {
    Stars(u64),
    Official(bool),
    Automated(bool),
}

impl Filter {
    fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            Error::new(&command_line::USAGE, format!("--filter {text:?}"))
                .fix("There are: stars=N, is-official=true|false, is-automated=true|false")
        };
        let (key, value) = text.split_once('=').ok_or_else(wrong)?;
        match key {
            "stars" => value.parse().map(Self::Stars).map_err(|_| wrong()),
            "is-official" => value.parse().map(Self::Official).map_err(|_| wrong()),
            "is-automated" => value.parse().map(Self::Automated).map_err(|_| wrong()),
            _ => Err(wrong()),
        }
    }

    fn pass(&self, hit: &Hit) -> bool {
        match self {
            Self::Stars(least) => hit.stars >= *least,
            Self::Official(official) => hit.official == *official,
            Self::Automated(automated) => hit.automated == *automated,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_may_begin_with_a_registry() {
        for (term, parts) in [
            ("debian", ("docker.io", "debian")),
            ("someone/app", ("docker.io", "someone/app")),
            ("localhost:5000/app", ("localhost:5000", "app")),
            ("quay.io/", ("quay.io", "")),
        ] {
            assert_eq!(place(term).expect(term), parts);
        }
        assert!(place("").is_err());
    }
}
