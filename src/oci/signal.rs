//! `kill`: a signal by name or number, to the first process or to all.

use std::os::fd::AsFd;
use std::str::FromStr;

use nix::errno::Errno;
use nix::sys::signal::Signal;

use super::Runtime;
use super::processes;
use super::state::{Container, Status};
use crate::error::{Context, Error, Result, catalog::command_line, catalog::oci, catalog::process as codes};
use crate::sys::child::signal_pidfd;

/// The last real-time signal.
const LAST: i32 = 64;

/// `9`, `KILL`, `sigkill`.
///
/// # Errors
/// No such signal.
pub fn parse(word: &str) -> Result<i32> {
    let upper = word.to_uppercase();
    let named = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
    let number = word.parse().ok().filter(|number| (1..=LAST).contains(number));
    number
        .or_else(|| Signal::from_str(&named).ok().map(|signal| signal as i32))
        .ok_or_else(|| Error::new(&command_line::USAGE, format!("there is no signal {word:?}")))
}

/// Sends it.
///
/// # Errors
/// The container does not run, in words that engines look for.
pub fn kill(runtime: &Runtime, id: &str, signal: i32, all: bool) -> Result<()> {
    let container = Container::find(runtime, id)?;
    if all {
        return processes::signal_all(&container, signal);
    }
    let stopped = || Error::new(&oci::STATUS, format!("container not running: {id:?} has stopped: no such process"));
    if container.status() == Status::Stopped {
        return Err(stopped());
    }
    let Some(pidfd) = container.process() else { return Err(stopped()) };
    match signal_pidfd(pidfd.as_fd(), signal) {
        Err(Errno::ESRCH) => Err(stopped()),
        other => other.context(&codes::SUPERVISE, || format!("send signal {signal} to container {id:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_mean_the_same() {
        for word in ["9", "KILL", "SIGKILL", "sigkill", "kill"] {
            assert_eq!(parse(word).expect(word), 9);
        }
        assert_eq!(parse("34").expect("real time"), 34);
        for word in ["0", "65", "-1", "NOPE", ""] {
            assert!(parse(word).is_err(), "{word}");
        }
    }
}
