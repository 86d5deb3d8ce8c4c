//! `rl update`, `rl pause`, `rl unpause`: the control group of a container that runs, and its restart policy.
//!
//! The surprise: an update is merged with what the container was started with before it is checked, so that `rl update --memory-swap -1`
//! is understood together with the `-m` of the run.

use clap::{Arg, ArgMatches, Command};

use super::container::{chosen, each, tell};
use super::flag::Flag;
use super::run::{resources, restart_policy};
use super::{Globals, Verb};
use crate::cgroup::Group;
use crate::error::{Error, Result, catalog::cgroup as codes, catalog::command_line};
use crate::host::Host;
use crate::plan::cgroup;
use crate::state::{Container, Containers, Running, ask_for_policy, stays};

/// `rl update`.
pub const UPDATE: Verb = Verb {
    name: "update",
    about: "Change the limits of containers that run, or a restart policy",
    command: update_command,
    run: update,
};

/// `rl pause`.
pub const PAUSE: Verb = Verb {
    name: "pause",
    about: "Freeze all processes of containers",
    command: || chosen::arguments(Command::new("rl pause").about(PAUSE.about), "All that run", "alf"),
    run: |globals, matches| freeze(globals, matches, true),
};

/// `rl unpause`.
pub const UNPAUSE: Verb = Verb {
    name: "unpause",
    about: "Let frozen containers go on",
    command: || chosen::arguments(Command::new("rl unpause").about(UNPAUSE.about), "All that run", "alf"),
    run: |globals, matches| freeze(globals, matches, false),
};

fn named(name: &'static str, about: &'static str) -> Command {
    Command::new(name).about(about).arg(
        Arg::new("container")
            .value_name("CONTAINER")
            .num_args(1..)
            .required(true)
            .help("Names, or first digits of ids"),
    )
}

fn update_command() -> Command {
    named("rl update", UPDATE.about)
        .args(resources::FLAGS.iter().map(Flag::arg))
        .arg(Arg::new("restart").long("restart").value_name("POLICY").help("no, on-failure[:N], always, unless-stopped"))
        .after_help(
            "Examples:\n  rl update -m 1g --cpus 2 web\n  rl update --restart no web\n\nA container that stays keeps them for its \
             next start; one that does not run can get another restart policy, too.",
        )
}

fn grouped(all: &Containers, name: &str) -> Result<(Container, Running, Group)> {
    let (container, running) = all.find_running(name)?;
    let group = Group::of(running.pid).ok_or_else(|| Error::new(&codes::NO_GROUP, format!("use {name:?}")))?;
    Ok((container, running, group))
}

fn freeze(globals: &Globals, matches: &ArgMatches, frozen: bool) -> Result<u8> {
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    let containers = Containers::open(&host.dirs);
    let verb = if frozen { "pause" } else { "unpause" };
    let wanted = chosen::chosen(&containers, matches, verb, chosen::active)?;
    Ok(each(&wanted, |text| {
        let (container, _, group) = grouped(&containers, text)?;
        group.freeze(frozen)?;
        tell(&containers, &container, verb, &[]);
        Ok(Some(text.to_owned()))
    }))
}

/// All of it can be done, before anything is.
fn update(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let changes = resources::parsed(matches)?;
    let policy = matches.get_one::<String>("restart");
    if changes.is_empty() && policy.is_none() {
        return Err(Error::new(&command_line::USAGE, "rl update needs a limit, such as -m 1g, or --restart"));
    }
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    let all = Containers::open(&host.dirs);
    let mut updates = Vec::new();
    for name in matches.get_many::<String>("container").into_iter().flatten() {
        let (mut container, group) = if changes.is_empty() {
            (all.find(name)?, None)
        } else {
            let (container, _, group) = grouped(&all, name)?;
            (container, Some(group))
        };
        let run = &mut container.record.run;
        if let Some(word) = policy {
            run.restart = restart_policy(word, run.remove)?;
        }
        if !changes.is_empty() {
            run.resources = run.resources.clone().changed(changes.clone());
            resources::consistent(&run.resources)?;
        }
        updates.push((container, group));
    }
    for (container, group) in updates {
        let run = &container.record.run;
        if let (Some(group), Some(document)) = (group, run.resources.document()?) {
            group.update(&cgroup::limits(&document)?)?;
        }
        if policy.is_some() && container.is_active() {
            ask_for_policy(&container.run, run.restart)?;
        }
        if stays(&container.data) {
            container.record.write(&container.data)?;
        }
        println!("{}", container.record.name);
    }
    Ok(0)
}
