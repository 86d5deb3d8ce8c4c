//! Where the image of a run is: in the caller's store, in one that is shared with others, or in a registry.
//!
//! Owns `--pull`, `--platform` and the order in which places are looked at. The surprise: what is missing is fetched by a
//! process of its own before this one enters its user namespace; afterwards nobody would see any more who the caller is,
//! and a process with threads can't enter one.

use std::process::{Command, Stdio};

use clap::ArgMatches;

use super::wrong;
use crate::cli::{Globals, foreign, registry};
use crate::error::{Context, Error, Result, catalog::command_line, catalog::image, catalog::state};
use crate::host::Host;
use crate::host::config::Config;
use crate::image::{Image, Platform, Reference, Store};
use crate::spec::Source;

/// `--pull`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    Missing,
    Always,
    /// Always; but what is there will do where the registry can't be asked.
    Newer,
    Never,
}

/// How a run gets its image.
#[derive(Debug)]
pub(super) struct Want {
    policy: Policy,
    platform: Option<Platform>,
    /// For the pull, as they were given.
    flags: Vec<String>,
}

impl Want {
    pub(super) fn of(matches: &ArgMatches) -> Result<Self> {
        let word = |name: &str| matches.get_one::<String>(name).map(String::as_str);
        let policy = match word("pull") {
            None | Some("missing" | "false" | "ifnotpresent") => Policy::Missing,
            Some("always" | "true") => Policy::Always,
            Some("newer") => Policy::Newer,
            Some("never") => Policy::Never,
            Some(other) => return Err(wrong("pull", other, "missing, never, newer or always")),
        };
        let platform = platform(word("platform"), word("os"), word("arch"), word("variant"))?;
        let mut flags: Vec<String> = ["authfile", "tls-verify", "creds", "cert-authority"]
            .iter()
            .filter_map(|name| word(name).map(|value| format!("--{name}={value}")))
            .collect();
        flags.extend(platform.iter().map(|platform| format!("--platform={platform}")));
        let quiet = matches.get_one::<bool>("quiet").copied().unwrap_or_default();
        flags.extend(quiet.then(|| "--quiet".to_owned()));
        Ok(Self { policy, platform, flags })
    }
}

/// `--platform`, or podman's three words for its parts.
fn platform(
    whole: Option<&str>,
    os: Option<&str>,
    arch: Option<&str>,
    variant: Option<&str>,
) -> Result<Option<Platform>> {
    let parts = [("os", os), ("arch", arch), ("variant", variant)];
    let part = parts.iter().find_map(|(name, word)| word.map(|_| name));
    match (whole, part) {
        (None, None) => Ok(None),
        (Some(word), None) => word.parse().map(Some),
        (Some(_), Some(part)) => {
            Err(Error::new(&command_line::CONFLICT, format!("--platform and --{part}: one says what the other does")))
        }
        (None, Some(_)) => {
            if let Some(other) = os.filter(|os| *os != "linux") {
                return Err(wrong("os", other, "linux: there is no other system in rl's containers"));
            }
            let own = Platform::host();
            let architecture = arch.unwrap_or(&own.architecture);
            let words = ["linux", architecture].into_iter().chain(variant);
            words.collect::<Vec<_>>().join("/").parse().map(Some)
        }
    }
}

impl Want {
    /// `--platform`.
    pub(super) fn platform(&self) -> Option<&Platform> {
        self.platform.as_ref()
    }
}

/// Where it was found.
pub(super) struct Place {
    store: Store,
    name: String,
    platform: Option<Platform>,
}

/// A run has an image, or ends before it begins.
pub(super) enum Ensured {
    There(Option<Place>),
    /// The pull has failed and has said why.
    Ended(u8),
}

impl Place {
    /// The image, kept from being deleted.
    pub(super) fn find(&self) -> Result<Image> {
        self.store.find(&self.name, self.platform.as_ref())
    }

    /// Where nobody has asked for another platform than this machine's, and got one.
    pub(super) fn warn(&self, platform: &Platform) {
        if foreign::is_foreign(platform) && self.platform.is_none() {
            // NAME-ARCH asks, too.
            let ending = Reference::parse(&self.name).ok().and_then(|name| name.platform_ending());
            if ending.is_none_or(|(_, asked)| !asked.serves(platform)) {
                foreign::warn(&self.name, platform);
            }
        }
    }
}

/// Finds the image, and fetches it where that is wanted. To be called before the user namespace is entered.
pub(super) fn ensure(globals: &Globals, host: &Host, source: &Source, want: &Want) -> Result<Ensured> {
    let Source::Image(name) = source else { return Ok(Ensured::There(None)) };
    let place = |store: Store, name: &str| {
        Ensured::There(Some(Place { store, name: name.to_owned(), platform: want.platform.clone() }))
    };
    let store = Store::open(&host.dirs);
    // One look at one name: what nearly every run needs.
    let asks = matches!(want.policy, Policy::Always | Policy::Newer);
    if !asks && want.platform.is_none() && store.is_there(name) {
        return Ok(place(store, name));
    }
    let there = store.lookup(name, want.platform.as_ref())?;
    if there && !asks {
        return Ok(place(store, name));
    }
    let config = Config::read()?;
    let (reference, platform) = registry::meaning(&store, &config, name, want.platform.as_ref())?;
    // Under the name of which an alias was made.
    let full = if platform == want.platform { reference.to_string() } else { name.clone() };
    if !asks {
        if store.lookup(&full, want.platform.as_ref())? {
            return Ok(place(store, &full));
        }
        for other in config.additional_stores.iter().map(|root| Store::of_others(root)) {
            if other.lookup(&full, want.platform.as_ref())? {
                return Ok(place(other, &full));
            }
        }
        if want.policy == Policy::Never {
            // With near names.
            return store.find(name, want.platform.as_ref()).map(|_| place(store, name));
        }
    }
    let ended = fetch(globals, name, want)?;
    match (ended, want.policy) {
        (0, _) => Ok(place(store, &full)),
        (_, Policy::Newer) if there => Ok(place(store, name)),
        (status, _) => {
            if let Some(near) = store.near(name)? {
                eprintln!("rl: of the images that are here, did you mean {near}?");
            }
            Ok(Ensured::Ended(status))
        }
    }
}

/// `rl pull`, whose remarks go to stderr, for stdout is the container's.
fn fetch(globals: &Globals, name: &str, want: &Want) -> Result<u8> {
    let doing = || format!("pull {name}");
    let mut command = Command::new("/proc/self/exe");
    command.args(globals.words()).args(["pull", "--or-runnable"]).args(&want.flags).arg("--").arg(name);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    let status = status.context(&state::STATE, doing)?;
    match status.code() {
        Some(code) => Ok(u8::try_from(code).unwrap_or(125)),
        None => Err(Error::new(&image::STORE, doing()).because(format!("it was ended by {status}"))),
    }
}
