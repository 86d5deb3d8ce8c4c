//! `rl inspect`: all that is known of a container, in docker's shape, so that templates made for docker work.
//!
//! The surprise: a name that no container has may be an image's, a volume's or a network's; docker's inspect looks at all of them.

pub(super) mod host;
pub(super) mod network;

use clap::{ArgMatches, Command};
use serde_json::{Map, Value, json};

use super::{flag, names, value, word, words};
use crate::cli::format::Format;
use crate::cli::image::{self, inspected};
use crate::cli::run::detached;
use crate::cli::{Globals, Verb, described, network as network_verbs};
use crate::error::{Error, Result, catalog::command_line, catalog::image as image_codes, catalog::state as codes};
use crate::host::Host;
use crate::image::Store;
use crate::runtime::supervisor::{LOG_FILE, health_of, is_checked};
use crate::spec::{Source, environment};
use crate::state::{Container, Containers, Phase, RunningFile, rfc3339};

/// The verb.
pub const VERB: Verb =
    Verb { name: "inspect", about: "All that is known of containers, images, volumes or networks", command, run };

/// What docker shows for a time that has not come.
const NEVER: &str = "0001-01-01T00:00:00Z";

fn command() -> Command {
    Command::new("rl inspect")
        .about(VERB.about)
        .arg(value("format", "FORMAT", "json, or a template of Go: '{{.State.Status}}'").short('f'))
        .arg(
            value("type", "KIND", "container, image, volume or network; the first that has the name by default")
                .short('t'),
        )
        .arg(flag("size", "What it has written, too").short('s'))
        .arg(super::latest())
        .arg(names(false))
        .after_help("Examples:\n  rl inspect web\n  rl inspect -f '{{.State.ExitCode}} {{json .Config.Env}}' web")
}

fn run(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let format = Format::parse(Some(word(matches, "format").unwrap_or("json")), &[])?;
    let kind = word(matches, "type").unwrap_or("");
    if !matches!(kind, "" | "all" | "container" | "image" | "volume" | "network") {
        let what = format!("--type {kind:?}: expected container, image, volume or network");
        return Err(Error::new(&command_line::USAGE, what));
    }
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    let containers = Containers::open(&host.dirs);
    let store = Store::open(&host.dirs);
    let mut wanted: Vec<String> = words(matches, "container").cloned().collect();
    if matches.get_flag("latest") {
        wanted.extend(super::list(&containers)?.pop().map(|container| container.record.id));
    }
    if wanted.is_empty() {
        return Err(Error::new(&command_line::USAGE, "rl inspect needs a container or an image").fix("See: rl ps -a"));
    }
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    for text in &wanted {
        let found = match if matches!(kind, "" | "all" | "container") { Some(containers.find(text)) } else { None } {
            Some(Ok(container)) => {
                let mut document = document(&container, &host);
                if matches.get_flag("size") {
                    let (written, whole) = super::ps::sizes(&host.dirs, &container);
                    (document["SizeRw"], document["SizeRootFs"]) = (written.into(), whole.into());
                }
                Ok(document)
            }
            Some(Err(error)) if kind == "container" || *error.entry() != codes::NO_CONTAINER => Err(error),
            _ if kind == "volume" => described::volume(&host, text),
            _ if kind == "network" => network_verbs::inspected(&host, text),
            none => match store.details(text, None).and_then(|details| inspected(&details)) {
                Err(error) if *error.entry() == image_codes::IMAGE_NOT_FOUND && kind != "image" => {
                    // What it is meant to be nobody knows; so it is told that there is no such container.
                    let other = described::volume(&host, text).or_else(|_| network_verbs::inspected(&host, text));
                    other.map_err(|_| if let Some(Err(nobody)) = none { nobody } else { error })
                }
                image => image,
            },
        };
        match found {
            Ok(row) => rows.push(row),
            Err(error) => failed.push(error),
        }
    }
    if !rows.is_empty() || failed.is_empty() || word(matches, "format").is_none() {
        image::print(&format, &rows)?;
    }
    failed.iter().for_each(super::complain);
    Ok(u8::from(!failed.is_empty()))
}

/// `none`, `starting`, `healthy` or `unhealthy`.
pub(super) fn health(container: &Container) -> &'static str {
    // Checks are made by a supervisor; in the foreground there is none.
    let unwatched = container.running.is_some() && !is_checked(&container.run);
    if container.record.health().is_none() || unwatched {
        return "none";
    }
    match health_of(&container.run).status.as_str() {
        "healthy" => "healthy",
        "unhealthy" => "unhealthy",
        _ => "starting",
    }
}

fn document(container: &Container, host: &Host) -> Value {
    let record = &container.record;
    let run = &record.run;
    let (path, args) =
        record.command.split_first().map_or((String::new(), &[][..]), |(path, args)| (path.clone(), args));
    let last = container.status.as_ref().map(|status| status.settled());
    let file = |name: &str| container.run.join(name).display().to_string();
    let log = if run.log.kept { container.data.join(LOG_FILE).display().to_string() } else { String::new() };
    let image = record.image_id.as_ref().map_or_else(String::new, |id| format!("sha256:{id}"));
    json!({
        "Id": record.id,
        "Created": rfc3339(record.created),
        "Path": path,
        "Args": args,
        "State": state(container),
        "Image": image,
        "ImageName": record.image,
        "ResolvConfPath": file("resolv.conf"),
        "HostnamePath": file("hostname"),
        "HostsPath": file("hosts"),
        "LogPath": log,
        "Name": format!("/{}", record.name),
        "RestartCount": last.map_or(0, |last| last.restarts),
        "Driver": record.driver.as_deref().unwrap_or("overlay"),
        "Platform": "linux",
        "OCIRuntime": "rl",
        "Pod": "",
        "IsInfra": false,
        "Dependencies": [],
        "Rootfs": if let Source::Directory { path, .. } = &run.source { path.display().to_string() } else { String::new() },
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": null,
        "HostConfig": host::host_config(container),
        "GraphDriver": {
            "Name": record.driver.as_deref().unwrap_or("overlay"),
            "Data": {
                "UpperDir": container.data.join("upper").display().to_string(),
                "WorkDir": container.data.join("work").display().to_string(),
                // It is mounted where its processes are, and nowhere else.
                "MergedDir": container.running.as_ref().map_or_else(String::new, |running| format!("/proc/{}/root", running.pid)),
            },
        },
        "Mounts": host::mounts(container),
        "Config": config(container),
        "NetworkSettings": network::settings(container, &host.dirs),
        // With --size.
        "SizeRw": null,
        "SizeRootFs": null,
        "PidFile": run.pid_files.own.as_ref().map_or_else(String::new, |path| path.display().to_string()),
        "ConmonPidFile": run.pid_files.supervisor.as_ref().map_or_else(String::new, |path| path.display().to_string()),
        "Rl": { "DataDirectory": container.data.display().to_string(), "Root": host.dirs.data.display().to_string() },
    })
}

fn state(container: &Container) -> Value {
    let last = container.status.as_ref().map(|status| status.settled());
    let running = container.running.as_ref();
    let phase = container.phase();
    let over = phase != Phase::Running;
    let finished = last.as_ref().and_then(|last| last.finished).filter(|_| over);
    let started = running.map(|running| running.started).or(last.as_ref().map(|last| last.started));
    let mut state = json!({
        "Status": super::filter::phase(container),
        "Running": matches!(phase, Phase::Running | Phase::Restarting),
        "Paused": super::filter::is_paused(container),
        "Restarting": phase == Phase::Restarting,
        "OOMKilled": last.as_ref().is_some_and(|last| last.oom) && over,
        "Dead": false,
        "Pid": running.map_or(0, |running| running.pid.as_raw()),
        // podman's name for whoever watches over it.
        "ConmonPid": running.and(RunningFile::read(&container.run)).map_or(0, |file| file.supervisor),
        "ExitCode": last.as_ref().filter(|_| over).map_or(0, |last| last.exit),
        // Of one that runs: what it has lost meanwhile.
        "Error": if over { last.as_ref() } else { container.status.as_ref() }.map_or("", |last| last.error.as_str()),
        "StartedAt": started.map_or_else(|| NEVER.to_owned(), rfc3339),
        "FinishedAt": finished.map_or_else(|| NEVER.to_owned(), rfc3339),
    });
    // The most used template of all asks first whether there is one.
    state["Health"] = Value::Null;
    if health(container) != "none" {
        let told = health_of(&container.run);
        state["Health"] = json!({
            "Status": health(container),
            "FailingStreak": told.streak,
            "Log": told.log.iter().map(|check| json!({
                "Start": rfc3339(check.start), "End": rfc3339(check.end), "ExitCode": check.exit, "Output": check.output,
            })).collect::<Vec<_>>(),
        });
    }
    state
}

fn config(container: &Container) -> Value {
    let record = &container.record;
    let run = &record.run;
    let env: Vec<String> = variables(record);
    let labels: Map<String, Value> = record.labels().into_iter().map(|(name, value)| (name, value.into())).collect();
    let entrypoint = run.entrypoint.as_ref().unwrap_or(&record.config.entrypoint);
    let command = if run.command.is_empty() && run.entrypoint.is_none() { &record.config.cmd } else { &run.command };
    let attached = !run.detach;
    let mut config = json!({
        "Hostname": run.hostname.clone().unwrap_or_else(|| container.short().to_owned()),
        "Domainname": run.domainname.clone().unwrap_or_default(),
        "User": run.user.clone().unwrap_or_else(|| record.config.user.clone()),
        "AttachStdin": attached && run.interactive,
        "AttachStdout": attached && run.attached.stdout,
        "AttachStderr": attached && run.attached.stderr,
        "Tty": run.tty,
        "OpenStdin": run.interactive,
        "StdinOnce": attached && run.interactive,
        "Env": env,
        "Cmd": if command.is_empty() { Value::Null } else { json!(command) },
        "Image": record.image,
        "ExposedPorts": exposed(record),
        "Volumes": if record.config.volumes.is_empty() { Value::Null } else { set(record.config.volumes.iter()) },
        "WorkingDir": run.workdir.clone().unwrap_or_else(|| record.config.working_dir.clone()),
        "Entrypoint": if entrypoint.is_empty() { Value::Null } else { json!(entrypoint) },
        "OnBuild": null,
        // podman's place for them, and its words.
        "Annotations": host::annotations(run),
        "Timeout": run.ending.timeout.unwrap_or(0),
        "Labels": labels,
        "StopSignal": signal_name(detached::stop_signal(record)),
        "StopTimeout": run.stop_timeout,
        "Umask": format!("{:04o}", run.umask),
        "Healthcheck": null,
    });
    if let Some(health) = record.health() {
        const NANO: u64 = 1_000_000;
        let mut test = vec!["CMD".to_owned()];
        match health.command.as_slice() {
            [shell, c, line] if shell == "/bin/sh" && c == "-c" => test = vec!["CMD-SHELL".into(), line.clone()],
            words => test.extend(words.iter().cloned()),
        }
        config["Healthcheck"] = json!({
            "Test": test,
            "Interval": health.interval * NANO,
            "Timeout": health.timeout * NANO,
            "Retries": health.retries,
            "StartPeriod": health.start_period * NANO,
            "StartInterval": health.start_interval * NANO,
        });
    }
    config
}

/// As docker has it: without what every container has of `rl`, but for PATH.
fn variables(record: &crate::state::Record) -> Vec<String> {
    let image = &record.config.env;
    let said = |name: &str| {
        let of_image = |pair: &String| pair.split('=').next() == Some(name);
        record.run.env.iter().any(|(typed, _)| typed == name) || image.iter().any(of_image)
    };
    let all = environment::variables(&record.run, image, None).into_iter();
    let shown = all.filter(|(name, _)| !matches!(name.as_str(), "container" | "TERM") || said(name));
    shown.map(|(name, value)| format!("{name}={value}")).collect()
}

/// As docker writes a set: an object whose values are empty.
fn set<'a>(names: impl Iterator<Item = &'a String>) -> Value {
    Value::Object(names.map(|name| (name.clone(), json!({}))).collect())
}

fn exposed(record: &crate::state::Record) -> Value {
    let asked: Vec<String> =
        record.run.publish.iter().map(|one| format!("{}/{}", one.container, one.protocol)).collect();
    set(record.config.exposed_ports.iter().chain(&asked))
}

fn signal_name(number: i32) -> String {
    nix::sys::signal::Signal::try_from(number).map_or_else(|_| number.to_string(), |signal| signal.as_str().to_owned())
}
