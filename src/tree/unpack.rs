//! What a tar stream says, made below a directory.
//!
//! Owns where each entry may end up. Names with `..` are refused; in a container links are followed as the container would follow
//! them, inside; on the host none is followed at all. The surprise: a file takes the place of what is there when all of it has come, so that
//! nothing is ever written through what stood there, and a stream that breaks off takes nothing away.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2, renameat};
use nix::sys::stat::{Mode, UtimensatFlags, fchmod, fstatat, futimens, mkdirat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, fchownat, linkat, mkfifoat, symlinkat, unlinkat};
use tar::{Entry, EntryType};

use crate::sys::xattr;

/// How names are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Within {
    /// `top` is a root directory: links lead inside.
    Root,
    /// `top` is any directory: no link is followed, and nothing above it is reached.
    Directory,
}

/// Where and how entries are made.
pub struct Unpack<'a> {
    /// The directory below which everything stays.
    pub top: BorrowedFd<'a>,
    /// Where in it, without a slash in front.
    pub at: PathBuf,
    /// See [`Within`].
    pub within: Within,
    /// Whose it is, from the archive's owner; None: whoever makes it.
    pub owner: &'a dyn Fn(u64, u64) -> Option<(u32, u32)>,
    /// Which permission bits are taken.
    pub mode: u32,
}

impl Unpack<'_> {
    /// Reads to the end of the archive, which must be there: a stream that was cut must not look whole.
    ///
    /// # Errors
    /// With the entry's name.
    pub fn all(&self, from: impl Read) -> io::Result<()> {
        let read = Progress::default();
        let mut archive = tar::Archive::new(Watched { inner: from, read: &read });
        let mut directories = Vec::new();
        for entry in archive.entries()? {
            let mut entry = entry.map_err(|error| read.explain(error))?;
            let shown = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            self.entry(&mut entry, &mut directories)
                .map_err(|error| io::Error::new(error.kind(), format!("{shown}: {error}")))?;
        }
        if read.ended.get() {
            return Err(read.cut());
        }
        // What was made in a directory has changed its time.
        for (directory, time) in directories {
            futimens(&directory, &time, &time)?;
        }
        // A stream's writer must not be told that nobody reads the rest.
        io::copy(&mut archive.into_inner(), &mut io::sink()).map(drop)
    }

    fn entry(&self, entry: &mut Entry<'_, impl Read>, directories: &mut Vec<(OwnedFd, TimeSpec)>) -> io::Result<()> {
        refuse_pax_sparse(entry)?;
        let path = plain(&entry.path_bytes())?;
        let kind = entry.header().entry_type();
        let mtime = i64::try_from(entry.header().mtime()?).unwrap_or_default();
        let time = TimeSpec::new(mtime, 0);
        let mode = Mode::from_bits_truncate(entry.header().mode()? & self.mode);
        let owner = (self.owner)(entry.header().uid()?, entry.header().gid()?);
        let Some(name) = path.file_name().map(OsStr::to_owned) else {
            // The directory itself, in which all goes.
            return Ok(());
        };
        let parent = self.directory(path.parent().unwrap_or(Path::new("")))?;
        let parent = parent.as_fd();
        match kind {
            EntryType::Directory => {
                let made = self.make_directory(parent, &path, &name)?;
                self.own(parent, &name, owner)?;
                // One that is there keeps its mode where it is not the archive's to give.
                fchmod(&made, mode)?;
                directories.push((made, time));
                Ok(())
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.file(entry, parent, &name, (owner, mode, time))
            }
            EntryType::Symlink => {
                let target = entry.link_name_bytes().ok_or(io::ErrorKind::InvalidData)?.into_owned();
                clear(parent, &name)?;
                symlinkat(OsStr::from_bytes(&target), parent, name.as_os_str())?;
                self.own(parent, &name, owner)?;
                Ok(utimensat(parent, name.as_os_str(), &time, &time, UtimensatFlags::NoFollowSymlink)?)
            }
            EntryType::Link => {
                let target = plain(&entry.link_name_bytes().ok_or(io::ErrorKind::InvalidData)?)?;
                let old = target.file_name().ok_or(io::ErrorKind::InvalidData)?;
                let old_parent = self.directory(target.parent().unwrap_or(Path::new("")))?;
                clear(parent, &name)?;
                Ok(linkat(&old_parent, old, parent, name.as_os_str(), AtFlags::empty())?)
            }
            EntryType::Fifo => {
                clear(parent, &name)?;
                mkfifoat(parent, name.as_os_str(), mode)?;
                Ok(self.own(parent, &name, owner)?)
            }
            // No user namespace may make a device.
            _ => Ok(()),
        }
    }

    fn file(
        &self,
        entry: &mut Entry<'_, impl Read>,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        (owner, mode, time): (Option<(u32, u32)>, Mode, TimeSpec),
    ) -> io::Result<()> {
        let (made, mut file) = Made::new(parent, name)?;
        let attributes = attributes(entry)?;
        if io::copy(entry, &mut file)? != entry.size() {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the archive is cut off in the data of this entry",
            ));
        }
        // chown(2) takes the setuid bit and file capabilities away, so it comes before them.
        if let Some((uid, gid)) = owner {
            fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        }
        fchmod(&file, mode)?;
        for (name, value) in attributes {
            match xattr::set(file.as_fd(), &name, &value) {
                Ok(()) | Err(Errno::EPERM | Errno::ENOTSUP) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        futimens(&file, &time, &time)?;
        made.place(name)
    }

    /// A directory below the place, made where it is missing.
    fn directory(&self, path: &Path) -> io::Result<OwnedFd> {
        match self.open(path) {
            Err(Errno::ENOENT) => {}
            opened => return Ok(opened?),
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err(Errno::ENOENT.into()) };
        let parent = self.directory(parent)?;
        self.make_directory(parent.as_fd(), path, name)
    }

    fn open(&self, path: &Path) -> Result<OwnedFd, Errno> {
        let path = self.at.join(path);
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { &path };
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        match self.within {
            Within::Root => super::open_in(self.top, path, flags),
            Within::Directory => {
                let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS;
                openat2(self.top, path, OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve))
            }
        }
    }

    fn make_directory(&self, parent: BorrowedFd<'_>, path: &Path, name: &OsStr) -> io::Result<OwnedFd> {
        match mkdirat(parent, name, Mode::S_IRWXU) {
            Ok(()) => {
                let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                let made = openat(parent, name, flags, Mode::empty())?;
                fchmod(&made, Mode::from_bits_truncate(0o755))?;
                self.own(parent, name, (self.owner)(0, 0))?;
                Ok(made)
            }
            Err(Errno::EEXIST) => match self.open(path) {
                Err(Errno::ENOTDIR) => Err(io::Error::other("a directory can't replace what is no directory")),
                opened => Ok(opened?),
            },
            Err(errno) => Err(errno.into()),
        }
    }

    fn own(&self, parent: BorrowedFd<'_>, name: &OsStr, owner: Option<(u32, u32)>) -> Result<(), Errno> {
        let Some((uid, gid)) = owner else { return Ok(()) };
        fchownat(parent, name, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), AtFlags::AT_SYMLINK_NOFOLLOW)
    }
}

/// A tar's block.
const SHORTEST: u64 = 512;

/// How far a stream was read, seen from outside of the archive that reads it.
#[derive(Default)]
struct Progress {
    bytes: Cell<u64>,
    ended: Cell<bool>,
    failed: Cell<bool>,
}

impl Progress {
    /// The archive's words for a stream that is none are about fields of headers.
    fn explain(&self, error: io::Error) -> io::Error {
        match (self.failed.get(), self.ended.get()) {
            // Whoever reads the stream has said why.
            (true, _) => error,
            (_, true) => self.cut(),
            _ => io::Error::new(error.kind(), format!("this is no tar archive, or it is damaged here: {error}")),
        }
    }

    fn cut(&self) -> io::Error {
        let why = match self.bytes.get() {
            0 => "there is nothing in the stream",
            1..SHORTEST => "this is no tar archive: it is shorter than the header of one file",
            _ => "the archive has no end: it is cut off",
        };
        io::Error::new(io::ErrorKind::UnexpectedEof, why)
    }
}

struct Watched<'a, R> {
    inner: R,
    read: &'a Progress,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into);
        match &read {
            Ok(0) if !into.is_empty() => self.read.ended.set(true),
            Ok(count) => self.read.bytes.set(self.read.bytes.get() + *count as u64),
            Err(error) => self.read.failed.set(error.kind() != io::ErrorKind::Interrupted),
        }
        read
    }
}

/// A file on its way to its name; it goes again, unless it gets there.
struct Made<'a> {
    parent: BorrowedFd<'a>,
    /// None: it has its place.
    name: Option<OsString>,
}

impl<'a> Made<'a> {
    /// Beside what has the name already, under another.
    fn new(parent: BorrowedFd<'a>, name: &OsStr) -> io::Result<(Self, File)> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut name = name.to_owned();
        for number in 0_u64.. {
            match openat(parent, name.as_os_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR) {
                Ok(file) => return Ok((Self { parent, name: Some(name) }, File::from(file))),
                Err(Errno::EEXIST) if is_directory(parent, &name) == Ok(true) && number == 0 => {
                    return Err(replaces_directory());
                }
                Err(Errno::EEXIST) => name = format!(".rl-{}-{number}", std::process::id()).into(),
                Err(errno) => return Err(errno.into()),
            }
        }
        Err(Errno::EEXIST.into())
    }

    fn place(mut self, name: &OsStr) -> io::Result<()> {
        if let Some(made) = self.name.as_deref().filter(|made| *made != name) {
            renameat(self.parent, made, self.parent, name)?;
        }
        self.name = None;
        Ok(())
    }
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            let _ = unlinkat(self.parent, name.as_os_str(), UnlinkatFlags::NoRemoveDir);
        }
    }
}

/// Relative, without `..`: a name says where in the directory, never how to leave it.
fn plain(name: &[u8]) -> io::Result<PathBuf> {
    let mut path = PathBuf::new();
    for part in Path::new(OsStr::from_bytes(name)).components() {
        match part {
            Component::Normal(part) => path.push(part),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the name leads out of the archive"));
            }
        }
    }
    Ok(path)
}

/// Takes away what has the name, if it is no directory.
fn clear(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    match unlinkat(parent, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(_) if is_directory(parent, name)? => Err(replaces_directory()),
        Err(errno) => Err(errno.into()),
    }
}

fn is_directory(parent: BorrowedFd<'_>, name: &OsStr) -> Result<bool, Errno> {
    let found = fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW);
    found.map(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFDIR)
}

fn replaces_directory() -> io::Error {
    io::Error::other("what is no directory can't replace a directory")
}

/// Those that concern the file itself.
fn attributes(entry: &mut Entry<'_, impl Read>) -> io::Result<Vec<(std::ffi::CString, Vec<u8>)>> {
    let Some(records) = entry.pax_extensions()? else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for record in records {
        let record = record?;
        let Some(name) = record.key_bytes().strip_prefix(b"SCHILY.xattr.") else { continue };
        let is_taken =
            name == b"security.capability" || (name.starts_with(b"user.") && !name.starts_with(b"user.overlay."));
        if is_taken {
            all.push((std::ffi::CString::new(name)?, record.value_bytes().to_owned()));
        }
    }
    Ok(all)
}

/// The tar crate does not know sparse files of `tar --format=posix -S`: they had another name, and their map among their data.
fn refuse_pax_sparse(entry: &mut Entry<'_, impl Read>) -> io::Result<()> {
    let Some(extensions) = entry.pax_extensions()? else { return Ok(()) };
    for extension in extensions {
        if extension?.key_bytes().starts_with(b"GNU.sparse.") {
            let what = "a sparse file of the posix format, which is not read here; tar --format=gnu writes one that is";
            return Err(io::Error::new(io::ErrorKind::Unsupported, what));
        }
    }
    Ok(())
}
