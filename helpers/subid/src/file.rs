//! The format of /etc/subuid and /etc/subgid: `OWNER:START:COUNT` a line, OWNER a name or a uid (subuid(5)).
//!
//! Owns the parser; it opens nothing. The surprise: shadow itself skips every line that it can't parse, without a word,
//! which is why a `#` comment works though subuid(5) knows none. Here only comments, blank lines and NIS lines (`+`,
//! `-`) are skipped in silence. A bad line is an error when it is the user's own, or when it has no owner and so might
//! be meant as the user's; a bad line of another user's is not this user's problem and is skipped as shadow does.

use std::path::Path;

use crate::ranges::{Error, Range, User};

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineProblem {
    /// Not three fields.
    #[error("it is not OWNER:START:COUNT")]
    Fields,
    /// Nothing before the first colon.
    #[error("it has no owner")]
    NoOwner,
    /// A field is no number.
    #[error("{0:?} is not a number")]
    Number(String),
    /// A negative count.
    #[error("the range runs backwards")]
    Reversed,
    /// A count of zero.
    #[error("the range is empty")]
    Empty,
    /// The range ends behind the last id, 4294967294.
    #[error("the range goes beyond the last id, 4294967294")]
    Beyond,
    /// The ids are in an earlier range of the same user too.
    #[error("it overlaps line {0}, which is the same user's")]
    Overlap(usize),
}

/// The ranges of `user` in `text`, in the order of the lines; `file` is for the messages only.
pub fn parse(text: &str, file: &Path, user: &User) -> Result<Vec<Range>, Error> {
    let mut found: Vec<(usize, Range)> = Vec::new();
    for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line)) {
        let range = match own_range(line, user) {
            Ok(Some(range)) => range,
            Ok(None) => continue,
            Err(problem) => return Err(at(file, number, line, problem)),
        };
        if let Some((earlier, _)) = found.iter().find(|(_, other)| other.overlaps(range)) {
            return Err(at(file, number, line, LineProblem::Overlap(*earlier)));
        }
        found.push((number, range));
    }
    Ok(found.into_iter().map(|(_, range)| range).collect())
}

fn at(file: &Path, line: usize, text: &str, problem: LineProblem) -> Error {
    Error::Line { file: file.to_owned(), line, text: text.to_owned(), problem }
}

/// The range of one line; None where the line is another's or nobody's.
fn own_range(line: &str, user: &User) -> Result<Option<Range>, LineProblem> {
    let trimmed = line.trim();
    if trimmed.is_empty() || trimmed.starts_with(['#', '+', '-']) {
        return Ok(None);
    }
    let Some((owner, rest)) = trimmed.split_once(':') else {
        return Err(LineProblem::Fields);
    };
    if owner.is_empty() {
        return Err(LineProblem::NoOwner);
    }
    if !user.is(owner) {
        return Ok(None);
    }
    let Some((start, count)) = rest.split_once(':').filter(|(_, count)| !count.contains(':')) else {
        return Err(LineProblem::Fields);
    };
    let start = number(start)?;
    if count.strip_prefix('-').is_some_and(|count| number(count).is_ok()) {
        return Err(LineProblem::Reversed);
    }
    checked(start, number(count)?).map(Some)
}

/// A range whose last id exists.
pub(crate) fn checked(start: u64, count: u64) -> Result<Range, LineProblem> {
    if count == 0 {
        return Err(LineProblem::Empty);
    }
    // 4294967295 is (uid_t)-1, which is no id. newuidmap refuses it too.
    match (u32::try_from(start), u32::try_from(count)) {
        (Ok(start), Ok(count)) if start.checked_add(count).is_some() => Ok(Range { start, count }),
        _ => Err(LineProblem::Beyond),
    }
}

/// shadow reads the numbers with strtoul(3) and base 0: `0x` is hexadecimal and a leading zero octal. Reading them
/// otherwise would ask newuidmap for ids that it then refuses.
fn number(text: &str) -> Result<u64, LineProblem> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (&text[1..], 8),
        None => (text, 10),
    };
    let bad = || LineProblem::Number(text.to_owned());
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Err(bad());
    }
    // Digits that do not fit are a number all the same, only one beyond the last id.
    Ok(u64::from_str_radix(digits, radix).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn alice() -> User {
        User { name: Some("alice".into()), uid: 1001 }
    }

    fn read(text: &str) -> Result<Vec<Range>, Error> {
        parse(text, Path::new("/etc/subuid"), &alice())
    }

    fn refused(text: &str) -> (usize, LineProblem) {
        match read(text) {
            Err(Error::Line { line, problem, .. }) => (line, problem),
            other => panic!("{text:?} gave {other:?}"),
        }
    }

    #[test]
    fn ranges_by_name_and_by_uid_are_both_the_users() {
        let text = "bob:1:2\nalice:100000:65536\n1001:300000:10\n1002:400000:10\nal:1:1\n";
        let expected = vec![Range { start: 100_000, count: 65536 }, Range { start: 300_000, count: 10 }];
        assert_eq!(read(text).expect("ranges"), expected);
    }

    #[test]
    fn a_user_without_a_name_is_found_by_uid_only() {
        let nameless = User { name: None, uid: 1001 };
        let found = parse("alice:1:2\n1001:5:6\n", Path::new("f"), &nameless).expect("ranges");
        assert_eq!(found, vec![Range { start: 5, count: 6 }]);
    }

    #[test]
    fn comments_blank_lines_and_nis_lines_are_skipped() {
        let text = "# alice:x\n\n   \n+\n-bob\n  # indented\nalice:7:1\n";
        assert_eq!(read(text).expect("ranges"), vec![Range { start: 7, count: 1 }]);
    }

    #[test]
    fn a_missing_newline_at_the_end_loses_nothing() {
        assert_eq!(read("alice:7:1").expect("ranges").len(), 1);
    }

    #[test]
    fn a_reversed_range_is_refused_with_its_line() {
        assert_eq!(refused("bob:1:1\nalice:100000:-65536\n"), (2, LineProblem::Reversed));
    }

    #[test]
    fn an_empty_range_is_refused_with_its_line() {
        assert_eq!(refused("\nalice:100000:0\n"), (2, LineProblem::Empty));
    }

    #[test]
    fn a_range_beyond_the_last_id_is_refused() {
        assert_eq!(refused("alice:4294967290:6"), (1, LineProblem::Beyond));
        assert_eq!(refused("alice:4294967296:1"), (1, LineProblem::Beyond));
        assert_eq!(refused("alice:1:99999999999999999999999"), (1, LineProblem::Beyond));
        assert_eq!(read("alice:4294967290:5").expect("ranges").len(), 1);
    }

    #[test]
    fn malformed_lines_of_the_user_are_refused() {
        assert_eq!(refused("alice:100000"), (1, LineProblem::Fields));
        assert_eq!(refused("alice:1:2:3"), (1, LineProblem::Fields));
        assert_eq!(refused("alice::2"), (1, LineProblem::Number(String::new())));
        assert_eq!(refused("alice:1:six"), (1, LineProblem::Number("six".into())));
        assert_eq!(refused("1001:1: 2"), (1, LineProblem::Number(" 2".into())));
        assert_eq!(refused("alice:+1:2"), (1, LineProblem::Number("+1".into())));
        assert_eq!(refused("alice:089:2"), (1, LineProblem::Number("089".into())));
    }

    #[test]
    fn a_line_that_may_be_anybodys_is_refused() {
        assert_eq!(refused("alice:1:1\nalice 100000 65536\n"), (2, LineProblem::Fields));
        assert_eq!(refused(":100000:65536"), (1, LineProblem::NoOwner));
    }

    #[test]
    fn a_malformed_line_of_another_user_does_not_stop_this_one() {
        assert_eq!(read("bob:what:ever\nbob:1:0\nalice:5:5\n").expect("ranges").len(), 1);
    }

    #[test]
    fn overlapping_ranges_of_one_user_are_refused_and_both_lines_named() {
        assert_eq!(refused("alice:100000:65536\nbob:1:1\n1001:165535:1\n"), (3, LineProblem::Overlap(1)));
        assert_eq!(read("alice:100000:65536\nalice:165536:1\n").expect("ranges").len(), 2);
    }

    #[test]
    fn ranges_of_different_users_may_overlap() {
        assert_eq!(read("bob:100000:65536\nalice:100000:65536\n").expect("ranges").len(), 1);
    }

    #[test]
    fn numbers_are_read_as_shadow_reads_them() {
        let expected = vec![Range { start: 0x10000, count: 0o100_000 }];
        assert_eq!(read("alice:0x10000:0100000\n").expect("ranges"), expected);
    }

    #[test]
    fn the_message_names_file_line_and_text() {
        let message = read("alice:1:0\n").expect_err("an empty range").to_string();
        assert_eq!(message, "/etc/subuid, line 1 (\"alice:1:0\"): the range is empty");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "(alice|1001|bob|#|:|-|[0-9]{1,11}|\n| |x){0,40}") {
            let _ = read(&text);
        }

        #[test]
        fn every_valid_line_is_found(counts in prop::collection::vec(1_u32..1000, 0..20)) {
            // 1000 apart, so that none overlaps.
            let ranges: Vec<_> =
                counts.iter().zip(0..).map(|(count, n)| Range { start: n * 1000, count: *count }).collect();
            let text: String = ranges.iter().map(|range| format!("alice:{}:{}\n", range.start, range.count)).collect();
            prop_assert_eq!(read(&text).expect("valid lines"), ranges);
        }
    }
}
