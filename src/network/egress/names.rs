//! The names of `--egress`: a resolver inside the container's network that knows the allowed ones and no others.
//!
//! Owns the loop of the process `rl: egress`. Questions for the addresses of an allowed name are asked again of the network's own
//! resolver; the addresses go into the rules' sets first, then the container hears of them. Every other name does not exist,
//! so that no question carries anything out. The surprise: answers are written anew, with addresses only and without the names in
//! between (CNAME): what is not an address leads nowhere here.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use simple_dns::rdata::{A, AAAA, RData};
use simple_dns::{CLASS, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, ResourceRecord, TYPE};

use super::{MARK, nft, rules};
use crate::spec::egress::Egress;

/// The resolver's libraries ask again after five seconds.
const PATIENCE: Duration = Duration::from_millis(1500);
const TRIES: usize = 3;
/// Questions that wait for an answer, at most; the container's own loss.
const WAITING: usize = 256;
/// What an answer to a question without EDNS may have (RFC 1035), in bytes.
const LONGEST: usize = 512;
/// What ours may have (RFC 6891), so that nothing has to be asked over TCP.
const LONGEST_ASKED: u16 = 4096;
/// In which a new connection may begin: the answer's own time, within bounds.
const SHORTEST_TIME: u32 = 60;
const LONGEST_TIME: u32 = 86_400;

/// A question of the container that was asked again.
struct Waiting {
    client: SocketAddr,
    /// As it came.
    question: Vec<u8>,
    asked: Vec<u8>,
    name: String,
    ours: u16,
    socket: UdpSocket,
    tries: usize,
    deadline: Instant,
}

/// What becomes of a question.
enum Verdict {
    /// It is nobody's to answer.
    Drop,
    Answer(Vec<u8>),
    Ask {
        name: String,
        query: Vec<u8>,
        id: u16,
    },
}

/// Never comes back while its socket is whole.
pub(super) fn serve(socket: &UdpSocket, egress: &Egress, resolvers: &[IpAddr], nft: &Path) -> u8 {
    let mut waiting: Vec<Waiting> = Vec::new();
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let deadline = waiting.iter().map(|one| one.deadline).min();
        let mut polls = vec![PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        polls.extend(waiting.iter().map(|one| PollFd::new(one.socket.as_fd(), PollFlags::POLLIN)));
        let time = deadline.map_or(PollTimeout::NONE, |at| {
            let left = at.saturating_duration_since(Instant::now()).as_millis() + 1;
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut polls, time) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return 1,
        }
        let ready: Vec<bool> = polls.iter().map(|one| one.revents().is_some_and(|events| !events.is_empty())).collect();
        let mut index = 0;
        waiting.retain_mut(|one| {
            index += 1;
            let done = ready[index] && one.hear(&mut buffer, socket, egress, nft);
            !done && (one.deadline > Instant::now() || one.again(resolvers, socket))
        });
        if ready[0]
            && let Ok((count, client)) = socket.recv_from(&mut buffer)
        {
            match judge(&buffer[..count], egress) {
                Verdict::Drop => {}
                Verdict::Answer(text) => drop(socket.send_to(&text, client)),
                Verdict::Ask { name, query, id } if waiting.len() < WAITING => {
                    let question = buffer[..count].to_vec();
                    waiting.extend(Waiting::ask(client, question, (name, query, id), resolvers));
                }
                Verdict::Ask { .. } => {}
            }
        }
    }
}

fn judge(text: &[u8], egress: &Egress) -> Verdict {
    let Ok(packet) = Packet::parse(text) else { return Verdict::Drop };
    let [question] = packet.questions.as_slice() else { return Verdict::Drop };
    if packet.has_flags(PacketFlag::RESPONSE) {
        return Verdict::Drop;
    }
    let name = question.qname.to_string().trim_end_matches('.').to_ascii_lowercase();
    let answer = |code| reply(&packet, code, &[], 0).map_or(Verdict::Drop, Verdict::Answer);
    if egress.ports_of(&name).is_empty() || question.qclass != QCLASS::CLASS(CLASS::IN) {
        return answer(RCODE::NameError);
    }
    if !matches!(question.qtype, QTYPE::TYPE(TYPE::A | TYPE::AAAA)) {
        return answer(RCODE::NoError);
    }
    let mut bytes = [0; 2];
    if getrandom::fill(&mut bytes).is_err() {
        return answer(RCODE::ServerFailure);
    }
    let id = u16::from_ne_bytes(bytes);
    let mut query = Packet::new_query(id);
    query.set_flags(PacketFlag::RECURSION_DESIRED);
    let own = Question::new(question.qname.clone(), question.qtype, question.qclass, false);
    query.questions.push(own);
    *query.opt_mut() =
        Some(simple_dns::rdata::OPT { opt_codes: Vec::new(), udp_packet_size: LONGEST_ASKED, version: 0 });
    match query.build_bytes_vec() {
        Ok(query) => Verdict::Ask { name, query, id },
        Err(_) => answer(RCODE::ServerFailure),
    }
}

/// The same question back, with addresses as far as there is room for them.
fn reply(asked: &Packet<'_>, code: RCODE, addresses: &[IpAddr], ttl: u32) -> Option<Vec<u8>> {
    let mut reply = Packet::new_reply(asked.id());
    reply.set_flags(PacketFlag::RECURSION_AVAILABLE);
    if asked.has_flags(PacketFlag::RECURSION_DESIRED) {
        reply.set_flags(PacketFlag::RECURSION_DESIRED);
    }
    *reply.rcode_mut() = code;
    let question = asked.questions.first()?;
    reply.questions.push(question.clone());
    for address in addresses {
        let data = match address {
            IpAddr::V4(v4) => RData::A(A { address: v4.to_bits() }),
            IpAddr::V6(v6) => RData::AAAA(AAAA { address: v6.to_bits() }),
        };
        reply.answers.push(ResourceRecord::new(question.qname.clone(), CLASS::IN, ttl, data));
    }
    loop {
        let text = reply.build_bytes_vec_compressed().ok()?;
        if text.len() <= LONGEST || reply.answers.pop().is_none() {
            return Some(text);
        }
    }
}

impl Waiting {
    fn ask(
        client: SocketAddr,
        question: Vec<u8>,
        (name, asked, ours): (String, Vec<u8>, u16),
        resolvers: &[IpAddr],
    ) -> Option<Self> {
        let socket = socket_to(*resolvers.first()?, &asked)?;
        let deadline = Instant::now() + PATIENCE;
        Some(Self { client, question, asked, name, ours, socket, tries: 1, deadline })
    }

    /// The next resolver's turn. False: enough of it.
    fn again(&mut self, resolvers: &[IpAddr], listener: &UdpSocket) -> bool {
        let next = (self.tries < TRIES).then(|| resolvers[self.tries % resolvers.len()]);
        match next.and_then(|resolver| socket_to(resolver, &self.asked)) {
            Some(socket) => {
                (self.socket, self.tries) = (socket, self.tries + 1);
                self.deadline = Instant::now() + PATIENCE;
                true
            }
            None => {
                self.tell(listener, RCODE::ServerFailure, &[], 0);
                false
            }
        }
    }

    fn tell(&self, listener: &UdpSocket, code: RCODE, addresses: &[IpAddr], ttl: u32) {
        let text = Packet::parse(&self.question).ok().and_then(|asked| reply(&asked, code, addresses, ttl));
        if let Some(text) = text {
            let _ = listener.send_to(&text, self.client);
        }
    }

    /// An answer has come; false where it is none to this question.
    fn hear(&mut self, buffer: &mut [u8], listener: &UdpSocket, egress: &Egress, nft: &Path) -> bool {
        let Ok(count) = self.socket.recv(buffer) else {
            // Refused: the next one's turn, now.
            self.deadline = Instant::now();
            return false;
        };
        let Ok(answer) = Packet::parse(&buffer[..count]) else { return false };
        let [question] = answer.questions.as_slice() else { return false };
        let name = question.qname.to_string().trim_end_matches('.').to_ascii_lowercase();
        if answer.id() != self.ours || name != self.name || !answer.has_flags(PacketFlag::RESPONSE) {
            return false;
        }
        let (addresses, ttl) = addresses(&answer, question.qtype, egress);
        if answer.rcode() != RCODE::NoError || addresses.is_empty() {
            let code = if answer.rcode() == RCODE::NameError { RCODE::NameError } else { RCODE::NoError };
            let failed = !matches!(answer.rcode(), RCODE::NoError | RCODE::NameError);
            self.tell(listener, if failed { RCODE::ServerFailure } else { code }, &[], 0);
            return true;
        }
        // The answer's own time once more, for who has kept it until the last moment.
        let time = Duration::from_secs(u64::from(ttl.clamp(SHORTEST_TIME, LONGEST_TIME)) * 2);
        match nft::load(nft, &rules::members(&addresses, &egress.ports_of(&self.name), time)) {
            Ok(()) => self.tell(listener, RCODE::NoError, &addresses, ttl.min(LONGEST_TIME)),
            Err(_) => self.tell(listener, RCODE::ServerFailure, &[], 0),
        }
        true
    }
}

/// What a name may lead to, and for how long.
fn addresses(answer: &Packet<'_>, kind: QTYPE, egress: &Egress) -> (Vec<IpAddr>, u32) {
    let mut ttl = u32::MAX;
    let mut all = Vec::new();
    for record in &answer.answers {
        let address = match (&record.rdata, kind) {
            (RData::A(a), QTYPE::TYPE(TYPE::A)) => IpAddr::from(a.address.to_be_bytes()),
            (RData::AAAA(aaaa), QTYPE::TYPE(TYPE::AAAA)) => Ipv6Addr::from_bits(aaaa.address).into(),
            _ => continue,
        };
        ttl = ttl.min(record.ttl);
        if egress.may_be_answered(address) {
            all.push(address);
        }
    }
    (all, ttl)
}

/// A socket of its own for each question, so that a forged answer has to guess the port, too.
fn socket_to(resolver: IpAddr, query: &[u8]) -> Option<UdpSocket> {
    let any: IpAddr = if resolver.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    setsockopt(&socket, sockopt::Mark, &MARK).ok()?;
    socket.set_nonblocking(true).ok()?;
    socket.connect((resolver, 53)).ok()?;
    // A network that is not up yet: asked again when the time is over.
    let _ = socket.send(query);
    Some(socket)
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

    fn code(verdict: Verdict) -> Option<RCODE> {
        let Verdict::Answer(text) = verdict else { return None };
        let packet = Packet::parse(&text).expect("an answer");
        assert!(packet.answers.is_empty() && packet.id() == 7);
        Some(packet.rcode())
    }

    #[test]
    fn only_addresses_of_allowed_names_are_asked_for() {
        assert!(matches!(judge(&question("A.example", TYPE::A), &egress()), Verdict::Ask { .. }));
        assert_eq!(code(judge(&question("a.example", TYPE::TXT), &egress())), Some(RCODE::NoError));
        assert_eq!(code(judge(&question("secret.evil.example", TYPE::A), &egress())), Some(RCODE::NameError));
        assert!(matches!(judge(b"nonsense", &egress()), Verdict::Drop));
    }

    #[test]
    fn a_long_answer_is_cut_to_what_fits() {
        let asked = question("a.example", TYPE::A);
        let many: Vec<IpAddr> = (0..200).map(|n| [192, 0, 2, n].into()).collect();
        let text = reply(&Packet::parse(&asked).expect("ours"), RCODE::NoError, &many, 5).expect("an answer");
        let packet = Packet::parse(&text).expect("an answer");
        assert!(text.len() <= LONGEST && packet.answers.len() > 20, "{}", packet.answers.len());
    }

    #[test]
    fn private_addresses_are_not_passed_on() {
        let asked = question("a.example", TYPE::A);
        let all: [IpAddr; 2] = [[127, 0, 0, 1].into(), [93, 184, 216, 34].into()];
        let text = reply(&Packet::parse(&asked).expect("ours"), RCODE::NoError, &all, 5).expect("an answer");
        let answer = Packet::parse(&text).expect("an answer");
        assert_eq!(addresses(&answer, QTYPE::TYPE(TYPE::A), &egress()), (vec![all[1]], 5));
    }
}
