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
    nft: &'a Path,
}

/// Never comes back while its socket is whole.
pub(super) fn serve(socket: UdpSocket, guard: &Guard, nft: &Path) -> u8 {
    let mut names = Names { egress: &guard.egress, nft };
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
        if self.egress.ports_of(&name).is_empty() || question.qclass != QCLASS::CLASS(CLASS::IN) {
            return answer(RCODE::NameError);
        }
        if !matches!(question.qtype, QTYPE::TYPE(TYPE::A | TYPE::AAAA)) {
            return answer(RCODE::NoError);
        }
        let Some(id) = dns::unguessable() else { return answer(RCODE::ServerFailure) };
        let mut query = Packet::new_query(u16::from_ne_bytes(id));
        query.set_flags(PacketFlag::RECURSION_DESIRED);
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
        let (addresses, ttl) = self.addresses(&answer, answer.questions.first()?.qtype);
        if answer.rcode() != RCODE::NoError || addresses.is_empty() {
            let code = match answer.rcode() {
                code @ (RCODE::NoError | RCODE::NameError) => code,
                _ => RCODE::ServerFailure,
            };
            return refusal(&asked.question, code);
        }
        // The answer's own time once more, for who has kept it until the last moment.
        let time = Duration::from_secs(u64::from(ttl.clamp(SHORTEST_TIME, LONGEST_TIME)) * 2);
        nft::load(self.nft, &rules::members(&addresses, &self.egress.ports_of(&asked.name), time)).ok()?;
        let records = records(&question.questions.first()?.qname, &addresses, ttl.min(LONGEST_TIME));
        reply(&question, RCODE::NoError, PacketFlag::empty(), records)
    }
}

impl Names<'_> {
    /// What a name may lead to, and for how long.
    fn addresses(&self, answer: &Packet<'_>, kind: QTYPE) -> (Vec<IpAddr>, u32) {
        let mut ttl = u32::MAX;
        let mut all = Vec::new();
        for record in &answer.answers {
            let address = match (&record.rdata, kind) {
                (RData::A(a), QTYPE::TYPE(TYPE::A)) => IpAddr::from(a.address.to_be_bytes()),
                (RData::AAAA(aaaa), QTYPE::TYPE(TYPE::AAAA)) => Ipv6Addr::from_bits(aaaa.address).into(),
                _ => continue,
            };
            ttl = ttl.min(record.ttl);
            if self.egress.may_be_answered(address) {
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
        Egress::parse(&["allow=a.example:443".to_owned()]).expect("words").expect("rules")
    }

    fn question(name: &str, kind: TYPE) -> Vec<u8> {
        let mut packet = Packet::new_query(7);
        let name = simple_dns::Name::new(name).expect("a name");
        packet.questions.push(Question::new(name, QTYPE::TYPE(kind), QCLASS::CLASS(CLASS::IN), false));
        packet.build_bytes_vec().expect("bytes")
    }

    fn judge(text: &[u8], egress: &Egress) -> Verdict {
        Names { egress, nft: Path::new("/nowhere") }.judge([127, 0, 0, 1].into(), text)
    }

    fn code(verdict: Verdict) -> Option<RCODE> {
        let Verdict::Answer(text) = verdict else { return None };
        let packet = Packet::parse(&text).expect("an answer");
        assert!(packet.answers.is_empty() && packet.id() == 7);
        Some(packet.rcode())
    }

    #[test]
    fn only_addresses_of_allowed_names_are_asked_for() {
        assert!(matches!(judge(&question("A.example", TYPE::A), &egress()), Verdict::Ask(_)));
        assert_eq!(code(judge(&question("a.example", TYPE::TXT), &egress())), Some(RCODE::NoError));
        assert_eq!(code(judge(&question("secret.evil.example", TYPE::A), &egress())), Some(RCODE::NameError));
        assert!(matches!(judge(b"nonsense", &egress()), Verdict::Drop));
    }

    #[test]
    fn private_addresses_are_not_passed_on() {
        let (egress, asked) = (egress(), question("a.example", TYPE::A));
        let asked = Packet::parse(&asked).expect("ours");
        let all: [IpAddr; 2] = [[127, 0, 0, 1].into(), [93, 184, 216, 34].into()];
        let records = records(&asked.questions[0].qname, &all, 5);
        let text = reply(&asked, RCODE::NoError, PacketFlag::empty(), records).expect("an answer");
        let names = Names { egress: &egress, nft: Path::new("/nowhere") };
        let heard = names.addresses(&Packet::parse(&text).expect("an answer"), QTYPE::TYPE(TYPE::A));
        assert_eq!(heard, (vec![all[1]], 5));
    }
}
