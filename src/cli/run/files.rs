//! `--no-hosts`, `--dns none`, `--tz`, `--image-volume`, `--pidfile`: files that are made for a container, or about it.
//!
//! The surprise: a time zone is looked up among the host's files, whose names are resolved here, so that no name leads elsewhere; the
//! image need not have any.

use std::path::{Component, Path, PathBuf};

use clap::ArgMatches;

use super::resolve::{all, flag, one};
use super::wrong;
use crate::error::{Context, Error, Result, catalog::command_line};
use crate::spec::ImageVolumes;
use crate::spec::files::Etc;
use crate::spec::lifecycle::PidFiles;

/// Where every distribution has them.
const ZONES: &str = "/usr/share/zoneinfo";

/// podman's word of --dns for leaving /etc/resolv.conf as the image has it.
pub(super) const NO_FILE: &str = "none";

pub(super) fn etc(matches: &ArgMatches) -> Result<Etc> {
    let no_hosts = flag(matches, "no-hosts");
    if no_hosts && !all(matches, "add-host").is_empty() {
        let what = "--no-hosts and --add-host: there would be no file for it";
        return Err(Error::new(&command_line::CONFLICT, what));
    }
    let localtime = one(matches, "tz").filter(|word| !word.is_empty()).map(zone).transpose()?;
    let no_resolv = all(matches, "dns").iter().any(|word| word == NO_FILE);
    let beside = ["dns-search", "dns-option", "egress"].into_iter().find(|name| !all(matches, name).is_empty());
    let other = all(matches, "dns").iter().any(|word| word != NO_FILE).then_some("dns");
    if let Some(name) = beside.or(other).filter(|_| no_resolv) {
        let what = format!("--dns none and --{name}: there would be no file for it");
        return Err(Error::new(&command_line::CONFLICT, what));
    }
    Ok(Etc { no_hosts, no_hostname: flag(matches, "no-hostname"), no_resolv, localtime })
}

/// The file that has the zone's rules.
fn zone(word: &str) -> Result<PathBuf> {
    let bad = || wrong("tz", word, &format!("local, or a name below {ZONES}, for example Europe/Berlin"));
    let path = match word {
        "local" => PathBuf::from("/etc/localtime"),
        name if Path::new(name).components().all(|part| matches!(part, Component::Normal(_))) => {
            Path::new(ZONES).join(name)
        }
        _ => return Err(bad()),
    };
    let found = std::fs::canonicalize(&path)
        .context(&command_line::USAGE, || format!("--tz {word}: find {}", path.display()))?;
    let starts_right = |path: &Path| std::fs::read(path).is_ok_and(|content| content.starts_with(b"TZif"));
    if found.is_file() && starts_right(&found) { Ok(found) } else { Err(bad()) }
}

/// podman's words, and those of its configuration file.
pub(super) fn image_volumes(word: Option<&str>) -> Result<ImageVolumes> {
    match word {
        None | Some("anonymous" | "bind") => Ok(ImageVolumes::Anonymous),
        Some("tmpfs") => Ok(ImageVolumes::Tmpfs),
        Some("ignore") => Ok(ImageVolumes::Ignore),
        Some(other) => Err(wrong("image-volume", other, "bind, anonymous, tmpfs or ignore")),
    }
}

/// They are written at each start, from wherever that is.
pub(super) fn pid_files(matches: &ArgMatches) -> Result<PidFiles> {
    let file = |name: &str| {
        let absolute =
            |word: &str| std::path::absolute(word).context(&command_line::USAGE, || format!("--{name} {word:?}"));
        one(matches, name).map(absolute).transpose()
    };
    Ok(PidFiles { own: file("pidfile")?, supervisor: file("conmon-pidfile")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_a_file_of_rules_and_no_path() {
        for bad in ["/etc/passwd", "../../../etc/passwd", "Nowhere/AtAll", "Europe", "./UTC", "zone.tab"] {
            assert!(zone(bad).is_err(), "{bad}");
        }
        if Path::new(ZONES).join("UTC").exists() {
            assert!(zone("UTC").expect("a zone").starts_with(ZONES));
        }
    }
}
