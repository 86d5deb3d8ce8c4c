//! The names of `--egress`: a resolver inside the container's network that knows the allowed ones and no others.
//!
//! Owns what the process `rl: egress` answers. Questions for the addresses of an allowed name are asked again of the network's own
//! resolver; the addresses go into the rules' sets first, then the container hears of them. Every other name does not exist,
//! so that no question carries anything out. The surprise: answers are written anew, with addresses only and without the names in
//! between (CNAME): what is not an address leads nowhere here.

use std::net::{IpAddr, Ipv6Addr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};

use super::{MARK, nft, rules};
use crate::network::dns::{self, Asked, Judge, Resolvers, Verdict, records, refusal, reply};
use crate::spec::egress::Egress;
use crate::spec::network::Guard;

/// What ours may have (RFC 6891), so that nothing has to be asked over TCP.
const LONGEST_ASKED: u16 = 4096;
/// In which a new connection may begin: the answer's own time, within bounds.
const SHORTEST_TIME: u32 = 60;
const LONGEST_TIME: u32 = 86_400;

struct Names<'a> {
    egress: &'a Egress,
    /// Names of containers are asked for as well.
    peers: bool,
    nft: &'a Path,
}

/// Never comes back while its socket is whole.
pub(super) fn serve(socket: UdpSocket, guard: &Guard, nft: &Path) -> u8 {
    let mut names = Names { egress: &guard.egress, peers: guard.peers, nft };
    let resolvers = Resolvers { addresses: &guard.resolvers, mark: Some(MARK) };
    dns::serve(&[socket], &resolvers, &mut names)
}

impl Judge for Names<'_> {
    fn judge(&mut self, _client: IpAddr, text: &[u8]) -> Verdict {
        let Ok(packet) = Packet::parse(text) else { return Verdict::Drop };
        let [question] = packet.questions.as_slice() else { return Verdict::Drop };
        if packet.has_flags(PacketFlag::RESPONSE) {
            return Verdict::Drop;
        }
        let name = dns::name(&question.qname);
        let answer =
            |code| reply(&packet, code, PacketFlag::empty(), Vec::new()).map_or(Verdict::Drop, Verdict::Answer);
        let allowed = !self.egress.ports_of(&name).is_empty();
        let may_be_peer = self.peers && !self.egress.networks.is_empty();
        if !(allowed || may_be_peer) || question.qclass != QCLASS::CLASS(CLASS::IN) {
            return answer(RCODE::NameError);
        }
        if !matches!(question.qtype, QTYPE::TYPE(TYPE::A | TYPE::AAAA)) {
            return answer(if allowed { RCODE::NoError } else { RCODE::NameError });
        }
        let Some(id) = dns::unguessable() else { return answer(RCODE::ServerFailure) };
        let mut query = Packet::new_query(u16::from_ne_bytes(id));
        if allowed {
            query.set_flags(PacketFlag::RECURSION_DESIRED);
        }
        let own = Question::new(question.qname.clone(), question.qtype, question.qclass, false);
        query.questions.push(own);
        *query.opt_mut() =
            Some(simple_dns::rdata::OPT { opt_codes: Vec::new(), udp_packet_size: LONGEST_ASKED, version: 0 });
        match query.build_bytes_vec() {
            Ok(query) => Verdict::Ask(Asked { question: text.to_vec(), query, name }),
            Err(_) => answer(RCODE::ServerFailure),
        }
    }

    fn hear(&mut self, asked: &Asked, answer: &[u8]) -> Option<Vec<u8>> {
        let answer = Packet::parse(answer).ok()?;
        let question = Packet::parse(&asked.question).ok()?;
        let ports = self.egress.ports_of(&asked.name);
        let (addresses, ttl) = self.addresses(&answer, answer.questions.first()?.qtype, !ports.is_empty());
        if answer.rcode() != RCODE::NoError || addresses.is_empty() {
            let code = match answer.rcode() {
                // What is not allowed by its name is not there unless it has an address.
                _ if ports.is_empty() => RCODE::NameError,
                code @ (RCODE::NoError | RCODE::NameError) => code,
                _ => RCODE::ServerFailure,
            };
            return refusal(&asked.question, code);
        }
        // The answer's own time once more, for who has kept it until the last moment.
        let time = Duration::from_secs(u64::from(ttl.clamp(SHORTEST_TIME, LONGEST_TIME)) * 2);
        if !ports.is_empty() {
            nft::load(self.nft, &rules::members(&addresses, &ports, time)).ok()?;
        }
        let records = records(&question.questions.first()?.qname, &addresses, ttl.min(LONGEST_TIME));
        reply(&question, RCODE::NoError, PacketFlag::empty(), records)
    }
}

impl Names<'_> {
    /// What a name may lead to, and for how long. A network's own resolver says of an answer that it speaks for the name itself (AA)
    /// where that is a container's.
    fn addresses(&self, answer: &Packet<'_>, kind: QTYPE, allowed: bool) -> (Vec<IpAddr>, u32) {
        let peer = self.peers && answer.has_flags(PacketFlag::AUTHORITATIVE_ANSWER);
        let mut ttl = u32::MAX;
        let mut all = Vec::new();
        for record in &answer.answers {
            let address = match (&record.rdata, kind) {
                (RData::A(a), QTYPE::TYPE(TYPE::A)) => IpAddr::from(a.address.to_be_bytes()),
                (RData::AAAA(aaaa), QTYPE::TYPE(TYPE::AAAA)) => Ipv6Addr::from_bits(aaaa.address).into(),
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
    use super::*;

    fn egress() -> Egress {
        Egress::parse(&["allow=a.example:443,10.5.0.0/24".to_owned()]).expect("words").expect("rules")
    }

    fn question(name: &str, kind: TYPE) -> Vec<u8> {
        let mut packet = Packet::new_query(7);
        let name = simple_dns::Name::new(name).expect("a name");
        packet.questions.push(Question::new(name, QTYPE::TYPE(kind), QCLASS::CLASS(CLASS::IN), false));
        packet.build_bytes_vec().expect("bytes")
    }

    fn judge(egress: &Egress, peers: bool, name: &str, kind: TYPE) -> Verdict {
        let mut names = Names { egress, peers, nft: Path::new("/nowhere") };
        names.judge([127, 0, 0, 1].into(), &question(name, kind))
    }

    fn code(verdict: &Verdict) -> Option<RCODE> {
        let Verdict::Answer(text) = verdict else { return None };
        let packet = Packet::parse(text).expect("an answer");
        assert!(packet.answers.is_empty() && packet.id() == 7);
        Some(packet.rcode())
    }

    /// Whether it leaves the network, where it is asked again at all.
    fn goes_on(verdict: &Verdict) -> Option<bool> {
        let Verdict::Ask(asked) = verdict else { return None };
        Some(Packet::parse(&asked.query).expect("a question").has_flags(PacketFlag::RECURSION_DESIRED))
    }

    #[test]
    fn only_addresses_of_allowed_names_are_asked_for() {
        let egress = egress();
        assert_eq!(goes_on(&judge(&egress, false, "A.example", TYPE::A)), Some(true));
        assert_eq!(code(&judge(&egress, false, "a.example", TYPE::TXT)), Some(RCODE::NoError));
        assert_eq!(code(&judge(&egress, false, "secret.evil.example", TYPE::A)), Some(RCODE::NameError));
        let mut names = Names { egress: &egress, peers: false, nft: Path::new("/nowhere") };
        assert!(matches!(names.judge([127, 0, 0, 1].into(), b"nonsense"), Verdict::Drop));
    }

    #[test]
    fn whether_another_name_is_a_containers_is_asked_for_without_leaving_the_network() {
        let egress = egress();
        assert_eq!(goes_on(&judge(&egress, true, "secret.evil.example", TYPE::A)), Some(false));
        assert_eq!(code(&judge(&egress, true, "secret.evil.example", TYPE::TXT)), Some(RCODE::NameError));
        assert_eq!(code(&judge(&Egress::default(), true, "db", TYPE::A)), Some(RCODE::NameError));
    }

    #[test]
    fn private_addresses_are_not_passed_on_unless_they_are_a_containers() {
        let (egress, asked) = (egress(), question("a.example", TYPE::A));
        let asked = Packet::parse(&asked).expect("ours");
        let all: [IpAddr; 4] =
            [[127, 0, 0, 1].into(), [93, 184, 216, 34].into(), [10, 5, 0, 9].into(), [10, 6, 0, 9].into()];
        let heard = |peers: bool, authority: PacketFlag, allowed: bool| {
            let records = records(&asked.questions[0].qname, &all, 5);
            let text = reply(&asked, RCODE::NoError, authority, records).expect("an answer");
            let names = Names { egress: &egress, peers, nft: Path::new("/nowhere") };
            names.addresses(&Packet::parse(&text).expect("an answer"), QTYPE::TYPE(TYPE::A), allowed).0
        };
        let (own, none) = (PacketFlag::AUTHORITATIVE_ANSWER, PacketFlag::empty());
        // Whoever is not the network's own resolver may say that it speaks for the name as often as it likes.
        assert_eq!(heard(false, own, true), [all[1], all[2]]);
        assert_eq!(heard(true, none, true), [all[1], all[2]]);
        assert_eq!(heard(true, own, true), all);
        assert_eq!(heard(true, own, false), [all[2]]);
        assert!(heard(true, none, false).is_empty());
    }
}
