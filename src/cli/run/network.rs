//! The words of the network: `--network`, `-p`, `--add-host`, `--dns` and its siblings, `--http-proxy`.
//!
//! The surprise: a host's proxy variables often hold a password, so they are passed on only when that is asked for.

use std::ffi::OsString;
use std::net::IpAddr;

use clap::ArgMatches;

use super::resolve::{all, flag, of_a_name, one};
use super::wrong;
use crate::error::{Error, Result, catalog::command_line};
use crate::spec::egress::Egress;
use crate::spec::files::HOST_GATEWAY;
use crate::spec::network::{self, Network, Publish};
use crate::spec::networks::is_host;
use crate::spec::ports;

/// curl(1)'s list, in lower and upper case.
const PROXIES: [&str; 5] = ["http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"];

/// The default network where no word is said; networks by name where several are.
pub(super) fn network(matches: &ArgMatches) -> Result<Network> {
    let words = all(matches, "network");
    let mut parsed = words.iter().map(|word| Network::parse(word)).collect::<Result<Vec<_>>>()?;
    let conflict = |why: &str| Err(Error::new(&command_line::CONFLICT, why));
    let mut network = match (parsed.len(), parsed.pop()) {
        (_, None) => network::default(),
        (1, Some(one)) => one,
        (_, Some(last)) => {
            let mut named = Vec::new();
            for one in parsed.into_iter().chain([last]) {
                let Network::Named(one) = one else {
                    return conflict("--network: only networks by name can be several");
                };
                named.extend(one);
            }
            Network::Named(named)
        }
    };
    let (ip, ip6, aliases) = (one(matches, "ip"), one(matches, "ip6"), all(matches, "network-alias"));
    let Network::Named(named) = &mut network else {
        let any = ip.is_some() || ip6.is_some() || !aliases.is_empty();
        return if any { conflict("--ip, --ip6 and --network-alias need a network by name") } else { Ok(network) };
    };
    if named.len() > 1 && (ip.is_some() || ip6.is_some()) {
        return conflict("--ip and --ip6: of which network? Say it with --network NAME:ip=ADDRESS");
    }
    let names: Vec<_> = named.iter().map(|one| one.network.clone()).collect();
    for (index, member) in named.iter_mut().enumerate() {
        if names[..index].contains(&member.network) {
            return conflict("--network: a network is given twice");
        }
        let bad = |flag: &str, word: &str| wrong(flag, word, "an IP address of that family");
        member.ip = ip.map(|word| word.parse().map_err(|_| bad("ip", word))).transpose()?.or(member.ip);
        member.ip6 = ip6.map(|word| word.parse().map_err(|_| bad("ip6", word))).transpose()?.or(member.ip6);
        if let Some(alias) = aliases.iter().find(|alias| !is_host(alias)) {
            return Err(wrong("network-alias", alias, "a name of letters, digits, dots, hyphens and underscores"));
        }
        member.aliases.extend(aliases.iter().cloned());
    }
    Ok(network)
}

/// Every port of every `-p`.
pub(super) fn publish(matches: &ArgMatches, network: &Network) -> Result<Vec<Publish>> {
    let words = all(matches, "publish");
    let any = !words.is_empty() || flag(matches, "publish-all");
    let why = match network {
        Network::None => "without a network nothing leads into the container",
        Network::Container(_) => "the container whose network is shared publishes its own ports",
        // docker and podman only warn of it; scripts rely on that.
        Network::Host => {
            if any {
                eprintln!(
                    "rl: warning: -p has no meaning with --network=host: the container has the host's ports itself"
                );
            }
            return Ok(Vec::new());
        }
        Network::Slirp4netns(_) | Network::Pasta(_) | Network::Named(_) => {
            let all: Vec<_> = words.iter().map(|word| ports::parse(word)).collect::<Result<Vec<_>>>()?.concat();
            return unique(all);
        }
    };
    if any { Err(Error::new(&command_line::CONFLICT, format!("-p: {why}"))) } else { Ok(Vec::new()) }
}

fn unique(all: Vec<Publish>) -> Result<Vec<Publish>> {
    for (index, one) in all.iter().enumerate() {
        let address =
            |other: &Publish| other.address.is_none() || one.address.is_none() || other.address == one.address;
        let twice = |other: &&Publish| other.host == one.host && other.protocol == one.protocol && address(other);
        if let Some(port) = one.host.filter(|_| all[..index].iter().any(|other| twice(&other))) {
            return Err(Error::new(&command_line::CONFLICT, format!("-p: the host's port {port} is given twice")));
        }
    }
    Ok(all)
}

/// What may go out. A network that is somebody else's is not the container's to filter.
pub(super) fn egress(words: &[String], network: &Network) -> Result<Option<Egress>> {
    let egress = Egress::parse(words)?;
    let conflict = |why: &str| Err(Error::new(&command_line::CONFLICT, format!("--egress: {why}")));
    match (&egress, network) {
        (Some(_), Network::Host) => conflict("with --network=host the container has the host's own network"),
        (Some(_), Network::Container(_)) => conflict("the container whose network is shared has its own rules"),
        (Some(all), Network::None) if *all != Egress::default() => conflict("without a network nothing goes out"),
        _ => Ok(egress),
    }
}

pub(super) fn add_host(word: &str, network: &Network) -> Result<(String, String)> {
    let bad = || wrong("add-host", word, "NAME:IP or NAME:host-gateway");
    let (name, ip) = word.split_once([':', '=']).ok_or_else(bad)?;
    // A `#` would begin a comment in /etc/hosts, and a space another name.
    if name.is_empty() || !name.bytes().all(of_a_name) {
        return Err(bad());
    }
    if ip == HOST_GATEWAY {
        if *network == Network::None {
            return Err(Error::new(
                &command_line::CONFLICT,
                format!("--add-host {word}: without a network nothing leads to the host"),
            ));
        }
        return Ok((name.to_owned(), ip.to_owned()));
    }
    Ok((name.to_owned(), address("add-host", ip.trim_matches(['[', ']']), "an IP address")?))
}

/// Of `--dns`, where it is not the word that stands for no file.
pub(super) fn name_server(word: &str) -> Result<String> {
    address("dns", word, "an IP address, or none")
}

fn address(flag: &str, word: &str, takes: &str) -> Result<String> {
    let ip: IpAddr = word.parse().map_err(|_| wrong(flag, word, takes))?;
    Ok(ip.to_string())
}

/// Words of one line of /etc/resolv.conf: a space would end one, a line's end begin another keyword.
pub(super) fn resolver_words(flag: &str, words: &[String]) -> Result<Vec<String>> {
    let plain = |word: &String| {
        !word.is_empty() && word.bytes().all(|byte| of_a_name(byte) || byte == b':') && !word.starts_with('-')
    };
    match words.iter().find(|word| !plain(word)) {
        Some(bad) => Err(wrong(flag, bad, "a word of letters, digits, dots, hyphens and colons")),
        None => Ok(words.to_vec()),
    }
}

/// The caller's proxy variables; what is not UTF-8 can't be a proxy.
pub(super) fn proxies(variables: impl Iterator<Item = (OsString, OsString)>) -> Vec<(String, String)> {
    let text = variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    text.filter(|(name, _)| PROXIES.iter().any(|proxy| name == proxy || *name == proxy.to_uppercase())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::run::tests::resolved;

    #[test]
    fn published_ports_need_a_network_of_the_containers_own() {
        assert_eq!(resolved(&["-p", "8080:80", "-p", "53:53/udp", "image"]).expect("ports").publish.len(), 2);
        assert_eq!(resolved(&["-p", "8000-8009:80-89", "image"]).expect("a range").publish.len(), 10);
        for network in ["none", "container:x"] {
            assert!(resolved(&["--network", network, "-p", "8080:80", "image"]).is_err(), "{network}");
            assert!(resolved(&["--network", network, "-P", "image"]).is_err(), "{network}");
        }
        assert!(resolved(&["--network=host", "-p", "8080:80", "image"]).expect("a warning").publish.is_empty());
    }

    #[test]
    fn one_port_of_the_host_leads_to_one_place() {
        assert!(resolved(&["-p", "8080:80", "-p", "8080:81", "image"]).is_err());
        assert!(resolved(&["-p", "127.0.0.1:8080:80", "-p", "8080:81", "image"]).is_err());
        assert!(resolved(&["-p", "127.0.0.1:8080:80", "-p", "127.0.0.2:8080:81", "image"]).is_ok());
        assert!(resolved(&["-p", "8080:80", "-p", "8080:80/udp", "-p", "80", "-p", "80", "image"]).is_ok());
    }

    #[test]
    fn only_a_network_of_the_containers_own_can_be_filtered() {
        assert!(resolved(&["--egress=deny", "image"]).expect("a run").egress.is_some());
        for network in ["none", "web", "pasta"] {
            assert!(resolved(&["--egress=deny", "--network", network, "image"]).is_ok(), "{network}");
        }
        for network in ["host", "container:x"] {
            assert!(resolved(&["--egress=deny", "--network", network, "image"]).is_err(), "{network}");
        }
        assert!(resolved(&["--egress=allow=a.example", "--network=none", "image"]).is_err());
    }

    #[test]
    fn proxies_are_these_names_and_no_others() {
        let pair = |name: &str| (OsString::from(name), OsString::from("value"));
        let found =
            proxies(["http_proxy", "HTTPS_PROXY", "no_proxy", "Http_Proxy", "MY_PROXY", "PATH"].map(pair).into_iter());
        let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["http_proxy", "HTTPS_PROXY", "no_proxy"]);
        assert!(resolved(&["image"]).expect("a run").env.is_empty());
    }

    #[test]
    fn no_word_adds_a_line_to_resolv_conf() {
        let run = resolved(&["--dns-search=a.b", "--dns-search=c", "--dns-opt=ndots:2", "image"]).expect("a run");
        assert_eq!((run.dns_search.join(" "), run.dns_option.join(" ")), ("a.b c".into(), "ndots:2".into()));
        for bad in ["", "a b", "a\nnameserver 1.2.3.4", "-x", "a#b"] {
            assert!(resolved(&["--dns-search", bad, "image"]).is_err(), "{bad:?}");
            assert!(resolved(&["--dns-option", bad, "image"]).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_hosts_address_needs_a_network() {
        let run = resolved(&["--add-host", "host:host-gateway", "image"]).expect("a run");
        assert_eq!(run.add_hosts, [("host".to_owned(), "host-gateway".to_owned())]);
        assert!(resolved(&["--network=none", "--add-host", "host:host-gateway", "image"]).is_err());
    }
}
