//! The one error of `rl`: what was being done, what the answer was, and a stable id with its fix.
//!
//! Owns the shape of an error and how it is printed. It does not own the messages' stable part: that is the catalog
//! (`error::catalog`), one table an area, from which `rl explain` and docs/troubleshooting.md are made too. The surprise: an
//! error is printed once, by `main`; a function that returns one never logs it.

pub mod catalog;

use std::fmt;

pub use catalog::Entry;

/// The result of nearly every fallible function outside `sys`.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A failure that a person will read.
#[derive(Debug)]
pub struct Error {
    entry: &'static Entry,
    doing: String,
    cause: Option<Cause>,
    fix: Option<String>,
    exit: Option<u8>,
    about: Option<String>,
}

impl Error {
    /// `doing` says what was being attempted and with which arguments, in the shape "mount proc on /proc".
    pub fn new(entry: &'static Entry, doing: impl Into<String>) -> Self {
        Self { entry, doing: doing.into(), cause: None, fix: None, exit: None, about: None }
    }

    /// What answered: an errno, a parser, a helper program.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Cause>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// A fix for exactly this case; without it the catalog's general one is shown.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// Where to read about it, unless there is a fix for exactly this case: whoever knows which verb was typed says so of a wrong word.
    #[must_use]
    pub fn see(mut self, place: impl FnOnce() -> String) -> Self {
        if *self.entry == catalog::command_line::USAGE && self.fix.is_none() {
            self.fix = Some(format!("See: {}", place()));
        }
        self
    }

    /// Says in what it happened: a layer, a file of several.
    #[must_use]
    pub fn within(mut self, what: &str) -> Self {
        self.doing = format!("{what}: {}", self.doing);
        self
    }

    /// Another exit status than the catalog's.
    #[must_use]
    pub fn exit(mut self, status: u8) -> Self {
        self.exit = Some(status);
        self
    }

    /// The one word that whoever goes on from here needs: of a program for another machine, its architecture.
    #[must_use]
    pub fn concerning(mut self, word: impl Into<String>) -> Self {
        self.about = Some(word.into());
        self
    }

    /// See [`Error::concerning`].
    pub fn about(&self) -> Option<&str> {
        self.about.as_deref()
    }

    /// The catalog entry, for callers that fall back on one particular failure.
    pub fn entry(&self) -> &'static Entry {
        self.entry
    }

    /// What was being done and what answered, on one line, without the fix.
    pub fn summary(&self) -> String {
        let mut text = self.doing.clone();
        let mut cause = self.cause.as_ref().map(|cause| &**cause as &dyn std::error::Error);
        while let Some(next) = cause {
            let words = describe(next);
            if !text.contains(&words) {
                text.push_str(": ");
                text.push_str(&words);
            }
            cause = next.source();
        }
        text
    }

    /// The whole of it on one line, for who is told while something else goes on: without the fix, which its id leads to.
    pub fn line(&self) -> String {
        format!("{}: {} (rl explain {})", self.entry.title, self.summary(), self.entry.code())
    }

    /// The fix for this case.
    pub fn remedy(&self) -> &str {
        self.fix.as_deref().unwrap_or(self.entry.fix)
    }

    /// The exit status that `rl` ends with: 125 when rl failed, 126 or 127 when the command can't be started.
    pub fn exit_status(&self) -> u8 {
        self.exit.unwrap_or(self.entry.exit)
    }
}

/// An errno is shown with its name (`ENOENT`), which is what people search for.
fn describe(cause: &(dyn std::error::Error + 'static)) -> String {
    if let Some(errno) = cause.downcast_ref::<nix::errno::Errno>() {
        return format!("{} ({errno:?})", errno.desc());
    }
    if let Some(error) = cause.downcast_ref::<std::io::Error>()
        && let Some(code) = error.raw_os_error()
    {
        let errno = nix::errno::Errno::from_raw(code);
        return format!("{} ({errno:?})", errno.desc());
    }
    cause.to_string()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.entry.title, self.summary())?;
        if !self.remedy().is_empty() {
            for line in self.remedy().lines() {
                writeln!(f, "  {line}")?;
            }
        }
        write!(f, "  (rl explain {})", self.entry.code())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_ref().map(|cause| &**cause as &(dyn std::error::Error + 'static))
    }
}

/// Turns another crate's result into ours: `.context(&catalog::X, || "open /y")`.
pub trait Context<T> {
    /// Names the catalog entry and what was being done.
    fn context(self, entry: &'static Entry, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Cause>> Context<T> for std::result::Result<T, E> {
    fn context(self, entry: &'static Entry, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|cause| Error::new(entry, doing()).because(cause))
    }
}
