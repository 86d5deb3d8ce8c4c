//! Why newuidmap or newgidmap failed.
//!
//! Owns the causes, their fixes, and the look at the machine that tells one from another. It runs at most `getcap`, and
//! that only after a failure. The surprise: the words of the program decide first, the machine second; a machine that
//! has no_new_privs set can still be one where the range simply is not the user's.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::statvfs::{FsFlags, statvfs};

use crate::{IdMap, MapError, program};

/// Why the maps could not be written.
#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    /// The program is not installed.
    #[error("the program {program} is not installed")]
    Missing {
        /// newuidmap or newgidmap.
        program: &'static str,
    },
    /// The program can't be started or waited for.
    #[error("cannot run {}", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
    /// no_new_privs is set, so that setuid bits and file capabilities do nothing.
    #[error("no_new_privs is set, so {} cannot use its privilege ({said})", program.display())]
    NoNewPrivileges {
        /// The program.
        program: PathBuf,
        /// Its own words.
        said: String,
    },
    /// The caller's own user namespace lacks ids of the map, or root, whose setuid bit the program needs.
    #[error("this process is in a user namespace of somebody's that does not have the ids: {lack} ({said})")]
    Nested {
        /// Which ids are missing.
        lack: String,
        /// The program's own words.
        said: String,
    },
    /// The file system of the program is mounted nosuid.
    #[error("{} is on a file system that is mounted nosuid ({said})", program.display())]
    Nosuid {
        /// The program.
        program: PathBuf,
        /// Its own words.
        said: String,
    },
    /// The program has neither a setuid bit nor a file capability.
    #[error("{} has no setuid bit and {}no file capability ({said})", program.display(), probably(*sure))]
    LostPrivilege {
        /// The program.
        program: PathBuf,
        /// Whether `getcap` was there to confirm that the capability is missing.
        sure: bool,
        /// The program's own words.
        said: String,
    },
    /// The program itself refuses the ids.
    #[error("the ids are not permitted to this user ({said})")]
    NotPermitted {
        /// The program.
        program: PathBuf,
        /// Its own words, which name the range.
        said: String,
    },
    /// The caller's group or user is not that of the user database.
    #[error("the process does not have the user and group of its entry in the user database ({said})")]
    OtherIdentity {
        /// The program.
        program: PathBuf,
        /// Its own words.
        said: String,
    },
    /// None of these.
    #[error("{} failed ({said})", program.display())]
    Failed {
        /// The program.
        program: PathBuf,
        /// Its own words, or its exit status where it had none.
        said: String,
    },
}

/// A claim that nothing could confirm says so.
fn probably(sure: bool) -> &'static str {
    if sure { "" } else { "probably " }
}

impl HelperError {
    /// What to do about it, in one or two sentences.
    pub fn fix(&self) -> String {
        let file = |program: &Path| {
            let kind = if program.ends_with("newgidmap") { "setgid" } else { "setuid" };
            format!("setcap cap_{kind}+ep {0} (or: chmod u+s {0})", program.display())
        };
        match self {
            Self::Missing { .. } => "Ask the administrator to install the package uidmap (Debian, Ubuntu), \
                shadow-utils (Fedora, RHEL), shadow (Arch, openSUSE) or shadow-subids (Alpine)."
                .into(),
            Self::Spawn { program, .. } => {
                format!("See whether {} can be run by this user: ls -l {0}", program.display())
            }
            Self::NoNewPrivileges { .. } => "Start from a shell that is not inside a sandbox or a service with \
                NoNewPrivileges=yes; grep NoNewPrivs /proc/self/status must say 0."
                .into(),
            Self::Nested { .. } => "Give the outer container or namespace a wider id map (cat /proc/self/uid_map \
                shows the present one), or list only ids that it has in its /etc/subuid and /etc/subgid."
                .into(),
            Self::Nosuid { program, .. } => format!(
                "Ask the administrator to mount that file system without nosuid: findmnt -T {} shows it.",
                program.display()
            ),
            Self::LostPrivilege { program, .. } => {
                format!("Ask the administrator to install the package again, or for: {}", file(program))
            }
            Self::NotPermitted { .. } => "Ask the administrator to list the range for this user in /etc/subuid and \
                /etc/subgid. Where /etc/nsswitch.conf has a line `subid:` with a service, only that service is \
                asked and the files do not count."
                .into(),
            Self::OtherIdentity { .. } => "Use the login's own user and primary group: leave the shell that newgrp, \
                sg or su has started."
                .into(),
            Self::Failed { .. } => "The words in parentheses are the program's own.".into(),
        }
    }
}

/// What the machine says about the program, after it failed.
struct Facts {
    no_new_privileges: bool,
    own_map: IdMap,
    nosuid: bool,
    setuid: bool,
    /// None: `getcap` is not there to tell.
    capability: Option<bool>,
    owner: u32,
}

/// The cause of the failure of `program`, which said `said`. `kind` is `uid` or `gid`.
pub(super) fn find(program: &Path, said: String, map: &IdMap, kind: &str) -> HelperError {
    decide(program, said, map, || Facts::look(program, kind))
}

fn decide(program: &Path, said: String, map: &IdMap, look: impl FnOnce() -> Facts) -> HelperError {
    let program = program.to_owned();
    // "newuidmap: uid range [1-65537) -> [100000-165536) not allowed"
    if said.contains("not allowed") {
        return HelperError::NotPermitted { program, said };
    }
    // "Target process is owned by a different user: ...", which compares the groups too; "Cannot determine your user
    // name."
    if said.contains("owned by a different user") || said.contains("your user name") {
        return HelperError::OtherIdentity { program, said };
    }
    // What is left is a privilege that the program lacks ("write to uid_map failed", "Could not set caps", "Could not
    // seteuid"), unless it speaks of something else entirely.
    let denied = ["Operation not permitted", "Permission denied", "Could not set", "failed"];
    if !denied.iter().any(|words| said.contains(words)) {
        return HelperError::Failed { program, said };
    }
    let facts = look();
    let privileged = facts.setuid || facts.capability == Some(true);
    if facts.no_new_privileges {
        HelperError::NoNewPrivileges { program, said }
    } else if let Err(MapError::NotInParent { outside, count }) = map.split_at(&facts.own_map) {
        HelperError::Nested { lack: format!("{count} from {outside} on"), said }
    } else if facts.nosuid {
        HelperError::Nosuid { program, said }
    } else if facts.setuid && facts.own_map.outside(facts.owner).is_none() {
        // The kernel passes over a setuid bit whose owner has no id in the namespace.
        HelperError::Nested { lack: "the owner of the setuid program".into(), said }
    } else if !privileged {
        HelperError::LostPrivilege { program, sure: facts.capability.is_some(), said }
    } else {
        HelperError::Failed { program, said }
    }
}

impl Facts {
    /// What can't be read counts as harmless, so that an innocent cause is never accused.
    fn look(program: &Path, kind: &str) -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let no_new_privileges = status.lines().any(|line| line.strip_prefix("NoNewPrivs:").map(str::trim) == Some("1"));
        let own_map = std::fs::read_to_string(format!("/proc/self/{kind}_map")).unwrap_or_default();
        let own_map = IdMap::parse(&own_map).unwrap_or_default();
        let nosuid = statvfs(program).is_ok_and(|answer| answer.flags().contains(FsFlags::ST_NOSUID));
        let file = program.metadata();
        let setuid = file.as_ref().is_ok_and(|file| file.permissions().mode() & 0o4000 != 0);
        let owner = file.map_or(0, |file| file.uid());
        let capability = if setuid { None } else { capability(program, kind) };
        Self { no_new_privileges, own_map, nosuid, setuid, capability, owner }
    }
}

/// Whether the file carries cap_setuid or cap_setgid, as `getcap` shows it; std has no call for extended attributes.
fn capability(program: &Path, kind: &str) -> Option<bool> {
    let getcap = program::find("getcap", std::env::var_os("PATH").as_deref())?;
    let output = Command::new(getcap).arg(program).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let shown = String::from_utf8_lossy(&output.stdout).contains(&format!("cap_set{kind}"));
    output.status.success().then_some(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPERM: &str = "newuidmap: write to uid_map failed: Operation not permitted";

    fn whole() -> IdMap {
        IdMap::parse("0 0 4294967295\n").expect("a map")
    }

    fn healthy() -> Facts {
        let (own_map, capability) = (whole(), Some(false));
        Facts { no_new_privileges: false, own_map, nosuid: false, setuid: true, capability, owner: 0 }
    }

    fn cause(said: &str, facts: Facts) -> HelperError {
        let map = IdMap::parse("0 1001 1\n1 100000 65536\n").expect("a map");
        decide(Path::new("/usr/bin/newuidmap"), said.into(), &map, || facts)
    }

    #[test]
    fn no_new_privs_is_the_cause_before_the_others() {
        let facts = Facts { no_new_privileges: true, nosuid: true, ..healthy() };
        assert!(matches!(cause(EPERM, facts), HelperError::NoNewPrivileges { .. }));
    }

    #[test]
    fn ids_that_the_own_namespace_lacks_are_named() {
        let own_map = IdMap::parse("0 1000 1\n1 100000 65536\n").expect("a map");
        let error = cause(EPERM, Facts { own_map, ..healthy() });
        assert!(error.to_string().contains("65536 from 100000 on"), "{error}");
    }

    #[test]
    fn a_setuid_bit_of_an_owner_without_an_id_is_worth_nothing() {
        let error = cause(EPERM, Facts { owner: 4_294_967_295, ..healthy() });
        assert!(error.to_string().contains("owner of the setuid program"), "{error}");
    }

    #[test]
    fn a_nosuid_mount_is_the_cause() {
        assert!(matches!(cause(EPERM, Facts { nosuid: true, ..healthy() }), HelperError::Nosuid { .. }));
    }

    #[test]
    fn a_lost_setuid_bit_is_certain_only_where_getcap_confirms_it() {
        let lost = |capability| cause(EPERM, Facts { setuid: false, capability, ..healthy() });
        assert!(matches!(lost(Some(false)), HelperError::LostPrivilege { sure: true, .. }));
        assert!(matches!(lost(None), HelperError::LostPrivilege { sure: false, .. }));
        assert!(matches!(lost(Some(true)), HelperError::Failed { .. }));
        assert!(lost(None).to_string().contains("probably"));
        assert!(lost(None).fix().contains("setcap cap_setuid+ep /usr/bin/newuidmap"));
    }

    #[test]
    fn a_changed_group_is_the_cause() {
        let said = "newgidmap: Target process is owned by a different user: uid:1001 pw_uid:1001 st_uid:1001, \
            gid:4 pw_gid:1001 st_gid:4";
        assert!(matches!(cause(said, healthy()), HelperError::OtherIdentity { .. }));
    }

    #[test]
    fn an_unknown_complaint_is_passed_on_without_guessing() {
        let error = cause("newuidmap: out of cheese", Facts { no_new_privileges: true, ..healthy() });
        assert!(matches!(error, HelperError::Failed { .. }));
        assert!(error.to_string().contains("out of cheese"));
    }

    #[test]
    fn a_plain_file_has_no_privilege() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("newuidmap");
        std::fs::write(&file, "").expect("a file");
        let facts = Facts::look(&file, "uid");
        assert!(!facts.setuid && facts.capability != Some(true));
        assert!(facts.own_map.total() > 0);
    }
}
