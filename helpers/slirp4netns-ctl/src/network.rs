//! The network inside: which addresses there are.
//!
//! Owns the arithmetic that slirp4netns does with `--cidr`. The surprise: it can't be smaller than 128 addresses, because the
//! container's own is the hundredth.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;

/// The container's own address within the network (`Recommended IP`).
const GUEST: u32 = 100;
const GATEWAY: u32 = 2;
const DNS: u32 = 3;

/// An IPv4 network, as `--cidr` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    base: Ipv4Addr,
    prefix: u8,
}

impl Network {
    /// libslirp's IPv6 network can't be chosen: `fd00::/64`.
    pub const IPV6_GATEWAY: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);
    /// The forwarder's IPv6 address, for hosts whose own resolver has one.
    pub const IPV6_DNS: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 3);

    /// The container's address.
    pub fn guest(&self) -> Ipv4Addr {
        self.host(GUEST)
    }

    /// The way out, and with `allow_host_loopback` the host's 127.0.0.1.
    pub fn gateway(&self) -> Ipv4Addr {
        self.host(GATEWAY)
    }

    /// How many leading bits all its addresses share.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// The forwarder of DNS, which follows the host's /etc/resolv.conf.
    pub fn dns(&self) -> Ipv4Addr {
        self.host(DNS)
    }

    fn host(&self, number: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.base.to_bits() | number)
    }
}

impl Default for Network {
    fn default() -> Self {
        Self { base: Ipv4Addr::new(10, 0, 2, 0), prefix: 24 }
    }
}

impl FromStr for Network {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = |what| Error::BadNetwork { given: text.to_owned(), what };
        let (base, prefix) = text.split_once('/').ok_or_else(|| bad("it has no prefix length"))?;
        let base: Ipv4Addr = base.parse().map_err(|_| bad("its address is not IPv4"))?;
        let prefix: u8 = prefix.parse().map_err(|_| bad("its prefix length is no number"))?;
        if !(1..=25).contains(&prefix) {
            return Err(bad("its prefix length is not between 1 and 25"));
        }
        if base.to_bits() & (u32::MAX >> prefix) != 0 {
            return Err(bad("its address has bits behind the prefix"));
        }
        let last = Ipv4Addr::from_bits(base.to_bits() | (u32::MAX >> prefix));
        // 127.0.0.0/8 leads to the container itself; the others are no machine's.
        if base.octets()[0] == 0 || last.octets()[0] >= 224 || (base.octets()[0]..=last.octets()[0]).contains(&127) {
            return Err(bad("it has addresses of loopback or of groups"));
        }
        Ok(Self { base, prefix })
    }
}

impl TryFrom<String> for Network {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_addresses_are_slirps() {
        let network = Network::default();
        assert_eq!(network.to_string(), "10.0.2.0/24");
        assert_eq!(
            [network.guest(), network.gateway(), network.dns()].map(|one| one.to_string()),
            ["10.0.2.100", "10.0.2.2", "10.0.2.3"]
        );
    }

    #[test]
    fn what_slirp_would_refuse_is_refused() {
        for bad in ["", "10.0.2.0", "10.0.2.0/26", "10.0.2.0/0", "10.0.2.1/24", "fd00::/64", "10.0.2.0/x", "10.0.2/24"]
        {
            assert!(bad.parse::<Network>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn networks_that_lead_nowhere_are_refused() {
        for bad in ["127.0.0.0/24", "0.0.0.0/8", "224.0.0.0/24", "240.0.0.0/4", "64.0.0.0/2", "128.0.0.0/1"] {
            assert!(bad.parse::<Network>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn every_address_lies_within(first in 1_u32..=223, rest in 0_u32..1 << 24, prefix in 8_u8..=25) {
            prop_assume!(first != 127);
            let bits = first << 24 | rest;
            let base = Ipv4Addr::from_bits(bits & !(u32::MAX >> prefix));
            let network: Network = format!("{base}/{prefix}").parse().expect("a network");
            for address in [network.guest(), network.gateway(), network.dns()] {
                prop_assert_eq!(address.to_bits() & !(u32::MAX >> prefix), base.to_bits());
            }
        }
    }
}
