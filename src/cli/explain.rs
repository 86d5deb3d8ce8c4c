//! `rl explain RL0201`: what an error means, why it happens, what to do.

use clap::{Arg, ArgMatches, Command};

use super::{Globals, Verb};
use crate::error::{Error, Result, catalog};

/// The verb.
pub const VERB: Verb = Verb { name: "explain", about: "Explain an error by its id", command, run };

fn command() -> Command {
    Command::new("rl explain").about(VERB.about).arg(Arg::new("id").value_name("RL0000").help("Without it: all ids"))
}

fn run(_: &Globals, matches: &ArgMatches) -> Result<u8> {
    let Some(code) = matches.get_one::<String>("id") else {
        catalog::all().for_each(|entry| println!("{}  {}", entry.code(), entry.title));
        return Ok(0);
    };
    let entry = catalog::find(code).ok_or_else(|| {
        Error::new(&catalog::command_line::USAGE, format!("there is no error {code:?}"))
            .fix("The ids are in docs/troubleshooting.md; they look like RL0201.")
    })?;
    println!("{} {}\n\nWhy: {}\n\nWhat to do: {}", entry.code(), entry.title, entry.why, entry.fix);
    Ok(0)
}
