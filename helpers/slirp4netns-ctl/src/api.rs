//! The API socket: forwards added, listed and removed while slirp4netns runs.
//!
//! Owns the protocol: one connection a request, one JSON object each way, the client's end of writing closed. The surprise: the
//! program serves one client at a time, its queue is one long, and it reads once, so a request is one write and every call
//! has a time limit, the connecting too.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, UnixAddr, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use serde::{Deserialize, Serialize};

use crate::{Error, Forward, Protocol};

/// Longer than slirp4netns needs for a thousand requests that are before us.
const PATIENCE: Duration = Duration::from_secs(5);
/// 65,536 forwards of a hundred bytes each.
const LONGEST: u64 = 8 << 20;

/// An API socket.
#[derive(Debug, Clone)]
pub struct Api {
    socket: PathBuf,
    patience: Duration,
}

/// The address of a socket holds 107 bytes.
const LONGEST_PATH: usize = 107;

/// A path that fits into the address of a socket: a longer one goes through a descriptor of its directory.
#[derive(Debug)]
pub(crate) struct SocketPath {
    pub(crate) path: PathBuf,
    pub(crate) directory: Option<OwnedFd>,
}

impl SocketPath {
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        if path.as_os_str().len() <= LONGEST_PATH {
            return Ok(Self { path: path.to_owned(), directory: None });
        }
        let directory = OwnedFd::from(std::fs::File::open(parent)?);
        let path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
        Ok(Self { path, directory: Some(directory) })
    }
}

/// A forward that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// By which it is removed.
    pub id: u32,
    /// What it is.
    pub forward: Forward,
}

/// A forward that was just made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Added {
    /// By which it is removed.
    pub id: u32,
    /// The program that listens there (SO_PEERCRED), as the caller's pid namespace numbers it; 0: it is outside of that.
    pub process: i32,
}

#[derive(Serialize)]
#[serde(tag = "execute", content = "arguments")]
enum Request {
    #[serde(rename = "add_hostfwd")]
    Add(Hostfwd),
    #[serde(rename = "list_hostfwd")]
    List {},
    #[serde(rename = "remove_hostfwd")]
    Remove { id: u32 },
}

#[derive(Serialize, Deserialize)]
struct Hostfwd {
    #[serde(skip_serializing, default)]
    id: u32,
    proto: Protocol,
    host_addr: Ipv4Addr,
    host_port: u16,
    guest_addr: Ipv4Addr,
    guest_port: u16,
}

/// The list comes without `return` around it, other than documented; both are understood.
#[derive(Deserialize, Default)]
struct Answer {
    #[serde(rename = "return", default)]
    result: Option<Outcome>,
    #[serde(default)]
    entries: Option<Vec<Hostfwd>>,
    #[serde(default)]
    error: Option<Complaint>,
}

#[derive(Deserialize)]
struct Outcome {
    #[serde(default)]
    id: Option<u32>,
    #[serde(default)]
    entries: Option<Vec<Hostfwd>>,
}

#[derive(Deserialize)]
struct Complaint {
    desc: String,
}

impl Api {
    /// The socket that `Options::api_socket` named.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into(), patience: PATIENCE }
    }

    /// Another time limit than five seconds for each step of a request.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Where it is.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Listens on a port of the host.
    ///
    /// # Errors
    /// [`Error::Port`] where the port can't be had, with who holds it; [`Error::Api`], [`Error::Refused`].
    pub fn add(&self, forward: &Forward) -> Result<Added, Error> {
        let Forward { protocol, host, guest } = forward;
        let doing = || format!("forward {host}/{protocol} to {guest}");
        let request = Request::Add(Hostfwd {
            id: 0,
            proto: *protocol,
            host_addr: *host.ip(),
            host_port: host.port(),
            guest_addr: *guest.ip(),
            guest_port: guest.port(),
        });
        match self.ask(&request, doing) {
            // It says no more; the kernel would tell us the same as it, with a reason.
            Err(refused @ Error::Refused { .. }) => {
                forward.check()?;
                Err(refused)
            }
            answer => {
                let (answer, process) = answer?;
                let id = answer.result.and_then(|result| result.id);
                let id = id.ok_or_else(|| Error::Refused { doing: doing(), said: "no id came back".into() })?;
                Ok(Added { id, process })
            }
        }
    }

    /// All forwards.
    ///
    /// # Errors
    /// [`Error::Api`], [`Error::Refused`].
    pub fn list(&self) -> Result<Vec<Entry>, Error> {
        let (answer, _) = self.ask(&Request::List {}, || "list the forwards".into())?;
        let entries = answer.entries.or(answer.result.and_then(|result| result.entries)).unwrap_or_default();
        let entry = |one: &Hostfwd| Entry {
            id: one.id,
            forward: Forward {
                protocol: one.proto,
                host: SocketAddrV4::new(one.host_addr, one.host_port),
                guest: SocketAddrV4::new(one.guest_addr, one.guest_port),
            },
        };
        Ok(entries.iter().map(entry).collect())
    }

    /// Stops listening. Connections that are there stay.
    ///
    /// # Errors
    /// [`Error::Refused`] where there is no such forward, [`Error::Api`].
    pub fn remove(&self, id: u32) -> Result<(), Error> {
        self.ask(&Request::Remove { id }, || format!("remove the forward {id}")).map(drop)
    }

    /// The answer, and whose it is.
    fn ask(&self, request: &Request, doing: impl Fn() -> String) -> Result<(Answer, i32), Error> {
        let answer = self.exchange(request);
        let (answer, process) =
            answer.map_err(|source| Error::Api { doing: doing(), socket: self.socket.clone(), source })?;
        match answer.error {
            Some(Complaint { desc }) => Err(Error::Refused { doing: doing(), said: desc }),
            None => Ok((answer, process)),
        }
    }

    fn exchange(&self, request: &Request) -> io::Result<(Answer, i32)> {
        let mut stream = self.connect()?;
        let process = socket::getsockopt(&stream, sockopt::PeerCredentials)?.pid();
        stream.write_all(&serde_json::to_vec(request)?)?;
        stream.shutdown(Shutdown::Write)?;
        let mut text = Vec::new();
        stream.take(LONGEST).read_to_end(&mut text)?;
        Ok((serde_json::from_slice(&text)?, process))
    }

    /// Connecting waits while another client is being served; SO_SNDTIMEO bounds that too (unix(7)).
    fn connect(&self) -> io::Result<UnixStream> {
        let fd = socket::socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        let patience = TimeVal::milliseconds(i64::try_from(self.patience.as_millis()).unwrap_or(i64::MAX));
        socket::setsockopt(&fd, sockopt::SendTimeout, &patience)?;
        socket::setsockopt(&fd, sockopt::ReceiveTimeout, &patience)?;
        let short = SocketPath::of(&self.socket)?;
        socket::connect(fd.as_raw_fd(), &UnixAddr::new(&short.path)?)?;
        Ok(fd.into())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    /// A program that answers once with these bytes; gives the request that it got.
    fn answering(bytes: &'static str, ask: impl FnOnce(&Api)) -> String {
        let dir = tempfile::tempdir().expect("a directory");
        let listener = UnixListener::bind(dir.path().join("api")).expect("a socket");
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut request = String::new();
            stream.read_to_string(&mut request).expect("a request");
            stream.write_all(bytes.as_bytes()).expect("an answer");
            request
        });
        ask(&Api::new(dir.path().join("api")));
        server.join().expect("join")
    }

    const WEB: Forward = Forward {
        protocol: Protocol::Tcp,
        host: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8080),
        guest: SocketAddrV4::new(Ipv4Addr::new(10, 0, 2, 100), 80),
    };

    #[test]
    fn requests_are_what_the_program_documents() {
        let add = answering(r#"{"return":{"id":42}}"#, |api| {
            let process = i32::try_from(std::process::id()).expect("a pid");
            assert_eq!(api.add(&WEB).expect("an id"), Added { id: 42, process });
        });
        let expected = r#"{"execute":"add_hostfwd","arguments":{"proto":"tcp","host_addr":"127.0.0.1","host_port":8080,"guest_addr":"10.0.2.100","guest_port":80}}"#;
        assert_eq!(add, expected);
        let remove = answering(r#"{"return":{}}"#, |api| api.remove(42).expect("removed"));
        assert_eq!(remove, r#"{"execute":"remove_hostfwd","arguments":{"id":42}}"#);
    }

    #[test]
    fn the_list_is_understood_as_documented_and_as_it_comes() {
        const LIST: &str = r#"{"entries":[{"id":1,"proto":"tcp","host_addr":"127.0.0.1","host_port":8080,"guest_addr":"10.0.2.100","guest_port":80}]}"#;
        const DOCUMENTED: &str = r#"{"return":{"entries":[{"id":1,"proto":"tcp","host_addr":"127.0.0.1","host_port":8080,"guest_addr":"10.0.2.100","guest_port":80}]}}"#;
        for text in [LIST, DOCUMENTED] {
            answering(text, |api| assert_eq!(api.list().expect("a list"), [Entry { id: 1, forward: WEB }]));
        }
    }

    #[test]
    fn a_refusal_is_passed_on_and_garbage_is_an_error() {
        const REFUSAL: &str = r#"{"error":{"desc":"bad request: remove_hostfwd: bad arguments.id"}}"#;
        answering(REFUSAL, |api| {
            let message = api.remove(7).expect_err("refused").to_string();
            assert!(message.contains("the forward 7") && message.contains("bad arguments.id"), "{message}");
        });
        for garbage in ["", "{", "[]", r#"{"return":{"id":-1}}"#, r#"{"return":{}}"#] {
            answering(garbage, |api| assert!(api.add(&WEB).is_err(), "{garbage:?}"));
        }
    }

    #[test]
    fn a_program_that_does_not_answer_is_given_up() {
        let dir = tempfile::tempdir().expect("a directory");
        let _listener = UnixListener::bind(dir.path().join("api")).expect("a socket");
        let api = Api::new(dir.path().join("api")).patience(Duration::from_millis(50));
        assert!(matches!(api.list(), Err(Error::Api { .. })));
        let nobody = Api::new(dir.path().join("nobody")).list().expect_err("nobody listens").to_string();
        assert!(nobody.contains("list the forwards") && nobody.contains("nobody"), "{nobody}");
    }
}
