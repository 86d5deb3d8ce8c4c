//! `--restart`, `--log-*`, `--health-*`, `--stop-timeout`: what is asked of a container's life.

use clap::ArgMatches;

use super::resolve::{all, flag, one};
use super::{limits, wrong};
use crate::error::{Error, Result, catalog::command_line};
use crate::spec::health::{HealthAsked, shell};
use crate::spec::lifecycle::{Attached, Ending, Log, OnUnhealthy, Restart};

pub(super) fn stop_timeout(word: &str) -> Result<u32> {
    match word {
        // Docker's and podman's word for as long as it takes.
        "-1" => Ok(u32::MAX),
        _ => word.parse().map_err(|_| wrong("stop-timeout", word, "seconds")),
    }
}

/// In the foreground `rl` is the container's parent, and ends with it: there is no other process that could go on with it.
pub(super) fn detach_keys(matches: &ArgMatches) -> Result<()> {
    match one(matches, "detach-keys") {
        Some(keys) if !keys.is_empty() && !flag(matches, "detach") => {
            let what =
                format!("--detach-keys {keys}: a container in the foreground can't be left, its rl is its parent");
            Err(Error::new(&command_line::CONFLICT, what)
                .fix("Start it in the background and be at its terminal: rl run -dit --name NAME ..., rl attach NAME"))
        }
        _ => Ok(()),
    }
}

/// The same: signals that did not reach the container would end `rl`, and the container with it.
pub(super) fn sig_proxy(matches: &ArgMatches) -> Result<()> {
    if matches.get_one::<bool>("sig-proxy") != Some(&false) || flag(matches, "detach") {
        return Ok(());
    }
    let what = "--sig-proxy=false: a container in the foreground ends with its rl, whatever signal that gets";
    Err(Error::new(&command_line::CONFLICT, what)
        .fix("Start it in the background: rl run -d --name NAME ..., rl attach --sig-proxy=false NAME"))
}

/// `-a`. Whether stdin is there says `-i`, as with podman.
pub(super) fn attached(matches: &ArgMatches) -> Result<Attached> {
    let words: Vec<String> = all(matches, "attach").iter().map(|word| word.to_lowercase()).collect();
    if words.is_empty() {
        return Ok(Attached::default());
    }
    if let Some(other) = words.iter().find(|word| !["stdin", "stdout", "stderr"].contains(&word.as_str())) {
        return Err(wrong("attach", other, "stdin, stdout or stderr"));
    }
    let has = |name: &str| words.iter().any(|word| word == name);
    let conflict = |what: &str| Err(Error::new(&command_line::CONFLICT, what));
    match (flag(matches, "detach"), flag(matches, "tty") && !has("stdout")) {
        (true, _) => conflict("--attach and --detach: nobody is there who could see it"),
        (_, true) => conflict("--tty and an --attach without stdout: all of a terminal is stdout"),
        _ => Ok(Attached { stdout: has("stdout"), stderr: has("stderr") }),
    }
}

/// `--rmi`, which is `--rm`, too.
pub(super) fn remove_image(matches: &ArgMatches) -> Result<bool> {
    let asked = flag(matches, "rmi");
    if asked && matches.get_one::<bool>("rm") == Some(&false) {
        let what = "--rmi and --rm=false: the image can't go while there is a container of it";
        return Err(Error::new(&command_line::CONFLICT, what));
    }
    Ok(asked)
}

pub(super) fn ending(matches: &ArgMatches) -> Result<Ending> {
    let seconds = |word: &str| word.parse::<u32>().map_err(|_| wrong("timeout", word, "seconds"));
    let timeout = one(matches, "timeout").map(seconds).transpose()?.filter(|seconds| *seconds > 0);
    Ok(Ending { timeout, remove_image: flag(matches, "rmi") })
}

pub(super) fn restart(word: Option<&str>, remove: bool) -> Result<Restart> {
    let policy: Restart = match word {
        None => Restart::No,
        Some(word) => word.parse().map_err(|right| wrong("restart", word, right))?,
    };
    if remove && policy != Restart::No {
        return Err(Error::new(
            &command_line::CONFLICT,
            "--rm and --restart: a container that is thrown away can't be started again",
        ));
    }
    Ok(policy)
}

pub(super) fn log(driver: Option<&str>, options: &[String]) -> Result<Log> {
    let kept = match driver {
        // docker's local is a form that nobody but its own logs reads.
        None | Some("json-file" | "local") => true,
        Some("none") => false,
        Some(other) => return Err(other_driver(other)),
    };
    let mut log = Log { kept, ..Log::default() };
    for option in options {
        let (key, value) = option.split_once('=').ok_or_else(|| wrong("log-opt", option, "KEY=VALUE"))?;
        match key {
            "max-size" if value == "-1" => log.max_size = None,
            "max-size" => log.max_size = Some(limits::size("log-opt", value)?),
            "max-file" => {
                let most = value.parse().ok().filter(|most| (1..=1000).contains(most));
                log.max_files = most.ok_or_else(|| wrong("log-opt", option, "a number of files, 1 to 1000"))?;
            }
            // What concerns a line's form only where a line has it, and where it lies.
            "tag" | "path" | "labels" | "env" | "compress" | "mode" | "max-buffer-size" => {
                return Err(wrong("log-opt", option, "max-size=SIZE or max-file=N")
                    .fix("The log is where rl inspect -f '{{.LogPath}}' says; a copy of it: rl logs -f NAME >FILE"));
            }
            _ => return Err(wrong("log-opt", option, "max-size=SIZE or max-file=N")),
        }
    }
    Ok(log)
}

fn other_driver(driver: &str) -> Error {
    let error = wrong("log-driver", driver, "json-file, local or none");
    match driver {
        "journald" | "passthrough" => error.fix(
            "As a service its output is in the journal: rl generate systemd, rl quadlet. By hand: systemd-cat rl run ...",
        ),
        "k8s-file" => error.fix("Leave it out: rl logs shows the same; the file behind it is docker's json-file."),
        _ => error,
    }
}

pub(super) fn health(matches: &ArgMatches) -> Result<Option<HealthAsked>> {
    const NAMES: [&str; 7] = [
        "health-cmd",
        "health-interval",
        "health-timeout",
        "health-retries",
        "health-start-period",
        "health-start-interval",
        "health-on-failure",
    ];
    // podman's word for a command that turns the image's off.
    let never = flag(matches, "no-healthcheck");
    if let (true, Some(name)) = (never, NAMES.iter().find(|name| one(matches, name).is_some())) {
        return Err(Error::new(
            &command_line::CONFLICT,
            format!("--no-healthcheck and --{name} contradict each other"),
        ));
    }
    let time = |name: &str| one(matches, name).map(|word| milliseconds(name, word)).transpose();
    let retries = one(matches, "health-retries").map(|word| {
        word.parse().ok().filter(|count| *count > 0).ok_or_else(|| wrong("health-retries", word, "a number above 0"))
    });
    let on_failure = match one(matches, "health-on-failure") {
        None | Some("none") => OnUnhealthy::None,
        Some("kill") => OnUnhealthy::Kill,
        Some("stop") => OnUnhealthy::Stop,
        Some(other) => return Err(wrong("health-on-failure", other, "none, kill or stop")),
    };
    let command = one(matches, "health-cmd").filter(|command| !command.is_empty());
    let asked = HealthAsked {
        never: never || command == Some("none"),
        command: command.filter(|command| *command != "none").map(words).transpose()?,
        interval: time("health-interval")?,
        timeout: time("health-timeout")?,
        retries: retries.transpose()?,
        start_period: time("health-start-period")?,
        start_interval: time("health-start-interval")?,
        on_failure,
    };
    Ok((asked != HealthAsked::default()).then_some(asked))
}

/// A line for the container's shell, or podman's JSON array of words.
fn words(command: &str) -> Result<Vec<String>> {
    if !command.starts_with('[') {
        return Ok(shell(command));
    }
    let words: Vec<String> = serde_json::from_str(command)
        .map_err(|error| Error::new(&command_line::USAGE, format!("--health-cmd {command:?}")).because(error))?;
    match words.split_first() {
        Some((kind, rest)) if kind == "CMD" => Ok(rest.to_vec()),
        Some((kind, rest)) if kind == "CMD-SHELL" => Ok(shell(&rest.join(" "))),
        _ => Ok(words),
    }
}

/// Go's durations: `1m30s`, `500ms`, `2h`.
fn milliseconds(flag: &str, word: &str) -> Result<u64> {
    let bad = || wrong(flag, word, "a time, for example 30s, 500ms or 1m30s");
    duration(word).ok_or_else(bad)
}

pub(in crate::cli) fn duration(word: &str) -> Option<u64> {
    if word == "0" {
        return Some(0);
    }
    let (mut rest, mut total) = (word, 0_f64);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ns" => 1e-6,
            "us" | "µs" => 1e-3,
            "ms" => 1.0,
            "s" => 1e3,
            "m" => 60e3,
            "h" => 3600e3,
            _ => return None,
        };
        total += number * unit;
        rest = &rest[end..];
    }
    (!word.is_empty() && total.is_finite() && total < 1e15).then_some(total as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_in_go() {
        for (word, time) in
            [("30s", 30_000), ("500ms", 500), ("1m30s", 90_000), ("1.5h", 5_400_000), ("0", 0), ("0s", 0)]
        {
            assert_eq!(duration(word), Some(time), "{word}");
        }
        for word in ["", "30", "s", "1x", "-1s", "1s2"] {
            assert_eq!(duration(word), None, "{word}");
        }
    }

    #[test]
    fn a_restart_policy_has_docker_s_words() {
        for (word, policy) in [
            ("no", Restart::No),
            ("on-failure", Restart::OnFailure(0)),
            ("on-failure:3", Restart::OnFailure(3)),
            ("always", Restart::Always),
            ("unless-stopped", Restart::UnlessStopped),
        ] {
            assert_eq!(restart(Some(word), false).expect(word), policy);
            assert_eq!(policy.to_string(), word);
        }
        for word in ["never", "always:3", "on-failure:x", "on-failure:-1"] {
            assert!(restart(Some(word), false).is_err(), "{word}");
        }
        assert!(restart(Some("always"), true).is_err());
    }

    #[test]
    fn a_log_has_sizes_and_numbers() {
        let options = ["max-size=10m".to_owned(), "max-file=3".to_owned()];
        assert_eq!(log(None, &options).expect("log"), Log { kept: true, max_size: Some(10 << 20), max_files: 3 });
        for bad in ["max-size=x", "max-file=0", "tag=x", "x"] {
            assert!(log(None, &[bad.to_owned()]).is_err(), "{bad}");
        }
        assert!(log(Some("journald"), &[]).is_err());
    }
}
