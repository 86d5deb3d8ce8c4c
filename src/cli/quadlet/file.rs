//! Unit files as systemd reads them: sections, keys, continued lines, quoted words.
//!
//! Pure. The surprise: a key may be there several times, and an empty value takes back all before it (systemd.syntax(7)).

use super::super::quoted;
use super::super::units::Sections;

/// A file's sections, in order; a section that comes twice is one.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct File(pub(super) Sections);

impl File {
    /// Adds a file's text.
    ///
    /// # Errors
    /// The line that is none.
    pub(super) fn add(&mut self, text: &str) -> Result<(), String> {
        let mut section = None;
        let mut continued = String::new();
        for (number, line) in (1..).zip(text.lines()) {
            let trimmed = line.trim();
            // A comment may stand within a continued line.
            if trimmed.starts_with(['#', ';']) || (trimmed.is_empty() && continued.is_empty()) {
                continue;
            }
            if let Some(start) = line.strip_suffix('\\') {
                continued.push_str(start);
                continued.push(' ');
                continue;
            }
            let whole = std::mem::take(&mut continued) + line;
            let whole = whole.trim();
            if let Some(name) = whole.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                section = Some(name.to_owned());
                self.section(name);
                continue;
            }
            let (key, value) =
                whole.split_once('=').ok_or_else(|| format!("line {number}: neither a section nor KEY=VALUE"))?;
            let name = section.as_deref().ok_or_else(|| format!("line {number}: before any section"))?;
            self.section(name).push((key.trim_end().to_owned(), value.trim_start().to_owned()));
        }
        Ok(())
    }

    fn section(&mut self, name: &str) -> &mut Vec<(String, String)> {
        let at = self.0.iter().position(|(have, _)| have == name).unwrap_or_else(|| {
            self.0.push((name.to_owned(), Vec::new()));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }

    /// A section's lines; none where it is not there.
    pub(super) fn lines(&self, name: &str) -> &[(String, String)] {
        self.0.iter().find(|(have, _)| have == name).map_or(&[], |(_, lines)| lines.as_slice())
    }

    /// All values of a key since it was last emptied.
    pub(super) fn all(&self, section: &str, key: &str) -> Vec<&str> {
        let mut found = Vec::new();
        for (_, value) in self.lines(section).iter().filter(|(have, _)| have == key) {
            if value.is_empty() { found.clear() } else { found.push(value.as_str()) }
        }
        found
    }

    /// The last value of a key.
    pub(super) fn last(&self, section: &str, key: &str) -> Option<&str> {
        self.all(section, key).pop()
    }
}

/// A value's words: quotes of both kinds, and escapes with a backslash.
pub(super) fn split(text: &str) -> Result<Vec<String>, String> {
    quoted::split(text, |word, _, letters| {
        match quoted::escaped(letters)? {
            'n' => word.push('\n'),
            't' => word.push('\t'),
            's' => word.push(' '),
            plain @ ('\\' | '"' | '\'') => word.push(plain),
            // As systemd has it: what is no escape stays.
            other => word.extend(['\\', other]),
        }
        Ok(())
    })
}

/// systemd's booleans.
pub(super) fn truth(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Ok(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_continued_commented_and_emptied() {
        let mut file = File::default();
        file.add("# c\n[Container]\nExec=a \\\n# within\n  b\nLabel=x\nLabel=\nLabel=y=1\n\n[Unit]\nA=1\n[Container]\nLabel = z\n")
            .expect("a unit");
        assert_eq!(file.last("Container", "Exec"), Some("a    b"));
        assert_eq!(file.all("Container", "Label"), ["y=1", "z"]);
        assert_eq!(file.0.len(), 2);
        for bad in ["A=1", "[X]\nnothing"] {
            assert!(File::default().add(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn words_are_split_as_systemd_does() {
        let words = split(r#"sh -c "echo \"a\" b" 'x  y' \s\n \d"#).expect("words");
        assert_eq!(words, ["sh", "-c", "echo \"a\" b", "x  y", " \n", "\\d"]);
        assert!(split("\"a").is_err() && split("a\\").is_err());
    }
}
