//! A registry of a test's own, on a free port, gone with it.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::fake::Authority;
use crate::support::missing;

/// docker-registry, running.
pub struct Server {
    pub address: String,
    child: Child,
    _dir: tempfile::TempDir,
}

impl Server {
    /// None: there is no docker-registry here.
    pub fn plain() -> Option<Self> {
        Self::start("")
    }

    /// With basic authentication.
    pub fn with_users(users: &[(&str, &str)]) -> Option<Self> {
        Self::start(&Self::users(users)?)
    }

    /// The same, and TLS.
    pub fn secure(authority: &Authority, users: &[(&str, &str)]) -> Option<Self> {
        let (certificate, key) = (authority.file("server.pem"), authority.file("server.key"));
        let tls = format!("  tls:\n    certificate: {}\n    key: {}\n", certificate.display(), key.display());
        Self::start(&(tls + &Self::users(users)?))
    }

    /// The section of the configuration.
    fn users(users: &[(&str, &str)]) -> Option<String> {
        let mut lines = String::new();
        for (user, password) in users {
            let Ok(output) = Command::new("htpasswd").args(["-Bbn", user, password]).output() else {
                missing("htpasswd");
                return None;
            };
            lines.push_str(&String::from_utf8(output.stdout).expect("text"));
        }
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(lines.as_bytes()).expect("write");
        let path = file.into_temp_path().keep().expect("a path");
        Some(format!("auth:\n  htpasswd:\n    realm: test\n    path: {}\n", path.display()))
    }

    fn start(more: &str) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a directory");
        // Free now; should another take it first, the registry ends, and the test says so.
        let port = TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("an address").port();
        let address = format!("127.0.0.1:{port}");
        let data = dir.path().join("data");
        let config = dir.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\n{more}",
            data.display()
        );
        std::fs::write(&config, text).expect("write");
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = child else {
            missing("docker-registry");
            return None;
        };
        let mut server = Self { address, child, _dir: dir };
        server.wait();
        Some(server)
    }

    /// It tells nobody that it listens; a refused connection is all that there is to know.
    fn wait(&mut self) {
        let begun = Instant::now();
        while TcpStream::connect(&self.address).is_err() {
            assert!(self.child.try_wait().expect("wait").is_none(), "docker-registry has ended");
            assert!(begun.elapsed() < Duration::from_secs(30), "docker-registry does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
