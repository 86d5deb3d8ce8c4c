//! What may reach a terminal.
//!
//! Owns the escaping of characters by which a name, a label or a registry's answer could steer the terminal that shows it
//! (CVE-2023-28101), and the writer that does it. The surprise: the escapes are JSON's (`\u001b`), so that what was JSON stays
//! JSON with the same meaning.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

/// Escapes what steers a terminal, but neither the line feed nor the tab.
pub fn escape(text: &str) -> Cow<'_, str> {
    escape_but(text, &['\n', '\t'])
}

/// Escapes the line feed and the tab, too: the text stays within its cell of a table.
pub fn escape_cell(text: &str) -> Cow<'_, str> {
    escape_but(text, &[])
}

fn escape_but<'a>(text: &'a str, harmless: &[char]) -> Cow<'a, str> {
    let bad = |character: char| steers(character) && !harmless.contains(&character);
    if !text.chars().any(bad) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if bad(character) {
            escaped.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

/// Controls (C0, DEL, C1), line separators, and marks that change the direction in which the text around them reads.
fn steers(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A writer that escapes where a terminal is behind it, and nowhere else: pipes and files get the bytes as they are.
#[derive(Debug)]
pub struct Screen<W: Write> {
    out: W,
    terminal: bool,
    /// The beginning of a character whose end has not come yet.
    held: Vec<u8>,
}

impl Screen<io::Stdout> {
    /// Standard output.
    pub fn stdout() -> Self {
        Self::new(io::stdout(), io::stdout().is_terminal())
    }
}

impl Screen<io::Stderr> {
    /// Standard error.
    pub fn stderr() -> Self {
        Self::new(io::stderr(), io::stderr().is_terminal())
    }
}

impl<W: Write> Screen<W> {
    /// Over any writer.
    pub fn new(out: W, terminal: bool) -> Self {
        Self { out, terminal, held: Vec::new() }
    }
}

impl<W: Write> Write for Screen<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.terminal {
            return self.out.write(bytes);
        }
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        let mut text = String::with_capacity(all.len());
        let mut chunks = all.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            text.push_str(chunk.valid());
            let last = chunks.peek().is_none();
            // A character of four bytes may be cut behind its third.
            if last && std::str::from_utf8(chunk.invalid()).is_err_and(|error| error.error_len().is_none()) {
                self.held = chunk.invalid().to_vec();
            } else if !chunk.invalid().is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        self.out.write_all(escape(&text).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(pieces: &[&[u8]], terminal: bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut screen = Screen::new(&mut bytes, terminal);
        for piece in pieces {
            screen.write_all(piece).expect("memory");
        }
        bytes
    }

    #[test]
    fn what_steers_a_terminal_is_escaped() {
        for (text, safe) in [
            ("plain: ä 漢 👩‍🚀", "plain: ä 漢 👩‍🚀"),
            ("a\tb\n", "a\tb\n"),
            ("\x1b[2J", "\\u001b[2J"),
            ("\x1b]52;c;aGk=\x07", "\\u001b]52;c;aGk=\\u0007"),
            ("good\rbad", "good\\u000dbad"),
            ("\u{9b}31m\x7f", "\\u009b31m\\u007f"),
            ("\u{202e}gpj\u{2066}\u{200f}", "\\u202egpj\\u2066\\u200f"),
        ] {
            assert_eq!(escape(text), safe);
        }
        assert_eq!(escape_cell("a\tb\nc"), "a\\u0009b\\u000ac");
    }

    #[test]
    fn json_that_was_escaped_means_the_same() {
        let label = serde_json::json!({ "name": "\u{202e}x\u{9b}\x1b" });
        let text = label.to_string();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&escape(&text)).expect("JSON"), label);
    }

    #[test]
    fn a_pipe_gets_the_bytes_as_they_are() {
        assert_eq!(shown(&[b"\x1b[1m\xff"], false), b"\x1b[1m\xff");
    }

    #[test]
    fn a_character_may_come_in_two_writes() {
        assert_eq!(shown(&[b"\xe2\x80", b"\xaex\xf0\x9f", b"\x91\xa9"], true), "\\u202ex👩".as_bytes());
        assert_eq!(shown(&[b"a\xffb\xc3", b"("], true), "a\u{fffd}b\u{fffd}(".as_bytes());
    }

    proptest! {
        #[test]
        fn nothing_that_steers_gets_through(bytes in prop::collection::vec(any::<u8>(), 0..64), cut in 0usize..64) {
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            let text = String::from_utf8(shown(&[first, second], true)).expect("UTF-8");
            prop_assert!(!text.chars().any(|character| steers(character) && !"\n\t".contains(character)), "{text:?}");
        }

        #[test]
        fn text_is_the_same_however_it_is_cut(text in "\\PC{0,20}", cut in 0usize..80) {
            let (first, second) = text.as_bytes().split_at(cut.min(text.len()));
            prop_assert_eq!(shown(&[first, second], true), escape(&text).into_owned().into_bytes());
        }
    }
}
