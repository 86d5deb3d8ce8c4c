//! `rl wait`.
//!
//! Waits on a descriptor, never by looking again and again: the attach socket of a detached container, whose supervisor sends the exit
//! status; the pidfd and the lock of one in the foreground of another `rl`. The surprise: a container that does not run is waited for, too:
//! its last status is printed at once.

use std::os::fd::AsFd;

use clap::{ArgAction, ArgMatches, Command};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::{chosen, each};
use crate::cli::{Globals, Verb};
use crate::error::{Context, Error, Result, catalog::state as codes};
use crate::host::Host;
use crate::runtime::attach::{self, Packet};
use crate::state::{Container, Containers, events};

/// The verb.
pub const VERB: Verb = Verb { name: "wait", about: "Wait for containers' ends and print their statuses", command, run };

fn command() -> Command {
    chosen::arguments(Command::new("rl wait"), "All that run", "lf")
        .about(VERB.about)
        .arg(
            super::value(
                "condition",
                "STATE",
                "Instead of the end: created, running, paused, exited, healthy or unhealthy",
            )
            .action(ArgAction::Append)
            .value_delimiter(',')
            .value_parser(CONDITIONS),
        )
        .arg(super::value("interval", "TIME", "For scripts of podman: it hears at once").short('i'))
        .arg(super::flag("ignore", "A container that is not there counts as ended with -1"))
}

fn run(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    let containers = Containers::open(&host.dirs);
    let wanted = chosen::chosen(&containers, matches, "wait", chosen::active)?;
    let conditions: Vec<&str> = super::words(matches, "condition").map(String::as_str).collect();
    Ok(each(&wanted, |text| match containers.find(text) {
        Err(error) if matches.get_flag("ignore") && *error.entry() == codes::NO_CONTAINER => Ok(Some("-1".into())),
        found if conditions.is_empty() => wait(&containers, &found?).map(|status| Some(status.to_string())),
        found => until(&containers, found?, &conditions).map(Some),
    }))
}

/// podman's words.
const CONDITIONS: [&str; 8] =
    ["configured", "created", "running", "paused", "stopped", "exited", "healthy", "unhealthy"];

/// Of a file's change nothing is known but that there was one; what is told before it has happened is seen after this.
const AGAIN_MS: u16 = 250;

/// Until one of them holds, which the event file tells of; gives the exit status, or -1 where there is none yet.
fn until(containers: &Containers, mut container: Container, conditions: &[&str]) -> Result<String> {
    let dirs = containers.dirs();
    events::prepare(dirs);
    let file = events::file(dirs);
    let doing = || format!("follow {}", file.display());
    let changes = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).context(&codes::STATE, doing)?;
    let what = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
    changes.add_watch(file.parent().unwrap_or(&file), what).context(&codes::STATE, doing)?;
    let name = container.record.name.clone();
    loop {
        let (phase, health) = (super::filter::phase(&container), super::inspect::health(&container));
        let holds = |word: &&str| match *word {
            "configured" => phase == "created",
            "stopped" => phase == "exited",
            word => word == phase || word == health,
        };
        if conditions.iter().any(holds) {
            return Ok(if phase == "exited" { last(&container).to_string() } else { "-1".into() });
        }
        let mut polls = [PollFd::new(changes.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut polls, PollTimeout::from(AGAIN_MS));
        while changes.read_events().is_ok_and(|events| !events.is_empty()) {}
        let gone = || Error::new(&codes::NO_CONTAINER, format!("{name}: it was removed meanwhile"));
        container = containers.read(&container.record.id)?.ok_or_else(gone)?;
    }
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
