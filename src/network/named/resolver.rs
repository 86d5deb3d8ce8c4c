//! aardvark-dns, which knows the containers of a network by name and asks the network's way out for all else.
//!
//! Owns its configuration (one file a network: the address at which it listens, then a line a container) and its process. The
//! surprise: it puts itself into the background, out of its parent's sight; so it is started in a pid namespace of its own, whose
//! first process is ours, passes SIGHUP on (the configuration has changed) and takes it along when it ends.

use std::ffi::CString;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Write as _};
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::unistd::Pid;

use super::Lease;
use crate::network::egress::null_stdio;
use crate::spec::networks::Definition;
use crate::sys::child::{close_all_but, exit_now, fork, reap_any, signal_pidfd, wait_pid, wait_pidfd};
use crate::sys::clone::{Child, Side, clone};
use crate::sys::signal::ignore;

#[derive(Debug)]
pub(super) struct Resolver {
    child: Child,
    dir: PathBuf,
}

impl Resolver {
    /// `dir` is the network's run directory, `held` its namespace.
    pub(super) fn start(
        program: &Path,
        network: &Definition,
        held: &File,
        dir: &Path,
        leases: &[Lease],
    ) -> Result<Self, String> {
        let failed = |error: std::io::Error| error.to_string();
        let config = dir.join("dns");
        let _ = std::fs::remove_dir_all(&config);
        std::fs::create_dir(&config).map_err(failed)?;
        configure(network, dir, leases).map_err(failed)?;
        // An internal network has nobody to ask: its own loopback, where nobody listens, says so at once.
        let mut servers = network.upstream();
        if servers.is_empty() {
            servers.push(IpAddr::from([127, 0, 0, 1]));
        }
        let resolv = dir.join("resolv.conf");
        let text: String = servers.iter().map(|server| format!("nameserver {server}\n")).collect();
        std::fs::write(&resolv, text).map_err(failed)?;
        let words = [program.as_os_str().as_bytes(), b"--config", config.as_os_str().as_bytes(), b"-p", b"53", b"run"];
        let words: Result<Vec<CString>, _> = words.iter().map(|word| CString::new(*word)).collect();
        let words = words.map_err(|error| error.to_string())?;
        let listening = 1 + usize::from(network.v6.is_some());
        let (mut answer, tell) = std::io::pipe().map_err(failed)?;
        let child =
            match clone(CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS).map_err(|errno| errno.to_string())? {
                Side::Parent(child) => child,
                Side::Child => {
                    drop(answer);
                    exit_now(keep(&words, &resolv, held, listening, tell))
                }
            };
        drop(tell);
        let mut ready = [0];
        match answer.read(&mut ready) {
            Ok(1) => Ok(Self { child, dir: dir.to_owned() }),
            _ => {
                let _ = signal_pidfd(child.pidfd.as_fd(), libc::SIGKILL);
                Err(format!("{} did not start", program.display()))
            }
        }
    }

    /// Its first process ends with the last one that it has started, and is reaped here.
    pub(super) fn is_alive(&self) -> bool {
        matches!(wait_pidfd(self.child.pidfd.as_fd(), false), Ok(None))
    }

    pub(super) fn update(&self, network: &Definition, leases: &[Lease]) -> std::io::Result<()> {
        configure(network, &self.dir, leases)?;
        signal_pidfd(self.child.pidfd.as_fd(), libc::SIGHUP).map_err(Into::into)
    }
}

fn configure(network: &Definition, dir: &Path, leases: &[Lease]) -> std::io::Result<()> {
    let mut text = network.v4.gateway.to_string();
    if let Some(v6) = &network.v6 {
        let _ = write!(text, ",{}", v6.gateway);
    }
    text.push('\n');
    for lease in leases {
        let ip6 = lease.ip6.map(|ip6| ip6.to_string()).unwrap_or_default();
        let _ = writeln!(text, "{} {} {ip6} {}", lease.id, lease.ip, lease.names.join(","));
    }
    // It reads every file of its directory: staged beside that.
    let staged = dir.join("dns.new");
    std::fs::write(&staged, text)?;
    std::fs::rename(staged, dir.join("dns").join(&network.name))
}

/// How long it may take to listen: as slirp4netns.
const START: Duration = Duration::from_secs(30);

/// It calls itself ready before it listens (1.4.0), and there is nothing that says when: so the kernel's table is looked at.
fn listens(sockets: usize) -> bool {
    let deadline = Instant::now() + START;
    let table = |name: &str| std::fs::read_to_string(format!("/proc/self/net/{name}")).unwrap_or_default();
    let port = |line: &&str| line.split_ascii_whitespace().nth(1).is_some_and(|local| local.ends_with(":0035"));
    loop {
        let found: usize = ["udp", "udp6"].map(|name| table(name).lines().filter(port).count()).iter().sum();
        if found >= sockets {
            return true;
        }
        if kill(Pid::from_raw(-1), None).is_err() || Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The first process of its pid namespace.
fn keep(words: &[CString], resolv: &Path, held: &File, sockets: usize, mut tell: std::io::PipeWriter) -> u8 {
    let _ = prctl::set_pdeathsig(Signal::SIGKILL);
    let waited: SigSet = [Signal::SIGHUP, Signal::SIGCHLD].into_iter().collect();
    let none = None::<&str>;
    let theirs = std::fs::canonicalize("/etc/resolv.conf").unwrap_or_else(|_| PathBuf::from("/etc/resolv.conf"));
    // Above all the pipe on which somebody waits for the holder.
    let settled = close_all_but(&mut [held.as_raw_fd(), tell.as_raw_fd()])
        .and_then(|()| null_stdio())
        .and_then(|()| mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none))
        .and_then(|()| mount(Some(resolv), &theirs, none, MsFlags::MS_BIND, none))
        .and_then(|()| setns(held, CloneFlags::CLONE_NEWNET))
        .and_then(|()| sigprocmask(SigmaskHow::SIG_SETMASK, Some(&waited), None));
    if settled.is_err() {
        return 1;
    }
    let started = fork(|| {
        // It calls itself ready before it handles SIGHUP, which would end it until then. It reads its names after that, so none is lost.
        let _ = ignore(Signal::SIGHUP);
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
        let _ = nix::unistd::execv(&words[0], words);
        127
    });
    // It has gone into the background when this one has ended.
    let Ok(Ok(exit)) = started.map(wait_pid) else { return 1 };
    if exit.status() != 0 || !listens(sockets) || tell.write_all(b"k").is_err() {
        return 1;
    }
    drop(tell);
    loop {
        if waited.wait() == Ok(Signal::SIGHUP) {
            let _ = kill(Pid::from_raw(-1), Signal::SIGHUP);
        }
        loop {
            match reap_any() {
                Ok(Some(_)) => {}
                Ok(None) => break,
                // Nobody is left.
                Err(_) => return 0,
            }
        }
    }
}
