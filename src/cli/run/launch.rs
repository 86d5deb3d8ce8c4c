//! From a [`RunSpec`] to a running container: who calls whom, in the design's order.
//!
//! Owns nothing but that order; each line is one module's work. The surprise: the base user namespace is entered before the
//! image is looked up, because the layers belong to subordinate ids.

use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;

use super::PlanFormat;
use super::image::{self, Ensured, Place, Want};
use crate::cli::foreign::Foreign;
use crate::cli::{Globals, warn_fallback};
use crate::error::{Context, Error, Result, catalog::command_line, catalog::rootfs, catalog::state};
use crate::host::Host;
use crate::host::emulation::Emulator;
use crate::image::{Hold, Pin, Platform};
use crate::plan::{self, Plan, RootSource};
use crate::runtime::base::{self, Entered};
use crate::runtime::container::{self, Container};
use crate::runtime::parent::{self, Ended, Job};
use crate::runtime::storage::{self, Driver};
use crate::runtime::{fuse, seccomp};
use crate::spec::{self, Extras, Facts, Identity, Ids, ImageConfig, RunSpec, Source, UserNs};
use crate::state::{Record, Status};

/// Everything that is known before anything is made.
struct Compiled {
    spec: Spec,
    extras: Extras,
    plan: Plan,
}

/// Runs the container, or prints what would be done; gives the exit status.
pub(super) fn launch(globals: &Globals, run: &RunSpec, want: &Want, show: Option<PlanFormat>) -> Result<u8> {
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    let place = match image::ensure(globals, &host, &run.source, want)? {
        Ensured::There(place) => place,
        Ensured::Ended(status) => return Ok(status),
    };
    if let Some(format) = show {
        return print(&host, run, (place.as_ref(), want.platform()), format);
    }
    let entered = base::enter(&host, &run.userns)?;
    warn_fallback(entered.fallback.as_ref());
    // Until the container has ended: rl rmi must not take its layers away.
    let Ground { image, platform, layers, pin, image_id, hold: _hold } =
        ground(&run.source, place.as_ref(), want.platform())?;
    let foreign = Foreign::of(platform.as_ref(), &host)?;
    if let (Some(place), Some(platform)) = (&place, &platform) {
        place.warn(platform);
    }
    let container = Container::create(&host.dirs, run.name.as_deref(), !run.remove)?;
    if let Some(path) = &run.cidfile {
        write_cidfile(path, &container.identity.id)?;
    }
    let shared = matches!(layers, Layers::Shared(_));
    let Identity { id, name, .. } = &container.identity;
    let mut record = Record::new(id, name, called(&run.source), &image, run);
    record.image_id = image_id;
    record.platform = platform.as_ref().map(Platform::to_string);
    record.store = pin.as_ref().map(|pin| pin.store().to_owned()).filter(|store| *store != host.dirs.data);
    record.driver = globals.storage_driver.map(|driver| driver.to_string());
    let (entered, image) = (&entered, &image);
    let mut launch =
        Launch { host: &host, run, entered, image, container: &container, shared, pin, record, platform, foreign };
    let made = launch.start(&layers.below(&container.data, run.remove), globals.storage_driver);
    container.remove(!run.remove && made.is_ok())?;
    made
}

/// A run whose container has its id and directories.
struct Launch<'a> {
    host: &'a Host,
    run: &'a RunSpec,
    entered: &'a Entered,
    image: &'a ImageConfig,
    container: &'a Container,
    /// Only fuse-overlayfs understands its layers.
    shared: bool,
    /// Of its image.
    pin: Option<Pin>,
    /// All but its command.
    record: Record,
    /// What the image says of itself, or else the command line.
    platform: Option<Platform>,
    /// What runs the programs of other architectures.
    foreign: Foreign,
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
        let Self { host, run, entered, container, shared, .. } = self;
        let shared = *shared;
        let plain = |ids: &Ids| !shared && !fuse::is_needed(ids);
        let ids = resolve_ids(host, &run.userns, entered)?;
        let mut mounted = None;
        let root = match (root, driver) {
            (RootSource::Directory(_), _) => root.clone(),
            (RootSource::Overlay { .. }, Driver::Overlay) if plain(&ids) => root.clone(),
            // The copy has the real owners, whoever made the layers.
            (RootSource::Overlay { lower, .. }, Driver::Copy) if !fuse::is_needed(&ids) => {
                RootSource::Directory(copied(lower, &container.data)?)
            }
            (RootSource::Overlay { .. }, _) => {
                mounted.insert(fuse::mount(root, &ids, shared, &container.identity.dir)?).root()
            }
        };
        let mut ended = self.on(&root);
        while let Err(error) = &ended
            && self.foreign.learn(error, self.platform.as_ref(), self.host)?
        {
            again(&root)?;
            ended = self.on(&root);
        }
        if let Some(mounted) = mounted {
            mounted.stop();
        }
        let ended = ended?;
        if let Some(remark) = ended.remark {
            eprintln!("rl: {remark}");
        }
        Ok(ended.exit.status())
    }

    fn on(&self, root: &RootSource) -> Result<Ended> {
        let Self { host, run, entered, image, container, pin, record, foreign, .. } = self;
        let emulators = &foreign.emulators;
        let Compiled { plan, extras, .. } = compile(host, run, entered, image, root, &container.identity, emulators)?;
        let bounding = plan.bounding().unwrap_or_default();
        let filter = seccomp::program(&extras.seccomp, bounding, &host.dirs.data.join("seccomp"))?;
        let mut record = record.clone();
        record.command.clone_from(&plan.process.args);
        let mut status = None;
        if !run.remove {
            container.keep(&record, pin.as_ref())?;
            status.insert(Status::starting()).write(&container.data)?;
        }
        let of_one_run = Some(&record).filter(|_| run.remove);
        let dirs = &host.dirs;
        let ended = parent::run(&Job { plan: &plan, filter: filter.as_ref(), container, record: of_one_run, dirs })?;
        if let Some(status) = status {
            status.ended(ended.exit.status()).write(&container.data)?;
        }
        Ok(ended)
    }
}

/// The kernel takes the directories of a volatile overlay only once; nothing has been written to them yet.
fn again(root: &RootSource) -> Result<()> {
    let RootSource::Overlay { upper, work, .. } = root else { return Ok(()) };
    [upper, work].into_iter().filter(|path| path.exists()).try_for_each(|path| crate::image::remove_tree(path))
}

/// The copy driver: never in silence, because it takes the image's time and space for each container.
fn copied(layers: &[PathBuf], data: &Path) -> Result<PathBuf> {
    eprintln!("rl: copying the image for this container (storage driver copy)");
    let root = data.join("root");
    let made = std::fs::create_dir_all(&root);
    made.context(&rootfs::ROOTFS, || format!("make {}", root.display()))?;
    crate::image::flatten(layers, &root)?;
    Ok(root)
}

/// `--plan`: starts nothing and makes nothing.
fn print(
    host: &Host,
    run: &RunSpec,
    (place, platform): (Option<&Place>, Option<&Platform>),
    format: PlanFormat,
) -> Result<u8> {
    let entered = base::foresee(host, &run.userns)?;
    warn_fallback(entered.fallback.as_ref());
    let Ground { image, platform, layers, .. } = ground(&run.source, place, platform)?;
    let foreign = Foreign::of(platform.as_ref(), host)?;
    let id = container::new_id()?;
    let name = run.name.clone().unwrap_or_else(|| id[..12].to_owned());
    let identity = Identity { dir: host.dirs.containers().join(&id), id, name };
    let root = layers.below(&host.dirs.data.join("containers").join(&identity.id), run.remove);
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
    let facts = facts(run);
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
fn facts(run: &RunSpec) -> Facts {
    let unified = nix::sys::statfs::statfs("/sys/fs/cgroup")
        .is_ok_and(|stat| stat.filesystem_type() == nix::sys::statfs::CGROUP2_SUPER_MAGIC);
    let resolv_conf =
        if run.share.network { std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default() } else { String::new() };
    let host_mqueue = run.share.ipc && Path::new("/dev/mqueue").is_dir();
    let host_name = if run.share.uts { nix::unistd::gethostname().ok() } else { None };
    let host_name = host_name.and_then(|name| name.into_string().ok());
    Facts { unified_cgroup: unified, host_mqueue, host_name, resolv_conf }
}

/// What lies below the container's writable directory.
enum Layers {
    Image(Vec<PathBuf>),
    /// Somebody else's, with owners in attributes.
    Shared(Vec<PathBuf>),
    Overlay(PathBuf),
    Plain(PathBuf),
}

impl Layers {
    /// `throwaway`: the writable directory goes with the container.
    fn below(self, data: &Path, throwaway: bool) -> RootSource {
        let overlay = |lower| RootSource::Overlay {
            lower,
            upper: data.join("upper"),
            work: data.join("work"),
            volatile: throwaway,
        };
        match self {
            Self::Image(layers) | Self::Shared(layers) => overlay(layers),
            Self::Overlay(path) => overlay(vec![path]),
            Self::Plain(path) => RootSource::Directory(path),
        }
    }
}

/// What a container stands on.
struct Ground {
    image: ImageConfig,
    /// What its programs were made for; a directory does not say.
    platform: Option<Platform>,
    layers: Layers,
    pin: Option<Pin>,
    image_id: Option<String>,
    /// Keeps the layers from being deleted.
    hold: Hold,
}

/// `platform`: what the command line says.
fn ground(source: &Source, place: Option<&Place>, platform: Option<&Platform>) -> Result<Ground> {
    let directory = |layers| {
        let (image, platform, hold) = (ImageConfig::default(), platform.cloned(), Hold::default());
        Ok(Ground { image, platform, layers, pin: None, image_id: None, hold })
    };
    match source {
        Source::Image(name) => {
            let place = place.ok_or_else(|| Error::new(&state::INTERNAL, format!("find the image {name}")))?;
            let image = place.find()?;
            let layers = if image.shared { Layers::Shared(image.layers) } else { Layers::Image(image.layers) };
            let (pin, image_id, platform) = (Some(image.pin), Some(image.id), Some(image.platform));
            Ok(Ground { image: image.config, platform, layers, pin, image_id, hold: image.hold })
        }
        Source::Directory { path, overlay: true } => directory(Layers::Overlay(path.clone())),
        Source::Directory { path, overlay: false } => directory(Layers::Plain(path.clone())),
    }
}

/// What `rl ps` shows as its image.
fn called(source: &Source) -> String {
    match source {
        Source::Image(name) => name.clone(),
        Source::Directory { path, .. } => path.display().to_string(),
    }
}

/// O_EXCL: a container's id must never replace another's.
fn write_cidfile(path: &Path, id: &str) -> Result<()> {
    use std::io::Write;
    let made = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    made.and_then(|mut file| file.write_all(id.as_bytes())).map_err(|error| {
        Error::new(&command_line::INPUT_FILE, format!("write --cidfile {}", path.display())).because(error)
    })
}
