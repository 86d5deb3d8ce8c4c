//! `rl network create|ls|inspect|rm|connect|disconnect|prune`.
//!
//! Owns docker's and podman's words, columns and documents of a network. The surprise: a container that stays keeps what `connect` and
//! `disconnect` have changed for its next start; so they change its record, too.

mod filter;

use std::io::Write;
use std::net::IpAddr;

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Map, Value, json};

use self::filter::Filter;
use super::described;
use super::format::{self, Format, Screen};
use super::prune::agreed;
use super::run::env;
use super::{Globals, Verb, in_namespace};
use crate::error::{Error, Result, catalog::command_line, catalog::network as codes};
use crate::host::{Dirs, Host};
use crate::network::named::store::{Networks, Wish};
use crate::network::named::{self, Lease};
use crate::runtime::container::new_id;
use crate::spec::network::Network;
use crate::spec::networks::{self, Definition, Joining, Membership, Subnet};
use crate::state::{Container, Containers};

/// `rl network create`.
pub const CREATE: Verb = Verb { name: "create", about: "Make a network", command: create_command, run: create };
/// `rl network ls`.
pub const LS: Verb = Verb { name: "ls", about: "List the networks", command: ls_command, run: ls };
/// `rl network inspect`.
pub const INSPECT: Verb =
    Verb { name: "inspect", about: "All that is known of networks", command: inspect_command, run: inspect };
/// `rl network rm`.
pub const RM: Verb = Verb { name: "rm", about: "Remove networks", command: rm_command, run: rm };
/// `rl network connect`.
pub const CONNECT: Verb =
    Verb { name: "connect", about: "Bring a container into a network", command: connect_command, run: connect };
/// `rl network disconnect`.
pub const DISCONNECT: Verb = Verb {
    name: "disconnect",
    about: "Take a container out of a network",
    command: disconnect_command,
    run: disconnect,
};
/// `rl network prune`.
pub const PRUNE: Verb =
    Verb { name: "prune", about: "Remove networks that no container uses", command: prune_command, run: prune };

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn value(name: &'static str, shown: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(shown).help(help)
}

fn several(name: &'static str, shown: &'static str, help: &'static str) -> Arg {
    value(name, shown, help).action(ArgAction::Append)
}

fn words<'a>(matches: &'a ArgMatches, name: &str) -> Vec<&'a str> {
    matches.get_many::<String>(name).into_iter().flatten().map(String::as_str).collect()
}

fn one<'a>(matches: &'a ArgMatches, name: &str) -> &'a str {
    matches.get_one::<String>(name).map_or("", String::as_str)
}

fn create_command() -> Command {
    Command::new("rl network create")
        .about(CREATE.about)
        .arg(several("subnet", "ADDRESS/BITS", "Its addresses, IPv4 and IPv6; a free one of 10.89.0.0/16 by default"))
        .arg(several("gateway", "IP", "The address of the way out, the first one by default"))
        .arg(several("ip-range", "ADDRESS/BITS", "Containers get addresses of this range"))
        .arg(switch("ipv6", "IPv6, too, with a subnet of its own"))
        .arg(switch("internal", "No way out"))
        .arg(switch("disable-dns", "Containers are not found by name"))
        .arg(several("dns", "IP", "Who is asked for names that are no container's"))
        .arg(switch("ignore", "One of that name that is there already is left as it is, and no error"))
        .arg(several("label", "K=V", "Label of the network"))
        .arg(value("driver", "DRIVER", "bridge, the only one").short('d'))
        .arg(Arg::new("name").required(true).value_name("NAME"))
}

fn create(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let driver = one(matches, "driver");
    if !matches!(driver, "" | "bridge") {
        return Err(Error::new(&command_line::USAGE, format!("--driver {driver:?}: bridge is the only driver")));
    }
    let (gateways, ranges) = (words(matches, "gateway"), words(matches, "ip-range"));
    let subnets = words(matches, "subnet");
    if subnets.is_empty() && !(gateways.is_empty() && ranges.is_empty()) {
        return Err(Error::new(&command_line::USAGE, "--gateway and --ip-range need a --subnet"));
    }
    let labels: Vec<_> = words(matches, "label").into_iter().map(str::to_owned).collect();
    let mut wish = Wish {
        ipv6: matches.get_flag("ipv6"),
        internal: matches.get_flag("internal"),
        disable_dns: matches.get_flag("disable-dns"),
        servers: words(matches, "dns").into_iter().map(server).collect::<Result<_>>()?,
        labels: env::labels(&[], &labels)?.into_iter().collect(),
        ..Wish::default()
    };
    for subnet in subnets {
        // Of its own family: the only difference between the words is the colon.
        let like = |words: &[&str]| {
            words.iter().copied().find(|word| word.contains(':') == subnet.contains(':')).map(str::to_owned)
        };
        let made = Subnet::new(subnet, like(&gateways).as_deref(), like(&ranges).as_deref())?;
        let slot = if made.address.is_ipv4() { &mut wish.v4 } else { &mut wish.v6 };
        if slot.replace(made).is_some() {
            return Err(Error::new(&command_line::USAGE, "--subnet: one of each family, at most"));
        }
    }
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    let (store, name) = (Networks::open(&host.dirs), one(matches, "name"));
    let is_there = || matches.get_flag("ignore") && store.find(name).is_ok_and(|found| found.name == name);
    match store.create(name, new_id()?, wish) {
        Err(error) if !is_there() => return Err(error),
        _ => println!("{name}"),
    }
    Ok(0)
}

fn server(word: &str) -> Result<IpAddr> {
    word.parse().map_err(|_| Error::new(&command_line::USAGE, format!("--dns {word:?}: expected an IP address")))
}

fn ls_command() -> Command {
    Command::new("rl network ls")
        .about(LS.about)
        .arg(switch("quiet", "Only names").short('q'))
        .arg(several("filter", "KEY=VALUE", filter::KEYS).short('f'))
        .arg(value("format", "FORMAT", "json, table, or a template of Go"))
        .after_help("Fields: .ID .Name .Driver .Internal .IPv6 .Labels .CreatedAt")
}

fn ls(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let asked = matches.get_one::<String>("format").map(String::as_str);
    let format = if matches.get_flag("quiet") && Format::is_table(asked) {
        Format::parse(Some("{{.Name}}"), &[])?
    } else {
        Format::parse(asked, &[("NETWORK ID", "{{.ID}}"), ("NAME", "{{.Name}}"), ("DRIVER", "{{.Driver}}")])?
    };
    let filters = filters(matches)?;
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    let rows: Vec<_> = chosen(&host.dirs, &filters)?
        .iter()
        .map(|one| {
            let labels: Vec<_> = one.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            json!({
                "ID": one.id.get(..12),
                "Name": one.name,
                "Driver": "bridge",
                "Scope": "local",
                "Internal": one.internal,
                "IPv6": one.v6.is_some(),
                "Labels": labels.join(","),
                "CreatedAt": format::date(one.created / 1_000_000_000),
            })
        })
        .collect();
    format.print(&rows, &mut Screen::stdout())?;
    Ok(0)
}

fn filters(matches: &ArgMatches) -> Result<Vec<Filter>> {
    words(matches, "filter").into_iter().map(Filter::parse).collect()
}

/// Those that pass all filters.
fn chosen(dirs: &Dirs, filters: &[Filter]) -> Result<Vec<Definition>> {
    let mut all = Vec::new();
    for network in Networks::open(dirs).list()? {
        if filter::pass(filters, &network, || Ok(user(dirs, &network.name)?.is_some()))? {
            all.push(network);
        }
    }
    Ok(all)
}

fn inspect_command() -> Command {
    Command::new("rl network inspect")
        .about(INSPECT.about)
        .arg(value("format", "FORMAT", "json, or a template of Go").short('f'))
        .arg(Arg::new("name").required(true).num_args(1..).value_name("NETWORK"))
}

fn inspect(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let format = Format::parse(Some(matches.get_one::<String>("format").map_or("json", String::as_str)), &[])?;
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    let store = Networks::open(&host.dirs);
    let rows = words(matches, "name").into_iter().map(|name| Ok(document(&store.find(name)?, &host.dirs)));
    described::each(rows, |rows| format.print(rows, &mut Screen::stdout()))
}

/// `rl inspect` of a network.
pub(super) fn inspected(host: &Host, name: &str) -> Result<Value> {
    Networks::open(&host.dirs).find(name).map(|found| document(&found, &host.dirs))
}

/// docker's, with the containers that run in it.
fn document(network: &Definition, dirs: &Dirs) -> Value {
    let ipam: Vec<_> = std::iter::once(&network.v4)
        .chain(&network.v6)
        .map(|subnet| {
            let range = subnet.range.map(|(address, bits)| format!("{address}/{bits}"));
            json!({
                "Subnet": format!("{}/{}", subnet.address, subnet.bits),
                "Gateway": subnet.gateway.to_string(),
                "IPRange": range.unwrap_or_default(),
            })
        })
        .collect();
    let containers: Map<_, _> = named::leases(&dirs.run, &network.name)
        .into_iter()
        .map(|lease| {
            let bits = network.v6.map(|v6| v6.bits).unwrap_or_default();
            let value = json!({
                "Name": Containers::open(dirs).find(&lease.id).map(|one| one.record.name).unwrap_or_default(),
                "Aliases": lease.names,
                "Interface": lease.interface,
                "IPv4Address": format!("{}/{}", lease.ip, network.v4.bits),
                "IPv6Address": lease.ip6.map(|ip6| format!("{ip6}/{bits}")).unwrap_or_default(),
            });
            (lease.id, value)
        })
        .collect();
    json!({
        "Name": network.name,
        "Id": network.id,
        "Created": format::date(network.created / 1_000_000_000),
        "Scope": "local",
        "Driver": "bridge",
        "EnableIPv6": network.v6.is_some(),
        "IPAM": { "Driver": "default", "Config": ipam },
        "Internal": network.internal,
        "DNSEnabled": network.dns,
        "NetworkDNSServers": network.servers,
        "Containers": containers,
        "Options": {},
        "Labels": network.labels,
    })
}

fn rm_command() -> Command {
    Command::new("rl network rm")
        .about(RM.about)
        .arg(switch("force", "That there is none is no error").short('f'))
        .arg(Arg::new("name").required(true).num_args(1..).value_name("NETWORK"))
}

fn rm(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    let mut status = 0;
    for name in words(matches, "name") {
        match remove(&host.dirs, name) {
            Ok(()) => println!("{name}"),
            Err(error) if *error.entry() == codes::NO_NETWORK && matches.get_flag("force") => {}
            Err(error) => {
                // Each has its own result, as in docker.
                let _ = Screen::stderr().write_all(format!("rl: {error}\n").as_bytes());
                status = 1;
            }
        }
    }
    Ok(status)
}

fn remove(dirs: &Dirs, name: &str) -> Result<()> {
    let store = Networks::open(dirs);
    let network = store.find(name)?;
    if let Some(user) = user(dirs, &network.name)? {
        let what = format!("remove {}, of which the container {user} is", network.name);
        return Err(Error::new(&codes::NETWORK_IN_USE, what));
    }
    store.remove(&network.name)
}

/// A container that was made for it or is in it.
fn user(dirs: &Dirs, network: &str) -> Result<Option<String>> {
    let is_in = |one: &Container| matches!(&one.record.run.network, Network::Named(all) if all.iter().any(|member| member.network == network));
    let running = named::leases(&dirs.run, network);
    let all = Containers::open(dirs).list(|_| ())?;
    let of = |one: &Container| is_in(one) || running.iter().any(|lease| lease.id == one.record.id);
    Ok(all.into_iter().find(of).map(|one| one.record.name))
}

fn connect_command() -> Command {
    Command::new("rl network connect")
        .about(CONNECT.about)
        .arg(several("alias", "NAME", "One more name in the network"))
        .arg(value("ip", "IP", "Its address"))
        .arg(value("ip6", "IP", "Its IPv6 address"))
        .arg(Arg::new("network").required(true).value_name("NETWORK"))
        .arg(Arg::new("container").required(true).value_name("CONTAINER"))
}

fn connect(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let (host, _) = in_namespace(globals, None)?;
    let network = Networks::open(&host.dirs).find(one(matches, "network"))?;
    let mut options: Vec<_> = words(matches, "alias").into_iter().map(|alias| format!("alias={alias}")).collect();
    options
        .extend(["ip", "ip6"].into_iter().filter_map(|key| Some(format!("{key}={}", matches.get_one::<String>(key)?))));
    let colon = if options.is_empty() { "" } else { ":" };
    let word = format!("{}{colon}{}", network.name, options.join(","));
    let membership = Membership::parse(&word)?.unwrap_or_default();
    let mut container = Containers::open(&host.dirs).find(one(matches, "container"))?;
    let Network::Named(members) = &mut container.record.run.network else {
        return Err(Error::new(&codes::NAMED, format!("connect {} to {}", container.record.name, network.name))
            .because("its network is none by name"));
    };
    if members.iter().any(|member| member.network == network.name) {
        return Err(Error::new(&codes::NAMED, format!("connect {} to {}", container.record.name, network.name))
            .because("it is in it already"));
    }
    if let Some(running) = &container.running {
        let places = members.iter().flat_map(|member| named::leases(&host.dirs.run, &member.network));
        let places: Vec<_> = places.filter(|lease| lease.id == container.record.id).collect();
        let taken = |index: &usize| places.iter().any(|lease| lease.interface == format!("eth{index}"));
        let index = (0..).find(|index| !taken(index)).unwrap_or_default();
        let mut joining = Joining::of(&membership, &network, &container.record.id, &container.record.name, index);
        joining.default_route = !network.internal && !places.iter().any(Lease::leads_out);
        named::connect(&joining, &host.dirs.run, running.pid)?;
    }
    members.push(membership);
    follow(&host.dirs, &container, &network)?;
    keep(&container)
}

/// The container asks the resolvers of the networks that it is in now, where one has come or gone; not where it was made with others, or
/// with a filter that has its own.
fn follow(dirs: &Dirs, container: &Container, changed: &Definition) -> Result<()> {
    let run = &container.record.run;
    let (Some(_), Network::Named(_), true, None) = (&container.running, &run.network, run.dns.is_empty(), &run.egress)
    else {
        return Ok(());
    };
    let mut places = Vec::new();
    for network in Networks::open(dirs).list()? {
        let all = named::leases(&dirs.run, &network.name);
        let own = all.into_iter().find(|lease| lease.id == container.record.id);
        places.extend(own.map(|lease| (lease.interface.len(), lease.interface, network)));
    }
    // eth2 before eth10.
    places.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
    let after: Vec<_> = places.into_iter().map(|(_, _, network)| network).collect();
    let ours: Vec<_> = after.iter().chain([changed]).flat_map(Definition::resolvers).collect();
    named::change_resolvers(&container.run, &ours, &networks::resolvers(&after));
    Ok(())
}

/// Of one that goes with its end there is nothing to keep.
fn keep(container: &Container) -> Result<u8> {
    if !container.record.run.remove {
        container.record.write(&container.data)?;
    }
    Ok(0)
}

fn disconnect_command() -> Command {
    Command::new("rl network disconnect")
        .about(DISCONNECT.about)
        .arg(switch("force", "docker's; nothing more").short('f'))
        .arg(Arg::new("network").required(true).value_name("NETWORK"))
        .arg(Arg::new("container").required(true).value_name("CONTAINER"))
}

fn disconnect(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    let network = Networks::open(&host.dirs).find(one(matches, "network"))?;
    let mut container = Containers::open(&host.dirs).find(one(matches, "container"))?;
    let left = named::leave(&host.dirs.run, &network.name, &container.record.id)?;
    let kept = match &mut container.record.run.network {
        Network::Named(members) => {
            let before = members.len();
            members.retain(|member| member.network != network.name);
            members.len() != before
        }
        _ => false,
    };
    if !left && !kept {
        return Err(Error::new(&codes::NAMED, format!("disconnect {} from {}", container.record.name, network.name))
            .because("it is not in it"));
    }
    follow(&host.dirs, &container, &network)?;
    keep(&container)
}

fn prune_command() -> Command {
    Command::new("rl network prune").about(PRUNE.about).arg(switch("force", "Without asking").short('f')).arg(several(
        "filter",
        "KEY=VALUE",
        "As of ls",
    ))
}

fn prune(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let filters = filters(matches)?;
    if !matches.get_flag("force") && !agreed("rl network prune", "all networks that no container uses")? {
        return Ok(0);
    }
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    for network in chosen(&host.dirs, &filters)? {
        match remove(&host.dirs, &network.name) {
            Ok(()) => println!("{}", network.name),
            Err(error) if [&codes::NETWORK_IN_USE, &codes::NO_NETWORK].contains(&error.entry()) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(0)
}
