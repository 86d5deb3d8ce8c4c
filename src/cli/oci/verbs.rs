//! The verbs: flags in, one call of `oci` out, and what is printed.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::Verb;
use crate::error::{Context, Error, Result, catalog::command_line, catalog::state};
use crate::oci::caller::Handing;
use crate::oci::create::{self, Flags};
use crate::oci::state::Container;
use crate::oci::{Runtime, config, delete, exec, features, processes, signal};

/// In the order of help.
pub(super) static ALL: &[Verb] = &[
    Verb {
        name: "create",
        about: "Make a container of a bundle; its command waits for start",
        command: made,
        run: run_create,
    },
    Verb {
        name: "start",
        about: "Execute the command of a container that was created",
        command: with_id,
        run: run_start,
    },
    Verb { name: "run", about: "Make a container of a bundle and execute its command", command: run, run: run_run },
    Verb { name: "state", about: "Print the state of a container", command: with_id, run: run_state },
    Verb { name: "kill", about: "Send a signal to a container", command: kill, run: run_kill },
    Verb { name: "delete", about: "Delete a container that has stopped", command: deleted, run: run_delete },
    Verb { name: "exec", about: "Execute one more command in a container", command: exec_flags, run: run_exec },
    Verb { name: "list", about: "List the containers", command: list, run: run_list },
    Verb { name: "ps", about: "List a container's processes", command: ps, run: run_ps },
    Verb { name: "features", about: "Print what this runtime can do", command: bare, run: run_features },
    Verb { name: "spec", about: "Write a config.json that runs", command: spec, run: run_spec },
];

fn bare(command: Command) -> Command {
    command
}

pub(super) fn with_id(command: Command) -> Command {
    command.arg(Arg::new("id").value_name("ID").required(true))
}

pub(super) fn path(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name("PATH").value_parser(value_parser!(PathBuf)).help(help)
}

pub(super) fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn fds() -> Arg {
    let number = value_parser!(u32).range(0..1024);
    Arg::new("preserve-fds")
        .long("preserve-fds")
        .value_name("N")
        .value_parser(number)
        .default_value("0")
        .help("descriptors from 3 on that the command inherits")
}

fn made(command: Command) -> Command {
    with_id(command)
        .arg(path("bundle", "the bundle's directory").short('b').default_value("."))
        .arg(path("config", "the document, instead of the bundle's config.json").short('f'))
        .arg(path("pid-file", "where the first process's pid is written"))
        .arg(path("console-socket", "who gets the master of the terminal"))
        .arg(path("pidfd-socket", "who gets a pidfd of the first process"))
        .arg(fds())
        .arg(switch("no-pivot", "move the root instead of pivot_root, on an initramfs"))
        .arg(switch("no-new-keyring", "keep the caller's session keyring"))
        .arg(switch("no-subreaper", "accepted").hide(true))
}

fn run(command: Command) -> Command {
    made(command)
        .arg(switch("detach", "do not wait for its end").short('d'))
        .arg(switch("keep", "do not delete it at its end"))
}

fn kill(command: Command) -> Command {
    with_id(command)
        .arg(Arg::new("signal").value_name("SIGNAL").default_value("TERM").help("a name or a number"))
        .arg(switch("all", "to all its processes").short('a'))
}

fn deleted(command: Command) -> Command {
    with_id(command).arg(switch("force", "kill it first; a missing one is no failure").short('f'))
}

fn list(command: Command) -> Command {
    command.arg(format(&["table", "json"])).arg(switch("quiet", "ids only").short('q'))
}

fn ps(command: Command) -> Command {
    with_id(command).arg(format(&["table", "json"])).arg(words("args", "words for ps(1)"))
}

fn spec(command: Command) -> Command {
    command
        .arg(path("bundle", "where config.json is written").short('b').default_value("."))
        .arg(switch("rootless", "for a caller without privileges"))
}

fn format(names: &'static [&'static str]) -> Arg {
    Arg::new("format")
        .long("format")
        .short('f')
        .value_name("FORMAT")
        .value_parser(names.to_vec())
        .default_value(names[0])
}

fn words(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).num_args(0..).trailing_var_arg(true).allow_hyphen_values(true).help(help)
}

fn several(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::Append).help(help)
}

fn exec_flags(command: Command) -> Command {
    with_id(command)
        .arg(path("process", "the process's document").short('p'))
        .arg(path("cwd", "the working directory"))
        .arg(several("env", "NAME=VALUE").short('e'))
        .arg(switch("tty", "with a terminal").short('t'))
        .arg(Arg::new("user").long("user").short('u').value_name("UID[:GID]"))
        .arg(several("additional-gids", "more groups").short('g').value_parser(value_parser!(u32)))
        .arg(several("cap", "one more capability").short('c'))
        .arg(switch("no-new-privs", "exec gains no privileges"))
        .arg(Arg::new("apparmor").long("apparmor").value_name("PROFILE"))
        .arg(Arg::new("process-label").long("process-label").value_name("CONTEXT"))
        .arg(switch("detach", "do not wait for its end").short('d'))
        .arg(path("pid-file", "where the process's pid is written"))
        .arg(path("console-socket", "who gets the master of the terminal"))
        .arg(path("pidfd-socket", "who gets a pidfd of the process"))
        .arg(fds())
        .arg(switch("ignore-paused", "in a paused container, too"))
        .arg(words("args", "the command"))
}

pub(super) fn id(matches: &ArgMatches) -> String {
    matches.get_one::<String>("id").cloned().unwrap_or_default()
}

pub(super) fn at(matches: &ArgMatches, name: &str) -> Option<PathBuf> {
    matches.get_one::<PathBuf>(name).cloned()
}

fn handing(matches: &ArgMatches) -> Handing {
    Handing {
        pid_file: at(matches, "pid-file"),
        console_socket: at(matches, "console-socket"),
        pidfd_socket: at(matches, "pidfd-socket"),
        preserve_fds: matches.get_one("preserve-fds").copied().unwrap_or_default(),
    }
}

fn flags(matches: &ArgMatches) -> Flags {
    Flags {
        id: id(matches),
        bundle: at(matches, "bundle").unwrap_or_default(),
        config: at(matches, "config"),
        handing: handing(matches),
        no_pivot: matches.get_flag("no-pivot"),
        no_new_keyring: matches.get_flag("no-new-keyring"),
        keep: false,
    }
}

fn run_create(runtime: &Runtime, matches: &ArgMatches) -> Result<u8> {
    create::create(runtime, &flags(matches)).map(|()| 0)
}

fn run_start(runtime: &Runtime, matches: &ArgMatches) -> Result<u8> {
    create::start(runtime, &id(matches)).map(|()| 0)
}

fn run_run(runtime: &Runtime, matches: &ArgMatches) -> Result<u8> {
    let flags = Flags { keep: matches.get_flag("keep"), ..flags(matches) };
    create::run(runtime, &flags, matches.get_flag("detach"))
}

fn run_state(runtime: &Runtime, matches: &ArgMatches) -> Result<u8> {
    print(&Container::find(runtime, &id(matches))?.document())
}

fn run_kill(runtime: &Runtime, matches: &ArgMatches) -> Result<u8> {
    let word = matches.get_one::<String>("signal").map_or("TERM", String::as_str);
    signal::kill(runtime, &id(matches), signal::parse(word)?, matches.get_flag("all")).map(|()| 0)
}

fn run_delete(runtime: &Runtime, matches: &ArgMatches) -> Result<u8> {
    delete::delete(runtime, &id(matches), matches.get_flag("force")).map(|()| 0)
}

fn run_exec(runtime: &Runtime, matches: &ArgMatches) -> Result<u8> {
    let list = |name: &str| matches.get_many::<String>(name).into_iter().flatten().cloned().collect::<Vec<_>>();
    let flags = exec::Flags {
        id: id(matches),
        process: at(matches, "process"),
        args: list("args"),
        cwd: at(matches, "cwd"),
        env: list("env"),
        tty: matches.get_flag("tty"),
        user: matches.get_one::<String>("user").map(|word| user(word)).transpose()?,
        groups: matches.get_many("additional-gids").into_iter().flatten().copied().collect(),
        capabilities: list("cap"),
        no_new_privileges: matches.get_flag("no-new-privs"),
        apparmor: matches.get_one("apparmor").cloned(),
        label: matches.get_one("process-label").cloned(),
        detach: matches.get_flag("detach"),
        handing: handing(matches),
        ignore_paused: matches.get_flag("ignore-paused"),
    };
    if flags.process.is_none() && flags.args.is_empty() {
        return Err(Error::new(&command_line::USAGE, "exec: no command and no --process was given"));
    }
    exec::exec(runtime, &flags)
}

fn user(word: &str) -> Result<(u32, Option<u32>)> {
    let bad = || Error::new(&command_line::USAGE, format!("exec: --user {word:?} is not UID[:GID] in numbers"));
    let (uid, gid) = word.split_once(':').map_or((word, None), |(uid, gid)| (uid, Some(gid)));
    let gid = gid.map(|gid| gid.parse().map_err(|_| bad())).transpose()?;
    Ok((uid.parse().map_err(|_| bad())?, gid))
}

fn run_list(runtime: &Runtime, matches: &ArgMatches) -> Result<u8> {
    let all = Container::all(runtime);
    if matches.get_flag("quiet") {
        all.iter().for_each(|container| println!("{}", container.saved.id));
        return Ok(0);
    }
    let documents: Vec<_> = all.iter().map(Container::document).collect();
    if matches.get_one::<String>("format").is_some_and(|format| format == "json") {
        println!("{}", serde_json::Value::from(documents));
        return Ok(0);
    }
    let rows = documents.iter().map(|document| {
        ["id", "pid", "status", "bundle", "created", "owner"]
            .map(|key| document[key].as_str().map_or_else(|| document[key].to_string(), str::to_owned))
            .join("\t")
    });
    let head = "ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER".to_owned();
    table(std::iter::once(head).chain(rows)).map(|()| 0)
}

fn table(rows: impl Iterator<Item = String>) -> Result<()> {
    use std::io::Write;
    let mut table = tabwriter::TabWriter::new(Vec::new()).minwidth(12).padding(1);
    let written = rows.into_iter().try_for_each(|row| writeln!(table, "{row}"));
    let text = written.and_then(|()| table.into_inner().map_err(std::io::Error::other));
    let text = text.context(&state::INTERNAL, || "lay out a table".into())?;
    print!("{}", String::from_utf8_lossy(&text));
    Ok(())
}

/// The table is ps(1)'s own, with the lines of others left out.
fn run_ps(runtime: &Runtime, matches: &ArgMatches) -> Result<u8> {
    let pids = processes::list(&Container::find(runtime, &id(matches))?);
    if matches.get_one::<String>("format").is_some_and(|format| format == "json") {
        println!("{}", serde_json::json!(pids));
        return Ok(0);
    }
    let mut words: Vec<String> = matches.get_many("args").into_iter().flatten().cloned().collect();
    if words.is_empty() {
        words.push("-ef".into());
    }
    let output = std::process::Command::new("ps").args(&words).output();
    let output = output.context(&command_line::USAGE, || format!("run ps {}", words.join(" ")))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    let head = lines.next().unwrap_or_default();
    let column = head.split_whitespace().position(|word| word == "PID");
    let column = column.ok_or_else(|| Error::new(&command_line::USAGE, "ps printed no column PID"))?;
    println!("{head}");
    for line in lines {
        let pid = line.split_whitespace().nth(column).and_then(|word| word.parse().ok());
        if pid.is_some_and(|pid| pids.contains(&pid)) {
            println!("{line}");
        }
    }
    Ok(0)
}

fn run_features(_: &Runtime, _: &ArgMatches) -> Result<u8> {
    print(&features::document())
}

fn run_spec(runtime: &Runtime, matches: &ArgMatches) -> Result<u8> {
    let rootless = matches.get_flag("rootless") || !is_root(runtime);
    let document = config::document(&runtime.caller, rootless)?;
    config::write(&at(matches, "bundle").unwrap_or_default(), &document).map(|()| 0)
}

fn is_root(runtime: &Runtime) -> bool {
    runtime.caller.uid == 0
}

fn print(value: &serde_json::Value) -> Result<u8> {
    let text = serde_json::to_string_pretty(value).context(&state::INTERNAL, || "write JSON".into())?;
    println!("{text}");
    Ok(0)
}
