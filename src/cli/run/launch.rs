//! From a [`RunSpec`] to a running container: who calls whom, in the design's order.
//!
//! Owns nothing but that order; each line is one module's work. The surprise: the base user namespace is entered before the
//! image is looked up, because the layers belong to subordinate ids.

use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;

use super::PlanFormat;
use crate::cli::{Globals, warn_fallback};
use crate::error::{Context, Error, Result, catalog::command_line, catalog::state};
use crate::host::Host;
use crate::image::{Hold, Store};
use crate::plan::{self, Plan, RootSource};
use crate::runtime::base::{self, Entered};
use crate::runtime::container::{self, Container};
use crate::runtime::shifted::{self, Shifted};
use crate::runtime::{parent, seccomp};
use crate::spec::{self, Extras, Facts, Identity, Ids, ImageConfig, RunSpec, Source, UserNs};

/// Everything that is known before anything is made.
struct Compiled {
    spec: Spec,
    extras: Extras,
    plan: Plan,
}

/// Runs the container, or prints what would be done; gives the exit status.
pub(super) fn launch(globals: &Globals, run: &RunSpec, show: Option<PlanFormat>) -> Result<u8> {
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    if let Some(format) = show {
        return print(&host, run, format);
    }
    let entered = base::enter(&host, &run.userns)?;
    warn_fallback(entered.fallback.as_ref());
    // Until the container has ended: rl rmi must not take its layers away.
    let (image, layers, _hold) = root(&host, &run.source)?;
    let container = Container::create(&host.dirs, run.name.as_deref())?;
    if let Some(path) = &run.cidfile {
        write_cidfile(path, &container.identity.id)?;
    }
    let made = start(&host, run, &entered, &image, layers, &container);
    let kept = !run.remove && made.is_ok() && !matches!(run.source, Source::Directory { overlay: false, .. });
    container.remove(kept)?;
    made
}

fn start(
    host: &Host,
    run: &RunSpec,
    entered: &Entered,
    image: &ImageConfig,
    layers: Layers,
    container: &Container,
) -> Result<u8> {
    let root = layers.below(&container.data);
    let ids = resolve_ids(host, &run.userns, entered)?;
    let shifted = match root {
        RootSource::Overlay { .. } if shifted::is_needed(&ids) => {
            Some(shifted::mount(&root, &ids, &container.identity.dir)?)
        }
        _ => None,
    };
    let root = shifted.as_ref().map_or(root, Shifted::root);
    let Compiled { plan, extras, .. } = compile(host, run, entered, image, &root, &container.identity)?;
    let bounding = plan.bounding().unwrap_or_default();
    let filter = seccomp::program(&extras.seccomp, bounding, &host.dirs.data.join("seccomp"))?;
    if !run.remove {
        container.keep(&plan.process.args)?;
    }
    let ended = parent::run(&plan, filter.as_ref(), container, &host.dirs);
    if let Some(shifted) = shifted {
        shifted.stop();
    }
    let ended = ended?;
    if let Some(remark) = ended.remark {
        eprintln!("rl: {remark}");
    }
    Ok(ended.exit.status())
}

/// `--plan`: starts nothing and makes nothing.
fn print(host: &Host, run: &RunSpec, format: PlanFormat) -> Result<u8> {
    let entered = base::foresee(host, &run.userns)?;
    warn_fallback(entered.fallback.as_ref());
    let (image, layers, _) = root(host, &run.source)?;
    let id = container::new_id()?;
    let name = run.name.clone().unwrap_or_else(|| id[..12].to_owned());
    let identity = Identity { dir: host.dirs.containers().join(&id), id, name };
    let root = layers.below(&host.dirs.data.join("containers").join(&identity.id));
    let compiled = compile(host, run, &entered, &image, &root, &identity)?;
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
) -> Result<Compiled> {
    let ids = resolve_ids(host, &run.userns, entered)?;
    let facts = facts(run);
    let (spec, extras) = spec::build::build(run, image, &ids, identity, &facts)?;
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
    Overlay(PathBuf),
    Plain(PathBuf),
}

impl Layers {
    fn below(self, data: &Path) -> RootSource {
        let overlay = |lower| RootSource::Overlay { lower, upper: data.join("upper"), work: data.join("work") };
        match self {
            Self::Image(layers) => overlay(layers),
            Self::Overlay(path) => overlay(vec![path]),
            Self::Plain(path) => RootSource::Directory(path),
        }
    }
}

fn root(host: &Host, source: &Source) -> Result<(ImageConfig, Layers, Hold)> {
    match source {
        Source::Image(name) => {
            let image = Store::open(&host.dirs).find(name, None)?;
            Ok((image.config, Layers::Image(image.layers), image.hold))
        }
        Source::Directory { path, overlay: true } => {
            Ok((ImageConfig::default(), Layers::Overlay(path.clone()), Hold::default()))
        }
        Source::Directory { path, overlay: false } => {
            Ok((ImageConfig::default(), Layers::Plain(path.clone()), Hold::default()))
        }
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
