//! The words of `-p` and `--expose`, and the image's ExposedPorts.
//!
//! Pure. The surprise: an IPv6 address stands in brackets, and a range of the container's ports needs as many of the host, or
//! none.

use std::net::IpAddr;

use slirp4netns_ctl::Protocol;

use super::network::Publish;
use crate::error::{Error, Result, catalog::command_line};

/// `[IP:][HOST:]CONTAINER[/tcp|/udp]`, each port a number or a range `A-B`.
///
/// # Errors
/// `RL0101` with what is wrong.
pub fn parse(word: &str) -> Result<Vec<Publish>> {
    let bad = |what: &str| {
        Error::new(&command_line::USAGE, format!("--publish {word:?}: {what}")).fix(
            "Give [IP:][HOST:]CONTAINER[/udp], for example -p 8080:80, -p 127.0.0.1:5353:53/udp, -p '[::1]:8080:80'.",
        )
    };
    let (ports, protocol) = protocol(word).ok_or_else(|| bad("the protocol must be tcp or udp"))?;
    let (address, ports) = address(ports).ok_or_else(|| bad("that is no IP address"))?;
    let (host, container) = match ports.rsplit_once(':') {
        Some((host, container)) => (host, container),
        None => ("", ports),
    };
    let container = range(container).ok_or_else(|| bad("the container's port must be 1 to 65535, or a range"))?;
    let host = match host {
        "" | "0" => None,
        host => Some(range(host).ok_or_else(|| bad("the host's port must be 1 to 65535, or a range"))?),
    };
    let count = container.1 - container.0;
    if host.is_some_and(|host| host.1 - host.0 != count) {
        return Err(bad("the two ranges have different lengths"));
    }
    let publish = |offset: u16| Publish {
        protocol,
        address,
        host: host.map(|host| host.0 + offset),
        container: container.0 + offset,
    };
    Ok((0..=count).map(publish).collect())
}

/// `--expose`: `80`, `53/udp`, `8000-8009`, as an image's configuration has each of them.
///
/// # Errors
/// `RL0101` with what is expected.
pub fn expose(word: &str) -> Result<Vec<String>> {
    let found = protocol(word).and_then(|(ports, protocol)| range(ports).map(|range| (range, protocol)));
    let ((first, last), protocol) = found.ok_or_else(|| {
        Error::new(
            &command_line::USAGE,
            format!("--expose {word:?}: expected a port of 1 to 65535 or a range, and /tcp or /udp"),
        )
    })?;
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

/// `80`, `53/udp`, of an image's configuration; what is neither is no port (an image may say anything).
pub fn exposed(word: &str) -> Option<Publish> {
    let (port, protocol) = protocol(word)?;
    let container = port.parse().ok().filter(|port| *port != 0)?;
    Some(Publish { protocol, address: None, host: None, container })
}

fn protocol(word: &str) -> Option<(&str, Protocol)> {
    match word.rsplit_once('/') {
        None => Some((word, Protocol::Tcp)),
        Some((ports, name)) if name.eq_ignore_ascii_case("tcp") => Some((ports, Protocol::Tcp)),
        Some((ports, name)) if name.eq_ignore_ascii_case("udp") => Some((ports, Protocol::Udp)),
        Some(_) => None,
    }
}

/// What stands before the ports, and the ports.
fn address(word: &str) -> Option<(Option<IpAddr>, &str)> {
    if let Some(rest) = word.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        let address: std::net::Ipv6Addr = address.parse().ok()?;
        return Some((Some(address.into()), rest.strip_prefix(':')?));
    }
    match word.match_indices(':').nth(1) {
        None => Some((None, word)),
        Some(_) => {
            let (address, rest) = word.split_once(':')?;
            let address: std::net::Ipv4Addr = address.parse().ok()?;
            Some((Some(address.into()), rest))
        }
    }
}

fn range(word: &str) -> Option<(u16, u16)> {
    let port = |word: &str| {
        let plain = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
        word.parse::<u16>().ok().filter(|port| plain && *port != 0)
    };
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    let (first, last) = (port(first)?, port(last)?);
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(word: &str) -> (Protocol, Option<String>, Option<u16>, u16) {
        let mut all = parse(word).expect(word);
        assert_eq!(all.len(), 1, "{word}");
        let Publish { protocol, address, host, container } = all.remove(0);
        (protocol, address.map(|address| address.to_string()), host, container)
    }

    #[test]
    fn a_port_has_an_address_a_port_of_the_host_and_a_protocol_where_they_are_given() {
        let address = |text: &str| Some(text.to_owned());
        assert_eq!(one("80"), (Protocol::Tcp, None, None, 80));
        assert_eq!(one("8080:80"), (Protocol::Tcp, None, Some(8080), 80));
        assert_eq!(one("0:80/UDP"), (Protocol::Udp, None, None, 80));
        assert_eq!(one("127.0.0.1:8080:80/tcp"), (Protocol::Tcp, address("127.0.0.1"), Some(8080), 80));
        assert_eq!(one("127.0.0.1::80"), (Protocol::Tcp, address("127.0.0.1"), None, 80));
        assert_eq!(one("[::1]:53:53/udp"), (Protocol::Udp, address("::1"), Some(53), 53));
        assert_eq!(one("[::1]::53"), (Protocol::Tcp, address("::1"), None, 53));
    }

    #[test]
    fn a_range_is_as_many_ports() {
        let all = parse("127.0.0.1:8000-8002:80-82").expect("a range");
        let pairs: Vec<_> = all.iter().map(|one| (one.host, one.container)).collect();
        assert_eq!(pairs, [(Some(8000), 80), (Some(8001), 81), (Some(8002), 82)]);
        assert_eq!(parse("65534-65535").expect("a range").len(), 2);
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for bad in [
            "",
            ":",
            "0",
            "65536",
            "-1",
            "+80",
            "80/",
            "80/sctp",
            "a",
            "8080:",
            "80-79",
            "1-2:1-3",
            "1-2:1",
            "::1:80:80",
            "[::1]",
            "[127.0.0.1]:1:1",
            "1.2.3:1:1",
            "1.2.3.4:80",
            "1.2.3.4:1:2:3",
            "8080:80:90:1",
            " 80",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_image_may_say_anything() {
        assert_eq!(expose("8000-8001/udp").expect("a range"), ["8000/udp", "8001/udp"]);
        assert_eq!(expose("80").expect("a port"), ["80/tcp"]);
        for bad in ["", "0", "90-80", "80/sctp", "1.2.3.4:80", "80:80", "70000"] {
            assert!(expose(bad).is_err(), "{bad:?}");
        }
        assert_eq!(exposed("80/tcp").map(|port| port.container), Some(80));
        assert_eq!(exposed("53/udp").map(|port| port.protocol), Some(Protocol::Udp));
        for odd in ["", "0", "x", "80/icmp", "1-2", "99999"] {
            assert_eq!(exposed(odd), None, "{odd:?}");
        }
    }

    proptest! {
        #[test]
        fn no_word_makes_it_panic_or_gives_a_port_of_zero(word in "[0-9:/\\[\\]a-f.tcpud-]{0,24}") {
            if let Ok(all) = parse(&word) {
                prop_assert!(all.iter().all(|one| one.container != 0 && one.host != Some(0)));
            }
        }
    }
}
