//! A container in hand: its directories, its lock, its name.
//!
//! Owns making and removing `RUN/containers/ID` and `DATA/containers/ID`, and the collection of what a killed `rl` has left. A running
//! container's directory is locked (flock) by the process that supervises it, so a lock that can be taken means an orphan. The
//! surprise: collection runs beside a new container's start, while its first process is busy, or behind it.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::Pid;

use crate::cgroup;
use crate::error::{Context, Error, Result, catalog::state as codes};
use crate::host::Dirs;
use crate::image::{self, Pin};
use crate::spec::Identity;
use crate::state::{self, Lock, Record, RunningFile, Status, names};
use crate::volume;

/// The directories of one container, locked for as long as this lives.
#[derive(Debug)]
pub struct Container {
    /// Who it is; `dir` is the directory in RUN.
    pub identity: Identity,
    /// `DATA/containers/ID`.
    pub data: PathBuf,
    dirs: Dirs,
    named: bool,
    lock: Lock,
}

/// 64 hexadecimal digits.
pub fn new_id() -> Result<String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).context(&codes::STATE, || "get random bytes for an id".into())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl Container {
    /// Makes `RUN/containers/ID` and locks it; takes the name. One that `stays` gets a made-up name where none is given.
    pub fn create(dirs: &Dirs, name: Option<&str>, stays: bool) -> Result<Self> {
        let id = new_id()?;
        let dir = dirs.containers().join(&id);
        let lock = state::lock(&dir)?;
        let claimed = match name {
            Some(name) => names::claim(dirs, name, &id).map(|()| Some(name.to_owned())),
            None if stays => invent_name(dirs, &id).map(Some),
            None => Ok(None),
        };
        let name = match claimed {
            Ok(name) => name,
            Err(error) => {
                let _ = std::fs::remove_dir(&dir);
                return Err(error);
            }
        };
        let data = state::data_of(dirs, &id);
        let named = name.is_some();
        let name = name.unwrap_or_else(|| id[..state::SHORT].to_owned());
        Ok(Self { identity: Identity { id, name, dir }, data, dirs: dirs.clone(), named, lock })
    }

    /// One that has been made before, taken in hand.
    pub fn of_record(dirs: &Dirs, record: &Record, lock: Lock) -> Self {
        let (id, name) = (record.id.clone(), record.name.clone());
        let (dir, data) = (dirs.containers().join(&id), state::data_of(dirs, &id));
        Self { identity: Identity { id, name, dir }, data, dirs: dirs.clone(), named: true, lock }
    }

    /// One whose lock this process was started with.
    pub fn inherited(dirs: &Dirs, identity: Identity, lock: Lock) -> Self {
        let data = state::data_of(dirs, &identity.id);
        Self { identity, data, dirs: dirs.clone(), named: true, lock }
    }

    /// The lock, for a process that goes on with the container.
    pub fn lock(&self) -> &Lock {
        &self.lock
    }

    /// Writes down the container's first process, for whoever finds this directory. `record`: of one that does not stay.
    pub fn running(&self, pid: Pid, record: Option<&Record>) -> Result<()> {
        RunningFile::of_child(pid, record).write(&self.identity.dir)
    }

    /// Makes the container one that stays, and its image one that is not deleted.
    pub fn keep(&self, record: &Record, pin: Option<&Pin>) -> Result<()> {
        make_dir(&self.data)?;
        if let Some(pin) = pin {
            pin.write(&self.data)?;
        }
        record.write(&self.data)
    }

    /// Makes its image one that is not deleted, as long as the container's directory is there.
    pub fn pin(&self, pin: &Pin) -> Result<()> {
        make_dir(&self.data)?;
        pin.write(&self.data)
    }

    /// The same of an image that is a volume of it.
    pub fn pin_volume(&self, pin: &Pin, index: usize) -> Result<()> {
        make_dir(&self.data)?;
        pin.write_volume(&self.data, index)
    }

    /// Removes what the container has left. `keep`: it stays, without what it needs to run.
    pub fn remove(self, keep: bool) -> Result<()> {
        let Identity { id, name, dir } = &self.identity;
        if !keep {
            if self.data.exists() {
                remove_data(&self.data)?;
            }
            if self.named {
                names::release(&self.dirs, name, id);
            }
        }
        std::fs::remove_dir_all(dir).context(&codes::STATE, || format!("remove {}", dir.display()))
    }

    /// Gives a container back that was taken in hand and not started. Never while something is mounted below its run directory, for
    /// that would be removed with it.
    pub fn put_back(&self) -> Result<()> {
        let dir = &self.identity.dir;
        let device = |path: &Path| std::fs::symlink_metadata(path).ok().map(|meta| meta.dev());
        if ["mnt", "fuse"].iter().any(|name| device(&dir.join(name)).is_some_and(|own| Some(own) != device(dir))) {
            return Err(
                Error::new(&codes::STATE, format!("remove {}", dir.display())).because("something is mounted in it")
            );
        }
        std::fs::remove_dir_all(dir).context(&codes::STATE, || format!("remove {}", dir.display()))
    }
}

/// The record goes first: half a container must not be found.
fn remove_data(data: &Path) -> Result<()> {
    for file in ["container.json", "status.json"] {
        match std::fs::remove_file(data.join(file)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).context(&codes::STATE, || format!("remove {}", data.join(file).display()));
            }
            _ => {}
        }
    }
    image::remove_tree(data)
}

fn invent_name(dirs: &Dirs, id: &str) -> Result<String> {
    loop {
        let random = getrandom::u64().context(&codes::STATE, || "get random bytes for a name".into())?;
        let name = names::invent(random);
        // Asked first, because being taken is no failure here.
        if names::owner(dirs, &name).is_none() {
            return names::claim(dirs, &name, id).map(|()| name);
        }
    }
}

fn make_dir(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.context(&codes::STATE, || format!("make {}", path.display()))
}

/// Cleans up after every `rl` that was killed: its container's process, its directories. Best effort: what can't be removed now
/// is tried again by the next run.
pub fn collect(dirs: &Dirs) {
    let Ok(entries) = std::fs::read_dir(dirs.containers()) else { return };
    let mut found = false;
    for entry in entries.flatten() {
        let Ok(Some(_lock)) = state::try_lock(&entry.path()) else { continue };
        found = true;
        // What can't be removed stays locked to nobody, and is found again.
        let _ = collect_one(&entry.path(), &dirs.data.join("containers").join(entry.file_name()));
    }
    found |= collect_data(dirs);
    if found {
        names::sweep(dirs);
    }
}

/// Ends what is left of a container whose supervisor was killed, and writes down its end. Its lock must be held.
pub fn collect_one(run: &Path, data: &Path) -> Result<()> {
    if let Some(running) = RunningFile::read(run).and_then(|file| file.verify()) {
        let _ = running.signal(libc::SIGKILL);
    }
    if let Ok(path) = std::fs::read_to_string(run.join(cgroup::NOTE)) {
        cgroup::remove(Path::new(&path));
    }
    if state::stays(data) {
        settle(data)?;
    } else {
        if data.exists() {
            image::remove_tree(data)?;
        }
        remove_volumes(run, data)?;
    }
    std::fs::remove_dir_all(run).context(&codes::STATE, || format!("remove {}", run.display()))
}

/// A container that does not stay takes its anonymous volumes with it.
fn remove_volumes(run: &Path, data: &Path) -> Result<()> {
    let root = |path: &Path| path.parent().and_then(Path::parent).map(Path::to_owned);
    match (root(run), root(data), data.file_name()) {
        (Some(run), Some(data), Some(id)) => volume::remove_of(&Dirs { data, run }, &id.to_string_lossy()),
        _ => Ok(()),
    }
}

/// Writes down an end that nobody has seen.
pub fn settle(data: &Path) -> Result<()> {
    match Status::read(data)? {
        Some(status) if status.finished.is_none() => {
            let settled = status.settled();
            let exit = settled.exit;
            settled.ended(exit).write(data)
        }
        _ => Ok(()),
    }
}

/// Writable layers whose run directory is gone (a reboot empties RUN): a kept container's has a `container.json`.
fn collect_data(dirs: &Dirs) -> bool {
    let Ok(entries) = std::fs::read_dir(dirs.data.join("containers")) else { return false };
    let mut found = false;
    for entry in entries.flatten() {
        let running = dirs.containers().join(entry.file_name()).exists();
        if !running && !state::stays(&entry.path()) {
            found = true;
            let _ = image::remove_tree(&entry.path());
        }
    }
    found
}
