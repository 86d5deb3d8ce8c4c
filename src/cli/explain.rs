//! `rl explain RL0201`: what an error means, why it happens, what to do.

use clap::{Arg, ArgMatches, Command};

use super::{Globals, Verb};
use crate::error::{Error, Result, catalog};

/// The verb.
pub const VERB: Verb = Verb { name: "explain", about: "Explain an error by its id", command, run };

fn command() -> Command {
    Command::new("rl explain").about(VERB.about).arg(Arg::new("id").required(true).value_name("RL0000"))
}

fn run(_: &Globals, matches: &ArgMatches) -> Result<u8> {
    let code = matches.get_one::<String>("id").map_or("", String::as_str);
    let entry = catalog::find(code).ok_or_else(|| {
        Error::new(&catalog::command_line::USAGE, format!("there is no error {code:?}"))
            .fix("The ids are in docs/troubleshooting.md; they look like RL0201.")
    })?;
    println!("{} {}\n\nWhy: {}\n\nWhat to do: {}", entry.code(), entry.title, entry.why, entry.fix);
    Ok(0)
}
