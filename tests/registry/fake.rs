//! A server that answers as a test says, over http or TLS, and remembers what it was asked.
//!
//! Owns connections of one request each. With it a registry can be as wrong as no real one is: other hosts in redirects and
//! token realms, answers without an end, documents that lie about each other.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

use rl::image::Digest;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::support::missing;

/// A request that came.
#[derive(Debug, Clone)]
pub struct Request {
    pub path: String,
    headers: Vec<(String, String)>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// What is answered.
#[derive(Debug, Clone)]
pub struct Answer {
    status: String,
    headers: Vec<String>,
    body: Vec<u8>,
    /// How often the body is sent: more than a test wants to hold in memory.
    times: usize,
}

impl Answer {
    pub fn new(status: &str) -> Self {
        Self { status: status.to_owned(), headers: Vec::new(), body: Vec::new(), times: 1 }
    }

    pub fn ok(kind: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::new("200 OK").with(&format!("Content-Type: {kind}")) }
    }

    pub fn with(mut self, header: &str) -> Self {
        self.headers.push(header.to_owned());
        self
    }

    pub fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    pub fn status(self, status: &str) -> Self {
        Self { status: status.to_owned(), ..self }
    }
}

/// A certificate authority that nobody knows but who is told, and a certificate of 127.0.0.1 and localhost by it.
pub struct Authority {
    dir: tempfile::TempDir,
}

impl Authority {
    /// None: there is no openssl.
    pub fn new() -> Option<Self> {
        const MAKE: &str = r#"set -eu; cd "$1"; key="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
            openssl req -x509 $key -keyout ca.key -out ca.pem -days 2 -subj '/CN=an authority'
            openssl req $key -keyout server.key -out server.csr -subj '/CN=a server'
            echo 'subjectAltName=IP:127.0.0.1,DNS:localhost' >names
            openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem"#;
        let dir = tempfile::tempdir().expect("a directory");
        if Command::new("openssl").arg("version").output().is_err() {
            missing("openssl");
            return None;
        }
        let output = Command::new("sh").args(["-c", MAKE, "make"]).arg(dir.path()).output().expect("sh");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(Self { dir })
    }

    /// `ca.pem`, `server.pem`, `server.key`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn config(&self) -> Arc<rustls::ServerConfig> {
        let certificate = CertificateDer::from_pem_file(self.file("server.pem")).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(self.file("server.key")).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("versions").with_no_client_auth().with_single_cert(vec![certificate], key);
        Arc::new(config.expect("a certificate and its key"))
    }
}

/// Listens until the test's process ends.
pub struct Fake {
    pub address: String,
    pub port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Fake {
    pub fn plain(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::start(None, answer)
    }

    pub fn secure(authority: &Authority, answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::start(Some(authority.config()), answer)
    }

    fn start(
        tls: Option<Arc<rustls::ServerConfig>>,
        answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = listener.local_addr().expect("an address").port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (own, answer) = (Arc::clone(&requests), Arc::new(answer));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (requests, answer, tls) = (Arc::clone(&own), Arc::clone(&answer), tls.clone());
                // A client that goes away in the middle is what these tests are about.
                std::thread::spawn(move || match tls {
                    None => drop(serve(client, &requests, answer.as_ref())),
                    Some(config) => {
                        let connection = rustls::ServerConnection::new(config).expect("a connection");
                        let _ = serve(rustls::StreamOwned::new(connection, client), &requests, answer.as_ref());
                    }
                });
            }
        });
        Self { address: format!("127.0.0.1:{port}"), port, requests }
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("lock").clone()
    }

    /// Those that carried credentials.
    pub fn authorized(&self) -> Vec<String> {
        let with =
            |request: &Request| request.header("authorization").map(|value| format!("{}: {value}", request.path));
        self.requests().iter().filter_map(with).collect()
    }
}

fn serve<S: Read + Write>(
    client: S,
    requests: &Mutex<Vec<Request>>,
    answer: &dyn Fn(&Request) -> Answer,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(client);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut words = lines.first().map(String::as_str).unwrap_or_default().split(' ').map(str::to_owned);
    let Some(path) = words.nth(1) else { return Ok(()) };
    let headers = lines.iter().skip(1).filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let request = Request { path, headers };
    requests.lock().expect("lock").push(request.clone());
    let answer = answer(&request);
    let mut client = reader.into_inner();
    let length = answer.body.len() * answer.times;
    let mut head = format!("HTTP/1.1 {}\r\nContent-Length: {length}\r\nConnection: close\r\n", answer.status);
    answer.headers.iter().for_each(|header| head.push_str(&format!("{header}\r\n")));
    client.write_all(format!("{head}\r\n").as_bytes())?;
    for _ in 0..answer.times {
        client.write_all(&answer.body)?;
    }
    client.flush()
}

/// The documents of one image, by their paths at a registry that calls it `app:1`.
#[derive(Debug, Clone, Default)]
pub struct Pages(pub BTreeMap<String, Answer>);

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

impl Pages {
    /// Of one uncompressed layer.
    pub fn image(layer: &[u8]) -> Self {
        Self::with_layers(&[(LAYER, layer, Digest::of(layer).to_string())])
    }

    /// Each with its media type, the bytes that are sent, and the digest that the configuration has of its content.
    pub fn with_layers(layers: &[(&str, &[u8], String)]) -> Self {
        let mut pages = Self::default();
        let ids: Vec<_> = layers.iter().map(|(_, _, id)| id).collect();
        let config = serde_json::json!({
            "architecture": rl::image::Platform::host().architecture, "os": "linux",
            "rootfs": { "type": "layers", "diff_ids": ids },
        });
        let config = pages.blob(CONFIG, config.to_string().as_bytes());
        let layers: Vec<_> = layers.iter().map(|(kind, bytes, _)| pages.blob(kind, bytes)).collect();
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers,
        });
        pages.manifest(&manifest.to_string());
        pages
    }

    pub fn manifest(&mut self, text: &str) {
        self.0.insert("/v2/app/manifests/1".into(), Answer::ok(MANIFEST, text));
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.0["/v2/app/manifests/1"].body.clone()).expect("text")
    }

    /// Its descriptor.
    pub fn blob(&mut self, kind: &str, bytes: &[u8]) -> serde_json::Value {
        let digest = Digest::of(bytes).to_string();
        self.0.insert(format!("/v2/app/blobs/{digest}"), Answer::ok("application/octet-stream", bytes));
        serde_json::json!({ "mediaType": kind, "digest": digest, "size": bytes.len() })
    }

    /// What a registry of these answers.
    pub fn answer(&self, request: &Request) -> Answer {
        match request.path.as_str() {
            "/v2/" => Answer::ok("application/json", "{}"),
            path => self.0.get(path).cloned().unwrap_or_else(|| Answer::new("404 Not Found")),
        }
    }
}
