//! The names of a network: who is found by whom.
//!
//! Owns what the process `rl: names` answers, and where it knows it from: the lists that every network's holder writes of who is in it
//! (`RUN/networks/NAME/leases.json`). A container is told of the containers of this network and of all others that itself is in; names
//! that are nobody's are asked for outside. The surprise: nobody tells this process of a change. It looks at the lists with each
//! question, so that a name is known from the moment on at which its container has joined, and no join is in anybody's way.

use std::collections::HashMap;
use std::fs::File;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use simple_dns::rdata::{PTR, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, RCODE, ResourceRecord, TYPE};

use super::{Lease, Leases, VERSION, list};
use crate::network::dns::{self, Asked, Judge, Verdict, records, refusal, reply};
use crate::state;

/// A container may have another address a moment later.
const TTL: u32 = 0;
/// podman's domain of all containers.
const DOMAIN: &str = ".dns.podman";
/// A flag of the second byte behind the id: the server speaks for the name itself.
const AUTHORITATIVE: u8 = 0x04;

pub(super) struct Names {
    /// `RUN`.
    run: PathBuf,
    network: String,
    /// Somebody can be asked for other names.
    way_out: bool,
    seen: HashMap<String, Seen>,
}

/// A list as it was read. Its file is kept open, so that no other has its number.
struct Seen {
    _file: File,
    inode: u64,
    list: Leases,
}

impl Names {
    pub(super) fn new(run: &Path, network: &str, way_out: bool) -> Self {
        Self { run: run.to_owned(), network: network.to_owned(), way_out, seen: HashMap::new() }
    }

    /// The lists as they are now. They are replaced and never changed, so the same file has the same content.
    fn look(&mut self) {
        let entries = std::fs::read_dir(self.run.join("networks")).into_iter().flatten().flatten();
        let names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        self.seen.retain(|name, _| names.contains(name));
        for name in names {
            let path = list(&self.run, &name);
            let Ok(inode) = std::fs::metadata(&path).map(|meta| meta.ino()) else {
                self.seen.remove(&name);
                continue;
            };
            if self.seen.get(&name).is_some_and(|seen| seen.inode == inode) {
                continue;
            }
            let Ok(file) = File::open(&path) else { continue };
            if let (Ok(meta), Ok(Some(list))) = (file.metadata(), state::read_versioned(&path, VERSION)) {
                self.seen.insert(name, Seen { _file: file, inode: meta.ino(), list });
            }
        }
    }

    /// This network's list, and those of the others that the container with this address is in.
    fn shown_to(&self, client: IpAddr) -> Vec<&Leases> {
        let own = self.seen.get(&self.network).map(|seen| &seen.list);
        let asking = own.and_then(|list| list.leases.iter().find(|lease| lease.has(client)));
        let others = self.seen.iter().filter(|(name, _)| **name != self.network).map(|(_, seen)| &seen.list);
        let is_in = |list: &&Leases| {
            let same = |lease: &Lease| asking.is_some_and(|asking| asking.id == lease.id) && lease.is_alive();
            list.dns && list.leases.iter().any(same)
        };
        own.into_iter().chain(others.filter(is_in)).collect()
    }
}

impl Lease {
    fn has(&self, address: IpAddr) -> bool {
        self.ip == address || self.ip6 == Some(address)
    }
}

impl Judge for Names {
    fn judge(&mut self, client: IpAddr, text: &[u8]) -> Verdict {
        let Ok(packet) = Packet::parse(text) else { return Verdict::Drop };
        let [question] = packet.questions.as_slice() else { return Verdict::Drop };
        if packet.has_flags(PacketFlag::RESPONSE) {
            return Verdict::Drop;
        }
        self.look();
        let shown = self.shown_to(client);
        let answer = |code, flags, records| reply(&packet, code, flags, records).map_or(Verdict::Drop, Verdict::Answer);
        let asked = dns::name(&question.qname);
        if question.qclass == QCLASS::CLASS(CLASS::IN)
            && let Some(records) = known(&shown, &asked, &question.qname, question.qtype)
        {
            return answer(RCODE::NoError, PacketFlag::AUTHORITATIVE_ANSWER, records);
        }
        let code = if !asked.contains('.') || asked.ends_with(DOMAIN) {
            RCODE::NameError
        } else if !packet.has_flags(PacketFlag::RECURSION_DESIRED) {
            RCODE::Refused
        } else if self.way_out {
            return outside(text, asked);
        } else if shown.len() > 1 {
            // A resolver of its other networks may know whom to ask, and is asked next.
            RCODE::Refused
        } else {
            RCODE::NameError
        };
        answer(code, PacketFlag::empty(), Vec::new())
    }

    fn hear(&mut self, asked: &Asked, answer: &[u8]) -> Option<Vec<u8>> {
        let mut answer = answer.to_vec();
        answer.get_mut(..2)?.copy_from_slice(asked.question.get(..2)?);
        // That is only said of what this process knows itself.
        *answer.get_mut(2)? &= !AUTHORITATIVE;
        Some(answer)
    }
}

/// The question goes on as it is, but for its id.
fn outside(text: &[u8], name: String) -> Verdict {
    let mut query = text.to_vec();
    match (dns::unguessable(), query.get_mut(..2)) {
        (Some(id), Some(place)) => {
            place.copy_from_slice(&id);
            Verdict::Ask(Asked { question: text.to_vec(), query, name })
        }
        _ => refusal(text, RCODE::ServerFailure).map_or(Verdict::Drop, Verdict::Answer),
    }
}

/// What these lists say to a question; None: they do not know the name.
fn known<'a>(shown: &[&Leases], asked: &str, name: &Name<'a>, kind: QTYPE) -> Option<Vec<ResourceRecord<'a>>> {
    let all = || shown.iter().flat_map(|list| &list.leases);
    if let Some(address) = reversed(asked) {
        let found = all().find(|lease| lease.has(address))?;
        let record = |own: &String| {
            let own = Name::new(own).ok()?.into_owned();
            Some(ResourceRecord::new(name.clone(), CLASS::IN, TTL, RData::PTR(PTR(own))))
        };
        return Some(found.names.iter().filter(|_| kind == QTYPE::TYPE(TYPE::PTR)).filter_map(record).collect());
    }
    let asked = asked.strip_suffix(DOMAIN).unwrap_or(asked);
    // One that has just ended may be in the list for a moment longer.
    let is_it = |lease: &&Lease| lease.names.iter().any(|own| own.eq_ignore_ascii_case(asked)) && lease.is_alive();
    let found: Vec<&Lease> = all().filter(is_it).collect();
    if found.is_empty() {
        return None;
    }
    let addresses: Vec<IpAddr> = match kind {
        QTYPE::TYPE(TYPE::A) => found.iter().map(|lease| lease.ip).collect(),
        QTYPE::TYPE(TYPE::AAAA) => found.iter().filter_map(|lease| lease.ip6).collect(),
        _ => Vec::new(),
    };
    Some(records(name, &addresses, TTL))
}

/// The address of a name in in-addr.arpa or ip6.arpa.
fn reversed(name: &str) -> Option<IpAddr> {
    if let Some(numbers) = name.strip_suffix(".in-addr.arpa") {
        let numbers: Vec<&str> = numbers.rsplit('.').collect();
        return numbers.join(".").parse::<std::net::Ipv4Addr>().ok().map(IpAddr::V4);
    }
    let digits: Vec<&str> = name.strip_suffix(".ip6.arpa")?.rsplit('.').collect();
    let single = digits.len() == 32 && digits.iter().all(|digit| digit.len() == 1);
    let bits = single.then(|| u128::from_str_radix(&digits.concat(), 16).ok()).flatten()?;
    Some(IpAddr::V6(std::net::Ipv6Addr::from_bits(bits)))
}

#[cfg(test)]
#[path = "names/tests.rs"]
mod tests;
