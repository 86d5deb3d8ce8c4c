//! The rules, in nft's words.
//!
//! Pure. Owns the table's text and the text that adds addresses to it. The surprise: what answers a connection from outside passes
//! (published ports), and so does a connection whose address has left the set meanwhile: the time of a set's member is the time
//! in which a new connection may begin.

use std::fmt::Write;
use std::net::IpAddr;
use std::time::Duration;

use super::MARK;
use crate::spec::egress::{Block, Egress};

/// The whole table; `names`: somebody asks for names. Neighbours and routers are asked for by every IPv6 address, and answer for the
/// link alone.
pub(super) fn table(egress: &Egress, names: bool) -> String {
    let mut sets = String::new();
    let mut rules = String::new();
    for (family, kind) in [("ip", "ipv4_addr"), ("ip6", "ipv6_addr")] {
        if egress.names.is_empty() {
            break;
        }
        let _ = write!(
            sets,
            "set {family}_any {{ type {kind}; flags timeout; }}\n\
             set {family}_port {{ type {kind} . inet_service; flags timeout; }}\n"
        );
        let _ = write!(
            rules,
            "{family} daddr @{family}_any accept\n\
             meta l4proto {{ tcp, udp }} {family} daddr . th dport @{family}_port accept\n"
        );
    }
    if names {
        let _ = writeln!(rules, "meta mark {MARK} meta l4proto {{ tcp, udp }} th dport 53 accept");
    }
    for Block { address, bits, port } in &egress.networks {
        let family = if address.is_ipv4() { "ip" } else { "ip6" };
        let port = port.map(|port| format!(" meta l4proto {{ tcp, udp }} th dport {port}")).unwrap_or_default();
        let _ = writeln!(rules, "{family} daddr {address}/{bits}{port} accept");
    }
    format!(
        "table inet rl {{\n{sets}\
         chain output {{\ntype filter hook output priority 0; policy drop;\n\
         oif lo accept\n\
         ct state established,related accept\n\
         icmpv6 type {{ nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert }} ip6 hoplimit 255 accept\n\
         {rules}reject with icmpx type admin-prohibited\n}}\n\
         chain forward {{\ntype filter hook forward priority 0; policy drop;\n}}\n}}\n"
    )
}

/// New connections to these may begin for so long. A member that is there already gets the new time: nft leaves the time of what
/// is added again as it was, so it is taken out in between, in the same transaction.
pub(super) fn members(addresses: &[IpAddr], ports: &[Option<u16>], time: Duration) -> String {
    let mut text = String::new();
    for address in addresses {
        let family = if address.is_ipv4() { "ip" } else { "ip6" };
        for port in ports {
            let (set, member) = match port {
                None => ("any", address.to_string()),
                Some(port) => ("port", format!("{address} . {port}")),
            };
            let set = format!("element inet rl {family}_{set}");
            let _ = writeln!(text, "add {set} {{ {member} timeout 1s }}");
            let _ = writeln!(text, "delete {set} {{ {member} }}");
            let _ = writeln!(text, "add {set} {{ {member} timeout {}s }}", time.as_secs());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_let_out_by_default() {
        let table = table(&Egress::default(), false);
        assert!(!table.contains("set ") && !table.contains("mark") && !table.contains("daddr"), "{table}");
        assert_eq!(table.matches("policy drop").count(), 2);
    }

    #[test]
    fn what_is_allowed_has_a_rule() {
        let words = ["allow=a.example:443,10.0.0.0/8:22,[2001:db8::]".to_owned()];
        let table = table(&Egress::parse(&words).expect("words").expect("rules"), true);
        assert!(table.contains("ip daddr 10.0.0.0/8 meta l4proto { tcp, udp } th dport 22 accept\n"), "{table}");
        assert!(table.contains("ip6 daddr 2001:db8::/128 accept\n"), "{table}");
        let added = members(&[[192, 0, 2, 1].into()], &[Some(443)], Duration::from_secs(90));
        assert!(added.ends_with("add element inet rl ip_port { 192.0.2.1 . 443 timeout 90s }\n"), "{added}");
    }
}
