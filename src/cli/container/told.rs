//! What the kernel tells of one process in `/proc/PID/status`: the columns of `rl top` about groups, capabilities and the filter.
//!
//! The surprise: the ids there are those of this process's own user namespace, which are the base's by now; the container's are made of them.

use super::top::Users;
use crate::spec::capabilities::{ALL, NAMES};

/// One column of one process; `?` where it has ended meanwhile.
pub(super) fn told(column: &str, pid: i32, users: &Users) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let words = |key: &str| -> Vec<String> {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.into_iter().flat_map(str::split_ascii_whitespace).map(str::to_owned).collect()
    };
    let id = |key: &str, at: usize| words(key).get(at).and_then(|word| word.parse::<u32>().ok());
    let name =
        |id: Option<u32>| id.map_or_else(|| "?".to_owned(), |id| if id == 0 { "root".into() } else { id.to_string() });
    let number = |id: Option<u32>| id.map_or_else(|| "?".to_owned(), |id| id.to_string());
    let groups = |inside: &dyn Fn(u32) -> u32| {
        let all = words("Groups").into_iter().filter_map(|word| word.parse().ok());
        all.map(|gid| inside(gid).to_string()).collect::<Vec<_>>().join(",")
    };
    match column {
        "ruser" => name(id("Uid", 0).map(|uid| users.inside(uid))),
        "group" => name(id("Gid", 1).map(|gid| users.group_inside(gid))),
        "rgroup" => name(id("Gid", 0).map(|gid| users.group_inside(gid))),
        "groups" => groups(&|gid| users.group_inside(gid)),
        "hgroup" => number(id("Gid", 1)),
        "hgroups" => groups(&|gid| gid),
        "seccomp" => match words("Seccomp").first().map(String::as_str) {
            Some("0") => "disabled".into(),
            Some("1") => "strict".into(),
            Some("2") => "filter".into(),
            _ => "?".into(),
        },
        "capeff" => capabilities(words("CapEff").first()),
        "capprm" => capabilities(words("CapPrm").first()),
        "capinh" => capabilities(words("CapInh").first()),
        "capbnd" => capabilities(words("CapBnd").first()),
        "capamb" => capabilities(words("CapAmb").first()),
        _ => "?".into(),
    }
}

/// podman's words: `none`, `full`, or their names in order.
fn capabilities(mask: Option<&String>) -> String {
    let Some(mask) = mask.and_then(|word| u64::from_str_radix(word, 16).ok()) else { return "?".into() };
    match mask & ALL {
        0 => "none".into(),
        ALL => "full".into(),
        some => {
            let names = NAMES.iter().enumerate().filter(|(number, _)| some >> number & 1 == 1);
            let mut names: Vec<_> = names.map(|(_, name)| *name).collect();
            names.sort_unstable();
            names.join(",")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_have_podmans_words() {
        let said = |word: &str| capabilities(Some(&word.to_owned()));
        assert_eq!(said("0000000000000000"), "none");
        assert_eq!(said("000001ffffffffff"), "full");
        assert_eq!(said("0000000000002021"), "CHOWN,KILL,NET_RAW");
        assert_eq!(said("x"), "?");
    }
}
