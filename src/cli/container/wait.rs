//! `rl wait`.
//!
//! Waits on a descriptor, never by looking again and again: the attach socket of a detached container, whose supervisor sends the exit
//! status; the pidfd and the lock of one in the foreground of another `rl`. The surprise: a container that does not run is waited for, too:
//! its last status is printed at once.

use clap::{ArgMatches, Command};
use nix::poll::PollTimeout;

use super::{chosen, each};
use crate::cli::{Globals, Verb};
use crate::error::{Error, Result, catalog::state as codes};
use crate::host::Host;
use crate::runtime::attach::{self, Packet};
use crate::state::{Container, Containers};

/// The verb.
pub const VERB: Verb = Verb { name: "wait", about: "Wait for containers' ends and print their statuses", command, run };

fn command() -> Command {
    chosen::arguments(Command::new("rl wait"), "All that run", "lf")
        .about(VERB.about)
        .arg(super::flag("ignore", "A container that is not there counts as ended with -1"))
}

fn run(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    let containers = Containers::open(&host.dirs);
    let wanted = chosen::chosen(&containers, matches, "wait", chosen::active)?;
    Ok(each(&wanted, |text| match containers.find(text) {
        Err(error) if matches.get_flag("ignore") && *error.entry() == codes::NO_CONTAINER => Ok(Some("-1".into())),
        found => wait(&containers, &found?).map(|status| Some(status.to_string())),
    }))
}

/// The exit status, once there is one.
pub(super) fn wait(containers: &Containers, container: &Container) -> Result<u8> {
    if !container.is_active() {
        return Ok(last(container));
    }
    if let Some(status) = attach::connect(&container.run, b'w').and_then(|mut connection| {
        loop {
            match connection.hear() {
                Ok(Packet::Ended(status)) => return Some(status),
                Ok(Packet::Gone) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }) {
        return Ok(status);
    }
    let supervisor = super::end::supervisor_of(container);
    // In the foreground of another rl, or its supervisor was killed.
    if let Some(running) = &container.running {
        running.wait(PollTimeout::NONE);
    }
    super::end::settled(container, supervisor.as_ref())?;
    let gone = || Error::new(&codes::NO_CONTAINER, format!("{}: it was removed when it ended", container.record.name));
    containers.read(&container.record.id)?.map(|container| last(&container)).ok_or_else(gone)
}

fn last(container: &Container) -> u8 {
    container.status.as_ref().map_or(0, |status| status.settled().exit)
}
