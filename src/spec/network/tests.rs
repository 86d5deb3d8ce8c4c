//! The words of `--network`, `-p` and their kin: what each means, and what is refused.

use std::collections::BTreeMap;

use super::*;
use crate::spec::networks::{Definition, Subnet};

fn slirp_options(word: &str) -> Options {
    match Network::parse(word) {
        Ok(Network::Slirp4netns(options)) => *options,
        other => panic!("{word}: {other:?}"),
    }
}

#[test]
fn each_kind_has_its_word() {
    assert_eq!(Network::parse("none").expect("none"), Network::None);
    assert_eq!(Network::parse("host").expect("host"), Network::Host);
    assert_eq!(Network::parse("container:web").expect("container"), Network::Container("web".into()));
    assert_eq!(Network::parse("pasta:--mtu,1500").expect("pasta"), Network::Pasta(vec!["--mtu".into(), "1500".into()]));
    for word in ["bridge", "default", "slirp4netns"] {
        assert_eq!(Network::parse(word).expect(word), default(), "{word}");
    }
}

#[test]
fn every_option_of_slirp_is_understood() {
    let options = slirp_options(
        "slirp4netns:mtu=1500,cidr=10.9.0.0/16,enable_ipv6=false,outbound_addr=192.0.2.7,outbound_addr6=eth0,\
         allow_host_loopback=true,disable_dns=1",
    );
    assert_eq!((options.mtu, options.network.guest().to_string()), (1500, "10.9.0.100".to_owned()));
    assert!(!options.ipv6 && options.allow_host_loopback && options.disable_dns);
    assert_eq!(options.outbound, Some(Outbound::Address(Ipv4Addr::new(192, 0, 2, 7))));
    assert_eq!(options.outbound6, Some(Outbound::Interface("eth0".into())));
    assert!(!slirp_options("slirp4netns").allow_host_loopback);
}

#[test]
fn what_makes_no_network_is_refused() {
    for bad in [
        "non/sense",
        "none:x",
        "host:",
        "container:",
        "container",
        "slirp4netns:",
        "slirp4netns:mtu=1",
        "slirp4netns:mtu",
        "slirp4netns:cidr=10.0.2.0/30",
        "slirp4netns:enable_ipv6=maybe",
        "slirp4netns:outbound_addr=",
        "slirp4netns:x=1",
        "slirp4netns:outbound_addr=-a",
        "slirp4netns:outbound_addr=a b",
        "pasta:",
        "pasta:--netns,/x",
        "pasta:-P,/x",
        "pasta:--pid=/x",
        "pasta:--runas,0",
    ] {
        assert!(Network::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn with_egress_only_rls_own_resolver_is_asked_and_only_where_there_are_names_to_ask_for() {
    let network = |dns: bool| Definition {
        version: 1,
        name: "web".into(),
        id: String::new(),
        created: 0,
        v4: Subnet::new("10.5.0.0/24", None, None).expect("a subnet"),
        v6: None,
        internal: false,
        dns,
        servers: Vec::new(),
        labels: BTreeMap::new(),
    };
    let asked = |egress: &str, dns: bool, own: &[&str]| {
        let run = RunSpec {
            network: Network::parse("web").expect("a name"),
            egress: Egress::parse(&[egress.to_owned()]).expect("words"),
            dns: own.iter().map(|&word| word.to_owned()).collect(),
            ..RunSpec::default()
        };
        resolv_conf(&run, &Facts { networks: vec![network(dns)], ..Facts::default() })
    };
    let own = "nameserver 127.0.0.11\n";
    assert_eq!(asked("deny", true, &[]), "");
    assert_eq!(asked("allow=db", true, &[]), own);
    assert_eq!(asked("allow=db", false, &[]), own);
    // Containers at allowed addresses have names where the network knows names, and is asked.
    assert_eq!(asked("allow=10.5.0.0/24", true, &[]), own);
    assert_eq!(asked("allow=10.5.0.0/24", false, &[]), "");
    assert_eq!(asked("allow=10.5.0.0/24", true, &["192.0.2.53"]), "nameserver 192.0.2.53\n");
}

#[test]
fn a_host_that_asks_over_ipv6_alone_has_a_forwarder_that_does() {
    let servers = |network: &str, host: &str| {
        let network = Network::parse(network).expect("a network");
        let text = resolv_conf(
            &RunSpec { network, ..RunSpec::default() },
            &Facts { resolv_conf: host.into(), ..Facts::default() },
        );
        text.lines().map(|line| line.replace("nameserver ", "")).collect::<Vec<_>>()
    };
    let six = "nameserver 2001:db8::53\nnameserver fe80::1%eth0\n";
    assert_eq!(servers("slirp4netns", six), ["fd00::3", "10.0.2.3"]);
    assert_eq!(servers("pasta", six), ["fd00:726c::53", "169.254.1.1"]);
    assert_eq!(servers("slirp4netns:enable_ipv6=false", six), ["10.0.2.3"]);
    assert_eq!(servers("slirp4netns", &format!("{six}nameserver 192.0.2.53\n")), ["10.0.2.3"]);
    assert_eq!(servers("slirp4netns", "# nobody\n"), ["10.0.2.3"]);
    assert_eq!(servers("host", six), ["2001:db8::53", "fe80::1%eth0"]);
}
