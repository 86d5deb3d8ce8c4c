//! `rl diff CONTAINER`: what a container has changed in its image.
//!
//! The surprise: what `rl` itself makes in every container (mount points, /etc/hosts) is no change of the container's.

use std::io::Write;
use std::path::Path;

use clap::{Arg, ArgMatches, Command};
use serde_json::json;

use super::container::{latest, named_or_last};
use super::files::Found;
use super::format::Screen;
use super::run::rest::Written;
use super::{Globals, Verb, in_namespace};
use crate::error::{Context, Error, Result, catalog::command_line, catalog::volume as codes};
use crate::image::changes::{Change, Kind, changes};
use crate::state::Containers;

/// The verb.
pub const VERB: Verb = Verb { name: "diff", about: "What a container has changed in its image", command, run };

/// What every start makes, as podman has the list.
const OUR_OWN: [&str; 10] = [
    "/dev",
    "/proc",
    "/sys",
    "/run/.containerenv",
    "/run/secrets",
    "/etc/hosts",
    "/etc/hostname",
    "/etc/resolv.conf",
    "/etc/mtab",
    "/.dockerenv",
];

fn command() -> Command {
    Command::new("rl diff")
        .about(VERB.about)
        .override_usage("rl diff [--format json] CONTAINER|--latest")
        .arg(
            Arg::new("format")
                .long("format")
                .value_name("FORMAT")
                .help("json: lists of what was changed, added, deleted"),
        )
        .arg(latest())
        .arg(Arg::new("container").value_name("CONTAINER"))
        .after_help(
            "A is what is new, C what is not as it was, D what is gone. Running or not.\n\nExample:\n  rl diff web",
        )
}

fn run(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let word = |name: &str| matches.get_one::<String>(name).map(String::as_str);
    let as_json = match word("format") {
        None => false,
        Some("json") => true,
        Some(other) => return Err(Error::new(&command_line::USAGE, format!("--format {other:?}: expected json"))),
    };
    let (host, _) = in_namespace(globals, None)?;
    let containers = Containers::open(&host.dirs);
    let text = &named_or_last(&containers, "diff", word("container"), matches.get_flag("latest"))?;
    let found = Found::of(&host, text)?;
    let written = Written::of(&host, found.record())?;
    if written.layers.is_empty() {
        return Err(Error::new(&codes::NO_IMAGE, format!("compare {text} with its image")));
    }
    let all = match &written.top {
        Some(top) => changes(&written.layers, top, written.whole, &is_our_own)?,
        None => Vec::new(),
    };
    drop(found);
    let mut out = Screen::stdout();
    let said = if as_json { writeln!(out, "{:#}", document(&all)) } else { lines(&mut out, &all) };
    said.context(&codes::COPY, || "write the list".into())?;
    Ok(0)
}

/// Of paths of the container.
pub(super) fn is_our_own(path: &Path) -> bool {
    OUR_OWN.iter().any(|own| path == Path::new(own))
}

fn lines(out: &mut impl Write, all: &[Change]) -> std::io::Result<()> {
    all.iter().try_for_each(|Change { kind, path }| {
        let letter = match kind {
            Kind::Changed => 'C',
            Kind::Added => 'A',
            Kind::Deleted => 'D',
        };
        writeln!(out, "{letter} {}", path.display())
    })
}

/// podman's; a list that would be empty is left out.
fn document(all: &[Change]) -> serde_json::Value {
    let mut document = json!({});
    for (kind, name) in [(Kind::Changed, "changed"), (Kind::Added, "added"), (Kind::Deleted, "deleted")] {
        let paths: Vec<_> =
            all.iter().filter(|change| change.kind == kind).map(|change| change.path.to_string_lossy()).collect();
        if !paths.is_empty() {
            document[name] = json!(paths);
        }
    }
    document
}
