//! The server as its clients see it, over loopback, and whose answers are heard.

use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::os::fd::AsRawFd;

use hickory_server::proto::op::MessageType;
use hickory_server::proto::rr::RecordType;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};

use super::*;

/// Every name has these many addresses.
struct Many(u8);

impl Judge for Many {
    fn judge(&mut self, question: &RequestInfo<'_>, _text: &[u8]) -> Verdict {
        let mut answer = Answer::new(question.metadata, ResponseCode::NoError);
        let all: Vec<IpAddr> = (0..self.0).map(|n| [192, 0, 2, n].into()).collect();
        answer.records = records(question.query.original().name(), &all, 5);
        Verdict::Answer(answer)
    }

    fn hear(&mut self, _question: &RequestInfo<'_>, _answer: Message) -> Option<Answer> {
        None
    }
}

/// Its address; it ends with the tests.
fn server(many: u8) -> SocketAddr {
    // The kernel chooses one that UDP has free; somebody's TCP connection may have it.
    let bind = |_| Listener::bind(([127, 0, 0, 1], 0).into()).ok();
    let listener = (0..100).find_map(bind).expect("a port");
    let address = listener.udp.local_addr().expect("its address");
    std::thread::spawn(move || serve(vec![listener], Resolvers { addresses: Vec::new(), mark: None }, Many(many)));
    address
}

fn question(id: u16, name: &str, edns: Option<u16>) -> Vec<u8> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(name).expect("a name"), RecordType::A));
    if let Some(size) = edns {
        let mut edns = Edns::new();
        edns.set_max_payload(size);
        message.set_edns(edns);
    }
    message.to_vec().expect("bytes")
}

fn over_udp(server: SocketAddr, question: &[u8]) -> (usize, Message) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
    socket.send_to(question, server).expect("asked");
    let mut buffer = [0; 65535];
    let count = socket.recv(&mut buffer).expect("an answer");
    (count, Message::from_vec(&buffer[..count]).expect("an answer"))
}

fn over_tcp(stream: &mut TcpStream, question: &[u8]) -> Message {
    said_over_tcp(stream, question).expect("an answer")
}

fn said_over_tcp(stream: &mut TcpStream, question: &[u8]) -> std::io::Result<Message> {
    let length = u16::try_from(question.len()).expect("a length").to_be_bytes();
    stream.write_all(&[&length[..], question].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer)?;
    Ok(Message::from_vec(&answer).expect("an answer"))
}

#[test]
fn a_long_answer_is_cut_to_what_its_client_takes_and_whole_over_tcp() {
    let server = server(200);
    let (size, cut) = over_udp(server, &question(7, "a.example.", None));
    assert!(size <= 512 && cut.metadata.truncation && cut.answers.len() > 20, "{size}: {}", cut.answers.len());
    assert!(cut.edns.is_none(), "who has not asked with EDNS is not answered with it");
    let (size, more) = over_udp(server, &question(7, "a.example.", Some(1232)));
    assert!(size <= 1232 && more.metadata.truncation && more.answers.len() > cut.answers.len(), "{size}");
    let (_, all) = over_udp(server, &question(7, "a.example.", Some(4096)));
    assert!(!all.metadata.truncation && all.answers.len() == 200 && all.edns.is_some());
    let mut stream = TcpStream::connect(server).expect("a connection");
    for id in [8, 9] {
        let all = over_tcp(&mut stream, &question(id, "a.example.", None));
        assert_eq!((all.metadata.id, all.metadata.truncation, all.answers.len()), (id, false, 200));
    }
}

#[test]
fn who_keeps_connections_open_has_so_many_and_takes_nobody_elses() {
    let server = server(1);
    let asks = |stream: &mut TcpStream| said_over_tcp(stream, &question(7, "a.example.", None)).is_ok();
    let from = |client: [u8; 4]| {
        let SocketAddr::V4(server) = server else { panic!("{server}") };
        let fd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
        bind(fd.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(client.into(), 0))).expect("an address");
        connect(fd.as_raw_fd(), &SockaddrIn::from(server)).expect("a connection");
        TcpStream::from(fd)
    };
    let mut held: Vec<TcpStream> = (0..300).map(|_| from([127, 0, 0, 2])).collect();
    let answered = held.iter_mut().filter_map(|stream| asks(stream).then_some(())).count();
    assert!((1..=32).contains(&answered), "{answered} of 300 are answered");
    assert!(asks(&mut from([127, 0, 0, 3])), "another client is answered meanwhile");
    drop(held);
    // What it has hung up is free when the server has heard of it.
    assert!((0..1000).any(|_| asks(&mut from([127, 0, 0, 2]))), "and so is the same one, when it has hung up itself");
}

#[test]
fn what_is_no_question_has_no_answer_and_ends_nobody() {
    let server = server(1);
    let (quiet, loud) =
        (UdpSocket::bind("127.0.0.1:0").expect("a socket"), UdpSocket::bind("127.0.0.1:0").expect("one"));
    let good = question(7, "a.example.", Some(1232));
    let mut answer = good.clone();
    answer[2] |= 0x80;
    quiet.send_to(&answer, server).expect("sent");
    quiet.send_to(b"nonsense", server).expect("sent");
    // Good ones that are hurt at one place, and no more at a time than the socket has room for.
    for place in 2..good.len() {
        for byte in [0, 1, 0x3f, 0x40, 0xc0, 0xff] {
            let mut hurt = good.clone();
            hurt[place] = byte;
            loud.send_to(&hurt, server).expect("sent");
            loud.send_to(&hurt[..place], server).expect("sent");
        }
        let (_, said) = over_udp(server, &question(9, "a.example.", None));
        assert_eq!((said.metadata.id, said.answers.len()), (9, 1), "{place}");
    }
    quiet.set_nonblocking(true).expect("set");
    assert!(quiet.recv(&mut [0; 512]).is_err(), "two that answer each other would never stop");
}

#[test]
fn only_the_answer_to_the_very_question_is_heard() {
    let asked = question(7, "a.example.", None);
    let answer = |question: &[u8]| {
        let message = Message::from_vec(question).expect("a question").into_response();
        message.to_vec().expect("bytes")
    };
    let same = answer(&question(7, "A.Example.", None));
    assert!(answers(&asked, &answer(&asked)) && answers(&asked, &same));
    let others = [
        answer(&question(8, "a.example.", None)),
        answer(&question(7, "b.example.", None)),
        asked.clone(),
        vec![0; 12],
    ];
    for other in others {
        assert!(!answers(&asked, &other), "{other:?}");
    }
    let mut cut = answer(&asked);
    while cut.pop().is_some() {
        let _ = answers(&asked, &cut);
    }
}
