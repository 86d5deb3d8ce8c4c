//! Two machines of the test's own: network namespaces, joined by a wire.
//!
//! A test's body runs by executing this binary again under unshare(1), where it is root of a namespace with one id; its network is
//! 'the machine' on which rl runs, and a second network namespace is the other host. The surprise: a thread that enters the second
//! namespace makes its sockets there, and they stay there.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sched::{CloneFlags, setns};

use crate::support::{Rl, missing};

/// The machine's own address on the wire.
pub const MACHINE: &str = "198.51.100.1";
/// The second host's.
pub const SECOND: &str = "198.51.100.2";
/// The machine's own, IPv6.
pub const MACHINE6: &str = "2001:db8::1";
/// The second host's, IPv6.
pub const SECOND6: &str = "2001:db8::2";

/// Runs `PATH::body::NAME` in namespaces of its own.
pub fn inside(body: &str) {
    let unshare = |words: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["-rnm", "--"]).args(words).stdin(Stdio::null()).env("RL_TEST_AS", "nested");
        command
    };
    let works = unshare(&["ip", "link", "show", "lo"]).output().is_ok_and(|output| output.status.success());
    if !works && !missing("unshare -rnm and ip(8)") {
        return;
    }
    let test = std::env::current_exe().expect("this test");
    let output = unshare(&[&test.to_string_lossy(), "--exact", "--ignored", body]).output().expect("unshare");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// The second host. It ends with this.
pub struct Lab {
    second: Child,
    namespace: File,
}

impl Lab {
    /// The wire, with addresses on both ends, and the second host as the way to everywhere.
    pub fn new() -> Self {
        let mut second = Command::new("unshare");
        second.args(["-n", "--", "sh", "-c", "echo there && exec cat"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut second = second.spawn().expect("unshare");
        second.stdout.as_mut().expect("stdout").read_exact(&mut [0; 6]).expect("the second namespace");
        let pid = second.id().to_string();
        run("ip link set lo up");
        run(&format!("ip link add wire0 type veth peer name wire1 netns {pid}"));
        run(&format!("ip address add {MACHINE}/24 dev wire0"));
        run(&format!("ip address add {MACHINE6}/64 dev wire0 nodad"));
        run("ip link set wire0 up");
        for line in [
            "ip link set lo up".to_owned(),
            format!("ip address add {SECOND}/24 dev wire1"),
            format!("ip address add {SECOND6}/64 dev wire1 nodad"),
            "ip link set wire1 up".to_owned(),
        ] {
            run(&format!("nsenter --net=/proc/{pid}/ns/net {line}"));
        }
        run(&format!("ip route add default via {SECOND}"));
        run(&format!("ip route add default via {SECOND6}"));
        let namespace = File::open(format!("/proc/{pid}/ns/net")).expect("the namespace");
        Self { second, namespace }
    }

    /// The pid of a process of the second host.
    pub fn second(&self) -> u32 {
        self.second.id()
    }

    /// What `work` gives on the second host.
    pub fn on_second<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                setns(&self.namespace, CloneFlags::CLONE_NEWNET).expect("setns");
                work()
            });
            thread.join().expect("join")
        })
    }

    /// What a server at this address of the machine says to the second host, as soon as it answers.
    pub fn asked_from_second(&self, address: &str) -> String {
        self.on_second(|| {
            let ask = || TcpStream::connect(address).map(heard).unwrap_or_default();
            let mut answers = (0..500).map(|_| {
                std::thread::sleep(Duration::from_millis(20));
                ask()
            });
            answers.find(|seen| !seen.is_empty()).unwrap_or_default()
        })
    }

    /// A server on the second host that says this to everybody who comes.
    pub fn says(&self, address: &str, text: &'static str) {
        let listener = self.on_second(|| TcpListener::bind(address).expect(address));
        std::thread::spawn(move || {
            while let Ok((mut client, _)) = listener.accept() {
                let _ = client.write_all(text.as_bytes());
            }
        });
    }

    /// A DNS server on the second host: every name has this IPv4 address.
    pub fn resolves(&self, address: &str, answer: [u8; 4]) {
        let socket = self.on_second(|| UdpSocket::bind(address).expect(address));
        std::thread::spawn(move || {
            let mut packet = [0; 512];
            while let Ok((count, client)) = socket.recv_from(&mut packet) {
                if let Some(reply) = reply(&packet[..count], answer) {
                    let _ = socket.send_to(&reply, client);
                }
            }
        });
    }

    /// A DNS server on the second host as [`Lab::resolves`] has it, which says over UDP that it has to be asked over TCP.
    pub fn resolves_over_tcp(&self, address: &str, answer: [u8; 4]) {
        let (udp, tcp) =
            self.on_second(|| (UdpSocket::bind(address).expect(address), TcpListener::bind(address).expect(address)));
        std::thread::spawn(move || {
            let mut packet = [0; 512];
            while let Ok((count, client)) = udp.recv_from(&mut packet) {
                let mut question = packet[..count].to_vec();
                question[2..12].copy_from_slice(&[0x83, 0x80, 0, 1, 0, 0, 0, 0, 0, 0]);
                let end = question[12..].iter().position(|byte| *byte == 0).unwrap_or_default() + 17;
                let _ = udp.send_to(&question[..end.min(count)], client);
            }
        });
        std::thread::spawn(move || {
            while let Ok((mut client, _)) = tcp.accept() {
                let mut length = [0; 2];
                while client.read_exact(&mut length).is_ok() {
                    let mut packet = vec![0; usize::from(u16::from_be_bytes(length))];
                    let reply = client.read_exact(&mut packet).ok().and_then(|()| reply(&packet, answer));
                    let Some(reply) = reply else { break };
                    let length = u16::try_from(reply.len()).expect("short").to_be_bytes();
                    let _ = client.write_all(&[&length[..], &reply].concat());
                }
            }
        });
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.second.kill();
        let _ = self.second.wait();
    }
}

/// One question in, its one answer out: the address for type A, nothing for others (RFC 1035).
fn reply(query: &[u8], answer: [u8; 4]) -> Option<Vec<u8>> {
    let name_end = 12 + query.get(12..)?.iter().position(|byte| *byte == 0)?;
    let question = query.get(12..name_end + 5)?;
    let is_a = question.ends_with(&[0, 1, 0, 1]);
    let mut reply = query[..2].to_vec();
    reply.extend([0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
    reply.extend(question);
    if is_a {
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4]);
        reply.extend(answer);
    }
    Some(reply)
}

/// A resolv.conf of the test's own over the machine's, in this mount namespace.
pub fn resolver(rl: &Rl, text: &str) -> std::path::PathBuf {
    let file = rl.dir("etc").join("resolv.conf");
    std::fs::write(&file, text).expect("write");
    run(&format!("mount --bind {} $(readlink -f /etc/resolv.conf)", file.display()));
    file
}

pub fn run(line: &str) {
    let status = Command::new("sh").args(["-c", line]).status().expect("sh");
    assert!(status.success(), "{line}");
}

/// All that the other side says until it has done.
pub fn heard(mut stream: TcpStream) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    text
}
