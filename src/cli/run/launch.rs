//! From a [`RunSpec`] to a running container: who calls whom, in the design's order.
//!
//! Owns nothing but that order; each line is one module's work. The surprise: the base user namespace is entered before the
//! image is looked up, because the layers belong to subordinate ids.

use std::borrow::Cow;
use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use oci_spec::runtime::Spec;

use super::borrowed::{self, Borrowed};
use super::detached::{self, Detached};
use super::ground::{self, Ground};
use super::image::{self, Ensured, Place, Want};
use super::{PlanFormat, replace};
use crate::cli::foreign::Foreign;
use crate::cli::{Globals, warn_fallback};
use crate::error::{
    Context, Error, Result, catalog::command_line, catalog::network as codes, catalog::rootfs, catalog::state,
};
use crate::host::emulation::Emulator;
use crate::host::{Host, procfs};
use crate::image::{Platform, Store};
use crate::network::named::store::Networks;
use crate::plan::{self, Plan, RootSource};
use crate::runtime::base::{self, Entered};
use crate::runtime::container::{self, Container};
use crate::runtime::fuse::Fuse;
use crate::runtime::mountpoints;
use crate::runtime::parent::{self, Ended, Job};
use crate::runtime::seccomp;
use crate::runtime::stdio::Stdio;
use crate::runtime::storage::{self, Driver};
use crate::runtime::supervisor::Origin;
use crate::spec::files::HOST_GATEWAY;
use crate::spec::lifecycle::Attached;
use crate::spec::network::Network;
use crate::spec::{self, Extras, Facts, Identity, Ids, ImageConfig, RunSpec, Source, UserNs, Volume};
use crate::state::{Containers, Record, Status, Typed};
use crate::volume;

/// Everything that is known before anything is made.
struct Compiled {
    spec: Spec,
    extras: Extras,
    plan: Plan,
}

/// Runs the container, or prints what would be done; gives the exit status.
pub(super) fn launch(globals: &Globals, run: &RunSpec, want: &Want, show: Option<PlanFormat>) -> Result<u8> {
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    let (place, run) = match ready(globals, &host, run, want)? {
        Ok(ready) => ready,
        Err(status) => return Ok(status),
    };
    let run = &*run;
    if let Some(format) = show {
        return print(&host, run, (place.as_ref(), want.platform()), format);
    }
    replace::replace(&host, run)?;
    crate::network::ports::check(&run.publish)?;
    match run.detach {
        false => foreground(globals, &host, run, (place.as_ref(), want.platform())),
        true => {
            let id = detached::run(globals, &host, run, (place.as_ref(), want.platform()))?;
            println!("{id}");
            Ok(0)
        }
    }
}

/// `rl create`.
pub(super) fn create(globals: &Globals, run: &RunSpec, want: &Want) -> Result<u8> {
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    match ready(globals, &host, run, want)? {
        Ok((place, run)) => {
            replace::replace(&host, &run)?;
            println!("{}", detached::create(globals, &host, &run, (place.as_ref(), want.platform()))?);
            Ok(0)
        }
        Err(status) => Ok(status),
    }
}

/// All images are there, and what other containers have is known. Err: a pull has failed and has said why.
type Ready<'a> = std::result::Result<(Option<Place>, Cow<'a, RunSpec>), u8>;

/// What has to be known before anything is made.
fn ready<'a>(globals: &Globals, host: &Host, run: &'a RunSpec, want: &Want) -> Result<Ready<'a>> {
    let place = match image::ensure(globals, host, &run.source, want)? {
        Ensured::There(place) => place,
        Ensured::Ended(status) => return Ok(Err(status)),
    };
    let mut run = Cow::Borrowed(run);
    if !run.volumes_from.is_empty() {
        borrowed::volumes_from(host, run.to_mut())?;
    }
    match borrowed::ensure(globals, host, &run, want)? {
        Some(status) => Ok(Err(status)),
        None => Ok(Ok((place, run))),
    }
}

/// Where the image is, and the platform of the command line.
pub(super) type From<'a> = (Option<&'a Place>, Option<&'a Platform>);

fn foreground(globals: &Globals, host: &Host, run: &RunSpec, from: From<'_>) -> Result<u8> {
    if run.cgroups.logout.is_some() {
        let what = "--logout without -d: a container in the foreground ends with its rl";
        return Err(Error::new(&command_line::CONFLICT, what));
    }
    let entered = base::enter(host, &run.userns)?;
    warn_fallback(entered.fallback.as_ref());
    let mut made = Made::new(globals, host, run, from)?;
    let ended = made.launch(host, &entered, Mode::Foreground);
    let (id, anonymous) = (made.record.id.clone(), made.record.run.volumes.iter().any(Volume::is_anonymous));
    made.container.remove(!run.remove && ended.is_ok())?;
    if run.remove && anonymous {
        volume::remove_of(&host.dirs, &id)?;
    }
    if let (Source::Image(image), true) = (&run.source, run.ending.remove_image) {
        // Until now this process has kept it from being deleted.
        drop((made.ground, made.borrowed));
        Store::open(&host.dirs).remove_unused(image)?;
    }
    ended
}

/// A container that has its id and its directories, in hand.
pub(super) struct Made {
    pub(super) container: Container,
    /// All but its command, until it was started once.
    pub(super) record: Record,
    ground: Ground,
    /// What runs the programs of other architectures.
    foreign: Foreign,
    /// Its record is not on the disk yet.
    fresh: bool,
    driver: Option<Driver>,
    /// Images that are volumes.
    borrowed: Borrowed,
}

/// How it is started.
#[derive(Clone, Copy)]
pub(super) enum Mode<'a> {
    /// This process stays with it, and its stdio is this process's.
    Foreground,
    /// This process becomes its supervisor.
    Detached(&'a Detached<'a>),
    /// Not now.
    Never,
}

impl Made {
    pub(super) fn new(globals: &Globals, host: &Host, run: &RunSpec, (place, platform): From<'_>) -> Result<Self> {
        // Until the container has ended: rl rmi must not take its layers away.
        let mut ground = ground::ground(&run.source, place, platform)?;
        let exposed = &mut ground.image.exposed_ports;
        let more: Vec<_> = run.expose.iter().filter(|port| !exposed.contains(port)).cloned().collect();
        exposed.extend(more);
        let foreign = Foreign::of(ground.platform.as_ref(), host)?;
        if let (Some(place), Some(platform)) = (place, &ground.platform) {
            place.warn(platform);
        }
        let named = !run.remove || run.detach;
        let container = Container::create(&host.dirs, run.name.as_deref(), named)?;
        if let Some(path) = &run.cidfile {
            write_cidfile(path, &container.identity.id)?;
        }
        let Identity { id, name, .. } = &container.identity;
        let mut record = Record::new(id, name, ground::called(&run.source), &ground.image, run);
        record.image_id.clone_from(&ground.image_id);
        record.platform = ground.platform.as_ref().map(Platform::to_string);
        let store = ground.pin.as_ref().map(|pin| pin.store().to_owned());
        record.store = store.filter(|store| *store != host.dirs.data);
        record.typed = typed(run);
        record.driver = globals.storage_driver.map(|driver| driver.to_string());
        Ok(Self {
            container,
            record,
            ground,
            foreign,
            fresh: true,
            driver: globals.storage_driver,
            borrowed: Borrowed::default(),
        })
    }

    /// One that was made before.
    pub(super) fn again(host: &Host, record: Record, container: Container) -> Result<Self> {
        let ground = ground::again(&host.dirs, &record, &container.data)?;
        let driver = record.driver.as_deref().map(str::parse).transpose()?;
        let foreign = Foreign::of(ground.platform.as_ref(), host)?;
        Ok(Self { container, record, ground, foreign, fresh: false, driver, borrowed: Borrowed::default() })
    }

    pub(super) fn launch(&mut self, host: &Host, entered: &Entered, mode: Mode<'_>) -> Result<u8> {
        let ids = resolve_ids(host, &self.record.run.userns, entered)?;
        volume::prepare(&mut self.record.run, &self.ground.image, &ids, &host.dirs, &self.record.id)?;
        if !matches!(mode, Mode::Never) {
            self.borrowed = borrowed::mount(host, &mut self.record.run, &self.container, &ids)?;
        }
        let root = self.ground.layers.below(&self.container.data, self.record.run.remove);
        let driver = self.driver;
        let ended = Launch { host, entered, made: self, mode }.start(&root, driver);
        self.borrowed.stop();
        ended
    }
}

/// The words of this process, where they are those of `rl run` or `rl create`.
fn typed(run: &RunSpec) -> Option<Typed> {
    let all: Vec<String> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let of_a_flag = |at: usize| at > 0 && ["--root", "--runroot", "--storage-driver"].contains(&all[at - 1].as_str());
    let verb = (0..all.len()).find(|at| matches!(all[*at].as_str(), "run" | "create") && !of_a_flag(*at))?;
    let image = all.len().checked_sub(run.command.len() + 1).filter(|image| *image > verb)?;
    let (flags, rest) = (all[verb + 1..image].to_vec(), all[image..].to_vec());
    Some(Typed { dir: std::env::current_dir().ok()?, flags, rest })
}

struct Launch<'a> {
    host: &'a Host,
    entered: &'a Entered,
    made: &'a mut Made,
    mode: Mode<'a>,
}

impl Launch<'_> {
    /// The kernel's overlay is tried without asking whether it works; where it does not, another driver is found, once a session.
    fn start(&mut self, root: &RootSource, forced: Option<Driver>) -> Result<u8> {
        let dirs = &self.host.dirs;
        let driver = forced.unwrap_or_else(|| storage::remembered(dirs));
        match self.attempt(root, driver) {
            Err(error) if forced.is_none() && driver == Driver::Overlay && *error.entry() == rootfs::OVERLAY => {
                let chosen = storage::probe(dirs)?;
                if chosen.driver == Driver::Overlay {
                    return Err(error);
                }
                eprintln!("rl: images are put together with {} here ({})", chosen.driver, chosen.against);
                self.attempt(root, chosen.driver)
            }
            ended => ended,
        }
    }

    fn attempt(&mut self, root: &RootSource, driver: Driver) -> Result<u8> {
        let Made { container, record, ground, .. } = &*self.made;
        let ids = resolve_ids(self.host, &record.run.userns, self.entered)?;
        let mountpoints = mountpoints::lowest(&self.host.dirs, &record.run.etc);
        let (root, mounted) = ground.stand(root, driver, &ids, container, mountpoints)?;
        let mut ended = self.on(&root, mounted.as_ref());
        while let Err(error) = &ended
            && self.made.foreign.learn(error, self.made.ground.platform.as_ref(), self.host)?
        {
            if self.made.record.run.remove {
                again(&root)?;
            }
            ended = self.on(&root, mounted.as_ref());
        }
        // Said beside whatever the container made of it, which need not have noticed.
        if let Some(Err(error)) = mounted.map(Fuse::stop) {
            eprintln!("rl: {error}");
        }
        let Some(ended) = ended? else { return Ok(0) };
        if let Some(remark) = ended.remark {
            eprintln!("rl: {remark}");
        }
        Ok(ended.exit.status())
    }

    /// None: it was not to be started.
    fn on(&self, root: &RootSource, mounted: Option<&Fuse>) -> Result<Option<Ended>> {
        let Self { host, entered, made, mode } = self;
        let Made { container, record, ground, foreign, .. } = &**made;
        let (run, image, emulators) = (&record.run, &ground.image, &foreign.emulators);
        let mut run = run.clone();
        run.cgroups.detached = matches!(mode, Mode::Detached(_));
        let run = &run;
        let Compiled { plan, extras, .. } = compile(host, run, entered, image, root, &container.identity, emulators)?;
        let bounding = plan.bounding().unwrap_or_default();
        let filter = seccomp::program(&extras.seccomp, bounding, &host.dirs.data.join("seccomp"))?;
        let mut record = record.clone();
        record.command.clone_from(&plan.process.args);
        let detached = match mode {
            Mode::Foreground => None,
            Mode::Detached(detached) => Some(*detached),
            Mode::Never => return container.keep(&record, ground.pin.as_ref()).map(|()| None),
        };
        let mut status = None;
        if !run.remove {
            if made.fresh {
                container.keep(&record, ground.pin.as_ref())?;
            }
            let restarts = detached.map_or(0, |detached| detached.restarts);
            status.insert(Status::starting(restarts)).write(&container.data)?;
        }
        if let (Some(pin), true, true) = (&ground.pin, run.remove, detached.is_some()) {
            // What holds the layers now ends with this process's memory.
            container.pin(pin)?;
        }
        let (of_one_run, dirs) = (Some(&record).filter(|_| run.remove), &host.dirs);
        let muted = detached.is_none() && !run.tty && run.attached != Attached::default();
        let stdio = muted.then(|| Stdio::muted(run.attached)).transpose()?;
        let job = Job {
            plan: &plan,
            filter: filter.as_ref(),
            container,
            record: of_one_run,
            dirs,
            stdio: stdio.as_ref(),
            pid_files: &run.pid_files,
            timeout: run.ending.timeout.map(|seconds| Duration::from_secs(seconds.into())),
        };
        if let Some(detached) = detached {
            let mounted: Vec<_> = mounted.into_iter().chain(&made.borrowed.helpers).collect();
            return Err(detached.start(&job, &record, Origin::of(host, &entered.base), &mounted));
        }
        let ended = parent::run(&job)?;
        if let Some(status) = status {
            let mut status = status.ended(ended.exit.status());
            status.oom = ended.oom;
            status.write(&container.data)?;
        }
        Ok(Some(ended))
    }
}

/// The kernel takes the directories of a volatile overlay only once; nothing has been written to them yet.
fn again(root: &RootSource) -> Result<()> {
    let RootSource::Overlay { upper, work, .. } = root else { return Ok(()) };
    [upper, work].into_iter().filter(|path| path.exists()).try_for_each(|path| crate::image::remove_tree(path))
}

/// `--plan`: starts nothing and makes nothing.
fn print(host: &Host, run: &RunSpec, (place, platform): From<'_>, format: PlanFormat) -> Result<u8> {
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
    let compiled = compile(host, run, &entered, &image, &root, &identity, &foreign.emulators)?;
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

fn compile(
    host: &Host,
    run: &RunSpec,
    entered: &Entered,
    image: &ImageConfig,
    root: &RootSource,
    identity: &Identity,
    emulators: &[Emulator],
) -> Result<Compiled> {
    let ids = resolve_ids(host, &run.userns, entered)?;
    let facts = facts(host, run)?;
    let (spec, mut extras) = spec::build::build(run, image, &ids, identity, &facts)?;
    extras.emulators = emulators.to_vec();
    let files = spec::files::etc_files(run, identity, &facts);
    let plan = plan::compile::compile(&spec, &extras, &ids, identity, root, &host.dirs.run, files)?;
    Ok(Compiled { spec, extras, plan })
}

fn resolve_ids(host: &Host, mode: &UserNs, entered: &Entered) -> Result<Ids> {
    spec::ids::resolve(mode, &entered.base, host.caller.uid, host.caller.gid, &[])
}

/// What the specification needs to know of this machine.
fn facts(host: &Host, run: &RunSpec) -> Result<Facts> {
    let unified = nix::sys::statfs::statfs("/sys/fs/cgroup")
        .is_ok_and(|stat| stat.filesystem_type() == nix::sys::statfs::CGROUP2_SUPER_MAGIC);
    let mut network_namespace = None;
    let resolv_conf = match &run.network {
        Network::None => None,
        Network::Container(name) => {
            let (container, running) =
                Containers::open(&host.dirs).find_running(name).map_err(|error| error.exit(125))?;
            network_namespace = Some(procfs::namespace(running.pid.as_raw(), "net"));
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

/// O_EXCL: a container's id must never replace another's.
fn write_cidfile(path: &Path, id: &str) -> Result<()> {
    use std::io::Write;
    let made = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    made.and_then(|mut file| file.write_all(id.as_bytes())).map_err(|error| {
        Error::new(&command_line::INPUT_FILE, format!("write --cidfile {}", path.display())).because(error)
    })
}
