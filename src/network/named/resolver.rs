//! The process of a network that answers for its names: `rl: names`.
//!
//! Owns its start: into the network's namespace, listening at the bridge's addresses, and then without any right. The surprise: it is
//! never told anything; see `names`.

use std::fs::File;
use std::io::{Read, Write};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};

use super::names::Names;
use crate::network::dns::{self, Listener, Resolvers};
use crate::network::egress::null_stdio;
use crate::network::forward::Forwarder;
use crate::spec::networks::Definition;
use crate::sys::child::{close_all_but, exit_now, fork};
use crate::sys::{capability, process};

/// Starts it for a network whose namespace is `held`; it ends when the process does that has started it, or when what is given back
/// is dropped. `servers` are asked for other names; `run` is where running state is kept.
pub(super) fn start(network: &Definition, servers: &[IpAddr], held: &File, run: &Path) -> Result<Forwarder, String> {
    let failed = |error: std::io::Error| format!("serve names: {error}");
    let (mut answer, tell) = std::io::pipe().map_err(failed)?;
    let parent = nix::unistd::getpid();
    let pid = fork(|| {
        let _ = prctl::set_pdeathsig(Signal::SIGKILL);
        if nix::unistd::getppid() != parent {
            exit_now(0);
        }
        serve(network, servers, held, run, tell)
    })
    .map_err(|errno| failed(errno.into()))?;
    let process = Forwarder::of(pid).map_err(|errno| failed(errno.into()))?;
    let mut said = String::new();
    answer.read_to_string(&mut said).map_err(failed)?;
    match said.as_str() {
        "ok" => Ok(process),
        "" => Err("the process that serves names has ended".to_owned()),
        why => Err(format!("serve names: {why}")),
    }
}

fn serve(network: &Definition, servers: &[IpAddr], held: &File, run: &Path, mut tell: std::io::PipeWriter) -> u8 {
    let settled = settle(network, held, tell.as_raw_fd());
    let said = settled.as_ref().map_or_else(|why| why.clone(), |_| "ok".to_owned());
    let told = tell.write_all(said.as_bytes());
    drop(tell);
    let (Ok(listeners), Ok(())) = (settled, told) else { return 1 };
    let names = Names::new(run, &network.name, !servers.is_empty());
    dns::serve(listeners, Resolvers { addresses: servers.to_vec(), mark: None }, names)
}

fn settle(network: &Definition, held: &File, tell: RawFd) -> Result<Vec<Listener>, String> {
    let failed = |what: &str, errno: Errno| format!("{what}: {errno}");
    setns(held, CloneFlags::CLONE_NEWNET).map_err(|errno| failed("enter the network", errno))?;
    close_all_but(&mut [tell]).map_err(|errno| failed("close what is open", errno))?;
    null_stdio().map_err(|errno| failed("open /dev/null", errno))?;
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None).map_err(|errno| failed("sigprocmask", errno))?;
    let gateways = std::iter::once(&network.v4).chain(&network.v6).map(|subnet| subnet.gateway);
    let listen =
        |address: IpAddr| Listener::bind((address, 53).into()).map_err(|error| format!("listen at {address}: {error}"));
    let listeners = gateways.map(listen).collect::<Result<Vec<_>, _>>()?;
    process::hide_arguments("rl: names");
    let _ = prctl::set_name(c"rl: names");
    capability::drop_bounding(0)
        .and_then(|()| capability::set(0, 0, 0))
        .and_then(|()| prctl::set_no_new_privs())
        .map_err(|errno| failed("give rights up", errno))?;
    Ok(listeners)
}
