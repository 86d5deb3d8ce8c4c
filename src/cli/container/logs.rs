//! `rl logs`.
//!
//! Reads the files that the supervisor writes, the rotated ones first. The surprise: following needs no polling: inotify tells of new
//! lines, of a new file in the old one's place and of a new status, and a pidfd of a supervisor that was killed; several containers are
//! followed in one poll.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::{ArgMatches, Command};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use serde::Deserialize;

use super::{end, flag, value, word, words};
use crate::cli::matching::until;
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
        .arg(flag("names", "The container's name before each line; of several, instead of the id"))
        .arg(flag("color", "Each container's lines in a colour of their own"))
        .arg(super::latest())
        .arg(super::names(false))
        .after_help("Of several containers each line has the first digits of its container's id in front.")
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
    /// Before each line, with the blank behind it.
    name: String,
    /// What a terminal makes a colour of, before and behind a line.
    color: Option<u8>,
}

/// podman's, in podman's order.
const COLORS: [u8; 7] = [37, 31, 32, 33, 34, 35, 36];

fn run(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    let containers = Containers::open(&host.dirs);
    let (mut wanted, latest): (Vec<String>, _) =
        (words(matches, "container").cloned().collect(), matches.get_flag("latest"));
    if wanted.is_empty() || latest {
        let named = wanted.first().map(String::as_str);
        wanted = vec![super::named_or_last(&containers, "logs", named, latest)?];
    }
    let (tail, follows) = (tail(matches)?, matches.get_flag("follow"));
    let (mut all, mut status) = (Vec::new(), 0);
    for (index, text) in wanted.iter().enumerate() {
        let source = containers.find(text).and_then(|container| {
            let shown = shown(matches, &container, (wanted.len() > 1, index))?;
            Source::open(&container, tail, shown, follows)
        });
        match source {
            Ok(source) => all.push(source),
            Err(error) if wanted.len() == 1 => return Err(error),
            Err(error) => {
                super::complain(&error);
                status = 1;
            }
        }
    }
    for source in &mut all {
        source.reader.all(&source.shown)?;
    }
    follow(all)?;
    Ok(status)
}

fn tail(matches: &ArgMatches) -> Result<Option<usize>> {
    let Some(number) = word(matches, "tail").filter(|word| *word != "all") else { return Ok(None) };
    let bad = |_| Error::new(&command_line::USAGE, format!("--tail {number:?}: expected a number or all"));
    // A negative one is all, as in docker.
    number.parse::<i64>().map(|number| usize::try_from(number).ok()).map_err(bad)
}

/// `place`: whether it is one of several, and which.
fn shown(matches: &ArgMatches, container: &Container, (several, index): (bool, usize)) -> Result<Shown> {
    let time = |name: &str, otherwise: u64| {
        let bad = |text: &str| Error::new(&command_line::USAGE, format!("--{name} {text:?}: expected a date, or 10m"));
        word(matches, name).map_or(Ok(otherwise), |text| until(text).ok_or_else(|| bad(text)))
    };
    let name = match (matches.get_flag("names"), several) {
        (true, _) => format!("{} ", container.record.name),
        (false, true) => format!("{} ", container.short()),
        (false, false) => String::new(),
    };
    Ok(Shown {
        since: time("since", 0)?,
        until: time("until", u64::MAX)?,
        timestamps: matches.get_flag("timestamps"),
        name,
        color: matches.get_flag("color").then(|| COLORS[index % COLORS.len()]),
    })
}

/// A container whose lines are shown.
struct Source {
    reader: Reader,
    shown: Shown,
    /// None: what there is now is all that is wanted.
    follow: Option<Follow>,
}

impl Source {
    fn open(container: &Container, tail: Option<usize>, shown: Shown, follows: bool) -> Result<Self> {
        let log = container.data.join(LOG_FILE);
        let no_log = |why: &str| Error::new(&codes::NO_LOG, container.record.name.clone()).because(why.to_owned());
        if !container.record.run.log.kept {
            return Err(no_log("it was made with --log-driver none"));
        }
        if !log.exists() && container.status.is_some() && !container.run.join("attach").exists() {
            return Err(no_log("it ran in the foreground of rl run"));
        }
        let follow = if follows { Follow::new(container)? } else { None };
        Ok(Self { reader: Reader::open(&log, tail)?, shown, follow })
    }

    /// What is new, in the files that are new as well.
    fn more(&mut self) -> Result<()> {
        self.reader.all(&self.shown)?;
        self.reader.newer()?;
        self.reader.all(&self.shown)
    }
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
        text.extend(shown.color.map(|color| format!("\x1b[{color}m")));
        text.push_str(&shown.name);
        if shown.timestamps {
            text.push_str(&format!("{} ", line.time));
        }
        let (words, end) = line.log.strip_suffix('\n').map_or((line.log.as_str(), ""), |words| (words, "\n"));
        text.push_str(words);
        text.extend(shown.color.map(|_| "\x1b[0m"));
        text.push_str(end);
        if line.stream == "stderr" {
            self.out.flush()?;
            self.err.write_all(text.as_bytes())
        } else {
            self.out.write_all(text.as_bytes())
        }
    }
}

/// What wakes a follower of one container.
struct Follow {
    supervisor: OwnedFd,
    changes: Inotify,
}

impl Follow {
    /// Set up before the first line is read, so that none is missed. None: the container does not run.
    fn new(container: &Container) -> Result<Option<Self>> {
        let Some(supervisor) = end::supervisor_of(container) else { return Ok(None) };
        let doing = || format!("watch {}", container.data.display());
        let changes = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).context(&codes::STATE, doing)?;
        let events = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
        changes.add_watch(&container.data, events).context(&codes::STATE, doing)?;
        Ok(Some(Self { supervisor, changes }))
    }
}

/// Shows what comes, until the last of those that run has ended.
fn follow(mut all: Vec<Source>) -> Result<()> {
    all.retain(|source| source.follow.is_some());
    while let Some(until) = all.first().map(|source| source.shown.until) {
        let fds =
            all.iter().flat_map(|source| &source.follow).flat_map(|one| [one.changes.as_fd(), one.supervisor.as_fd()]);
        let mut polls: Vec<_> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        let left = until.saturating_sub(now()) / 1_000_000;
        let timeout = if until == u64::MAX {
            PollTimeout::NONE
        } else {
            PollTimeout::try_from(left.min(1 << 30)).unwrap_or(PollTimeout::MAX)
        };
        match poll(&mut polls, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno).context(&codes::STATE, || "wait for new lines".into()),
        }
        // Of each source: whether its files have changed, and whether its supervisor has ended.
        let ready: Vec<_> = polls.iter().map(|one| one.any().unwrap_or(true)).collect();
        let mut ready = ready.chunks(2).map(|both| (both[0], both[1]));
        let mut failed = None;
        all.retain_mut(|source| {
            let (changed, ended) = ready.next().unwrap_or((true, true));
            let drain = |one: &Follow| while one.changes.read_events().is_ok_and(|events| !events.is_empty()) {};
            source.follow.iter().for_each(drain);
            if (changed || ended)
                && let Err(error) = source.more()
            {
                failed = Some(error);
            }
            !ended
        });
        if let Some(error) = failed {
            return Err(error);
        }
        if until != u64::MAX && now() > until {
            return Ok(());
        }
    }
    Ok(())
}
