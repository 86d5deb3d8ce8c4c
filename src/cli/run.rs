//! `rl run [OPTIONS] IMAGE [COMMAND [ARG...]]`.
//!
//! Owns the verb: the parser is in `args`, the meaning of each word in `resolve` and its neighbours, the order of the run in
//! `launch`. The surprise: options stop at IMAGE, and `-h` is the hostname, as docker's and podman's users expect.

pub(super) mod args;
mod borrowed;
mod compile;
pub mod detached;
mod device;
pub(super) mod env;
mod files;
mod ground;
mod image;
mod launch;
mod lifecycle;
mod limits;
mod network;
mod replace;
mod resolve;
pub(super) mod resources;
pub(super) mod rest;
mod security;
mod volume;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;

use clap::ArgMatches;

pub(super) use self::resolve::given_fds;
use super::{Globals, Verb};
use crate::error::{Error, Result, catalog::command_line, catalog::image::IMAGE_NOT_FOUND};
use crate::spec::lifecycle::Restart;

/// The verb.
pub const VERB: Verb = Verb { name: "run", about: "Run a command in a new container", command: args::command, run };

/// `--plan`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PlanFormat {
    Shell,
    Oci,
    Json,
}

/// The parser of `rl create`, which has the same flags.
pub(super) fn command_of_create() -> clap::Command {
    args::command().name("rl create").about("Make a container without starting it").override_usage(
        "rl create [OPTIONS] IMAGE [COMMAND [ARG...]]\n       rl create [OPTIONS] --rootfs DIR [COMMAND [ARG...]]",
    )
}

/// `rl create`.
pub(super) fn create(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let run = resolve::resolve(matches)?;
    launch::create(globals, &run, &image::Want::of(matches)?).map_err(not_run)
}

/// Go's durations in milliseconds.
pub(super) fn lifecycle_duration(word: &str) -> Option<u64> {
    lifecycle::duration(word)
}

/// `--restart`, of a container that is thrown away or not.
pub(super) fn restart_policy(word: &str, remove: bool) -> Result<Restart> {
    lifecycle::restart(Some(word), remove)
}

/// The value of `--signal`, by name or number.
pub(super) fn signal(word: &str) -> Result<i32> {
    limits::signal("signal", word)
}

fn run(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let show = match matches.get_one::<String>("plan").map(String::as_str) {
        None => None,
        Some("shell") => Some(PlanFormat::Shell),
        Some("oci") => Some(PlanFormat::Oci),
        Some("json") => Some(PlanFormat::Json),
        Some(other) => return Err(wrong("plan", other, "shell, oci or json")),
    };
    let run = resolve::resolve(matches)?;
    launch::launch(globals, &run, &image::Want::of(matches)?, show).map_err(not_run)
}

/// An image that is not there ends other verbs with 1; the status of a run is the command's, but for 125.
fn not_run(error: Error) -> Error {
    if *error.entry() == IMAGE_NOT_FOUND { error.exit(125) } else { error }
}

/// A flag's value that makes no sense: the flag, the word, what would be right.
fn wrong(flag: &str, word: &str, right: &str) -> Error {
    Error::new(&command_line::USAGE, format!("--{flag} {word:?}: expected {right}"))
}
