//! `rl save IMAGE...`: images as an archive or a layout, for other machines and other tools.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::progress::{Report, Way};
use super::{Globals, Verb, in_namespace};
use crate::error::{Error, Result, catalog::command_line};
use crate::image::exchange::{Format, Output, save};
use crate::image::{Outgoing, Platform, Reference, Store, outgoing};

/// The verb.
pub const VERB: Verb = Verb { name: "save", about: "Write images to an archive (docker save)", command, run };

fn command() -> Command {
    Command::new("rl save")
        .about(VERB.about)
        .arg(
            Arg::new("output")
                .long("output")
                .short('o')
                .value_name("FILE")
                .value_parser(clap::value_parser!(PathBuf))
                .help("Without it, standard output"),
        )
        .arg(
            Arg::new("format")
                .long("format")
                .value_name("FORMAT")
                .default_value("docker-archive")
                .value_parser(["docker-archive", "oci-archive", "oci-dir"])
                .help("docker-archive, oci-archive, or oci-dir, where FILE is a directory"),
        )
        .arg(Arg::new("quiet").long("quiet").short('q').action(ArgAction::SetTrue).help("No progress"))
        .arg(
            Arg::new("multi-image-archive")
                .long("multi-image-archive")
                .short('m')
                .action(ArgAction::SetTrue)
                .help("For scripts of podman: here every IMAGE is an image, never one more tag"),
        )
        .arg(
            Arg::new("platform")
                .long("platform")
                .value_name("linux/ARCH[/VARIANT]")
                .help("The images for that platform"),
        )
        .arg(Arg::new("image").required(true).num_args(1..).value_name("IMAGE"))
        .after_help(
            "Examples:\n  rl save debian | ssh other docker load\n  rl save --format oci-dir -o layout debian busybox",
        )
}

fn run(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let format = match matches.get_one::<String>("format").map(String::as_str) {
        Some("oci-archive") => Format::OciArchive,
        Some("oci-dir") => Format::OciDirectory,
        _ => Format::DockerArchive,
    };
    let output = matches.get_one::<PathBuf>("output").cloned().map_or(Output::Stdout, Output::Path);
    if matches!(output, Output::Stdout) && (std::io::stdout().is_terminal() || format == Format::OciDirectory) {
        let why = "rl save: standard output is a terminal, or can't hold a directory";
        return Err(Error::new(&command_line::USAGE, why).fix("Name a file: rl save -o FILE IMAGE"));
    }
    let platform: Option<Platform> = matches.get_one::<String>("platform").map(|text| text.parse()).transpose()?;
    // Blobs belong to the caller alone, but the store is opened as every other verb has it.
    let (host, _) = in_namespace(globals, None)?;
    let store = Store::open(&host.dirs);
    let mut images: Vec<(Outgoing<'_>, Vec<Reference>)> = Vec::new();
    for text in matches.get_many::<String>("image").into_iter().flatten() {
        let outgoing = outgoing(&store, text, platform.as_ref())?;
        let names = outgoing.name.iter().cloned().collect();
        images.push((outgoing, names));
    }
    save(&store, images, format, &output, &Report::stderr(matches.get_flag("quiet"), Way::Through))?;
    Ok(0)
}
