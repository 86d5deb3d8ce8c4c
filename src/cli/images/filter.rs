//! `--filter` of `rl images`: which of the store's images are shown.
//!
//! Pure. Docker's keys with docker's meaning: values of one key are alternatives, but for labels, and all keys must agree. The
//! surprise: a pattern is matched against the name with and without its tag, and `*` stops at a slash.

use glob::{MatchOptions, Pattern};

use crate::error::{Error, Result, catalog::command_line, catalog::image};
use crate::image::{Listed, Reference};

/// `*` and `?` match no slash, as in Go's path.Match.
const AS_PATHS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

/// All of one command line.
#[derive(Debug, Default)]
pub(super) struct Filters {
    dangling: Option<bool>,
    references: Vec<(Pattern, Option<Reference>)>,
    labels: Vec<(String, Option<String>)>,
    before: Vec<u64>,
    since: Vec<u64>,
}

impl Filters {
    /// Takes one `KEY=VALUE`; `images` are all that `before` and `since` can mean.
    pub(super) fn add(&mut self, filter: &str, images: &[Listed]) -> Result<()> {
        let bad = |why: &str| Error::new(&command_line::USAGE, format!("--filter {filter:?}: {why}"));
        let (key, value) = filter.split_once('=').ok_or_else(|| bad("expected KEY=VALUE"))?;
        match key {
            "dangling" => {
                self.dangling = Some(match value {
                    "true" | "1" => true,
                    "false" | "0" => false,
                    _ => return Err(bad("expected true or false")),
                });
            }
            "reference" => self.add_reference(value)?,
            "label" => {
                let (name, value) = value.split_once('=').map_or((value, None), |(name, value)| (name, Some(value)));
                self.labels.push((name.to_owned(), value.map(str::to_owned)));
            }
            "before" => self.before.push(find(images, value)?.created),
            "since" | "after" => self.since.push(find(images, value)?.created),
            _ => return Err(bad("the keys are dangling, reference, label, before, since")),
        }
        Ok(())
    }

    /// `REPOSITORY[:TAG]`, or a pattern.
    pub(super) fn add_reference(&mut self, text: &str) -> Result<()> {
        // Go negates with [^a], glob with [!a].
        let pattern = Pattern::new(&text.replace("[^", "[!")).map_err(|error| {
            Error::new(&command_line::USAGE, format!("the pattern {text:?}"))
                .because(error)
                .fix("Patterns have *, ? and [a-z]: rl images 'debian*', rl images --filter reference='*:1.*'")
        })?;
        // Names that are written in full mean the same as short ones: docker.io/library/busybox.
        self.references.push((pattern, Reference::parse(text).ok()));
        Ok(())
    }

    pub(super) fn pass(&self, image: &Listed) -> bool {
        let name = image.name.as_deref().and_then(|name| Reference::parse(name).ok());
        let has = |(key, value): &(String, Option<String>)| {
            image.labels.iter().any(|(name, have)| name == key && value.as_ref().is_none_or(|value| value == have))
        };
        let named = |pattern: &(Pattern, Option<Reference>)| name.as_ref().is_some_and(|name| matches(pattern, name));
        self.dangling.is_none_or(|dangling| dangling == name.is_none())
            && (self.references.is_empty() || self.references.iter().any(named))
            && self.labels.iter().all(has)
            && self.before.iter().all(|&limit| image.created < limit)
            && self.since.iter().all(|&limit| image.created > limit)
    }
}

fn matches((pattern, reference): &(Pattern, Option<Reference>), name: &Reference) -> bool {
    let text = name.to_string();
    let same = |wanted: &Reference| {
        // A reference without a tag is all of the repository's.
        wanted.familiar() == name.familiar() && (wanted.tag() == name.tag() || !has_tag(pattern.as_str()))
    };
    pattern.matches_with(&text, AS_PATHS)
        || pattern.matches_with(&name.familiar(), AS_PATHS)
        || reference.as_ref().is_some_and(same)
}

fn has_tag(text: &str) -> bool {
    text.rsplit('/').next().is_some_and(|last| last.contains(':'))
}

/// By name or by the first digits of an id.
fn find<'a>(images: &'a [Listed], text: &str) -> Result<&'a Listed> {
    let wanted = Reference::parse(text).ok().map(|name| name.to_string());
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    let by_name = images.iter().find(|image| image.name.is_some() && image.name == wanted);
    let by_id = || images.iter().find(|image| digits.len() >= 4 && image.id.starts_with(digits));
    by_name.or_else(by_id).ok_or_else(|| Error::new(&image::IMAGE_NOT_FOUND, format!("{text:?}")).exit(125))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(name: Option<&str>, created: u64, labels: &[(&str, &str)]) -> Listed {
        Listed {
            name: name.map(str::to_owned),
            id: format!("{created:064x}"),
            platform: "linux/amd64".into(),
            digest: None,
            created,
            size: 1,
            labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        }
    }

    fn images() -> Vec<Listed> {
        vec![
            image(Some("busybox:latest"), 10, &[("a", "1")]),
            image(Some("busybox:1.36"), 20, &[("a", "2"), ("b", "")]),
            image(Some("ghcr.io/someone/app:v1"), 30, &[]),
            image(Some("localhost:5000/app:v1"), 35, &[]),
            image(None, 40, &[("b", "x")]),
        ]
    }

    fn passing(filters: &[&str]) -> Result<Vec<u64>> {
        let images = images();
        let mut all = Filters::default();
        for filter in filters {
            match filter.strip_prefix("name ") {
                Some(name) => all.add_reference(name)?,
                None => all.add(filter, &images)?,
            }
        }
        Ok(images.iter().filter(|image| all.pass(image)).map(|image| image.created).collect())
    }

    #[test]
    fn each_key_means_what_docker_means() {
        let digits = format!("before={:064x}", 20);
        for (filters, expected) in [
            (vec![], vec![10, 20, 30, 35, 40]),
            (vec!["dangling=true"], vec![40]),
            (vec!["dangling=false"], vec![10, 20, 30, 35]),
            (vec!["reference=busybox"], vec![10, 20]),
            (vec!["reference=busy*:*.36"], vec![20]),
            (vec!["reference=*"], vec![10, 20]),
            (vec!["reference=*/*"], vec![35]),
            (vec!["reference=*/*/*"], vec![30]),
            (vec!["reference=[^a]usybox:latest"], vec![10]),
            (vec!["reference=busybox:latest", "reference=*/*/app"], vec![10, 30]),
            (vec!["label=a"], vec![10, 20]),
            (vec!["label=a=2"], vec![20]),
            (vec!["label=a", "label=b"], vec![20]),
            (vec!["label=b="], vec![20]),
            (vec!["before=busybox:1.36"], vec![10]),
            (vec![digits.as_str()], vec![10]),
            (vec!["since=busybox"], vec![20, 30, 35, 40]),
            (vec!["since=busybox", "before=ghcr.io/someone/app:v1"], vec![20]),
            (vec!["name busybox"], vec![10, 20]),
            (vec!["name docker.io/library/busybox"], vec![10, 20]),
            (vec!["name docker.io/library/busybox:1.36"], vec![20]),
            (vec!["name localhost:5000/app"], vec![35]),
            (vec!["name busybox:1.36"], vec![20]),
            (vec!["name nothing"], vec![]),
        ] {
            assert_eq!(passing(&filters).expect("filters"), expected, "{filters:?}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for bad in
            ["dangling", "dangling=maybe", "size=1", "before=never-was", "since=", "reference=[", "reference=***"]
        {
            assert!(passing(&[bad]).is_err(), "{bad}");
        }
    }
}
