//! mount(8)'s option words, sorted into attributes of the mount, propagation, and the file system's own options.
//!
//! Pure. The surprise: the last word wins, as in mount(8), so `ro,rw` is read-write.

use super::{Attributes, Propagation};

/// The sorted words of one mount.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// ro, nosuid, ...
    pub attributes: Attributes,
    /// Some: `bind` (false) or `rbind` (true).
    pub bind: Option<bool>,
    /// Of the mount.
    pub propagation: Option<Propagation>,
    /// What the file system itself understands.
    pub data: Vec<(String, Option<String>)>,
}

/// Sorts the words; what is no mount option is left to the file system.
pub fn sort(words: &[String]) -> Options {
    let mut sorted = Options::default();
    for word in words {
        if !set_attribute(&mut sorted.attributes, word) && !set_kind(&mut sorted, word) {
            let (key, value) = match word.split_once('=') {
                Some((key, value)) => (key, Some(value.to_owned())),
                None => (word.as_str(), None),
            };
            sorted.data.push((key.to_owned(), value));
        }
    }
    sorted
}

fn set_attribute(attributes: &mut Attributes, word: &str) -> bool {
    let (slot, value) = match word {
        "ro" | "rro" => (&mut attributes.read_only, true),
        "rw" | "rrw" => (&mut attributes.read_only, false),
        "nosuid" | "rnosuid" => (&mut attributes.nosuid, true),
        "suid" => (&mut attributes.nosuid, false),
        "nodev" | "rnodev" => (&mut attributes.nodev, true),
        "dev" => (&mut attributes.nodev, false),
        "noexec" | "rnoexec" => (&mut attributes.noexec, true),
        "exec" => (&mut attributes.noexec, false),
        "noatime" => (&mut attributes.noatime, true),
        "atime" | "relatime" => (&mut attributes.noatime, false),
        "strictatime" => (&mut attributes.strictatime, true),
        "nodiratime" => (&mut attributes.nodiratime, true),
        "diratime" => (&mut attributes.nodiratime, false),
        "nosymfollow" => (&mut attributes.nosymfollow, true),
        "symfollow" => (&mut attributes.nosymfollow, false),
        // The kernel's defaults, which have no flag.
        "defaults" | "norelatime" | "nostrictatime" | "async" => return true,
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
    fn the_last_word_wins() {
        assert!(!sorted("ro,rw").attributes.read_only);
        assert_eq!(sorted("bind,rbind").bind, Some(true));
    }
}
