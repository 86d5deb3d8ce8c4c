//! Rust source without its comments and without what stands in strings and character literals.
//!
//! Owns just enough of the lexer that a word in a comment or a message is not taken for code. Newlines stay, so that
//! line numbers do too.

/// The text with every comment and every literal's content blanked out.
pub fn only(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = blank_length(rest, out.chars().next_back());
        if length == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            out.push(' ');
            out.extend(rest[..length].chars().filter(|c| *c == '\n'));
            rest = &rest[length..];
        }
    }
    out
}

/// How many bytes a comment or a literal has that starts right here; 0 where none does.
fn blank_length(text: &str, before: Option<char>) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return block_comment(text);
    }
    if text.starts_with('"') {
        return until_unescaped(text, '"');
    }
    if text.starts_with('\'') {
        return character(text);
    }
    let in_a_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if text.starts_with('r') && (!in_a_word || before == Some('b') || before == Some('c')) {
        return raw_string(text);
    }
    0
}

/// Block comments nest.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let (step, change) = match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => (2, 1),
            [b'*', b'/', ..] => (2, -1),
            _ => (1, 0),
        };
        depth += change;
        at += step;
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

fn until_unescaped(text: &str, end: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == end => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// `'x'` and `'\n'` are characters, `'static` is a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.chars().skip(1);
    match (chars.next(), chars.next()) {
        (Some('\\'), _) | (Some(_), Some('\'')) => until_unescaped(text, '\''),
        _ => 0,
    }
}

/// `r"..."` with any number of `#`; the `b` of `br` has been kept by then.
fn raw_string(text: &str) -> usize {
    let after = text[1..].trim_start_matches('#');
    let hashes = text.len() - 1 - after.len();
    if !after.starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let start = 1 + hashes + 1;
    text[start..].find(&end).map_or(text.len(), |at| start + at + end.len())
}

#[test]
fn comments_and_literals_are_blanked_and_code_and_lines_stay() {
    let text =
        "a // unsafe\n/* b /* unsafe */ c */ d \"un\\\"safe\" r#\"x\"unsafe\"# '\"' '\\'' f<'a> rest\n\"1\n2\" e";
    let words: Vec<String> = only(text).split_whitespace().map(str::to_owned).collect();
    assert_eq!(words, ["a", "d", "f<'a>", "rest", "e"]);
    assert_eq!(only(text).matches('\n').count(), text.matches('\n').count());
}
