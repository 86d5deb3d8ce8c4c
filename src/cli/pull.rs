//! `rl pull REFERENCE...`: images come into the store.

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::import::remarks;
use super::progress::Report;
use super::{Globals, Verb, in_namespace};
use crate::error::Result;
use crate::host::credentials;
use crate::image::exchange::{self, Found};
use crate::image::registry::{Options, Registry};
use crate::image::transport::Location;
use crate::image::{Platform, Pull, Pulled, Reference, Store, pull};

/// The verb.
pub const VERB: Verb = Verb { name: "pull", about: "Get images", command, run };

fn command() -> Command {
    Command::new("rl pull")
        .about(VERB.about)
        .arg(
            Arg::new("platform")
                .long("platform")
                .value_name("linux/ARCH[/VARIANT]")
                .help("For another machine than this"),
        )
        .arg(Arg::new("quiet").long("quiet").short('q').action(ArgAction::SetTrue).help("No progress, only the id"))
        .arg(Arg::new("tag").long("tag").short('t').value_name("NAME[:TAG]").help("The name that the image gets here"))
        .arg(
            Arg::new("tls-verify")
                .long("tls-verify")
                .value_name("true|false")
                .default_value("true")
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .value_parser(clap::value_parser!(bool))
                .help("false: plain http, or any certificate, will do"),
        )
        .arg(
            Arg::new("cert-authority")
                .long("cert-authority")
                .value_name("FILE")
                .value_parser(clap::value_parser!(std::path::PathBuf))
                .help("Trust this certificate authority, too (PEM)"),
        )
        .arg(Arg::new("userns").long("userns").value_name("MODE").help("single: give everything to root"))
        .arg(Arg::new("image").required(true).num_args(1..).value_name("IMAGE"))
        .after_help("Examples:\n  rl pull debian\n  rl pull debian-arm64\n  rl pull --platform linux/arm64 ghcr.io/owner/app:1\n  rl pull oci:/tmp/layout:v1")
}

/// What is asked for, in full.
struct Wanted {
    location: Location,
    name: Option<Reference>,
    platform: Platform,
    strict: bool,
}

fn run(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let word = |name: &str| matches.get_one::<String>(name).map(String::as_str);
    let images: Vec<&String> = matches.get_many::<String>("image").into_iter().flatten().collect();
    let insecure = !matches.get_one::<bool>("tls-verify").is_none_or(|verify| *verify);
    let authority = matches.get_one::<std::path::PathBuf>("cert-authority").cloned();
    // Before the namespace is entered: whoever helps with credentials must see who we are.
    let options = images.iter().map(|text| {
        let credentials = match Location::parse(text)? {
            Location::Registry(reference) => credentials::of(reference.registry())?,
            _ => None,
        };
        Ok(Options { insecure, authority: authority.clone(), credentials })
    });
    let options = options.collect::<Result<Vec<_>>>()?;
    let (host, base) = in_namespace(globals, word("userns"))?;
    let store = Store::open(&host.dirs);
    let platform: Option<Platform> = word("platform").map(str::parse).transpose()?;
    let tag = word("tag").map(Reference::parse).transpose()?;
    // All words are understood before the first image is fetched.
    let wanted = images.iter().map(|text| understand(&store, text, platform.as_ref(), tag.as_ref()));
    let wanted = wanted.collect::<Result<Vec<_>>>()?;
    let progress = Report::stderr(matches.get_flag("quiet"));
    for (one, options) in wanted.iter().zip(&options) {
        let found = open(&store, one, options)?;
        let squash = base.uid.total() == 1;
        let pulled = take_in(&store, &found, &one.platform, (one.strict, squash), &progress)?;
        if !matches.get_flag("quiet") {
            remarks(&pulled.summary);
        }
        println!("{}", pulled.id);
    }
    Ok(0)
}

/// Puts an image into the store with all names that it has. `strict`: its platform was asked for; `squash`: there is one id.
pub(super) fn take_in(
    store: &Store,
    found: &Found,
    platform: &Platform,
    (strict, squash): (bool, bool),
    progress: &Report,
) -> Result<Pulled> {
    let name = found.names.first();
    let pulled = pull(store, found.source.as_ref(), &Pull { name, platform, strict, squash }, progress)?;
    for other in found.names.iter().skip(1) {
        store.tag(&pulled.id, None, other)?;
    }
    Ok(pulled)
}

fn understand(store: &Store, text: &str, platform: Option<&Platform>, tag: Option<&Reference>) -> Result<Wanted> {
    let location = Location::parse(text)?;
    let (location, ending) = match location {
        // NAME-ARCH, unless an image has that very name here.
        Location::Registry(_) => {
            let (reference, ending) = store.meaning(text.trim_start_matches("docker://"), platform)?;
            (Location::Registry(reference), ending)
        }
        other => (other, platform.cloned()),
    };
    let own = match &location {
        Location::Registry(reference) | Location::DockerArchive(_, Some(reference)) => Some(reference.clone()),
        // A name in a layout need not be one of an image.
        Location::OciArchive(_, Some(name)) | Location::OciDirectory(_, Some(name)) => Reference::parse(name).ok(),
        _ => None,
    };
    let strict = ending.is_some();
    Ok(Wanted { location, name: tag.cloned().or(own), platform: ending.unwrap_or_else(Platform::host), strict })
}

fn open(store: &Store, wanted: &Wanted, options: &Options) -> Result<Found> {
    match &wanted.location {
        Location::Registry(reference) => {
            let names = vec![wanted.name.clone().unwrap_or_else(|| reference.clone())];
            Ok(Found { names, source: Box::new(Registry::open(reference.clone(), options)?) })
        }
        location => {
            let found = exchange::open(store, location)?;
            Ok(Found { names: wanted.name.clone().map_or(found.names, |name| vec![name]), ..found })
        }
    }
}
