//! Image names: `NAME[:TAG]`, a strict pattern; no tag is `latest`.
//!
//! Pure. The registry's full grammar of references comes with registries; every name accepted here is one of it.

use sha2::{Digest, Sha256};

use crate::error::{Error, Result, catalog::image};

const LONGEST: usize = 200;
const LONGEST_TAG: usize = 128;
/// NAME_MAX is 255, and a document is written beside its place under a longer name.
const LONGEST_FILE: usize = 240;

/// A checked name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    repository: String,
    tag: String,
}

impl Name {
    /// Checks and completes.
    ///
    /// # Errors
    /// `RL0302`, with what a name looks like.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |why: &str| Err(Error::new(&image::BAD_NAME, format!("{text:?}")).because(why.to_owned()));
        // A colon belongs to a tag only behind the last slash: localhost:5000/x has none.
        let (repository, tag) = match text.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, tag),
            _ => (text, "latest"),
        };
        if repository.is_empty() || repository.len() > LONGEST {
            return bad("a name has between 1 and 200 characters");
        }
        let port =
            |part: &str| part.split_once(':').is_some_and(|(host, port)| is_part(host) && port.parse::<u16>().is_ok());
        let mut parts = repository.split('/');
        let first = parts.next().unwrap_or_default();
        if !(is_part(first) || port(first) && repository.contains('/')) || !parts.all(is_part) {
            return bad("a name is made of small letters and digits, with . _ - / between them");
        }
        if tag.is_empty()
            || tag.len() > LONGEST_TAG
            || !tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
            || tag.starts_with(['.', '-'])
        {
            return bad("a tag is made of letters, digits, _ . -");
        }
        Ok(Self { repository: repository.to_owned(), tag: tag.to_owned() })
    }

    /// The part before the tag.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// The name as one component of a path. Neither `%` nor a capital letter is in any repository, so no two names
    /// meet; a name too long for a component is its digest.
    pub(super) fn file(&self) -> String {
        let file = format!("{}%{}.json", self.repository.replace('/', "%2F").replace(':', "%3A"), self.tag);
        if file.len() <= LONGEST_FILE {
            return file;
        }
        let digest = Sha256::digest(self.to_string());
        digest.iter().fold("%%".to_owned(), |text, byte| format!("{text}{byte:02x}")) + ".json"
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.repository, self.tag)
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

fn is_part(part: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    part.bytes().all(inside) && edge(part.bytes().next()) && edge(part.bytes().next_back()) && !part.contains("..")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_tag_is_latest_and_a_port_is_no_tag() {
        assert_eq!(Name::parse("busybox").expect("name").to_string(), "busybox:latest");
        assert_eq!(Name::parse("localhost:5000/a/b:1.0").expect("name").to_string(), "localhost:5000/a/b:1.0");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for bad in
            ["", ":x", "A", "a:", "../x", "a/../b", "-rf", "a b", "a\n", "a:b c", "a//b", "a:.x", "/a", "a/", "x%y"]
        {
            assert!(Name::parse(bad).is_err(), "{bad:?}");
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
        let name = |tag: &str| Name::parse(&format!("{}a:{tag}", "a/".repeat(99))).expect("a name").file();
        let (one, other) = (name(&"x".repeat(128)), name(&"y".repeat(128)));
        assert!(one.len() <= LONGEST_FILE && one != other && one.ends_with(".json"), "{one}");
    }

    proptest! {
        #[test]
        fn a_name_is_one_component_of_a_path_and_comes_back(text in "[a-z0-9./:_-]{1,30}") {
            if let Ok(name) = Name::parse(&text) {
                let file = name.file();
                prop_assert!(!file.contains('/') && !file.starts_with('.'));
                prop_assert_eq!(Name::parse(&name.to_string()).expect("its own text"), name);
            }
        }
    }
}
