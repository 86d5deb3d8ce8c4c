//! The members of an archive that holds images: where each lies in the file.
//!
//! Owns reading a tar once, from its start to its end, and what its names mean; docker's and OCI's archives are both read
//! through it. What can't be read twice (a pipe, a compressed file) is copied into the store first, into a file without a
//! name. The surprise: links are followed within the archive only, as names, because docker's older archives have a layer
//! that several images share once and links to it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::files::{Content, Files};
use crate::error::{Context, Error, Result, catalog::image};
use crate::image::archive::{Archive, Kind};
use crate::image::compression::{Compression, Stream};

/// Three a layer, and an archive of a hundred images of a hundred layers is still read.
const MOST_MEMBERS: usize = 100_000;
/// Links that lead to links.
const MOST_LINKS: usize = 8;

/// An archive's table of contents.
#[derive(Debug)]
pub(super) struct Members {
    file: Arc<File>,
    shown: String,
    all: BTreeMap<String, Member>,
}

#[derive(Debug)]
enum Member {
    File { offset: u64, size: u64 },
    Link(String),
}

impl Members {
    /// Reads the archive at `path`, or standard input (`-`). `spool` is a directory for a copy, where one is needed.
    pub(super) fn read(path: &Path, spool: &Path) -> Result<Self> {
        let shown = if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() };
        let doing = || format!("read {shown}");
        let mut input: Box<dyn Read + Send>;
        let mut direct = None;
        if path == Path::new("-") {
            input = Box::new(io::stdin());
        } else {
            let file = File::open(path).context(&image::BAD_ARCHIVE, doing)?;
            if file.metadata().context(&image::BAD_ARCHIVE, doing)?.is_file() {
                direct = Some(file.try_clone().context(&image::BAD_ARCHIVE, doing)?);
            }
            input = Box::new(file);
        }
        let (compression, start) = Compression::of(&mut input).context(&image::BAD_ARCHIVE, doing)?;
        let file = match direct {
            Some(file) if compression == Compression::None => file,
            _ => copy(Stream::start(compression, start, input, None), spool).context(&image::BAD_ARCHIVE, doing)?,
        };
        let all = index(&file).context(&image::BAD_ARCHIVE, doing)?;
        Ok(Self { file: Arc::new(file), shown, all })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    fn find(&self, name: &str) -> Option<(u64, u64)> {
        let mut name = plain(Path::new(name))?;
        for _ in 0..MOST_LINKS {
            match self.all.get(&name)? {
                Member::File { offset, size } => return Some((*offset, *size)),
                Member::Link(target) => name.clone_from(target),
            }
        }
        None
    }
}

impl Files for Members {
    fn open(&self, name: &Path) -> Result<Content> {
        let text = name.to_string_lossy();
        match self.find(&text) {
            Some((offset, size)) => Ok(Content::new(Arc::clone(&self.file), offset, size)),
            None => {
                Err(Error::new(&image::BAD_LAYOUT, format!("open {}", self.shown(name))).because("it is not there"))
            }
        }
    }

    fn shown(&self, name: &Path) -> String {
        format!("{} in {}", name.display(), self.shown)
    }
}

fn copy(mut from: Stream, spool: &Path) -> io::Result<File> {
    let mut file = tempfile::tempfile_in(spool)?;
    io::copy(&mut from, &mut file)?;
    from.finish()?;
    Ok(file)
}

/// Counts what has been read, and steps over what nobody wants to see.
struct Counted {
    input: BufReader<Positioned>,
    position: u64,
}

/// A file read from its start, whatever other readers of the descriptor do.
struct Positioned {
    file: File,
    position: u64,
}

impl Read for Positioned {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(into, self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl BufRead for Counted {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.position += count as u64;
        self.input.consume(count);
    }
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(into)?;
        self.consume(count);
        Ok(count)
    }
}

fn index(file: &File) -> io::Result<BTreeMap<String, Member>> {
    let file = Positioned { file: file.try_clone()?, position: 0 };
    let mut archive = Archive::new(Counted { input: BufReader::with_capacity(1 << 18, file), position: 0 }, false);
    let mut all = BTreeMap::new();
    let refuse = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    while let Some(entry) = archive.next()? {
        let shown = String::from_utf8_lossy(&entry.path).into_owned();
        let Some(name) = plain(Path::new(std::ffi::OsStr::from_bytes(&entry.path))) else {
            return Err(refuse(format!("the member {shown:?} has a name that leads elsewhere")));
        };
        let member = match entry.kind {
            Kind::Directory => continue,
            Kind::File if entry.pieces.is_none() => {
                Member::File { offset: archive.input().position, size: entry.stored }
            }
            Kind::Symlink | Kind::HardLink => {
                let target = Path::new(std::ffi::OsStr::from_bytes(&entry.link));
                // A hard link's name is the archive's, a symlink's is that of its directory.
                let beside = Path::new(&name).parent().filter(|_| entry.kind == Kind::Symlink);
                let Some(target) = plain(&beside.unwrap_or(Path::new("")).join(target)) else {
                    return Err(refuse(format!("the member {shown:?} is a link that leads out of the archive")));
                };
                Member::Link(target)
            }
            _ => return Err(refuse(format!("the member {shown:?} is neither a file nor a directory nor a link"))),
        };
        // Which of two members of a name counts is answered differently by different readers.
        if all.insert(name, member).is_some() {
            return Err(refuse(format!("the member {shown:?} is there twice")));
        }
        if all.len() > MOST_MEMBERS {
            return Err(refuse(format!("it has more than {MOST_MEMBERS} members")));
        }
    }
    Ok(all)
}

/// The name without `.` and `..`, as text; `None` where it leads out, or is none.
fn plain(name: &Path) -> Option<String> {
    use std::path::Component;
    let mut parts: Vec<&str> = Vec::new();
    for component in name.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::ParentDir => drop(parts.pop()?),
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_the_archive() {
        for (name, meant) in [
            ("a/b", Some("a/b")),
            ("./a//b/", Some("a/b")),
            ("a/../b", Some("b")),
            ("../a", None),
            ("a/../../b", None),
            ("/a", None),
        ] {
            assert_eq!(plain(Path::new(name)).as_deref(), meant, "{name}");
        }
    }
}
