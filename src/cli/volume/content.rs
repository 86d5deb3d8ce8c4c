//! `rl volume export|import|mount|unmount|reload`: what is in a volume, as a tar stream or as a directory.
//!
//! The surprise: nothing is mounted, because a volume is a directory that is there; `mount` says where.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command};

use super::{names, volumes};
use crate::cli::container::each;
use crate::cli::{Globals, Verb, in_namespace};
use crate::error::{Context, Error, Result, catalog::command_line, catalog::volume as codes};
use crate::image::compression::uncompressed;
use crate::tree::{Owners, Pack, Unpack, Within};
use crate::volume::Volumes;

/// `rl volume export`.
pub const EXPORT: Verb =
    Verb { name: "export", about: "Write what is in a volume as a tar stream", command: export_command, run: export };
/// `rl volume import`.
pub const IMPORT: Verb =
    Verb { name: "import", about: "Unpack a tar archive into a volume", command: import_command, run: import };
/// `rl volume mount`.
pub const MOUNT: Verb = Verb { name: "mount", about: "Say where volumes are", command: mount_command, run: mount };
/// `rl volume unmount`.
pub const UNMOUNT: Verb = Verb {
    name: "unmount",
    about: "For scripts of podman: nothing is mounted",
    command: unmount_command,
    run: unmount,
};
/// `rl volume reload`.
pub const RELOAD: Verb =
    Verb { name: "reload", about: "For scripts of podman: there are no plugins", command: reload_command, run: reload };

/// What is stored has the ids that containers have by default.
const AS_STORED: Owners<'static> = Owners { uid: &|uid| uid, gid: &|gid| gid };

fn place(volumes: &Volumes, name: &str) -> Result<PathBuf> {
    let found = volumes.find(name)?.ok_or_else(|| Error::new(&codes::NO_VOLUME, format!("{name:?}")))?;
    volumes.place(&found)
}

fn export_command() -> Command {
    Command::new("rl volume export")
        .about(EXPORT.about)
        .arg(Arg::new("output").long("output").short('o').value_name("FILE").help("Into a file, not to stdout"))
        .arg(Arg::new("name").required(true).value_name("VOLUME"))
        .after_help("Examples:\n  rl volume export data >data.tar\n  rl volume export data | rl volume import copy -")
}

fn export(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let word = |name: &str| matches.get_one::<String>(name).map_or("", String::as_str);
    let output = Some(word("output")).filter(|path| !["", "-"].contains(path));
    if output.is_none() && io::stdout().is_terminal() {
        return Err(Error::new(&command_line::USAGE, "rl volume export would write a tar stream to a terminal")
            .fix("Give a file with -o, or send the stream somewhere else: rl volume export VOLUME | tar -t"));
    }
    let (host, _) = in_namespace(globals, None)?;
    let name = word("name");
    let doing = || format!("export the volume {name}");
    let directory = File::open(place(&Volumes::open(&host.dirs), name)?).context(&codes::COPY, doing)?;
    let open = |path| OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let mut file = output.map(|path| open(path).context(&codes::COPY, || format!("write {path}"))).transpose()?;
    let out: &mut dyn Write = match &mut file {
        Some(file) => file,
        None => &mut io::stdout().lock(),
    };
    let mut pack = Pack::new(BufWriter::with_capacity(1 << 18, out), AS_STORED).one_mount();
    let packed = pack.directory(directory.as_fd(), b"").and_then(|()| pack.finish()?.flush());
    packed.context(&codes::COPY, doing)?;
    Ok(0)
}

fn import_command() -> Command {
    Command::new("rl volume import")
        .about(IMPORT.about)
        .arg(Arg::new("name").required(true).value_name("VOLUME").help("It must be there"))
        .arg(
            Arg::new("file")
                .required(true)
                .value_name("FILE")
                .help("A tar archive, plain or compressed with gzip, zstd or xz; - for stdin"),
        )
        .after_help(
            "What is in the volume stays, but for files that the archive has, too.\n\nExamples:\n  \
             rl volume import data data.tar.zst\n  ssh host rl volume export data | rl volume import data -",
        )
}

fn import(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let word = |name: &str| matches.get_one::<String>(name).map_or("", String::as_str);
    let (name, file) = (word("name"), word("file"));
    let doing = || format!("unpack {file} into the volume {name}");
    let input: Box<dyn Read + Send> = match file {
        "-" => Box::new(io::stdin()),
        path => Box::new(File::open(path).context(&command_line::INPUT_FILE, || format!("read {path}"))?),
    };
    let (host, base) = in_namespace(globals, None)?;
    let directory = File::open(place(&Volumes::open(&host.dirs), name)?).context(&codes::COPY, doing)?;
    // With a single id all is root's.
    let id = |map: &subid::IdMap, id: u64| u32::try_from(id).ok().filter(|id| map.outside(*id).is_some()).unwrap_or(0);
    let owner = |uid: u64, gid: u64| Some((id(&base.uid, uid), id(&base.gid, gid)));
    let unpack =
        Unpack { top: directory.as_fd(), at: PathBuf::new(), within: Within::Directory, owner: &owner, mode: 0o7777 };
    uncompressed(input, |stream| unpack.all(stream)).context(&codes::STREAM, doing)?;
    Ok(0)
}

fn mount_command() -> Command {
    Command::new("rl volume mount").about(MOUNT.about).arg(several())
}

fn several() -> Arg {
    Arg::new("name").required(true).num_args(1..).value_name("VOLUME")
}

fn mount(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let (_, volumes) = volumes(globals)?;
    Ok(each(names(matches), |name| Ok(Some(place(&volumes, name)?.display().to_string()))))
}

fn unmount_command() -> Command {
    Command::new("rl volume unmount").about(UNMOUNT.about).arg(several())
}

fn unmount(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let (_, volumes) = volumes(globals)?;
    Ok(each(names(matches), |name| place(&volumes, name).map(|_| Some(name.to_owned()))))
}

fn reload_command() -> Command {
    Command::new("rl volume reload").about(RELOAD.about)
}

fn reload(_: &Globals, _: &ArgMatches) -> Result<u8> {
    Ok(0)
}
