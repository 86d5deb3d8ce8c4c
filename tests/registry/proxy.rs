//! Between client and registry: what networks do to blobs and manifests.
//!
//! Owns one connection at a time each in a thread; every connection carries one request (`Connection: close`). Faults are
//! used up in order, one an affected answer. The surprise: `/v2/` itself, by which a client finds out about TLS, is never
//! touched but by [`Fault::Html`].

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What is done to one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A layer's content ends after so many bytes.
    Cut(usize),
    /// A layer's content stops after so many bytes, and the connection stays.
    Stall(usize),
    /// A byte in the middle of a layer is another.
    Corrupt,
    /// Another status, with `Retry-After: 1`, for anything.
    Status(&'static str),
    /// A page for people, for anything.
    Html,
}

/// A request that came.
#[derive(Debug, Clone)]
pub struct Request {
    pub path: String,
    pub range: Option<String>,
}

/// Listens until the test ends.
pub struct Proxy {
    pub address: String,
    shared: Arc<Shared>,
}

struct Shared {
    to: String,
    faults: Mutex<Vec<Fault>>,
    requests: Mutex<Vec<Request>>,
}

impl Proxy {
    pub fn start(to: &str, faults: Vec<Fault>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().expect("an address").to_string();
        let shared = Arc::new(Shared { to: to.to_owned(), faults: Mutex::new(faults), requests: Mutex::default() });
        let own = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&own);
                // A client that goes away in the middle is what these tests are about.
                std::thread::spawn(move || drop(serve(&shared, client)));
            }
        });
        Self { address, shared }
    }

    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().expect("lock").clone()
    }
}

impl Shared {
    fn fault(&self, path: &str) -> Option<Fault> {
        let mut faults = self.faults.lock().expect("lock");
        let fitting = match faults.first()? {
            Fault::Cut(_) | Fault::Stall(_) | Fault::Corrupt => path.contains("/blobs/"),
            Fault::Status(_) => path != "/v2/",
            Fault::Html => true,
        };
        fitting.then(|| faults.remove(0))
    }
}

fn serve(shared: &Shared, client: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if line == "\r\n" {
            break;
        }
        let keeps = !line.to_ascii_lowercase().starts_with("connection:");
        if keeps {
            head.push_str(&line);
        }
    }
    // A TLS greeting is no HTTP, and no request.
    let Some(path) = head.split(' ').nth(1).map(str::to_owned).filter(|path| path.starts_with('/')) else {
        return Ok(());
    };
    let range = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("range").then(|| value.to_owned())
    });
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        if name.eq_ignore_ascii_case("content-length") { value.parse().ok() } else { None }
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    shared.requests.lock().expect("lock").push(Request { path: path.clone(), range });
    answer(shared, client, &[head.as_bytes(), b"Connection: close\r\n\r\n", &body].concat(), &path)
}

fn answer(shared: &Shared, mut client: TcpStream, request: &[u8], path: &str) -> std::io::Result<()> {
    let mut server = TcpStream::connect(&shared.to)?;
    server.write_all(request)?;
    let mut whole = Vec::new();
    server.read_to_end(&mut whole)?;
    let end = whole.windows(4).position(|window| window == b"\r\n\r\n").map_or(whole.len(), |at| at + 4);
    let large = whole.len() - end > 100_000;
    // Configurations are blobs, too; only layers are meant.
    let fault = if large || !path.contains("/blobs/") { shared.fault(path) } else { None };
    match fault {
        Some(Fault::Status(status)) => client.write_all(
            format!("HTTP/1.1 {status}\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes(),
        ),
        Some(Fault::Html) => {
            let page = "<!DOCTYPE html><html><body>Please log in</body></html>";
            let length = page.len();
            client.write_all(
                format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{page}").as_bytes(),
            )
        }
        Some(Fault::Cut(after)) => client.write_all(&whole[..(end + after).min(whole.len())]),
        Some(Fault::Stall(after)) => {
            client.write_all(&whole[..(end + after).min(whole.len())])?;
            // Until the client goes.
            client.read(&mut [0]).map(drop)
        }
        Some(Fault::Corrupt) => {
            let middle = (end + whole.len()) / 2;
            whole[middle] ^= 0x55;
            client.write_all(&whole)
        }
        None => client.write_all(&whole),
    }
}
