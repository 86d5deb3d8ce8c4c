//! Named networks as data: what one is, what a container's place in one is, and the addresses that follow.
//!
//! Pure. Owns [`Definition`], the words of `--network NAME[:ip=,ip6=,alias=]`, and which address is the next free one. The surprise: the
//! way out is slirp4netns, whose own network must not be the user's; so that is chosen by what the user's is.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, catalog::command_line};

/// Networks of the way out, of which one is not the user's.
const OUTER: [Ipv4Addr; 3] =
    [Ipv4Addr::new(10, 0, 2, 0), Ipv4Addr::new(192, 168, 254, 0), Ipv4Addr::new(172, 31, 254, 0)];
/// Words of `--network` that are no names.
const TAKEN: [&str; 9] =
    ["none", "host", "private", "default", "bridge", "podman", "slirp4netns", "pasta", "container"];

/// Addresses of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// The first address.
    pub address: IpAddr,
    /// Bits that count.
    pub bits: u8,
    /// The bridge's own address, the containers' way out and their resolver.
    pub gateway: IpAddr,
    /// Containers get addresses of this range; None: of the whole.
    pub range: Option<(IpAddr, u8)>,
}

/// A network by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// Of this document.
    pub version: u32,
    /// Its name.
    pub name: String,
    /// 64 hexadecimal digits.
    pub id: String,
    /// Nanoseconds since 1970.
    pub created: u64,
    /// IPv4.
    pub v4: Subnet,
    /// `--ipv6`.
    pub v6: Option<Subnet>,
    /// `--internal`: no way out.
    pub internal: bool,
    /// Without it nobody is found by name.
    pub dns: bool,
    /// `--dns`: who is asked for all other names; none: whom the host asks.
    #[serde(default)]
    pub servers: Vec<IpAddr>,
    /// `--label`.
    pub labels: BTreeMap<String, String>,
}

/// A container's place in a network, as the command line has it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Membership {
    /// The network.
    pub network: String,
    /// `ip=`, `--ip`.
    pub ip: Option<Ipv4Addr>,
    /// `ip6=`, `--ip6`.
    pub ip6: Option<Ipv6Addr>,
    /// `alias=`, `--network-alias`.
    pub aliases: Vec<String>,
}

/// A container's place in a network, with all that is needed to make it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joining {
    /// The network.
    pub network: Definition,
    /// The container's id.
    pub id: String,
    /// eth0, eth1, ...
    pub interface: String,
    /// The only address that will do.
    pub ip: Option<Ipv4Addr>,
    /// See above.
    pub ip6: Option<Ipv6Addr>,
    /// Name, short id, aliases.
    pub names: Vec<String>,
    /// The way out leads through this one.
    pub default_route: bool,
}

impl Joining {
    /// The places of a container in these networks. The way out leads through the first that has one.
    pub fn all(places: &[(&Membership, &Definition)], id: &str, name: &str) -> Vec<Self> {
        let outward = places.iter().position(|(_, network)| !network.internal);
        let place = |(index, (one, network)): (usize, &(&Membership, &Definition))| Self {
            default_route: Some(index) == outward,
            ..Self::of(one, network, id, name, index)
        };
        places.iter().enumerate().map(place).collect()
    }

    /// The place of a container that is in `index` other networks, and has a way out.
    pub fn of(one: &Membership, network: &Definition, id: &str, name: &str, index: usize) -> Self {
        let mut names = vec![name.to_owned(), id.chars().take(12).collect()];
        names.extend(one.aliases.iter().cloned());
        names.sort();
        names.dedup();
        Self {
            network: network.clone(),
            id: id.to_owned(),
            interface: format!("eth{index}"),
            ip: one.ip,
            ip6: one.ip6,
            names,
            default_route: false,
        }
    }
}

impl Membership {
    /// `NAME[:ip=ADDRESS,ip6=ADDRESS,alias=NAME]`; None: it is no name of a network.
    ///
    /// # Errors
    /// `RL0101` for a wrong option.
    pub fn parse(word: &str) -> Result<Option<Self>> {
        let (name, options) = word.split_once(':').map_or((word, ""), |(name, options)| (name, options));
        if !is_name(name) || word.ends_with(':') {
            return Ok(None);
        }
        let mut all = Self { network: name.to_owned(), ..Self::default() };
        for option in options.split(',').filter(|option| !option.is_empty()) {
            let bad = || {
                Error::new(&command_line::USAGE, format!("--network {word:?}: expected ip=, ip6=, alias= of a network"))
            };
            let (key, value) = option.split_once('=').ok_or_else(bad)?;
            match key {
                "ip" => all.ip = Some(value.parse().map_err(|_| bad())?),
                "ip6" => all.ip6 = Some(value.parse().map_err(|_| bad())?),
                "alias" if is_host(value) => all.aliases.push(value.to_owned()),
                _ => return Err(bad()),
            }
        }
        Ok(Some(all))
    }
}

/// A name that a network may have: a file's name, and a word of no other meaning.
pub fn is_name(name: &str) -> bool {
    let rest = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    !TAKEN.contains(&name)
        && name.len() <= 64
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && name.bytes().all(rest)
}

/// A name that a container may have in a network.
pub fn is_host(name: &str) -> bool {
    let rest = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=253).contains(&name.len()) && !name.starts_with('-') && name.bytes().all(rest)
}

fn bits_of(address: IpAddr) -> (u128, u8) {
    match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    }
}

fn address(bits: u128, like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::from_bits(u32::try_from(bits).unwrap_or(u32::MAX)).into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(bits).into(),
    }
}

/// First and last of a block.
fn ends(block: (IpAddr, u8)) -> (u128, u128) {
    let (bits, width) = bits_of(block.0);
    let host = u32::from(width - block.1.min(width));
    let mask = if host >= 128 { u128::MAX } else { (1 << host) - 1 };
    (bits & !mask, bits | mask)
}

impl Subnet {
    /// `ADDRESS/BITS`, with its gateway and range if they are given.
    ///
    /// # Errors
    /// What does not fit together.
    pub fn new(word: &str, gateway: Option<&str>, range: Option<&str>) -> Result<Self> {
        let bad = |what: &str| Error::new(&command_line::USAGE, format!("--subnet {word:?}: {what}"));
        let block = block(word).ok_or_else(|| bad("expected ADDRESS/BITS"))?;
        let (first, last) = ends(block);
        let room = if block.0.is_ipv4() { 30 } else { 126 };
        if block.1 > room || block.1 < 8 {
            return Err(bad(&format!("expected 8 to {room} bits")));
        }
        if is_no_machines(block) {
            return Err(bad("these addresses are of loopback, of the link or of groups: no container can have one"));
        }
        let within = |address: u128| (first + 1..last).contains(&address);
        let gateway = match gateway {
            None => address(first + 1, block.0),
            Some(word) => word.parse().map_err(|_| bad(&format!("--gateway {word:?} is no address")))?,
        };
        if gateway.is_ipv4() != block.0.is_ipv4() || !within(bits_of(gateway).0) {
            return Err(bad(&format!("--gateway {gateway} is not in it")));
        }
        let range = match range {
            None => None,
            Some(word) => {
                let range =
                    self::block(word).ok_or_else(|| bad(&format!("--ip-range {word:?}: expected ADDRESS/BITS")))?;
                let (low, high) = ends(range);
                if range.0.is_ipv4() != block.0.is_ipv4() || low < first || high > last {
                    return Err(bad(&format!("--ip-range {word} is not in it")));
                }
                Some(range)
            }
        };
        Ok(Self { address: address(first, block.0), bits: block.1, gateway, range })
    }

    /// Whether both have an address.
    pub fn overlaps(&self, other: (IpAddr, u8)) -> bool {
        let ((a, b), (c, d)) = (ends((self.address, self.bits)), ends(other));
        self.address.is_ipv4() == other.0.is_ipv4() && a <= d && c <= b
    }

    /// The one that was asked for, or the lowest that nobody has. None: there is none, or it is not this network's.
    pub fn take(&self, asked: Option<IpAddr>, taken: &[IpAddr]) -> Option<IpAddr> {
        let (first, last) = ends((self.address, self.bits));
        let free = |one: &IpAddr| *one != self.gateway && !taken.contains(one);
        if let Some(asked) = asked {
            let bits = bits_of(asked).0;
            let own = asked.is_ipv4() == self.address.is_ipv4() && first < bits && bits < last;
            return Some(asked).filter(|asked| own && free(asked));
        }
        let (low, high) = self.range.map_or((first, last), ends);
        (low.max(first + 1)..=high.min(last - 1)).map(|bits| address(bits, self.address)).find(free)
    }
}

/// Whether it has addresses that work on no interface of a container's, or without a resolver.
fn is_no_machines(block: (IpAddr, u8)) -> bool {
    let special = match block.0 {
        IpAddr::V4(_) => ["0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3"],
        IpAddr::V6(_) => ["::/8", "fe80::/10", "ff00::/8"],
    };
    let (first, last) = ends(block);
    special.iter().filter_map(|word| self::block(word)).map(ends).any(|(low, high)| first <= high && low <= last)
}

/// `ADDRESS/BITS`.
pub fn block(word: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = word.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    bits.parse().ok().filter(|bits| *bits <= width).map(|bits| (address, bits))
}

/// Whom a container of these networks asks. The C library takes the first answer, also one that there is no such name: so where one
/// knows names of containers nobody else is asked, and first who can ask outside.
pub fn resolvers(networks: &[Definition]) -> Vec<IpAddr> {
    let known = networks.iter().any(|network| network.dns);
    let mut asked: Vec<_> = networks.iter().filter(|network| network.dns == known).collect();
    asked.sort_by_key(|network| network.upstream().is_empty());
    asked.into_iter().flat_map(Definition::resolvers).collect()
}

impl Definition {
    /// The network between slirp4netns and this one.
    pub fn outer(&self) -> slirp4netns_ctl::Network {
        let free = OUTER.iter().find(|outer| !self.v4.overlaps((IpAddr::V4(**outer), 24)));
        let word = format!("{}/24", free.unwrap_or(&OUTER[0]));
        word.parse().unwrap_or_default()
    }

    /// Whom its containers ask for names.
    pub fn resolvers(&self) -> Vec<IpAddr> {
        if self.dns { vec![self.v4.gateway] } else { self.upstream() }
    }

    /// Who is asked for names that are no container's.
    pub fn upstream(&self) -> Vec<IpAddr> {
        match (self.servers.as_slice(), self.internal) {
            ([], true) => Vec::new(),
            ([], false) => vec![self.outer().dns().into()],
            (given, _) => given.to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_their_options() {
        let one = Membership::parse("web:ip=10.89.0.9,alias=a,alias=b").expect("words").expect("a name");
        assert_eq!((one.network.as_str(), one.aliases.len()), ("web", 2));
        assert_eq!(one.ip, Some(Ipv4Addr::new(10, 89, 0, 9)));
        for none in ["none", "host", "container:x", "", "a/b", "-x", "none:x", "web:"] {
            assert_eq!(Membership::parse(none).expect(none), None, "{none}");
        }
        for bad in ["web:ip=x", "web:mac=1", "web:alias=a b", "web:x"] {
            assert!(Membership::parse(bad).is_err(), "{bad}");
        }
    }

    fn network(name: &str, third: u8, dns: bool, internal: bool) -> Definition {
        Definition {
            version: 1,
            name: name.to_owned(),
            id: String::new(),
            created: 0,
            v4: Subnet::new(&format!("10.5.{third}.0/24"), None, None).expect("a subnet"),
            v6: None,
            internal,
            dns,
            servers: Vec::new(),
            labels: BTreeMap::new(),
        }
    }

    #[test]
    fn who_knows_containers_is_asked_alone_and_first_who_can_ask_outside() {
        let (web, inner, plain) =
            (network("web", 1, true, false), network("inner", 2, true, true), network("plain", 3, false, false));
        let asked = |all: &[&Definition]| {
            let all: Vec<_> = all.iter().map(|&one| one.clone()).collect();
            resolvers(&all).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(asked(&[&inner, &web, &plain]), "10.5.1.1 10.5.2.1");
        assert_eq!(asked(&[&inner, &plain]), "10.5.2.1");
        assert_eq!(asked(&[&plain]), "10.0.2.3");
    }

    #[test]
    fn the_way_out_leads_through_the_first_network_that_has_one() {
        let (inner, web) = (network("inner", 1, true, true), network("web", 2, true, false));
        let member = Membership::default();
        let outward = |all: &[&Definition]| {
            let places: Vec<_> = all.iter().map(|&network| (&member, network)).collect();
            Joining::all(&places, "id", "name").into_iter().map(|joining| joining.default_route).collect::<Vec<_>>()
        };
        assert_eq!(outward(&[&inner, &web, &web]), [false, true, false]);
        assert_eq!(outward(&[&inner, &inner]), [false, false]);
    }

    #[test]
    fn addresses_are_given_out_from_the_lowest() {
        let net = Subnet::new("10.5.0.7/16", None, None).expect("a subnet");
        let ip = |word: &str| -> IpAddr { word.parse().expect("an address") };
        assert_eq!((net.address, net.gateway), (ip("10.5.0.0"), ip("10.5.0.1")));
        assert_eq!(net.take(None, &[]), Some(ip("10.5.0.2")));
        assert_eq!(net.take(None, &[ip("10.5.0.2")]), Some(ip("10.5.0.3")));
        assert_eq!(net.take(Some(ip("10.5.9.9")), &[]), Some(ip("10.5.9.9")));
        for bad in ["10.5.0.1", "10.6.0.2", "10.5.255.255", "10.5.0.0", "fd00::2"] {
            assert_eq!(net.take(Some(ip(bad)), &[]), None, "{bad}");
        }
        let small = Subnet::new("10.5.0.0/30", Some("10.5.0.2"), None).expect("a subnet");
        assert_eq!(small.take(None, &[]), Some(ip("10.5.0.1")));
        assert_eq!(small.take(None, &[ip("10.5.0.1")]), None);
        let ranged = Subnet::new("fd12::/64", None, Some("fd12::100/120")).expect("a subnet");
        assert_eq!(ranged.take(None, &[]), Some(ip("fd12::100")));
        for (subnet, gateway, range) in [
            ("10.5.0.0/31", None, None),
            ("x", None, None),
            ("10.5.0.0/24", Some("10.6.0.1"), None),
            ("10.5.0.0/24", None, Some("10.6.0.0/25")),
        ] {
            assert!(Subnet::new(subnet, gateway, range).is_err(), "{subnet}");
        }
    }
}
