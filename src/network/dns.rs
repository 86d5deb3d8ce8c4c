//! Questions to DNS over UDP, answered or asked again of somebody else.
//!
//! Owns the loop of the two processes that serve names, `rl: egress` for one container and `rl: names` for a network by name, and the
//! few packets that both make; what may be asked and what is answered is theirs ([`Judge`]). The surprise: each question that is asked
//! again has a socket of its own, so that a forged answer has to guess its port as well as its id.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use simple_dns::rdata::{A, AAAA, RData};
use simple_dns::{CLASS, Packet, PacketFlag, RCODE, ResourceRecord};

/// The resolver's libraries ask again after five seconds.
const PATIENCE: Duration = Duration::from_millis(1500);
const TRIES: usize = 3;
/// Questions that wait for an answer, at most: of all clients, and of one. More are its own loss.
const WAITING: usize = 512;
const WAITING_OF_ONE: usize = 256;
/// What an answer to a question without EDNS may have (RFC 1035), in bytes.
const LONGEST: usize = 512;
/// Of a message (RFC 1035).
const HEADER: usize = 12;

/// What becomes of a question.
pub(super) enum Verdict {
    /// It is nobody's to answer.
    Drop,
    /// This is the answer.
    Answer(Vec<u8>),
    /// The resolvers are asked.
    Ask(Asked),
}

/// A question in other words, for a resolver.
pub(super) struct Asked {
    /// As the client has sent it.
    pub question: Vec<u8>,
    /// As the resolver gets it.
    pub query: Vec<u8>,
    /// The name that is asked for, as [`name`] gives it.
    pub name: String,
}

/// Who knows what is answered.
pub(super) trait Judge {
    /// What becomes of a client's question.
    fn judge(&mut self, client: IpAddr, question: &[u8]) -> Verdict;
    /// What the client hears of a resolver's answer to its question.
    fn hear(&mut self, asked: &Asked, answer: &[u8]) -> Option<Vec<u8>>;
}

/// Whom to ask, and what marks the packets with which that is done (SO_MARK).
pub(super) struct Resolvers<'a> {
    pub addresses: &'a [IpAddr],
    pub mark: Option<u32>,
}

/// A question that was asked again.
struct Waiting {
    client: SocketAddr,
    listener: usize,
    asked: Asked,
    socket: UdpSocket,
    tries: usize,
    deadline: Instant,
}

/// Never comes back while its sockets are whole.
pub(super) fn serve(listeners: &[UdpSocket], resolvers: &Resolvers<'_>, judge: &mut impl Judge) -> u8 {
    // What poll(2) has seen may be thrown away for its checksum when it is read.
    if listeners.iter().any(|listener| listener.set_nonblocking(true).is_err()) {
        return 1;
    }
    let mut waiting: Vec<Waiting> = Vec::new();
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let deadline = waiting.iter().map(|one| one.deadline).min();
        let time = deadline.map_or(PollTimeout::NONE, |at| {
            let left = at.saturating_duration_since(Instant::now()).as_millis() + 1;
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        let sockets = listeners.iter().chain(waiting.iter().map(|one| &one.socket));
        let mut polls: Vec<_> = sockets.map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)).collect();
        match poll(&mut polls, time) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return 1,
        }
        let ready: Vec<bool> = polls.iter().map(|one| one.revents().is_some_and(|events| !events.is_empty())).collect();
        let (asking, answered) = ready.split_at(listeners.len());
        let mut answered = answered.iter();
        waiting.retain_mut(|one| {
            let listener = &listeners[one.listener];
            let done = answered.next() == Some(&true) && one.hear(&mut buffer, listener, judge);
            !done && (one.deadline > Instant::now() || one.again(resolvers, listener))
        });
        for index in (0..listeners.len()).filter(|index| asking[*index]) {
            let Ok((count, client)) = listeners[index].recv_from(&mut buffer) else { continue };
            match judge.judge(client.ip(), &buffer[..count]) {
                Verdict::Drop => {}
                Verdict::Answer(text) => drop(listeners[index].send_to(&text, client)),
                Verdict::Ask(asked) => {
                    let of_it = waiting.iter().filter(|one| one.client.ip() == client.ip()).count();
                    if waiting.len() < WAITING && of_it < WAITING_OF_ONE {
                        waiting.extend(Waiting::ask(client, index, asked, resolvers));
                    }
                }
            }
        }
    }
}

impl Waiting {
    fn ask(client: SocketAddr, listener: usize, asked: Asked, resolvers: &Resolvers<'_>) -> Option<Self> {
        let socket = resolvers.socket_to(*resolvers.addresses.first()?, &asked.query)?;
        Some(Self { client, listener, asked, socket, tries: 1, deadline: Instant::now() + PATIENCE })
    }

    /// The next resolver's turn. False: enough of it.
    fn again(&mut self, resolvers: &Resolvers<'_>, listener: &UdpSocket) -> bool {
        let next = (self.tries < TRIES).then(|| resolvers.addresses[self.tries % resolvers.addresses.len()]);
        match next.and_then(|resolver| resolvers.socket_to(resolver, &self.asked.query)) {
            Some(socket) => {
                (self.socket, self.tries) = (socket, self.tries + 1);
                self.deadline = Instant::now() + PATIENCE;
                true
            }
            None => {
                self.tell(listener, refusal(&self.asked.question, RCODE::ServerFailure));
                false
            }
        }
    }

    fn tell(&self, listener: &UdpSocket, text: Option<Vec<u8>>) {
        if let Some(text) = text {
            let _ = listener.send_to(&text, self.client);
        }
    }

    /// Something has come; false where it is no answer to this question.
    fn hear(&mut self, buffer: &mut [u8], listener: &UdpSocket, judge: &mut impl Judge) -> bool {
        let Ok(count) = self.socket.recv(buffer) else {
            // Refused: the next one's turn, now.
            self.deadline = Instant::now();
            return false;
        };
        let answer = &buffer[..count];
        if !answers(&self.asked.query, answer) {
            return false;
        }
        let said = judge.hear(&self.asked, answer);
        self.tell(listener, said.or_else(|| refusal(&self.asked.question, RCODE::ServerFailure)));
        true
    }
}

impl Resolvers<'_> {
    fn socket_to(&self, resolver: IpAddr, query: &[u8]) -> Option<UdpSocket> {
        let any: IpAddr = if resolver.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
        let socket = UdpSocket::bind((any, 0)).ok()?;
        if let Some(mark) = &self.mark {
            setsockopt(&socket, sockopt::Mark, mark).ok()?;
        }
        socket.set_nonblocking(true).ok()?;
        socket.connect((resolver, 53)).ok()?;
        // A network that is not up yet: asked again when the time is over.
        let _ = socket.send(query);
        Some(socket)
    }
}

/// The same id, the same question, and the bit that says that it is no question. Looked at in the bytes, because what else is in there
/// may be of kinds that are not known here.
fn answers(query: &[u8], answer: &[u8]) -> bool {
    let (Some(asked), Some(id)) = (question_of(query), answer.get(..2)) else { return false };
    let is_answer = answer.get(2).is_some_and(|flags| flags & 0x80 != 0);
    id == &query[..2] && is_answer && question_of(answer).is_some_and(|same| same.eq_ignore_ascii_case(asked))
}

/// The one question of a message: name, type and class.
fn question_of(message: &[u8]) -> Option<&[u8]> {
    let mut end = HEADER;
    if message.get(4..6)? != [0, 1] {
        return None;
    }
    loop {
        match *message.get(end)? {
            0 => return message.get(HEADER..end + 5),
            // Nothing is before it that it could point to.
            length if length >= 0x40 => return None,
            length => end += usize::from(length) + 1,
        }
    }
}

/// A name in lower case and without the dot at its end.
pub(super) fn name(name: &simple_dns::Name<'_>) -> String {
    name.to_string().trim_end_matches('.').to_ascii_lowercase()
}

/// A number that nobody can guess. None: the system has none.
pub(super) fn unguessable() -> Option<[u8; 2]> {
    let mut bytes = [0; 2];
    getrandom::fill(&mut bytes).is_ok().then_some(bytes)
}

/// Addresses as records of an answer, each for so many seconds.
pub(super) fn records<'a>(name: &simple_dns::Name<'a>, addresses: &[IpAddr], ttl: u32) -> Vec<ResourceRecord<'a>> {
    let record = |address: &IpAddr| {
        let data = match address {
            IpAddr::V4(v4) => RData::A(A { address: v4.to_bits() }),
            IpAddr::V6(v6) => RData::AAAA(AAAA { address: v6.to_bits() }),
        };
        ResourceRecord::new(name.clone(), CLASS::IN, ttl, data)
    };
    addresses.iter().map(record).collect()
}

/// The same question back, with records as far as there is room for them.
pub(super) fn reply<'a>(
    asked: &Packet<'a>,
    code: RCODE,
    flags: PacketFlag,
    records: Vec<ResourceRecord<'a>>,
) -> Option<Vec<u8>> {
    let mut reply = Packet::new_reply(asked.id());
    reply.set_flags(PacketFlag::RECURSION_AVAILABLE | flags);
    if asked.has_flags(PacketFlag::RECURSION_DESIRED) {
        reply.set_flags(PacketFlag::RECURSION_DESIRED);
    }
    *reply.rcode_mut() = code;
    reply.questions.push(asked.questions.first()?.clone());
    reply.answers = records;
    loop {
        let text = reply.build_bytes_vec_compressed().ok()?;
        if text.len() <= LONGEST || reply.answers.pop().is_none() {
            return Some(text);
        }
    }
}

/// An answer that has nothing but its code.
pub(super) fn refusal(question: &[u8], code: RCODE) -> Option<Vec<u8>> {
    Packet::parse(question).ok().and_then(|asked| reply(&asked, code, PacketFlag::empty(), Vec::new()))
}

#[cfg(test)]
mod tests {
    use simple_dns::{Name, QCLASS, QTYPE, Question, TYPE};

    use super::*;

    fn question(id: u16, name: &str) -> Vec<u8> {
        let mut packet = Packet::new_query(id);
        let name = Name::new(name).expect("a name");
        packet.questions.push(Question::new(name, QTYPE::TYPE(TYPE::A), QCLASS::CLASS(CLASS::IN), false));
        packet.build_bytes_vec().expect("bytes")
    }

    #[test]
    fn a_long_answer_is_cut_to_what_fits() {
        let asked = question(7, "a.example");
        let asked = Packet::parse(&asked).expect("ours");
        let many: Vec<IpAddr> = (0..200).map(|n| [192, 0, 2, n].into()).collect();
        let records = records(&asked.questions[0].qname, &many, 5);
        let text = reply(&asked, RCODE::NoError, PacketFlag::empty(), records).expect("an answer");
        let packet = Packet::parse(&text).expect("an answer");
        assert!(text.len() <= LONGEST && packet.answers.len() > 20, "{}", packet.answers.len());
    }

    #[test]
    fn only_the_answer_to_the_very_question_is_heard() {
        let asked = question(7, "a.example");
        let answer = |question: &[u8]| refusal(question, RCODE::NoError).expect("an answer");
        assert!(answers(&asked, &answer(&asked)) && answers(&asked, &answer(&question(7, "A.Example"))));
        for other in [answer(&question(8, "a.example")), answer(&question(7, "b.example")), asked.clone(), vec![0; 12]]
        {
            assert!(!answers(&asked, &other), "{other:?}");
        }
        let mut cut = answer(&asked);
        while cut.pop().is_some() {
            let _ = answers(&asked, &cut);
        }
    }
}
