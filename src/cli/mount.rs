//! `rl image mount IMAGE` and `rl image unmount IMAGE`: an image's files, to be looked at.

use clap::{Arg, ArgMatches, Command};

use super::{Globals, Verb, in_namespace};
use crate::error::{Error, Result, catalog};
use crate::image::{Platform, Store};
use crate::runtime::view;

/// `rl image mount`.
pub const MOUNT: Verb = Verb {
    name: "mount",
    about: "Mount an image read-only (inside rl unshare -m)",
    command: mount_command,
    run: mount,
};

/// `rl image unmount`.
pub const UNMOUNT: Verb =
    Verb { name: "unmount", about: "Take such a mount away", command: unmount_command, run: unmount };

fn images(command: Command) -> Command {
    command
        .arg(Arg::new("platform").long("platform").value_name("linux/ARCH").help("The image for that platform"))
        .arg(Arg::new("image").required(true).num_args(1..).value_name("IMAGE"))
}

fn mount_command() -> Command {
    images(Command::new("rl image mount").about(MOUNT.about))
        .after_help("Prints where it is. Example:\n  rl unshare -m sh -c 'ls \"$(rl image mount debian)\"'")
}

fn unmount_command() -> Command {
    images(Command::new("rl image unmount").about(UNMOUNT.about))
}

fn mount(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let (host, _) = in_namespace(globals, None)?;
    let store = Store::open(&host.dirs);
    let platform: Option<Platform> = matches.get_one::<String>("platform").map(|text| text.parse()).transpose()?;
    for text in matches.get_many::<String>("image").into_iter().flatten() {
        // Kept mounted, its layers are kept by nobody's lock: the mount itself holds the files.
        let image = store.find(text, platform.as_ref())?;
        if image.shared {
            let what = format!("mount {text} of a shared store");
            return Err(
                Error::new(&catalog::image::SHARE, what).because("its files have their owners inside a container only")
            );
        }
        println!("{}", view::mount(&image.layers, &image.id, &host.dirs.run)?.display());
    }
    Ok(0)
}

fn unmount(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let (host, _) = in_namespace(globals, None)?;
    let store = Store::open(&host.dirs);
    let platform: Option<Platform> = matches.get_one::<String>("platform").map(|text| text.parse()).transpose()?;
    let mut status = 0;
    for text in matches.get_many::<String>("image").into_iter().flatten() {
        let image = store.find(text, platform.as_ref())?;
        if view::unmount(&image.id, &host.dirs.run)? {
            println!("{}", image.id);
        } else {
            eprintln!("rl: {text} is not mounted here");
            status = 1;
        }
    }
    Ok(status)
}
