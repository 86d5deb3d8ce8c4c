//! Which containers a verb is about: those that are named, the one that was made last, all, those of a filter.
//!
//! The surprise: `--all` means those with which the verb can do something, and a filter chooses among the same; a name is taken as it is.

use clap::{ArgAction, ArgMatches, Command};

use super::{filter, flag, names, value, words};
use crate::error::{Context, Error, Result, catalog::command_line};
use crate::state::{Container, Containers};

/// Adds the flags. `shorts`: which of a, l and f stand for them; some verbs have others of these letters.
pub(in crate::cli) fn arguments(command: Command, all: &'static str, shorts: &str) -> Command {
    let short = |arg: clap::Arg, letter: char| if shorts.contains(letter) { arg.short(letter) } else { arg };
    command
        .arg(short(flag("all", all), 'a'))
        .arg(short(flag("latest", "The container that was made last"), 'l'))
        .arg(short(filter::argument(), 'f'))
        .arg(value("cidfile", "FILE", "The container whose id is in that file").action(ArgAction::Append))
        .arg(names(false))
}

/// Names as they were typed, ids of the others. `meant`: those of `--all`.
///
/// # Errors
/// RL0101 where nothing is named.
pub(in crate::cli) fn chosen(
    containers: &Containers,
    matches: &ArgMatches,
    verb: &str,
    meant: impl Fn(&Container) -> bool,
) -> Result<Vec<String>> {
    let mut wanted: Vec<String> = words(matches, "container").cloned().collect();
    // A file that is not there is as a container that is not: rm -i and stop -i.
    let ignore = matches.try_get_one::<bool>("ignore").ok().flatten().copied().unwrap_or(false);
    let mut named = !wanted.is_empty();
    for path in words(matches, "cidfile") {
        named = true;
        match std::fs::read_to_string(path) {
            Err(error) if ignore && error.kind() == std::io::ErrorKind::NotFound => {}
            read => {
                let text = read.context(&command_line::INPUT_FILE, || format!("read --cidfile {path}"))?;
                wanted.push(text.trim().to_owned());
            }
        }
    }
    let (all, latest) = (matches.get_flag("all") || matches.contains_id("filter"), matches.get_flag("latest"));
    if !all && !latest {
        let none = || Error::new(&command_line::USAGE, format!("rl {verb} needs a container")).fix("See: rl ps -a");
        return if !named { Err(none()) } else { Ok(wanted) };
    }
    let list = super::list(containers)?;
    if latest {
        wanted.extend(list.last().map(|container| container.record.id.clone()));
    }
    if all {
        let filters = filter::Filters::of(matches, &list)?;
        let fits = |container: &&Container| meant(container) && filters.pass(container);
        wanted.extend(list.iter().filter(fits).map(|container| container.record.id.clone()));
    }
    Ok(wanted)
}

/// What a signal, or freezing, is for.
pub(in crate::cli) fn active(container: &Container) -> bool {
    container.is_active()
}

/// All.
pub(in crate::cli) fn any(_: &Container) -> bool {
    true
}
