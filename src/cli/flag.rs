//! A flag as a line of a table, and the parser that knows only those of a command line.
//!
//! Owns the kinds of flags that the verbs have, as podman's users know them. The surprise: of a long table clap is given only the
//! flags whose names are among the words. A hundred and fifty of its `Arg` cost a tenth of a container's start, and one whose name
//! nobody has typed can't be matched. Whoever makes a mistake, or asks for help, is answered by the whole parser.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use clap::{Arg, ArgAction};

/// A flag of a verb.
#[derive(Debug, Clone, Copy)]
pub struct Flag {
    name: &'static str,
    short: Option<char>,
    alias: Option<&'static str>,
    kind: Kind,
    shown: &'static str,
    help: &'static str,
    hyphens: bool,
    equals: bool,
    hidden: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One value.
    Value,
    /// A value each time.
    List,
    /// `--flag`, `--flag=true`, `--flag=false`.
    Switch,
    /// `--flag` is `--flag=true`, and other words mean something, too.
    Mode,
}

impl Flag {
    const fn new(kind: Kind, name: &'static str, shown: &'static str, help: &'static str) -> Self {
        let (hyphens, equals) = (matches!(kind, Kind::List), matches!(kind, Kind::Switch | Kind::Mode));
        Self { name, short: None, alias: None, kind, shown, help, hyphens, equals, hidden: false }
    }

    /// One value; of several the last counts. `shown` is what the help calls it.
    pub const fn value(name: &'static str, shown: &'static str, help: &'static str) -> Self {
        Self::new(Kind::Value, name, shown, help)
    }

    /// A value each time, which may begin with a hyphen.
    pub const fn list(name: &'static str, shown: &'static str, help: &'static str) -> Self {
        Self::new(Kind::List, name, shown, help)
    }

    /// `--flag`, `--flag=true`, `--flag=false`, with the words that podman (Go's strconv.ParseBool) takes.
    pub const fn switch(name: &'static str, help: &'static str) -> Self {
        Self::new(Kind::Switch, name, "BOOL", help)
    }

    /// `--flag` for `--flag=true`, or `--flag=WORD`.
    pub const fn mode(name: &'static str, shown: &'static str, help: &'static str) -> Self {
        Self::new(Kind::Mode, name, shown, help)
    }

    /// Its letter.
    pub const fn short(self, letter: char) -> Self {
        Self { short: Some(letter), ..self }
    }

    /// Another name, which the help does not show.
    pub const fn alias(self, name: &'static str) -> Self {
        Self { alias: Some(name), ..self }
    }

    /// Its value may begin with a hyphen.
    pub const fn hyphens(self) -> Self {
        Self { hyphens: true, ..self }
    }

    /// Its value stands behind `=` only.
    pub const fn equals(self) -> Self {
        Self { equals: true, ..self }
    }

    /// Not in the help.
    pub const fn hidden(self) -> Self {
        Self { hidden: true, ..self }
    }

    /// As clap has it.
    pub fn arg(&self) -> Arg {
        let mut arg = Arg::new(self.name).long(self.name).value_name(self.shown).help(self.help);
        if let Some(letter) = self.short {
            arg = arg.short(letter);
        }
        if let Some(alias) = self.alias {
            arg = arg.alias(alias);
        }
        arg = arg.allow_hyphen_values(self.hyphens).require_equals(self.equals).hide(self.hidden);
        match self.kind {
            Kind::Value => arg,
            Kind::List => arg.action(ArgAction::Append),
            Kind::Switch => arg.num_args(0..=1).default_missing_value("true").value_parser(truth),
            Kind::Mode => arg.num_args(0..=1).default_missing_value("true"),
        }
    }

    /// Whether one of its names may be in one of the words. Said of too many rather than too few: `-it` may be two flags or one with a
    /// value.
    pub fn may_be_in(&self, words: &[OsString]) -> bool {
        words.iter().any(|word| match word.as_bytes() {
            [b'-', b'-', long @ ..] => {
                let name = long.split(|byte| *byte == b'=').next().unwrap_or(long);
                name == self.name.as_bytes() || self.alias.is_some_and(|alias| name == alias.as_bytes())
            }
            [b'-', letters @ ..] => self.short.is_some_and(|short| letters.contains(&(short as u8))),
            _ => false,
        })
    }
}

fn truth(word: &str) -> Result<bool, &'static str> {
    match word {
        "true" | "TRUE" | "True" | "t" | "T" | "1" => Ok(true),
        "false" | "FALSE" | "False" | "f" | "F" | "0" => Ok(false),
        _ => Err("expected true or false"),
    }
}
