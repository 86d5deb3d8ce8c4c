//! `rl container exists`, and the same of images, networks and volumes: podman's question for scripts, answered by the exit status alone.
//!
//! The surprise: nothing is said, not even why not.

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{Globals, Verb};
use crate::error::{Result, catalog::network::NO_NETWORK, catalog::state as codes};
use crate::host::Host;
use crate::image::Store;
use crate::network::named::store::Networks;
use crate::state::Containers;
use crate::volume::Volumes;

/// `rl container exists`.
pub const CONTAINER: Verb = Verb {
    name: "container exists",
    about: "End with 0 if there is such a container, else 1",
    command: of_containers,
    run,
};
/// `rl image exists`.
pub const IMAGE: Verb = Verb {
    name: "image exists",
    about: "End with 0 if there is such an image, else 1",
    command: of_images,
    run: image,
};
/// `rl network exists`.
pub const NETWORK: Verb = Verb {
    name: "network exists",
    about: "End with 0 if there is such a network, else 1",
    command: of_networks,
    run: network,
};
/// `rl volume exists`.
pub const VOLUME: Verb = Verb {
    name: "volume exists",
    about: "End with 0 if there is such a volume, else 1",
    command: of_volumes,
    run: volume,
};

fn name() -> Arg {
    Arg::new("name").required(true).value_name("NAME")
}

fn asked(matches: &ArgMatches) -> &str {
    matches.get_one::<String>("name").map_or("", String::as_str)
}

fn of_containers() -> Command {
    let external = Arg::new("external").long("external").short('e').action(ArgAction::SetTrue);
    let external = external.help("For scripts of podman: there are no containers of others");
    Command::new("rl container exists").about(CONTAINER.about).arg(external).arg(name())
}

fn of_images() -> Command {
    Command::new("rl image exists").about(IMAGE.about).arg(name())
}

fn of_networks() -> Command {
    Command::new("rl network exists").about(NETWORK.about).arg(name())
}

fn of_volumes() -> Command {
    Command::new("rl volume exists").about(VOLUME.about).arg(name())
}

fn run(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    match Containers::open(&host.dirs).find(asked(matches)) {
        Ok(_) => Ok(0),
        Err(error) if *error.entry() == codes::NO_CONTAINER => Ok(1),
        Err(error) => Err(error),
    }
}

fn image(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    let found = Store::open(&host.dirs).lookup(asked(matches), None)?;
    Ok(u8::from(!found))
}

fn network(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    match Networks::open(&host.dirs).find(asked(matches)) {
        Ok(_) => Ok(0),
        Err(error) if *error.entry() == NO_NETWORK => Ok(1),
        Err(error) => Err(error),
    }
}

fn volume(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    let found = Volumes::open(&host.dirs).find(asked(matches))?;
    Ok(u8::from(found.is_none()))
}
