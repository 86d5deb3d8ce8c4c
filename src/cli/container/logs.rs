//! `rl logs`.
//!
//! Reads the files that the supervisor writes, the rotated ones first. The surprise: following needs no polling: inotify tells of new
//! lines, of a new file in the old one's place and of a new status, and a pidfd of a supervisor that was killed.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use serde::Deserialize;

use super::filter::until;
use super::{end, flag, value, word};
use crate::cli::{Globals, Verb};
use crate::error::{Context, Error, Result, catalog::command_line, catalog::state as codes};
use crate::host::Host;
use crate::runtime::supervisor::LOG_FILE;
use crate::state::{Container, Containers, now};

/// The verb.
pub const VERB: Verb = Verb { name: "logs", about: "What a container has written", command, run };

fn command() -> Command {
    Command::new("rl logs")
        .about(VERB.about)
        .arg(flag("follow", "Go on until it ends").short('f'))
        .arg(value("tail", "N", "Only the last N lines").short('n').allow_hyphen_values(true))
        .arg(value("since", "TIME", "From that date, or from so long ago on: 10m"))
        .arg(value("until", "TIME", "Up to that date, or so long ago"))
        .arg(flag("timestamps", "When each line came").short('t'))
        .arg(flag("details", "For scripts of docker: there are none"))
        .arg(Arg::new("names").long("names").action(ArgAction::SetTrue).help("The container's name before each line"))
        .arg(Arg::new("container").required(true).value_name("CONTAINER"))
}

/// A line of the file.
#[derive(Deserialize)]
struct Line {
    log: String,
    stream: String,
    time: String,
}

/// Which lines are shown, and how.
struct Shown {
    since: u64,
    until: u64,
    timestamps: bool,
    name: Option<String>,
}

fn run(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    let containers = Containers::open(&host.dirs);
    let container = containers.find(word(matches, "container").unwrap_or(""))?;
    let log = container.data.join(LOG_FILE);
    if !container.record.run.log.kept {
        return Err(Error::new(&codes::NO_LOG, container.record.name).because("it was made with --log-driver none"));
    }
    if !log.exists() && container.status.is_some() && !container.run.join("attach").exists() {
        return Err(Error::new(&codes::NO_LOG, container.record.name).because("it ran in the foreground of rl run"));
    }
    let time = |name: &str, otherwise: u64| {
        let bad = |text: &str| Error::new(&command_line::USAGE, format!("--{name} {text:?}: expected a date, or 10m"));
        word(matches, name).map_or(Ok(otherwise), |text| until(text).ok_or_else(|| bad(text)))
    };
    let shown = Shown {
        since: time("since", 0)?,
        until: time("until", u64::MAX)?,
        timestamps: matches.get_flag("timestamps"),
        name: matches.get_flag("names").then(|| container.record.name.clone()),
    };
    let tail = match word(matches, "tail") {
        None | Some("all") => None,
        Some(number) => {
            let parsed = number.parse::<i64>();
            let bad = |_| Error::new(&command_line::USAGE, format!("--tail {number:?}: expected a number or all"));
            usize::try_from(parsed.map_err(bad)?).ok()
        }
    };
    let follow = matches.get_flag("follow").then(|| Follow::new(&container)).transpose()?;
    let mut reader = Reader::open(&log, tail)?;
    reader.all(&shown)?;
    if let Some(follow) = follow {
        follow.on(&mut reader, &shown)?;
    }
    Ok(0)
}

/// The files' lines, in order.
struct Reader {
    path: PathBuf,
    /// Those that are to be read yet; the last one grows.
    files: VecDeque<BufReader<File>>,
    /// A line whose end has not been written yet.
    begun: Vec<u8>,
    /// Lines of the beginning that are not shown.
    skip: usize,
}

impl Reader {
    /// At the beginning, or where the last `tail` lines begin.
    fn open(path: &Path, tail: Option<usize>) -> Result<Self> {
        let mut files = newest_first(path)?;
        files.reverse();
        let mut skip = 0;
        if let Some(tail) = tail {
            let mut total = 0;
            for file in &mut files {
                total += count(file).context(&codes::STATE, || format!("read {}", path.display()))?;
            }
            skip = total.saturating_sub(tail);
        }
        let files = files.into_iter().map(BufReader::new).collect();
        Ok(Self { path: path.to_owned(), files, begun: Vec::new(), skip })
    }

    /// Shows all that there is now.
    fn all(&mut self, shown: &Shown) -> Result<()> {
        let mut out = Output { out: BufWriter::new(std::io::stdout().lock()), err: std::io::stderr().lock() };
        while let Some(file) = self.files.front_mut() {
            loop {
                let doing = || format!("read {}", self.path.display());
                let count = file.read_until(b'\n', &mut self.begun).context(&codes::STATE, doing)?;
                if count == 0 {
                    break;
                }
                if self.begun.last() == Some(&b'\n') {
                    if self.skip == 0 {
                        out.show(&self.begun, shown).context(&codes::STATE, || "write to standard output".into())?;
                    }
                    self.skip = self.skip.saturating_sub(1);
                    self.begun.clear();
                }
            }
            if self.files.len() == 1 {
                break;
            }
            self.files.pop_front();
        }
        out.out.flush().context(&codes::STATE, || "write to standard output".into())
    }

    /// Where the file was rotated since, all newer ones as well.
    fn newer(&mut self) -> Result<()> {
        let inode = |file: &File| file.metadata().map_or((0, 0), |meta| (meta.dev(), meta.ino()));
        let ours = self.files.back().map(|file| inode(file.get_ref()));
        let mut newer = newest_first(&self.path)?;
        let known = newer.iter().position(|file| Some(inode(file)) == ours).unwrap_or(newer.len());
        newer.truncate(known);
        self.files.extend(newer.into_iter().rev().map(BufReader::new));
        Ok(())
    }
}

/// The files, each once although one may get another name while this looks.
fn newest_first(path: &Path) -> Result<Vec<File>> {
    let mut files: Vec<File> = Vec::new();
    let numbered = (1..).map(|number: u32| path.with_extension(format!("log.{number}")));
    for path in std::iter::once(path.to_owned()).chain(numbered) {
        match File::open(&path) {
            Ok(file) => {
                let inode = |file: &File| file.metadata().map_or((0, 0), |meta| (meta.dev(), meta.ino()));
                if files.last().is_none_or(|last| inode(last) != inode(&file)) {
                    files.push(file);
                }
            }
            // The current one is missing for a moment while it is rotated.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if path.extension().is_none_or(|end| end != "log") {
                    break;
                }
            }
            Err(error) => return Err(error).context(&codes::STATE, || format!("open {}", path.display())),
        }
    }
    Ok(files)
}

/// Whole lines; the position is the beginning again.
fn count(file: &mut File) -> std::io::Result<usize> {
    let (mut buffer, mut lines) = (vec![0; 64 * 1024], 0);
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            file.rewind()?;
            return Ok(lines);
        }
        lines += buffer[..length].iter().filter(|byte| **byte == b'\n').count();
    }
}

struct Output<'a> {
    out: BufWriter<std::io::StdoutLock<'a>>,
    err: std::io::StderrLock<'a>,
}

impl Output<'_> {
    /// A line that is none is what a full disk has left; it is passed over.
    fn show(&mut self, line: &[u8], shown: &Shown) -> std::io::Result<()> {
        let Ok(line) = serde_json::from_slice::<Line>(line) else { return Ok(()) };
        let time = if shown.since > 0 || shown.until < u64::MAX { until(&line.time).unwrap_or(0) } else { 0 };
        if time < shown.since || (shown.until < u64::MAX && time > shown.until) {
            return Ok(());
        }
        let mut text = String::new();
        if let Some(name) = &shown.name {
            text.push_str(&format!("{name} "));
        }
        if shown.timestamps {
            text.push_str(&format!("{} ", line.time));
        }
        text.push_str(&line.log);
        if line.stream == "stderr" {
            self.out.flush()?;
            self.err.write_all(text.as_bytes())
        } else {
            self.out.write_all(text.as_bytes())
        }
    }
}

/// What wakes a follower.
struct Follow {
    /// None: the container does not run.
    supervisor: Option<OwnedFd>,
    changes: Inotify,
}

impl Follow {
    /// Set up before the first line is read, so that none is missed.
    fn new(container: &Container) -> Result<Self> {
        let doing = || format!("watch {}", container.data.display());
        let changes = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).context(&codes::STATE, doing)?;
        let events = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
        changes.add_watch(&container.data, events).context(&codes::STATE, doing)?;
        Ok(Self { supervisor: end::supervisor_of(container), changes })
    }

    fn on(self, reader: &mut Reader, shown: &Shown) -> Result<()> {
        let Some(supervisor) = self.supervisor else { return Ok(()) };
        loop {
            let mut polls = [
                PollFd::new(self.changes.as_fd(), PollFlags::POLLIN),
                PollFd::new(supervisor.as_fd(), PollFlags::POLLIN),
            ];
            let left = shown.until.saturating_sub(now()) / 1_000_000;
            let timeout = if shown.until == u64::MAX {
                PollTimeout::NONE
            } else {
                PollTimeout::try_from(left.min(1 << 30)).unwrap_or(PollTimeout::MAX)
            };
            match poll(&mut polls, timeout) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(errno).context(&codes::STATE, || "wait for new lines".into()),
            }
            let ended = polls[1].any().unwrap_or(true);
            while self.changes.read_events().is_ok_and(|events| !events.is_empty()) {}
            reader.all(shown)?;
            reader.newer()?;
            reader.all(shown)?;
            if ended || (shown.until != u64::MAX && now() > shown.until) {
                return Ok(());
            }
        }
    }
}
