//! What goes out of a container, filtered where the container can't change it.
//!
//! Owns the namespace of `--egress`: a network namespace of the base user namespace, made before the container is. The container's
//! processes are put into it and have no rights over it, whatever capabilities they have in their own user namespace: they can
//! change no rule, no address and no route, make no raw packet, and set no mark. The rules are nftables' and loaded before
//! anybody is in there; names are served by a process that is in there from the beginning (`names`). The surprise: ports below
//! 1024 and ping are rights over the namespace as well, so they are given by kernel parameters.

mod names;
pub(super) mod nft;
mod rules;

use std::fs::File;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::{SigmaskHow, Signal, sigprocmask};
use nix::sys::stat::Mode;

use super::dns::Listener;
use super::forward::{Forwarder, deaf};
use crate::error::{Context, Error, Result, catalog::network as codes};
use crate::host::procfs;
use crate::spec::egress::RESOLVER;
use crate::spec::network::Guard;
use crate::sys::child::{close_all_but, exit_now, fork};
use crate::sys::{capability, loopback, process};

/// Set on the packets with which `names` asks; nobody else in the namespace may set a mark.
const MARK: u32 = 0x726c;
/// linux/capability.h
const CAP_NET_ADMIN: u32 = 12;

/// The namespace, and the process that serves names in it until this is dropped.
#[derive(Debug)]
pub(super) struct Guarded {
    pub(super) namespace: File,
    pub(super) process: Option<Forwarder>,
}

/// Looks for the program that loads the rules.
pub(super) fn prepare() -> Result<PathBuf> {
    nft::find()
}

/// Makes the namespace with its rules.
///
/// # Errors
/// `RL0709` with what nft or the kernel says.
pub(super) fn make(guard: &Guard, nft: PathBuf) -> Result<Guarded> {
    let doing = || "make a filtered network".to_owned();
    let (mut answer, tell) = std::io::pipe().context(&codes::EGRESS, doing)?;
    let parent = nix::unistd::getpid();
    let pid = fork(|| {
        let _ = prctl::set_pdeathsig(Signal::SIGKILL);
        if nix::unistd::getppid() != parent {
            exit_now(0);
        }
        serve(guard, nft, tell)
    })
    .context(&codes::EGRESS, doing)?;
    let process = Forwarder::of(pid).context(&codes::EGRESS, doing)?;
    let mut said = String::new();
    answer.read_to_string(&mut said).context(&codes::EGRESS, doing)?;
    if said != "ok" {
        let said = if said.is_empty() { "the process that makes it has ended".to_owned() } else { said };
        return Err(Error::new(&codes::EGRESS, doing()).because(said));
    }
    let namespace = File::open(procfs::namespace(pid.as_raw(), "net")).context(&codes::EGRESS, doing)?;
    // Without a name to serve it was only needed until its namespace was open.
    let process = Some(process).filter(|_| guard.egress.has_names(guard.peers));
    Ok(Guarded { namespace, process })
}

fn serve(guard: &Guard, nft: PathBuf, mut tell: std::io::PipeWriter) -> u8 {
    let settled = settle(guard, &nft, tell.as_raw_fd());
    let said = settled.as_ref().map_or_else(|why| why.clone(), |_| "ok".to_owned());
    let told = tell.write_all(said.as_bytes());
    drop(tell);
    match (settled, told) {
        (Ok(Some(socket)), Ok(())) => names::serve(socket, guard, &nft),
        // The parent opens the namespace, and ends this process then.
        (Ok(None), Ok(())) => loop {
            nix::unistd::pause();
        },
        _ => 1,
    }
}

/// A namespace with its rules, and no rights left but that of adding addresses to them.
fn settle(guard: &Guard, nft: &std::path::Path, tell: std::os::fd::RawFd) -> Result<Option<Listener>, String> {
    let failed = |what: &str, errno: Errno| format!("{what}: {errno}");
    close_all_but(&mut [tell]).map_err(|errno| failed("close what is open", errno))?;
    null_stdio().map_err(|errno| failed("open /dev/null", errno))?;
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&deaf()), None).map_err(|errno| failed("sigprocmask", errno))?;
    unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| failed("make a network namespace", errno))?;
    loopback::up().map_err(|errno| failed("set lo up", errno))?;
    for (key, value) in &guard.sysctls {
        // This process's own /proc, which nothing of the container has touched; it shows the network of whoever looks.
        let path = format!("/proc/sys/{}", key.replace('.', "/"));
        std::fs::write(&path, value).map_err(|error| format!("set the sysctl {key}={value}: {error}"))?;
    }
    let names = guard.egress.has_names(guard.peers);
    nft::load(nft, &rules::table(&guard.egress, names))?;
    let socket = names.then(|| Listener::bind((Ipv4Addr::from(RESOLVER), 53).into()));
    let socket = socket.transpose().map_err(|error| format!("listen for questions to DNS: {error}"))?;
    process::hide_arguments("rl: egress");
    let _ = prctl::set_name(c"rl: egress");
    let own = 1 << CAP_NET_ADMIN;
    capability::drop_bounding(own)
        .and_then(|()| capability::set(own, own, 0))
        .and_then(|()| prctl::set_no_new_privs())
        .map_err(|errno| failed("give rights up", errno))?;
    Ok(socket)
}

/// Programs that are started from here must not find their pipes at 0 to 2.
pub(super) fn null_stdio() -> Result<(), Errno> {
    loop {
        let fd = open("/dev/null", OFlag::O_RDWR, Mode::empty())?.into_raw_fd();
        if fd >= 2 {
            return Ok(());
        }
    }
}
