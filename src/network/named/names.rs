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

use hickory_server::proto::op::{Message, ResponseCode};
use hickory_server::proto::rr::rdata::PTR;
use hickory_server::proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_server::server::RequestInfo;

use super::{Lease, Leases, VERSION, list};
use crate::network::dns::{self, Answer, Judge, Verdict, records};
use crate::state;

/// A container may have another address a moment later.
const TTL: u32 = 0;
/// podman's domain of all containers.
const DOMAIN: &str = ".dns.podman";

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
    fn judge(&mut self, question: &RequestInfo<'_>, text: &[u8]) -> Verdict {
        self.look();
        let shown = self.shown_to(question.src.ip());
        let query = question.query.original();
        let asked = dns::name(query);
        if query.query_class() == DNSClass::IN
            && let Some(records) = known(&shown, &asked, query.name(), query.query_type())
        {
            let mut answer = Answer::new(question.metadata, ResponseCode::NoError);
            answer.metadata.authoritative = true;
            answer.records = records;
            return Verdict::Answer(answer);
        }
        let code = if !asked.contains('.') || asked.ends_with(DOMAIN) {
            ResponseCode::NXDomain
        } else if !question.metadata.recursion_desired {
            ResponseCode::Refused
        } else if self.way_out {
            match outside(text) {
                Some(query) => return Verdict::Ask(query),
                None => ResponseCode::ServFail,
            }
        } else if shown.len() > 1 {
            // A resolver of its other networks may know whom to ask, and is asked next.
            ResponseCode::Refused
        } else {
            ResponseCode::NXDomain
        };
        Verdict::Answer(Answer::new(question.metadata, code))
    }

    fn hear(&mut self, question: &RequestInfo<'_>, answer: Message) -> Option<Answer> {
        let mut answer = Answer::passed_on(question.metadata, answer);
        // That is only said of what this process knows itself.
        answer.metadata.authoritative = false;
        Some(answer)
    }
}

/// The question goes on as it is, but for its id.
fn outside(text: &[u8]) -> Option<Vec<u8>> {
    let mut query = text.to_vec();
    query.get_mut(..2)?.copy_from_slice(&dns::unguessable()?);
    Some(query)
}

/// What these lists say to a question; None: they do not know the name.
fn known(shown: &[&Leases], asked: &str, name: &Name, kind: RecordType) -> Option<Vec<Record>> {
    let all = || shown.iter().flat_map(|list| &list.leases);
    if let Some(address) = reversed(asked) {
        let found = all().find(|lease| lease.has(address))?;
        let record = |own: &String| {
            let own = Name::from_labels(own.split('.').map(str::as_bytes)).ok()?;
            Some(Record::from_rdata(name.clone(), TTL, RData::PTR(PTR(own))))
        };
        return Some(found.names.iter().filter(|_| kind == RecordType::PTR).filter_map(record).collect());
    }
    let asked = asked.strip_suffix(DOMAIN).unwrap_or(asked);
    // One that has just ended may be in the list for a moment longer.
    let is_it = |lease: &&Lease| lease.names.iter().any(|own| own.eq_ignore_ascii_case(asked)) && lease.is_alive();
    let found: Vec<&Lease> = all().filter(is_it).collect();
    if found.is_empty() {
        return None;
    }
    let addresses: Vec<IpAddr> = match kind {
        RecordType::A => found.iter().map(|lease| lease.ip).collect(),
        RecordType::AAAA => found.iter().filter_map(|lease| lease.ip6).collect(),
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
