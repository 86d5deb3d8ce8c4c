//! Calls to systemd over its private socket or a bus: one at a time, on this thread.
//!
//! Owns the messages' frame (D-Bus specification, "Message Protocol"); what is in it is zbus's wire format. Not zbus's connections:
//! over the private socket systemd names itself `org.freedesktop.systemd1` as the sender, where they take unique names alone,
//! and refuse every answer. The surprise: `rl` is root of a user namespace by now, so it must introduce itself with the uid that
//! it has outside.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use zbus::wire::serialized::{Context as Format, Data};
use zbus::wire::{LE, to_bytes};
use zbus::{DynamicType, ObjectPath, OwnedVariant, Type, Variant};

/// systemd takes longer only when it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// The specification's bound of a message.
const LONGEST: usize = 128 << 20;

const CALL: u8 = 1;
const ANSWER: u8 = 2;
const FAILURE: u8 = 3;
const SIGNAL: u8 = 4;

/// The numbers of header fields.
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const REPLY_TO: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

type Result<T> = std::result::Result<T, Failure>;

/// Why a call has failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The socket.
    #[error(transparent)]
    Socket(#[from] std::io::Error),
    /// Something that is no D-Bus.
    #[error("it does not speak D-Bus: {0}")]
    Protocol(String),
    /// The other side's own words.
    #[error("{0}")]
    Refused(String),
}

impl From<zbus::Error> for Failure {
    fn from(error: zbus::Error) -> Self {
        Self::Protocol(error.to_string())
    }
}

/// Whom a call is for.
pub(super) struct Target<'a> {
    /// Ignored where there is no bus between.
    pub(super) name: &'a str,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
}

/// A connection that has introduced itself.
pub(super) struct Peer {
    stream: UnixStream,
    serial: u32,
    bus: bool,
    /// Signals that have come before they were waited for.
    early: Vec<Message>,
}

struct Message {
    kind: u8,
    fields: Vec<(u8, OwnedVariant)>,
    body: Vec<u8>,
}

impl Peer {
    /// Without a bus between.
    pub(super) fn private(socket: &Path, uid: u32) -> Result<Self> {
        Self::open(socket, uid, false)
    }

    /// Over a bus.
    pub(super) fn bus(socket: &Path, uid: u32) -> Result<Self> {
        let mut peer = Self::open(socket, uid, true)?;
        peer.call(&DAEMON, "Hello", "", &())?;
        Ok(peer)
    }

    fn open(socket: &Path, uid: u32, bus: bool) -> Result<Self> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        // SASL's EXTERNAL: the decimal uid, in hexadecimal digits of its characters; the kernel tells the other side who we are.
        let name: String = uid.to_string().bytes().map(|byte| format!("{byte:02x}")).collect();
        stream.write_all(format!("\0AUTH EXTERNAL {name}\r\n").as_bytes())?;
        let answer = line(&mut stream)?;
        if !answer.starts_with("OK ") {
            return Err(Failure::Refused(format!("it does not accept uid {uid}: {answer}")));
        }
        stream.write_all(b"BEGIN\r\n")?;
        Ok(Self { stream, serial: 0, bus, early: Vec::new() })
    }

    /// Calls and waits for the answer, of which nothing is read.
    pub(super) fn call<B>(&mut self, target: &Target<'_>, member: &str, signature: &str, body: &B) -> Result<()>
    where
        B: Serialize + DynamicType,
    {
        self.ask(target, member, signature, body).map(drop)
    }

    /// Calls and reads the answer.
    pub(super) fn query<B, T>(&mut self, target: &Target<'_>, member: &str, signature: &str, body: &B) -> Result<T>
    where
        B: Serialize + DynamicType,
        T: DeserializeOwned + Type,
    {
        read(&self.ask(target, member, signature, body)?)
    }

    fn ask<B>(&mut self, target: &Target<'_>, member: &str, signature: &str, body: &B) -> Result<Message>
    where
        B: Serialize + DynamicType,
    {
        self.serial += 1;
        let message = self.message(target, member, signature, body)?;
        self.stream.write_all(&message)?;
        loop {
            let message = self.receive()?;
            match message.kind {
                SIGNAL => self.early.push(message),
                ANSWER if message.replies_to(self.serial) => return Ok(message),
                FAILURE if message.replies_to(self.serial) => {
                    return Err(Failure::Refused(read(&message).unwrap_or_else(|_| "it gives no reason".to_owned())));
                }
                _ => {}
            }
        }
    }

    /// Waits for a signal that `wanted` takes.
    pub(super) fn wait_for<T, A>(&mut self, member: &str, wanted: impl Fn(T) -> Option<A>) -> Result<A>
    where
        T: DeserializeOwned + Type,
    {
        loop {
            let message = if self.early.is_empty() { self.receive()? } else { self.early.remove(0) };
            if message.kind == SIGNAL
                && message.text(MEMBER) == Some(member)
                && let Some(answer) = wanted(read(&message)?)
            {
                return Ok(answer);
            }
        }
    }

    fn message<B>(&self, target: &Target<'_>, member: &str, signature: &str, body: &B) -> Result<Vec<u8>>
    where
        B: Serialize + DynamicType,
    {
        let format = Format::new(LE, 0);
        let body = if signature.is_empty() { Vec::new() } else { to_bytes(format, body)?.bytes().to_vec() };
        let path = ObjectPath::try_from(target.path).map_err(|error| Failure::Protocol(error.to_string()))?;
        let mut fields: Vec<(u8, Variant<'_>)> =
            vec![(PATH, path.into()), (INTERFACE, target.interface.into()), (MEMBER, member.into())];
        if self.bus {
            fields.push((DESTINATION, target.name.into()));
        }
        let length = u32::try_from(body.len()).map_err(|error| Failure::Protocol(error.to_string()))?;
        let head = (b'l', CALL, 0_u8, 1_u8, length, self.serial, fields);
        let mut bytes = to_bytes(format, &head)?.bytes().to_vec();
        if !signature.is_empty() {
            // By hand: zbus puts the types of several arguments into parentheses, which makes them one.
            bytes.resize(bytes.len().next_multiple_of(8), 0);
            let length = u8::try_from(signature.len()).map_err(|error| Failure::Protocol(error.to_string()))?;
            bytes.extend([SIGNATURE, 1, b'g', 0, length]);
            bytes.extend(signature.bytes().chain([0]));
            let fields = u32::try_from(bytes.len() - 16).map_err(|error| Failure::Protocol(error.to_string()))?;
            bytes[12..16].copy_from_slice(&fields.to_le_bytes());
        }
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes.extend(body);
        Ok(bytes)
    }

    fn receive(&mut self) -> Result<Message> {
        let mut fixed = [0; 16];
        self.stream.read_exact(&mut fixed)?;
        let number = |at: usize| u32::from_le_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]) as usize;
        let (body, fields) = (number(4), number(12));
        if fixed[0] != b'l' || fixed[3] != 1 || body.saturating_add(fields) > LONGEST {
            return Err(Failure::Protocol("a message has another byte order, version or length".into()));
        }
        // The array of fields begins with its length, which has been read already.
        let mut head = fixed[12..].to_vec();
        head.resize(4 + fields.next_multiple_of(8), 0);
        self.stream.read_exact(&mut head[4..])?;
        head.truncate(4 + fields);
        let mut content = vec![0; body];
        self.stream.read_exact(&mut content)?;
        let (fields, _) = Data::new(head, Format::new(LE, 12)).deserialize()?;
        Ok(Message { kind: fixed[1], fields, body: content })
    }
}

/// The bus itself.
pub(super) const DAEMON: Target<'static> =
    Target { name: "org.freedesktop.DBus", path: "/org/freedesktop/DBus", interface: "org.freedesktop.DBus" };

impl Message {
    fn field(&self, wanted: u8) -> Option<&Variant<'static>> {
        self.fields.iter().find(|(number, _)| *number == wanted).map(|(_, value)| &**value)
    }

    fn text(&self, wanted: u8) -> Option<&str> {
        match self.field(wanted) {
            Some(Variant::Str(text)) => Some(text.as_str()),
            _ => None,
        }
    }

    fn replies_to(&self, serial: u32) -> bool {
        matches!(self.field(REPLY_TO), Some(Variant::U32(number)) if *number == serial)
    }
}

fn read<T>(message: &Message) -> Result<T>
where
    T: DeserializeOwned + Type,
{
    Ok(Data::new(message.body.as_slice(), Format::new(LE, 0)).deserialize()?.0)
}

/// Byte by byte: what follows belongs to messages.
fn line(stream: &mut UnixStream) -> Result<String> {
    let (mut text, mut byte) = (Vec::new(), [0]);
    while !text.ends_with(b"\r\n") {
        stream.read_exact(&mut byte)?;
        text.push(byte[0]);
        if text.len() > 4096 {
            return Err(Failure::Protocol("an endless line".into()));
        }
    }
    Ok(String::from_utf8_lossy(&text).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Target<'static> = Target { name: "a.b", path: "/a/b", interface: "a.b.C" };

    /// Answers one call as systemd does over its private socket: a signal first, then the answer, with a sender of no unique name.
    fn other_side(mut stream: UnixStream) {
        assert!(line(&mut stream).expect("AUTH").ends_with("AUTH EXTERNAL 31303030"));
        stream.write_all(b"OK 0123\r\n").expect("OK");
        assert_eq!(line(&mut stream).expect("BEGIN"), "BEGIN");
        let mut peer = Peer { stream, serial: 0, bus: false, early: Vec::new() };
        let call = peer.receive().expect("a call");
        assert_eq!((call.kind, call.text(MEMBER)), (CALL, Some("Start")));
        let signature = call.field(SIGNATURE).map(|value| format!("{value:?}"));
        assert!(signature.is_some_and(|text| !text.is_empty()));
        assert_eq!(read::<(String, u32)>(&call).expect("its body"), ("x.scope".to_owned(), 7));
        for (kind, fields, body) in [
            (SIGNAL, vec![(MEMBER, Variant::from("Done"))], (5_u32, "early")),
            (ANSWER, vec![(REPLY_TO, Variant::U32(1)), (7, Variant::from("org.freedesktop.systemd1"))], (9_u32, "job")),
        ] {
            let format = Format::new(LE, 0);
            let body = to_bytes(format, &body).expect("body").bytes().to_vec();
            let head = (b'l', kind, 0_u8, 1_u8, body.len() as u32, 1_u32, fields);
            let mut bytes = to_bytes(format, &head).expect("head").bytes().to_vec();
            bytes.resize(bytes.len().next_multiple_of(8), 0);
            bytes.extend(body);
            peer.stream.write_all(&bytes).expect("write");
        }
    }

    #[test]
    fn a_call_is_answered_and_an_early_signal_is_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let socket = dir.path().join("private");
        let listener = std::os::unix::net::UnixListener::bind(&socket).expect("bind");
        let other = std::thread::spawn(move || other_side(listener.accept().expect("accept").0));
        let mut peer = Peer::private(&socket, 1000).expect("connect");
        let answer: (u32, String) = peer.query(&TARGET, "Start", "su", &("x.scope", 7_u32)).expect("an answer");
        assert_eq!(answer, (9, "job".to_owned()));
        let signal = peer.wait_for("Done", |(number, _): (u32, String)| (number == 5).then_some(number));
        assert_eq!(signal.expect("the signal"), 5);
        other.join().expect("the other side");
    }
}
