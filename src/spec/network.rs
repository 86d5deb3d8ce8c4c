//! The network of a container: who carries its packets, which ports are published, and what its files of /etc say.
//!
//! Pure. Owns [`Network`], the words of `--network`, [`Publish`], the words of `-p`, and the addresses that follow from both. The
//! surprise: with pasta the container has the host's own address, so there is no address of the container to write down.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};
use slirp4netns_ctl::{Options, Outbound, Protocol};

use super::egress::{Egress, RESOLVER};
use super::networks::{self, Joining, Membership};
use super::{Facts, RunSpec};
use crate::error::{Error, Result, catalog::command_line};

/// Where slirp4netns listens for the container's questions to DNS over IPv6.
pub const SLIRP_DNS6: Ipv6Addr = slirp4netns_ctl::Network::IPV6_DNS;
/// Where pasta listens for the container's questions to DNS: a link-local address that nobody else has.
pub const PASTA_DNS: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// The same over IPv6, of a network that is nobody's (RFC 4193).
pub const PASTA_DNS6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x726c, 0, 0, 0, 0, 0, 0x53);
/// What pasta is told by `rl` itself, or what would take it out of `rl`'s hands.
const PASTA_OWN: [&str; 22] = [
    "-f",
    "--foreground",
    "-d",
    "--debug",
    "--trace",
    "-q",
    "--quiet",
    "-e",
    "--stderr",
    "-l",
    "--log-file",
    "-F",
    "--fd",
    "-P",
    "--pid",
    "-p",
    "--pcap",
    "--runas",
    "--userns",
    "--netns",
    "--netns-only",
    "--config-net",
];

/// `--network`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// A loopback interface and nothing else.
    #[default]
    None,
    /// The host's own.
    Host,
    /// slirp4netns carries the packets.
    Slirp4netns(Box<Options>),
    /// pasta carries the packets; more words for its command line.
    Pasta(Vec<String>),
    /// Another container's, by its name or id.
    Container(String),
    /// Networks by name.
    Named(Vec<Membership>),
}

/// A port of the host that leads into the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publish {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// None: every address of the host, IPv4 and IPv6.
    pub address: Option<IpAddr>,
    /// None: one that is free.
    pub host: Option<u16>,
    /// The container's port.
    pub container: u16,
}

/// What the runtime makes on the host for the container's network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Wiring {
    /// Who carries the packets.
    pub network: Network,
    /// `-p` and `-P`.
    pub ports: Vec<Publish>,
    /// `--egress`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
    /// Networks by name, and the container's place in each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<Joining>,
}

/// A network namespace that the container is in and has no rights over, so that what is set up there stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Guard {
    /// What may go out.
    pub egress: Egress,
    /// Who is asked for the names that may be asked for.
    pub resolvers: Vec<IpAddr>,
    /// They know the containers of networks by name, and say of which names that is so (AA).
    #[serde(default)]
    pub peers: bool,
    /// Kernel parameters of the namespace, which the container could not set.
    pub sysctls: Vec<(String, String)>,
}

impl Wiring {
    /// Nothing is to be made.
    pub fn is_nothing(&self) -> bool {
        !self.network.is_proxied()
    }
}

/// The default network.
pub fn default() -> Network {
    Network::Slirp4netns(Box::new(slirp_options()))
}

impl Network {
    /// `none`, `host`, `slirp4netns[:OPTIONS]`, `pasta[:OPTIONS]`, `container:ID`; docker's and podman's `bridge` and `default` are
    /// the default network.
    ///
    /// # Errors
    /// `RL0101` with the word that is wrong.
    pub fn parse(word: &str) -> Result<Self> {
        let (kind, options) = word.split_once(':').map_or((word, None), |(kind, options)| (kind, Some(options)));
        let options: Vec<&str> = options.into_iter().flat_map(|list| list.split(',')).collect();
        match (kind, options.as_slice()) {
            ("none", []) => Ok(Self::None),
            ("host", []) => Ok(Self::Host),
            ("private" | "default" | "bridge" | "", []) => Ok(default()),
            ("slirp4netns", options) => Ok(Self::Slirp4netns(Box::new(slirp(options)?))),
            ("pasta", options) => pasta(options),
            ("container", [id]) if !id.is_empty() => Ok(Self::Container((*id).to_owned())),
            _ => match Membership::parse(word)? {
                Some(one) => Ok(Self::Named(vec![one])),
                None => Err(wrong(word, "none, host, slirp4netns[:OPTIONS], pasta[:OPTIONS], container:ID or a name")),
            },
        }
    }

    /// Whether the network namespace is somebody else's.
    pub fn is_shared(&self) -> bool {
        matches!(self, Self::Host | Self::Container(_))
    }

    /// Whether a program of the user's ends the container's connections and begins its own outside.
    pub fn is_proxied(&self) -> bool {
        matches!(self, Self::Slirp4netns(_) | Self::Pasta(_) | Self::Named(_))
    }

    /// The container's own address, where it is known beforehand.
    pub fn own_address(&self) -> Option<Ipv4Addr> {
        match self {
            Self::Slirp4netns(options) => Some(options.network.guest()),
            _ => None,
        }
    }

    /// The forwarders of DNS, which ask whom the host asks. Each asks over its own family alone; that of IPv6, which is there a second
    /// later, is needed only where the host itself (`resolv_conf`) has no other.
    fn forwarders(&self, resolv_conf: &str) -> Vec<IpAddr> {
        let (v6, v4) = match self {
            Self::Slirp4netns(options) if !options.disable_dns => (SLIRP_DNS6, options.network.dns()),
            Self::Pasta(_) => (PASTA_DNS6, PASTA_DNS),
            _ => return Vec::new(),
        };
        let without = matches!(self, Self::Slirp4netns(options) if !options.ipv6);
        let over_v6 = !without && is_asked_over_ipv6_alone(resolv_conf);
        over_v6.then_some(v6.into()).into_iter().chain([v4.into()]).collect()
    }

    /// Where the container finds the host's loopback, if it was asked for.
    pub fn loopback_gateway(&self) -> Option<Ipv4Addr> {
        match self {
            Self::Slirp4netns(options) if options.allow_host_loopback => Some(options.network.gateway()),
            _ => None,
        }
    }
}

fn wrong(word: &str, right: &str) -> Error {
    Error::new(&command_line::USAGE, format!("--network {word:?}: expected {right}"))
}

/// Of the default network. slirp4netns' TCP has a window of 64 KiB, so of its largest packets (65520) only one is on the way at a time; of
/// these the next follows while one is answered (docs/architecture.md).
const MTU: u16 = 49152;

fn slirp_options() -> Options {
    Options { mtu: MTU, ..Options::default() }
}

fn slirp(words: &[&str]) -> Result<Options> {
    const RIGHT: &str =
        "mtu=, cidr=, enable_ipv6=, outbound_addr=, outbound_addr6=, allow_host_loopback=, disable_dns= of slirp4netns";
    let mut options = slirp_options();
    for word in words {
        let bad = || wrong(word, RIGHT);
        let (key, value) = word.split_once('=').ok_or_else(bad)?;
        let truth = || match value {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(bad()),
        };
        match key {
            "mtu" => {
                options.mtu = value.parse().ok().filter(|mtu| (576..=65521).contains(mtu)).ok_or_else(bad)?;
            }
            "cidr" => {
                let network = value.parse();
                options.network = network.map_err(|error: slirp4netns_ctl::Error| {
                    let fix = error.fix();
                    Error::new(&command_line::USAGE, format!("--network {word:?}")).because(error).fix(fix)
                })?;
            }
            "enable_ipv6" => options.ipv6 = truth()?,
            "allow_host_loopback" => options.allow_host_loopback = truth()?,
            "disable_dns" => options.disable_dns = truth()?,
            "outbound_addr" => options.outbound = Some(outbound(value).ok_or_else(bad)?),
            "outbound_addr6" => options.outbound6 = Some(outbound(value).ok_or_else(bad)?),
            // rl publishes ports in one way; podman's words for its two are understood by both.
            "port_handler" if matches!(value, "rootlesskit" | "slirp4netns") => {}
            _ => return Err(bad()),
        }
    }
    Ok(options)
}

/// An address, or an interface's name (at most 15 bytes: IFNAMSIZ).
fn outbound<A: std::str::FromStr>(value: &str) -> Option<Outbound<A>> {
    let name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._@".contains(&byte);
    if let Ok(address) = value.parse() {
        return Some(Outbound::Address(address));
    }
    let fine = !value.is_empty() && value.len() < 16 && !value.starts_with('-') && value.bytes().all(name);
    fine.then(|| Outbound::Interface(value.to_owned()))
}

fn pasta(words: &[&str]) -> Result<Network> {
    for word in words {
        let flag = word.split('=').next().unwrap_or_default();
        if word.is_empty() || PASTA_OWN.contains(&flag) || word.contains(char::is_control) {
            return Err(wrong(word, "an option of pasta for addresses, routes or ports: rl sets the others itself"));
        }
    }
    Ok(Network::Pasta(words.iter().map(|&word| word.to_owned()).collect()))
}

/// /etc/resolv.conf: what was asked for, else the driver's forwarder, else the host's own; with the host's search list.
pub fn resolv_conf(run: &RunSpec, facts: &Facts) -> String {
    let mut text = String::new();
    let keyword = |name: &str| {
        let line = facts.resolv_conf.lines().rev().find(|line| line.split_ascii_whitespace().next() == Some(name));
        line.map(|line| line.trim()[name.len()..].trim().to_owned()).filter(|rest| !rest.is_empty())
    };
    // `.` is docker's and podman's word for no search list at all.
    let search = match run.dns_search.as_slice() {
        [] => keyword("search").or_else(|| keyword("domain")),
        [dot] if dot == "." => None,
        given => Some(given.join(" ")),
    };
    let options = if run.dns_option.is_empty() { keyword("options") } else { Some(run.dns_option.join(" ")) };
    let asked = !(run.dns.is_empty() && run.dns_search.is_empty() && run.dns_option.is_empty());
    if run.network.is_shared() && !asked {
        return facts.resolv_conf.clone();
    }
    if run.network == Network::None && !asked {
        return text;
    }
    // What the list would make of a name is not allowed by that name.
    let search = search.filter(|_| run.egress.is_none() || !run.dns_search.is_empty());
    for (name, value) in [("search", search), ("options", options)] {
        if let Some(value) = value {
            text.push_str(&format!("{name} {value}\n"));
        }
    }
    let servers = match &run.egress {
        Some(egress) if egress.has_names(knows_peers(run, facts)) => vec![Ipv4Addr::from(RESOLVER).to_string()],
        Some(_) if run.dns.is_empty() => Vec::new(),
        _ => resolvers(run, facts),
    };
    servers.iter().for_each(|server| text.push_str(&format!("nameserver {server}\n")));
    text
}

/// Who is asked for names: whom the user has named, the driver's forwarder, or whom the host asks.
pub fn resolvers(run: &RunSpec, facts: &Facts) -> Vec<String> {
    let forwarders = match &run.network {
        _ if !run.dns.is_empty() => return run.dns.clone(),
        Network::Named(_) => networks::resolvers(&facts.networks),
        other => other.forwarders(&facts.resolv_conf),
    };
    if forwarders.is_empty() && !matches!(run.network, Network::Named(_)) {
        return nameservers(&facts.resolv_conf);
    }
    forwarders.iter().map(ToString::to_string).collect()
}

/// Whether who is asked knows other containers by name.
pub fn knows_peers(run: &RunSpec, facts: &Facts) -> bool {
    let named = matches!(run.network, Network::Named(_));
    named && run.dns.is_empty() && facts.networks.iter().any(|network| network.dns)
}

/// Whether a host with this file has resolvers with IPv6 addresses and no others.
pub fn is_asked_over_ipv6_alone(resolv_conf: &str) -> bool {
    // Behind a `%` is the interface of an address of the link.
    let is_v6 = |server: &String| server.split('%').next().is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    let servers = nameservers(resolv_conf);
    !servers.is_empty() && servers.iter().all(is_v6)
}

/// Whom the host asks.
fn nameservers(resolv_conf: &str) -> Vec<String> {
    let server = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next().map(str::to_owned)).flatten()
    };
    resolv_conf.lines().filter_map(server).collect()
}

#[cfg(test)]
#[path = "network/tests.rs"]
mod tests;
