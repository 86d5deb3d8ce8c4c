//! `rl images`: what the store has.
//!
//! Owns docker's columns of an image. The surprise: images come newest first, as docker has them.

mod filter;

use std::cmp::Reverse;
use std::collections::HashSet;

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Map, Value, json};

use self::filter::Filters;
use super::format::{self, Format, Screen};
use super::{Globals, Verb};
use crate::error::Result;
use crate::host::Host;
use crate::host::config::Config;
use crate::image::{Listed, Reference, Store};

/// The verb.
pub const VERB: Verb = Verb { name: "images", about: "List the images", command, run };

const NONE: &str = "<none>";

fn command() -> Command {
    let flag = |name: &'static str, help: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    Command::new("rl images")
        .about(VERB.about)
        .override_usage("rl images [OPTIONS] [REPOSITORY[:TAG]]")
        .arg(flag("all", "For scripts of docker: there are no intermediate images, all are shown").short('a'))
        .arg(flag("quiet", "Only ids").short('q'))
        .arg(flag("no-trunc", "Whole ids"))
        .arg(flag("digests", "The manifests' digests, too"))
        .arg(
            Arg::new("filter").long("filter").short('f').value_name("KEY=VALUE").action(ArgAction::Append).help(
                "dangling=true|false, reference=PATTERN, label=NAME[=VALUE], before=IMAGE, since=IMAGE",
            ),
        )
        .arg(Arg::new("format").long("format").value_name("FORMAT").help(
            "json, table, 'table TEMPLATE' or a template of Go: '{{.ID}} {{.Size}}'",
        ))
        .arg(Arg::new("name").value_name("REPOSITORY[:TAG]").help("Only these; * and ? stand for others"))
        .after_help(
            "Fields: .ID .Repository .Tag .Digest .Platform .CreatedSince .CreatedAt .Size .Labels .ReadOnly\n\nExamples:\n  \
             rl images -q --filter dangling=true\n  rl images 'debian*'\n  rl images --format 'table {{.ID}}\\t{{.Size}}'",
        )
}

fn run(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let asked = matches.get_one::<String>("format").map(String::as_str);
    let format = match (matches.get_flag("quiet") && Format::is_table(asked), matches.get_flag("digests")) {
        (true, _) => Format::parse(Some("{{.ID}}"), &[])?,
        (false, digests) => Format::parse(asked, &columns(digests))?,
    };
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    let mut images = Store::open(&host.dirs).list()?;
    let own = images.len();
    for root in Config::read()?.additional_stores {
        images.extend(Store::of_others(&root).list()?);
    }
    let read_only: HashSet<_> = images[own..].iter().map(|image| (image.name.clone(), image.id.clone())).collect();
    let mut filters = Filters::default();
    for filter in matches.get_many::<String>("filter").into_iter().flatten() {
        filters.add(filter, &images)?;
    }
    if let Some(name) = matches.get_one::<String>("name") {
        filters.add_reference(name)?;
    }
    images.retain(|image| filters.pass(image));
    images.sort_by_key(|image| Reverse(image.created));
    let now = format::now();
    let rows: Vec<Value> = images
        .iter()
        .map(|image| {
            let mut row = row(image, matches.get_flag("no-trunc"), now);
            row["ReadOnly"] = read_only.contains(&(image.name.clone(), image.id.clone())).into();
            row
        })
        .collect();
    format.print(&rows, &mut Screen::stdout())?;
    Ok(0)
}

fn columns(digests: bool) -> Vec<(&'static str, &'static str)> {
    let mut columns = vec![("REPOSITORY", "{{.Repository}}"), ("TAG", "{{.Tag}}")];
    if digests {
        columns.push(("DIGEST", "{{.Digest}}"));
    }
    columns.extend([("IMAGE ID", "{{.ID}}"), ("CREATED", "{{.CreatedSince}}"), ("SIZE", "{{.Size}}")]);
    columns
}

fn row(image: &Listed, whole: bool, now: u64) -> Value {
    let name = image.name.as_deref().and_then(|name| Reference::parse(name).ok());
    let (repository, tag) = name.map_or((NONE.into(), NONE.into()), |name| (name.familiar(), name.tag().to_owned()));
    let id = if whole { format!("sha256:{}", image.id) } else { image.id.chars().take(12).collect() };
    let labels: Map<String, Value> =
        image.labels.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    json!({
        "ID": id,
        "Repository": repository,
        "Tag": tag,
        "Digest": image.digest.as_deref().unwrap_or(NONE),
        "Platform": image.platform,
        "CreatedSince": format::ago(image.created, now),
        "CreatedAt": format::date(image.created),
        "Size": format::human_size(image.size),
        "Labels": labels,
    })
}
