//! Capabilities: their names, podman's default set, and what `--cap-add` and `--cap-drop` make of it.
//!
//! Pure. Names are without CAP_ and in upper case. The surprise: the explicitly added ones are ambient too, because that is the
//! only way in which a command of another user than root gets them (as in podman).

use crate::error::{Error, Result, catalog::security};

/// In the order of their numbers (linux/capability.h).
pub const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// containers-common's eleven.
const DEFAULT: [&str; 11] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "SETFCAP",
];

/// The sets of a container's first process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sets {
    /// What the container can ever have; root has all of it.
    pub bounding: Vec<&'static str>,
    /// What a command of another user has: the explicitly added ones.
    pub ambient: Vec<&'static str>,
}

/// podman's rules: drops before adds, `ALL` on either side, a name on both sides is a contradiction.
///
/// # Errors
/// An unknown name, with near ones; a name that is both added and dropped.
pub fn resolve(add: &[String], drop: &[String], privileged: bool) -> Result<Sets> {
    let (all_added, added) = parse(add)?;
    let (all_dropped, dropped) = parse(drop)?;
    if let Some(name) = added.iter().find(|name| dropped.contains(name)) {
        return Err(Error::new(&security::UNKNOWN_CAPABILITY, format!("{name} is both added and dropped")));
    }
    let has = |name: &&'static str| {
        let base = if all_dropped { false } else { privileged || all_added || DEFAULT.contains(name) };
        (base && !dropped.contains(name)) || added.contains(name) || (all_added && all_dropped)
    };
    let bounding = NAMES.into_iter().filter(has).collect();
    Ok(Sets { bounding, ambient: added })
}

fn parse(words: &[String]) -> Result<(bool, Vec<&'static str>)> {
    let (mut all, mut names) = (false, Vec::new());
    for word in words.iter().flat_map(|word| word.split(',')) {
        let upper = word.trim().to_uppercase();
        let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if name == "ALL" {
            all = true;
        } else if let Some(known) = NAMES.into_iter().find(|known| *known == name) {
            names.push(known);
        } else {
            return Err(unknown(word, name));
        }
    }
    Ok((all, names))
}

fn unknown(word: &str, name: &str) -> Error {
    let near: Vec<_> =
        NAMES.into_iter().filter(|known| !name.is_empty() && (known.contains(name) || name.contains(known))).collect();
    let error = Error::new(&security::UNKNOWN_CAPABILITY, format!("{word:?}"));
    if near.is_empty() { error } else { error.fix(format!("Did you mean {}?", near.join(" or "))) }
}

/// The kernel's bit mask of a list of names; unknown names have no bit.
pub fn mask(names: &[String]) -> u64 {
    let bit = |name: &String| NAMES.iter().position(|known| known == name).map_or(0, |number| 1_u64 << number);
    names.iter().map(bit).fold(0, |mask, bit| mask | bit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(add: &[&str], drop: &[&str]) -> Result<u64> {
        let own = |list: &[&str]| list.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let sets = resolve(&own(add), &own(drop), false)?;
        Ok(mask(&sets.bounding.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()))
    }

    #[test]
    fn the_default_is_containers_commons_eleven() {
        assert_eq!(resolved(&[], &[]).expect("default"), 0x8004_05fb);
    }

    #[test]
    fn names_are_taken_in_any_case_with_or_without_prefix() {
        assert_eq!(
            resolved(&["cap_net_raw", "Sys_Time"], &["CHOWN,kill"]).expect("sets"),
            (0x8004_05fb & !0x21) | 1 << 13 | 1 << 25
        );
    }

    #[test]
    fn all_works_on_both_sides() {
        assert_eq!(resolved(&["net_raw"], &["all"]).expect("sets"), 1 << 13);
        assert_eq!(resolved(&["ALL"], &["net_raw"]).expect("sets"), ((1 << 41) - 1) & !(1 << 13));
    }

    #[test]
    fn contradictions_and_unknown_names_are_refused_with_near_ones() {
        assert!(resolved(&["chown"], &["CAP_CHOWN"]).is_err());
        let error = resolved(&["CHROOT"], &[]).expect_err("unknown");
        assert!(error.remedy().contains("SYS_CHROOT"), "{}", error.remedy());
    }
}
