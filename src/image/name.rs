//! Image names: `NAME[:TAG]`, a strict pattern; no tag is `latest`.
//!
//! Pure. The registry's full grammar of references comes with registries; every name accepted here is one of it.

use crate::error::{Error, Result, catalog::image};

const LONGEST: usize = 200;
const LONGEST_TAG: usize = 128;

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

    /// The name as one component of a path. Neither `%` nor a capital letter is in any repository, so no two names meet.
    pub(super) fn file(&self) -> String {
        format!("{}%{}.json", self.repository.replace('/', "%2F").replace(':', "%3A"), self.tag)
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.repository, self.tag)
    }
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
            "localhost:5000",
        ] {
            let parsed = Name::parse(bad);
            assert!(parsed.is_err() || bad == "localhost:5000", "{bad:?}");
        }
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
