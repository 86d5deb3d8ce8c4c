//! The names of `--egress`: a resolver inside the container's network that knows the allowed ones and no others.
//!
//! Owns what the process `rl: egress` answers. Questions for the addresses of an allowed name are asked again of the network's own
//! resolver; the addresses go into the rules' sets first, then the container hears of them. Every other name does not exist,
//! so that no question carries anything out. The surprise: answers are written anew, with addresses only and without the names in
//! between (CNAME): what is not an address leads nowhere here.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hickory_server::proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_server::proto::rr::{DNSClass, RData, RecordType};
use hickory_server::server::RequestInfo;

use super::{MARK, nft, rules};
use crate::network::dns::{self, Answer, Judge, Listener, Resolvers, Verdict, records};
use crate::spec::egress::Egress;
use crate::spec::network::Guard;

/// What ours may have (RFC 6891), so that little has to be asked over TCP.
const LONGEST_ASKED: u16 = 4096;
/// In which a new connection may begin: the answer's own time, within bounds.
const SHORTEST_TIME: u32 = 60;
const LONGEST_TIME: u32 = 86_400;

struct Names {
    egress: Egress,
    /// Names of containers are asked for as well.
    peers: bool,
    nft: PathBuf,
}

/// Never comes back while its sockets are whole.
pub(super) fn serve(listener: Listener, guard: &Guard, nft: &Path) -> u8 {
    let names = Names { egress: guard.egress.clone(), peers: guard.peers, nft: nft.to_owned() };
    dns::serve(vec![listener], Resolvers { addresses: guard.resolvers.clone(), mark: Some(MARK) }, names)
}

impl Judge for Names {
    fn judge(&mut self, question: &RequestInfo<'_>, _text: &[u8]) -> Verdict {
        let asked = question.query.original();
        let name = dns::name(asked);
        let answer = |code| Verdict::Answer(Answer::new(question.metadata, code));
        let allowed = !self.egress.ports_of(&name).is_empty();
        let may_be_peer = self.peers && !self.egress.networks.is_empty();
        if !(allowed || may_be_peer) || asked.query_class() != DNSClass::IN {
            return answer(ResponseCode::NXDomain);
        }
        if !matches!(asked.query_type(), RecordType::A | RecordType::AAAA) {
            return answer(if allowed { ResponseCode::NoError } else { ResponseCode::NXDomain });
        }
        let Some(id) = dns::unguessable() else { return answer(ResponseCode::ServFail) };
        let mut query = Message::new(u16::from_ne_bytes(id), MessageType::Query, OpCode::Query);
        query.metadata.recursion_desired = allowed;
        query.add_query(asked.clone());
        let mut edns = Edns::new();
        edns.set_max_payload(LONGEST_ASKED);
        query.set_edns(edns);
        query.to_vec().map_or_else(|_| answer(ResponseCode::ServFail), Verdict::Ask)
    }

    fn hear(&mut self, question: &RequestInfo<'_>, answer: Message) -> Option<Answer> {
        let asked = question.query.original();
        let ports = self.egress.ports_of(&dns::name(asked));
        let (addresses, ttl) = self.addresses(&answer, asked.query_type(), !ports.is_empty());
        let code = answer.metadata.response_code;
        if code != ResponseCode::NoError || addresses.is_empty() {
            let code = match code {
                // What is not allowed by its name is not there unless it has an address.
                _ if ports.is_empty() => ResponseCode::NXDomain,
                ResponseCode::NoError | ResponseCode::NXDomain => code,
                _ => ResponseCode::ServFail,
            };
            let mut none = Answer::new(question.metadata, code);
            none.metadata.truncation = answer.metadata.truncation;
            return Some(none);
        }
        // The answer's own time once more, for who has kept it until the last moment.
        let time = Duration::from_secs(u64::from(ttl.clamp(SHORTEST_TIME, LONGEST_TIME)) * 2);
        if !ports.is_empty() {
            nft::load(&self.nft, &rules::members(&addresses, &ports, time)).ok()?;
        }
        let mut found = Answer::new(question.metadata, ResponseCode::NoError);
        // There are more: the client asks again over TCP.
        found.metadata.truncation = answer.metadata.truncation;
        found.records = records(asked.name(), &addresses, ttl.min(LONGEST_TIME));
        Some(found)
    }
}

impl Names {
    /// What a name may lead to, and for how long. A network's own resolver says of an answer that it speaks for the name itself (AA)
    /// where that is a container's.
    fn addresses(&self, answer: &Message, kind: RecordType, allowed: bool) -> (Vec<IpAddr>, u32) {
        let peer = self.peers && answer.metadata.authoritative;
        let mut ttl = u32::MAX;
        let mut all = Vec::new();
        for record in &answer.answers {
            let address = match (&record.data, kind) {
                (RData::A(a), RecordType::A) => IpAddr::V4(a.0),
                (RData::AAAA(aaaa), RecordType::AAAA) => IpAddr::V6(aaaa.0),
                _ => continue,
            };
            ttl = ttl.min(record.ttl);
            let fine = match (allowed, peer) {
                (true, true) => true,
                (true, false) => self.egress.may_be_answered(address),
                (false, true) => self.egress.has_address(address),
                (false, false) => false,
            };
            if fine {
                all.push(address);
            }
        }
        (all, ttl)
    }
}

#[cfg(test)]
mod tests {
    use hickory_server::net::xfer::Protocol;
    use hickory_server::proto::op::Query;
    use hickory_server::proto::rr::Name;
    use hickory_server::server::Request;

    use super::*;

    fn names(words: &str, peers: bool) -> Names {
        let egress = Egress::parse(&[words.to_owned()]).expect("words").expect("rules");
        Names { egress, peers, nft: "/nowhere".into() }
    }

    const RULES: &str = "allow=a.example:443,10.5.0.0/24";

    fn judge(names: &mut Names, name: &str, kind: RecordType) -> Verdict {
        let mut message = Message::new(7, MessageType::Query, OpCode::Query);
        message.add_query(Query::query(Name::from_ascii(name).expect("a name"), kind));
        let text = message.to_vec().expect("bytes");
        let request = Request::from_bytes(text, ([127, 0, 0, 1], 4321).into(), Protocol::Udp).expect("a question");
        names.judge(&request.request_info().expect("one"), request.as_slice())
    }

    fn code(verdict: &Verdict) -> Option<ResponseCode> {
        let Verdict::Answer(answer) = verdict else { return None };
        assert!(answer.records.is_empty() && answer.metadata.id == 7);
        Some(answer.metadata.response_code)
    }

    /// Whether it leaves the network, where it is asked again at all.
    fn goes_on(verdict: &Verdict) -> Option<bool> {
        let Verdict::Ask(query) = verdict else { return None };
        Some(Message::from_vec(query).expect("a question").metadata.recursion_desired)
    }

    #[test]
    fn only_addresses_of_allowed_names_are_asked_for() {
        let names = &mut names(RULES, false);
        assert_eq!(goes_on(&judge(names, "A.example", RecordType::A)), Some(true));
        assert_eq!(code(&judge(names, "a.example", RecordType::TXT)), Some(ResponseCode::NoError));
        assert_eq!(code(&judge(names, "secret.evil.example", RecordType::A)), Some(ResponseCode::NXDomain));
    }

    #[test]
    fn whether_another_name_is_a_containers_is_asked_for_without_leaving_the_network() {
        let with_peers = &mut names(RULES, true);
        assert_eq!(goes_on(&judge(with_peers, "secret.evil.example", RecordType::A)), Some(false));
        assert_eq!(code(&judge(with_peers, "secret.evil.example", RecordType::TXT)), Some(ResponseCode::NXDomain));
        assert_eq!(code(&judge(&mut names("deny", true), "db", RecordType::A)), Some(ResponseCode::NXDomain));
    }

    #[test]
    fn private_addresses_are_not_passed_on_unless_they_are_a_containers() {
        let all: [IpAddr; 4] =
            [[127, 0, 0, 1].into(), [93, 184, 216, 34].into(), [10, 5, 0, 9].into(), [10, 6, 0, 9].into()];
        let heard = |peers: bool, authoritative: bool, allowed: bool| {
            let mut answer = Message::response(7, OpCode::Query);
            answer.metadata.authoritative = authoritative;
            answer.answers = records(&Name::from_ascii("a.example.").expect("a name"), &all, 5);
            names(RULES, peers).addresses(&answer, RecordType::A, allowed).0
        };
        // Whoever is not the network's own resolver may say that it speaks for the name as often as it likes.
        assert_eq!(heard(false, true, true), [all[1], all[2]]);
        assert_eq!(heard(true, false, true), [all[1], all[2]]);
        assert_eq!(heard(true, true, true), all);
        assert_eq!(heard(true, true, false), [all[2]]);
        assert!(heard(true, false, false).is_empty());
    }
}
