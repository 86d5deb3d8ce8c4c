//! mount(8)'s option words, sorted into attributes of the mount, propagation, and the file system's own options.
//!
//! Pure. The surprises: the last word wins, as in mount(8), so `ro,rw` is read-write; and the words with an `r` before them
//! (`rro`) are for all mounts below, too, where `ro` is for the mount alone, however recursively it was bound.

use super::{Attributes, Propagation};

/// The sorted words of one mount.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// ro, nosuid, ...
    pub attributes: Attributes,
    /// rro, rnosuid, ...
    pub deep: Attributes,
    /// Some: `bind` (false) or `rbind` (true).
    pub bind: Option<bool>,
    /// Of the mount.
    pub propagation: Option<Propagation>,
    /// tmpcopyup
    pub copy_up: bool,
    /// `idmap` (false) or `ridmap` (true).
    pub idmap: Option<bool>,
    /// What the file system itself understands.
    pub data: Vec<(String, Option<String>)>,
}

/// Sorts the words; what is no mount option is left to the file system.
pub fn sort(words: &[String]) -> Options {
    let mut sorted = Options::default();
    for word in words {
        if !set_attribute(&mut sorted, word) && !set_kind(&mut sorted, word) {
            let (key, value) = match word.split_once('=') {
                Some((key, value)) => (key, Some(value.to_owned())),
                None => (word.as_str(), None),
            };
            sorted.data.push((key.to_owned(), value));
        }
    }
    sorted
}

/// Every word that `sort` understands by itself, for `rl oci features`.
pub const WORDS: [&str; 62] = [
    "async",
    "atime",
    "bind",
    "defaults",
    "dev",
    "diratime",
    "dirsync",
    "exec",
    "idmap",
    "iversion",
    "lazytime",
    "loud",
    "mand",
    "noatime",
    "nodev",
    "nodiratime",
    "noexec",
    "noiversion",
    "nolazytime",
    "nomand",
    "norelatime",
    "nostrictatime",
    "nosuid",
    "nosymfollow",
    "private",
    "ratime",
    "rbind",
    "rdev",
    "rdiratime",
    "relatime",
    "remount",
    "rexec",
    "ridmap",
    "rnoatime",
    "rnodev",
    "rnodiratime",
    "rnoexec",
    "rnorelatime",
    "rnostrictatime",
    "rnosuid",
    "rnosymfollow",
    "ro",
    "rprivate",
    "rrelatime",
    "rro",
    "rrw",
    "rshared",
    "rslave",
    "rstrictatime",
    "rsuid",
    "rsymfollow",
    "runbindable",
    "rw",
    "shared",
    "silent",
    "slave",
    "strictatime",
    "suid",
    "symfollow",
    "sync",
    "tmpcopyup",
    "unbindable",
];

/// Flags of the superblock, which fsconfig(2) takes as words of every file system.
pub const SUPERBLOCK: [&str; 8] = ["async", "dirsync", "lazytime", "mand", "nolazytime", "nomand", "posixacl", "sync"];

fn set_attribute(sorted: &mut Options, word: &str) -> bool {
    if let Some(plain) = word.strip_prefix('r')
        && plain != "elatime"
        && set_one(&mut sorted.deep, plain)
    {
        // The mount itself is one of the tree.
        return set_one(&mut sorted.attributes, plain);
    }
    set_one(&mut sorted.attributes, word)
}

fn set_one(attributes: &mut Attributes, word: &str) -> bool {
    let (slot, value) = match word {
        "ro" => (&mut attributes.read_only, true),
        "rw" => (&mut attributes.read_only, false),
        "nosuid" => (&mut attributes.nosuid, true),
        "suid" => (&mut attributes.nosuid, false),
        "nodev" => (&mut attributes.nodev, true),
        "dev" => (&mut attributes.nodev, false),
        "noexec" => (&mut attributes.noexec, true),
        "exec" => (&mut attributes.noexec, false),
        "noatime" => (&mut attributes.noatime, true),
        "atime" | "relatime" => (&mut attributes.noatime, false),
        "strictatime" => (&mut attributes.strictatime, true),
        "nostrictatime" => (&mut attributes.strictatime, false),
        "nodiratime" => (&mut attributes.nodiratime, true),
        "diratime" => (&mut attributes.nodiratime, false),
        "nosymfollow" => (&mut attributes.nosymfollow, true),
        "symfollow" => (&mut attributes.nosymfollow, false),
        // The kernel's default, which has no flag.
        "norelatime" => return true,
        _ => return false,
    };
    *slot = value;
    true
}

fn set_kind(options: &mut Options, word: &str) -> bool {
    match word {
        "bind" => options.bind = Some(false),
        "rbind" => options.bind = Some(true),
        "private" | "rprivate" => options.propagation = Some(Propagation::Private),
        "slave" | "rslave" => options.propagation = Some(Propagation::Slave),
        "shared" | "rshared" => options.propagation = Some(Propagation::Shared),
        "unbindable" | "runbindable" => options.propagation = Some(Propagation::Unbindable),
        "tmpcopyup" | "copyup" => options.copy_up = true,
        "idmap" => options.idmap = Some(false),
        "ridmap" => options.idmap = Some(true),
        // Of mount(8) itself, or what the kernel no longer has.
        "defaults" | "remount" | "silent" | "loud" | "iversion" | "noiversion" => {}
        _ => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(words: &str) -> Options {
        sort(&words.split(',').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn words_go_to_where_they_belong() {
        let options = sorted("rbind,ro,nosuid,rslave,mode=755,newinstance");
        assert_eq!(options.bind, Some(true));
        assert_eq!(options.propagation, Some(Propagation::Slave));
        assert_eq!(options.attributes, Attributes { read_only: true, nosuid: true, ..Attributes::default() });
        assert_eq!(options.data, [("mode".to_owned(), Some("755".to_owned())), ("newinstance".to_owned(), None)]);
    }

    #[test]
    fn words_of_the_whole_tree_are_kept_apart() {
        let options = sorted("rbind,nosuid,rro,relatime,rnoatime");
        assert_eq!(options.deep, Attributes { read_only: true, noatime: true, ..Attributes::default() });
        let own = Attributes { read_only: true, nosuid: true, noatime: true, ..Attributes::default() };
        assert_eq!(options.attributes, own);
        assert_eq!(options.data, []);
    }

    #[test]
    fn every_word_that_is_shown_is_understood() {
        for word in WORDS.iter().filter(|word| !SUPERBLOCK.contains(word)) {
            assert_eq!(sorted(word).data, [], "{word}");
        }
    }

    #[test]
    fn the_last_word_wins() {
        assert!(!sorted("ro,rw").attributes.read_only);
        assert_eq!(sorted("bind,rbind").bind, Some(true));
    }
}
