//! Which subordinate ids a user has: from the file, or else from the name service.
//!
//! Owns reading /etc/subuid and /etc/subgid, and asking `getsubids`. The surprise: NSS has no call for subordinate ids;
//! shadow loads a module of its own, and only the first word behind `subid:` in /etc/nsswitch.conf counts. Where that
//! line is absent or says `files`, `getsubids` would only read the same file again, so it is not run.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::file::{self, LineProblem};
use crate::program;

/// `count` ids from `start` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Range {
    /// The first id.
    pub start: u32,
    /// How many; never 0 where this crate made the range, nor beyond the last id.
    pub count: u32,
}

impl Range {
    /// Whether an id is in both.
    pub fn overlaps(self, other: Self) -> bool {
        let end = |range: Self| u64::from(range.start) + u64::from(range.count);
        u64::from(self.start) < end(other) && u64::from(other.start) < end(self)
    }
}

/// Which of the two kinds of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// User ids.
    Uid,
    /// Group ids; they too belong to a user, not to a group.
    Gid,
}

impl Kind {
    /// The file that lists the ranges.
    pub fn file(self) -> &'static str {
        match self {
            Self::Uid => "/etc/subuid",
            Self::Gid => "/etc/subgid",
        }
    }
}

/// Whose ranges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The login name, where the user database knows one.
    pub name: Option<String>,
    /// The uid.
    pub uid: u32,
}

impl User {
    /// The user of `uid`, with the name that the user database has for it.
    pub fn of(uid: u32) -> Self {
        // A database that can't be reached leaves the user nameless; lines by uid are still found.
        let entry = nix::unistd::User::from_uid(uid.into()).ok().flatten();
        Self { name: entry.map(|entry| entry.name), uid }
    }

    /// Whether the first field of a line means this user.
    pub(crate) fn is(&self, owner: &str) -> bool {
        self.name.as_deref() == Some(owner) || owner.parse() == Ok(self.uid)
    }
}

/// Why the ranges can't be told. Having none is no error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file can't be read.
    #[error("cannot read {}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
    /// A line can't be used.
    #[error("{}, line {line} ({text:?}): {problem}", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The line.
        text: String,
        /// What is wrong with it.
        problem: LineProblem,
    },
    /// /etc/nsswitch.conf sends us to the name service, and there is no `getsubids` to ask it.
    #[error("{} names {service:?} for subordinate ids, but getsubids is not installed", nsswitch.display())]
    NoGetsubids {
        /// The file that says so.
        nsswitch: PathBuf,
        /// The first word behind `subid:`.
        service: String,
    },
    /// `getsubids` could not be started.
    #[error("cannot run {}", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
    /// A line of `getsubids` can't be used.
    #[error("{} printed {text:?}: {problem}", program.display())]
    Answer {
        /// The program.
        program: PathBuf,
        /// The line.
        text: String,
        /// What is wrong with it.
        problem: LineProblem,
    },
}

/// Where ranges are looked for; [`Sources::system`] is the machine's own.
#[derive(Debug, Clone)]
pub struct Sources {
    /// /etc/subuid or /etc/subgid.
    pub file: PathBuf,
    /// /etc/nsswitch.conf.
    pub nsswitch: PathBuf,
    /// PATH, for `getsubids`.
    pub path: Option<OsString>,
}

impl Sources {
    /// The machine's own files.
    pub fn system(kind: Kind) -> Self {
        Self { file: kind.file().into(), nsswitch: "/etc/nsswitch.conf".into(), path: std::env::var_os("PATH") }
    }

    /// The user's ranges: those of the file, or where it has none, those of the name service. Empty: the user has none.
    pub fn ranges(&self, kind: Kind, user: &User) -> Result<Vec<Range>, Error> {
        let text = read(&self.file)?;
        let ranges = file::parse(&text, &self.file, user)?;
        if !ranges.is_empty() {
            return Ok(ranges);
        }
        let Some(service) = service(&read(&self.nsswitch)?) else {
            return Ok(Vec::new());
        };
        let Some(program) = program::find("getsubids", self.path.as_deref()) else {
            return Err(Error::NoGetsubids { nsswitch: self.nsswitch.clone(), service });
        };
        ask(&program, kind, user)
    }
}

/// The ranges of `user` on this machine, in the order in which they are listed.
pub fn ranges(kind: Kind, user: &User) -> Result<Vec<Range>, Error> {
    Sources::system(kind).ranges(kind, user)
}

/// The start of 65536 ids that no line of either file has: what an administrator can give next, as a multiple of 65536 from
/// 100000 on, where useradd begins too. `None` when a file can't be read or the ids are used up.
pub fn first_free() -> Option<u32> {
    let mut end = 100_000_u64;
    for kind in [Kind::Uid, Kind::Gid] {
        let text = read(Path::new(kind.file())).ok()?;
        for line in text.lines() {
            let mut fields = line.trim().rsplit(':').map(str::parse::<u64>);
            if let (Some(Ok(count)), Some(Ok(start))) = (fields.next(), fields.next()) {
                end = end.max(start.saturating_add(count));
            }
        }
    }
    let steps = (end - 100_000).div_ceil(65536);
    u32::try_from(100_000 + steps * 65536).ok().filter(|start| start.checked_add(65536).is_some())
}

/// A missing file is an empty one: Debian's minimal images have no /etc/subuid.
fn read(file: &Path) -> Result<String, Error> {
    match std::fs::read(file) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(source) => Err(Error::Read { file: file.to_owned(), source }),
    }
}

/// The name service that shadow would load: the first word of the first `subid:` line that has one, unless it is
/// `files`.
fn service(nsswitch: &str) -> Option<String> {
    let mut words = nsswitch.lines().filter_map(|line| {
        // shadow compares the key without regard to case, and only at the very start of the line.
        let key = line.get(..6).filter(|key| key.eq_ignore_ascii_case("subid:"))?;
        line[key.len()..].split_ascii_whitespace().next()
    });
    words.next().filter(|word| *word != "files" && !word.starts_with('#')).map(str::to_owned)
}

fn ask(program: &Path, kind: Kind, user: &User) -> Result<Vec<Range>, Error> {
    let mut command = Command::new(program);
    if kind == Kind::Gid {
        command.arg("-g");
    }
    command.arg(user.name.clone().unwrap_or_else(|| user.uid.to_string()));
    // stderr is not passed on: shadow's modules chat there, and a user without ranges is no fault to be reported by
    // them.
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output();
    let output = output.map_err(|source| Error::Spawn { program: program.to_owned(), source })?;
    if !output.status.success() {
        // getsubids says "Error fetching ranges" and fails for a user who has none as for a service that does not
        // answer.
        return Ok(Vec::new());
    }
    let mut ranges: Vec<Range> = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let bad = |problem| Error::Answer { program: program.to_owned(), text: line.to_owned(), problem };
        let range = answer(line).map_err(bad)?;
        if let Some(earlier) = ranges.iter().position(|other| other.overlaps(range)) {
            return Err(bad(LineProblem::Overlap(earlier + 1)));
        }
        ranges.push(range);
    }
    Ok(ranges)
}

/// `0: alice 100000 65536`. The name is not looked at: a module may spell it otherwise (`alice@example.org`).
fn answer(line: &str) -> Result<Range, LineProblem> {
    let mut words = line.rsplitn(3, ' ');
    let (Some(count), Some(start), Some(_)) = (words.next(), words.next(), words.next()) else {
        return Err(LineProblem::Fields);
    };
    let number = |text: &str| text.parse::<u64>().map_err(|_| LineProblem::Number(text.to_owned()));
    file::checked(number(start)?, number(count)?)
}

#[cfg(test)]
mod tests;
