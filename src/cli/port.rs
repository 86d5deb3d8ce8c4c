//! `rl port CONTAINER [PORT[/udp]]`, `rl port add CONTAINER PORT...`, `rl port rm CONTAINER PORT...`.
//!
//! Owns the words and the lines. The surprise: a container may be called `add`; that word is the verb only where a container and a
//! port follow.

use std::net::IpAddr;

use clap::{Arg, ArgAction, ArgMatches, Command};
use slirp4netns_ctl::Protocol;

use super::container::{last, latest, named_or_last};
use super::{Globals, Verb, enter};
use crate::error::{Error, Result, catalog::command_line, catalog::network as codes};
use crate::host::Host;
use crate::network::ports::Leg;
use crate::network::record::{self, Record};
use crate::spec::network::Publish;
use crate::spec::ports;
use crate::state::{Container, Containers};

/// The verb.
pub const VERB: Verb = Verb { name: "port", about: "List, add and withdraw published ports", command, run };

fn command() -> Command {
    Command::new("rl port")
        .about(VERB.about)
        .override_usage(
            "rl port CONTAINER [PORT[/udp]]\n       rl port add CONTAINER [IP:][HOST:]PORT[/udp]...\n       \
             rl port rm CONTAINER [IP:][HOST:]PORT[/udp]...",
        )
        .arg(latest())
        .arg(Arg::new("all").long("all").short('a').action(ArgAction::SetTrue).help("Of all that run, their ids in front"))
        .arg(Arg::new("words").num_args(0..).value_name("WORD"))
        .after_help(
            "Examples:\n  rl port web                         80/tcp -> 0.0.0.0:8080\n  rl port web 80                      \
             0.0.0.0:8080\n  rl port add web 127.0.0.1:9090:90   while it runs\n  rl port rm web 8080:80              \
             connections that are there stay",
        )
}

fn run(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let words: Vec<&str> = matches.get_many::<String>("words").into_iter().flatten().map(String::as_str).collect();
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    let containers = Containers::open(&host.dirs);
    if matches.get_flag("all") {
        for container in containers.list(|error| eprintln!("rl: {}", error.summary()))? {
            legs(&container)?.iter().for_each(|leg| println!("{}\t{}", container.short(), line(leg)));
        }
        return Ok(0);
    }
    if matches.get_flag("latest") {
        return match words.as_slice() {
            [] => list(&host, &last(&containers)?, None),
            [port] => list(&host, &last(&containers)?, Some(port)),
            _ => Err(Error::new(&command_line::USAGE, "rl port: too many words")),
        };
    }
    match words.as_slice() {
        [] => named_or_last(&containers, "port", None, false).map(|_| 0),
        ["add", name, ports @ ..] if !ports.is_empty() => add(&host, name, &publish(ports)?),
        ["rm" | "remove", name, ports @ ..] if !ports.is_empty() => withdraw(&host, name, ports),
        [name] => list(&host, name, None),
        [name, port] => list(&host, name, Some(port)),
        _ => Err(Error::new(&command_line::USAGE, "rl port: too many words")),
    }
}

fn publish(words: &[&str]) -> Result<Vec<Publish>> {
    Ok(words.iter().map(|word| ports::parse(word)).collect::<Result<Vec<_>>>()?.concat())
}

/// Those that lead into it now.
fn legs(container: &Container) -> Result<Vec<Leg>> {
    let record = if container.running.is_some() { Record::read(&container.run)? } else { None };
    Ok(record.map(|record| record.ports).unwrap_or_default())
}

fn line(leg: &Leg) -> String {
    format!("{}/{} -> {}", leg.container, leg.protocol, leg.host)
}

/// docker's lines, which scripts cut.
fn list(host: &Host, name: &str, port: Option<&str>) -> Result<u8> {
    let container = Containers::open(&host.dirs).find(name)?;
    let legs = legs(&container)?;
    let Some(word) = port else {
        legs.iter().for_each(|leg| println!("{}", line(leg)));
        return Ok(0);
    };
    let wanted = ports::exposed(word);
    let wanted = wanted.ok_or_else(|| Error::new(&command_line::USAGE, format!("{word:?} is no PORT[/tcp|/udp]")))?;
    let found: Vec<_> = legs.iter().filter(|leg| leads_to(leg, wanted.protocol, wanted.container)).collect();
    if found.is_empty() {
        let what = format!("{name} does not publish {}/{}", wanted.container, wanted.protocol);
        return Err(Error::new(&codes::NO_SUCH_PORT, what).exit(1));
    }
    found.iter().for_each(|leg| println!("{}", leg.host));
    Ok(0)
}

fn leads_to(leg: &Leg, protocol: Protocol, container: u16) -> bool {
    leg.protocol == protocol && leg.container == container
}

fn add(host: &Host, name: &str, ports: &[Publish]) -> Result<u8> {
    let (container, running) = Containers::open(&host.dirs).find_running(name)?;
    let legs = record::add(&container.run, running.pid, ports, || enter(host, None).map(drop))?;
    legs.iter().for_each(|leg| println!("{}", line(leg)));
    Ok(0)
}

fn withdraw(host: &Host, name: &str, words: &[&str]) -> Result<u8> {
    let (container, _) = Containers::open(&host.dirs).find_running(name)?;
    let named = |leg: &Leg, one: &Publish| {
        let address = one.address.is_none_or(|address: IpAddr| address == leg.host.ip());
        leads_to(leg, one.protocol, one.container) && address && one.host.is_none_or(|port| port == leg.host.port())
    };
    let there = Record::read(&container.run)?.map(|record| record.ports).unwrap_or_default();
    for word in words {
        let ports = ports::parse(word)?;
        if !there.iter().any(|leg| ports.iter().any(|one| named(leg, one))) {
            return Err(Error::new(&codes::NO_SUCH_PORT, format!("{name} does not publish {word}")));
        }
    }
    let ports = publish(words)?;
    record::remove(&container.run, |leg| ports.iter().any(|one| named(leg, one)))?;
    Ok(0)
}
