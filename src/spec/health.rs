//! Which health check a container has: the image's HEALTHCHECK, and what the command line says instead.
//!
//! Pure. Owns docker's form of a check ([`ImageHealth`]) and how the two are put together. The surprise: each word of the command line
//! stands for itself, so `--health-interval 5s` alone changes when the image's own check is made.

use serde::{Deserialize, Serialize};

use super::lifecycle::{Health, OnUnhealthy};

/// Docker's defaults, in milliseconds.
const INTERVAL: u64 = 30_000;
const TIMEOUT: u64 = 30_000;
const START_INTERVAL: u64 = 5_000;
const RETRIES: u32 = 3;
const MILLI: u64 = 1_000_000;

/// `Healthcheck` of an image's configuration, as docker writes it; times in nanoseconds, 0 is the default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageHealth {
    /// `NONE`, or `CMD` and its words, or `CMD-SHELL` and a line.
    pub test: Vec<String>,
    /// Between two checks.
    pub interval: u64,
    /// For one.
    pub timeout: u64,
    /// In which failures don't count.
    pub start_period: u64,
    /// Between two checks in that time.
    pub start_interval: u64,
    /// Failures in a row.
    pub retries: u32,
}

/// `--health-*` and `--no-healthcheck`; None is what was not given. Times in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthAsked {
    /// `--no-healthcheck`.
    pub never: bool,
    /// `--health-cmd`, as argv.
    pub command: Option<Vec<String>>,
    /// `--health-interval`.
    pub interval: Option<u64>,
    /// `--health-timeout`.
    pub timeout: Option<u64>,
    /// `--health-retries`.
    pub retries: Option<u32>,
    /// `--health-start-period`.
    pub start_period: Option<u64>,
    /// `--health-start-interval`.
    pub start_interval: Option<u64>,
    /// `--health-on-failure`.
    pub on_failure: OnUnhealthy,
}

impl ImageHealth {
    /// From the bytes of an image's configuration. An image may say anything: what is no check is none.
    pub fn of_configuration(bytes: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Outer {
            config: Option<Inner>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Inner {
            healthcheck: Option<ImageHealth>,
        }
        serde_json::from_slice::<Outer>(bytes).ok()?.config?.healthcheck
    }

    fn command(&self) -> Option<Vec<String>> {
        let (kind, rest) = self.test.split_first()?;
        match (kind.as_str(), rest) {
            (_, []) => None,
            ("CMD", words) => Some(words.to_vec()),
            ("CMD-SHELL", lines) => Some(shell(&lines.join(" "))),
            _ => None,
        }
    }
}

/// Docker's CMD-SHELL.
pub fn shell(line: &str) -> Vec<String> {
    ["/bin/sh", "-c", line].map(str::to_owned).into()
}

/// None: nothing tells how the container is.
pub fn of(asked: Option<&HealthAsked>, image: Option<&ImageHealth>) -> Option<Health> {
    let nothing = (HealthAsked::default(), ImageHealth::default());
    let (asked, image) = (asked.unwrap_or(&nothing.0), image.unwrap_or(&nothing.1));
    if asked.never {
        return None;
    }
    let command = asked.command.clone().or_else(|| image.command())?;
    // A line of its own has nothing to do with when the image's would be checked, but docker takes that over all the same.
    let time = |own: Option<u64>, image: u64, default: u64| match (own, image / MILLI) {
        (Some(own), _) => own,
        (None, 0) => default,
        (None, image) => image,
    };
    Some(Health {
        command,
        interval: time(asked.interval, image.interval, INTERVAL),
        timeout: time(asked.timeout, image.timeout, TIMEOUT),
        retries: asked.retries.or(Some(image.retries).filter(|count| *count > 0)).unwrap_or(RETRIES),
        start_period: time(asked.start_period, image.start_period, 0),
        start_interval: time(asked.start_interval, image.start_interval, START_INTERVAL),
        on_failure: asked.on_failure,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str =
        r#"{"config":{"Healthcheck":{"Test":["CMD-SHELL","up || exit 1"],"Interval":5000000000,"Retries":2}}}"#;

    #[test]
    fn the_image_s_check_is_changed_word_for_word() {
        let image = ImageHealth::of_configuration(CONFIG.as_bytes()).expect("a check");
        let health = of(None, Some(&image)).expect("health");
        assert_eq!(health.command, ["/bin/sh", "-c", "up || exit 1"]);
        assert_eq!((health.interval, health.timeout, health.retries), (5_000, 30_000, 2));
        let asked = HealthAsked { interval: Some(7), ..HealthAsked::default() };
        let health = of(Some(&asked), Some(&image)).expect("health");
        assert_eq!((health.command.len(), health.interval, health.retries), (3, 7, 2));
        let asked = HealthAsked { command: Some(vec!["mine".into()]), ..HealthAsked::default() };
        assert_eq!(of(Some(&asked), Some(&image)).expect("health").command, ["mine"]);
        let asked = HealthAsked { never: true, ..HealthAsked::default() };
        assert_eq!(of(Some(&asked), Some(&image)), None);
    }

    #[test]
    fn an_image_without_a_check_has_none_whatever_it_says() {
        for text in ["", "{}", r#"{"config":{"Healthcheck":7}}"#, r#"{"config":null}"#] {
            assert_eq!(ImageHealth::of_configuration(text.as_bytes()), None, "{text}");
        }
        for test in [&["NONE"][..], &[], &["CMD"], &["what", "is", "this"]] {
            let image =
                ImageHealth { test: test.iter().map(|&word| word.to_owned()).collect(), ..ImageHealth::default() };
            assert_eq!(of(None, Some(&image)), None, "{test:?}");
        }
    }
}
