//! `-o` of a volume: a directory of the user's in its place, how it is mounted, whose a new one is.
//!
//! Pure. docker's and podman's words of the driver `local`. The surprise: what would have to be mounted once for all containers (memory, a
//! file system of the network) is refused, because no process of an unprivileged user's could hold such a mount for the others.

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
}

/// Understands them.
///
/// # Errors
/// What is wrong, or can't be had, in words.
pub fn parse(options: &BTreeMap<String, String>) -> Result<Backing, String> {
    let mut backing = Backing::default();
    let mut kind = None;
    for (key, value) in options {
        match key.as_str() {
            "type" => kind = Some(value.as_str()),
            "device" if value.starts_with('/') => backing.device = Some(PathBuf::from(value)),
            "device" => return Err(format!("device={value}: expected an absolute path")),
            "o" => value.split(',').filter(|word| !word.is_empty()).try_for_each(|word| backing.word(word))?,
            "copy" => {}
            "nocopy" => backing.nocopy = true,
            _ => return Err(format!("{key:?} is none of type, device, o, copy, nocopy")),
        }
    }
    match (kind, &backing.device) {
        (Some("tmpfs"), _) => {
            let what = "type=tmpfs: no process of yours could hold memory for all containers; each has its own with";
            Err(format!(
                "{what} --tmpfs /path, or share a directory in memory: type=none, device=/dev/shm/NAME, o=bind"
            ))
        }
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
    fn what_nobody_could_mount_is_refused_with_a_way_out() {
        for (words, why) in [
            (&[("type", "tmpfs"), ("device", "/x")][..], "--tmpfs"),
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
