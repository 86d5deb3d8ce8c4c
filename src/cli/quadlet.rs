//! `rl quadlet`: units from podman's `.container`, `.volume`, `.network` and `.image` files.
//!
//! Owns where the files lie, where the units go, and what [Install] says, which nobody but a generator does for a unit that was generated.
//! The surprise: installed under the name `rl-user-generator` this program is a generator of systemd's user manager
//! (systemd.generator(7)), which calls it with three directories and no verb.

mod container;
mod file;
mod image;
mod keys;
mod network;
mod volume;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command};

use self::container::{Made, Others};
use self::file::{File, split};
use super::{Globals, Verb, generate, units};
use crate::error::{Context, Error, Result, catalog::command_line, catalog::state as codes};

/// The verb.
pub const VERB: Verb = Verb { name: "quadlet", about: "Make systemd units of .container files", command, run };
/// Under which name it is a generator.
pub const NAME: &str = "rl-user-generator";

fn command() -> Command {
    Command::new("rl quadlet")
        .about(VERB.about)
        .arg(Arg::new("dryrun").long("dryrun").action(ArgAction::SetTrue).help("Print the units, write nothing"))
        .arg(Arg::new("user").long("user").action(ArgAction::SetTrue).help("As always: rl makes units of the user's manager"))
        .arg(Arg::new("dirs").num_args(0..=3).value_name("DIR").help("Where the units go (a generator is given three); without it, as --dryrun"))
        .after_help(
            "Files: *.container, *.volume, *.network and *.image of $QUADLET_UNIT_DIRS, or of ~/.config/containers/systemd, $XDG_RUNTIME_DIR/containers/systemd, \
             /etc/containers/systemd/users/UID and /etc/containers/systemd/users.\n\nExamples:\n  rl quadlet                                   \
             look at what would be made\n  rl quadlet ~/.config/systemd/user && systemctl --user daemon-reload\n  sudo ln -s $(command \
             -v rl) /etc/systemd/user-generators/rl-user-generator     for all users, at each login and reload",
        )
}

/// As a generator: no verb, only directories.
pub fn generator(dirs: &[std::ffi::OsString]) -> Result<u8> {
    let dirs: Vec<PathBuf> = dirs.iter().map(PathBuf::from).collect();
    make(&Globals::default(), dirs.first().map(PathBuf::as_path))
}

fn run(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let to = matches.get_many::<String>("dirs").into_iter().flatten().next().map(PathBuf::from);
    make(globals, to.as_deref().filter(|_| !matches.get_flag("dryrun")))
}

/// All of them; what is wrong with one file does not keep the others from their units.
fn make(globals: &Globals, to: Option<&Path>) -> Result<u8> {
    let rl = generate::program(globals)?;
    let found = Found::look(&sources())?;
    let mut status = 0;
    let mut complain = |path: &Path, why: &str| {
        eprintln!("rl quadlet: {}: {why}", path.display());
        status = 1;
    };
    for (name, (path, file)) in &found.0 {
        let file = match file {
            Ok(file) => file,
            Err(why) => {
                complain(path, why);
                continue;
            }
        };
        let (stem, kind) = name.rsplit_once('.').unwrap_or((name, ""));
        let made = match kind {
            "container" => container::container(stem, path, file, &rl, &found),
            "volume" => volume::volume(stem, path, file, &rl),
            "network" => network::network(stem, path, file, &rl),
            "image" => image::image(stem, path, file, &rl),
            other => Err(vec![not_here(other)]),
        };
        match (made, to) {
            (Err(wrong), _) => wrong.iter().for_each(|why| complain(path, why)),
            (Ok(made), None) => println!("# {}.service\n{}", made.name, units::text(&made.sections)),
            (Ok(made), Some(dir)) => write(&made, dir)?,
        }
    }
    Ok(status)
}

/// podman's other files.
fn not_here(kind: &str) -> String {
    let instead = match kind {
        "pod" => "rl has no pods; containers find each other in a .network file's network",
        "build" => "rl builds no images of Dockerfiles; buildah does, and rl load reads what it saves",
        _ => "rl reads no Kubernetes documents; a .container file for each of its containers",
    };
    format!("there are no .{kind} files here: {instead}")
}

/// Where podman looks, too; the first that has a name wins.
fn sources() -> Vec<PathBuf> {
    if let Some(dirs) = std::env::var_os("QUADLET_UNIT_DIRS") {
        return std::env::split_paths(&dirs).filter(|dir| !dir.as_os_str().is_empty()).collect();
    }
    let home = |dir: &str| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(dir));
    let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).or_else(|| home(".config"));
    let run = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let own = [config, run].into_iter().flatten().map(|dir| dir.join("containers/systemd"));
    let users = Path::new("/etc/containers/systemd/users");
    own.chain([users.join(nix::unistd::getuid().to_string()), users.to_owned()]).collect()
}

/// All files by their names, each with what it says or why it can't be understood.
struct Found(BTreeMap<String, (PathBuf, Result<File, String>)>);

impl Others for Found {
    fn volume(&self, file: &str) -> Option<(String, String)> {
        let (_, read) = self.0.get(file)?;
        let stem = file.strip_suffix(".volume")?;
        read.as_ref().ok().map(|file| (volume::volume_name(stem, file), volume::unit(stem, file)))
    }

    fn image(&self, file: &str) -> Option<(String, String)> {
        let (_, read) = self.0.get(file)?;
        let stem = file.strip_suffix(".image")?;
        let file = read.as_ref().ok()?;
        Some((image::image_name(file)?, image::unit(stem, file)))
    }

    fn network(&self, file: &str) -> Option<(String, String)> {
        let (_, read) = self.0.get(file)?;
        let stem = file.strip_suffix(".network")?;
        read.as_ref().ok().map(|file| (network::network_name(stem, file), network::unit(stem, file)))
    }
}

impl Found {
    fn look(dirs: &[PathBuf]) -> Result<Self> {
        let mut found = Self(BTreeMap::new());
        for dir in dirs {
            found.within(dir, 0)?;
        }
        Ok(found)
    }

    /// Directories below it, too, as podman does; those of drop-ins belong to their file.
    fn within(&mut self, dir: &Path, depth: u32) -> Result<()> {
        let entries = match std::fs::read_dir(dir) {
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::PermissionDenied
                ) =>
            {
                return Ok(());
            }
            entries => entries.context(&codes::STATE, || format!("list {}", dir.display()))?,
        };
        for entry in entries.flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            // /etc/containers/systemd/users has a directory for each user.
            if path.is_dir() && !name.ends_with(".d") && depth < 8 && name.parse::<u32>().is_err() {
                self.within(&path, depth + 1)?;
            } else if path.is_file() && KINDS.iter().any(|kind| name.ends_with(kind)) && !self.0.contains_key(&name) {
                let read = read(&path);
                self.0.insert(name, (path, read));
            }
        }
        Ok(())
    }
}

/// podman's; of which four are known.
const KINDS: [&str; 7] = [".container", ".volume", ".network", ".pod", ".kube", ".image", ".build"];

fn read(path: &Path) -> Result<File, String> {
    let text = |path: &Path| std::fs::read_to_string(path).map_err(|error| error.to_string());
    let mut file = File::default();
    file.add(&text(path)?)?;
    let mut dir = path.as_os_str().to_owned();
    dir.push(".d");
    let mut more: Vec<PathBuf> =
        std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    more.retain(|path| path.extension().is_some_and(|kind| kind == "conf"));
    more.sort();
    for path in more {
        file.add(&text(&path)?).map_err(|why| format!("{}: {why}", path.display()))?;
    }
    Ok(file)
}

/// The unit, and the links that enabling it would make.
fn write(made: &Made, dir: &Path) -> Result<()> {
    let unit = format!("{}.service", made.name);
    let doing = |path: &Path| format!("write {}", path.display());
    if unit.contains('/') {
        return Err(Error::new(&command_line::USAGE, format!("a unit called {unit:?}")));
    }
    std::fs::create_dir_all(dir).context(&codes::STATE, || doing(dir))?;
    let path = dir.join(&unit);
    std::fs::write(&path, units::text(&made.sections)).context(&codes::STATE, || doing(&path))?;
    let install =
        made.sections.iter().find(|(name, _)| name == "Install").map_or(&[][..], |(_, lines)| lines.as_slice());
    for (key, value) in install {
        let suffix = match key.as_str() {
            "WantedBy" => "wants",
            "RequiredBy" => "requires",
            _ => continue,
        };
        for target in split(value).unwrap_or_default().iter().filter(|target| !target.contains('/')) {
            let wants = dir.join(format!("{target}.{suffix}"));
            std::fs::create_dir_all(&wants).context(&codes::STATE, || doing(&wants))?;
            let link = wants.join(&unit);
            match std::os::unix::fs::symlink(Path::new("..").join(&unit), &link) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                made => made.context(&codes::STATE, || doing(&link))?,
            }
        }
    }
    Ok(())
}
