//! `rl pull REFERENCE...`: images come into the store.

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::import::remarks;
use super::progress::{Report, Way};
use super::registry::{self, Access};
use super::system::sync_later;
use super::{Globals, Verb, enter, foreign};
use crate::error::{Error, Result, catalog::image};
use crate::host::Host;
use crate::image::exchange::{self, Found};
use crate::image::registry::{Mirrors, Options};
use crate::image::transport::Location;
use crate::image::{Platform, Pull, Pulled, Reference, Store, pull};

/// The verb.
pub const VERB: Verb = Verb { name: "pull", about: "Get images", command, run };

fn command() -> Command {
    registry::flags(Command::new("rl pull"))
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
            Arg::new("shared")
                .long("shared")
                .action(ArgAction::SetTrue)
                .help("Into a store that every user of this machine reads (see additional_stores in docs/config.md)"),
        )
        .arg(
            // rl run's: nobody who pulls wants another image than the one that was named.
            Arg::new("or-runnable").long("or-runnable").action(ArgAction::SetTrue).hide(true),
        )
        .arg(Arg::new("userns").long("userns").value_name("MODE").help("single: give everything to root"))
        .arg(Arg::new("image").required(true).num_args(1..).value_name("IMAGE"))
        .after_help("Examples:\n  rl pull debian\n  rl pull debian-arm64\n  rl pull --platform linux/arm64 ghcr.io/owner/app:1\n  rl pull oci:/tmp/layout:v1")
}

/// What is asked for, in full.
struct Wanted {
    from: From,
    name: Option<Reference>,
    platform: Platform,
    strict: bool,
}

/// Where it is.
enum From {
    Registry(Vec<(Reference, Options)>),
    File(Location),
}

fn run(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let word = |name: &str| matches.get_one::<String>(name).map(String::as_str);
    let access = Access::of(matches)?;
    let platform: Option<Platform> = word("platform").map(str::parse).transpose()?;
    let tag = word("tag").map(Reference::parse).transpose()?;
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    let store = Store::open(&host.dirs).with(access.config.limits);
    // All words are understood before the first image is fetched, and before the namespace is entered: whoever helps with
    // credentials must see who we are.
    let images = matches.get_many::<String>("image").into_iter().flatten();
    let wanted = images.map(|text| understand(&store, &access, text, platform.as_ref()));
    let wanted = wanted.collect::<Result<Vec<_>>>()?;
    let base = enter(&host, word("userns"))?;
    if matches.get_flag("shared") {
        store.share()?;
    }
    let runnable = matches.get_flag("or-runnable");
    let progress = Report::stderr(matches.get_flag("quiet"), Way::In);
    for one in &wanted {
        let found = open(&store, one, tag.as_ref())?;
        let squash = base.uid.total() == 1;
        let take = |platform: &Platform, strict| take_in(&store, &found, platform, (strict, squash), &progress);
        let pulled = match take(&one.platform, one.strict) {
            Err(error) if runnable && !one.strict && is_for_others(&error) => {
                // Its programs can be run here all the same.
                let others = foreign::runnable(&host).into_iter();
                let mut taken = others.map(|other| take(&other, true));
                taken.find(|taken| !taken.as_ref().is_err_and(is_for_others)).unwrap_or(Err(error))
            }
            taken => taken,
        }?;
        sync_later(&host);
        foreign::look_ahead(&pulled.platform, &host);
        if !matches.get_flag("quiet") {
            remarks(&pulled.summary);
        }
        println!("{}", pulled.id);
    }
    Ok(0)
}

fn is_for_others(error: &Error) -> bool {
    *error.entry() == image::NO_PLATFORM
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

fn understand(store: &Store, access: &Access, text: &str, platform: Option<&Platform>) -> Result<Wanted> {
    let (from, name, platform) = match Location::parse(text)? {
        Location::Registry(_) => {
            let text = text.trim_start_matches("docker://");
            let (reference, platform) = registry::meaning(store, &access.config, text, platform)?;
            (From::Registry(access.from(&reference)?), Some(reference), platform)
        }
        file => {
            // A name in a layout need not be one of an image.
            let name = match &file {
                Location::OciArchive(_, Some(name)) | Location::OciDirectory(_, Some(name)) => {
                    Reference::parse(name).ok()
                }
                _ => None,
            };
            (From::File(file), name, platform.cloned())
        }
    };
    let strict = platform.is_some();
    Ok(Wanted { from, name, platform: platform.unwrap_or_else(Platform::host), strict })
}

fn open(store: &Store, wanted: &Wanted, tag: Option<&Reference>) -> Result<Found> {
    let name = tag.or(wanted.name.as_ref()).cloned();
    match &wanted.from {
        From::Registry(places) => {
            Ok(Found { names: name.into_iter().collect(), source: Box::new(Mirrors::open(places)?) })
        }
        From::File(location) => {
            let found = exchange::open(store, location)?;
            Ok(Found { names: name.map_or(found.names, |name| vec![name]), ..found })
        }
    }
}
