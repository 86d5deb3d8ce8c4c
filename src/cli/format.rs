//! `--format`: what docker's users write there, over rows of docker's field names.
//!
//! Owns `json`, `table`, `table TEMPLATE` and TEMPLATE, the units and the escaping of what a terminal shows. Go's template
//! language itself is the gotmpl crate's. The surprise: a field that is not there is an error where its name begins with a
//! capital, as in a struct of Go, and `<no value>` where it does not, as in a map: labels have names of anybody's choice.

mod actions;
mod fields;
mod functions;
mod known;
mod nils;
mod screen;
mod units;

use std::fmt;
use std::io::Write;

use gotmpl::parse::ListNode;
use gotmpl::{FuncMap, MissingKey, Template, TemplateError};
use serde::Serialize;
use serde_json::Value;
use tabwriter::TabWriter;

pub use self::screen::{Screen, escape, escape_cell};
pub use self::units::{ago, date, human_duration, human_size, now};
use crate::error::{Context, Error, Result, catalog::command_line, catalog::state};

/// The name of a template to itself; it stands in the messages of its errors.
const NAME: &str = "--format";
/// A template is typed; nobody types loops of more turns or more output than this.
const MOST_TURNS: u64 = 1_000_000;
const MOST_BYTES: usize = 64 << 20;
/// Docker's tabwriter: ten columns at least, of which three are between the texts.
const LEAST_WIDTH: usize = 7;
const GAP: usize = 3;

/// How rows are to be shown.
pub struct Format {
    kind: Kind,
}

enum Kind {
    Json,
    /// For each row, or once for the array of all.
    Template {
        template: Compiled,
        whole: bool,
    },
    Table {
        template: Compiled,
        /// None: it is left out.
        header: Option<String>,
    },
}

/// A template that was parsed, and what was parsed.
struct Compiled {
    text: String,
    strict: Template,
}

impl Format {
    /// Reads the value of `--format`. `default_table` has the headers and templates of what `table` shows, and without a value
    /// of `--format` it is shown, too; where it is empty that is JSON.
    ///
    /// # Errors
    /// `RL0101` with the place of what is no template.
    pub fn parse(text: Option<&str>, default_table: &[(&str, &str)]) -> Result<Self> {
        let text = text.unwrap_or_default().trim();
        let table = text.strip_prefix("table").filter(|rest| !rest.starts_with(|next: char| next.is_alphanumeric()));
        let kind = match (text, table.map(str::trim)) {
            ("json", _) => Kind::Json,
            ("", _) | (_, Some("")) if default_table.is_empty() => Kind::Json,
            ("", _) | (_, Some("")) => {
                let (headers, templates): (Vec<_>, Vec<_>) = default_table.iter().copied().unzip();
                Kind::Table { template: Compiled::new(templates.join("\t"))?, header: Some(headers.join("\t")) }
            }
            (_, Some(template)) => {
                let template = Compiled::new(actions::unescaped(template))?;
                let header = template.header(default_table)?;
                Kind::Table { template, header: Some(header) }
            }
            _ => {
                let text = actions::unescaped(text);
                Kind::Template { whole: actions::loops_over_rows(&text), template: Compiled::new(text)? }
            }
        };
        Ok(Self { kind })
    }

    /// The same table without its first line.
    #[must_use]
    pub fn without_heading(self) -> Self {
        let kind = match self.kind {
            Kind::Table { template, .. } => Kind::Table { template, header: None },
            other => other,
        };
        Self { kind }
    }

    /// Whether the verb's own table is asked for, which flags like `-q` may change.
    pub fn is_table(text: Option<&str>) -> bool {
        matches!(text.map(str::trim), None | Some("" | "table"))
    }

    /// Whether whole documents are shown, in which what is not there is left out; a template may ask for it all the same.
    pub fn is_json(&self) -> bool {
        matches!(self.kind, Kind::Json)
    }

    /// Shows all rows, each an object of docker's field names.
    ///
    /// # Errors
    /// `RL0101` for a field that no row has, with those that there are; nothing is written then. `RL0802` when it can't be
    /// written.
    pub fn print(&self, rows: &[Value], out: &mut dyn Write) -> Result<()> {
        let shown = match &self.kind {
            Kind::Json => pretty(rows)?,
            Kind::Template { template, whole: true } => {
                let mut shown = template.render(&Value::from(rows.to_vec()))?;
                if !shown.ends_with('\n') && !shown.is_empty() {
                    shown.push('\n');
                }
                shown
            }
            Kind::Template { template, whole: false } => template.lines(rows)?,
            Kind::Table { template, header } => {
                let rows: Vec<Value> = rows.iter().map(cells).collect();
                let heading = header.as_ref().map(|header| format!("{header}\n")).unwrap_or_default();
                aligned(&(heading + &template.lines(&rows)?))?
            }
        };
        write(&shown, out)
    }

    /// Shows the one thing that there is (`rl info`): as [`Format::print`], but JSON is an object then and no array.
    ///
    /// # Errors
    /// As [`Format::print`].
    pub fn print_one(&self, value: &Value, out: &mut dyn Write) -> Result<()> {
        match self.kind {
            Kind::Json => write(&pretty(value)?, out),
            _ => self.print(std::slice::from_ref(value), out),
        }
    }
}

fn pretty(value: &(impl Serialize + ?Sized)) -> Result<String> {
    let text = serde_json::to_string_pretty(value).context(&state::INTERNAL, || "write JSON".into())?;
    Ok(text + "\n")
}

fn write(shown: &str, out: &mut dyn Write) -> Result<()> {
    let written = out.write_all(shown.as_bytes()).and_then(|()| out.flush());
    written.context(&state::STATE, || "write to standard output".into())
}

impl Compiled {
    fn new(text: String) -> Result<Self> {
        let text = actions::with_labels(&text);
        let strict = template(&text, MissingKey::Error, functions::of_rows())?;
        known::check(&strict).map_err(|error| failed(&text, error))?;
        Ok(Self { text, strict })
    }

    fn lines(&self, rows: &[Value]) -> Result<String> {
        let mut shown = String::new();
        for row in rows {
            shown.push_str(&self.render(row)?);
            shown.push('\n');
        }
        Ok(shown)
    }

    fn render(&self, row: &Value) -> Result<String> {
        let text = &self.text;
        match execute(&self.strict, row) {
            Err(TemplateError::MissingKey { key }) if key.starts_with(char::is_uppercase) => {
                let (path, names) = self.tree().map(|tree| fields::beside(tree, row, &key)).unwrap_or_default();
                let what = format!("--format {text:?}: there is no field {path}.{key}");
                Err(Error::new(&command_line::USAGE, what).fix(format!("There are: {}", names.join(", "))))
            }
            Err(TemplateError::MissingKey { .. }) => {
                let lenient = template(text, MissingKey::Invalid, functions::of_rows())?;
                execute(&lenient, row).map_err(|error| failed(text, error))
            }
            shown => shown.map_err(|error| failed(text, error)),
        }
    }

    fn header(&self, known: &[(&str, &str)]) -> Result<String> {
        let template = template(&self.text, MissingKey::Invalid, functions::of_headers())?;
        let row = self.tree().map_or(Value::Null, |tree| fields::headers(tree, known));
        execute(&template, &row).map_err(|error| failed(&self.text, error))
    }

    /// None: an empty template.
    fn tree(&self) -> Option<&ListNode> {
        self.strict.lookup(NAME)
    }
}

fn template(text: &str, missing: MissingKey, functions: FuncMap) -> Result<Template> {
    actions::balanced(text).map_err(|error| failed(text, error))?;
    let template = Template::new(NAME).missing_key(missing).max_range_iters(MOST_TURNS).funcs(functions);
    template.parse(text).map_err(|error| failed(text, error))
}

fn execute(template: &Template, row: &Value) -> Result<String, TemplateError> {
    let mut shown = Bounded(String::new());
    template.execute_fmt(&mut shown, &nils::typed(gotmpl::to_value(row)?))?;
    Ok(shown.0)
}

fn failed(text: &str, error: TemplateError) -> Error {
    let error = Error::new(&command_line::USAGE, format!("--format {text:?}")).because(error);
    error.fix("For example: --format json, --format '{{.ID}}', --format 'table {{.ID}}\\t{{.Size}}'")
}

/// Text up to a limit.
struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > MOST_BYTES {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

/// A row whose texts stay within their cells.
fn cells(row: &Value) -> Value {
    match row {
        Value::String(text) => escape_cell(text).into(),
        Value::Array(items) => items.iter().map(cells).collect(),
        Value::Object(object) => {
            object.iter().map(|(key, value)| (escape_cell(key).into_owned(), cells(value))).collect()
        }
        other => other.clone(),
    }
}

fn aligned(text: &str) -> Result<String> {
    let mut table = TabWriter::new(Vec::new()).minwidth(LEAST_WIDTH).padding(GAP);
    table
        .write_all(text.as_bytes())
        .and_then(|()| table.flush())
        .context(&state::INTERNAL, || "align a table".into())?;
    let bytes = table.into_inner().map_err(|error| Error::new(&state::INTERNAL, format!("align a table: {error}")))?;
    String::from_utf8(bytes).context(&state::INTERNAL, || "align a table".into())
}

#[cfg(test)]
mod tests;
