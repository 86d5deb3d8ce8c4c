//! The actions of a template, seen from outside: where each `{{...}}` begins and ends, and which ones need an end.
//!
//! Pure. Owns the shell's escapes, which are in the text between actions only, and the balance of blocks. The surprise: the
//! latter is checked here because the parser of the templates ends at an `{{end}}` too many as if nothing came behind it.

use gotmpl::TemplateError;

/// Shells hand over `\t` and `\n` as they were typed. Within an action, a string literal of Go has its own escapes.
pub(super) fn unescaped(text: &str) -> String {
    let pieces = Pieces(text).map(|(before, action)| before.replace("\\t", "\t").replace("\\n", "\n") + action);
    pieces.collect()
}

/// docker's rows have a method `Label`, with the name of one: `{{.Label "a"}}` becomes `{{label . "a"}}`, of the functions.
pub(super) fn with_labels(text: &str) -> String {
    let pieces = Pieces(text).map(|(before, action)| {
        let mut parts = action.split(".Label ");
        let mut done = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let row = if done.ends_with('$') { "$" } else { "." };
            let is_call =
                part.trim_start().starts_with(['"', '`']) && !done.ends_with(|last: char| last.is_alphanumeric());
            if is_call {
                done.truncate(done.strip_suffix('$').map_or(done.len(), str::len));
                done.push_str(&format!("label {row} {part}"));
            } else {
                done.push_str(".Label ");
                done.push_str(part);
            }
        }
        before.to_owned() + &done
    });
    pieces.collect()
}

/// Podman's templates may have the loop over the rows in them: `{{range .}}`.
pub(super) fn loops_over_rows(text: &str) -> bool {
    let Some((_, action)) = Pieces(text).next() else { return false };
    let dot = words(action).strip_prefix("range").and_then(|rest| rest.trim_start().strip_prefix('.'));
    dot.is_some_and(|rest| rest.trim_start().starts_with(['}', '-']))
}

/// Every block has its `{{end}}`, and every `{{end}}` its block.
pub(super) fn balanced(text: &str) -> Result<(), TemplateError> {
    let bad = |message: &str| Err(TemplateError::Exec(message.to_owned()));
    let mut depth = 0_usize;
    for (_, action) in Pieces(text) {
        let words = words(action);
        match words.split(|next: char| !next.is_alphanumeric()).next().unwrap_or_default() {
            "if" | "range" | "with" | "define" | "block" => depth += 1,
            "end" if depth == 0 => return bad("unexpected {{end}}"),
            "end" => depth -= 1,
            "else" if depth == 0 => return bad("unexpected {{else}}"),
            _ => {}
        }
    }
    if depth == 0 { Ok(()) } else { bad("an {{end}} is missing") }
}

/// Each action with the text before it; the last one is empty.
struct Pieces<'a>(&'a str);

impl<'a> Iterator for Pieces<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let (before, rest) = self.0.split_at(self.0.find("{{").unwrap_or(self.0.len()));
        let (action, rest) = rest.split_at(length(rest));
        self.0 = rest;
        Some((before, action))
    }
}

fn words(action: &str) -> &str {
    action.trim_start_matches('{').trim_start_matches('-').trim_start()
}

/// Up to and with the `}}` that is in no comment and no string literal.
fn length(action: &str) -> usize {
    if words(action).starts_with("/*") {
        let end = action.find("*/").and_then(|end| action[end..].find("}}").map(|close| end + close + 2));
        return end.unwrap_or(action.len());
    }
    let mut quote = None;
    let mut escaped = false;
    for (place, character) in action.char_indices() {
        match (quote, character) {
            _ if escaped => escaped = false,
            (Some('"' | '\''), '\\') => escaped = true,
            (Some(open), _) if open == character => quote = None,
            (None, '"' | '`' | '\'') => quote = Some(character),
            (None, '}') if action[place..].starts_with("}}") => return place + 2,
            _ => {}
        }
    }
    action.len()
}
