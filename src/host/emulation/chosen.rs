//! Emulators that the configuration names: `qemu = { arm64 = "/path" }`.
//!
//! Pure. Owns the table and what its keys may be; the files are `host::config`'s.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::architecture::{ALL, Architecture};

/// By GOARCH.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BTreeMap<String, PathBuf>")]
pub struct Emulators(BTreeMap<&'static str, PathBuf>);

impl Emulators {
    /// The one that was chosen for this architecture.
    pub fn get(&self, architecture: &str) -> Option<&Path> {
        self.0.get(architecture).map(PathBuf::as_path)
    }

    /// What is said already counts.
    pub fn add(&mut self, more: Self) {
        for (architecture, path) in more.0 {
            self.0.entry(architecture).or_insert(path);
        }
    }
}

impl TryFrom<BTreeMap<String, PathBuf>> for Emulators {
    type Error = String;

    fn try_from(given: BTreeMap<String, PathBuf>) -> Result<Self, String> {
        let known = |(name, path): (String, PathBuf)| match Architecture::of(&name) {
            Some(_) if !path.is_absolute() => Err(format!("qemu.{name}: {} is no absolute path", path.display())),
            Some(architecture) => Ok((architecture.name, path)),
            None => {
                let names: Vec<_> = ALL.iter().map(|one| one.name).collect();
                Err(format!("qemu.{name}: no such architecture; there are: {}", names.join(", ")))
            }
        };
        given.into_iter().map(known).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct File {
        qemu: Emulators,
    }

    #[test]
    fn emulators_are_named_by_architecture() {
        let mut own: File = toml::from_str("qemu = { aarch64 = '/opt/q', riscv64 = '/r' }").expect("TOML");
        let system: File = toml::from_str("qemu = { arm64 = '/other', s390x = '/s' }").expect("TOML");
        own.qemu.add(system.qemu);
        assert_eq!(own.qemu.get("arm64"), Some(Path::new("/opt/q")));
        assert_eq!(own.qemu.get("s390x"), Some(Path::new("/s")));
        assert_eq!(own.qemu.get("ppc64le"), None);
    }

    #[test]
    fn a_slip_is_an_error() {
        for (text, why) in [("qemu = { pdp11 = '/q' }", "no such architecture"), ("qemu = { arm64 = 'q' }", "absolute")]
        {
            let error = toml::from_str::<File>(text).expect_err(text).to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
