//! What the verbs that speak to registries share: their flags, and which addresses a name leads to.
//!
//! Owns turning a reference into addresses with logins and certificates. The surprise: all of that is known before a user
//! namespace is entered, because a credential helper must see who the caller is.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command};

use crate::error::{Error, Result, catalog::command_line};
use crate::host::config::Config;
use crate::host::credentials::{self, Credentials};
use crate::image::registry::Options;
use crate::image::{Platform, Reference, Store};

/// `--tls-verify`, `--cert-authority`, `--creds`, `--authfile`.
pub(super) fn flags(command: Command) -> Command {
    command
        .arg(
            Arg::new("tls-verify")
                .long("tls-verify")
                .value_name("true|false")
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
                .value_parser(clap::value_parser!(PathBuf))
                .help("Trust this certificate authority, too (PEM)"),
        )
        .arg(Arg::new("creds").long("creds").value_name("USER:PASSWORD").help("Use this login, and no stored one"))
        .arg(authfile())
}

/// `--authfile`.
pub(super) fn authfile() -> Arg {
    Arg::new("authfile")
        .long("authfile")
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .help("Where logins are kept, instead of the usual places")
}

/// How one command speaks to registries.
pub(super) struct Access {
    /// Said on the command line, or else what the configuration says.
    verify: Option<bool>,
    authority: Option<PathBuf>,
    creds: Option<Credentials>,
    authfile: Option<PathBuf>,
    pub(super) config: Config,
}

impl Access {
    pub(super) fn of(matches: &ArgMatches) -> Result<Self> {
        let creds = matches.get_one::<String>("creds").map(|text| match text.split_once(':') {
            Some((user, password)) => Ok(Credentials { user: user.to_owned(), password: password.to_owned() }),
            None => Err(Error::new(&command_line::USAGE, "--creds: expected USER:PASSWORD")),
        });
        Ok(Self {
            verify: matches.get_one::<bool>("tls-verify").copied(),
            authority: matches.get_one::<PathBuf>("cert-authority").cloned(),
            creds: creds.transpose()?,
            authfile: matches.get_one::<PathBuf>("authfile").cloned(),
            config: Config::read()?,
        })
    }

    /// Where images of that name come from, in the order in which they are to be tried.
    pub(super) fn from(&self, reference: &Reference) -> Result<Vec<(Reference, Options)>> {
        let repository = format!("{}/{}", reference.registry(), reference.repository());
        let endpoints = self.config.endpoints(&repository)?;
        endpoints
            .into_iter()
            .map(|endpoint| {
                let at = reference.elsewhere(&endpoint.repository)?;
                let credentials = match &self.creds {
                    Some(creds) => Some(creds.clone()),
                    None => credentials::of(at.registry(), self.authfile.as_deref())?,
                };
                let insecure = self.verify.map_or(endpoint.insecure, |verify| !verify);
                let mut authorities = endpoint.authorities;
                authorities.extend(self.authority.clone());
                Ok((at, Options { insecure, authorities, credentials }))
            })
            .collect()
    }

    /// Where images of that name go to.
    pub(super) fn to(&self, reference: &Reference) -> Result<(Reference, Options)> {
        let last = self.from(reference)?.pop();
        last.ok_or_else(|| Error::new(&command_line::USAGE, format!("{reference} leads nowhere")))
    }
}

/// What a word means: an image that is there, NAME-ARCH, or what an alias makes of a short name.
pub(super) fn meaning(
    store: &Store,
    config: &Config,
    text: &str,
    platform: Option<&Platform>,
) -> Result<(Reference, Option<Platform>)> {
    let (reference, platform) = store.meaning(text, platform)?;
    let short = !text.starts_with("docker.io/") && !text.starts_with("library/");
    let alias = config.alias(&reference.familiar()).filter(|_| short);
    let Some(full) = alias else { return Ok((reference, platform)) };
    if store.has(&reference, platform.as_ref())? {
        return Ok((reference, platform));
    }
    Ok((reference.elsewhere(full)?, platform))
}
