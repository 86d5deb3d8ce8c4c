//! `rl export CONTAINER`: its files as a tar stream, as docker's export and rl's import have them.
//!
//! The surprise: volumes and what else is mounted stay out, and so does the history: it is the one tree that the container sees.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;

use clap::{Arg, ArgMatches, Command};

use super::container::{latest, named_or_last};
use super::files::{Files, Found};
use super::{Globals, Verb, in_namespace};
use crate::error::{Context, Error, Result, catalog::command_line, catalog::volume as codes};
use crate::state::Containers;
use crate::tree::Pack;

/// The verb.
pub const VERB: Verb = Verb { name: "export", about: "All files of a container as a tar stream", command, run };

fn command() -> Command {
    Command::new("rl export")
        .about(VERB.about)
        .override_usage("rl export [-o FILE] CONTAINER|--latest")
        .arg(Arg::new("output").long("output").short('o').value_name("FILE").help("Into a file, not to stdout"))
        .arg(latest())
        .arg(Arg::new("container").value_name("CONTAINER"))
        .after_help(
            "Running or not; owners are those that the container sees, extended attributes come along, volumes do not.\n\nExamples:\n  \
             rl export web | rl import - web:flat\n  rl export -o web.tar web",
        )
}

fn run(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let word = |name: &str| matches.get_one::<String>(name).map(String::as_str);
    let output = word("output").filter(|path| *path != "-");
    if output.is_none() && io::stdout().is_terminal() {
        return Err(Error::new(&command_line::USAGE, "rl export would write a tar stream to a terminal")
            .fix("Give a file with -o, or send the stream somewhere else: rl export CONTAINER | tar -t"));
    }
    let (host, base) = in_namespace(globals, None)?;
    let containers = Containers::open(&host.dirs);
    let text = &named_or_last(&containers, "export", word("container"), matches.get_flag("latest"))?;
    let found = Found::of(&host, text)?;
    let open = |path| OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let mut file = output.map(|path| open(path).context(&codes::COPY, || format!("write {path}"))).transpose()?;
    let files = Files::of(&host, &base, found)?;
    let maps = files.as_inside();
    let out: &mut dyn Write = match &mut file {
        Some(file) => file,
        None => &mut io::stdout().lock(),
    };
    let mut pack = Pack::new(BufWriter::with_capacity(1 << 18, out), maps.owners()).one_mount();
    let packed = pack.directory(files.root(), b"").and_then(|()| pack.finish()?.flush());
    packed.context(&codes::COPY, || format!("export {text}"))?;
    Ok(0)
}
