//! Platforms: `linux/ARCH[/VARIANT]`, in the OCI image specification's names (those of Go's GOARCH).
//!
//! Pure. Owns the many names that people and machines have for an architecture, and the endings of `NAME-ARCH`. The surprise:
//! `arm64/v8` and `arm64` are one platform, and so are `arm` and `arm/v7`, as in containerd's normalisation.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, catalog::image};

/// Where an image runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// GOARCH: `amd64`, `arm64`, `arm`, `386`, `riscv64`, ...
    pub architecture: String,
    /// `v7` of arm; none where it is the architecture's usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// GOARCH and variant, and the other names for it: uname's, Debian's, docker's and people's.
const ARCHITECTURES: [(&str, Option<&str>, &[&str]); 11] = [
    ("amd64", None, &["x86_64", "x86-64", "x64"]),
    ("arm64", None, &["aarch64", "arm64v8", "armv8"]),
    ("arm", Some("v7"), &["armv7", "armv7l", "armhf", "arm32v7"]),
    ("arm", Some("v6"), &["armv6", "armv6l", "arm32v6"]),
    ("arm", Some("v5"), &["armv5", "armel", "arm32v5"]),
    ("386", None, &["i386", "i686", "x86"]),
    ("riscv64", None, &[]),
    ("ppc64le", None, &["ppc64el"]),
    ("s390x", None, &[]),
    ("mips64le", None, &["mips64el", "mips64"]),
    ("loong64", None, &["loongarch64"]),
];

impl Platform {
    /// The one that `rl` was built for.
    pub fn host() -> Self {
        Self::linux(std::env::consts::ARCH, None)
    }

    /// Of Linux, with whatever name and variant an image, a registry or a person has for it; an unknown name stays as it is.
    pub fn linux(architecture: &str, variant: Option<&str>) -> Self {
        Self::new("linux", architecture, variant)
    }

    /// Normalised.
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let name = architecture.to_ascii_lowercase();
        let known = ARCHITECTURES.iter().find(|(go, _, others)| *go == name || others.contains(&name.as_str()));
        let (go, usual) = known.map_or((name.as_str(), None), |(go, usual, _)| (*go, *usual));
        let variant = match (go, variant.filter(|variant| !variant.is_empty())) {
            ("arm64", Some("v8" | "8")) | ("amd64", Some("v1")) => None,
            ("arm", Some(given)) => Some(format!("v{}", given.trim_start_matches('v'))),
            (_, given) => given.or(usual).map(str::to_owned),
        };
        Self { os: os.to_ascii_lowercase(), architecture: go.to_owned(), variant }
    }

    /// `NAME-ARCH`: the name without its ending, and the platform that the ending means.
    pub fn of_ending(repository: &str) -> Option<(&str, Self)> {
        let (name, ending) = repository.rsplit_once('-')?;
        let known = ARCHITECTURES.iter().any(|(go, _, others)| *go == ending || others.contains(&ending));
        let last = name.rsplit('/').next().unwrap_or(name);
        (known && !last.is_empty()).then(|| (name, Self::linux(ending, None)))
    }

    /// Whether `other`, as an index lists it, serves this platform: an older variant of arm runs on a newer one.
    pub fn serves(&self, other: &Self) -> bool {
        self == other
            || self.os == other.os
                && self.architecture == other.architecture
                && self.architecture == "arm"
                && other.variant.as_deref().unwrap_or("v7") <= self.variant.as_deref().unwrap_or("v7")
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

impl FromStr for Platform {
    type Err = Error;

    /// `linux/arm64`, `linux/arm/v7`, or the architecture alone.
    fn from_str(text: &str) -> Result<Self, Error> {
        let parts: Vec<_> = text.split('/').collect();
        let clean =
            |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !parts.iter().all(clean) {
            return Err(Error::new(&image::BAD_PLATFORM, format!("{text:?}")));
        }
        match parts[..] {
            [architecture] => Ok(Self::linux(architecture, None)),
            ["linux", architecture] => Ok(Self::linux(architecture, None)),
            ["linux", architecture, variant] => Ok(Self::linux(architecture, Some(variant))),
            _ => Err(Error::new(&image::BAD_PLATFORM, format!("{text:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_an_architecture_are_one() {
        let parsed = |text: &str| text.parse::<Platform>().expect(text).to_string();
        for (text, is) in [
            ("arm64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("aarch64", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/7", "linux/arm/v7"),
            ("armhf", "linux/arm/v7"),
            ("linux/arm/v6", "linux/arm/v6"),
            ("x86_64", "linux/amd64"),
            ("i386", "linux/386"),
            ("loongarch64", "linux/loong64"),
        ] {
            assert_eq!(parsed(text), is, "{text}");
        }
        for bad in ["", "linux/", "windows/amd64", "a/b/c/d", "linux/a b"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_ending_of_a_name_is_a_platform_only_when_it_is_one() {
        let ending = |text| Platform::of_ending(text).map(|(name, platform)| (name, platform.to_string()));
        assert_eq!(ending("ubuntu-arm64"), Some(("ubuntu", "linux/arm64".into())));
        assert_eq!(ending("localhost:5000/my-app-armv7"), Some(("localhost:5000/my-app", "linux/arm/v7".into())));
        assert_eq!(ending("my-app"), None);
        assert_eq!(ending("x/-arm64"), None);
    }

    #[test]
    fn an_older_arm_serves_a_newer_and_not_the_other_way() {
        let arm = |variant| Platform::linux("arm", Some(variant));
        assert!(arm("v7").serves(&arm("v6")) && !arm("v6").serves(&arm("v7")));
        assert!(!Platform::linux("arm64", None).serves(&arm("v7")));
    }
}
