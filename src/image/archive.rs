//! The tar format: from a stream of blocks to entries, with nothing ambiguous let through.
//!
//! Owns framing: which bytes are headers, extensions (pax, GNU long names) and data. The fields of a header are read
//! with the tar crate; framing is ours because parsers that disagree about it are an attack (CVE-2025-62518), and
//! because every extension has a bound here. Refused: a pax size beside a different header size, pax beside GNU long
//! names for the same thing, two extension headers of a kind for one entry, data behind an entry that has none, a
//! negative size or owner, a global pax header that means more than a comment, bytes behind the end, a missing end. One
//! zero block is an end, as for GNU tar. The surprise: `size` of a sparse file is not the number of bytes that follow;
//! `stored` is.

use std::io::{self, BufRead, Read};

use super::sparse::{self, Piece};
use super::{number, pax};

const BLOCK: usize = 512;
/// Linux's PATH_MAX, with the terminating zero.
const LONGEST_PATH: u64 = 4096;
/// xattrs have at most 64 KiB a value; an entry with more than this is made up.
const LONGEST_PAX: u64 = 1 << 20;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    HardLink,
    Symlink,
    CharacterDevice,
    BlockDevice,
    Directory,
    Fifo,
}

/// One member, its extensions applied.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) path: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    /// Seconds and nanoseconds.
    pub(super) mtime: (i64, u32),
    /// Of the file.
    pub(super) size: u64,
    /// Bytes in the archive.
    pub(super) stored: u64,
    /// Some: a sparse file's data.
    pub(super) pieces: Option<Vec<Piece>>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Reads entries one after the other; the data of each must be read or skipped before the next.
pub(super) struct Archive<R> {
    input: R,
    left: u64,
    padding: u64,
    /// The whole of it is verified by a digest, so that nothing can be cut off unseen.
    whole: bool,
}

/// Extensions that apply to the next entry.
#[derive(Default)]
struct Extensions {
    gnu_path: Option<Vec<u8>>,
    gnu_link: Option<Vec<u8>>,
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    uid: Option<u64>,
    gid: Option<u64>,
    size: Option<u64>,
    mtime: Option<(i64, u32)>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    sparse: PaxSparse,
}

#[derive(Default)]
struct PaxSparse {
    major: Option<String>,
    size: Option<u64>,
    name: Option<Vec<u8>>,
    map: Option<String>,
    /// 0.0: alternating records.
    numbers: Vec<u64>,
}

impl PaxSparse {
    fn any(&self) -> bool {
        self.major.is_some() || self.map.is_some() || !self.numbers.is_empty()
    }
}

fn refuse<T>(why: impl Into<String>) -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::InvalidData, why.into()))
}

fn invalid(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

impl<R: BufRead> Archive<R> {
    /// `whole`: a digest of all the bytes is compared afterwards, so a missing end is no sign of a cut; umoci's layers
    /// have none.
    pub(super) fn new(input: R, whole: bool) -> Self {
        Self { input, left: 0, padding: 0, whole }
    }

    /// Where it is read from; after [`Archive::next`] the entry's data comes next.
    pub(super) fn input(&self) -> &R {
        &self.input
    }

    /// The next entry; `None` at the end, which has been checked to be one.
    pub(super) fn next(&mut self) -> io::Result<Option<Entry>> {
        self.skip_data()?;
        let mut extensions = Extensions::default();
        let mut seen = Vec::new();
        loop {
            let Some(block) = self.block()? else {
                if self.whole && seen.is_empty() {
                    return Ok(None);
                }
                return refuse("the archive has no end: it is cut off");
            };
            if block == [0; BLOCK] {
                return if seen.is_empty() {
                    self.end().map(|()| None)
                } else {
                    refuse("the archive ends behind an extension header")
                };
            }
            let header = tar::Header::from_byte_slice(&block);
            check_sum(&block)?;
            let size = number::field(&block[124..136]).map_err(invalid)?;
            // Two of a kind for one entry are read differently by different tools, and endless ones would fill the
            // memory.
            if let kind @ (b'x' | b'L' | b'K') = block[156] {
                if seen.contains(&kind) {
                    return refuse(format!("two extension headers of the type {:?} for one entry", char::from(kind)));
                }
                seen.push(kind);
            }
            match block[156] {
                b'x' => extensions.pax(&self.extension(size, LONGEST_PAX)?)?,
                b'g' => pax::check_global(&self.extension(size, LONGEST_PAX)?).map_err(invalid)?,
                b'L' => extensions.gnu_path = Some(text(self.extension(size, LONGEST_PATH)?)),
                b'K' => extensions.gnu_link = Some(text(self.extension(size, LONGEST_PATH)?)),
                kind => return self.entry(kind, header, size, extensions).map(Some),
            }
        }
    }

    fn entry(&mut self, kind: u8, header: &tar::Header, size: u64, extensions: Extensions) -> io::Result<Entry> {
        let bytes = header.as_bytes();
        let old_sparse = if kind == b'S' { Some(self.gnu_sparse(bytes)?) } else { None };
        let kind = kind_of(kind)?;
        let (path, link) = extensions.names(header)?;
        // Before POSIX a directory was a file with a slash behind its name.
        let kind = if kind == Kind::File && path.ends_with(b"/") { Kind::Directory } else { kind };
        let stored = extensions.stored(size, kind)?;
        if old_sparse.is_some() && extensions.sparse.any() {
            return refuse("a sparse map both in the header and in its extension");
        }
        let mut entry = Entry {
            kind,
            path,
            link,
            mode: u32::try_from(number::field(&bytes[100..108]).map_err(invalid)?).unwrap_or(u32::MAX) & 0o7777,
            uid: extensions.uid.map_or_else(|| number::field(&bytes[108..116]), Ok).map_err(invalid)?,
            gid: extensions.gid.map_or_else(|| number::field(&bytes[116..124]), Ok).map_err(invalid)?,
            mtime: match extensions.mtime {
                Some(mtime) => mtime,
                None => (number::signed_field(&bytes[136..148]).map_err(invalid)?, 0),
            },
            size: stored,
            stored,
            pieces: None,
            xattrs: extensions.xattrs,
        };
        self.left = stored;
        self.padding = stored.next_multiple_of(BLOCK as u64) - stored;
        if let Some((pieces, real)) = old_sparse {
            (entry.pieces, entry.size) = (Some(pieces), real);
        } else if let Some((pieces, real)) = self.pax_sparse(&extensions.sparse)? {
            (entry.pieces, entry.size, entry.stored) = (Some(pieces), real, self.left);
        }
        if let Some(pieces) = &entry.pieces {
            sparse::check(pieces, entry.size, entry.stored).map_err(invalid)?;
        }
        Ok(entry)
    }

    /// Old GNU: a map in the header, continued in blocks behind it.
    fn gnu_sparse(&mut self, header: &[u8; BLOCK]) -> io::Result<(Vec<Piece>, u64)> {
        let mut pieces = Vec::new();
        sparse::gnu_entries(&header[386..482], &mut pieces).map_err(invalid)?;
        let mut more = header[482] != 0;
        while more {
            let Some(block) = self.block()? else { return refuse("the archive is cut off in a sparse map") };
            sparse::gnu_entries(&block[..504], &mut pieces).map_err(invalid)?;
            if pieces.len() > 1 << 20 {
                return refuse("a sparse file with too many pieces");
            }
            more = block[504] != 0;
        }
        Ok((pieces, number::field(&header[483..495]).map_err(invalid)?))
    }

    fn pax_sparse(&mut self, sparse: &PaxSparse) -> io::Result<Option<(Vec<Piece>, u64)>> {
        if sparse.major.as_deref().is_some_and(|major| major != "0" && major != "1") {
            return refuse("a sparse file of an unknown version");
        }
        let pieces = if sparse.major.as_deref() == Some("1") {
            let mut data = (&mut self.input).take(self.left);
            let (pieces, took) = sparse::pax_stored(&mut data)?;
            self.left -= took;
            pieces
        } else if let Some(map) = &sparse.map {
            sparse::pax_list(map).map_err(invalid)?
        } else if !sparse.numbers.is_empty() {
            sparse::pax_pairs(&sparse.numbers).map_err(invalid)?
        } else {
            return Ok(None);
        };
        let size = sparse.size.ok_or_else(|| invalid("a sparse file without its size".into()))?;
        Ok(Some((pieces, size)))
    }

    /// The next data of the present entry, at most so much of it; the caller says what it took.
    pub(super) fn data(&mut self, most: u64) -> io::Result<&[u8]> {
        let wanted = usize::try_from(self.left.min(most)).unwrap_or(usize::MAX);
        if wanted == 0 {
            return Ok(&[]);
        }
        let bytes = self.input.fill_buf()?;
        if bytes.is_empty() {
            return refuse("the archive is cut off in the data of an entry");
        }
        Ok(&bytes[..wanted.min(bytes.len())])
    }

    /// So much of what [`Archive::data`] gave.
    pub(super) fn took(&mut self, count: usize) {
        self.left -= count as u64;
        self.input.consume(count);
    }

    fn skip_data(&mut self) -> io::Result<()> {
        let rest = self.left + self.padding;
        let skipped = io::copy(&mut (&mut self.input).take(rest), &mut io::sink())?;
        // Where there need be no end there need be no padding before it, either.
        if skipped != rest && !(self.whole && skipped == self.left) {
            return refuse("the archive is cut off in the data of an entry");
        }
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    fn extension(&mut self, size: u64, most: u64) -> io::Result<Vec<u8>> {
        if size > most {
            return refuse(format!("an extension header of {size} bytes; at most {most} are taken"));
        }
        let mut bytes = Vec::new();
        (&mut self.input).take(size.next_multiple_of(BLOCK as u64)).read_to_end(&mut bytes)?;
        if (bytes.len() as u64) < size {
            return refuse("the archive is cut off in an extension header");
        }
        bytes.truncate(usize::try_from(size).unwrap_or(0));
        Ok(bytes)
    }

    /// `None`: the stream ends exactly here.
    fn block(&mut self) -> io::Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.input.read(&mut block[filled..])? {
                0 if filled == 0 => return Ok(None),
                0 => return refuse("the archive is cut off in a header"),
                count => filled += count,
            }
        }
        Ok(Some(block))
    }

    /// Behind the first zero block only zeros may follow: what is hidden there another tool might read as entries.
    fn end(&mut self) -> io::Result<()> {
        let mut buffer = [0; 8192];
        loop {
            match self.input.read(&mut buffer)? {
                0 => return Ok(()),
                count if buffer[..count].iter().all(|byte| *byte == 0) => {}
                _ => return refuse("there are bytes behind the end of the archive"),
            }
        }
    }
}

impl Extensions {
    fn pax(&mut self, bytes: &[u8]) -> io::Result<()> {
        for record in pax::records(bytes) {
            let (key, value) = record.map_err(invalid)?;
            let number = || number::decimal(key, value).map_err(invalid);
            match key {
                b"path" | b"linkpath" | b"GNU.sparse.name" if value.is_empty() => {
                    return refuse(format!("an empty pax record {}", key.escape_ascii()));
                }
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"uid" => self.uid = Some(number()?),
                b"gid" => self.gid = Some(number()?),
                b"size" => self.size = Some(number()?),
                b"mtime" => self.mtime = Some(number::time(value).map_err(invalid)?),
                b"GNU.sparse.major" => self.sparse.major = Some(String::from_utf8_lossy(value).into_owned()),
                b"GNU.sparse.realsize" | b"GNU.sparse.size" => self.sparse.size = Some(number()?),
                b"GNU.sparse.name" => self.sparse.name = Some(value.to_vec()),
                b"GNU.sparse.map" => self.sparse.map = Some(String::from_utf8_lossy(value).into_owned()),
                b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => self.sparse.numbers.push(number()?),
                _ => {
                    if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                        self.xattrs.push((name.to_vec(), value.to_vec()));
                    }
                }
            }
        }
        Ok(())
    }

    /// A pax size is there because the header's field is too small for it, and then that field is 0 or the same.
    fn stored(&self, header: u64, kind: Kind) -> io::Result<u64> {
        let size = match self.size {
            Some(size) if header != 0 && header != size => {
                return refuse(format!("two sizes: {header} in the header, {size} in its extension"));
            }
            Some(size) => size,
            None => header,
        };
        // Hard links have their file's size in old archives, and no data; that is how GNU tar reads all of them.
        Ok(if kind == Kind::File {
            size
        } else if size == 0 || kind == Kind::HardLink && self.size.is_none() {
            0
        } else {
            return refuse("data behind an entry that can have none");
        })
    }

    fn names(&self, header: &tar::Header) -> io::Result<(Vec<u8>, Vec<u8>)> {
        let pax_path = self.path.is_some() || self.sparse.name.is_some();
        if self.gnu_path.is_some() && pax_path || self.gnu_link.is_some() && self.link.is_some() {
            return refuse("a name both as a pax record and as a GNU long name");
        }
        let path = self.sparse.name.as_ref().or(self.path.as_ref()).or(self.gnu_path.as_ref());
        let path = path.cloned().unwrap_or_else(|| header.path_bytes().into_owned());
        let link = self.link.as_ref().or(self.gnu_link.as_ref()).cloned();
        let link = link.unwrap_or_else(|| header.link_name_bytes().map(|name| name.into_owned()).unwrap_or_default());
        for name in [&path, &link] {
            if name.contains(&0) {
                return refuse("a name with a zero byte");
            }
            if name.len() as u64 >= LONGEST_PATH {
                return refuse(format!("a name of {} bytes", name.len()));
            }
        }
        Ok((path, link))
    }
}

fn kind_of(letter: u8) -> io::Result<Kind> {
    Ok(match letter {
        0 | b'0' | b'7' | b'S' => Kind::File,
        b'1' => Kind::HardLink,
        b'2' => Kind::Symlink,
        b'3' => Kind::CharacterDevice,
        b'4' => Kind::BlockDevice,
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        other => return refuse(format!("an entry of the unknown type {:?}", char::from(other))),
    })
}

fn check_sum(block: &[u8; BLOCK]) -> io::Result<()> {
    let stated = number::field(&block[148..156]).ok();
    let sum: u64 =
        block.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u64::from(*byte) }).sum();
    if stated == Some(sum) { Ok(()) } else { refuse("this is no tar archive, or a header is damaged (wrong checksum)") }
}

/// GNU long names end with a zero byte.
fn text(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.last() == Some(&0) {
        bytes.pop();
    }
    bytes
}
