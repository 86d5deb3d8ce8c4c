//! Who has a container in hand: an exclusive flock on `RUN/containers/ID`.
//!
//! The supervisor of a running container has it, and so has whoever starts, renames or removes one. The surprise: the directory
//! may be taken away between opening and locking it; so the lock counts only if the directory still has its name.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::error::{Context, Result, catalog::state};

/// The lock; dropping it, or the process's end, gives it back.
#[derive(Debug)]
pub struct Lock(Flock<File>);

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Lock {
    /// Takes over a lock that this process was started with.
    pub fn inherited(fd: OwnedFd) -> Result<Self> {
        // The open file is locked already, so this only wraps it.
        let locked = Flock::lock(File::from(fd), FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno);
        locked.map(Self).context(&state::STATE, || "take over the lock of a container".into())
    }
}

/// Makes the directory where it is missing and waits for its lock.
pub fn lock(dir: &Path) -> Result<Lock> {
    loop {
        make_dir(dir)?;
        if let Some(lock) = take(dir, FlockArg::LockExclusive)? {
            return Ok(lock);
        }
    }
}

/// Makes the directory where it is missing; None: somebody else has it in hand.
pub fn try_lock(dir: &Path) -> Result<Option<Lock>> {
    loop {
        make_dir(dir)?;
        match take(dir, FlockArg::LockExclusiveNonblock) {
            Ok(Some(lock)) => return Ok(Some(lock)),
            // Taken away meanwhile.
            Ok(None) => {}
            Err(error) => return if is_taken(dir) { Ok(None) } else { Err(error) },
        }
    }
}

fn take(dir: &Path, how: FlockArg) -> Result<Option<Lock>> {
    let file = match File::open(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.context(&state::STATE, || format!("open {}", dir.display()))?,
    };
    let lock = Flock::lock(file, how).map_err(|(_, errno)| errno);
    let lock = lock.context(&state::STATE, || format!("lock {}", dir.display()))?;
    let inode = |meta: std::fs::Metadata| (meta.dev(), meta.ino());
    let same = std::fs::symlink_metadata(dir).map(inode).ok() == lock.metadata().map(inode).ok();
    Ok(same.then_some(Lock(lock)))
}

/// Whether somebody has it in hand now; false where there is no such directory.
pub(super) fn is_taken(dir: &Path) -> bool {
    let Ok(file) = File::open(dir) else { return false };
    matches!(Flock::lock(file, FlockArg::LockSharedNonblock), Err((_, Errno::EWOULDBLOCK)))
}

fn make_dir(path: &Path) -> Result<()> {
    let made = match std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path) {
        // There when it was to be made, and taken away when the library looked whether it is a directory: the caller looks again.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    };
    made.context(&state::STATE, || format!("make {}", path.display()))
}
