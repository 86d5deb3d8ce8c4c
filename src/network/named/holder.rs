//! The process that holds a network: `rl: network`.
//!
//! Owns its life: the namespace with the bridge, the programs beside it, who is in there, and the end with the last container. It
//! stays in the host's network itself, or slirp4netns, its child, would have no way out. The surprise: it alone gives addresses
//! out, one request after the other; so they need no lock, and its list on the disk is only for others to read, and for the
//! next holder should this one be killed.

use std::fs::File;
use std::io::{Read, Write};
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::unistd::Pid;

use super::talk::{self, Reply, Request};
use super::{Lease, Leases, Tools, VERSION, links, list, resolver};
use crate::error::{Context, Error, Result, catalog::network as codes};
use crate::host::procfs;
use crate::network::egress::null_stdio;
use crate::network::forward::Forwarder;
use crate::network::forward::control::listen;
use crate::spec::networks::{Definition, Joining};
use crate::state;
use crate::sys::child::{close_all_but, fork, has_ended, open_pidfd, wait_pid};
use crate::sys::process;

/// Until it is tried again to end, where somebody had just come to the door.
const AGAIN_MS: u16 = 1000;

type Said<T> = std::result::Result<T, String>;

struct Holder {
    network: Definition,
    tools: Tools,
    /// Where running state is kept, and this network's.
    run: PathBuf,
    dir: PathBuf,
    held: File,
    slirp: Option<slirp4netns_ctl::Running>,
    /// Who answers for names.
    names: Option<Forwarder>,
    members: Vec<Member>,
}

/// A container that lives and has its addresses.
struct Member {
    lease: Lease,
    pidfd: OwnedFd,
    /// Why it has no interface. Its addresses stay its own, and it is tried again whenever somebody joins.
    unplugged: Option<String>,
}

/// Starts it, and waits until the network is there. Of a container that was in there before and could not be given its place again it
/// says so on stderr.
///
/// # Errors
/// `RL0710` with what it says.
pub(super) fn start(network: &Definition, tools: Tools, run: &Path, dir: &Path) -> Result<()> {
    let name = network.name.clone();
    let doing = || format!("make the network {name}");
    let listener = listen(&dir.join(talk::SOCKET)).context(&codes::NAMED, doing)?;
    let (mut answer, tell) = std::io::pipe().context(&codes::NAMED, doing)?;
    let network = network.clone();
    // Not this process's child: it outlives the container for which it was started, and whoever cleans up after that.
    let between = fork(|| fork(|| hold((network, tools), (run, dir), &listener, tell)).map_or(1, |_| 0));
    let _ = between.and_then(wait_pid).context(&codes::NAMED, doing)?;
    let mut said = String::new();
    answer.read_to_string(&mut said).context(&codes::NAMED, doing)?;
    let (word, warnings) = said.split_once('\n').unwrap_or((&said, ""));
    match word {
        "ok" => {
            warnings.lines().for_each(|line| eprintln!("rl: the network {name}: {line}"));
            Ok(())
        }
        "" => Err(Error::new(&codes::NAMED, doing()).because("its holder has ended")),
        why => Err(Error::new(&codes::NAMED, doing()).because(why)),
    }
}

fn hold(
    (network, tools): (Definition, Tools),
    (run, dir): (&Path, &Path),
    listener: &OwnedFd,
    mut tell: std::io::PipeWriter,
) -> u8 {
    let _ = nix::unistd::setsid();
    let _ = nix::unistd::chdir("/");
    let settled = close_all_but(&mut [listener.as_raw_fd(), tell.as_raw_fd()])
        .and_then(|()| null_stdio())
        .and_then(|()| sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::from(Signal::SIGHUP)), None));
    process::hide_arguments("rl: network");
    let _ = prctl::set_name(c"rl: network");
    let socket = dir.join(talk::SOCKET);
    let made = settled.map_err(|errno| errno.to_string()).and_then(|()| Holder::new(network, tools, run, dir));
    let said = match &made {
        Ok(holder) => holder.complaints().fold("ok".to_owned(), |all, one| all + "\n" + &one),
        Err(why) => why.replace('\n', " "),
    };
    let told = tell.write_all(said.as_bytes());
    drop(tell);
    match (made, told) {
        (Ok(mut holder), Ok(())) => holder.serve(listener),
        _ => {
            let _ = std::fs::remove_file(socket);
            1
        }
    }
}

impl Holder {
    fn new(network: Definition, tools: Tools, run: &Path, dir: &Path) -> Said<Self> {
        let mut sysctls = Vec::new();
        if !network.internal {
            sysctls.push(("net/ipv4/ip_forward", "1"));
            if network.v6.is_some() {
                // Who forwards takes no address from a router, unless it is told to.
                sysctls.extend([("net/ipv6/conf/all/forwarding", "1"), ("net/ipv6/conf/default/accept_ra", "2")]);
            }
        }
        let held = links::namespace(&sysctls)?;
        links::bridge(&tools.ip, &held, &network)?;
        let (run, dir) = (run.to_owned(), dir.to_owned());
        let mut holder = Self { network, tools, run, dir, held, slirp: None, names: None, members: Vec::new() };
        holder.open_way_out()?;
        if let Some(nft) = &holder.tools.nft {
            let nat = "table inet rl {\nchain out {\ntype nat hook postrouting priority srcnat;\noifname \"tap0\" masquerade\n}\n}\n";
            links::nft(nft, &holder.held, nat)?;
        }
        // Of a holder that was killed: its containers lost their network with it, and get the same places again.
        for lease in super::leases(&holder.run, &holder.network.name) {
            // None: it has ended meanwhile.
            if let Some(pidfd) = open_pidfd(Pid::from_raw(lease.pid)).ok().filter(|_| lease.is_alive()) {
                holder.members.push(Member { lease, pidfd, unplugged: Some(String::new()) });
            }
        }
        holder.plug_again();
        holder.publish()?;
        Ok(holder)
    }

    /// Who has lost its place to a holder that was killed gets it back.
    fn plug_again(&mut self) {
        for member in self.members.iter_mut().filter(|member| member.unplugged.is_some()) {
            let Member { lease, .. } = member;
            let plugged = File::open(procfs::namespace(lease.pid, "net")).map_err(|error| error.to_string());
            let plugged = plugged.and_then(|theirs| {
                // The kernel takes its time with the killed one's namespace: the old interface may be there still.
                let _ = links::clear(&self.tools.ip, &theirs, &lease.interface);
                links::plug(&self.tools.ip, &self.held, &self.network, lease, &theirs)
            });
            member.unplugged = plugged.err();
        }
    }

    fn complaints(&self) -> impl Iterator<Item = String> {
        let why = |member: &Member| {
            let why = member.unplugged.as_ref()?.replace('\n', " ");
            Some(format!("{} is without it until somebody joins: {why}", member.lease.names.join(", ")))
        };
        self.members.iter().filter_map(why)
    }

    /// Who answers for names, also in place of one that has ended.
    fn serve_names(&mut self) -> Said<()> {
        if self.names.as_ref().is_some_and(Forwarder::has_ended) {
            self.names = None;
        }
        if self.network.dns && self.names.is_none() {
            self.names = Some(resolver::start(&self.network, &self.tools.upstream, &self.held, &self.run)?);
        }
        Ok(())
    }

    /// slirp4netns, also in place of one that has ended.
    fn open_way_out(&mut self) -> Said<()> {
        let Some(slirp) = &self.tools.slirp else { return Ok(()) };
        if self.slirp.as_mut().is_some_and(|running| running.check().is_ok()) {
            return Ok(());
        }
        let namespace = self.held.try_clone().map_err(|error| error.to_string())?;
        let starting = slirp.start_in(namespace.into()).map_err(|error| error.to_string())?;
        self.slirp = Some(starting.wait().map_err(|error| error.to_string())?);
        Ok(())
    }

    fn serve(&mut self, listener: &OwnedFd) -> u8 {
        loop {
            let mut polls = vec![PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
            polls.extend(self.members.iter().map(|member| PollFd::new(member.pidfd.as_fd(), PollFlags::POLLIN)));
            polls.extend(self.names.iter().map(|names| PollFd::new(names.as_fd(), PollFlags::POLLIN)));
            let idle = if self.members.is_empty() { PollTimeout::from(AGAIN_MS) } else { PollTimeout::NONE };
            if poll(&mut polls, idle).is_err_and(|errno| errno != nix::errno::Errno::EINTR) {
                return 1;
            }
            let asked = polls[0].revents().is_some_and(|events| !events.is_empty());
            self.forget_the_dead();
            // What can't be done now is tried again with the next who joins.
            let _ = self.serve_names();
            if asked {
                talk::serve(listener, |request, theirs| self.answer(request, theirs));
            }
            if self.members.is_empty() && self.may_end() {
                return 0;
            }
        }
    }

    /// Whoever is about to join has the lock: then there is somebody to wait for.
    fn may_end(&self) -> bool {
        let Ok(Some(_lock)) = state::try_lock(&self.dir) else { return false };
        let _ = std::fs::remove_file(self.dir.join(talk::SOCKET));
        let _ = std::fs::remove_file(list(&self.run, &self.network.name));
        true
    }

    fn forget_the_dead(&mut self) {
        let ended: Vec<Member> = self.members.extract_if(.., |member| has_ended(member.pidfd.as_fd())).collect();
        if !ended.is_empty() {
            let _ = self.publish();
        }
        for member in &ended {
            // The kernel takes it away itself, some time later; until then its name and its address could not be another's.
            let _ = links::unplug(&self.tools.ip, &self.held, member.lease.port);
        }
    }

    fn answer(&mut self, request: Request, theirs: Option<OwnedFd>) -> Reply {
        let done = match request {
            Request::Join { joining, pid } => theirs
                .ok_or("no namespace".to_owned())
                .and_then(|theirs| self.join(*joining, pid, &theirs.into()).map(Some)),
            Request::Leave { id } => Ok(self.leave(&id)),
        };
        done.map_or_else(Reply::Failed, Reply::Done)
    }

    fn join(&mut self, joining: Joining, pid: i32, theirs: &File) -> Said<Lease> {
        self.open_way_out()?;
        self.serve_names()?;
        self.plug_again();
        if self.members.iter().any(|member| member.lease.id == joining.id) {
            return Err("the container is in it already".to_owned());
        }
        let taken = |lease: &Lease| [Some(lease.ip), lease.ip6];
        let taken: Vec<IpAddr> = self.members.iter().flat_map(|member| taken(&member.lease)).flatten().collect();
        let none = |asked: Option<IpAddr>| match asked {
            Some(asked) => format!("{asked} is another's, or not in the network"),
            None => "all its addresses are taken".to_owned(),
        };
        let asked = joining.ip.map(IpAddr::V4);
        let ip = self.network.v4.take(asked, &taken).ok_or_else(|| none(asked))?;
        let asked = joining.ip6.map(IpAddr::V6);
        let ip6 = match &self.network.v6 {
            Some(v6) => Some(v6.take(asked, &taken).ok_or_else(|| none(asked))?),
            None if asked.is_some() => return Err("it has no IPv6".to_owned()),
            None => None,
        };
        let ports: Vec<u32> = self.members.iter().map(|member| member.lease.port).collect();
        let lease = Lease {
            id: joining.id,
            names: joining.names,
            interface: joining.interface,
            ip,
            ip6,
            port: (0..).find(|port| !ports.contains(port)).unwrap_or_default(),
            default_route: joining.default_route,
            pid,
            start_time: procfs::start_time(pid).ok_or("the container has ended")?,
        };
        let pidfd = open_pidfd(Pid::from_raw(lease.pid)).map_err(|errno| errno.to_string())?;
        links::plug(&self.tools.ip, &self.held, &self.network, &lease, theirs)?;
        self.members.push(Member { lease: lease.clone(), pidfd, unplugged: None });
        if let Err(why) = self.publish() {
            self.leave(&lease.id);
            return Err(why);
        }
        Ok(lease)
    }

    fn leave(&mut self, id: &str) -> Option<Lease> {
        let at = self.members.iter().position(|member| member.lease.id == id)?;
        let lease = self.members.remove(at).lease;
        let _ = links::unplug(&self.tools.ip, &self.held, lease.port);
        let _ = self.publish();
        Some(lease)
    }

    /// For those who ask for names, and for whoever reads the list.
    fn publish(&self) -> Said<()> {
        let leases = Leases {
            version: VERSION,
            holder: std::process::id(),
            dns: self.network.dns,
            leases: self.members.iter().map(|member| member.lease.clone()).collect(),
        };
        state::write_replacing(&list(&self.run, &self.network.name), &leases, false).map_err(|error| error.to_string())
    }
}
