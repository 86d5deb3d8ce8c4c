//! `rl push IMAGE [DESTINATION]`: an image goes to a registry, or wherever else images can be.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::progress::{Report, Way};
use super::registry::{self, Access};
use super::{Globals, Verb, in_namespace};
use crate::error::{Error, Result, catalog::image};
use crate::image::exchange::{Format, Output, save};
use crate::image::registry::Push;
use crate::image::transport::Location;
use crate::image::{Platform, Reference, Store, outgoing, send};

/// The verb.
pub const VERB: Verb = Verb { name: "push", about: "Send an image to a registry", command, run };

fn command() -> Command {
    registry::flags(Command::new("rl push"))
        .about(VERB.about)
        .override_usage("rl push [OPTIONS] IMAGE [DESTINATION]")
        .arg(Arg::new("quiet").long("quiet").short('q').action(ArgAction::SetTrue).help("No progress"))
        .arg(
            Arg::new("digestfile")
                .long("digestfile")
                .value_name("FILE")
                .value_parser(clap::value_parser!(PathBuf))
                .help("Write the digest of the image there"),
        )
        .arg(Arg::new("platform").long("platform").value_name("linux/ARCH[/VARIANT]").help("The image for that platform"))
        .arg(Arg::new("image").required(true).value_name("IMAGE"))
        .arg(Arg::new("destination").value_name("DESTINATION").help("Without it, the image's own name"))
        .after_help("Examples:\n  rl push localhost:5000/app:1\n  rl push app ghcr.io/owner/app:1\n  rl push app oci:/tmp/layout:v1")
}

fn run(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let word = |name: &str| matches.get_one::<String>(name).map(String::as_str);
    let name = word("image").unwrap_or_default();
    let platform: Option<Platform> = word("platform").map(str::parse).transpose()?;
    let target = Location::parse(word("destination").unwrap_or(name))?;
    // Before the namespace is entered: whoever helps with credentials must see who we are.
    let place = match &target {
        Location::Registry(reference) => Some(Access::of(matches)?.to(reference)?),
        _ => None,
    };
    let (host, _) = in_namespace(globals, None)?;
    let store = Store::open(&host.dirs);
    let outgoing = outgoing(&store, name, platform.as_ref())?;
    let quiet = matches.get_flag("quiet");
    let digest = match (place, target) {
        (Some((reference, options)), _) => {
            let push = Push::open(reference, &options, &store.names()?)?;
            send(outgoing, &push, &[], &Report::stderr(quiet, Way::Out))?
        }
        (None, target) => {
            let (format, path, name) = file(target)?;
            let digest = outgoing.digest().clone();
            let images = vec![(outgoing, name.into_iter().collect())];
            save(&store, images, format, &Output::Path(path), &Report::stderr(quiet, Way::Through))?;
            digest
        }
    };
    if let Some(file) = matches.get_one::<PathBuf>("digestfile") {
        std::fs::write(file, digest.to_string())
            .map_err(|error| Error::new(&image::SAVE, format!("write {}", file.display())).because(error))?;
    }
    Ok(0)
}

/// A place that is no registry. Names there must be names of images, or nobody could load them.
fn file(target: Location) -> Result<(Format, PathBuf, Option<Reference>)> {
    let parse = |name: Option<String>| name.map(|name| Reference::parse(&name)).transpose();
    match target {
        Location::OciDirectory(path, name) => Ok((Format::OciDirectory, path, parse(name)?)),
        Location::OciArchive(path, name) => Ok((Format::OciArchive, path, parse(name)?)),
        Location::DockerArchive(path, name) => Ok((Format::DockerArchive, path, name)),
        Location::Registry(reference) => Err(Error::new(&image::SAVE, format!("use {reference} as a file"))),
    }
}
