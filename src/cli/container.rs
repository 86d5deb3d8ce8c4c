//! Verbs on containers: what they have in common.
//!
//! Owns several containers in one call, each with its own result, as docker has it: the name as it was typed on stdout for what was
//! done, the error on stderr for what was not, and 1 in the end if there was any.

pub mod attach;
pub mod change;
pub mod chosen;
pub mod create;
pub mod end;
pub mod events;
mod filter;
pub mod inspect;
pub mod logs;
pub mod ps;
pub mod remove;
pub mod start;
mod told;
pub mod top;
pub mod wait;

use clap::{Arg, ArgAction, ArgMatches};

use super::format::Screen;
use crate::error::{Error, Result, catalog::command_line, catalog::state as codes};
use crate::state::events::{Subject, tell as tell_event};
use crate::state::{Container, Containers};

/// The words that name containers; `required`: at least one.
fn names(required: bool) -> Arg {
    Arg::new("container").value_name("CONTAINER").num_args(1..).required(required).help("Names or ids")
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn value(name: &'static str, shown: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(shown).help(help)
}

fn word<'a>(matches: &'a ArgMatches, name: &str) -> Option<&'a str> {
    matches.get_one::<String>(name).map(String::as_str)
}

fn words<'a>(matches: &'a ArgMatches, name: &str) -> impl Iterator<Item = &'a String> {
    matches.get_many::<String>(name).into_iter().flatten()
}

/// `-l`.
pub(in crate::cli) fn latest() -> Arg {
    flag("latest", "The container that was made last").short('l')
}

/// The id of the one that was made last.
///
/// # Errors
/// RL0804 where there is none.
pub(in crate::cli) fn last(containers: &Containers) -> Result<String> {
    let none = || Error::new(&codes::NO_CONTAINER, "--latest: there is no container");
    list(containers)?.pop().map(|container| container.record.id).ok_or_else(none)
}

/// The one that is named, or with `-l` the last one.
///
/// # Errors
/// RL0101 where it is neither, or both.
pub(in crate::cli) fn named_or_last(
    containers: &Containers,
    verb: &str,
    name: Option<&str>,
    latest: bool,
) -> Result<String> {
    match (name, latest) {
        (Some(name), false) => Ok(name.to_owned()),
        (None, true) => last(containers),
        (None, false) => {
            Err(Error::new(&command_line::USAGE, format!("rl {verb} needs a container")).fix("See: rl ps -a"))
        }
        (Some(_), true) => Err(Error::new(&command_line::USAGE, format!("rl {verb}: a container, or --latest"))),
    }
}

/// Each of them in turn; what fails does not keep the others from it.
pub(in crate::cli) fn each<'a>(
    wanted: impl IntoIterator<Item = &'a String>,
    mut act: impl FnMut(&str) -> Result<Option<String>>,
) -> u8 {
    let mut status = 0;
    for text in wanted {
        match act(text) {
            Ok(Some(said)) => println!("{said}"),
            Ok(None) => {}
            Err(error) => {
                complain(&error);
                status = 1;
            }
        }
    }
    status
}

fn complain(error: &Error) {
    use std::io::Write;
    let _ = Screen::stderr().write_all(format!("rl: {error}\n").as_bytes());
}

/// All of them; damaged records are complained about.
fn list(containers: &Containers) -> Result<Vec<Container>> {
    containers.list(|error| complain(&error))
}

pub(in crate::cli) fn tell(containers: &Containers, container: &Container, action: &str, more: &[(&str, String)]) {
    let record = &container.record;
    let subject = Subject { id: &record.id, name: &record.name, image: &record.image };
    tell_event(containers.dirs(), subject, action, more);
}
