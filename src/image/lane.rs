//! Work beside a stream: a thread that is given its chunks, for what is made of all of them.
//!
//! Owns the digest of what comes out and the copy that becomes a blob. Each has a thread of its own, because hashing takes a
//! third of the time that decompressing takes, and neither needs the other. The surprise: a lane that fails (its disk is
//! full) is heard of with the next chunk, or at the end.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::digest::{Digest, Hasher};
use super::hashed::Hashed;
use crate::sys::writeback;

/// Part of a stream, shared by all who read it.
pub(super) type Chunk = Arc<Vec<u8>>;

/// Chunks under way to one reader: bounds memory to 2 MiB.
pub(super) const QUEUE: usize = 8;
/// Bytes that are handed to the disk at a time.
const BEHIND: u64 = 8 << 20;

/// What is done with the chunks.
pub(super) trait Work: Send + 'static {
    type Out: Send + 'static;
    fn take(&mut self, bytes: &[u8]) -> io::Result<()>;
    fn end(self) -> io::Result<Self::Out>;
}

/// The thread. Dropped before its end, it leaves what it has made half done.
pub(super) struct Lane<T> {
    /// `None` is sent as the stream's end.
    chunks: Option<SyncSender<Option<Chunk>>>,
    thread: Option<JoinHandle<io::Result<T>>>,
}

impl<T: Send + 'static> Lane<T> {
    pub(super) fn start(mut work: impl Work<Out = T>) -> Self {
        let (sender, chunks) = sync_channel::<Option<Chunk>>(QUEUE);
        let thread = std::thread::spawn(move || {
            loop {
                match chunks.recv() {
                    Ok(Some(chunk)) => work.take(&chunk)?,
                    Ok(None) => return work.end(),
                    Err(_) => return Err(io::Error::other("the stream has broken off")),
                }
            }
        });
        Self { chunks: Some(sender), thread: Some(thread) }
    }

    pub(super) fn give(&mut self, chunk: &Chunk) -> io::Result<()> {
        match &self.chunks {
            Some(chunks) if chunks.send(Some(Arc::clone(chunk))).is_ok() => Ok(()),
            _ => Err(self.join().err().unwrap_or_else(|| io::Error::other("the thread has ended"))),
        }
    }

    /// What was made of all chunks.
    pub(super) fn finish(mut self) -> io::Result<T> {
        if let Some(chunks) = self.chunks.take() {
            // It has failed: its own error says why.
            let _ = chunks.send(None);
        }
        self.join()
    }

    fn join(&mut self) -> io::Result<T> {
        self.chunks = None;
        let thread = self.thread.take().ok_or_else(|| io::Error::other("the thread has failed before"))?;
        thread.join().map_err(|_| io::Error::other("the thread has died"))?
    }
}

impl<T> Drop for Lane<T> {
    fn drop(&mut self) {
        self.chunks = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Work for Hasher {
    type Out = Digest;

    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.update(bytes);
        Ok(())
    }

    fn end(self) -> io::Result<Digest> {
        Ok(self.finish())
    }
}

/// The file of a blob that is being made.
pub(super) struct Kept {
    file: Hashed<File>,
    handed: u64,
}

impl Kept {
    pub(super) fn new(file: File) -> Self {
        Self { file: Hashed::new(file), handed: 0 }
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all(bytes)?;
        let behind = self.file.size() - self.handed;
        if behind >= BEHIND {
            // So that little is left to wait for in the end. What the disk says of it, the sync will say again.
            let _ = writeback::start(self.file.to(), self.handed, behind);
            self.handed += behind;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The digest and the size, when all of it is on the disk.
impl Work for Kept {
    type Out = (Digest, u64);

    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn end(self) -> io::Result<(Digest, u64)> {
        let (file, digest, size) = self.file.finish();
        file.sync_data()?;
        Ok((digest, size))
    }
}

/// The same, compressed with zstd on the way.
pub(super) struct Compressed(pub(super) zstd::Encoder<'static, Kept>);

impl Work for Compressed {
    type Out = (Digest, u64);

    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn end(self) -> io::Result<(Digest, u64)> {
        self.0.finish()?.end()
    }
}
