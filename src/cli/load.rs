//! `rl load`: the images of an archive that docker, podman or skopeo made.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::import::remarks;
use super::progress::{Report, Way};
use super::pull::take_in;
use super::system::sync_later;
use super::{Globals, Verb, foreign, in_namespace};
use crate::error::{Error, Result, catalog::command_line};
use crate::host::config::Config;
use crate::image::{Platform, Store, exchange};

/// The verb.
pub const VERB: Verb = Verb { name: "load", about: "Get the images of an archive (docker save)", command, run };

fn command() -> Command {
    Command::new("rl load")
        .about(VERB.about)
        .override_usage("rl load [OPTIONS] [-i FILE]")
        .arg(
            Arg::new("input")
                .long("input")
                .short('i')
                .value_name("FILE")
                .value_parser(clap::value_parser!(PathBuf))
                .help(
                    "A docker archive, an OCI archive, or the directory of an OCI layout; without it, standard input",
                ),
        )
        .arg(Arg::new("quiet").long("quiet").short('q').action(ArgAction::SetTrue).help("No progress"))
        .arg(
            Arg::new("platform")
                .long("platform")
                .value_name("linux/ARCH[/VARIANT]")
                .help("Of an image for several platforms, this one"),
        )
        .arg(Arg::new("userns").long("userns").value_name("MODE").help("single: give everything to root"))
        .after_help("Examples:\n  docker save debian | rl load\n  rl load -i images.tar.gz")
}

fn run(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let input = matches.get_one::<PathBuf>("input").cloned().unwrap_or_else(|| "-".into());
    if input.as_os_str() == "-" && std::io::stdin().is_terminal() {
        return Err(Error::new(&command_line::USAGE, "rl load: standard input is a terminal, and no archive")
            .fix("Name a file: rl load -i FILE"));
    }
    let platform: Option<Platform> = matches.get_one::<String>("platform").map(|text| text.parse()).transpose()?;
    let (host, base) = in_namespace(globals, matches.get_one::<String>("userns").map(String::as_str))?;
    let store = Store::open(&host.dirs).with(Config::read()?.limits);
    let squash = base.uid.total() == 1;
    let quiet = matches.get_flag("quiet");
    let own = Platform::host();
    for found in exchange::open_all(&store, &input)? {
        let progress = Report::stderr(quiet, Way::Through);
        let chosen = platform.as_ref().unwrap_or(&own);
        let pulled = take_in(&store, &found, chosen, (platform.is_some(), squash), &progress)?;
        sync_later(&host);
        foreign::look_ahead(&pulled.platform, &host);
        if !quiet {
            remarks(&pulled.summary);
        }
        found.names.iter().for_each(|name| println!("Loaded image: {name}"));
        if found.names.is_empty() {
            println!("Loaded image: sha256:{}", pulled.id);
        }
    }
    Ok(0)
}
