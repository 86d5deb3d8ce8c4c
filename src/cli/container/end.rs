//! `rl stop` and `rl kill`.
//!
//! Owns how a container is asked to end. Signals go through a pidfd whose process was found to be the container's own, and waiting is for
//! that pidfd. The surprise: before the signal, word is left in the container's run directory, or its restart policy would
//! undo the stop.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use clap::{Arg, ArgMatches, Command};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{chosen, each, word};
use crate::cli::run::{self, detached};
use crate::cli::{Globals, Verb};
use crate::error::{Context, Error, Result, catalog::command_line, catalog::state as codes};
use crate::host::Host;
use crate::runtime::container::collect_one;
use crate::state::{self, Container, Containers, RunningFile};

/// `rl stop`.
pub const STOP: Verb = Verb {
    name: "stop",
    about: "Ask containers to end, and kill those that don't",
    command: stop_command,
    run: stop_verb,
};
/// `rl kill`.
pub const KILL: Verb = Verb { name: "kill", about: "Send containers a signal", command: kill_command, run: kill };

pub(super) fn timeout() -> Arg {
    Arg::new("time")
        .long("time")
        .visible_alias("timeout")
        .short('t')
        .value_name("SECONDS")
        .allow_hyphen_values(true)
        .help("From the signal to SIGKILL; -1: as long as it takes")
}

/// None: not given; Some(None): without end.
pub(super) fn seconds(matches: &ArgMatches) -> Result<Option<Option<Duration>>> {
    let Some(word) = word(matches, "time") else { return Ok(None) };
    match word.parse::<i64>() {
        Ok(number) if number < 0 => Ok(Some(None)),
        Ok(number) => Ok(Some(Some(Duration::from_secs(number.unsigned_abs())))),
        Err(_) => Err(Error::new(&command_line::USAGE, format!("--time {word:?}: expected seconds"))),
    }
}

fn stop_command() -> Command {
    chosen::arguments(Command::new("rl stop"), "All that run", "alf")
        .about(STOP.about)
        .arg(timeout())
        .arg(Arg::new("signal").long("signal").short('s').value_name("SIGNAL").help("Instead of its own stop signal"))
        .arg(super::flag("ignore", "A container that is not there is no error").short('i'))
}

fn stop_verb(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    let containers = Containers::open(&host.dirs);
    let timeout = seconds(matches)?;
    let signal = word(matches, "signal").map(run::signal).transpose()?;
    let wanted = chosen::chosen(&containers, matches, "stop", chosen::active)?;
    Ok(each(&wanted, |text| {
        let container = match containers.find(text) {
            Err(error) if matches.get_flag("ignore") && *error.entry() == codes::NO_CONTAINER => return Ok(None),
            found => found?,
        };
        let own = container.record.run.stop_timeout.unwrap_or(10);
        let own = (own != u32::MAX).then(|| Duration::from_secs(u64::from(own)));
        stop(&containers, &container, signal, timeout.unwrap_or(own))?;
        Ok(Some(text.to_owned()))
    }))
}

/// Asks for the end, waits at most so long, kills, and waits until all is written down. One that does not run is left alone.
pub(super) fn stop(
    containers: &Containers,
    container: &Container,
    signal: Option<i32>,
    timeout: Option<Duration>,
) -> Result<()> {
    let supervisor = supervisor_of(container);
    match (&container.running, &supervisor) {
        (Some(running), _) => {
            state::ask_to_stop(&container.run)?;
            running.signal(signal.unwrap_or_else(|| detached::stop_signal(&container.record)))?;
            if !waited(running, timeout) {
                running.signal(libc::SIGKILL)?;
                running.wait(PollTimeout::NONE);
            }
        }
        // Between two starts: there is nothing to signal but the one who waits.
        (None, Some(supervisor)) if container.is_active() => {
            state::ask_to_stop(&container.run)?;
            state::ask_to_end(supervisor.as_fd());
        }
        _ => {}
    }
    settled(container, supervisor.as_ref())?;
    if container.running.is_some() {
        super::tell(containers, container, "stop", &[]);
    }
    Ok(())
}

/// The process that watches over it.
pub(super) fn supervisor_of(container: &Container) -> Option<OwnedFd> {
    RunningFile::read(&container.run).and_then(|file| file.verify_supervisor())
}

fn waited(running: &state::Running, timeout: Option<Duration>) -> bool {
    let Some(timeout) = timeout else { return running.wait(PollTimeout::NONE) };
    let end = Instant::now() + timeout;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        // poll's own bound is 24 days; a signal may also wake it early.
        let wait = PollTimeout::try_from(left.as_millis().min(1 << 30)).unwrap_or(PollTimeout::MAX);
        if running.wait(wait) {
            return true;
        }
        if left.is_zero() {
            return false;
        }
    }
}

/// Waits until the container's supervisor has done its last; what a killed one has left is cleaned up. Where another has the container
/// in hand by then, it is that one's.
pub(super) fn settled(container: &Container, supervisor: Option<&OwnedFd>) -> Result<()> {
    if let Some(supervisor) = supervisor {
        let mut polls = [PollFd::new(supervisor.as_fd(), PollFlags::POLLIN)];
        while poll(&mut polls, PollTimeout::NONE) == Err(nix::errno::Errno::EINTR) {}
    }
    if !container.run.exists() {
        return Ok(());
    }
    let Some(_lock) = state::try_lock(&container.run)? else { return Ok(()) };
    if container.run.join("state.json").exists() {
        return collect_one(&container.run, &container.data);
    }
    std::fs::remove_dir_all(&container.run).context(&codes::STATE, || format!("remove {}", container.run.display()))
}

fn kill_command() -> Command {
    chosen::arguments(Command::new("rl kill"), "All that run", "alf")
        .about(KILL.about)
        .arg(Arg::new("signal").long("signal").short('s').value_name("SIGNAL").default_value("KILL").help("Which one"))
}

fn kill(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    let containers = Containers::open(&host.dirs);
    let number = run::signal(word(matches, "signal").unwrap_or("KILL"))?;
    let wanted = chosen::chosen(&containers, matches, "kill", chosen::active)?;
    Ok(each(&wanted, |text| {
        let (container, running) = containers.find_running(text)?;
        // A signal that people end it with is a wish for its end; any other is a message to it.
        if number == libc::SIGKILL || number == detached::stop_signal(&container.record) {
            state::ask_to_stop(&container.run)?;
        }
        let supervisor = supervisor_of(&container);
        running.signal(number)?;
        super::tell(&containers, &container, "kill", &[("signal", number.to_string())]);
        if number == libc::SIGKILL {
            running.wait(PollTimeout::NONE);
            settled(&container, supervisor.as_ref())?;
        }
        Ok(Some(text.to_owned()))
    }))
}
