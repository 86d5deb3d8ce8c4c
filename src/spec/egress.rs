//! What may go out of a container: the words of `--egress`.
//!
//! Pure. Owns [`Egress`], what its rules mean for a name and for an address, and nothing of how that is enforced
//! (`network::egress`). The surprise: a name that leads into a private network is no permission for that network: whoever owns the
//! name could point it at a machine behind the host's firewall (DNS rebinding), so such addresses need a rule of their own.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, catalog::command_line};

/// Where the container asks for names: docker's address, on its own loopback.
pub const RESOLVER: [u8; 4] = [127, 0, 0, 11];
/// RFC 1035.
const LONGEST_NAME: usize = 253;

/// What may go out. Without a rule: nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Egress {
    /// Names, in lower case.
    pub names: Vec<Name>,
    /// Networks.
    pub networks: Vec<Block>,
}

/// A name that may be asked for, and whose addresses may be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Name {
    /// Without the `*.`.
    pub name: String,
    /// `*.example.org`: all names below it, and not itself.
    pub below: bool,
    /// None: every port.
    pub port: Option<u16>,
}

/// A network that may be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Its first address.
    pub address: IpAddr,
    /// Bits of it that count.
    pub bits: u8,
    /// None: every port.
    pub port: Option<u16>,
}

impl Name {
    fn is(&self, asked: &str) -> bool {
        if !self.below {
            return asked == self.name;
        }
        asked.strip_suffix(&self.name).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
    }
}

impl Block {
    fn has(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(32 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(128 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl Egress {
    /// All words of all `--egress`; None where there is none.
    ///
    /// # Errors
    /// `RL0101` with the word that is wrong.
    pub fn parse(words: &[String]) -> Result<Option<Self>> {
        let mut all = Self::default();
        for word in words {
            match word.split_once('=') {
                None if word == "deny" => {}
                Some(("allow", list)) => list.split(',').try_for_each(|one| all.add(one))?,
                _ => return Err(wrong(word, "deny, or allow=HOST[:PORT],NETWORK[:PORT],...")),
            }
        }
        Ok((!words.is_empty()).then_some(all))
    }

    fn add(&mut self, word: &str) -> Result<()> {
        let bad = || wrong(word, "a name (*.NAME: all below it), an address or a network in CIDR notation, and :PORT");
        let (host, port) = match word.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or_else(bad)?)),
            // An IPv6 address without brackets has no port.
            None if word.matches(':').count() > 1 => (word, None),
            None => word.split_once(':').map_or((word, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map(|port| port.parse().ok().filter(|port| *port != 0).ok_or_else(bad)).transpose()?;
        let (address, bits) = host.split_once('/').map_or((host, None), |(address, bits)| (address, Some(bits)));
        if let Ok(address) = address.parse::<IpAddr>() {
            let longest = if address.is_ipv4() { 32 } else { 128 };
            let bits = bits.map_or(Some(longest), |bits| bits.parse().ok().filter(|bits| *bits <= longest));
            self.networks.push(Block { address, bits: bits.ok_or_else(bad)?, port });
            return Ok(());
        }
        let (name, below) = host.strip_prefix("*.").map_or((host, false), |name| (name, true));
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        if !is_name(&name) {
            return Err(bad());
        }
        self.names.push(Name { name, below, port });
        Ok(())
    }

    /// The ports at which a name's addresses may be reached (None: all); nothing where the name may not be asked for. `asked` is in
    /// lower case and has no dot at its end.
    pub fn ports_of(&self, asked: &str) -> Vec<Option<u16>> {
        let mut ports: Vec<_> = self.names.iter().filter(|name| name.is(asked)).map(|name| name.port).collect();
        ports.sort_unstable();
        ports.dedup();
        // Every port is all that there is to say.
        if ports.contains(&None) { vec![None] } else { ports }
    }

    /// Whether a name may lead to this address.
    pub fn may_be_answered(&self, address: IpAddr) -> bool {
        !is_private(address) || self.has_address(address)
    }

    /// Whether an address is allowed, at some port at least, whatever name leads to it.
    pub fn has_address(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|block| block.has(address))
    }

    /// Whether there is a name to be asked for. `peers`: those of other containers are known, and they may have an allowed address.
    pub fn has_names(&self, peers: bool) -> bool {
        !self.names.is_empty() || (peers && !self.networks.is_empty())
    }
}

fn wrong(word: &str, right: &str) -> Error {
    Error::new(&command_line::USAGE, format!("--egress {word:?}: expected {right}"))
}

/// Names of hosts, and with an underscore what people call their machines.
fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..64).contains(&label.len())
            && !label.starts_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    // Digits alone are an address that somebody has mistyped.
    let number = name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    name.len() <= LONGEST_NAME && !number && name.split('.').all(label)
}

/// Addresses that are not the internet's: IANA's special-purpose registries, and the IPv4 ones in their IPv6 clothes.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_multicast()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && v4.octets()[2] == 0)
                || (a == 198 && (18..20).contains(&b))
        }
        IpAddr::V6(v6) => {
            let first = v6.segments()[0];
            // Only 2000::/3 is given out; 64:ff9b::/96, 2002::/16 and mapped addresses hide an IPv4 address.
            first & 0xe000 != 0x2000
                || first == 0x2002
                || (first == 0x2001 && v6.segments()[1] == 0)
                || v6.to_ipv4_mapped().is_some()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Egress {
        let words: Vec<_> = words.iter().map(|&word| word.to_owned()).collect();
        Egress::parse(&words).expect("words").expect("a rule")
    }

    #[test]
    fn the_words_are_understood() {
        assert_eq!(Egress::parse(&[]).expect("nothing"), None);
        assert_eq!(parsed(&["deny"]), Egress::default());
        let all = parsed(&["allow=Example.org:443,*.deb.example,10.0.0.0/8:22", "allow=[2001:db8::/32]:80,192.0.2.1"]);
        assert_eq!(all.names.len(), 2);
        assert_eq!(all.names[0], Name { name: "example.org".into(), below: false, port: Some(443) });
        assert_eq!(all.networks.iter().map(|block| block.bits).collect::<Vec<_>>(), [8, 32, 32]);
        assert_eq!(all.networks.iter().map(|block| block.port).collect::<Vec<_>>(), [Some(22), Some(80), None]);
        for bad in
            ["", "allow", "allow=", "allow=a b", "deny=x", "allow=1.2.3", "allow=a:0", "allow=1.2.3.4/33", "allow=-x"]
        {
            assert!(Egress::parse(&[bad.to_owned()]).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_name_is_itself_or_all_below_it() {
        let all = parsed(&["allow=a.example:443,a.example:80,*.b.example,*.b.example:1"]);
        assert_eq!(all.ports_of("a.example"), [Some(80), Some(443)]);
        assert_eq!(all.ports_of("x.b.example"), [None]);
        for other in ["b.example", "xb.example", ".b.example", "x.a.example", "a.example.evil", ""] {
            assert!(all.ports_of(other).is_empty(), "{other}");
        }
    }

    #[test]
    fn a_name_does_not_open_a_private_network() {
        let all = parsed(&["allow=a.example,10.1.0.0/16"]);
        let may = |address: &str| all.may_be_answered(address.parse().expect("an address"));
        assert!(may("93.184.216.34") && may("2606:2800:220:1::1") && may("10.1.2.3"));
        for address in ["127.0.0.1", "10.2.0.1", "169.254.169.254", "192.168.1.1", "100.64.0.1", "0.0.0.0", "224.0.0.1"]
        {
            assert!(!may(address), "{address}");
        }
        for address in ["::1", "fe80::1", "fd00::2", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "ff02::1"]
        {
            assert!(!may(address), "{address}");
        }
    }

    #[test]
    fn everything_is_a_network_too() {
        let all = parsed(&["allow=0.0.0.0/0,::/0"]);
        assert!(
            all.may_be_answered([10, 0, 0, 1].into()) && all.may_be_answered("fd00::1".parse().expect("an address"))
        );
    }
}
