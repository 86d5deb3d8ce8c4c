//! From a [`RunSpec`] to a running container: who calls whom, in the design's order.
//!
//! Owns nothing but that order; each line is one module's work. The surprise: the base user namespace is entered before the
//! image is looked up, because the layers belong to subordinate ids.

use std::borrow::Cow;
use std::path::Path;
use std::time::Duration;

use super::borrowed::{self, Borrowed};
use super::compile::{self, Compiled};
use super::detached::{self, Detached};
use super::ground::{self, Ground};
use super::image::{self, Ensured, Place, Want};
use super::{PlanFormat, replace};
use crate::cli::foreign::Foreign;
use crate::cli::{Globals, warn_fallback};
use crate::error::{Error, Result, catalog::command_line, catalog::rootfs};
use crate::host::Host;
use crate::image::{Platform, Store};
use crate::plan::RootSource;
use crate::runtime::base::{self, Entered};
use crate::runtime::container::Container;
use crate::runtime::fuse::Fuse;
use crate::runtime::mountpoints;
use crate::runtime::parent::{self, Ended, Job};
use crate::runtime::seccomp;
use crate::runtime::stdio::Stdio;
use crate::runtime::storage::{self, Driver};
use crate::runtime::supervisor::Origin;
use crate::spec::ids::Base;
use crate::spec::lifecycle::Attached;
use crate::spec::{Identity, Ids, RunSpec, Source, Volume};
use crate::state::{Record, Status, Typed};
use crate::volume;

/// Runs the container, or prints what would be done; gives the exit status.
pub(super) fn launch(globals: &Globals, run: &RunSpec, want: &Want, show: Option<PlanFormat>) -> Result<u8> {
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    let (place, run) = match ready(globals, &host, run, want)? {
        Ok(ready) => ready,
        Err(status) => return Ok(status),
    };
    let run = &*run;
    if let Some(format) = show {
        return compile::print(&host, run, (place.as_ref(), want.platform()), format);
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
        self.record.run.cgroups.detached = matches!(mode, Mode::Detached(_));
        let ids = compile::resolve_ids(host, &self.record.run.userns, entered)?;
        volume::prepare(&mut self.record.run, &self.ground.image, &ids, &host.dirs, &self.record.id)?;
        if !matches!(mode, Mode::Never) {
            self.borrowed = borrowed::mount(host, &mut self.record.run, &self.container, &ids)?;
        }
        let root = self.ground.layers.below(&self.container.data, self.record.run.remove);
        let driver = self.driver;
        let ended = Launch { host, base: &entered.base, ids: &ids, made: self, mode }.start(&root, driver);
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
    base: &'a Base,
    ids: &'a Ids,
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
        let mountpoints = mountpoints::lowest(&self.host.dirs, &record.run.etc);
        let (root, mounted) = ground.stand(root, driver, self.ids, container, mountpoints)?;
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
    fn on(&mut self, root: &RootSource, mounted: Option<&Fuse>) -> Result<Option<Ended>> {
        let Self { host, base, ids, made, mode } = self;
        let Made { container, record, ground, foreign, fresh, borrowed, .. } = &mut **made;
        let (image, emulators) = (&ground.image, &foreign.emulators);
        let compiled = compile::compile(host, &record.run, ids, image, root, &container.identity, emulators)?;
        let Compiled { plan, extras, .. } = &*compiled;
        let bounding = plan.bounding().unwrap_or_default();
        let filter = seccomp::program(&extras.seccomp, bounding, &host.dirs.data.join("seccomp"))?;
        record.command.clone_from(&plan.process.args);
        let (record, run) = (&*record, &record.run);
        let detached = match mode {
            Mode::Foreground => None,
            Mode::Detached(detached) => Some(*detached),
            Mode::Never => return container.keep(record, ground.pin.as_ref()).map(|()| None),
        };
        let mut status = None;
        if !run.remove {
            if *fresh {
                container.keep(record, ground.pin.as_ref())?;
            }
            let restarts = detached.map_or(0, |detached| detached.restarts);
            status.insert(Status::starting(restarts)).write(&container.data)?;
        }
        if let (Some(pin), true, true) = (&ground.pin, run.remove, detached.is_some()) {
            // What holds the layers now ends with this process's memory.
            container.pin(pin)?;
        }
        let (of_one_run, dirs) = (Some(record).filter(|_| run.remove), &host.dirs);
        let muted = detached.is_none() && !run.tty && run.attached != Attached::default();
        let stdio = muted.then(|| Stdio::muted(run.attached)).transpose()?;
        let job = Job {
            plan,
            filter: filter.as_ref(),
            container,
            record: of_one_run,
            dirs,
            stdio: stdio.as_ref(),
            pid_files: &run.pid_files,
            timeout: run.ending.timeout.map(|seconds| Duration::from_secs(seconds.into())),
        };
        if let Some(detached) = detached {
            let mounted: Vec<_> = mounted.into_iter().chain(&borrowed.helpers).collect();
            return Err(detached.start(&job, record, Origin::of(host, base), &mounted));
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

/// O_EXCL: a container's id must never replace another's.
fn write_cidfile(path: &Path, id: &str) -> Result<()> {
    use std::io::Write;
    let made = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    made.and_then(|mut file| file.write_all(id.as_bytes())).map_err(|error| {
        Error::new(&command_line::INPUT_FILE, format!("write --cidfile {}", path.display())).because(error)
    })
}
