//! Numbers as docker shows them: sizes, ages, dates.
//!
//! Pure. Follows docker's go-units to the letter, because scripts and eyes compare. The surprise: a size has three significant
//! digits, so that 4.42MB and 187MB are as wide as each other.

use time::OffsetDateTime;

const UNITS: [&str; 9] = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];

/// `4.42MB`: decimal units, three digits.
pub fn human_size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut units = UNITS.iter();
    let mut unit = units.next().unwrap_or(&"B");
    // What three digits would round up to 1000 is one of the next unit; docker shows 1e+03 there.
    while value >= 999.5 {
        let Some(next) = units.next() else { break };
        value /= 1000.0;
        unit = next;
    }
    let decimals = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    let digits = format!("{value:.decimals$}");
    let digits = if decimals == 0 { &digits } else { digits.trim_end_matches('0').trim_end_matches('.') };
    format!("{digits}{unit}")
}

/// `About an hour`, `2 weeks`: how long `seconds` are.
pub fn human_duration(seconds: u64) -> String {
    let minutes = seconds / 60;
    // go-units rounds to the nearest hour, and only there.
    let hours = (seconds + 1800) / 3600;
    match (seconds, minutes, hours) {
        (0, ..) => "Less than a second".into(),
        (1, ..) => "1 second".into(),
        (2..60, ..) => format!("{seconds} seconds"),
        (_, 1, _) => "About a minute".into(),
        (_, 2..60, _) => format!("{minutes} minutes"),
        (.., 1) => "About an hour".into(),
        (.., ..48) => format!("{hours} hours"),
        (.., ..336) => format!("{} days", hours / 24),
        (.., ..1440) => format!("{} weeks", hours / 24 / 7),
        (.., ..17520) => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

/// `2 weeks ago`, of seconds since 1970; what lies in the future is as new as can be.
pub fn ago(then: u64, now: u64) -> String {
    format!("{} ago", human_duration(now.saturating_sub(then)))
}

/// Seconds since 1970, now.
pub fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// `2024-01-09 15:04:05 +0000 UTC`, of seconds since 1970.
pub fn date(seconds: u64) -> String {
    let date = i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let Some(date) = date else { return format!("@{seconds}") };
    let (month, day) = (u8::from(date.month()), date.day());
    let (hour, minute, second) = date.to_hms();
    format!("{:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} +0000 UTC", date.year())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_dockers_three_digits() {
        for (bytes, shown) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1kB"),
            (1024, "1.02kB"),
            (4_417_235, "4.42MB"),
            (77_812_345, "77.8MB"),
            (100_000_000, "100MB"),
            (99_960_000, "100MB"),
            (9_996_000, "10MB"),
            (187_400_000, "187MB"),
            (999_600_000, "1GB"),
            (1_260_000_000, "1.26GB"),
            (u64::MAX, "18.4EB"),
        ] {
            assert_eq!(human_size(bytes), shown, "{bytes}");
        }
    }

    #[test]
    fn ages_are_dockers_words() {
        const HOUR: u64 = 3600;
        for (seconds, shown) in [
            (0, "Less than a second ago"),
            (1, "1 second ago"),
            (59, "59 seconds ago"),
            (60, "About a minute ago"),
            (120, "2 minutes ago"),
            (59 * 60 + 59, "59 minutes ago"),
            (HOUR, "About an hour ago"),
            (HOUR + 1799, "About an hour ago"),
            (HOUR + 1800, "2 hours ago"),
            (47 * HOUR, "47 hours ago"),
            (48 * HOUR, "2 days ago"),
            (13 * 24 * HOUR, "13 days ago"),
            (14 * 24 * HOUR, "2 weeks ago"),
            (60 * 24 * HOUR, "2 months ago"),
            (729 * 24 * HOUR, "24 months ago"),
            (730 * 24 * HOUR, "2 years ago"),
        ] {
            assert_eq!(ago(1_000_000, 1_000_000 + seconds), shown, "{seconds}");
        }
        assert_eq!(ago(2, 1), "Less than a second ago");
        assert!(ago(0, now()).ends_with("years ago"));
    }

    #[test]
    fn dates_are_those_of_go() {
        assert_eq!(date(0), "1970-01-01 00:00:00 +0000 UTC");
        assert_eq!(date(1_709_210_096), "2024-02-29 12:34:56 +0000 UTC");
        assert_eq!(date(u64::MAX), format!("@{}", u64::MAX));
    }
}
