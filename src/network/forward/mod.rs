//! Ports that no driver can forward: a process with sockets of the host that connects from inside the container's network.
//!
//! libslirp knows published ports over IPv4 alone, and loses what is answered over UDP to the host's loopback. So what
//! slirp4netns is not given, this process serves: it gets sockets that were bound in the host's network, enters the container's
//! network namespace, drops every capability, and copies. The surprise: a socket stays in the network in which it was made, so
//! after entering the namespace the process listens outside and connects inside, without a thread and without a second process.
//! The container sees its own address as the client's.

pub(super) mod control;
mod tcp;
mod udp;

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::unistd::Pid;

pub use control::{add, remove};

use super::ports::Bound;
use crate::error::{Context, Result, catalog::network as codes};
use crate::host::procfs;
use crate::sys::child::{Exit, close_all_but, exit_now, fork, open_pidfd, signal_pidfd, wait_pidfd};
use crate::sys::{capability, process};

/// How long a client over UDP may be silent before it is forgotten; conntrack's time for a stream of both directions is twice
/// as long.
const SILENCE: Duration = Duration::from_secs(60);
/// Clients over UDP that are remembered at most.
const CLIENTS: usize = 4096;
/// Until clients are let in again that found no file left. One that ends lets them in at once; but the whole machine may be short.
const PAUSE_MS: u16 = 1000;
const EVENTS: usize = 256;

/// The process; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Forwarder {
    pid: Pid,
    pidfd: OwnedFd,
}

impl Forwarder {
    /// Of a child that serves a container's network.
    pub(super) fn of(pid: Pid) -> nix::Result<Self> {
        Ok(Self { pid, pidfd: open_pidfd(pid)? })
    }

    /// Its number is its own until this is dropped.
    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// How it has ended, once: that it was killed, or gave up.
    pub(super) fn ended(&self) -> nix::Result<Option<Exit>> {
        wait_pidfd(self.pidfd.as_fd(), false)
    }

    /// Whether it was killed, or gave up.
    pub(super) fn has_ended(&self) -> bool {
        !matches!(self.ended(), Ok(None))
    }
}

impl AsFd for Forwarder {
    /// Readable when it has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        let _ = signal_pidfd(self.pidfd.as_fd(), libc::SIGKILL);
        let _ = wait_pidfd(self.pidfd.as_fd(), true);
    }
}

/// Starts a process that serves `bound` for the container whose first process is `first`, and ends with that. `control` is the
/// socket at which others can add and remove ports.
pub(super) fn start(bound: Vec<Bound>, namespace: &File, first: Pid, control: &Path) -> Result<Forwarder> {
    let doing = || "start the forwarder of published ports".to_owned();
    bound.iter().try_for_each(super::ports::listen)?;
    let watched = open_pidfd(first).context(&codes::NETWORK, doing)?;
    let control = control::listen(control).context(&codes::NETWORK, doing)?;
    let parent = nix::unistd::getpid();
    let pid = fork(|| {
        let _ = prctl::set_pdeathsig(Signal::SIGKILL);
        if nix::unistd::getppid() != parent {
            exit_now(0);
        }
        match settle(namespace, &bound, &control, &watched) {
            Ok(()) => Loop::run(bound, control, &watched),
            Err(_) => 1,
        }
    })
    .context(&codes::NETWORK, doing)?;
    Forwarder::of(pid).context(&codes::NETWORK, doing)
}

/// Starts such a process for a container that runs already: it is nobody's child, and ends with the container.
///
/// # Errors
/// Without rights over the container's namespaces, which the root of the base user namespace has.
pub fn start_beside(bound: Vec<(super::ports::Leg, OwnedFd)>, first: Pid, control: &Path) -> Result<()> {
    let doing = || "start a forwarder of published ports".to_owned();
    bound.iter().try_for_each(super::ports::listen)?;
    let namespace = File::open(procfs::namespace(first.as_raw(), "net")).context(&codes::NETWORK, doing)?;
    let watched = open_pidfd(first).context(&codes::NETWORK, doing)?;
    let control = control::listen(control).context(&codes::NETWORK, doing)?;
    fork(|| {
        let _ = nix::unistd::setsid();
        let _ = nix::unistd::chdir("/");
        match settle(&namespace, &bound, &control, &watched) {
            Ok(()) => Loop::run(bound, control, &watched),
            Err(_) => 1,
        }
    })
    .context(&codes::NETWORK, doing)
    .map(drop)
}

/// Into the container's network, with no rights and nothing open that is not needed.
fn settle(namespace: &File, bound: &[Bound], control: &OwnedFd, watched: &OwnedFd) -> Result<(), Errno> {
    setns(namespace, CloneFlags::CLONE_NEWNET)?;
    let mut keep: Vec<_> = bound.iter().map(|(_, fd)| fd.as_raw_fd()).collect();
    keep.extend([control.as_raw_fd(), watched.as_raw_fd()]);
    close_all_but(&mut keep)?;
    process::hide_arguments("rl: ports");
    let _ = prctl::set_name(c"rl: ports");
    // Each client takes two. Where there are no more to be had it does with what there is.
    let _ = process::open_many_files();
    capability::set(0, 0, 0)?;
    prctl::set_no_new_privs()?;
    // A write to a closed socket is an error of that client's, and no end of all.
    let mut deaf = deaf();
    deaf.add(Signal::SIGPIPE);
    nix::sys::signal::sigprocmask(SigmaskHow::SIG_SETMASK, Some(&deaf), None)
}

/// What a process that serves a container does not hear: a terminal's keys, its hang-up and systemd's stop ask the container to end,
/// and reach every process around it. The container may take its time, and needs its ports and names until then; those who serve it
/// end with it.
pub(super) fn deaf() -> SigSet {
    [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM].into_iter().collect()
}

enum Item {
    Watched,
    Control(OwnedFd),
    Listener(Bound),
    Udp(udp::Listener),
    Client(udp::Client),
    Pair(tcp::Pair),
}

struct Loop {
    epoll: Epoll,
    items: HashMap<u64, Item>,
    next: u64,
    guest: Guest,
    last_sweep: Instant,
    /// Listeners that are not listened to, because there was no file for their next client.
    paused: Vec<u64>,
}

/// A descriptor's token: its item's number, and for the second of two descriptors the low bit.
fn token(item: u64, second: bool) -> u64 {
    item << 1 | u64::from(second)
}

impl Loop {
    fn run(bound: Vec<Bound>, control: OwnedFd, watched: &OwnedFd) -> u8 {
        let Ok(epoll) = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC) else { return 1 };
        let mut all = Self {
            epoll,
            items: HashMap::new(),
            next: 0,
            guest: Guest::default(),
            last_sweep: Instant::now(),
            paused: Vec::new(),
        };
        let watching = all.epoll.add(watched, EpollEvent::new(EpollFlags::EPOLLIN, token(0, false)));
        all.next = 1;
        all.items.insert(0, Item::Watched);
        let controlled = all.insert(Item::Control(control));
        if watching.is_err() || controlled.is_err() || bound.into_iter().any(|one| all.serve(one).is_err()) {
            return 1;
        }
        let mut events = [EpollEvent::empty(); EVENTS];
        loop {
            let idle = match (all.paused.is_empty(), all.has_clients()) {
                (false, _) => EpollTimeout::from(PAUSE_MS),
                (true, true) => EpollTimeout::from(10_000_u16),
                (true, false) => EpollTimeout::NONE,
            };
            let before = all.items.len();
            let count = match all.epoll.wait(&mut events, idle) {
                Ok(count) => count,
                Err(Errno::EINTR) => 0,
                Err(_) => return 1,
            };
            for event in &events[..count] {
                if event.data() == token(0, false) {
                    return 0;
                }
                all.handle(event.data() >> 1, event.data() & 1 == 1);
            }
            all.sweep();
            if count == 0 || all.items.len() < before {
                all.resume();
            }
        }
    }

    fn insert(&mut self, item: Item) -> Result<u64, Errno> {
        let id = self.next;
        self.next += 1;
        let event = |second| EpollEvent::new(EpollFlags::EPOLLIN, token(id, second));
        match &item {
            Item::Watched => {}
            Item::Control(fd) | Item::Listener((_, fd)) => self.epoll.add(fd, event(false))?,
            Item::Udp(listener) => self.epoll.add(listener.fd(), event(false))?,
            Item::Client(client) => self.epoll.add(client.fd(), event(false))?,
            // A pair says itself what it waits for.
            Item::Pair(_) => {}
        }
        self.items.insert(id, item);
        Ok(id)
    }

    fn serve(&mut self, bound: Bound) -> Result<(), Errno> {
        let item = match bound.0.protocol {
            slirp4netns_ctl::Protocol::Tcp => Item::Listener(bound),
            slirp4netns_ctl::Protocol::Udp => Item::Udp(udp::Listener::new(bound)),
        };
        self.insert(item).map(drop)
    }

    fn handle(&mut self, id: u64, second: bool) {
        // Taken out while it is worked on, so that it can add others; an event of an item that is gone is nobody's.
        let Some(item) = self.items.remove(&id) else { return };
        let kept = match item {
            Item::Watched => Some(Item::Watched),
            Item::Control(fd) => {
                control::answer(self, &fd);
                Some(Item::Control(fd))
            }
            Item::Listener((leg, fd)) => {
                if !tcp::accept(self, leg, &fd) {
                    self.pause(id, &fd);
                }
                Some(Item::Listener((leg, fd)))
            }
            Item::Udp(mut listener) => {
                listener.receive(self, id);
                Some(Item::Udp(listener))
            }
            Item::Client(mut client) => match self.items.get(&client.listener) {
                Some(Item::Udp(listener)) => client.answer(listener).then_some(Item::Client(client)),
                _ => None,
            },
            Item::Pair(mut pair) => pair.turn(&self.epoll, id, second).then_some(Item::Pair(pair)),
        };
        if let Some(item) = kept {
            self.items.insert(id, item);
        }
    }

    /// The listener would be reported without end while nobody can be let in.
    fn pause(&mut self, id: u64, fd: &OwnedFd) {
        if self.epoll.delete(fd).is_ok() {
            self.paused.push(id);
        }
    }

    fn resume(&mut self) {
        for id in std::mem::take(&mut self.paused) {
            // None: it was withdrawn meanwhile.
            if let Some(Item::Listener((_, fd))) = self.items.get(&id) {
                let _ = self.epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, token(id, false)));
            }
        }
    }

    fn has_clients(&self) -> bool {
        self.items.values().any(|item| matches!(item, Item::Client(_)))
    }

    /// Forgets clients that have been silent for long.
    fn sweep(&mut self) {
        if self.last_sweep.elapsed() < Duration::from_secs(5) {
            return;
        }
        self.last_sweep = Instant::now();
        self.items.retain(|_, item| !matches!(item, Item::Client(client) if client.last.elapsed() > SILENCE));
        let items = &self.items;
        let alive: std::collections::HashSet<u64> = items.keys().copied().collect();
        for item in self.items.values_mut() {
            if let Item::Udp(listener) = item {
                listener.keep(&alive);
            }
        }
    }
}

/// The container's own addresses, looked up again while there are none: the interface may still be coming.
#[derive(Default)]
struct Guest {
    known: Vec<std::net::IpAddr>,
}

impl Guest {
    /// IPv4 before IPv6: most servers listen on both, and those on one alone mostly on IPv4.
    fn addresses(&mut self) -> Vec<std::net::IpAddr> {
        if !self.known.iter().any(std::net::IpAddr::is_ipv6) {
            self.known = own_addresses();
        }
        self.known.clone()
    }
}

fn own_addresses() -> Vec<std::net::IpAddr> {
    let Ok(all) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    let address = |one: nix::ifaddrs::InterfaceAddress| {
        let storage = one.address?;
        let v4 = storage.as_sockaddr_in().map(|address| std::net::IpAddr::from(address.ip()));
        v4.or_else(|| storage.as_sockaddr_in6().map(|address| address.ip().into()))
    };
    let link_local = |ip: &std::net::IpAddr| matches!(ip, std::net::IpAddr::V6(ip) if ip.is_unicast_link_local());
    let mut found: Vec<_> = all.filter_map(address).filter(|ip| !ip.is_loopback() && !link_local(ip)).collect();
    found.sort_by_key(std::net::IpAddr::is_ipv6);
    found
}
