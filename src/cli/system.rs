//! `rl system check`: the store, verified and repaired. `rl system sync`: the store, written to the disk.
//!
//! The surprise: what has put an image into the store starts the second as a process of its own and ends; so nobody waits
//! for the disk.

use std::os::unix::process::CommandExt;
use std::process::Stdio;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{Globals, Verb, in_namespace};
use crate::error::Result;
use crate::host::Host;
use crate::image::{Finding, Severity, Store, check};

/// `rl system check`.
pub const CHECK: Verb = Verb { name: "check", about: "Verify the image store: digests, chains, orphans", command, run };

/// `rl system sync`.
pub const SYNC: Verb =
    Verb { name: "sync", about: "Write the store to the disk now", command: sync_command, run: run_sync };

fn command() -> Command {
    Command::new("rl system check")
        .about(CHECK.about)
        .arg(
            Arg::new("repair")
                .long("repair")
                .short('r')
                .action(ArgAction::SetTrue)
                .help("Delete what is damaged, and what nothing needs"),
        )
        .arg(Arg::new("quiet").long("quiet").short('q').action(ArgAction::SetTrue).help("Only the exit status"))
        .after_help(
            "Ends with 0 when no image is damaged, or all damage was repaired; with 1 otherwise. Garbage is no damage: a killed\n\
             pull leaves some for the next one to go on with.",
        )
}

fn run(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let (host, _) = in_namespace(globals, None)?;
    let findings = check(&Store::open(&host.dirs), matches.get_flag("repair"))?;
    let damaged = findings.iter().filter(|finding| finding.severity == Severity::Damaged);
    let left = damaged.filter(|finding| finding.repair.is_none()).count();
    if !matches.get_flag("quiet") {
        findings.iter().for_each(|finding| println!("{}", line(finding)));
        if findings.is_empty() {
            println!("The store is clean.");
        }
    }
    Ok(u8::from(left > 0))
}

fn sync_command() -> Command {
    Command::new("rl system sync").about(SYNC.about).after_help(
        "Every command that makes layers leaves this to a process in the background, so it is only needed before the store's file\n\
         system is taken away. After a power cut, what was not on the disk is made again: rl system check --repair.",
    )
}

fn run_sync(globals: &Globals, _: &ArgMatches) -> Result<u8> {
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    Store::open(&host.dirs).sync().map(|()| 0)
}

/// Lets a process of its own write to the disk what this one has put into the store.
pub(super) fn sync_later(host: &Host) {
    // Not ended with the foreground of a terminal, and no pipe of ours is kept open.
    let mut command = std::process::Command::new("/proc/self/exe");
    command.arg("--root").arg(&host.dirs.data).arg("--runroot").arg(&host.dirs.run).args(["system", "sync"]);
    command.process_group(0).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // The layers are marked: without it they are made again should the machine go down before it has written by itself.
    let _ = command.spawn();
}

fn line(finding: &Finding) -> String {
    let severity = match finding.severity {
        Severity::Damaged => "damaged",
        Severity::Garbage => "garbage",
    };
    let repair = finding.repair.as_ref().map(|repair| format!(" ({repair})")).unwrap_or_default();
    format!("{severity}: {}{repair}", finding.what)
}
