//! `rl rmi IMAGE...`: each with its own result.

use std::io::Write;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::format::Screen;
use super::{Globals, Verb, in_namespace};
use crate::error::{Result, catalog::image};
use crate::image::{Platform, Store};

/// The verb.
pub const VERB: Verb = Verb { name: "rmi", about: "Remove images", command, run };

fn command() -> Command {
    Command::new("rl rmi")
        .about(VERB.about)
        .arg(
            Arg::new("force").long("force").short('f').action(ArgAction::SetTrue).help("A missing image is no failure"),
        )
        .arg(Arg::new("platform").long("platform").value_name("linux/ARCH").help("The one for that platform"))
        .arg(Arg::new("image").required(true).num_args(1..).value_name("IMAGE"))
}

fn run(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    // Layers hold files of subordinate ids, which only root of the mapped namespace can delete.
    let (host, _) = in_namespace(globals, None)?;
    let store = Store::open(&host.dirs);
    let platform: Option<Platform> = matches.get_one::<String>("platform").map(|text| text.parse()).transpose()?;
    let mut status = 0;
    for image in matches.get_many::<String>("image").into_iter().flatten() {
        match store.remove(image, platform.as_ref()) {
            Ok(removed) => {
                removed.names.iter().for_each(|name| println!("Untagged: {name}"));
                removed.id.iter().for_each(|id| println!("Deleted: sha256:{id}"));
            }
            Err(error) if matches.get_flag("force") && *error.entry() == image::IMAGE_NOT_FOUND => {}
            Err(error) => {
                // An image's name may be anybody's making. Nobody is left to hear that stderr is closed.
                let _ = Screen::stderr().write_all(format!("rl: {error}\n").as_bytes());
                status = 1;
            }
        }
    }
    Ok(status)
}
