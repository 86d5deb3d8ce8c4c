//! `staging/`: what is being made or deleted, out of everybody's sight.
//!
//! Owns the directories of writers and their locks: a directory whose lock can be taken was left by a killed process.
//! The surprise: what is deleted passes through here too, because half a layer must never lie under its digest.

use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::remove::remove_tree;
use crate::error::{Context, Result, catalog::image};

/// A directory for what is being made; removed unless it was renamed away.
pub(super) struct Staging {
    pub(super) dir: PathBuf,
    _lock: Flock<File>,
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What can't be removed now is found unlocked by the next writer.
        let _ = remove_tree(&self.dir);
    }
}

impl Staging {
    /// A fresh directory. To be called under the store's lock, or a cleaner could come between mkdir and flock.
    pub(super) fn make(staging: &Path) -> Result<Self> {
        make_dir(staging)?;
        let dir = staging.join(random_name()?);
        make_dir(&dir)?;
        Self::locked(dir)
    }

    fn locked(dir: PathBuf) -> Result<Self> {
        let file = File::open(&dir).context(&image::STORE, || format!("open {}", dir.display()))?;
        let lock = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno);
        let lock = lock.context(&image::STORE, || format!("lock {}", dir.display()))?;
        Ok(Self { dir, _lock: lock })
    }

    /// What killed writers have left; it goes when this is dropped. To be called under the store's lock.
    pub(super) fn orphans(staging: &Path) -> Vec<Self> {
        // Best effort: what can't be taken over now is there for the next writer.
        let entries = fs::read_dir(staging).into_iter().flatten().flatten();
        let taken = entries.filter_map(|entry| {
            let lock = try_lock(&entry.path()).ok().flatten()?;
            Some(Self { dir: entry.path(), _lock: lock })
        });
        taken.collect()
    }

    /// Lets it be what it is.
    pub(super) fn leave(self) {
        std::mem::forget(self);
    }

    /// Takes `path`, locked by `lock`, out of sight; it goes when this is dropped.
    pub(super) fn condemn(staging: &Path, path: &Path, lock: Flock<File>) -> Result<Self> {
        make_dir(staging)?;
        let dir = staging.join(random_name()?);
        fs::rename(path, &dir).context(&image::STORE, || format!("rename {} to {}", path.display(), dir.display()))?;
        Ok(Self { dir, _lock: lock })
    }
}

/// None: somebody has it.
pub(super) fn try_lock(path: &Path) -> Result<Option<Flock<File>>> {
    let file = File::open(path).context(&image::STORE, || format!("open {}", path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(errno).context(&image::STORE, || format!("lock {}", path.display())),
    }
}

/// Closed to others whatever the umask: setuid files may lie in it (CVE-2021-41103).
pub(super) fn make_dir(path: &Path) -> Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.context(&image::STORE, || format!("make {}", path.display()))
}

fn random_name() -> Result<String> {
    let random = getrandom::u64().context(&image::STORE, || "get random bytes".into())?;
    Ok(format!("{random:016x}"))
}
