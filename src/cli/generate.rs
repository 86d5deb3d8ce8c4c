//! `rl generate systemd CONTAINER`: a unit that starts and stops a container, for the user's systemd.
//!
//! podman's flags. The surprise: with `--new` the words of the container's own `rl run` come back, with a name, without a restart policy
//! (systemd has its own) and in the directory in which they were typed.

use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::units::{self, Service, word, words};
use super::{Globals, Verb};
use crate::error::{Context, Error, Result, catalog::command_line, catalog::state as codes};
use crate::host::Host;
use crate::spec::lifecycle::Restart;
use crate::state::{Containers, Record};

/// `rl generate systemd`.
pub const SYSTEMD: Verb = Verb { name: "generate systemd", about: "A systemd unit of a container", command, run };

const POLICIES: [&str; 7] = ["no", "on-success", "on-failure", "on-abnormal", "on-watchdog", "on-abort", "always"];

fn command() -> Command {
    let value = |name: &'static str, shown: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(shown).help(help)
    };
    let flag = |name: &'static str, help: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    let list = |name, help| value(name, "UNIT", help).action(ArgAction::Append);
    Command::new("rl generate systemd")
        .about(SYSTEMD.about)
        .arg(flag("new", "Make the container anew at each start and remove it at each stop"))
        .arg(flag("name", "Name the unit for the container's name instead of its id").short('n'))
        .arg(flag("files", "Write PREFIX-NAME.service here instead of printing it").short('f'))
        .arg(flag("no-header", "Without the comments at the top"))
        .arg(value("restart-policy", "POLICY", "systemd's Restart=, on-failure by default"))
        .arg(value("restart-sec", "SECONDS", "systemd's RestartSec="))
        .arg(value("time", "SECONDS", "For a stop, 10 by default").visible_alias("stop-timeout").short('t'))
        .arg(value("start-timeout", "SECONDS", "systemd's TimeoutStartSec="))
        .arg(value("container-prefix", "PREFIX", "Of the unit's name, container by default"))
        .arg(value("separator", "TEXT", "Behind the prefix, - by default"))
        .arg(list("after", "Started after that unit"))
        .arg(list("wants", "That unit is wanted, too"))
        .arg(list("requires", "That unit is required"))
        .arg(value("env", "NAME=VALUE", "Environment of the unit's commands").short('e').action(ArgAction::Append))
        .arg(Arg::new("container").required(true).value_name("CONTAINER").help("Name or id"))
        .after_help(
            "Examples:\n  rl generate systemd --new --name --files web\n  mkdir -p ~/.config/systemd/user && mv container-web.service \
             ~/.config/systemd/user/\n  systemctl --user daemon-reload && systemctl --user enable --now container-web\n  loginctl \
             enable-linger        so that it starts at boot and outlives your logins",
        )
}

fn run(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    let one = |name: &str| matches.get_one::<String>(name).map(String::as_str);
    let container = Containers::open(&host.dirs).find(one("container").unwrap_or(""))?;
    let record = &container.record;
    let called = if matches.get_flag("name") { record.name.as_str() } else { record.id.as_str() };
    let unit = format!("{}{}{called}", one("container-prefix").unwrap_or("container"), one("separator").unwrap_or("-"));
    let text = unit_text(globals, matches, record, &unit)?;
    if !matches.get_flag("files") {
        print!("{text}");
        return Ok(0);
    }
    let here = std::env::current_dir().context(&codes::STATE, || "find the working directory".into())?;
    let path = here.join(format!("{unit}.service"));
    std::fs::write(&path, text).context(&codes::STATE, || format!("write {}", path.display()))?;
    println!("{}", path.display());
    Ok(0)
}

fn unit_text(globals: &Globals, matches: &ArgMatches, record: &Record, unit: &str) -> Result<String> {
    let one = |name: &str| matches.get_one::<String>(name).map(String::as_str);
    let all = |name: &str| matches.get_many::<String>(name).into_iter().flatten().map(String::as_str);
    let number = |name: &str| -> Result<Option<u32>> {
        let wrong = |word: &str| Error::new(&command_line::USAGE, format!("--{name} {word:?}: expected seconds"));
        one(name).map(|word| word.parse().map_err(|_| wrong(word))).transpose()
    };
    let policy = one("restart-policy").unwrap_or("on-failure");
    if !POLICIES.contains(&policy) {
        let what = format!("--restart-policy {policy:?}: expected one of {}", POLICIES.join(", "));
        return Err(Error::new(&command_line::USAGE, what));
    }
    let new = matches.get_flag("new");
    if !new && record.run.restart != Restart::No {
        eprintln!(
            "rl: warning: {} has --restart={} of its own, which would start it beside systemd; --new leaves it out",
            record.name, record.run.restart
        );
    }
    let stop = number("time")?.or(record.run.stop_timeout.filter(|seconds| *seconds != u32::MAX)).unwrap_or(10);
    let name = if new || matches.get_flag("name") { record.name.as_str() } else { record.id.as_str() };
    let service = Service {
        rl: program(globals)?,
        name: word(name, false),
        create: if new { Some(created(record)?) } else { None },
        stop: Some(stop),
    };
    let mut of_unit = vec![("Description".to_owned(), format!("rl container {}", record.name.replace('%', "%%")))];
    for (flag, key) in [("after", "After"), ("wants", "Wants"), ("requires", "Requires")] {
        of_unit.extend(all(flag).map(|unit| (key.to_owned(), unit.to_owned())));
    }
    let mut lines = vec![("Environment".to_owned(), "RL_SYSTEMD_UNIT=%n".to_owned())];
    lines.extend(all("env").map(|pair| ("Environment".to_owned(), word(pair, false))));
    if let (true, Some(typed)) = (new, &record.typed) {
        lines.push(("WorkingDirectory".to_owned(), typed.dir.display().to_string().replace('%', "%%")));
    }
    lines.push(("Restart".to_owned(), policy.to_owned()));
    lines.extend(number("restart-sec")?.map(|seconds| ("RestartSec".to_owned(), seconds.to_string())));
    lines.extend(number("start-timeout")?.map(|seconds| ("TimeoutStartSec".to_owned(), seconds.to_string())));
    // As podman has it: time to clean up behind the stop.
    lines.push(("TimeoutStopSec".to_owned(), (u64::from(stop) + 60).to_string()));
    lines.extend(service.lines());
    let install = vec![("WantedBy".to_owned(), "default.target".to_owned())];
    let sections = vec![("Unit".to_owned(), of_unit), ("Service".to_owned(), lines), ("Install".to_owned(), install)];
    let header = format!("# {unit}.service\n# made by rl generate systemd, rl {}\n\n", env!("CARGO_PKG_VERSION"));
    let header = if matches.get_flag("no-header") { String::new() } else { header };
    Ok(header + &units::text(&sections))
}

/// This program, wherever it was called from, and the flags before the verb.
pub(super) fn program(globals: &Globals) -> Result<String> {
    let path = std::env::current_exe().context(&codes::STATE, || "find this program".into())?;
    let mut all = vec![path.display().to_string()];
    all.extend(globals.words().iter().map(|word| word.to_string_lossy().into_owned()));
    all.extend(globals.storage_driver.iter().flat_map(|driver| ["--storage-driver".to_owned(), driver.to_string()]));
    Ok(words(all.iter().map(String::as_str), false))
}

fn created(record: &Record) -> Result<String> {
    let Some(typed) = &record.typed else {
        return Err(Error::new(&command_line::USAGE, format!("--new: how {} was made is not known", record.name))
            .fix("Make it again with this rl, or leave --new out."));
    };
    let (mut flags, mut end) = (typed.flags.as_slice(), Vec::new());
    if let Some((last, before)) = flags.split_last()
        && last == "--"
    {
        (flags, end) = (before, vec!["--"]);
    }
    let name = format!("--name={}", record.name);
    // The last of several counts: what was typed is overridden.
    let mut own = vec![name.as_str(), "--restart=no", "--rm=false"];
    if record.run.cidfile.as_deref().is_some_and(|path| path != Path::new("")) {
        return Err(Error::new(&command_line::CONFLICT, "--new: a container with --cidfile can be made only once"));
    }
    own.extend(end);
    let all = flags.iter().map(String::as_str).chain(own).chain(typed.rest.iter().map(String::as_str));
    Ok(words(all, false))
}
