//! Capabilities: their names and numbers, the default set, and what `--cap-add` and `--cap-drop` make of it.
//!
//! Owns the table of names and the rules by which podman combines the flags. It does not set anything: that is
//! `sys::capability`, which takes the masks that [`mask`] makes. The surprise: `ambient` holds only what was added by
//! name, and it is for a process whose uid is not 0; root has its capabilities without it.

use crate::error::{Error, Result, catalog};

/// Every capability in the order of its number (include/uapi/linux/capability.h), without `CAP_`.
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

/// All of them, as a mask.
pub const ALL: u64 = (1 << NAMES.len()) - 1;

/// What a container has when no flag says otherwise: podman's eleven. They are enough for a distribution's package
/// manager and for daemons that start as root, and none of them reaches outside the container's user namespace.
pub const DEFAULT: u64 = bit("CHOWN")
    | bit("DAC_OVERRIDE")
    | bit("FOWNER")
    | bit("FSETID")
    | bit("KILL")
    | bit("NET_BIND_SERVICE")
    | bit("SETFCAP")
    | bit("SETGID")
    | bit("SETPCAP")
    | bit("SETUID")
    | bit("SYS_CHROOT");

/// The sets of the container's process, in the order of the capabilities' numbers. The inheritable set is not among
/// them because it is empty (CVE-2022-24769); only a non-zero uid's ambient capabilities are inheritable too, as the
/// kernel demands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sets {
    /// What root has, and the most that anything in the container can ever have.
    pub bounding: Vec<&'static str>,
    /// What a process of another uid is given: the capabilities that were added by name.
    pub ambient: Vec<&'static str>,
}

/// Combines the flags as podman does: `ALL` first, single names after it. `privileged` starts from every capability and
/// still honours `--cap-drop`: a flag that takes rights away is never ignored.
pub fn resolve(add: &[String], drop: &[String], privileged: bool) -> Result<Sets> {
    if add.is_empty() && drop.is_empty() {
        let base = if privileged { ALL } else { DEFAULT };
        return Ok(sets(base, 0));
    }
    let add = Wish::read("--cap-add", add)?;
    let drop = Wish::read("--cap-drop", drop)?;
    if add.all && drop.all {
        return Err(Error::new(&catalog::command_line::CONFLICT, "--cap-add ALL and --cap-drop ALL"));
    }
    let both = add.mask & drop.mask;
    if both != 0 {
        let doing = format!("--cap-add and --cap-drop both name {}", names(both).join(", "));
        return Err(Error::new(&catalog::command_line::CONFLICT, doing));
    }
    let base = match (add.all || privileged, drop.all) {
        (_, true) => 0,
        (true, false) => ALL,
        (false, false) => DEFAULT,
    };
    let bounding = (base | add.mask) & !drop.mask;
    let ambient = if add.all { bounding } else { add.mask };
    Ok(sets(bounding, ambient))
}

/// The mask of names with or without `CAP_`; a name that is in no table has no bit.
pub fn mask<S: AsRef<str>>(names: &[S]) -> u64 {
    names.iter().filter_map(|name| number(name.as_ref())).fold(0, |mask, number| mask | (1 << number))
}

/// The names of a mask's bits, in the order of their numbers.
pub fn names(mask: u64) -> Vec<&'static str> {
    NAMES.into_iter().enumerate().filter(|(number, _)| mask >> number & 1 == 1).map(|(_, name)| name).collect()
}

/// `sys_chroot`, `SYS_CHROOT` and `CAP_SYS_CHROOT` are 18.
pub fn number(name: &str) -> Option<usize> {
    let bare = strip_prefix(name);
    NAMES.iter().position(|known| known.eq_ignore_ascii_case(bare))
}

/// The mask of one capability, for tables that are constants. A name of no capability fails when rl is compiled.
pub const fn bit(name: &str) -> u64 {
    let mut number = 0;
    while number < NAMES.len() {
        if same(NAMES[number].as_bytes(), name.as_bytes()) {
            return 1 << number;
        }
        number += 1;
    }
    panic!("no such capability")
}

/// `==` of slices is not const yet.
const fn same(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let mut at = 0;
    while at < left.len() {
        if left[at] != right[at] {
            return false;
        }
        at += 1;
    }
    true
}

fn sets(bounding: u64, ambient: u64) -> Sets {
    Sets { bounding: names(bounding), ambient: names(ambient) }
}

/// One flag's values together.
struct Wish {
    all: bool,
    mask: u64,
}

impl Wish {
    /// A value may be a list with commas, as podman's may.
    fn read(flag: &str, values: &[String]) -> Result<Self> {
        let mut wish = Self { all: false, mask: 0 };
        for name in values.iter().flat_map(|value| value.split(',')) {
            if name.eq_ignore_ascii_case("ALL") {
                wish.all = true;
            } else {
                let number = number(name).ok_or_else(|| unknown(flag, name))?;
                wish.mask |= 1 << number;
            }
        }
        Ok(wish)
    }
}

fn strip_prefix(name: &str) -> &str {
    match name.get(..4) {
        Some(prefix) if prefix.eq_ignore_ascii_case("CAP_") => &name[4..],
        _ => name,
    }
}

fn unknown(flag: &str, name: &str) -> Error {
    let error = Error::new(&catalog::security::UNKNOWN_CAPABILITY, format!("{flag} {name:?}"));
    let near = near(name);
    if near.is_empty() { error } else { error.fix(format!("Did you mean {}?", near.join(" or "))) }
}

/// Up to three names that a slip of the fingers, or half of the name, could have meant.
fn near(name: &str) -> Vec<&'static str> {
    let typed = strip_prefix(name).to_ascii_uppercase();
    let mut found: Vec<(usize, &'static str)> = NAMES
        .iter()
        .filter_map(|known| {
            let distance = distance(&typed, known);
            let part = typed.len() >= 3 && known.contains(typed.as_str());
            (distance <= 1 + typed.len() / 4 || part).then_some((distance, *known))
        })
        .collect();
    found.sort_unstable();
    found.into_iter().take(3).map(|(_, known)| known).collect()
}

/// Levenshtein's distance of two short words.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.bytes().enumerate() {
            let replaced = diagonal + usize::from(l != r);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn bounding(add: &[&str], drop: &[&str]) -> Vec<&'static str> {
        resolve(&words(add), &words(drop), false).expect("valid flags").bounding
    }

    fn refused(add: &[&str], drop: &[&str]) -> Error {
        resolve(&words(add), &words(drop), false).expect_err("contradictory or unknown")
    }

    #[test]
    fn the_numbers_are_those_of_the_kernel_header() {
        for (name, expected) in [("CHOWN", 0), ("SETPCAP", 8), ("SYS_CHROOT", 18), ("SYS_ADMIN", 21), ("BPF", 39)] {
            assert_eq!(number(name), Some(expected), "{name}");
        }
        assert_eq!(number("CHECKPOINT_RESTORE"), Some(40));
    }

    #[test]
    fn without_flags_there_are_podmans_eleven() {
        let sets = resolve(&[], &[], false).expect("no flags");
        assert_eq!(
            sets.bounding.join(" "),
            "CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE SYS_CHROOT SETFCAP"
        );
        assert!(sets.ambient.is_empty());
    }

    #[test]
    fn every_spelling_of_a_name_is_the_same_capability() {
        for spelling in ["sys_admin", "SYS_ADMIN", "CAP_SYS_ADMIN", "cap_sys_admin", "Cap_Sys_Admin"] {
            assert!(bounding(&[spelling], &[]).contains(&"SYS_ADMIN"), "{spelling}");
        }
    }

    #[test]
    fn drop_all_leaves_what_was_added() {
        assert_eq!(bounding(&["chown", "net_raw"], &["all"]), ["CHOWN", "NET_RAW"]);
        assert!(bounding(&[], &["ALL"]).is_empty());
    }

    #[test]
    fn add_all_loses_what_was_dropped() {
        let kept = bounding(&["ALL"], &["SYS_ADMIN"]);
        assert_eq!(kept.len(), 40);
        assert!(!kept.contains(&"SYS_ADMIN"));
    }

    #[test]
    fn a_list_with_commas_is_several_names() {
        assert_eq!(bounding(&["chown,kill"], &["all"]), ["CHOWN", "KILL"]);
    }

    #[test]
    fn privileged_has_everything_but_what_was_dropped() {
        assert_eq!(resolve(&[], &[], true).expect("privileged").bounding.len(), 41);
        let sets = resolve(&[], &words(&["mknod"]), true).expect("privileged");
        assert_eq!(sets.bounding.len(), 40);
        assert!(sets.ambient.is_empty());
    }

    #[test]
    fn only_added_names_are_ambient() {
        let sets = resolve(&words(&["net_raw", "chown"]), &words(&["kill"]), false).expect("valid flags");
        assert_eq!(sets.ambient, ["CHOWN", "NET_RAW"]);
    }

    #[test]
    fn a_name_that_is_added_and_dropped_is_refused() {
        let error = refused(&["sys_admin"], &["CAP_SYS_ADMIN"]);
        assert_eq!(error.entry().id, 102);
        assert!(error.summary().contains("SYS_ADMIN"), "{}", error.summary());
        assert_eq!(refused(&["all"], &["all"]).entry().id, 102);
    }

    #[test]
    fn an_unknown_name_is_answered_with_near_ones() {
        let error = refused(&["sys_amdin"], &[]);
        assert_eq!(error.entry().id, 601);
        assert_eq!(error.remedy(), "Did you mean SYS_ADMIN?");
        assert!(refused(&[], &["chroot"]).remedy().contains("SYS_CHROOT"));
        assert_eq!(refused(&["blorp"], &[]).remedy(), catalog::security::UNKNOWN_CAPABILITY.fix);
        assert_eq!(refused(&[""], &[]).entry().id, 601);
    }

    proptest! {
        #[test]
        fn names_and_masks_are_each_others_inverse(bits in 0..=ALL) {
            prop_assert_eq!(mask(&names(bits)), bits);
        }

        #[test]
        fn no_text_makes_it_panic(add in ".{0,12}", drop in ".{0,12}") {
            let _ = resolve(&[add], &[drop], false);
        }

        #[test]
        fn what_is_dropped_is_gone_and_what_is_added_is_there(add in 0..=ALL, drop in 0..=ALL, privileged: bool) {
            let add = add & !drop;
            let sets = resolve(&words(&names(add)), &words(&names(drop)), privileged).expect("disjoint names");
            let held = mask(&sets.bounding);
            prop_assert_eq!(held & drop, 0);
            prop_assert_eq!(held & add, add);
            prop_assert_eq!(mask(&sets.ambient) & !held, 0);
        }
    }
}
