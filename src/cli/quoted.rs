//! Words out of one line, with quotes of both kinds.
//!
//! Pure. The surprise: what a backslash means is the caller's, because Dockerfiles, systemd and shells each have it their own way.

use std::str::Chars;

/// `escape` puts into the word what a backslash, and what comes behind it, stands for; it is told in which quote that is.
///
/// # Errors
/// A quote that is not closed, and what `escape` says.
pub(super) fn split(
    text: &str,
    mut escape: impl FnMut(&mut String, Option<char>, &mut Chars<'_>) -> Result<(), &'static str>,
) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            (mark, Some(open)) if mark == open => quote = None,
            ('"' | '\'', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            ('\\', _) => escape(word.get_or_insert_default(), quote, &mut letters)?,
            (letter, None) if letter.is_whitespace() => words.extend(word.take()),
            (letter, _) => word.get_or_insert_default().push(letter),
        }
    }
    if quote.is_some() {
        return Err("a quote that is not closed".to_owned());
    }
    words.extend(word);
    Ok(words)
}

/// What every dialect says of a backslash with nothing behind it.
pub(super) fn escaped(letters: &mut Chars<'_>) -> Result<char, &'static str> {
    letters.next().ok_or("a backslash at the end")
}
