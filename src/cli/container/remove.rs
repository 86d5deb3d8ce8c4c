//! `rl rm` and `rl container prune`.
//!
//! The surprise: it enters the caller's mapped user namespace first, because a container's files belong to subordinate ids that only root
//! of that namespace can delete; so removing always finishes.

use std::time::Duration;

use clap::{ArgMatches, Command};

use super::{chosen, each, end, flag};
use crate::cli::format;
use crate::cli::{Globals, Verb, in_namespace, prune};
use crate::error::{Error, Result, catalog::state as codes};
use crate::host::Dirs;
use crate::runtime::container as runtime;
use crate::runtime::container::collect_one;
use crate::spec::network::Network;
use crate::state::{self, Container, Containers};
use crate::volume;

/// `rl rm`.
pub const RM: Verb = Verb { name: "rm", about: "Remove containers", command: rm_command, run: rm };
/// `rl container prune`.
pub const PRUNE: Verb =
    Verb { name: "prune", about: "Remove containers that do not run", command: prune_command, run: prune_verb };

fn rm_command() -> Command {
    chosen::arguments(Command::new("rl rm"), "All containers", "al")
        .about(RM.about)
        .arg(flag("force", "Kill what runs; what is not there is no error").short('f'))
        .arg(flag("volumes", "Its anonymous volumes, too").short('v'))
        .arg(flag("ignore", "A container that is not there is no error").short('i'))
        .arg(flag("depend", "Before it, those that are in its network (--network container:NAME)"))
        .arg(end::timeout())
}

/// Whoever is in the network of one of them goes before it, and is named before it.
fn with_dependents(containers: &Containers, wanted: Vec<String>) -> Result<Vec<String>> {
    let all = super::list(containers)?;
    let (mut order, mut seen, mut looked_at): (Vec<String>, Vec<String>, Vec<String>) = Default::default();
    let mut left: Vec<String> = wanted.into_iter().rev().collect();
    while let Some(text) = left.pop() {
        let Ok(found) = containers.find(&text) else {
            // It is told where it is removed.
            order.push(text);
            continue;
        };
        let record = &found.record;
        if seen.contains(&record.id) {
            continue;
        }
        let in_its_network = |other: &&Container| match &other.record.run.network {
            Network::Container(name) => {
                *name == record.name || (!name.is_empty() && record.id.starts_with(name.as_str()))
            }
            _ => false,
        };
        let before = all.iter().filter(in_its_network).map(|other| &other.record);
        let before = before.filter(|other| other.id != record.id && !seen.contains(&other.id));
        let before: Vec<_> = before.map(|other| other.name.clone()).collect();
        // Names may lead in a circle, when they were given anew.
        if before.is_empty() || looked_at.contains(&record.id) {
            seen.push(record.id.clone());
            order.push(text);
        } else {
            looked_at.push(record.id.clone());
            left.push(text);
            left.extend(before);
        }
    }
    Ok(order)
}

fn rm(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let (host, _) = in_namespace(globals, None)?;
    let containers = Containers::open(&host.dirs);
    let force = matches.get_flag("force");
    let timeout = end::seconds(matches)?.unwrap_or(Some(Duration::ZERO));
    let wanted = chosen::chosen(&containers, matches, "rm", chosen::any)?;
    let wanted = if matches.get_flag("depend") { with_dependents(&containers, wanted)? } else { wanted };
    let lenient = force || matches.get_flag("ignore");
    Ok(each(&wanted, |text| {
        let container = match containers.find(text) {
            Err(error) if lenient && *error.entry() == codes::NO_CONTAINER => return Ok(None),
            found => found?,
        };
        if force && (container.is_active()) {
            let signal = timeout.filter(Duration::is_zero).map(|_| libc::SIGKILL);
            end::stop(&containers, &container, signal, timeout)?;
            // One of --rm has gone with its end.
            if let Some(ended) = containers.read(&container.record.id)? {
                remove(&containers, &ended)?;
            }
            if matches.get_flag("volumes") {
                volume::remove_of(&host.dirs, &container.record.id)?;
            }
            return Ok(Some(text.to_owned()));
        }
        remove(&containers, &container)?;
        if matches.get_flag("volumes") {
            volume::remove_of(&host.dirs, &container.record.id)?;
        }
        Ok(Some(text.to_owned()))
    }))
}

/// One that does not run. That it has gone meanwhile is what was wanted.
fn remove(containers: &Containers, container: &Container) -> Result<()> {
    let refused = |name: &str| {
        Err(Error::new(&codes::RUNNING, format!("remove {name}")).fix(format!("rl stop {name}, or: rl rm -f {name}")))
    };
    if container.is_active() {
        return refused(&container.record.name);
    }
    let dirs = containers.dirs();
    let id = &container.record.id;
    let mut lock = state::lock(&container.run)?;
    if container.run.join("state.json").exists() {
        match containers.read(id)? {
            // Started since it was looked at.
            Some(now) if now.running.is_some() => return refused(&container.record.name),
            _ => collect_one(&container.run, &container.data)?,
        }
        lock = state::lock(&container.run)?;
    }
    let there = state::stays(&container.data);
    runtime::Container::of_record(dirs, &container.record, lock).remove(false)?;
    if there {
        super::tell(containers, container, "destroy", &[]);
    }
    Ok(())
}

fn prune_command() -> Command {
    Command::new("rl container prune")
        .about(PRUNE.about)
        .arg(flag("force", "Without asking").short('f'))
        .arg(super::filter::argument())
}

fn prune_verb(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    if !matches.get_flag("force") && !prune::agreed("rl container prune", "all containers that do not run")? {
        return Ok(0);
    }
    let (host, _) = in_namespace(globals, None)?;
    let containers = Containers::open(&host.dirs);
    let all = super::list(&containers)?;
    let filters = super::filter::Filters::of(matches, &all)?;
    let idle = |container: &&Container| !container.is_active();
    let (mut freed, mut status, mut headed) = (0, 0, false);
    for container in all.iter().filter(idle).filter(|container| filters.pass(container)) {
        let size = size_of(&host.dirs, &container.record.id);
        match remove(&containers, container) {
            Ok(()) => {
                if !std::mem::replace(&mut headed, true) {
                    println!("Deleted Containers:");
                }
                println!("{}", container.record.id);
                freed += size;
            }
            Err(error) if *error.entry() == codes::RUNNING => {}
            Err(error) => {
                super::complain(&error);
                status = 1;
            }
        }
    }
    if headed {
        println!();
    }
    println!("Total reclaimed space: {}", format::human_size(freed));
    Ok(status)
}

/// Bytes of regular files in its writable layer.
pub(super) fn size_of(dirs: &Dirs, id: &str) -> u64 {
    fn below(dir: &std::path::Path) -> u64 {
        let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
        entries
            .flatten()
            .map(|entry| match entry.metadata() {
                Ok(meta) if meta.is_dir() => below(&entry.path()),
                Ok(meta) if meta.is_file() => meta.len(),
                _ => 0,
            })
            .sum()
    }
    below(&state::data_of(dirs, id).join("upper"))
}
