//! Blobs: content by its digest, and content on its way.
//!
//! Owns `DATA/blobs/ALGORITHM/HEX`, which is whole and verified, and `DATA/partial/`, what downloads have brought so
//! far. A partial file's lock says who is at work on it: a second process waits, and finds the blob. The surprise: who
//! unpacks a layer reads the partial file while it grows ([`Growth`]), so that unpacking ends shortly after the
//! download does; nothing of it counts before the digest is known to be right.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use nix::fcntl::{Flock, FlockArg};

use super::digest::{Digest, Hasher};
use super::manifest::Descriptor;
use super::staging::make_dir;
use super::transport::{Progress, Sink, Source};
use crate::error::{Context, Error, Result, catalog::image};

/// The blobs of one store.
#[derive(Debug, Clone)]
pub(super) struct Blobs {
    root: PathBuf,
}

impl Blobs {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(super) fn path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(digest.algorithm()).join(digest.hex())
    }

    fn partial(&self, digest: &Digest) -> PathBuf {
        self.root.join("partial").join(format!("{}-{}", digest.algorithm(), digest.hex()))
    }

    /// Opens a blob, if it is there with its size.
    pub(super) fn open(&self, descriptor: &Descriptor) -> Result<Option<File>> {
        let path = self.path(&descriptor.digest);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.context(&image::STORE, || format!("open {}", path.display()))?,
        };
        let size = file.metadata().context(&image::STORE, || format!("examine {}", path.display()))?.len();
        Ok((size == descriptor.size).then_some(file))
    }

    /// A small blob (a manifest, a configuration) whole, and checked.
    pub(super) fn read(&self, descriptor: &Descriptor) -> Result<Option<Vec<u8>>> {
        let Some(mut file) = self.open(descriptor)? else { return Ok(None) };
        let mut bytes = Vec::new();
        let doing = || format!("read {}", self.path(&descriptor.digest).display());
        file.read_to_end(&mut bytes).context(&image::STORE, doing)?;
        Ok((Digest::of_kind(&descriptor.digest, &bytes) == descriptor.digest).then_some(bytes))
    }

    /// A small blob, which has been verified.
    pub(super) fn write(&self, digest: &Digest, bytes: &[u8]) -> Result<()> {
        self.make_dirs(digest)?;
        let whole = || Ok(self.path(digest).exists().then_some(()));
        let Claim::Ours(mut lock) = self.claim(digest, whole)? else { return Ok(()) };
        let staged = self.partial(digest);
        // What a killed process has left of it is written anew.
        let written = lock.set_len(0).and_then(|()| lock.write_all(bytes)).and_then(|()| lock.sync_all());
        written.context(&image::STORE, || format!("write {}", staged.display()))?;
        self.adopt(&staged, digest)
    }

    /// Makes the caller the one who makes the blob, unless `whole` finds it: maybe only after a wait for another process.
    fn claim<T>(&self, digest: &Digest, whole: impl Fn() -> Result<Option<T>>) -> Result<Claim<T>> {
        let path = self.partial(digest);
        loop {
            if let Some(found) = whole()? {
                return Ok(Claim::Whole(found));
            }
            let Some(lock) = lock_file(&path)? else { continue };
            let Some(found) = whole()? else { return Ok(Claim::Ours(lock)) };
            // It became whole before we opened its partial file, so that one is new, and nobody would ever rename it.
            fs::remove_file(&path).context(&image::STORE, || format!("remove {}", path.display()))?;
            return Ok(Claim::Whole(found));
        }
    }

    /// Puts a finished, synced file of the same file system among the blobs.
    pub(super) fn adopt(&self, file: &Path, digest: &Digest) -> Result<()> {
        self.make_dirs(digest)?;
        let path = self.path(digest);
        fs::rename(file, &path).context(&image::STORE, || format!("rename {} to {}", file.display(), path.display()))
    }

    fn make_dirs(&self, digest: &Digest) -> Result<()> {
        make_dir(&self.root.join("partial"))?;
        make_dir(&self.root.join("blobs").join(digest.algorithm()))
    }

    /// Gets the content from `source`, unless it is there; whoever follows `growth` can read it meanwhile.
    ///
    /// # Errors
    /// The source's; `RL0314` for other content than the digest's, of which nothing is kept.
    pub(super) fn fetch(&self, descriptor: &Descriptor, source: &dyn Source, to: &Fetch<'_>) -> Result<()> {
        let fetched = self.fetch_once(descriptor, source, to);
        to.growth.end(fetched.is_ok());
        fetched
    }

    fn fetch_once(&self, descriptor: &Descriptor, source: &dyn Source, to: &Fetch<'_>) -> Result<()> {
        self.make_dirs(&descriptor.digest)?;
        let path = self.partial(&descriptor.digest);
        let _lock = match self.claim(&descriptor.digest, || self.open(descriptor))? {
            Claim::Ours(lock) => lock,
            Claim::Whole(file) => {
                to.growth.grow(&Arc::new(file), descriptor.size);
                to.progress.exists(descriptor);
                return Ok(());
            }
        };
        let mut download = Download::go_on(&path, descriptor, to)?;
        let fetched = source.blob(descriptor, &mut download).and_then(|()| download.finish());
        if let Err(error) = fetched {
            // Wrong bytes would be what the next attempt goes on from; from none it can begin as well without a file.
            if *error.entry() == image::WRONG_CONTENT || fs::metadata(&path).is_ok_and(|meta| meta.len() == 0) {
                let _ = fs::remove_file(&path);
            }
            return Err(error);
        }
        self.adopt(&path, &descriptor.digest)
    }
}

/// What [`Blobs::claim`] finds.
enum Claim<T> {
    /// The blob, in whatever form was asked for.
    Whole(T),
    /// Nobody has it; the lock of the partial file, which is empty or holds what a killed process has left.
    Ours(Flock<File>),
}

/// Opens and locks `path`, made where it is missing. `None`: it was renamed or deleted by whoever had the lock before.
pub(super) fn lock_file(path: &Path) -> Result<Option<Flock<File>>> {
    let doing = || format!("open {}", path.display());
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.context(&image::STORE, doing)?;
    let lock = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno);
    let lock = lock.context(&image::STORE, || format!("lock {}", path.display()))?;
    let own = lock.metadata().context(&image::STORE, doing)?.ino();
    Ok(fs::symlink_metadata(path).is_ok_and(|meta| meta.ino() == own).then_some(lock))
}

/// What a download serves.
pub(super) struct Fetch<'a> {
    pub(super) growth: &'a Growth,
    pub(super) progress: &'a dyn Progress,
    /// Somebody else has failed: nobody needs it any more.
    pub(super) given_up: &'a AtomicBool,
}

/// A partial file, written from where it ends.
struct Download<'a> {
    file: Arc<File>,
    descriptor: &'a Descriptor,
    hasher: Hasher,
    position: u64,
    to: &'a Fetch<'a>,
}

impl<'a> Download<'a> {
    /// Hashes what an earlier download has left.
    fn go_on(path: &Path, descriptor: &'a Descriptor, to: &'a Fetch<'a>) -> Result<Self> {
        let doing = || format!("read {}", path.display());
        let file = OpenOptions::new().read(true).write(true).open(path).context(&image::STORE, doing)?;
        let mut hasher = descriptor.digest.hasher();
        let mut position = 0;
        let mut buffer = vec![0; 1 << 18];
        loop {
            let count = file.read_at(&mut buffer, position).context(&image::STORE, doing)?;
            if count == 0 {
                break;
            }
            hasher.update(&buffer[..count]);
            position += count as u64;
        }
        if position > descriptor.size {
            file.set_len(0).context(&image::STORE, doing)?;
            (hasher, position) = (descriptor.digest.hasher(), 0);
        }
        let file = Arc::new(file);
        to.growth.grow(&file, position);
        Ok(Self { file, descriptor, hasher, position, to })
    }

    fn finish(self) -> Result<()> {
        let Self { descriptor, position, hasher, file, .. } = self;
        let doing = || format!("fetch {}", descriptor.digest);
        if position < descriptor.size {
            let why = format!("it ended after {position} of {} bytes", descriptor.size);
            return Err(Error::new(&image::WRONG_CONTENT, doing()).because(why));
        }
        let is = hasher.finish();
        if is != descriptor.digest {
            return Err(Error::new(&image::WRONG_CONTENT, doing()).because(format!("what came is {is}")));
        }
        file.sync_data().context(&image::STORE, || format!("write {} to the disk", descriptor.digest))
    }
}

impl Sink for Download<'_> {
    fn position(&self) -> u64 {
        self.position
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.to.given_up.load(Ordering::Relaxed) {
            return Err(io::Error::other("another layer has failed"));
        }
        if self.position + bytes.len() as u64 > self.descriptor.size {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "more bytes came than were announced"));
        }
        self.file.write_all_at(bytes, self.position)?;
        self.hasher.update(bytes);
        self.position += bytes.len() as u64;
        self.to.growth.grow(&self.file, self.position);
        self.to.progress.blob(self.descriptor, self.position);
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        // The bytes stay where they are, for a reader may be at them: the same ones will be written over them, or the
        // digest will tell.
        (self.hasher, self.position) = (self.descriptor.digest.hasher(), 0);
        Ok(())
    }
}

/// How far a blob has come.
#[derive(Debug, Default)]
pub(super) struct Growth {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    file: Option<Arc<File>>,
    length: u64,
    /// Whether it is whole and right.
    ended: Option<bool>,
}

impl Growth {
    fn grow(&self, file: &Arc<File>, length: u64) {
        self.change(|state| {
            state.length = state.length.max(length);
            state.file.get_or_insert_with(|| Arc::clone(file));
        });
    }

    /// No more will come.
    pub(super) fn end(&self, whole: bool) {
        self.change(|state| state.ended = Some(state.ended.unwrap_or(whole)));
    }

    /// What there is of it is not the blob.
    pub(super) fn has_failed(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).ended == Some(false)
    }

    fn change(&self, how: impl FnOnce(&mut State)) {
        how(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    /// Waits for bytes at `position`. `None`: it ends there, whole and verified.
    fn wait(&self, position: u64) -> io::Result<Option<(Arc<File>, u64)>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match (&state.file, state.ended) {
                (_, Some(false)) => return Err(io::Error::other("its download has failed")),
                (Some(file), _) if state.length > position => return Ok(Some((Arc::clone(file), state.length))),
                (_, Some(true)) => return Ok(None),
                _ => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

/// Reads a blob while it grows.
pub(super) struct Follower {
    growth: Arc<Growth>,
    position: u64,
}

impl Follower {
    pub(super) fn new(growth: Arc<Growth>) -> Self {
        Self { growth, position: 0 }
    }
}

impl Read for Follower {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some((file, length)) = self.growth.wait(self.position)? else { return Ok(0) };
        let most = usize::try_from(length - self.position).unwrap_or(usize::MAX).min(into.len());
        let count = file.read_at(&mut into[..most], self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}
