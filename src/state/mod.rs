//! Containers as they are on disk: what they were made of, whether they run, how they ended.
//!
//! Owns `DATA/containers/ID/container.json` ([`Record`], for containers that stay), `status.json` ([`Status`]), the state of what
//! runs in `RUN/containers/ID/state.json` ([`Running`]), and `DATA/names`. It starts and ends nothing. The surprise: no file says
//! that a container runs. A process that has the recorded pid, start time and boot says it; so what is read here is true after
//! a kill -9 of anything and after a reboot, and a file that a dead `rl` has left changes nothing.

pub mod events;
mod files;
mod lock;
pub mod names;
mod record;
mod running;
mod status;
mod time;

use std::path::{Path, PathBuf};

pub use self::files::{now, read_versioned, write_replacing};
pub use self::lock::{Lock, lock, try_lock};
pub use self::record::{Record, Typed};
pub use self::running::{Running, RunningFile, ask_for_policy, ask_to_end, ask_to_stop, asked_policy, asked_to_stop};
pub use self::status::Status;
pub use self::time::{date, rfc3339};
use crate::error::{Error, Result, catalog::state};
use crate::host::Dirs;

/// How long the digits of an id are that tables show.
pub const SHORT: usize = 12;

/// One container.
#[derive(Debug)]
pub struct Container {
    /// What it was made of.
    pub record: Record,
    /// Its last start and end; `None`: it was never started.
    pub status: Option<Status>,
    /// Its first process, if it runs now.
    pub running: Option<Running>,
    /// `DATA/containers/ID`.
    pub data: PathBuf,
    /// What its supervisor is at.
    now: Now,
    /// `RUN/containers/ID`, which is there while somebody has the container in hand.
    pub run: PathBuf,
}

/// What is in no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Now {
    /// Nothing; the files say all.
    Known,
    /// The start that its status tells of is not done yet.
    Starting,
    /// Its process has ended, and its supervisor has not written that down yet; or the next one is about to be cloned.
    Ending,
    /// Its supervisor waits to start it again.
    Restarting,
}

impl Now {
    /// Of a container without a process.
    fn of(container: &Container, file: Option<&RunningFile>) -> Self {
        let supervised = file.is_some_and(|file| file.verify_supervisor().is_some());
        match (&container.status, file) {
            (Some(status), Some(_)) if supervised && status.restarting => Self::Restarting,
            (Some(Status { finished: Some(_), .. }), _) => Self::Known,
            (_, Some(_)) if supervised => Self::Ending,
            (Some(_), None) if lock::is_taken(&container.run) => Self::Starting,
            _ => Self::Known,
        }
    }
}

/// What `rl ps` calls a container's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Never started.
    Created,
    /// Its first process runs.
    Running,
    /// It has ended, and its supervisor will start it again.
    Restarting,
    /// It has ended.
    Exited,
}

/// All containers of one user.
#[derive(Debug, Clone)]
pub struct Containers {
    dirs: Dirs,
}

impl Containers {
    /// Of these directories.
    pub fn open(dirs: &Dirs) -> Self {
        Self { dirs: dirs.clone() }
    }

    /// Where they are.
    pub fn dirs(&self) -> &Dirs {
        &self.dirs
    }

    /// The ids of all containers: those that stay, and those of `--rm` that run.
    pub fn ids(&self) -> Result<Vec<String>> {
        let mut ids = files::names_in(&self.dirs.data.join("containers"))?;
        ids.extend(files::names_in(&self.dirs.containers())?);
        ids.retain(|id| is_id(id));
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    /// Every container, oldest first. What is just being made or taken away is left out; a record that can't be understood is
    /// passed to `bad` and left out, too, because one damaged file must not hide all other containers.
    pub fn list(&self, mut bad: impl FnMut(Error)) -> Result<Vec<Container>> {
        let mut all = Vec::new();
        for id in self.ids()? {
            match self.read(&id) {
                Ok(container) => all.extend(container),
                Err(error) => bad(error),
            }
        }
        all.sort_by(|a, b| (a.record.created, &a.record.id).cmp(&(b.record.created, &b.record.id)));
        Ok(all)
    }

    /// By name, by whole id, or by the first digits of an id that no other has.
    ///
    /// # Errors
    /// `RL0804` where there is none, or several ids start so.
    pub fn find(&self, text: &str) -> Result<Container> {
        let none = || Error::new(&state::NO_CONTAINER, format!("{text:?}"));
        if let Some(id) = names::owner(&self.dirs, text)
            && let Some(container) = self.read(&id)?
        {
            return Ok(container);
        }
        if is_id(text) {
            return self.read(text)?.ok_or_else(none);
        }
        if text.is_empty() || !text.bytes().all(is_digit) {
            return Err(none());
        }
        let found: Vec<_> = self.ids()?.into_iter().filter(|id| id.starts_with(text)).collect();
        let mut found = found.iter().map(|id| self.read(id)).collect::<Result<Vec<_>>>()?.into_iter().flatten();
        match (found.next(), found.count()) {
            (Some(container), 0) => Ok(container),
            (Some(_), more) => {
                let what = format!("{} ids start with {text}", more + 1);
                Err(Error::new(&state::NO_CONTAINER, what).fix("Give more digits: rl ps -a --no-trunc"))
            }
            (None, _) => Err(none()),
        }
    }

    /// The same, which must run.
    ///
    /// # Errors
    /// `RL0804`, `RL0805`.
    pub fn find_running(&self, text: &str) -> Result<(Container, Running)> {
        let mut container = self.find(text)?;
        match container.running.take() {
            Some(running) => Ok((container, running)),
            None => Err(Error::new(&state::NOT_RUNNING, text.to_owned())),
        }
    }

    /// Of this id; None: there is no such container (any more, or yet).
    pub fn read(&self, id: &str) -> Result<Option<Container>> {
        let (data, run) = (self.dirs.data.join("containers").join(id), self.dirs.containers().join(id));
        let file = RunningFile::read(&run);
        let status = Status::read(&data)?;
        let record = match Record::read(&data)? {
            Some(record) => record,
            // Of --rm in the foreground: it is a container for as long as it runs.
            None => match &file {
                Some(RunningFile { record: Some(record), .. }) => (**record).clone(),
                _ => return Ok(None),
            },
        };
        let running = file.as_ref().and_then(RunningFile::verify);
        let mut container = Container { record, status, running, now: Now::Known, data, run };
        if container.running.is_none() {
            container.now = Now::of(&container, file.as_ref());
            if container.now == Now::Known && container.record.run.remove && !stays(&container.data) {
                return Ok(None);
            }
        }
        Ok(Some(container))
    }
}

impl Container {
    /// What it is doing.
    pub fn phase(&self) -> Phase {
        match (&self.running, self.now, &self.status) {
            (Some(_), ..) | (_, Now::Ending, _) => Phase::Running,
            (_, Now::Restarting, _) => Phase::Restarting,
            (_, Now::Starting, _) | (.., None) => Phase::Created,
            (.., Some(_)) => Phase::Exited,
        }
    }

    /// Whether it runs, or will again without anybody's doing.
    pub fn is_active(&self) -> bool {
        matches!(self.phase(), Phase::Running | Phase::Restarting)
    }

    /// The first digits of its id.
    pub fn short(&self) -> &str {
        self.record.id.get(..SHORT).unwrap_or(&self.record.id)
    }
}

/// 64 hexadecimal digits: nothing else in these directories is a container.
pub fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(is_digit)
}

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

/// Of a container, below `DATA` of these directories.
pub fn data_of(dirs: &Dirs, id: &str) -> PathBuf {
    dirs.data.join("containers").join(id)
}

/// Whether a directory below `DATA/containers` is that of a container that stays.
pub fn stays(data: &Path) -> bool {
    data.join(record::FILE).exists()
}

#[cfg(test)]
mod tests;
