//! What is to be made, from what was typed and what this machine is: the document, the plan, and `--plan`, which shows them.
//!
//! Owns collecting the facts that `spec` needs; `spec` and `plan` themselves ask nobody. The surprise: the result is on the heap, because
//! what lies on the stack of this process is copied page by page when it makes the container's.

use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;

use super::PlanFormat;
use super::borrowed;
use super::ground::{self, Ground};
use super::launch::From;
use crate::cli::foreign::Foreign;
use crate::cli::warn_fallback;
use crate::error::{Context, Result, catalog::network as codes, catalog::state};
use crate::host::emulation::Emulator;
use crate::host::{Host, procfs};
use crate::network::named::store::Networks;
use crate::plan::{self, Plan, RootSource};
use crate::runtime::base::{self, Entered};
use crate::runtime::container;
use crate::spec::files::HOST_GATEWAY;
use crate::spec::network::Network;
use crate::spec::{self, Extras, Facts, Identity, Ids, ImageConfig, RunSpec, UserNs};
use crate::state::Containers;
use crate::volume;

/// Everything that is known before anything is made.
pub(super) struct Compiled {
    pub(super) spec: Spec,
    pub(super) extras: Extras,
    pub(super) plan: Plan,
}

pub(super) fn compile(
    host: &Host,
    run: &RunSpec,
    ids: &Ids,
    image: &ImageConfig,
    root: &RootSource,
    identity: &Identity,
    emulators: &[Emulator],
) -> Result<Box<Compiled>> {
    let facts = facts(host, run)?;
    let (spec, mut extras) = spec::build::build(run, image, ids, identity, &facts)?;
    extras.emulators = emulators.to_vec();
    let files = spec::files::etc_files(run, identity, &facts);
    let plan = plan::compile::compile(&spec, &extras, ids, identity, root, &host.dirs.run, files)?;
    Ok(Box::new(Compiled { spec, extras, plan }))
}

pub(super) fn resolve_ids(host: &Host, mode: &UserNs, entered: &Entered) -> Result<Ids> {
    spec::ids::resolve(mode, &entered.base, host.caller.uid, host.caller.gid, &[])
}

/// What the specification needs to know of this machine.
fn facts(host: &Host, run: &RunSpec) -> Result<Facts> {
    let unified = nix::sys::statfs::statfs("/sys/fs/cgroup")
        .is_ok_and(|stat| stat.filesystem_type() == nix::sys::statfs::CGROUP2_SUPER_MAGIC);
    let (mut network_namespace, mut hosts) = (None, String::new());
    let resolv_conf = match &run.network {
        Network::None => None,
        Network::Container(name) => {
            let (container, running) =
                Containers::open(&host.dirs).find_running(name).map_err(|error| error.exit(125))?;
            network_namespace = Some(procfs::namespace(running.pid.as_raw(), "net"));
            hosts = std::fs::read_to_string(container.run.join("hosts")).unwrap_or_default();
            Some(container.run.join("resolv.conf"))
        }
        Network::Host | Network::Slirp4netns(_) | Network::Pasta(_) | Network::Named(_) => {
            Some(PathBuf::from("/etc/resolv.conf"))
        }
    };
    let resolv_conf = resolv_conf.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    let host_mqueue = run.share.ipc && Path::new("/dev/mqueue").is_dir();
    let host_name = if run.share.uts { nix::unistd::gethostname().ok() } else { None };
    let host_name = host_name.and_then(|name| name.into_string().ok());
    let host_gateway =
        if run.add_hosts.iter().any(|(_, ip)| ip == HOST_GATEWAY) { host_gateway(&run.network)? } else { None };
    let networks = match &run.network {
        Network::Named(all) => {
            let store = Networks::open(&host.dirs);
            all.iter().map(|one| store.find(&one.network)).collect::<Result<_>>()?
        }
        _ => Vec::new(),
    };
    let congestion_control = if run.network.is_proxied() {
        std::fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control").unwrap_or_default().trim().to_owned()
    } else {
        String::new()
    };
    Ok(Facts {
        unified_cgroup: unified,
        host_mqueue,
        host_name,
        resolv_conf,
        hosts,
        host_gateway,
        network_namespace,
        networks,
        congestion_control,
    })
}

/// An address at which the container finds the host: its loopback, where that was asked for, else the address from which this
/// machine reaches others. Nothing is sent to find that out; the address asked about is nobody's (RFC 5737).
fn host_gateway(network: &Network) -> Result<Option<IpAddr>> {
    if let Some(gateway) = network.loopback_gateway() {
        return Ok(Some(gateway.into()));
    }
    let doing = || "find an address of this machine for host-gateway".to_owned();
    let socket = UdpSocket::bind("0.0.0.0:0").context(&codes::NETWORK, doing)?;
    socket.connect("192.0.2.1:9").context(&codes::NETWORK, doing)?;
    Ok(Some(socket.local_addr().context(&codes::NETWORK, doing)?.ip()))
}

/// `--plan`: starts nothing and makes nothing.
pub(super) fn print(host: &Host, run: &RunSpec, (place, platform): From<'_>, format: PlanFormat) -> Result<u8> {
    let entered = base::foresee(host, &run.userns)?;
    warn_fallback(entered.fallback.as_ref());
    let Ground { image, platform, layers, .. } = ground::ground(&run.source, place, platform)?;
    let foreign = Foreign::of(platform.as_ref(), host)?;
    let id = container::new_id()?;
    let name = run.name.clone().unwrap_or_else(|| id[..12].to_owned());
    let identity = Identity { dir: host.dirs.containers().join(&id), id, name };
    let root = layers.below(&host.dirs.data.join("containers").join(&identity.id), run.remove);
    let mut run = run.clone();
    volume::foresee(&mut run, &image, &host.dirs);
    borrowed::foresee(host, &mut run);
    let run = &run;
    let ids = resolve_ids(host, &run.userns, &entered)?;
    let compiled = *compile(host, run, &ids, &image, &root, &identity, &foreign.emulators)?;
    let json = |value: serde_json::Result<String>| value.context(&state::INTERNAL, || "write JSON".into());
    let text = match format {
        PlanFormat::Shell => plan::shell::script(&compiled.plan),
        PlanFormat::Json => json(serde_json::to_string_pretty(&compiled.plan))?,
        PlanFormat::Oci => {
            json(serde_json::to_string_pretty(&spec::document::document(compiled.spec, &compiled.extras)?))?
        }
    };
    println!("{}", text.trim_end());
    Ok(0)
}
