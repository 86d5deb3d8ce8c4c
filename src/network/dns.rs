//! The DNS server of the processes that serve names: `rl: egress` for one container and `rl: names` for a network by name.
//!
//! Owns what both have in common: hickory's server at their sockets, and asking the resolvers; what may be asked and what is answered is
//! theirs ([`Judge`]). Messages, EDNS and truncation are hickory's affair; how many connections there may be is ours (`connections`).
//! The surprise: each question that is asked again has a socket of its own, so that a forged answer has to guess its port as well as
//! its id.

mod connections;

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::net::xfer::Protocol;
use hickory_server::proto::op::{Edns, Header, HeaderCounts, Message, Metadata, OpCode, Query, ResponseCode};
use hickory_server::proto::rr::rdata::{A, AAAA};
use hickory_server::proto::rr::{Name, RData, Record};
use hickory_server::server::{Request, RequestHandler, RequestInfo, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::timeout;

use crate::sys::process;

/// The resolver's libraries ask again after five seconds.
const PATIENCE: Duration = Duration::from_millis(1500);
const TRIES: usize = 3;
/// Questions that wait for an answer, at most: of all clients, and of one. More are its own loss.
const WAITING: usize = 512;
const WAITING_OF_ONE: usize = 256;
/// Of a message (RFC 1035).
const HEADER: usize = 12;
/// What a client without EDNS can take over UDP (RFC 1035), and what we have room for from a resolver.
const SHORTEST: u16 = 512;
const LONGEST: u16 = 4096;

/// What becomes of a question.
pub(super) enum Verdict {
    /// This is the answer.
    Answer(Answer),
    /// The resolvers are asked this.
    Ask(Vec<u8>),
}

/// What a client is told.
pub(super) struct Answer {
    /// The code and the flags.
    pub metadata: Metadata,
    /// What was asked for.
    pub records: Vec<Record>,
    authorities: Vec<Record>,
    additionals: Vec<Record>,
}

impl Answer {
    /// Nothing but a code.
    pub(super) fn new(question: &Metadata, code: ResponseCode) -> Self {
        let mut metadata = Metadata::response_from_request(question);
        metadata.recursion_available = true;
        metadata.response_code = code;
        Self { metadata, records: Vec::new(), authorities: Vec::new(), additionals: Vec::new() }
    }

    /// A resolver's, as it is.
    pub(super) fn passed_on(question: &Metadata, answer: Message) -> Self {
        let mut metadata = answer.metadata;
        metadata.id = question.id;
        let Message { answers: records, authorities, additionals, .. } = answer;
        Self { metadata, records, authorities, additionals }
    }
}

/// Who knows what is answered.
pub(super) trait Judge: Send + Unpin + 'static {
    /// What becomes of a client's question, which is also given as it has come.
    fn judge(&mut self, question: &RequestInfo<'_>, text: &[u8]) -> Verdict;
    /// What the client hears of a resolver's answer to its question.
    fn hear(&mut self, question: &RequestInfo<'_>, answer: Message) -> Option<Answer>;
}

/// Whom to ask, and what marks the packets with which that is done (SO_MARK).
pub(super) struct Resolvers {
    pub addresses: Vec<IpAddr>,
    pub mark: Option<u32>,
}

/// Where it is listened, over UDP and over TCP.
pub(super) struct Listener {
    udp: UdpSocket,
    tcp: TcpListener,
}

impl Listener {
    pub(super) fn bind(address: SocketAddr) -> std::io::Result<Self> {
        let udp = UdpSocket::bind(address)?;
        let tcp = TcpListener::bind(udp.local_addr()?)?;
        udp.set_nonblocking(true)?;
        tcp.set_nonblocking(true)?;
        Ok(Self { udp, tcp })
    }
}

/// Never comes back while its sockets are whole.
pub(super) fn serve(listeners: Vec<Listener>, resolvers: Resolvers, judge: impl Judge) -> u8 {
    // For those who wait for an answer, and for all connections. Where there are none to be had it does with what there is.
    let _ = process::open_many_files();
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build() else { return 1 };
    let _ = runtime.block_on(async {
        let answering = Arc::new(Answering { judge: Mutex::new(judge), resolvers, waiting: Mutex::default() });
        let mut server = Server::new(Handler(answering.clone()));
        let mut connecting = Vec::new();
        for Listener { udp, tcp } in listeners {
            server.register_socket(tokio::net::UdpSocket::from_std(udp)?);
            connecting.push(tokio::net::TcpListener::from_std(tcp)?);
        }
        tokio::select! {
            done = server.block_until_done() => done.map_err(std::io::Error::other),
            () = connections::serve(connecting, Arc::new(Handler(answering))) => Ok(()),
        }
    });
    1
}

struct Answering<J> {
    judge: Mutex<J>,
    resolvers: Resolvers,
    /// Whose questions wait for a resolver.
    waiting: Mutex<Vec<IpAddr>>,
}

/// Of those who ask over UDP, and of those over TCP.
struct Handler<J>(Arc<Answering<J>>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait::async_trait]
impl<J: Judge> RequestHandler for Handler<J> {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut client: R) -> ResponseInfo {
        let Some(answer) = self.0.answer(request).await else {
            return told(Answer::new(&request.metadata, ResponseCode::ServFail).metadata);
        };
        let edns = request.edns.as_ref().map(|asked| {
            let mut edns = Edns::new();
            edns.set_max_payload(asked.max_payload().clamp(SHORTEST, LONGEST)).set_version(0);
            edns.set_dnssec_ok(asked.flags().dnssec_ok);
            edns
        });
        let Answer { metadata, records, authorities, additionals } = &answer;
        let builder = MessageResponseBuilder::new(&request.queries, edns.as_ref());
        let response = builder.build(*metadata, records, authorities, &[], additionals);
        client.send_response(response).await.unwrap_or_else(|_| told(*metadata))
    }
}

/// What hickory wants to know for its own records, of which we keep none.
fn told(metadata: Metadata) -> ResponseInfo {
    Header { metadata, counts: HeaderCounts::default() }.into()
}

impl<J: Judge> Answering<J> {
    /// None: it has asked too much.
    async fn answer(&self, request: &Request) -> Option<Answer> {
        let only = |code| Some(Answer::new(&request.metadata, code));
        let Ok(question) = request.request_info() else { return only(ResponseCode::FormErr) };
        if request.version() > 0 {
            return only(ResponseCode::BADVERS);
        }
        if request.metadata.op_code != OpCode::Query {
            return only(ResponseCode::NotImp);
        }
        let query = match lock(&self.judge).judge(&question, request.as_slice()) {
            Verdict::Answer(answer) => return Some(answer),
            Verdict::Ask(query) => query,
        };
        let _waiting = Waiting::begin(&self.waiting, question.src.ip())?;
        let said = self.resolvers.ask(&query, question.protocol).await;
        let said = said.and_then(|said| Message::from_vec(&said).ok());
        let heard = said.and_then(|said| lock(&self.judge).hear(&question, said));
        heard.or_else(|| only(ResponseCode::ServFail))
    }
}

/// A place among those who wait, until this is dropped.
struct Waiting<'a>(&'a Mutex<Vec<IpAddr>>, IpAddr);

impl<'a> Waiting<'a> {
    fn begin(all: &'a Mutex<Vec<IpAddr>>, client: IpAddr) -> Option<Self> {
        let mut waiting = lock(all);
        let of_it = waiting.iter().filter(|one| **one == client).count();
        if waiting.len() >= WAITING || of_it >= WAITING_OF_ONE {
            return None;
        }
        waiting.push(client);
        Some(Self(all, client))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = lock(self.0);
        if let Some(at) = waiting.iter().position(|one| *one == self.1) {
            waiting.swap_remove(at);
        }
    }
}

impl Resolvers {
    /// The first answer to this very question. Who has asked over TCP wants all of it: one that was cut is asked for over TCP as well.
    async fn ask(&self, query: &[u8], protocol: Protocol) -> Option<Vec<u8>> {
        for resolver in self.addresses.iter().cycle().take(TRIES) {
            let to = SocketAddr::new(*resolver, 53);
            // Refused, or silent: the next one's turn.
            let Ok(Ok(answer)) = timeout(PATIENCE, self.over_udp(to, query)).await else { continue };
            let is_cut = answer.get(2).is_some_and(|flags| flags & 0x02 != 0);
            if is_cut && protocol == Protocol::Tcp {
                let all = timeout(PATIENCE, self.over_tcp(to, query)).await;
                return Some(all.ok().and_then(Result::ok).unwrap_or(answer));
            }
            return Some(answer);
        }
        None
    }

    async fn over_udp(&self, to: SocketAddr, query: &[u8]) -> std::io::Result<Vec<u8>> {
        let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
        let socket = UdpSocket::bind((any, 0))?;
        if let Some(mark) = &self.mark {
            setsockopt(&socket, sockopt::Mark, mark)?;
        }
        socket.set_nonblocking(true)?;
        let socket = tokio::net::UdpSocket::from_std(socket)?;
        socket.connect(to).await?;
        // A network that is not up yet: asked again when the time is over.
        let _ = socket.send(query).await;
        let mut buffer = vec![0; usize::from(u16::MAX)];
        loop {
            let count = socket.recv(&mut buffer).await?;
            if answers(query, &buffer[..count]) {
                buffer.truncate(count);
                return Ok(buffer);
            }
        }
    }

    async fn over_tcp(&self, to: SocketAddr, query: &[u8]) -> std::io::Result<Vec<u8>> {
        let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(mark) = &self.mark {
            setsockopt(&socket, sockopt::Mark, mark)?;
        }
        let mut stream = socket.connect(to).await?;
        let length = u16::try_from(query.len()).map_err(std::io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes()[..], query].concat()).await?;
        let mut answer = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut answer).await?;
        if answers(query, &answer) { Ok(answer) } else { Err(std::io::ErrorKind::InvalidData.into()) }
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

/// The name that is asked for, in lower case and without the dot at its end.
pub(super) fn name(query: &Query) -> String {
    query.name().to_ascii().trim_end_matches('.').to_ascii_lowercase()
}

/// A number that nobody can guess. None: the system has none.
pub(super) fn unguessable() -> Option<[u8; 2]> {
    let mut bytes = [0; 2];
    getrandom::fill(&mut bytes).is_ok().then_some(bytes)
}

/// Addresses as records of an answer, each for so many seconds.
pub(super) fn records(name: &Name, addresses: &[IpAddr], ttl: u32) -> Vec<Record> {
    let record = |address: &IpAddr| {
        let data = match address {
            IpAddr::V4(v4) => RData::A(A(*v4)),
            IpAddr::V6(v6) => RData::AAAA(AAAA(*v6)),
        };
        Record::from_rdata(name.clone(), ttl, data)
    };
    addresses.iter().map(record).collect()
}

#[cfg(test)]
#[path = "dns/tests.rs"]
mod tests;
