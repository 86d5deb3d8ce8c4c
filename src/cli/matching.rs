//! What the filters of several verbs have in common: names and times.
//!
//! Owns nothing of what is filtered. The surprise: a time may be how long ago, so the same word is another time a moment later.

use super::run::lifecycle_duration;
use crate::state::{date, now};

/// Docker matches with a pattern; what people write are parts, and `^` and `$` around them. Its names begin with a slash.
pub(super) fn named(name: &str, part: &str) -> bool {
    let part = part.strip_prefix('/').unwrap_or(part);
    let (start, part) =
        part.strip_prefix('^').map_or((false, part), |rest| (true, rest.strip_prefix('/').unwrap_or(rest)));
    let (end, part) = part.strip_suffix('$').map_or((false, part), |rest| (true, rest));
    match (start, end) {
        (true, true) => name == part,
        (true, false) => name.starts_with(part),
        (false, true) => name.ends_with(part),
        (false, false) => name.contains(part),
    }
}

/// Nanoseconds since 1970, of how long ago, of seconds since 1970, or of a date.
pub(super) fn until(text: &str) -> Option<u64> {
    if let Some(ago) = lifecycle_duration(text) {
        return Some(now().saturating_sub(ago.saturating_mul(1_000_000)));
    }
    if let Ok(seconds) = text.parse::<f64>() {
        return (seconds >= 0.0).then_some((seconds * 1e9) as u64);
    }
    date(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_matched_anywhere_or_as_it_is_anchored() {
        for (part, is) in [("we", true), ("eb", true), ("^web$", true), ("^/web", true), ("^eb", false), ("x", false)] {
            assert_eq!(named("web", part), is, "{part}");
        }
    }

    #[test]
    fn a_time_is_a_date_seconds_or_ago() {
        assert_eq!(until("1970-01-02T00Z"), Some(86_400_000_000_000));
        assert_eq!(until("1970-01-01 00:00:01Z"), Some(1_000_000_000));
        assert_eq!(until("1970-01-01T02:00+01:00"), Some(3_600_000_000_000));
        assert_eq!(until("2026-07-01"), until("2026-07-01T00:00:00.0"));
        assert!(until("2026-07-01T12:00").is_some() && until("2026-07-01T12:00:00:00").is_none());
        assert_eq!(until("1970-01-01T00:00:00.5Z"), Some(500_000_000));
        assert_eq!(until("12.5"), Some(12_500_000_000));
        let hour = now().saturating_sub(until("1h").expect("ago"));
        assert!((3_599_000_000_000..3_700_000_000_000).contains(&hour), "{hour}");
        assert_eq!(until("yesterday"), None);
    }
}
