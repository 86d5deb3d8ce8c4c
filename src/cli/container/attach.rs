//! `rl attach`, and being attached after `rl start -a`.
//!
//! The surprise: Ctrl-C without a terminal of the container's goes to the container, not to this process, as docker's --sig-proxy has it.

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{value, word};
use crate::cli::run::args::switch;
use crate::cli::{Globals, Verb};
use crate::error::{Error, Result, catalog::command_line, catalog::state as codes};
use crate::host::Host;
use crate::runtime::attach::{self, Connection, Left, Relay};
use crate::state::{Container, Containers};

pub(super) use crate::runtime::attach::pair;

/// The verb.
pub const VERB: Verb = Verb { name: "attach", about: "Be at a running container's terminal", command, run };

/// `--detach-keys`.
pub(in crate::cli) struct Keys(Vec<u8>);

impl Keys {
    pub(in crate::cli) fn into_keys(self) -> attach::Keys {
        attach::Keys::new(self.0)
    }

    /// `ctrl-p,ctrl-q` and the like: single characters and `ctrl-` with a letter or one of `@[\]^_`.
    pub(in crate::cli) fn parse(text: Option<&str>) -> Result<Self> {
        let Some(text) = text else { return Ok(Self(vec![16, 17])) };
        let bad = || {
            Error::new(&command_line::USAGE, format!("--detach-keys {text:?}"))
                .fix("Keys with commas between them: a, ctrl-p, ctrl-@; for example ctrl-p,ctrl-q")
        };
        let key = |word: &str| match (word.strip_prefix("ctrl-"), word.as_bytes()) {
            (Some(rest), _) => match rest.as_bytes() {
                [letter @ b'a'..=b'z'] => Ok(letter - b'a' + 1),
                [sign @ (b'@' | b'['..=b'_')] => Ok(sign - b'@'),
                _ => Err(bad()),
            },
            (None, [one]) => Ok(*one),
            _ => Err(bad()),
        };
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        text.split(',').map(key).collect::<Result<_>>().map(Self)
    }
}

fn command() -> Command {
    Command::new("rl attach")
        .about(VERB.about)
        .arg(value("detach-keys", "KEYS", "What is typed to leave it, ctrl-p,ctrl-q by default"))
        .arg(Arg::new("no-stdin").long("no-stdin").action(ArgAction::SetTrue).help("Only look"))
        .arg(sig_proxy())
        .arg(super::latest())
        .arg(Arg::new("container").value_name("CONTAINER"))
        .after_help(
            "A container in the foreground of another rl has that one's terminal and nothing to attach to.\n\nExamples:\n  rl attach web\n  \
             rl attach --no-stdin --sig-proxy=false web    only look; ctrl-c leaves\n  rl attach --detach-keys ctrl-a,d web",
        )
}

/// `--sig-proxy[=BOOL]`; the default is true.
pub(super) fn sig_proxy() -> Arg {
    switch("sig-proxy", "Pass signals on to the container (the default); false: they end only this rl")
}

pub(super) fn is_proxy(matches: &ArgMatches) -> bool {
    matches.get_one::<bool>("sig-proxy").copied().unwrap_or(true)
}

fn run(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    let containers = Containers::open(&host.dirs);
    let keys = Keys::parse(word(matches, "detach-keys"))?;
    let name = super::named_or_last(&containers, "attach", word(matches, "container"), matches.get_flag("latest"))?;
    let (mut container, running) = containers.find_running(&name)?;
    container.running = Some(running);
    attach(&containers, &container, !matches.get_flag("no-stdin"), &keys, is_proxy(matches))
}

/// To one that runs; gives its exit status, or 0 where this client has left.
pub(super) fn attach(
    containers: &Containers,
    container: &Container,
    input: bool,
    keys: &Keys,
    proxy: bool,
) -> Result<u8> {
    let connection = attach::connect(&container.run, b'a').ok_or_else(|| {
        Error::new(&codes::NOT_RUNNING, format!("attach to {}", container.record.name))
            .because("it runs in the foreground of another rl, whose terminal it has")
            .fix("Start it in the background: rl run -d, rl start")
    })?;
    relay(connection, containers, container, input, keys, proxy)
}

pub(super) fn relay(
    connection: Connection,
    containers: &Containers,
    container: &Container,
    input: bool,
    Keys(keys): &Keys,
    proxy: bool,
) -> Result<u8> {
    let id = &container.record.id;
    let input = input && container.record.run.interactive;
    let relay = Relay { input, keys: attach::Keys::new(keys.clone()) };
    let left = attach::relay(connection, relay, |number| {
        if proxy && let Ok(Some(Container { running: Some(running), .. })) = containers.read(id) {
            let _ = running.signal(number);
        }
        proxy
    })?;
    match left {
        Left::Ended(status) => Ok(status),
        Left::Detached => {
            eprintln!("rl: left; it goes on: rl attach {}", container.record.name);
            Ok(0)
        }
        Left::HungUp => Ok(0),
        // As a shell tells of one that a signal has ended; the container goes on.
        Left::Signalled(number) => Ok(u8::try_from(128 + number).unwrap_or(255)),
        // Killed; the container with it.
        Left::Gone => {
            super::end::settled(container, super::end::supervisor_of(container).as_ref())?;
            let last = containers.read(id)?.and_then(|container| container.status);
            Ok(last.map_or(137, |status| status.settled().exit))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_docker_s_names() {
        for (text, keys) in
            [("ctrl-p,ctrl-q", vec![16, 17]), ("a", vec![97]), ("ctrl-@,ctrl-_", vec![0, 31]), ("", vec![])]
        {
            assert_eq!(Keys::parse(Some(text)).expect(text).0, keys, "{text}");
        }
        for bad in ["ctrl-", "ctrl-1", "ab", "a,,b", "ctrl-P"] {
            assert!(Keys::parse(Some(bad)).is_err(), "{bad}");
        }
    }
}
