//! The definitions of networks: `DATA/networks/NAME.json`.
//!
//! Owns making, finding and removing them, and the choice of a subnet where none is given. The surprise: a network that nobody uses is
//! nothing but this file.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use super::VERSION;
use crate::error::{Context, Error, Result, catalog::network as codes, catalog::state as state_codes};
use crate::host::Dirs;
use crate::spec::networks::{Definition, Subnet, is_name};
use crate::state;

/// What `rl network create` asks for.
#[derive(Debug, Default)]
pub struct Wish {
    /// IPv4; None: chosen.
    pub v4: Option<Subnet>,
    /// IPv6, where it is given.
    pub v6: Option<Subnet>,
    /// An IPv6 subnet is chosen where none is given.
    pub ipv6: bool,
    /// No way out.
    pub internal: bool,
    /// No names.
    pub disable_dns: bool,
    /// Who is asked for other names.
    pub servers: Vec<IpAddr>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// The networks of a user.
#[derive(Debug)]
pub struct Networks {
    dir: PathBuf,
}

impl Networks {
    /// Of these directories.
    pub fn open(dirs: &Dirs) -> Self {
        Self { dir: dirs.data.join("networks") }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.json"))
    }

    /// By its name, or the beginning of its id.
    ///
    /// # Errors
    /// `RL0712` where there is none, or more than one.
    pub fn find(&self, word: &str) -> Result<Definition> {
        if is_name(word)
            && let Some(found) = state::read_versioned(&self.file(word), VERSION)?
        {
            return Ok(found);
        }
        let id = |one: &Definition| word.len() >= 3 && one.id.starts_with(word);
        let mut found = self.list()?.into_iter().filter(id);
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one),
            (None, _) => Err(Error::new(&codes::NO_NETWORK, format!("find {word:?}"))),
            (Some(one), Some(other)) => {
                let why = format!("the ids of {} and {} begin so", one.name, other.name);
                Err(Error::new(&codes::NO_NETWORK, format!("find the one that {word:?} is")).because(why))
            }
        }
    }

    /// All, by name.
    ///
    /// # Errors
    /// A file that can't be read.
    pub fn list(&self) -> Result<Vec<Definition>> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".json")).filter(|name| is_name(name)) {
                all.extend(state::read_versioned::<Definition>(&self.file(name), VERSION)?);
            }
        }
        all.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(all)
    }

    /// Makes one.
    ///
    /// # Errors
    /// `RL0710` for a name or a subnet that another has.
    pub fn create(&self, name: &str, id: String, wish: Wish) -> Result<Definition> {
        let refuse = |why: String| Error::new(&codes::NAMED, format!("create the network {name:?}")).because(why);
        if !is_name(name) {
            return Err(refuse(
                "a name is of letters, digits, dots, hyphens and underscores, and no word of --network".into(),
            ));
        }
        let _lock = state::lock(&self.dir)?;
        let all = self.list()?;
        if all.iter().any(|one| one.name == name) {
            return Err(refuse("there is one of that name".into()));
        }
        let taken = |subnet: &Subnet| {
            let block = (subnet.address, subnet.bits);
            all.iter().find(|one| one.v4.overlaps(block) || one.v6.is_some_and(|v6| v6.overlaps(block)))
        };
        for subnet in wish.v4.iter().chain(&wish.v6) {
            if let Some(other) = taken(subnet) {
                return Err(refuse(format!("its subnet has addresses of the network {}", other.name)));
            }
        }
        let free = |third: u8| {
            let subnet = Subnet::new(&format!("10.89.{third}.0/24"), None, None).ok()?;
            let free = taken(&subnet).is_none() && !routes().iter().any(|route| subnet.overlaps(*route));
            free.then_some(subnet)
        };
        let v4 = match wish.v4 {
            Some(v4) => v4,
            None => (0..=255).find_map(free).ok_or_else(|| refuse("no subnet of 10.89.0.0/16 is left".into()))?,
        };
        let v6 = match wish.v6 {
            // RFC 4193: 40 bits that nobody else has, which an id's are.
            None if wish.ipv6 => {
                let (a, b, c) = (&id[..2], &id[2..6], &id[6..10]);
                Some(Subnet::new(&format!("fd{a}:{b}:{c}::/64"), None, None)?)
            }
            given => given,
        };
        let created = state::now();
        let Wish { internal, disable_dns, servers, labels, .. } = wish;
        let made = Definition {
            version: VERSION,
            name: name.to_owned(),
            id,
            created,
            v4,
            v6,
            internal,
            dns: !disable_dns,
            servers,
            labels,
        };
        state::write_replacing(&self.file(name), &made, true)?;
        Ok(made)
    }

    /// Takes the definition away. Who uses it is the caller's to know.
    ///
    /// # Errors
    /// The file can't be removed.
    pub fn remove(&self, name: &str) -> Result<()> {
        let _lock = state::lock(&self.dir)?;
        std::fs::remove_file(self.file(name)).context(&state_codes::STATE, || format!("remove the network {name}"))
    }
}

/// IPv4 networks that this machine reaches in other ways than by its default route (proc_net(5): hexadecimal, in the machine's order).
fn routes() -> Vec<(IpAddr, u8)> {
    let text = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    let route = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let address = u32::from_str_radix(words.nth(1)?, 16).ok()?;
        let mask = u32::from_str_radix(words.nth(5)?, 16).ok()?;
        let bits = u8::try_from(mask.count_ones()).ok().filter(|bits| *bits > 0)?;
        Some((IpAddr::V4(Ipv4Addr::from_bits(u32::from_be(address))), bits))
    };
    text.lines().skip(1).filter_map(route).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_several_ids_is_none_of_them() {
        let data = tempfile::tempdir().expect("a directory");
        let store = Networks { dir: data.path().join("networks") };
        for (name, id) in [("one", "abc0"), ("other", "abc1"), ("abc", "fff0")] {
            store.create(name, id.repeat(16), Wish::default()).expect(name);
        }
        assert_eq!(store.find("abc0").expect("an id").name, "one");
        assert_eq!(store.find("abc").expect("a name before all ids").name, "abc");
        store.remove("abc").expect("removed");
        let refused = store.find("abc").expect_err("two");
        assert!(*refused.entry() == codes::NO_NETWORK && refused.to_string().contains("one and other"), "{refused}");
    }
}
