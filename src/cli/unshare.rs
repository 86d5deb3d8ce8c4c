//! `rl unshare [-muinpfrCT] [CMD]`: a shell in the caller's mapped namespace.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use nix::sched::CloneFlags;

use super::{Globals, Verb, warn_fallback};
use crate::error::Result;
use crate::host::Host;
use crate::runtime::{base, unshare};
use crate::spec::UserNs;

/// The verb.
pub const VERB: Verb = Verb {
    name: "unshare",
    about: "Run a command in your mapped namespace (root over your subordinate ids)",
    command,
    run,
};

const LETTERS: &[(char, &str, &str, CloneFlags)] = &[
    ('m', "mount", "New mount namespace", CloneFlags::CLONE_NEWNS),
    ('u', "uts", "New UTS namespace (hostname)", CloneFlags::CLONE_NEWUTS),
    ('i', "ipc", "New IPC namespace", CloneFlags::CLONE_NEWIPC),
    ('n', "net", "New network namespace", CloneFlags::CLONE_NEWNET),
    ('p', "pid", "New PID namespace; the command is its pid 1", CloneFlags::CLONE_NEWPID),
    ('C', "cgroup", "New cgroup namespace", CloneFlags::CLONE_NEWCGROUP),
];

fn command() -> Command {
    let flag = |letter: char, name: &'static str, help: &'static str| {
        Arg::new(name).short(letter).long(name).help(help).action(ArgAction::SetTrue)
    };
    Command::new("rl unshare")
        .about(VERB.about)
        .args(LETTERS.iter().map(|(letter, name, help, _)| flag(*letter, name, help)))
        .arg(flag('f', "fork", "Fork before the command"))
        .arg(flag('r', "map-root-user", "Accepted for unshare(1)'s users: the caller is always mapped to root"))
        .arg(flag('U', "user", "Accepted for unshare(1)'s users: there is always a user namespace"))
        .arg(Arg::new("userns").long("userns").value_name("MODE").help("full (all your ids) or single (only root)"))
        .arg(
            Arg::new("mount-proc")
                .long("mount-proc")
                .value_name("DIR")
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("/proc")
                .value_parser(value_parser!(PathBuf))
                .help("Mount a fresh proc (with -p); implies -m"),
        )
        .arg(
            Arg::new("command")
                .value_name("CMD")
                .num_args(0..)
                .trailing_var_arg(true)
                .allow_hyphen_values(true)
                .value_parser(value_parser!(OsString)),
        )
        .after_help(
            "Examples:\n  rl unshare                          a shell that is root over your files and subordinate ids\n  \
             rl unshare rm -rf old-rootfs        delete what subordinate ids own\n  \
             rl unshare -muinpf --mount-proc sh  the article's unshare -muinpfr",
        )
}

fn run(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    let mode = match matches.get_one::<String>("userns").map(String::as_str) {
        None => UserNs::Default,
        Some(text) => crate::spec::ids::parse_userns(text)?,
    };
    let mount_proc = matches.get_one::<PathBuf>("mount-proc");
    let mut namespaces = LETTERS
        .iter()
        .filter(|(_, name, _, _)| matches.get_flag(name))
        .fold(CloneFlags::empty(), |all, (_, _, _, flag)| all | *flag);
    if mount_proc.is_some() {
        namespaces |= CloneFlags::CLONE_NEWNS;
    }
    let mut command: Vec<OsString> = matches.get_many::<OsString>("command").into_iter().flatten().cloned().collect();
    if command.is_empty() {
        command.push(std::env::var_os("SHELL").filter(|shell| !shell.is_empty()).unwrap_or_else(|| "/bin/sh".into()));
    }
    let entered = base::enter(&host, &mode)?;
    warn_fallback(entered.fallback.as_ref());
    let asked = unshare::Unshare {
        namespaces,
        fork: matches.get_flag("fork"),
        mount_proc: mount_proc.map(PathBuf::as_path),
        command: &command,
    };
    Ok(unshare::run(&asked)?.status())
}
