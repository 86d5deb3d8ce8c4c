//! `rl system check`: the store, verified and repaired.

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{Globals, Verb, in_namespace};
use crate::error::Result;
use crate::image::{Finding, Severity, Store, check};

/// `rl system check`.
pub const CHECK: Verb = Verb { name: "check", about: "Verify the image store: digests, chains, orphans", command, run };

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

fn line(finding: &Finding) -> String {
    let severity = match finding.severity {
        Severity::Damaged => "damaged",
        Severity::Garbage => "garbage",
    };
    let repair = finding.repair.as_ref().map(|repair| format!(" ({repair})")).unwrap_or_default();
    format!("{severity}: {}{repair}", finding.what)
}
