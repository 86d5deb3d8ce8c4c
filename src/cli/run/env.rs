//! `-e`, `--env-file`, `--env-host`, `--unsetenv`, `--label`, `--label-file`, `--annotation`: NAME=VALUE pairs.
//!
//! The files are docker's: plain lines, `#` comments, no quotes, no expansion. A name without a value is the caller's variable,
//! and nothing where the caller has none: a value of the host is passed only when it is asked for by its full name.

use std::ffi::OsString;

use super::wrong;
use crate::error::{Context, Error, Result, catalog::command_line};
use crate::spec::environment::Inherited;

type Pairs = Vec<(String, String)>;

/// Files first, then flags, so that a flag wins.
pub(in crate::cli) fn environment(files: &[String], words: &[String]) -> Result<Pairs> {
    let mut pairs = Vec::new();
    for file in files {
        // Editors of other systems begin a file with a byte order mark; docker passes over it too.
        for (number, line) in read(file)?.trim_start_matches('\u{feff}').lines().enumerate() {
            let line = line.trim_start();
            if !line.is_empty() && !line.starts_with('#') {
                let at = || format!("--env-file {file:?} line {}", number + 1);
                pairs.extend(
                    pair(line).map_err(|what| Error::new(&command_line::INPUT_FILE, format!("{}: {what}", at())))?,
                );
            }
        }
    }
    for word in words {
        pairs.extend(pair(word).map_err(|what| wrong("env", word, &what))?);
    }
    Ok(pairs)
}

/// Like [`environment`], but a label without a value is empty.
pub(in crate::cli) fn labels(files: &[String], words: &[String]) -> Result<Pairs> {
    let mut lines = Vec::new();
    for file in files {
        lines.extend(
            read(file)?
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .map(str::to_owned),
        );
    }
    lines.extend_from_slice(words);
    lines
        .iter()
        .map(|line| {
            let (name, value) = line.split_once('=').unwrap_or((line, ""));
            if name.is_empty() {
                Err(wrong("label", line, "KEY or KEY=VALUE"))
            } else {
                Ok((name.to_owned(), value.to_owned()))
            }
        })
        .collect()
}

/// `--env-host`: what is text of it, under names that can be variables' names.
pub(super) fn host(all: impl Iterator<Item = (OsString, OsString)>) -> Pairs {
    let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    all.filter_map(text).filter(|(name, _)| !name.contains(char::is_whitespace)).collect()
}

/// `--env-merge`, `--unsetenv`, `--unsetenv-all`.
pub(super) fn inherited(merge: &[String], unset: &[String], unset_all: bool) -> Result<Inherited> {
    let pair = |word: &String| {
        let parts = word.split_once('=').filter(|(name, _)| !name.is_empty());
        let parts = parts.map(|(name, text)| (name.to_owned(), text.to_owned()));
        parts.ok_or_else(|| wrong("env-merge", word, "NAME=TEXT"))
    };
    Ok(Inherited { merge: merge.iter().map(pair).collect::<Result<_>>()?, unset: unset.to_vec(), unset_all })
}

/// `--annotation KEY=VALUE`.
pub(super) fn annotations(words: &[String]) -> Result<Pairs> {
    let pair = |word: &String| match word.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(wrong("annotation", word, "KEY=VALUE")),
    };
    words.iter().map(pair).collect()
}

fn read(file: &str) -> Result<String> {
    std::fs::read_to_string(file).context(&command_line::INPUT_FILE, || format!("read {file:?}"))
}

fn pair(word: &str) -> Result<Option<(String, String)>, String> {
    let (name, value) = match word.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (word, None),
    };
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == '\0') || word.contains('\0') {
        return Err("a name without spaces, then =VALUE".to_owned());
    }
    let value = match value {
        Some(value) => Some(value),
        None => match std::env::var(name) {
            Ok(value) => Some(value),
            Err(std::env::VarError::NotPresent) => None,
            Err(std::env::VarError::NotUnicode(_)) => return Err("a variable whose value is UTF-8".to_owned()),
        },
    };
    Ok(value.map(|value| (name.to_owned(), value)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(words: &[&str]) -> Result<Pairs> {
        environment(&[], &words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn values_are_data_and_unset_names_are_nothing() {
        assert_eq!(
            words(&["A=b=c $HOME *", "RL_SURELY_UNSET", "E="]).expect("pairs"),
            [("A".to_owned(), "b=c $HOME *".to_owned()), ("E".to_owned(), String::new()),]
        );
    }

    #[test]
    fn a_name_alone_is_the_callers_value() {
        let path = std::env::var("PATH").expect("a PATH");
        assert_eq!(words(&["PATH"]).expect("pairs"), [("PATH".to_owned(), path)]);
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_what_was_typed(word in "[A-Za-z=$*# \\t\\n\\u{0}é]{0,16}") {
            for (name, value) in words(&[&word]).into_iter().flatten() {
                prop_assert!(!name.is_empty() && !name.contains('='));
                let again = [name, value].join("=");
                prop_assert!(!word.contains('=') || again == word);
            }
        }

        #[test]
        fn no_file_makes_it_panic(text in "([A-Z]{0,2}[= #\u{feff}]?[a-z]{0,2}[\\r\\n]{0,2}){0,8}") {
            let file = tempfile::NamedTempFile::new().expect("a file");
            std::fs::write(file.path(), &text).expect("write");
            let path = file.path().to_string_lossy().into_owned();
            for (name, _) in environment(&[path], &[]).into_iter().flatten() {
                prop_assert!(!name.is_empty() && !name.starts_with('#') && !name.contains(['=', ' ', '\r', '\n']));
            }
        }
    }

    #[test]
    fn a_pattern_is_a_name_like_any_other() {
        assert_eq!(words(&["PAT*", "*"]).expect("pairs"), []);
    }

    #[test]
    fn a_pair_without_a_name_is_refused() {
        for bad in ["=x", "", "a b=c"] {
            assert!(words(&[bad]).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn files_have_comments_and_errors_have_line_numbers() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "# comment\n\nA=1\n  B= 2 \n").expect("write");
        let path = file.path().to_string_lossy().into_owned();
        assert_eq!(
            environment(std::slice::from_ref(&path), &[]).expect("pairs"),
            [("A".to_owned(), "1".to_owned()), ("B".to_owned(), " 2 ".to_owned()),]
        );
        std::fs::write(file.path(), "A=1\n=2\n").expect("write");
        let error = environment(&[path], &[]).expect_err("line 2");
        assert!(error.summary().contains("line 2"), "{}", error.summary());
    }
}
