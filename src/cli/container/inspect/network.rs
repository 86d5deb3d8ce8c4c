//! The network of a container in docker's words: `NetworkSettings`, `PortBindings`, and the column of `rl ps`.
//!
//! The surprise: ports are those that lead somewhere now, from what the running container has written down, with those that `rl port add`
//! has brought; what was asked for is in `PortBindings`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Map, Value, json};
use slirp4netns_ctl::Protocol;

use crate::host::Dirs;
use crate::network::named::{self, store::Networks};
use crate::network::ports::Leg;
use crate::network::record::Record;
use crate::spec::network::{Network, Publish};
use crate::spec::networks::Definition;
use crate::spec::ports::exposed;
use crate::state::Container;

/// Docker's `NetworkMode`.
pub(super) fn mode(container: &Container) -> String {
    match &container.record.run.network {
        Network::None => "none".into(),
        Network::Host => "host".into(),
        Network::Slirp4netns(_) => "slirp4netns".into(),
        Network::Pasta(_) => "pasta".into(),
        Network::Container(other) => format!("container:{other}"),
        Network::Named(all) => all.first().map(|one| one.network.clone()).unwrap_or_default(),
    }
}

/// The names of the networks that it is in, as `rl ps` has them.
pub(in crate::cli::container) fn names(container: &Container) -> Vec<String> {
    match &container.record.run.network {
        Network::Container(_) => Vec::new(),
        Network::Named(all) => all.iter().map(|one| one.network.clone()).collect(),
        _ => vec![mode(container)],
    }
}

/// `NetworkSettings`.
pub(super) fn settings(container: &Container, dirs: &Dirs) -> Value {
    let running = container.running.as_ref();
    let places: Vec<(String, Place)> = match &container.record.run.network {
        Network::Named(_) if running.is_some() => joined(container, dirs),
        Network::Slirp4netns(options) if running.is_some() => {
            vec![(mode(container), Place::of_slirp(&options.network))]
        }
        _ => names(container).into_iter().map(|name| (name, Place::default())).collect(),
    };
    let networks: Map<String, Value> = places.iter().map(|(name, place)| (name.clone(), place.document())).collect();
    // Those of the bridge that docker makes by default, which has no name of the user's.
    let slirp = match &container.record.run.network {
        Network::Slirp4netns(_) => places.first().map(|(_, place)| place.clone()),
        _ => None,
    };
    let Place { ip: address, gateway, bits: prefix, .. } = slirp.unwrap_or_default();
    json!({
        "Bridge": "",
        "SandboxID": "",
        "SandboxKey": running.map_or_else(String::new, |running| format!("/proc/{}/ns/net", running.pid)),
        "HairpinMode": false,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": null,
        "SecondaryIPv6Addresses": null,
        "EndpointID": "",
        "Gateway": gateway,
        "IPAddress": address,
        "IPPrefixLen": prefix,
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "MacAddress": "",
        "Ports": ports(container),
        "Networks": networks,
    })
}

/// A container's place in a network.
#[derive(Debug, Clone, Default)]
struct Place {
    network: String,
    aliases: Option<Vec<String>>,
    ip: String,
    bits: u8,
    gateway: String,
    ip6: String,
    bits6: u8,
    gateway6: String,
}

impl Place {
    fn of_slirp(network: &slirp4netns_ctl::Network) -> Self {
        Self {
            ip: network.guest().to_string(),
            gateway: network.gateway().to_string(),
            bits: network.prefix(),
            ..Self::default()
        }
    }

    fn document(&self) -> Value {
        json!({
            "IPAMConfig": null,
            "Links": null,
            "Aliases": self.aliases,
            "NetworkID": self.network,
            "EndpointID": "",
            "Gateway": self.gateway,
            "IPAddress": self.ip,
            "IPPrefixLen": self.bits,
            "IPv6Gateway": self.gateway6,
            "GlobalIPv6Address": self.ip6,
            "GlobalIPv6PrefixLen": self.bits6,
            "MacAddress": "",
            "DriverOpts": null,
            "DNSNames": self.aliases,
        })
    }
}

/// The networks that it is in now, those that it has joined since its start, too.
fn joined(container: &Container, dirs: &Dirs) -> Vec<(String, Place)> {
    let place = |network: Definition| {
        let lease =
            named::leases(&dirs.run, &network.name).into_iter().find(|lease| lease.id == container.record.id)?;
        let v6 = network.v6.filter(|_| lease.ip6.is_some());
        let place = Place {
            network: network.id,
            aliases: Some(lease.names),
            ip: lease.ip.to_string(),
            bits: network.v4.bits,
            gateway: network.v4.gateway.to_string(),
            ip6: lease.ip6.map(|ip6| ip6.to_string()).unwrap_or_default(),
            bits6: v6.map(|v6| v6.bits).unwrap_or_default(),
            gateway6: v6.map(|v6| v6.gateway.to_string()).unwrap_or_default(),
        };
        Some((network.name, place))
    };
    Networks::open(dirs).list().unwrap_or_default().into_iter().filter_map(place).collect()
}

/// What leads into it now. A file that can't be read is as none: this is for looking at.
fn legs(container: &Container) -> Vec<Leg> {
    if container.running.is_none() {
        return Vec::new();
    }
    Record::read(&container.run).ok().flatten().map(|record| record.ports).unwrap_or_default()
}

fn unpublished(container: &Container, legs: &[Leg]) -> Vec<Publish> {
    if container.running.is_none() || container.record.run.network.is_shared() {
        return Vec::new();
    }
    let all = container.record.config.exposed_ports.iter().filter_map(|word| exposed(word));
    all.filter(|port| !legs.iter().any(|leg| (leg.container, leg.protocol) == (port.container, port.protocol)))
        .collect()
}

fn ports(container: &Container) -> Map<String, Value> {
    let legs = legs(container);
    let mut all = Map::new();
    for port in unpublished(container, &legs) {
        all.insert(format!("{}/{}", port.container, port.protocol), Value::Null);
    }
    for leg in legs {
        let key = format!("{}/{}", leg.container, leg.protocol);
        let at = json!({ "HostIp": leg.host.ip().to_string(), "HostPort": leg.host.port().to_string() });
        match all.entry(key).or_insert_with(|| json!([])) {
            Value::Array(list) => list.push(at),
            other => *other = json!([at]),
        }
    }
    all
}

/// `HostConfig.PortBindings`: what was asked for.
pub(super) fn bindings(asked: &[Publish]) -> Map<String, Value> {
    let mut all: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for one in asked {
        let at = json!({
            "HostIp": one.address.map_or_else(String::new, |address| address.to_string()),
            "HostPort": one.host.map_or_else(String::new, |port| port.to_string()),
        });
        all.entry(format!("{}/{}", one.container, one.protocol)).or_default().push(at);
    }
    all.into_iter().map(|(key, list)| (key, list.into())).collect()
}

/// `0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 443/tcp`: docker's column.
pub(in crate::cli::container) fn column(container: &Container) -> String {
    let legs = legs(container);
    let exposed = unpublished(container, &legs);
    let mut all = spans(legs);
    all.extend(exposed.iter().map(|port| format!("{}/{}", port.container, port.protocol)));
    all.join(", ")
}

/// Ports that follow each other on both sides are one range.
fn spans(mut legs: Vec<Leg>) -> Vec<String> {
    let place = |leg: &Leg| (leg.host.ip(), leg.protocol == Protocol::Udp, leg.container, leg.host.port());
    legs.sort_by_key(place);
    let mut spans: Vec<(Leg, u16)> = Vec::new();
    for leg in legs {
        match spans.last_mut() {
            Some((first, more))
                if (first.host.ip(), first.protocol) == (leg.host.ip(), leg.protocol)
                    && first.container.checked_add(*more + 1) == Some(leg.container)
                    && first.host.port().checked_add(*more + 1) == Some(leg.host.port()) =>
            {
                *more += 1;
            }
            _ => spans.push((leg, 0)),
        }
    }
    spans.into_iter().map(|(first, more)| span(&first, more)).collect()
}

fn span(first: &Leg, more: u16) -> String {
    let range = |port: u16| if more == 0 { port.to_string() } else { format!("{port}-{}", port + more) };
    let ip = match first.host.ip() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    format!("{ip}:{}->{}/{}", range(first.host.port()), range(first.container), first.protocol)
}

/// Whether one of these ports of the host leads into it, for `rl ps --filter publish=`.
pub(in crate::cli::container) fn publishes(container: &Container, is: impl Fn(u16, Protocol) -> bool) -> bool {
    legs(container).iter().any(|leg| is(leg.host.port(), leg.protocol))
}

/// Whether one of these ports is its own, published or only exposed, for `rl ps --filter expose=`.
pub(in crate::cli::container) fn exposes(container: &Container, is: impl Fn(u16, Protocol) -> bool) -> bool {
    let legs = legs(container);
    legs.iter().any(|leg| is(leg.container, leg.protocol))
        || unpublished(container, &legs).iter().any(|port| is(port.container, port.protocol))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_in_a_row_are_a_range() {
        let leg = |host: &str, container: u16, protocol| Leg { protocol, host: host.parse().expect("host"), container };
        let tcp = Protocol::Tcp;
        let legs = vec![
            leg("0.0.0.0:8001", 81, tcp),
            leg("0.0.0.0:8000", 80, tcp),
            leg("0.0.0.0:9000", 82, tcp),
            leg("[::]:8000", 80, tcp),
            leg("127.0.0.1:53", 53, Protocol::Udp),
        ];
        assert_eq!(
            spans(legs).join(", "),
            "0.0.0.0:8000-8001->80-81/tcp, 0.0.0.0:9000->82/tcp, 127.0.0.1:53->53/udp, [::]:8000->80/tcp"
        );
    }
}
