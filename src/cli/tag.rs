//! `rl tag IMAGE NAME[:TAG]...`: one more name for an image.

use clap::{Arg, ArgMatches, Command};

use super::{Globals, Verb};
use crate::error::Result;
use crate::host::Host;
use crate::image::{Platform, Reference, Store};

/// The verb.
pub const VERB: Verb = Verb { name: "tag", about: "Give an image one more name", command, run };

fn command() -> Command {
    Command::new("rl tag")
        .about(VERB.about)
        .arg(Arg::new("platform").long("platform").value_name("linux/ARCH").help("The image for that platform"))
        .arg(Arg::new("image").required(true).value_name("IMAGE"))
        .arg(Arg::new("name").required(true).num_args(1..).value_name("NAME[:TAG]"))
        .after_help("Example:\n  rl tag debian localhost:5000/base:12")
}

fn run(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    // Names alone change: no file of a subordinate id is touched, so no namespace is needed.
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    let store = Store::open(&host.dirs);
    let platform: Option<Platform> = matches.get_one::<String>("platform").map(|text| text.parse()).transpose()?;
    let image = matches.get_one::<String>("image").map_or("", String::as_str);
    let names = matches.get_many::<String>("name").into_iter().flatten();
    // All are checked before the first is given.
    let names = names.map(|name| Reference::parse(name)).collect::<Result<Vec<_>>>()?;
    names.iter().try_for_each(|name| store.tag(image, platform.as_ref(), name))?;
    Ok(0)
}
