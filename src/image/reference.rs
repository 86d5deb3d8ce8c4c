//! References: `[REGISTRY/]REPOSITORY[:TAG][@DIGEST]`, after docker's rules.
//!
//! Pure. Owns the grammar of the distribution specification, what a bare name means (docker.io/library, without a prompt), the
//! short form that people read, and the name of an image's file in the store. The surprise: the store knows images by their
//! short form, so that `busybox` that was imported and `docker.io/library/busybox` are one name, as with docker.

use super::digest::Digest;
use super::platform::Platform;
use crate::error::{Error, Result, catalog::image};

const LONGEST: usize = 255;
const LONGEST_TAG: usize = 128;
/// NAME_MAX is 255, and a document is written beside its place under a longer name.
const LONGEST_FILE: usize = 240;
const DOCKER: &str = "docker.io";

/// A checked reference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: String,
    digest: Option<Digest>,
}

impl Reference {
    /// Checks and completes.
    ///
    /// # Errors
    /// `RL0302`, with what a name looks like; `RL0311` for a digest that is none.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |why: &str| {
            let shown: String = text.chars().take(300).collect();
            Err(Error::new(&image::BAD_NAME, format!("{shown:?}")).because(why.to_owned()))
        };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (text, None),
        };
        // A colon belongs to a tag only behind the last slash: localhost:5000/x has none.
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, tag),
            _ => (rest, "latest"),
        };
        let (registry, repository) = match path.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest.to_owned()),
            Some(_) => (DOCKER, path.to_owned()),
            None => (DOCKER, format!("library/{path}")),
        };
        let registry = if registry == "index.docker.io" { DOCKER } else { registry };
        let repository = match (registry, repository.contains('/')) {
            (DOCKER, false) => format!("library/{repository}"),
            _ => repository,
        };
        // With the registry, wherever it came from: what was completed must be a name, too.
        if path.is_empty() || registry.len() + 1 + repository.len() > LONGEST {
            return bad("a name has between 1 and 255 characters, with its registry");
        }
        if !is_registry(registry) {
            return bad("a registry is a host's name or address, with or without a port");
        }
        if !repository.split('/').all(is_part) {
            return bad("a name is made of small letters and digits, with . _ - / between them");
        }
        if !is_tag(tag) {
            return bad("a tag is made of letters, digits, _ . -");
        }
        Ok(Self { registry: registry.to_owned(), repository, tag: tag.to_owned(), digest })
    }

    /// `docker.io`, `localhost:5000`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// `library/busybox`: as the registry knows it.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; `latest` where none was given.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// `@sha256:...`, which is what is fetched then, whatever the tag.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// What a registry is asked for: the digest, or else the tag.
    pub fn asked(&self) -> String {
        self.digest.as_ref().map_or_else(|| self.tag.clone(), Digest::to_string)
    }

    /// The registry and repository as people write them: `busybox`, `someone/app`, `ghcr.io/someone/app`.
    pub fn familiar(&self) -> String {
        match (self.registry.as_str(), self.repository.strip_prefix("library/")) {
            (DOCKER, Some(name)) if !name.contains('/') => name.to_owned(),
            (DOCKER, _) => self.repository.clone(),
            (registry, _) => format!("{registry}/{}", self.repository),
        }
    }

    /// With the registry and the tag, whatever they are: `docker.io/library/busybox:latest`.
    pub fn canonical(&self) -> String {
        format!("{}/{}:{}", self.registry, self.repository, self.tag)
    }

    /// The same repository under another registry and path, for mirrors.
    ///
    /// # Errors
    /// `RL0302` when that is no name.
    pub fn elsewhere(&self, path: &str) -> Result<Self> {
        Self::parse(&format!("{path}:{}", self.tag)).map(|other| Self { digest: self.digest.clone(), ..other })
    }

    /// `NAME-ARCH[:TAG]`: the reference without the ending, and the platform.
    pub fn platform_ending(&self) -> Option<(Self, Platform)> {
        let (name, platform) = Platform::of_ending(&self.repository)?;
        Some((Self { repository: name.to_owned(), ..self.clone() }, platform))
    }

    /// The name as one component of a path. Neither `%` nor a capital letter is in any repository, so no two names
    /// meet; a name too long for a component is its digest. An image for another platform than the machine's lies beside it.
    pub(super) fn file(&self, platform: Option<&Platform>) -> String {
        let platform = platform.map(|platform| format!("%{}", platform.to_string().replace('/', "-")));
        let platform = platform.unwrap_or_default();
        let file = format!("{}%{}{platform}.json", self.familiar().replace('/', "%2F").replace(':', "%3A"), self.tag);
        if file.len() <= LONGEST_FILE {
            return file;
        }
        format!("%%{}{platform}.json", Digest::of(self.to_string().as_bytes()).hex())
    }
}

/// The short form with its tag; a digest is not part of an image's name in the store.
impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.familiar(), self.tag)
    }
}

/// Whether somebody who typed `text` may have meant the image `name`: another tag of it, a part of it, or up to two
/// slips away.
pub(super) fn near(name: &str, text: &str) -> bool {
    let repository = |text: &str| text.rsplit_once(':').map_or(text, |(repository, _)| repository).to_owned();
    let (name, text) = (repository(name), repository(text));
    let last = name.rsplit('/').next().unwrap_or(&name);
    name.contains(&text) || text.contains(last) || distance(last, text.rsplit('/').next().unwrap_or(&text)) <= 2
}

/// Levenshtein's: how many letters to add, drop or change.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<_> = b.bytes().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (above, from) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], above + 1);
        for (at, to) in b.iter().enumerate() {
            let change = diagonal + usize::from(from != *to);
            diagonal = row[at + 1];
            row[at + 1] = change.min(diagonal + 1).min(row[at] + 1);
        }
    }
    row[b.len()]
}

/// A DNS name, an IPv4 address or a bracketed IPv6 one, and a port.
fn is_registry(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let label = |label: &str| {
        let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
        edge(label.bytes().next())
            && edge(label.bytes().next_back())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(label),
    };
    host && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0))
}

/// Small letters and digits, with `.`, `_`, `__` or dashes between them.
fn is_part(part: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let edge = |byte: Option<u8>| byte.is_some_and(alphanumeric);
    let separator =
        |between: &str| matches!(between, "" | "." | "_" | "__") || between.bytes().all(|byte| byte == b'-');
    edge(part.bytes().next())
        && edge(part.bytes().next_back())
        && part.bytes().all(|byte| alphanumeric(byte) || b"._-".contains(&byte))
        && part.split(|letter: char| letter.is_ascii_alphanumeric()).all(separator)
}

fn is_tag(tag: &str) -> bool {
    !tag.is_empty()
        && tag.len() <= LONGEST_TAG
        && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
        && !tag.starts_with(['.', '-'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_completed_as_docker_does() {
        for (text, registry, repository, tag, familiar) in [
            ("busybox", "docker.io", "library/busybox", "latest", "busybox"),
            ("docker.io/busybox:1", "docker.io", "library/busybox", "1", "busybox"),
            ("index.docker.io/library/busybox", "docker.io", "library/busybox", "latest", "busybox"),
            ("someone/app", "docker.io", "someone/app", "latest", "someone/app"),
            ("localhost/app", "localhost", "app", "latest", "localhost/app"),
            ("localhost:5000/a/b:1.0", "localhost:5000", "a/b", "1.0", "localhost:5000/a/b"),
            ("[::1]:5000/x", "[::1]:5000", "x", "latest", "[::1]:5000/x"),
            ("Example.com/x__y", "Example.com", "x__y", "latest", "Example.com/x__y"),
        ] {
            let reference = Reference::parse(text).expect(text);
            let is = (reference.registry(), reference.repository(), reference.tag(), &*reference.familiar());
            assert_eq!(is, (registry, repository, tag, familiar));
        }
    }

    #[test]
    fn a_digest_is_what_is_asked_for() {
        let digest = Digest::of(b"x");
        let reference = Reference::parse(&format!("ghcr.io/o/r:1@{digest}")).expect("a reference");
        assert_eq!((reference.asked(), reference.to_string()), (digest.to_string(), "ghcr.io/o/r:1".into()));
        assert!(Reference::parse("a@sha256:../../x").is_err());
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for bad in [
            "",
            ":x",
            "A",
            "a:",
            "../x",
            "a/../b",
            "-rf",
            "a b",
            "a\n",
            "a:b c",
            "a//b",
            "a:.x",
            "/a",
            "a/",
            "x%y",
            "a..b",
            "a._b",
            "a___b",
            "h:0/x",
            "h:99999/x",
            ".h/x",
            "[::1/x",
            "@",
        ] {
            assert!(Reference::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn slips_and_other_tags_are_near_and_other_names_are_not() {
        for text in ["busybx", "busyboxx", "bsuybox", "busybox:1", "box", "localhost/busybox"] {
            assert!(near("busybox:latest", text), "{text}");
        }
        assert!(!near("busybox:latest", "debian"));
        assert!(near("localhost:5000/web/app:1", "apq"));
    }

    #[test]
    fn the_longest_names_still_have_files_of_their_own() {
        let name = |tag: &str| Reference::parse(&format!("{}a:{tag}", "a/".repeat(120))).expect("a name").file(None);
        let (one, other) = (name(&"x".repeat(128)), name(&"y".repeat(128)));
        assert!(one.len() <= LONGEST_FILE && one != other && one.ends_with(".json"), "{one}");
    }

    #[test]
    fn platforms_of_one_reference_lie_side_by_side() {
        let reference = Reference::parse("debian").expect("a name");
        let files = [None, Some("arm64"), Some("linux/arm/v7")];
        let files = files.map(|text| reference.file(text.map(|text| text.parse().expect("a platform")).as_ref()));
        assert_eq!(files, ["debian%latest.json", "debian%latest%linux-arm64.json", "debian%latest%linux-arm-v7.json"]);
    }

    proptest! {
        #[test]
        fn a_name_is_one_component_of_a_path_and_comes_back(text in "[a-z0-9./:_-]{1,30}") {
            if let Ok(name) = Reference::parse(&text) {
                let file = name.file(None);
                prop_assert!(!file.contains('/') && !file.starts_with('.'));
                prop_assert_eq!(Reference::parse(&name.to_string()).expect("its own text"), name);
            }
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,60}") {
            let _ = Reference::parse(&text);
        }
    }
}
