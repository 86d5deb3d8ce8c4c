//! `rl import FILE|- [NAME]`: an archive of a root file system becomes an image.

pub(super) mod change;

use std::fs::File;
use std::io::{self, Read};

use clap::{Arg, ArgAction, ArgMatches, Command};
use oci_spec::image::Config;

use super::system::sync_later;
use super::{Globals, Verb, foreign, in_namespace};
use crate::error::{Context, Result, catalog::command_line};
use crate::host::config;
use crate::image::{self, Import, Platform, Reference, Store, Summary};

/// The verb.
pub const VERB: Verb = Verb { name: "import", about: "Make an image of a root file system's archive", command, run };

fn command() -> Command {
    Command::new("rl import")
        .about(VERB.about)
        .override_usage("rl import [OPTIONS] FILE|- [NAME[:TAG]]")
        .arg(change::argument())
        .arg(Arg::new("message").long("message").short('m').value_name("TEXT").help("A comment in the image's history"))
        .arg(Arg::new("quiet").long("quiet").short('q').action(ArgAction::SetTrue).help("No remarks on stderr"))
        .arg(
            Arg::new("platform").long("platform").value_name("linux/ARCH").help("What the programs were made for; without it, this machine"),
        )
        .arg(Arg::new("userns").long("userns").value_name("MODE").help("single: give everything to root"))
        .arg(Arg::new("file").required(true).value_name("FILE|-"))
        .arg(Arg::new("name").value_name("NAME[:TAG]"))
        .after_help(
            "The archive is a tar as docker export makes it: plain, or compressed with gzip, zstd or xz.\n\nExamples:\n  \
             rl import debian.tar.gz debian\n  docker export web | rl import - web:backup\n  \
             rl import -c 'CMD [\"sh\"]' -c 'ENV A=1' rootfs.tar mine",
        )
}

fn run(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let word = |name: &str| matches.get_one::<String>(name).map(String::as_str);
    let name = word("name").map(Reference::parse).transpose()?;
    let config = change::all_changed(Config::default(), matches)?;
    let file = word("file").unwrap_or("-");
    let input: Box<dyn Read + Send> = if file == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(file).context(&command_line::INPUT_FILE, || format!("read the archive {file:?}"))?)
    };
    let (host, base) = in_namespace(globals, word("userns"))?;
    let platform = word("platform").map(str::parse).transpose()?.unwrap_or_else(Platform::host);
    let options =
        Import { name, platform, config, message: word("message").map(str::to_owned), squash: base.uid.total() == 1 };
    let (id, summary) = image::import(&Store::open(&host.dirs).with(config::Config::read()?.limits), input, &options)?;
    sync_later(&host);
    foreign::look_ahead(&options.platform, &host);
    if !matches.get_flag("quiet") {
        remarks(&summary);
    }
    println!("sha256:{id}");
    Ok(0)
}

/// What could not be unpacked as it is in the archive.
pub(super) fn remarks(summary: &Summary) {
    if summary.devices > 0 {
        eprintln!(
            "rl: {} device nodes were replaced by empty files: nobody can make them in a user namespace",
            summary.devices
        );
    }
    if summary.squashed > 0 {
        eprintln!("rl: {} entries of other users belong to root now: only one id is mapped", summary.squashed);
    }
}
