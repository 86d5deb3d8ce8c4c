//! `rl start` and `rl restart`.
//!
//! Each container gets a supervisor of its own. The surprise: `rl start` of a container that runs is no error and does nothing, as in
//! docker, so that scripts may say it twice.

use std::time::Duration;

use clap::{Arg, ArgMatches, Command};

use super::{attach, chosen, end, flag, value, word};
use crate::cli::run::detached;
use crate::cli::units;
use crate::cli::{Globals, Verb};
use crate::error::{Error, Result, catalog::command_line, catalog::state};
use crate::host::Host;
use crate::state::Containers;

/// `rl start`.
pub const START: Verb = Verb { name: "start", about: "Start containers", command: start_command, run: start };
/// `rl restart`.
pub const RESTART: Verb =
    Verb { name: "restart", about: "Stop containers and start them again", command: restart_command, run: restart };

fn start_command() -> Command {
    chosen::arguments(Command::new("rl start"), "All containers", "lf")
        .about(START.about)
        .arg(flag("attach", "Stay at its output until it ends, and end with its status").short('a'))
        .arg(flag("interactive", "And type into it").short('i'))
        .arg(value("detach-keys", "KEYS", "What is typed to leave it, ctrl-p,ctrl-q by default"))
        .arg(attach::sig_proxy())
}

fn start(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    let containers = Containers::open(&host.dirs);
    let wanted = chosen::chosen(&containers, matches, "start", chosen::any)?;
    let attached = matches.get_flag("attach") || matches.get_flag("interactive");
    if !attached {
        return Ok(super::each(&wanted, |text| start_one(&host, &containers, text).map(|()| Some(text.to_owned()))));
    }
    let [text] = wanted.as_slice() else {
        return Err(Error::new(&command_line::USAGE, "rl start -a: one container at a time"));
    };
    let container = containers.find(text)?;
    let keys = attach::Keys::parse(word(matches, "detach-keys"))?;
    let proxy = attach::is_proxy(matches);
    let with_input = matches.get_flag("interactive");
    if container.running.is_some() {
        return attach::attach(&containers, &container, with_input, &keys, proxy);
    }
    let (ours, theirs) = attach::pair()?;
    detached::start(&host, &container.record.id, Some(&theirs))?;
    drop(theirs);
    // For a service of systemd's: it is started when the container is.
    units::ready();
    attach::relay(ours, &containers, &container, with_input, &keys, proxy)
}

fn start_one(host: &Host, containers: &Containers, text: &str) -> Result<()> {
    let container = containers.find(text)?;
    match detached::start(host, &container.record.id, None) {
        Err(error) if *error.entry() == state::RUNNING => Ok(()),
        done => done,
    }
}

fn restart_command() -> Command {
    chosen::arguments(Command::new("rl restart"), "All containers", "alf")
        .about(RESTART.about)
        .arg(end::timeout())
        .arg(flag("running", "Only those that run; without names, all of them"))
        .arg(Arg::new("signal").long("signal").short('s').value_name("SIGNAL").help("Instead of its own stop signal"))
}

fn restart(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    let containers = Containers::open(&host.dirs);
    let timeout = end::seconds(matches)?;
    let signal = word(matches, "signal").map(crate::cli::run::signal).transpose()?;
    let wanted = if matches.get_flag("running") {
        let running = super::list(&containers)?.into_iter().filter(chosen::active);
        let ids: Vec<String> = running.map(|container| container.record.id).collect();
        let mut named = Vec::new();
        for text in super::words(matches, "container") {
            named.push(containers.find(text)?.record.id);
        }
        ids.into_iter().filter(|id| named.is_empty() || named.contains(id)).collect()
    } else {
        chosen::chosen(&containers, matches, "restart", chosen::any)?
    };
    Ok(super::each(&wanted, |text| {
        let container = containers.find(text)?;
        if container.record.run.remove && container.is_active() {
            // Its end would take it away, and all that it has written.
            let what = format!("restart {} of --rm", container.record.name);
            let fix = "End it with rl stop and run it anew; or run it without --rm, and rl rm it in the end.";
            return Err(Error::new(&command_line::CONFLICT, what).fix(fix));
        }
        let own = container.record.run.stop_timeout.unwrap_or(10);
        let timeout = timeout.unwrap_or(Some(Duration::from_secs(u64::from(own))));
        end::stop(&containers, &container, signal, timeout)?;
        start_one(&host, &containers, &container.record.id)?;
        super::tell(&containers, &container, "restart", &[]);
        Ok(Some(text.to_owned()))
    }))
}
