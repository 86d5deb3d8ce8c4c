//! One layer: from a compressed archive to a tree in the staging directory, and from there to its place.
//!
//! Owns the chain id and the lock under which a layer is made: two processes that need one layer do the work once. The
//! surprise: a layer's place is named by its chain, not by its content alone, because what its archive leaves out (the
//! directories above its entries) is as the layers below have it.

use std::fs::{self, File};
use std::io::{self, BufRead, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::fcntl::Flock;
use nix::sys::stat::{Mode, fchmod};

use super::apply::{Applier, Style, Summary};
use super::blobs::lock_file;
use super::compression::{Compression, Finished, Stream};
use super::digest::Digest;
use super::publish::publish;
use super::staging::make_dir;
use super::trouble::unreadable;
use crate::error::{Context, Result, catalog::image};
use crate::host::config::Limits;

/// The chain id of a layer above the chain `below` (image specification, "Layer ChainID").
pub(super) fn chain(below: Option<&Digest>, diff_id: &Digest) -> Digest {
    below.map_or_else(|| diff_id.clone(), |below| Digest::of(format!("{below} {diff_id}").as_bytes()))
}

/// Behind the chain id of a layer whose owners were replaced by root.
pub(super) const ROOTS: &str = ".root";

/// How a layer is to lie in the store.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    /// Only one id is mapped: everything belongs to root.
    pub(super) squash: bool,
    /// Other users read it.
    pub(super) shared: bool,
    pub(super) limits: Limits,
}

/// Unpacks an archive into `dir`, a fresh directory, which becomes `dir/diff`.
///
/// # Errors
/// What was wrong with which entry.
pub(super) fn unpack(
    mut input: impl Read + Send + 'static,
    dir: &Path,
    style: Style,
    how: How,
    keep: Option<File>,
) -> Result<(Finished, Summary)> {
    let diff = dir.join("diff");
    make_dir(&diff)?;
    let (compression, start) = Compression::of(&mut input).map_err(|error| unreadable(error, "the archive"))?;
    let mut stream = Stream::start(compression, start, input, keep);
    let root = open(&diff)?;
    // The layer's root directory is the container's, unless its archive says otherwise.
    fchmod(&root, Mode::from_bits_truncate(0o755)).context(&image::STORE, || format!("open up {}", diff.display()))?;
    let most = how.limits.layer_bytes.unwrap_or(u64::MAX);
    let bounded = Bounded { inner: &mut stream, left: most, most };
    let summary = Applier::new(root, style, how.squash, how.limits).apply(bounded)?;
    if how.shared {
        publish(&open(&diff)?)?;
    }
    Ok((stream.finish().map_err(|error| unreadable(error, "the archive"))?, summary))
}

/// Bytes of a layer, wherever they are: in files, headers or padding.
struct Bounded<R> {
    inner: R,
    left: u64,
    most: u64,
}

impl<R: BufRead> BufRead for Bounded<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let bytes = self.inner.fill_buf()?;
        let allowed = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if allowed == 0 && !bytes.is_empty() {
            let why = format!("it is larger than the {} bytes of layer_bytes in config.toml", self.most);
            return Err(io::Error::other(why));
        }
        Ok(&bytes[..allowed])
    }

    fn consume(&mut self, count: usize) {
        self.left -= count as u64;
        self.inner.consume(count);
    }
}

impl<R: BufRead> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(into)?;
        self.consume(count);
        Ok(count)
    }
}

/// A layer's tree, to look things up in.
pub(super) fn open(diff: &Path) -> Result<OwnedFd> {
    File::open(diff).map(OwnedFd::from).context(&image::STORE, || format!("open {}", diff.display()))
}

/// The right to make one layer.
#[derive(Debug)]
pub(super) struct Turn {
    path: PathBuf,
    _lock: Flock<File>,
}

impl Turn {
    /// Waits for whoever has it.
    pub(super) fn wait(store: &Path, chain: &Digest) -> Result<Self> {
        let locks = store.join("locks");
        make_dir(&locks)?;
        let path = locks.join(chain.hex());
        loop {
            if let Some(lock) = lock_file(&path)? {
                return Ok(Self { path, _lock: lock });
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Still locked: who waits for it finds another file, or none, at the path, and looks again.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_that_of_the_specification() {
        let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
        assert_eq!(chain(None, &one), one);
        assert_eq!(chain(Some(&one), &two), Digest::of(format!("{one} {two}").as_bytes()));
    }
}
