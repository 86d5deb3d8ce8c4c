//! Looking at images: `rl history`, `rl image inspect`, `rl image tree`.
//!
//! Owns docker's fields of an image. The surprise: a history has entries without a layer, so that layers and entries are
//! counted separately.

use std::collections::BTreeMap;

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Value, json};

use super::described;
use super::format::{self, Format, Screen};
use super::{Globals, Verb};
use crate::error::{Context, Result, catalog::state};
use crate::host::Host;
use crate::image::{Details, LayerDetails, Platform, Reference, Store, seconds};

/// `rl history`.
pub const HISTORY: Verb =
    Verb { name: "history", about: "How an image was made", command: history_command, run: history };
/// `rl image inspect`.
pub const INSPECT: Verb =
    Verb { name: "inspect", about: "All that is known of images", command: inspect_command, run: inspect };
/// `rl image tree`.
pub const TREE: Verb =
    Verb { name: "tree", about: "Layers, and which images share them", command: tree_command, run: tree };

/// Of a command in a table.
const WIDTH: usize = 45;

fn platform() -> Arg {
    Arg::new("platform").long("platform").value_name("linux/ARCH[/VARIANT]").help("The image for that platform")
}

fn format_flag() -> Arg {
    Arg::new("format").long("format").short('f').value_name("FORMAT").help("json, table, or a template of Go")
}

fn store(globals: &Globals, matches: &ArgMatches) -> Result<(Store, Option<Platform>)> {
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    let platform = matches.get_one::<String>("platform").map(|text| text.parse()).transpose()?;
    Ok((Store::open(&host.dirs), platform))
}

fn history_command() -> Command {
    Command::new("rl history")
        .about(HISTORY.about)
        .arg(Arg::new("no-trunc").long("no-trunc").action(ArgAction::SetTrue).help("Whole commands and ids"))
        .arg(Arg::new("quiet").long("quiet").short('q').action(ArgAction::SetTrue).help("Only ids"))
        .arg(format_flag().short(None))
        .arg(platform())
        .arg(Arg::new("image").required(true).value_name("IMAGE"))
        .after_help("Fields: .ID .CreatedSince .CreatedAt .CreatedBy .Size .Comment")
}

fn history(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let asked = matches.get_one::<String>("format").map(String::as_str);
    let columns = [
        ("IMAGE", "{{.ID}}"),
        ("CREATED", "{{.CreatedSince}}"),
        ("CREATED BY", "{{.CreatedBy}}"),
        ("SIZE", "{{.Size}}"),
        ("COMMENT", "{{.Comment}}"),
    ];
    let quiet = matches.get_flag("quiet") && Format::is_table(asked);
    let format = if quiet { Format::parse(Some("{{.ID}}"), &[])? } else { Format::parse(asked, &columns)? };
    let (store, platform) = store(globals, matches)?;
    let text = matches.get_one::<String>("image").map_or("", String::as_str);
    let details = store.details(text, platform.as_ref())?;
    let rows = history_rows(&details, matches.get_flag("no-trunc"), format::now());
    format.print(&rows, &mut Screen::stdout())?;
    Ok(0)
}

/// Newest first, as docker has them.
fn history_rows(details: &Details, whole: bool, now: u64) -> Vec<Value> {
    let mut layers = details.layers.iter();
    let mut rows: Vec<Value> = Vec::new();
    for entry in details.configuration.history().iter().flatten() {
        let empty = entry.empty_layer().unwrap_or_default();
        let size = if empty { 0 } else { layers.next().map_or(0, |layer| layer.size) };
        let created = entry.created().as_deref().and_then(seconds);
        let mut by = entry.created_by().clone().unwrap_or_default();
        if !whole && by.chars().count() > WIDTH {
            by = by.chars().take(WIDTH - 1).chain(['…']).collect();
        }
        rows.push(json!({
            "ID": "<missing>",
            "CreatedSince": created.map_or_else(|| "N/A".into(), |created| format::ago(created, now)),
            "CreatedAt": created.map_or_else(|| "N/A".into(), format::date),
            "CreatedBy": by,
            "Size": format::human_size(size),
            "Comment": entry.comment().clone().unwrap_or_default(),
        }));
    }
    if let Some(last) = rows.last_mut() {
        let id = if whole { format!("sha256:{}", details.id) } else { details.id.chars().take(12).collect() };
        last["ID"] = id.into();
    }
    rows.reverse();
    rows
}

fn inspect_command() -> Command {
    Command::new("rl image inspect")
        .about(INSPECT.about)
        .arg(format_flag())
        .arg(platform())
        .arg(Arg::new("image").required(true).num_args(1..).value_name("IMAGE"))
        .after_help("Examples:\n  rl image inspect debian\n  rl image inspect --format '{{.Config.Env}}' debian")
}

fn inspect(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let (store, platform) = store(globals, matches)?;
    let format = Format::parse(Some(matches.get_one::<String>("format").map_or("json", String::as_str)), &[])?;
    let images = matches.get_many::<String>("image").into_iter().flatten();
    let rows = images.map(|text| inspected(&store.details(text, platform.as_ref())?));
    described::each(rows, |rows| print(&format, rows))
}

/// Shows documents as they are. A template that asks for what an image does not set, and its document leaves out, sees it all the same.
pub(super) fn print(format: &Format, rows: &[Value]) -> Result<()> {
    let mut screen = Screen::stdout();
    format.print(rows, &mut screen).or_else(|error| match format.is_json() {
        true => Err(error),
        false => format.print(&rows.iter().map(with_all_fields).collect::<Vec<_>>(), &mut screen),
    })
}

/// Docker's document of an image.
pub(super) fn inspected(details: &Details) -> Result<Value> {
    let own = &details.configuration;
    let json = |value: serde_json::Result<Value>| value.context(&state::INTERNAL, || "write JSON".into());
    let digests = details.names.iter().filter_map(|name| {
        let name = Reference::parse(name).ok()?;
        details.digest.as_ref().map(|digest| format!("{}@{digest}", name.familiar()))
    });
    let mut digests: Vec<String> = digests.collect();
    digests.dedup();
    let mut config = json(serde_json::to_value(own.config()))?;
    if let (Value::Object(config), Some(health)) = (&mut config, &details.health) {
        config.insert("Healthcheck".into(), json(serde_json::to_value(health))?);
    }
    let labels = own.config().as_ref().and_then(|config| config.labels().clone());
    Ok(json!({
        "Id": format!("sha256:{}", details.id),
        "RepoTags": details.names,
        "RepoDigests": digests,
        "Digest": details.digest,
        "Created": own.created(),
        "Author": own.author().clone().unwrap_or_default(),
        "Architecture": details.platform.architecture,
        "Variant": details.platform.variant.clone().unwrap_or_default(),
        "Os": details.platform.os,
        "Size": details.size(),
        "VirtualSize": details.size(),
        "Labels": labels,
        "Config": config,
        "RootFS": { "Type": "layers", "Layers": own.rootfs().diff_ids() },
        "History": json(serde_json::to_value(own.history()))?,
        "Layers": details.layers.iter().map(|layer| layer.tree.clone()).collect::<Vec<_>>(),
    }))
}

/// What a template of docker's may ask an image for, set or not; a container's document has it all.
fn with_all_fields(row: &Value) -> Value {
    const TEXTS: [&str; 3] = ["User", "WorkingDir", "StopSignal"];
    const OTHERS: [&str; 8] =
        ["Env", "Cmd", "Entrypoint", "OnBuild", "Volumes", "ExposedPorts", "Labels", "Healthcheck"];
    let mut row = row.clone();
    if row["Config"].is_null() {
        row["Config"] = json!({});
    }
    if let Value::Object(config) = &mut row["Config"] {
        for (name, unset) in
            TEXTS.map(|name| (name, json!(""))).into_iter().chain(OTHERS.map(|name| (name, Value::Null)))
        {
            config.entry(name).or_insert(unset);
        }
    }
    row
}

fn tree_command() -> Command {
    Command::new("rl image tree")
        .about(TREE.about)
        .arg(platform())
        .arg(Arg::new("image").num_args(0..).value_name("IMAGE").help("Without one, all"))
}

fn tree(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let (store, platform) = store(globals, matches)?;
    let all = store.all_details()?;
    let mut users: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for details in &all {
        for layer in &details.layers {
            users.entry(&layer.dir).or_default().push(called(details));
        }
    }
    let asked: Vec<&String> = matches.get_many::<String>("image").into_iter().flatten().collect();
    let mut wanted = Vec::new();
    for text in &asked {
        wanted.push(store.details(text, platform.as_ref())?.id);
    }
    let mut text = String::new();
    for details in all.iter().filter(|details| asked.is_empty() || wanted.contains(&details.id)) {
        text.push_str(&branch(details, &users));
    }
    let mut screen = Screen::stdout();
    std::io::Write::write_all(&mut screen, text.as_bytes())
        .context(&state::STATE, || "write to standard output".into())?;
    Ok(0)
}

fn called(details: &Details) -> String {
    let short = || details.id.chars().take(12).collect();
    if details.names.is_empty() { short() } else { details.names.join(", ") }
}

fn branch(details: &Details, users: &BTreeMap<&str, Vec<String>>) -> String {
    let short: String = details.id.chars().take(12).collect();
    let size = format::human_size(details.size());
    let mut text = format!("{}  {short}  {}  {size}\n", called(details), details.platform);
    for (index, layer) in details.layers.iter().enumerate() {
        let stem = if index + 1 == details.layers.len() { "└─" } else { "├─" };
        text.push_str(&format!("{stem} {}\n", leaf(layer, &called(details), users)));
    }
    text
}

fn leaf(layer: &LayerDetails, own: &str, users: &BTreeMap<&str, Vec<String>>) -> String {
    let short: String = layer.dir.chars().take(12).collect();
    let others = users.get(layer.dir.as_str()).into_iter().flatten().filter(|user| *user != own);
    let others: Vec<&str> = others.map(String::as_str).collect();
    let shared = if others.is_empty() { String::new() } else { format!("  shared with {}", others.join(", ")) };
    format!("{short}  {}{shared}", format::human_size(layer.size))
}
