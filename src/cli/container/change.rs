//! `rl rename`.
//!
//! The new name is taken before the old one is given back, so that at no moment another could have either. The surprise: it needs no
//! lock of a running container, which its supervisor has; the record is replaced in one rename.

use clap::{Arg, ArgMatches, Command};

use crate::cli::{Globals, Verb};
use crate::error::{Result, catalog};
use crate::host::Host;
use crate::state::{Containers, RunningFile, names, stays};

/// The verb.
pub const RENAME: Verb = Verb { name: "rename", about: "Give a container another name", command, run };

fn command() -> Command {
    Command::new("rl rename")
        .about(RENAME.about)
        .arg(Arg::new("container").required(true).value_name("CONTAINER"))
        .arg(Arg::new("name").required(true).value_name("NAME"))
}

fn run(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    let containers = Containers::open(&host.dirs);
    let (text, name) = (super::word(matches, "container").unwrap_or(""), super::word(matches, "name").unwrap_or(""));
    let mut container = containers.find(text)?;
    let mut record = container.record.clone();
    let old = std::mem::replace(&mut record.name, name.to_owned());
    if old == name {
        return Err(crate::error::Error::new(&catalog::state::NAME, format!("{name} is its name already")));
    }
    names::claim(&host.dirs, name, &record.id)?;
    let written = if stays(&container.data) {
        record.write(&container.data)
    } else {
        match RunningFile::read(&container.run) {
            Some(mut file) => {
                file.record = Some(Box::new(record.clone()));
                file.write(&container.run)
            }
            None => Ok(()),
        }
    };
    if let Err(error) = written {
        names::release(&host.dirs, name, &record.id);
        return Err(error);
    }
    names::release(&host.dirs, &old, &record.id);
    container.record = record;
    super::tell(&containers, &container, "rename", &[("oldName", old)]);
    Ok(0)
}
