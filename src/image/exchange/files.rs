//! Files of a layout, in a directory or in an archive: opened by name, read from anywhere.
//!
//! Owns the two ways to open one and the bound on documents. The surprise: a [`Content`] is a part of a file, read with
//! pread(2), so that several threads can read one archive at a time.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::OFlag;

use crate::error::{Context, Error, Result, catalog::image};
use crate::image::beneath::open_beneath;
use crate::image::digest::Digest;
use crate::image::manifest::{Descriptor, MOST_DOCUMENT_BYTES};
use crate::image::transport::Sink;

/// Where files are found by their names.
pub(super) trait Files: Sync + std::fmt::Debug {
    /// A regular file.
    fn open(&self, name: &Path) -> Result<Content>;
    /// For errors.
    fn shown(&self, name: &Path) -> String;
}

/// The whole of a small file.
pub(super) fn document(files: &dyn Files, name: &Path) -> Result<Vec<u8>> {
    let doing = || format!("read {}", files.shown(name));
    let content = files.open(name)?;
    if content.size > MOST_DOCUMENT_BYTES {
        let why = format!("it has more than {MOST_DOCUMENT_BYTES} bytes");
        return Err(Error::new(&image::BAD_LAYOUT, doing()).because(why));
    }
    let mut bytes = Vec::new();
    content.reader().read_to_end(&mut bytes).context(&image::BAD_LAYOUT, doing)?;
    Ok(bytes)
}

/// The same, with the content that a descriptor names.
pub(super) fn verified(files: &dyn Files, name: &Path, descriptor: &Descriptor) -> Result<Vec<u8>> {
    let bytes = document(files, name)?;
    let is = Digest::of_kind(&descriptor.digest, &bytes);
    if is == descriptor.digest {
        return Ok(bytes);
    }
    Err(Error::new(&image::WRONG_CONTENT, format!("read {}", files.shown(name)))
        .because(format!("what is there is {is}")))
}

/// Copies into a sink, from where that is.
pub(super) fn copy(files: &dyn Files, name: &Path, sink: &mut dyn Sink) -> Result<()> {
    let doing = || format!("copy {}", files.shown(name));
    let content = files.open(name)?;
    let mut buffer = vec![0; 1 << 18];
    loop {
        let count = content.read_at(&mut buffer, sink.position()).context(&image::BAD_LAYOUT, doing)?;
        if count == 0 {
            return Ok(());
        }
        sink.write(&buffer[..count]).context(&image::WRONG_CONTENT, doing)?;
    }
}

/// A part of a file.
#[derive(Debug, Clone)]
pub(super) struct Content {
    file: Arc<File>,
    offset: u64,
    pub(super) size: u64,
}

impl Content {
    pub(super) fn new(file: Arc<File>, offset: u64, size: u64) -> Self {
        Self { file, offset, size }
    }

    fn read_at(&self, into: &mut [u8], position: u64) -> io::Result<usize> {
        let left = usize::try_from(self.size.saturating_sub(position)).unwrap_or(usize::MAX);
        let most = into.len().min(left);
        self.file.read_at(&mut into[..most], self.offset + position)
    }

    pub(super) fn reader(&self) -> impl Read + Send + use<> {
        Reader { content: self.clone(), position: 0 }
    }
}

struct Reader {
    content: Content,
    position: u64,
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read_at(into, self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

/// A directory, which may be anybody's making: every path is opened beneath it, through no link.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    root: OwnedFd,
}

impl Directory {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let root = File::open(path).context(&image::BAD_LAYOUT, || format!("read the layout {}", path.display()))?;
        Ok(Self { path: path.to_owned(), root: root.into() })
    }
}

impl Files for Directory {
    fn open(&self, name: &Path) -> Result<Content> {
        let doing = || format!("open {}", self.shown(name));
        // O_NONBLOCK: a fifo in its place must not be waited for.
        let opened = open_beneath(self.root.as_fd(), name, OFlag::O_RDONLY | OFlag::O_NONBLOCK);
        let file = File::from(opened.context(&image::BAD_LAYOUT, doing)?);
        let meta = file.metadata().context(&image::BAD_LAYOUT, doing)?;
        if meta.is_file() {
            return Ok(Content::new(Arc::new(file), 0, meta.len()));
        }
        Err(Error::new(&image::BAD_LAYOUT, doing()).because("it is no regular file"))
    }

    fn shown(&self, name: &Path) -> String {
        self.path.join(name).display().to_string()
    }
}
