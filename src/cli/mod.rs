//! The command line: one file a verb, and the table of them.
//!
//! Owns parsing, tables and prompts; nothing below it prints. The surprise: only the parser of the verb that was called is built,
//! because building all of them costs a noticeable part of a container's start.

pub mod commit;
pub mod container;
pub mod cp;
mod described;
pub mod diff;
pub mod exec;
pub mod exists;
pub mod explain;
pub mod export;
mod files;
pub mod flag;
mod foreign;
pub mod format;
mod generate;
pub mod image;
pub mod images;
pub mod import;
pub mod info;
pub mod limits;
pub mod load;
pub mod login;
mod matching;
pub mod mount;
pub mod network;
pub mod oci;
pub mod port;
pub mod progress;
pub mod prune;
pub mod pull;
pub mod push;
mod quadlet;
mod quoted;
mod refused;
mod registry;
pub mod rmi;
pub mod run;
pub mod save;
pub mod search;
pub mod stats;
pub mod system;
pub mod tag;
mod units;
pub mod unshare;
pub mod volume;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::error::{Error, Result, catalog::command_line};
use crate::host::Host;
use crate::runtime::base;
use crate::runtime::storage::Driver;
use crate::spec::UserNs;
use crate::spec::ids::{self, Base};

/// Flags that stand before the verb.
#[derive(Debug, Default, Clone)]
pub struct Globals {
    /// `--root DIR`.
    pub root: Option<PathBuf>,
    /// `--runroot DIR`.
    pub runroot: Option<PathBuf>,
    /// `--storage-driver NAME`.
    pub storage_driver: Option<Driver>,
}

impl Globals {
    /// The same flags, for another `rl`.
    fn words(&self) -> Vec<OsString> {
        let mut words = Vec::new();
        let paths = [("--root", &self.root), ("--runroot", &self.runroot)];
        for (flag, path) in paths.into_iter().filter_map(|(flag, path)| path.as_ref().map(|path| (flag, path))) {
            words.extend([flag.into(), path.clone().into_os_string()]);
        }
        words
    }
}

/// One verb.
pub struct Verb {
    /// What is typed.
    pub name: &'static str,
    /// One line for `rl --help`.
    pub about: &'static str,
    /// The parser.
    pub command: fn() -> clap::Command,
    /// Carries it out and gives the exit status.
    pub run: fn(&Globals, &clap::ArgMatches) -> Result<u8>,
}

/// All verbs, in the order in which `rl --help` shows them.
pub static VERBS: &[Verb] = &[
    run::VERB,
    exec::VERB,
    cp::VERB,
    diff::VERB,
    commit::VERB,
    export::VERB,
    container::create::VERB,
    container::start::START,
    container::end::STOP,
    container::start::RESTART,
    container::end::KILL,
    container::remove::RM,
    container::ps::VERB,
    container::logs::VERB,
    container::top::VERB,
    container::attach::VERB,
    container::inspect::VERB,
    container::wait::VERB,
    container::change::RENAME,
    container::events::VERB,
    pull::VERB,
    push::VERB,
    import::VERB,
    load::VERB,
    save::VERB,
    images::VERB,
    image::HISTORY,
    tag::VERB,
    rmi::VERB,
    search::VERB,
    login::LOGIN,
    login::LOGOUT,
    port::VERB,
    stats::VERB,
    limits::UPDATE,
    limits::PAUSE,
    limits::UNPAUSE,
    quadlet::VERB,
    unshare::VERB,
    info::VERB,
    explain::VERB,
];

/// Parsers that know just the flags of these words, of verbs with so many that it is felt. Not in debug builds, where clap holds asking
/// for a flag that its parser does not know for a mistake.
static QUICK: &[(&str, ParserFor)] = if cfg!(debug_assertions) { &[] } else { &[("run", run::args::command_for)] };

type ParserFor = fn(&[OsString]) -> clap::Command;

/// Verbs of one kind of thing, as docker has them: `rl image ls`.
pub struct Group {
    /// What is typed first.
    pub name: &'static str,
    /// One line for `rl --help`.
    pub about: &'static str,
    /// What is typed then, and the verb that it is.
    pub verbs: &'static [(&'static str, Verb)],
}

/// All groups.
pub static GROUPS: &[Group] = &[
    Group {
        name: "container",
        about: "Containers",
        verbs: &[
            ("run", run::VERB),
            ("create", container::create::VERB),
            ("start", container::start::START),
            ("stop", container::end::STOP),
            ("restart", container::start::RESTART),
            ("kill", container::end::KILL),
            ("rm", container::remove::RM),
            ("ls", container::ps::VERB),
            ("ps", container::ps::VERB),
            ("list", container::ps::VERB),
            ("logs", container::logs::VERB),
            ("top", container::top::VERB),
            ("exec", exec::VERB),
            ("cp", cp::VERB),
            ("diff", diff::VERB),
            ("commit", commit::VERB),
            ("export", export::VERB),
            ("attach", container::attach::VERB),
            ("inspect", container::inspect::VERB),
            ("wait", container::wait::VERB),
            ("rename", container::change::RENAME),
            ("prune", container::remove::PRUNE),
            ("exists", exists::CONTAINER),
            ("stats", stats::VERB),
            ("port", port::VERB),
            ("update", limits::UPDATE),
            ("pause", limits::PAUSE),
            ("unpause", limits::UNPAUSE),
        ],
    },
    Group {
        name: "image",
        about: "Images",
        verbs: &[
            ("ls", images::VERB),
            ("pull", pull::VERB),
            ("push", push::VERB),
            ("import", import::VERB),
            ("load", load::VERB),
            ("save", save::VERB),
            ("tag", tag::VERB),
            ("rm", rmi::VERB),
            ("history", image::HISTORY),
            ("inspect", image::INSPECT),
            ("exists", exists::IMAGE),
            ("tree", image::TREE),
            ("prune", prune::PRUNE),
            ("mount", mount::MOUNT),
            ("unmount", mount::UNMOUNT),
        ],
    },
    Group {
        name: "network",
        about: "Networks by name",
        verbs: &[
            ("create", network::CREATE),
            ("ls", network::LS),
            ("inspect", network::INSPECT),
            ("rm", network::RM),
            ("connect", network::CONNECT),
            ("disconnect", network::DISCONNECT),
            ("prune", network::PRUNE),
            ("exists", exists::NETWORK),
        ],
    },
    Group {
        name: "volume",
        about: "Volumes",
        verbs: &[
            ("create", volume::CREATE),
            ("ls", volume::LS),
            ("inspect", volume::INSPECT),
            ("rm", volume::RM),
            ("prune", volume::PRUNE),
            ("exists", exists::VOLUME),
            ("export", volume::content::EXPORT),
            ("import", volume::content::IMPORT),
            ("mount", volume::content::MOUNT),
            ("unmount", volume::content::UNMOUNT),
            ("reload", volume::content::RELOAD),
        ],
    },
    Group { name: "generate", about: "Units of containers", verbs: &[("systemd", generate::SYSTEMD)] },
    Group {
        name: "system",
        about: "The store and this machine",
        verbs: &[("check", system::CHECK), ("sync", system::SYNC), ("df", prune::DF), ("info", info::VERB)],
    },
];

/// Parses and carries out a whole command line; gives the exit status.
pub fn main(words: &[OsString]) -> Result<u8> {
    match words.first().and_then(|name| std::path::Path::new(name).file_name()) {
        Some(name) if name == oci::NAME => return Ok(oci::main(&words[1..])),
        Some(name) if name == quadlet::NAME => return quadlet::generator(&words[1..]),
        _ => {}
    }
    let (globals, rest) = globals(words.get(1..).unwrap_or_default())?;
    let Some(word) = rest.first() else {
        print!("{}", help());
        return Ok(125);
    };
    match word.to_str() {
        Some("--help" | "-h" | "help") => {
            print!("{}", help());
            return Ok(0);
        }
        Some("--version" | "-V" | "version") => {
            println!("rl {}", env!("CARGO_PKG_VERSION"));
            return Ok(0);
        }
        _ => {}
    }
    if word == "oci" {
        return Ok(oci::main(&rest[1..]));
    }
    // Not for people: rl executes itself with it.
    if let ("supervise", Some(run)) = (&*word.to_string_lossy(), rest.get(1)) {
        return run::detached::supervise(run.as_ref());
    }
    if let Some(verb) = VERBS.iter().find(|verb| word == verb.name) {
        return carry_out(verb, verb.name, &globals, &rest[1..]);
    }
    match GROUPS.iter().find(|group| word == group.name) {
        Some(group) => in_group(group, &globals, &rest[1..]),
        None => Err(unknown(&word.to_string_lossy())),
    }
}

/// `name` is how it was called: a verb of a group has the group's before its own.
fn carry_out(verb: &Verb, name: &str, globals: &Globals, words: &[OsString]) -> Result<u8> {
    // Without a name in the words, clap's usage line has the command's own: `rl images`, not `images`.
    let parse = |command: clap::Command| command.no_binary_name(true).try_get_matches_from(words);
    let quick = QUICK.iter().find(|(name, _)| *name == verb.name).and_then(|(_, command)| parse(command(words)).ok());
    match quick.map_or_else(|| parse((verb.command)()), Ok) {
        Ok(matches) => (verb.run)(globals, &matches).map_err(|error| error.see(|| help_of(name))),
        Err(error) => usage(name, &error),
    }
}

fn in_group(group: &Group, globals: &Globals, words: &[OsString]) -> Result<u8> {
    let help = || {
        let mut text = format!("{}\n\nUsage: rl {} VERB ...\n\n", group.about, group.name);
        group.verbs.iter().for_each(|(name, verb)| text.push_str(&format!("  {name:<10} {}\n", verb.about)));
        text
    };
    let Some(word) = words.first() else {
        print!("{}", help());
        return Ok(125);
    };
    if word == "--help" || word == "-h" {
        print!("{}", help());
        return Ok(0);
    }
    match group.verbs.iter().find(|(name, _)| word == name) {
        Some((name, verb)) => carry_out(verb, &format!("{} {name}", group.name), globals, &words[1..]),
        None => {
            if let Some(refused) = refused::verb(&word.to_string_lossy()) {
                return Err(refused);
            }
            let what = format!("rl {} has no verb {:?}", group.name, word.to_string_lossy());
            Err(Error::new(&command_line::USAGE, what).see(|| help_of(group.name)))
        }
    }
}

/// Joins the caller's mapped namespace, for verbs that handle files of subordinate ids.
fn in_namespace(globals: &Globals, userns: Option<&str>) -> Result<(Host, Base)> {
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    let base = enter(&host, userns)?;
    Ok((host, base))
}

/// The same, where something is to be done as the caller before.
fn enter(host: &Host, userns: Option<&str>) -> Result<Base> {
    let mode = userns.map_or(Ok(UserNs::Default), ids::parse_userns)?;
    let entered = base::enter(host, &mode)?;
    warn_fallback(entered.fallback.as_ref());
    Ok(entered.base)
}

/// The one warning of a run that has to do with a single id.
fn warn_fallback(why: Option<&Error>) {
    if let Some(error) = why {
        eprintln!("rl: warning: only one id, root, is mapped: {error}");
    }
}

/// Help and version are no failures; everything else that clap refuses ends with 125, as docker and podman do.
fn usage(name: &str, error: &clap::Error) -> Result<u8> {
    if !error.use_stderr() {
        print!("{error}");
        return Ok(0);
    }
    if error.kind() == ErrorKind::UnknownArgument
        && let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg)
        && let Some(refused) = refused::flag(name.trim_start_matches("container "), flag)
    {
        return Err(refused);
    }
    let text = error.to_string();
    let text = text.trim_start_matches("error: ");
    // Behind the first paragraph come the usage and tips, of which one is wrong here: flags behind IMAGE need no `--`.
    let first = text.split("\n\n").next().unwrap_or(text).trim_end();
    Err(Error::new(&command_line::USAGE, format!("rl {name}: {first}")).see(|| help_of(name)))
}

fn help_of(verb: &str) -> String {
    format!("rl {verb} --help")
}

fn unknown(word: &str) -> Error {
    if let Some(refused) = refused::verb(word) {
        return refused;
    }
    let near =
        VERBS.iter().filter(|verb| verb.name.starts_with(word) || word.starts_with(verb.name)).map(|verb| verb.name);
    let near: Vec<_> = near.collect();
    let error = Error::new(&command_line::USAGE, format!("rl has no verb {word:?}"));
    if near.is_empty() { error } else { error.fix(format!("Did you mean: {}? See: rl --help", near.join(", "))) }
}

fn globals(words: &[OsString]) -> Result<(Globals, &[OsString])> {
    let mut globals = Globals::default();
    let mut rest = words;
    while let Some((word, tail)) = rest.split_first() {
        let text = word.to_string_lossy();
        let (name, inline) = match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(OsString::from(value))),
            None => (text.clone().into_owned(), None),
        };
        if !matches!(name.as_str(), "--root" | "--runroot" | "--storage-driver") {
            break;
        }
        rest = tail;
        let value = inline.or_else(|| {
            let (value, tail) = rest.split_first()?;
            rest = tail;
            Some(value.clone())
        });
        let value = value.ok_or_else(|| Error::new(&command_line::USAGE, format!("{name} needs a value")))?;
        match name.as_str() {
            "--root" => globals.root = Some(value.into()),
            "--runroot" => globals.runroot = Some(value.into()),
            _ => globals.storage_driver = Some(value.to_string_lossy().parse()?),
        }
    }
    Ok((globals, rest))
}

fn group_verbs(group: &Group) -> String {
    group.verbs.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

fn help() -> String {
    let mut text = String::from(
        "rl: root in a container, without sudo\n\nUsage: rl [--root DIR] [--runroot DIR] [--storage-driver NAME] VERB ...\n\n",
    );
    for verb in VERBS {
        text.push_str(&format!("  {:<10} {}\n", verb.name, verb.about));
    }
    text.push('\n');
    for group in GROUPS {
        text.push_str(&format!("  {:<10} {}: {}\n", group.name, group.about, group_verbs(group)));
    }
    text.push_str(&format!("  {:<10} {}: {}\n", "oci", oci::ABOUT, oci::names().join(", ")));
    text.push_str("\nMore about a verb: rl VERB --help. About an error: rl explain RL0201.\n");
    text
}
