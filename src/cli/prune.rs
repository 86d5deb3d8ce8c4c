//! `rl image prune` and `rl system df`: what the store's images take, and giving it back.

use std::collections::BTreeMap;
use std::io::{self, BufRead, IsTerminal, Write};

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::json;

use super::format::{self, Format, Screen};
use super::{Globals, Verb, in_namespace};
use crate::error::{Context, Error, Result, catalog::command_line, catalog::image};
use crate::image::{Details, Store};

/// `rl image prune`.
pub const PRUNE: Verb =
    Verb { name: "prune", about: "Remove images that have no name", command: prune_command, run: prune };
/// `rl system df`.
pub const DF: Verb = Verb { name: "df", about: "What images take of the disk", command: df_command, run: df };

fn prune_command() -> Command {
    Command::new("rl image prune")
        .about(PRUNE.about)
        .arg(Arg::new("all").long("all").short('a').action(ArgAction::SetTrue).help("All on which no container runs"))
        .arg(Arg::new("force").long("force").short('f').action(ArgAction::SetTrue).help("Without asking"))
}

fn prune(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let all = matches.get_flag("all");
    let what = if all { "all images on which no container runs" } else { "all images without a name" };
    if !matches.get_flag("force") && !agreed("rl image prune", what)? {
        return Ok(0);
    }
    let (host, _) = in_namespace(globals, None)?;
    let store = Store::open(&host.dirs);
    let before = unique(&store.all_details()?);
    for details in store.all_details()?.iter().filter(|details| all || details.names.is_empty()) {
        match store.remove(&details.id, Some(&details.platform)) {
            Ok(removed) => {
                removed.names.iter().for_each(|name| println!("Untagged: {name}"));
                removed.id.iter().for_each(|id| println!("Deleted: sha256:{id}"));
            }
            Err(error) if *error.entry() == image::IN_USE => {}
            Err(error) => return Err(error),
        }
    }
    let freed = before.saturating_sub(unique(&store.all_details()?));
    println!("Total reclaimed space: {}", format::human_size(freed));
    Ok(0)
}

/// Asks before `verb` removes `what`.
pub(super) fn agreed(verb: &str, what: &str) -> Result<bool> {
    if !io::stdin().is_terminal() {
        return Err(Error::new(&command_line::USAGE, format!("{verb}: there is nobody to ask"))
            .fix(format!("Without asking: {verb} --force")));
    }
    eprint!("This removes {what}. Go on? [y/N] ");
    let doing = || "ask".to_owned();
    io::stderr().flush().context(&command_line::INPUT_FILE, doing)?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context(&command_line::INPUT_FILE, doing)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

/// Bytes of layers and of their archives, each counted once.
fn unique(all: &[Details]) -> u64 {
    let layers = all.iter().flat_map(|details| &details.layers);
    let layers: BTreeMap<_, _> = layers.map(|layer| (&layer.dir, layer.size + layer.blob.size)).collect();
    layers.values().sum()
}

fn df_command() -> Command {
    Command::new("rl system df")
        .about(DF.about)
        .arg(Arg::new("format").long("format").value_name("FORMAT").help("json, table, or a template of Go"))
        .after_help("Fields: .Type .TotalCount .Active .Size .Reclaimable\n\nAn image counts with its files and its archives; what several share counts once.")
}

fn df(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let columns = [
        ("TYPE", "{{.Type}}"),
        ("TOTAL", "{{.TotalCount}}"),
        ("ACTIVE", "{{.Active}}"),
        ("SIZE", "{{.Size}}"),
        ("RECLAIMABLE", "{{.Reclaimable}}"),
    ];
    let format = Format::parse(matches.get_one::<String>("format").map(String::as_str), &columns)?;
    let (host, _) = in_namespace(globals, None)?;
    let store = Store::open(&host.dirs);
    let all = store.all_details()?;
    let total = all.len();
    let size = unique(&all);
    let mut active = Vec::new();
    for details in all {
        if store.is_used(&details)? {
            active.push(details);
        }
    }
    let free = size - unique(&active);
    let percent = (free * 100).checked_div(size).unwrap_or(0);
    let row = json!({
        "Type": "Images",
        "TotalCount": total,
        "Active": active.len(),
        "Size": format::human_size(size),
        "Reclaimable": format!("{} ({percent}%)", format::human_size(free)),
    });
    format.print(&[row], &mut Screen::stdout())?;
    Ok(0)
}
