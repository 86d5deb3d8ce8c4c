//! `-o` of a volume: a directory of the user's in its place, how it is mounted, whose a new one is.
//!
//! Pure. docker's and podman's words of the driver `local`. The surprise: no process of an unprivileged user's could hold a mount for several
//! containers. So a file system of the network is refused, and memory is mounted by each container itself, which has it alone.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// What the options come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backing {
    /// The directory that the volume is.
    pub device: Option<PathBuf>,
    /// `ro`.
    pub read_only: bool,
    /// `noexec`.
    pub noexec: bool,
    /// `nocopy`: nothing of the image comes into a new one.
    pub nocopy: bool,
    /// `uid=`, `gid=`: of a new one.
    pub owner: (Option<u32>, Option<u32>),
    /// `type=tmpfs`: the words of its mount.
    pub memory: Option<Vec<String>>,
}

/// Understands them.
///
/// # Errors
/// What is wrong, or can't be had, in words.
pub fn parse(options: &BTreeMap<String, String>) -> Result<Backing, String> {
    let kind = options.get("type").map(String::as_str);
    let mut backing = Backing { memory: (kind == Some("tmpfs")).then(Vec::new), ..Backing::default() };
    for (key, value) in options {
        match key.as_str() {
            "type" => {}
            // docker's documentation writes device=tmpfs.
            "device" if backing.memory.is_some() => {}
            "device" if value.starts_with('/') => backing.device = Some(PathBuf::from(value)),
            "device" => return Err(format!("device={value}: expected an absolute path")),
            "o" => value.split(',').filter(|word| !word.is_empty()).try_for_each(|word| backing.word(word))?,
            "copy" => {}
            "nocopy" => backing.nocopy = true,
            _ => return Err(format!("{key:?} is none of type, device, o, copy, nocopy")),
        }
    }
    match (kind, &backing.device) {
        (Some("tmpfs"), _) => Ok(backing),
        (Some("none" | "bind"), None) => Err("type=none needs device=DIR and o=bind".into()),
        (Some("none" | "bind") | None, Some(_)) if backing.owner != (None, None) => {
            Err("uid= and gid= are for a volume of its own, and not for a directory that is yours".into())
        }
        (Some("none" | "bind") | None, _) => Ok(backing),
        (Some(other), _) => Err(format!(
            "type={other}: an unprivileged user can't mount it; where it is mounted already: type=none, device=DIR, o=bind"
        )),
    }
}

impl Backing {
    /// One of mount(8)'s words.
    fn word(&mut self, word: &str) -> Result<(), String> {
        let id = |value: &str| value.parse().map_err(|_| format!("{word}: expected a number"));
        if let Some(words) = &mut self.memory
            && let Some((key, value)) = word.split_once('=')
        {
            let right = match key {
                "size" => is_size(value),
                "mode" => (1..=5).contains(&value.len()) && value.bytes().all(|byte| (b'0'..=b'7').contains(&byte)),
                "uid" | "gid" | "nr_inodes" => value.parse::<u32>().is_ok(),
                _ => {
                    return Err(format!(
                        "o={word}: expected size=, mode=, uid=, gid=, nr_inodes=, ro or noexec of a tmpfs"
                    ));
                }
            };
            words.push(word.to_owned());
            return if right { Ok(()) } else { Err(format!("o={word}: expected size=64m, mode=0700 or a number")) };
        }
        match word.split_once('=') {
            // All that is mounted below comes along in any case: the kernel would not let it be left out.
            None if ["bind", "rbind", "rw", "copy", "exec", "nosuid", "nodev"].contains(&word) => {}
            None if word == "ro" => self.read_only = true,
            None if word == "noexec" => self.noexec = true,
            None if word == "nocopy" => self.nocopy = true,
            Some(("uid", value)) => self.owner.0 = Some(id(value)?),
            Some(("gid", value)) => self.owner.1 = Some(id(value)?),
            Some(("size" | "inodes", _)) => return Err(format!("{word}: an unprivileged user can set no quota")),
            _ => return Err(format!("o={word}: expected bind, ro, noexec, nocopy, uid= or gid=")),
        }
        Ok(())
    }
}

/// As the kernel reads it: bytes, or with k, m, g, or percent of the memory.
fn is_size(value: &str) -> bool {
    let number = value.strip_suffix(['k', 'm', 'g', 'K', 'M', 'G', '%']).unwrap_or(value);
    !number.is_empty() && number.len() <= 15 && number.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[(&str, &str)]) -> Result<Backing, String> {
        parse(&words.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn a_directory_stands_for_a_volume() {
        let backing = of(&[("type", "none"), ("device", "/srv"), ("o", "bind,ro,nocopy")]).expect("options");
        assert_eq!(backing.device, Some(PathBuf::from("/srv")));
        assert!(backing.read_only && backing.nocopy && !backing.noexec);
        assert_eq!(of(&[]), Ok(Backing::default()));
        assert_eq!(of(&[("o", "uid=5,gid=6")]).expect("an owner").owner, (Some(5), Some(6)));
    }

    #[test]
    fn memory_has_the_words_of_its_mount() {
        let backing =
            of(&[("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=100m,uid=1000,ro")]).expect("docker's example");
        assert_eq!(backing.memory, Some(vec!["size=100m".to_owned(), "uid=1000".into()]));
        assert!(backing.read_only && backing.owner == (None, None) && backing.device.is_none());
        assert_eq!(of(&[("type", "tmpfs")]).expect("no more").memory, Some(Vec::new()));
    }

    #[test]
    fn what_nobody_could_mount_is_refused_with_a_way_out() {
        for (words, why) in [
            (&[("type", "tmpfs"), ("o", "size=much")][..], "size=64m"),
            (&[("type", "tmpfs"), ("o", "mode=9")], "mode=0700"),
            (&[("type", "tmpfs"), ("o", "huge=always")], "nr_inodes="),
            (&[("type", "nfs"), ("device", "/x")], "o=bind"),
            (&[("type", "none")], "device="),
            (&[("device", "srv")], "absolute"),
            (&[("device", "/srv"), ("o", "uid=5")], "yours"),
            (&[("o", "size=1g")], "quota"),
            (&[("o", "uid=me")], "number"),
            (&[("o", "sync")], "sync"),
            (&[("bogus", "1")], "bogus"),
        ] {
            let said = of(words).expect_err(why);
            assert!(said.contains(why), "{said}");
        }
    }
}
