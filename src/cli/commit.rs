//! `rl commit CONTAINER [NAME]`: a new image of what a container has made of its own.
//!
//! Owns what of the container's own configuration the image gets, which is docker's: its command, user, directory, variables, labels and
//! ports. The surprise: of a container that has a cgroup the processes are stopped meanwhile, so that no file is half written in the
//! image; without one there is no way to stop all of them at once.

use std::io::{self, Write};
use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use oci_spec::image::Config;

use super::container::{latest, named_or_last};
use super::diff::is_our_own;
use super::files::{Files, Found};
use super::import::change;
use super::run::rest::Written;
use super::system::sync_later;
use super::{Globals, Verb, in_namespace};
use crate::cgroup::Group;
use crate::error::{Context, Error, Result, catalog::cgroup as codes, catalog::command_line};
use crate::host::{Host, config};
use crate::image::changes::changes;
use crate::image::{self, Commit, Pin, Platform, Reference, Store};
use crate::spec::Volume;
use crate::spec::ids::Base;
use crate::state::{Containers, Record, now, rfc3339};
use crate::tree::{Owners, Pack};

/// The verb.
pub const VERB: Verb = Verb { name: "commit", about: "Make an image of a container", command, run };

/// What is stored of a layer has the ids that the image has.
const AS_STORED: Owners<'static> = Owners { uid: &|uid| uid, gid: &|gid| gid };

fn command() -> Command {
    let text =
        |name: &'static str, short, shown, help| Arg::new(name).long(name).short(short).value_name(shown).help(help);
    Command::new("rl commit")
        .about(VERB.about)
        .override_usage("rl commit [OPTIONS] CONTAINER [NAME[:TAG]]")
        .arg(text("author", 'a', "TEXT", "Who has made it"))
        .arg(text("message", 'm', "TEXT", "A comment in the image's history"))
        .arg(change::argument())
        .arg(
            text("pause", 'p', "BOOL", "Stop its processes meanwhile; by default where it has a cgroup")
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .value_parser(value_parser!(bool)),
        )
        .arg(
            Arg::new("include-volumes")
                .long("include-volumes")
                .action(ArgAction::SetTrue)
                .help("Where its volumes are, the image has volumes, too (without what is in them)"),
        )
        .arg(Arg::new("iidfile").long("iidfile").value_name("FILE").help("Write the image's id there"))
        .arg(Arg::new("quiet").long("quiet").short('q').action(ArgAction::SetTrue).help("No remarks on stderr"))
        .arg(
            Arg::new("squash").long("squash").short('s').action(ArgAction::SetTrue).help("One layer with all that it sees"),
        )
        .arg(text("format", 'f', "FORMAT", "oci, the only one; rl save writes docker's"))
        .arg(latest())
        .arg(Arg::new("container").value_name("CONTAINER"))
        .arg(Arg::new("name").value_name("NAME[:TAG]"))
        .after_help(
            "The image is the container's own with one layer more: what it has written, with owners and extended attributes, but \
             nothing of its volumes.\nIt runs what the container was made to run, as the same user, with the same variables, unless -c says \
             otherwise.\n\nExamples:\n  rl commit web web:patched\n  \
             rl commit -m 'with curl' -c 'CMD [\"curl\"]' -c 'ENV A=1' box tools:1",
        )
}

fn run(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let word = |name: &str| matches.get_one::<String>(name).map(String::as_str);
    if let Some(other) = word("format").filter(|format| *format != "oci") {
        return Err(Error::new(&command_line::USAGE, format!("--format {other:?}: what is stored is an OCI image"))
            .fix("For an archive that docker loads: rl save"));
    }
    // With --latest the first word is the image's name.
    let latest = matches.get_flag("latest");
    let (container, name) = if latest { (None, word("container")) } else { (word("container"), word("name")) };
    if latest && word("name").is_some() {
        return Err(Error::new(&command_line::USAGE, "rl commit: a container, or --latest"));
    }
    let name = name.map(Reference::parse).transpose()?;
    let (host, base) = in_namespace(globals, None)?;
    let containers = Containers::open(&host.dirs);
    let found = Found::of(&host, &named_or_last(&containers, "commit", container, latest)?)?;
    let record = found.record().clone();
    let written = Written::of(&host, &record)?;
    let config = written.pin.as_ref().map(Pin::config).unwrap_or_default();
    let mut config = of_container(config, &record);
    if matches.get_flag("include-volumes") {
        let mut volumes = config.volumes().clone().unwrap_or_default();
        let own = record.run.volumes.iter().filter(|one| !matches!(one, Volume::Tmpfs { .. } | Volume::Image { .. }));
        for target in own.map(|one| one.target().display().to_string()) {
            volumes.extend(Some(target).filter(|target| !volumes.contains(target)));
        }
        config.set_volumes(Some(volumes).filter(|all| !all.is_empty()));
    }
    let config = change::all_changed(config, matches)?;
    let platform = record.platform.as_deref().map(str::parse).transpose()?.unwrap_or_else(Platform::host);
    let created = rfc3339(now());
    let what = Commit {
        name: name.as_ref(),
        parent: written.pin.as_ref().filter(|_| !written.whole && !matches.get_flag("squash")),
        platform: &platform,
        config,
        author: word("author"),
        message: word("message"),
        created_by: &record.command.join(" "),
        created: &created,
        squash: base.uid.total() == 1,
    };
    let paused = Paused::of(&found, matches.get_one::<bool>("pause").copied())?;
    let store = Store::open(&host.dirs).with(config::Config::read()?.limits);
    let id = make(&host, &base, &store, &what, &written, found)?;
    drop(paused);
    sync_later(&host);
    if let Some(path) = word("iidfile") {
        let write = std::fs::write(path, format!("sha256:{id}"));
        write.context(&command_line::INPUT_FILE, || format!("write --iidfile {path}"))?;
    }
    println!("sha256:{id}");
    Ok(0)
}

/// The layer of what was written, where that lies above the image's layers; else one of all that the container sees.
fn make(host: &Host, base: &Base, store: &Store, what: &Commit<'_>, written: &Written, found: Found) -> Result<String> {
    if what.parent.is_none() {
        let files = Files::of(host, base, found)?;
        let maps = files.as_inside();
        let mut all = |out: &mut dyn Write| {
            let mut pack = Pack::new(out, maps.owners()).one_mount();
            pack.directory(files.root(), b"").and_then(|()| pack.finish().map(drop))
        };
        return image::commit(store, what, Some(&mut all));
    }
    let top = written.top.as_deref();
    let is_new = top.map(|top| changes(&written.layers, top, false, &is_our_own)).transpose()?;
    let (Some(top), true) = (top, is_new.is_some_and(|new| !new.is_empty())) else {
        return image::commit(store, what, None);
    };
    let hidden = |name: &[u8]| {
        use std::os::unix::ffi::OsStrExt;
        is_our_own(&Path::new("/").join(std::ffi::OsStr::from_bytes(name)))
    };
    let mut layer = |out: &mut dyn Write| -> io::Result<()> {
        let root = std::fs::File::open(top)?;
        let mut pack = Pack::new(out, AS_STORED).layer().without(&hidden);
        pack.directory(std::os::fd::AsFd::as_fd(&root), b"").and_then(|()| pack.finish().map(drop))
    };
    let id = image::commit(store, what, Some(&mut layer));
    drop(found);
    id
}

/// The image's, with what its run was told.
fn of_container(mut config: Config, record: &Record) -> Config {
    let run = &record.run;
    if let Some(entrypoint) = &run.entrypoint {
        config.set_entrypoint(Some(entrypoint.clone()).filter(|words| !words.is_empty()));
        config.set_cmd(None);
    }
    if !run.command.is_empty() {
        config.set_cmd(Some(run.command.clone()));
    }
    if !run.env.is_empty() {
        let mut env = config.env().clone().unwrap_or_default();
        for (name, value) in &run.env {
            env.retain(|have| have.split('=').next() != Some(name));
            env.push(format!("{name}={value}"));
        }
        config.set_env(Some(env));
    }
    if !run.labels.is_empty() {
        let mut labels = config.labels().clone().unwrap_or_default();
        labels.extend(run.labels.iter().cloned());
        config.set_labels(Some(labels));
    }
    if run.user.is_some() {
        config.set_user(run.user.clone());
    }
    if run.workdir.is_some() {
        config.set_working_dir(run.workdir.clone());
    }
    if !run.publish.is_empty() {
        let mut ports = config.exposed_ports().clone().unwrap_or_default();
        for publish in &run.publish {
            let port = format!("{}/{}", publish.container, publish.protocol);
            ports.extend(Some(port).filter(|port| !ports.contains(port)));
        }
        config.set_exposed_ports(Some(ports));
    }
    config
}

/// The processes of a container, stopped; they go on when this is dropped.
struct Paused(Option<Group>);

impl Paused {
    fn of(found: &Found, wanted: Option<bool>) -> Result<Self> {
        let Found::Running(container, running) = found else { return Ok(Self(None)) };
        let group = match wanted {
            Some(false) => None,
            _ => Group::of(running.pid),
        };
        match group {
            // Whoever has paused it will let it go on.
            Some(group) if group.is_frozen() => Ok(Self(None)),
            Some(group) => group.freeze(true).map(|()| Self(Some(group))),
            None if wanted == Some(true) => {
                Err(Error::new(&codes::NO_GROUP, format!("stop the processes of {}", container.record.name)))
            }
            None => Ok(Self(None)),
        }
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        if let Some(group) = &self.0 {
            let _ = group.freeze(false);
        }
    }
}
