//! `rl create`: a container that is started later.
//!
//! The surprise: it is `rl run` up to the start, with all of its flags.

use clap::{ArgMatches, Command};

use crate::cli::run;
use crate::cli::{Globals, Verb};
use crate::error::Result;

/// The verb.
pub const VERB: Verb = Verb { name: "create", about: "Make a container without starting it", command, run: carry_out };

fn command() -> Command {
    run::command_of_create()
}

fn carry_out(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    run::create(globals, matches)
}
