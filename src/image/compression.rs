//! Decompression beside writing: one thread reads and decompresses; the other applies the archive; lanes hash and keep.
//!
//! Owns the recognition of gzip, zstd and xz by their first bytes, for archives of files too ([`uncompressed`]), the channel between
//! the two threads, and the two limits on what a stream may expand to. They are here and not at the files, because a bomb can lie
//! where no file is: in headers, in padding, behind the end. The surprise: the reader gives an error, never an early end, when the
//! stream is cut or a limit is met; an archive must not look complete because its compression broke off.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::digest::{Digest, Hasher};
use super::lane::{Chunk, Compressed, Kept, Lane, QUEUE};
use super::manifest::{Descriptor, OCI_LAYER_GZIP, OCI_LAYER_ZSTD};

/// Large enough that a message costs nothing beside its content, small enough that the queue stays in the cache.
const CHUNK: usize = 256 * 1024;
/// xz -9 needs 65 MiB to decompress; what asks for more is refused.
const XZ_MEMORY: u64 = 80 << 20;
/// Bytes of one layer, uncompressed.
pub(super) const MOST_BYTES: u64 = 256 << 30;
/// From here on the ratio counts: below, a bomb does no harm.
const BOMB_BYTES: u64 = 1 << 30;
/// gzip reaches 1030 on zeros and 230 at its fastest level; trees of real files stay below 20.
const BOMB_RATIO: u64 = 100;
/// zstd --ultra --long=27 is what its own command line accepts by default.
const ZSTD_WINDOW_LOG: u32 = 27;

/// Of all that are recognised, xz's.
const LONGEST_MAGIC: u64 = 6;

/// How an archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
    Xz,
}

impl Compression {
    /// By the first bytes of `input`, which are given back: the decoder needs them, too.
    ///
    /// # Errors
    /// The input's, and `Unsupported` with the name of a compression that is none of these.
    pub(super) fn of(input: &mut impl Read) -> io::Result<(Self, Vec<u8>)> {
        let mut start = Vec::new();
        input.take(LONGEST_MAGIC).read_to_end(&mut start)?;
        let unsupported = |what| {
            let why =
                format!("it is compressed with {what}; what is read is a plain tar, or one with gzip, zstd or xz");
            io::Error::new(io::ErrorKind::Unsupported, why)
        };
        Ok((Self::detect(&start).map_err(unsupported)?, start))
    }

    /// `Err` has the name of a compression that is known but not supported.
    fn detect(start: &[u8]) -> Result<Self, &'static str> {
        Ok(match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [b'B', b'Z', b'h', ..] => return Err("bzip2"),
            [0x04, 0x22, 0x4d, 0x18, ..] => return Err("lz4"),
            [b'P', b'K', 3, 4, ..] => return Err("zip"),
            _ => Self::None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::None => "it is",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
        }
    }

    fn decoder<'a, R: Read + 'a>(self, input: BufReader<R>) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::None => Box::new(input),
            // Several members one after the other are one stream (RFC 1952, 2.2).
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
            Self::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(input)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Box::new(decoder)
            }
            Self::Xz => {
                let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED)?;
                Box::new(liblzma::bufread::XzDecoder::new_stream(input, stream))
            }
        })
    }
}

/// Gives `read` what is in `input`, plain or compressed, within the limits on what a compressed stream may expand to.
///
/// # Errors
/// Those of `read` and of the input; a stream whose compression is not supported, is cut or is damaged.
pub fn uncompressed<T>(
    mut input: impl Read + Send + 'static,
    read: impl FnOnce(&mut dyn Read) -> io::Result<T>,
) -> io::Result<T> {
    let (compression, start) = Compression::of(&mut input)?;
    if compression == Compression::None {
        return read(&mut BufReader::with_capacity(CHUNK, io::Cursor::new(start).chain(input)));
    }
    let mut named = Named { stream: Stream::start(compression, start, input, None), compression };
    let done = read(&mut named)?;
    named.stream.finish()?;
    Ok(done)
}

/// A stream whose errors say as what it was read; the decoders' own are as short as "incomplete frame".
struct Named {
    stream: Stream,
    compression: Compression,
}

impl Read for Named {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.stream.read(into).map_err(|error| match error.raw_os_error() {
            Some(_) => error,
            None => io::Error::new(error.kind(), format!("read as {}: {error}", self.compression.name())),
        })
    }
}

/// The uncompressed stream, read chunk by chunk.
pub(super) struct Stream {
    chunks: Receiver<io::Result<Chunk>>,
    chunk: Chunk,
    position: usize,
    worker: Option<JoinHandle<io::Result<Finished>>>,
}

/// What a stream was.
#[derive(Debug)]
pub(super) struct Finished {
    /// Of the uncompressed bytes.
    pub(super) diff_id: Digest,
    /// What was kept as a blob.
    pub(super) kept: Option<Descriptor>,
}

impl Stream {
    /// Starts the thread. `start` has been read from `input` already, to recognise the compression. With `keep` the archive is
    /// written there too, as an image's layer may be compressed: as it comes, or else with zstd.
    pub(super) fn start<R: Read + Send + 'static>(
        compression: Compression,
        start: Vec<u8>,
        input: R,
        keep: Option<File>,
    ) -> Self {
        let (sender, chunks) = sync_channel(QUEUE);
        let worker = std::thread::spawn(move || work(compression, io::Cursor::new(start).chain(input), keep, &sender));
        Self { chunks, chunk: Arc::default(), position: 0, worker: Some(worker) }
    }

    /// What it was; to be called after the stream has been read to its end.
    pub(super) fn finish(mut self) -> io::Result<Finished> {
        let worker = self.worker.take().ok_or_else(|| io::Error::other("the stream was finished before"))?;
        worker.join().map_err(|_| io::Error::other("the decompressing thread has died"))?
    }
}

fn work(
    compression: Compression,
    input: impl Read,
    keep: Option<File>,
    sender: &SyncSender<io::Result<Chunk>>,
) -> io::Result<Finished> {
    let read = Rc::new(Cell::new(0));
    let as_it_comes = matches!(compression, Compression::Gzip | Compression::Zstd);
    let (mut tee, mut copy) = (None, None);
    match keep.map(Kept::new) {
        Some(kept) if as_it_comes => tee = Some(Rc::new(RefCell::new(Lane::start(kept)))),
        Some(kept) => copy = Some(Lane::start(Compressed(zstd::Encoder::new(kept, 1)?))),
        None => {}
    }
    let input = Counted { inner: input, count: Rc::clone(&read), tee: tee.clone() };
    let mut digest = Lane::start(Hasher::default());
    let whole = match compression.decoder(BufReader::with_capacity(CHUNK, input)) {
        Ok(decoder) => pump(decoder, &read, sender, |chunk| {
            digest.give(chunk)?;
            copy.as_mut().map_or(Ok(()), |copy| copy.give(chunk))
        }),
        Err(error) => {
            let _ = sender.send(Err(error));
            false
        }
    };
    if !whole {
        return Err(io::Error::other("it was not read to its end"));
    }
    let diff_id = digest.finish()?;
    let kept = tee.and_then(Rc::into_inner).map(RefCell::into_inner).or(copy);
    let media_type = if compression == Compression::Gzip { OCI_LAYER_GZIP } else { OCI_LAYER_ZSTD };
    let described = |(digest, size)| Descriptor { media_type: media_type.to_owned(), digest, size };
    let kept = kept.map(Lane::finish).transpose()?.map(described);
    Ok(Finished { diff_id, kept })
}

impl Drop for Stream {
    /// The thread is never left behind: the receiver goes first, so that its next send fails and it ends.
    fn drop(&mut self) {
        let (_, nothing) = sync_channel(0);
        drop(std::mem::replace(&mut self.chunks, nothing));
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}

/// Who keeps what is read; the decoder owns what reads, so both need it.
type Tee = Rc<RefCell<Lane<(Digest, u64)>>>;

/// Counts what is read of the compressed archive, and copies it.
struct Counted<R> {
    inner: R,
    count: Rc<Cell<u64>>,
    tee: Option<Tee>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.count.set(self.count.get() + count as u64);
        if let Some(kept) = self.tee.as_ref().filter(|_| count > 0) {
            kept.borrow_mut().give(&Arc::new(into[..count].to_vec()))?;
        }
        Ok(count)
    }
}

/// Whether it came to the end.
fn pump(
    mut decoder: Box<dyn Read + '_>,
    read: &Cell<u64>,
    sender: &SyncSender<io::Result<Chunk>>,
    mut each: impl FnMut(&Chunk) -> io::Result<()>,
) -> bool {
    let mut made = 0_u64;
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        let message = match decoder.by_ref().take(CHUNK as u64).read_to_end(&mut chunk) {
            Ok(0) => return true,
            Ok(count) => {
                made += count as u64;
                let chunk = Arc::new(chunk);
                within_limits(made, read.get()).and_then(|()| each(&chunk)).map(|()| chunk)
            }
            Err(error) => Err(error),
        };
        let failed = message.is_err();
        // The other side has given up: its own error says why.
        if sender.send(message).is_err() || failed {
            return false;
        }
    }
}

fn within_limits(made: u64, read: u64) -> io::Result<()> {
    let ratio = made / read.max(1);
    if made > MOST_BYTES {
        return Err(io::Error::other(format!("it is larger than {} GiB", MOST_BYTES >> 30)));
    }
    if made > BOMB_BYTES && ratio > BOMB_RATIO {
        return Err(io::Error::other(format!("it expands {ratio}-fold: it is made to fill the disk")));
    }
    Ok(())
}

impl BufRead for Stream {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.position == self.chunk.len() {
            match self.chunks.recv() {
                Ok(chunk) => (self.chunk, self.position) = (chunk?, 0),
                Err(_) => return Ok(&[]),
            }
        }
        Ok(&self.chunk[self.position..])
    }

    fn consume(&mut self, count: usize) {
        self.position += count;
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(into)?;
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read_all(bytes: Vec<u8>) -> io::Result<(Vec<u8>, String)> {
        let compression = Compression::detect(&bytes).map_err(io::Error::other)?;
        let mut stream = Stream::start(compression, Vec::new(), io::Cursor::new(bytes), None);
        let mut out = Vec::new();
        stream.read_to_end(&mut out)?;
        Ok((out, stream.finish()?.diff_id.to_string()))
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).expect("write");
        encoder.finish().expect("finish")
    }

    fn xz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
        encoder.write_all(bytes).expect("write");
        encoder.finish().expect("finish")
    }

    #[test]
    fn every_compression_gives_the_same_bytes_and_digest() {
        let plain: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let zstd = zstd::encode_all(plain.as_slice(), 1).expect("zstd");
        let all = [plain.clone(), gzip(&plain), zstd, xz(&plain)];
        let digests: Vec<_> = all.into_iter().map(|bytes| read_all(bytes).expect("read")).collect();
        for (out, digest) in &digests {
            assert_eq!((out.len(), digest), (plain.len(), &digests[0].1));
        }
    }

    #[test]
    fn what_is_kept_is_the_archive_or_its_content() {
        let plain: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        for whole in [plain.clone(), gzip(&plain), zstd::encode_all(plain.as_slice(), 3).expect("zstd"), xz(&plain)] {
            let compression = Compression::detect(&whole).expect("known");
            let mut file = tempfile::tempfile().expect("file");
            let kept = Some(file.try_clone().expect("clone"));
            let mut stream =
                Stream::start(compression, whole[..3].to_vec(), io::Cursor::new(whole[3..].to_vec()), kept);
            io::copy(&mut stream, &mut io::sink()).expect("read");
            let finished = stream.finish().expect("finish");
            let kept = finished.kept.expect("a blob");
            let mut bytes = Vec::new();
            io::Seek::rewind(&mut file).expect("rewind");
            file.read_to_end(&mut bytes).expect("read");
            assert_eq!((Digest::of(&bytes), bytes.len() as u64), (kept.digest, kept.size));
            let again = read_all(bytes).expect("read again");
            assert_eq!((again.0.len(), again.1), (plain.len(), finished.diff_id.to_string()));
        }
    }

    #[test]
    fn members_of_gzip_are_one_stream() {
        let two = [gzip(b"one"), gzip(b"two")].concat();
        assert_eq!(read_all(two).expect("read").0, b"onetwo");
    }

    #[test]
    fn a_cut_stream_is_an_error_and_not_an_end() {
        let plain = vec![7_u8; 3_000_000];
        for whole in [gzip(&plain), zstd::encode_all(plain.as_slice(), 1).expect("zstd"), xz(&plain)] {
            for left in [whole.len() / 2, whole.len() - 5, whole.len() - 1] {
                assert!(read_all(whole[..left].to_vec()).is_err(), "{left} of {}", whole.len());
            }
        }
    }

    #[test]
    fn a_stream_that_expands_too_far_is_stopped() {
        assert!(within_limits(BOMB_BYTES, 1).is_ok());
        assert!(within_limits(BOMB_BYTES + 1, 1 << 20).is_err());
        assert!(within_limits(BOMB_BYTES + 1, BOMB_BYTES / 50).is_ok());
        assert!(within_limits(MOST_BYTES + 1, MOST_BYTES).is_err());
    }

    #[test]
    fn a_dropped_stream_leaves_no_thread() {
        let counted = Arc::new(());
        struct Endless(#[expect(dead_code, reason = "its drop is what is watched")] Arc<()>);
        impl Read for Endless {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                into.fill(1);
                Ok(into.len())
            }
        }
        drop(Stream::start(Compression::None, Vec::new(), Endless(Arc::clone(&counted)), None));
        assert_eq!(Arc::strong_count(&counted), 1);
    }
}
