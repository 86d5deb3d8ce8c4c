//! A container's directories: `RUN/containers/ID` while it runs, `DATA/containers/ID` for its writable layer.
//!
//! Owns making, locking and removing them, and the collection of what a killed `rl` has left. A running container's directory is
//! locked (flock) by the process that supervises it, so a lock that can be taken means an orphan. The surprise: collection runs
//! after the new container has been started, when there is nothing else to do.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::stat::fstat;
use nix::unistd::Pid;

use super::procfs;
use crate::error::{Context, Error, Result, catalog::state};
use crate::host::Dirs;
use crate::image;
use crate::spec::Identity;
use crate::sys::child::{open_pidfd, signal_pidfd};

/// The directories of one container, locked for as long as this lives.
#[derive(Debug)]
pub struct Container {
    /// Who it is; `dir` is the directory in RUN.
    pub identity: Identity,
    /// `DATA/containers/ID`.
    pub data: PathBuf,
    name: Option<PathBuf>,
    _lock: Flock<File>,
}

/// 64 hexadecimal digits.
pub fn new_id() -> Result<String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).context(&state::STATE, || "get random bytes for an id".into())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl Container {
    /// Makes `RUN/containers/ID` and locks it; takes the name.
    pub fn create(dirs: &Dirs, name: Option<&str>) -> Result<Self> {
        loop {
            let id = new_id()?;
            let dir = dirs.containers().join(&id);
            make_dir(&dir)?;
            let lock =
                lock(&dir, FlockArg::LockExclusive).context(&state::STATE, || format!("lock {}", dir.display()))?;
            // A collector may have taken the fresh directory for an orphan between mkdir and flock.
            let Some(lock) = lock.filter(|lock| fstat(lock.as_fd()).is_ok_and(|stat| stat.st_nlink > 0)) else {
                continue;
            };
            let claimed = name.map(|name| claim(dirs, name, &id)).transpose();
            let name_path = match claimed {
                Ok(path) => path,
                Err(error) => {
                    let _ = std::fs::remove_dir(&dir);
                    return Err(error);
                }
            };
            let data = dirs.data.join("containers").join(&id);
            let name = name.map_or_else(|| id[..12].to_owned(), str::to_owned);
            return Ok(Self { identity: Identity { id, name, dir }, data, name: name_path, _lock: lock });
        }
    }

    /// Records the container's first process, for whoever finds this directory orphaned.
    pub fn record(&self, pid: Pid) -> Result<()> {
        let path = self.identity.dir.join("pid");
        let start = procfs::start_time(pid.as_raw()).unwrap_or_default();
        let text = format!("{pid} {start}\n");
        let written = File::create(&path).and_then(|mut file| file.write_all(text.as_bytes()));
        written.context(&state::STATE, || format!("write {}", path.display()))
    }

    /// Marks the writable layer as one that stays, with what it was made for.
    pub fn keep(&self, args: &[String]) -> Result<()> {
        make_dir(&self.data)?;
        let path = self.data.join("container.json");
        let Identity { id, name, .. } = &self.identity;
        let text = serde_json::json!({ "version": 1, "id": id, "name": name, "args": args }).to_string();
        std::fs::write(&path, text).context(&state::STATE, || format!("write {}", path.display()))
    }

    /// Removes what the container has left. `keep`: its writable layer stays.
    pub fn remove(self, keep: bool) -> Result<()> {
        if let Some(name) = &self.name {
            let _ = std::fs::remove_file(name);
        }
        if !keep && self.data.exists() {
            image::remove_tree(&self.data)?;
        }
        std::fs::remove_dir_all(&self.identity.dir)
            .context(&state::STATE, || format!("remove {}", self.identity.dir.display()))
    }
}

/// `RUN/names/NAME` is a link to the id, so taking a name is one atomic call.
fn claim(dirs: &Dirs, name: &str, id: &str) -> Result<PathBuf> {
    let names = dirs.run.join("names");
    make_dir(&names)?;
    let path = names.join(name);
    let doing = || format!("take the name {name}");
    loop {
        match nix::unistd::symlinkat(id, nix::fcntl::AT_FDCWD, &path) {
            Ok(()) => return Ok(path),
            Err(Errno::EEXIST) => {}
            Err(errno) => return Err(Error::new(&state::NAME, doing()).because(errno)),
        }
        let owner = std::fs::read_link(&path).unwrap_or_default();
        let runs = lock(&dirs.containers().join(&owner), FlockArg::LockExclusiveNonblock);
        if matches!(runs, Err(Errno::EWOULDBLOCK)) {
            let owner = owner.display().to_string();
            return Err(Error::new(&state::NAME, doing())
                .because(format!("the container {} has it", &owner[..owner.len().min(12)])));
        }
        let _ = std::fs::remove_file(&path);
    }
}

fn make_dir(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.context(&state::STATE, || format!("make {}", path.display()))
}

/// Ok(None): there is no such directory.
fn lock(dir: &Path, how: FlockArg) -> Result<Option<Flock<File>>, Errno> {
    match File::open(dir) {
        Ok(file) => Flock::lock(file, how).map(Some).map_err(|(_, errno)| errno),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))),
    }
}

/// Cleans up after every `rl` that was killed: its container's process, its directories. Best effort: what can't be removed now
/// is tried again by the next run.
pub fn collect(dirs: &Dirs) {
    let Ok(entries) = std::fs::read_dir(dirs.containers()) else { return };
    for entry in entries.flatten() {
        let Ok(Some(_lock)) = lock(&entry.path(), FlockArg::LockExclusiveNonblock) else { continue };
        end(&entry.path().join("pid"));
        if let Err(_kept) = remove_orphan(&entry.path(), &dirs.data.join("containers").join(entry.file_name())) {
            continue;
        }
    }
    collect_data(dirs);
}

/// Writable layers whose run directory is gone (a reboot empties RUN): a kept container's has a `container.json`.
fn collect_data(dirs: &Dirs) {
    let Ok(entries) = std::fs::read_dir(dirs.data.join("containers")) else { return };
    for entry in entries.flatten() {
        let running = dirs.containers().join(entry.file_name()).exists();
        if !running && !entry.path().join("container.json").exists() {
            let _ = image::remove_tree(&entry.path());
        }
    }
}

fn remove_orphan(run: &Path, data: &Path) -> Result<()> {
    if data.exists() && !data.join("container.json").exists() {
        image::remove_tree(data)?;
    }
    std::fs::remove_dir_all(run).context(&state::STATE, || format!("remove {}", run.display()))
}

/// Ends the process that the file names, if it is still that process: pidfd first, then the start time.
fn end(record: &Path) {
    let Ok(text) = std::fs::read_to_string(record) else { return };
    let mut words = text.split_ascii_whitespace();
    let (Some(Ok(pid)), Some(Ok(start))) = (words.next().map(str::parse::<i32>), words.next().map(str::parse::<u64>))
    else {
        return;
    };
    if let Ok(pidfd) = open_pidfd(Pid::from_raw(pid))
        && procfs::start_time(pid) == Some(start)
    {
        let _ = signal_pidfd(pidfd.as_fd(), libc::SIGKILL);
    }
}
