//! A writer that hashes and counts what it passes on.
//!
//! Owns nothing but that; what is behind it may compress, or be a file. The surprise: it names what was written, so in front of an
//! encoder it gives a layer's diff id, and behind it the digest of the blob.

use std::io::{self, Write};

use super::digest::{Digest, Hasher};

#[derive(Debug)]
pub(super) struct Hashed<W> {
    to: W,
    hasher: Hasher,
    size: u64,
}

impl<W: Write> Hashed<W> {
    /// By SHA-256.
    pub(super) fn new(to: W) -> Self {
        Self { to, hasher: Hasher::default(), size: 0 }
    }

    /// What it wrote to.
    pub(super) fn to(&self) -> &W {
        &self.to
    }

    /// Bytes so far.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// What it wrote to, the digest of what was written, and its size in bytes.
    pub(super) fn finish(self) -> (W, Digest, u64) {
        (self.to, self.hasher.finish(), self.size)
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.to.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
