//! An archive becomes a directory tree: entry by entry, owners, modes, times, links and attributes as they are in it.
//!
//! Owns the verdict on each entry. Refused: absolute names, `..`, a name or a hard link through a symbolic link, a hard link to
//! nothing or to a directory, a file in place of a directory that is not empty, ids that are not mapped, more than the limits below.
//! Passed over: device nodes, which nobody can make in a user namespace (an empty file that nobody can open takes their place
//! and they are counted), and attributes that mean something to overlays or container tools rather than to programs.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FchmodatFlags, Mode, UtimensatFlags, fchmod, fchmodat, futimens, mkdirat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, ftruncate, linkat, mkfifoat, symlinkat, unlinkat};

use super::archive::{Archive, Entry, Kind};
use super::tree::{Tree, beneath, is_directory, look, open_beneath};
use crate::error::{Error, Result, catalog::image};
use crate::sys::xattr;

/// Entries of one layer. The largest images that people have made have about two million.
const MOST_ENTRIES: u64 = 10_000_000;
/// Bytes of one layer.
const MOST_BYTES: u64 = 256 << 30;
/// The apparent size of one file, which a sparse one can have without storing it: ext4's own limit.
const LARGEST_FILE: u64 = 16 << 40;

/// What was made.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Entries of the archive.
    pub entries: u64,
    /// Bytes of regular files.
    pub bytes: u64,
    /// Device nodes that could not be made.
    pub devices: u64,
    /// Entries whose owner was replaced by root, because only one id is mapped.
    pub squashed: u64,
}

/// Applies archives to one tree.
pub(super) struct Applier {
    tree: Tree,
    squash: bool,
    summary: Summary,
    /// Directories' times, set last: making something in a directory changes them.
    times: Vec<(PathBuf, (i64, u32))>,
    buffer: Vec<u8>,
}

/// Why an entry could not be applied.
enum Trouble {
    Refused(String),
    Failed(&'static str, Errno),
    Input(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Input(error)
    }
}

fn call(what: &'static str) -> impl FnOnce(Errno) -> Trouble {
    move |errno| Trouble::Failed(what, errno)
}

impl Applier {
    /// `squash`: only one id is mapped, so everything belongs to root.
    pub(super) fn new(root: OwnedFd, squash: bool) -> Self {
        Self {
            tree: Tree::new(root),
            squash,
            summary: Summary::default(),
            times: Vec::new(),
            buffer: vec![0; 256 * 1024],
        }
    }

    /// Reads the archive to its end. `check` is asked after each piece of data with the bytes written so far.
    pub(super) fn apply(mut self, input: impl io::Read, check: impl Fn(u64) -> Result<(), String>) -> Result<Summary> {
        let mut archive = Archive::new(input);
        loop {
            let entry = match archive.next() {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                Err(error) => return Err(Error::new(&image::BAD_ARCHIVE, "read the archive").because(error)),
            };
            self.summary.entries += 1;
            if self.summary.entries > MOST_ENTRIES {
                return Err(Error::new(
                    &image::BAD_ARCHIVE,
                    format!("the archive has more than {MOST_ENTRIES} entries"),
                ));
            }
            let name = String::from_utf8_lossy(&entry.path).into_owned();
            self.entry(&entry, &mut archive, &check).map_err(|trouble| explain(trouble, &name, &entry))?;
        }
        self.directory_times()?;
        Ok(self.summary)
    }

    fn entry<R: io::Read>(
        &mut self,
        entry: &Entry,
        archive: &mut Archive<R>,
        check: &impl Fn(u64) -> Result<(), String>,
    ) -> Result<(), Trouble> {
        let path = beneath(&entry.path).map_err(Trouble::Refused)?;
        if path.as_os_str().is_empty() {
            // `./`: the root directory itself, which is there; its mode, owner and time are taken.
            return if entry.kind == Kind::Directory {
                self.root_directory(entry)
            } else {
                refused("the root can only be a directory")
            };
        }
        match entry.kind {
            Kind::Directory => self.directory(entry, path),
            Kind::File => self.file(entry, &path, archive, check),
            Kind::HardLink => self.hard_link(entry, &path),
            Kind::Symlink => self.symlink(entry, &path),
            Kind::Fifo => self.fifo(entry, &path),
            Kind::CharacterDevice | Kind::BlockDevice => self.device(&path),
        }
    }

    fn root_directory(&mut self, entry: &Entry) -> Result<(), Trouble> {
        self.own(entry);
        let root = self.tree.root();
        set_owner(root, OsStr::new(""), entry, self.squash)?;
        fchmod(root, mode(entry)).map_err(call("set its mode"))?;
        self.times.push((PathBuf::new(), entry.mtime));
        Ok(())
    }

    fn directory(&mut self, entry: &Entry, path: PathBuf) -> Result<(), Trouble> {
        let squash = self.squash;
        let (parent, name) = self.tree.parent(&path).map_err(call("open its directory"))?;
        let there = look(parent, name).map_err(call("examine it"))?;
        let mut replaced = false;
        if !there.as_ref().is_some_and(is_directory) {
            if there.is_some() {
                unlinkat(parent, name, UnlinkatFlags::NoRemoveDir).map_err(call("replace it"))?;
                replaced = true;
            }
            mkdirat(parent, name, Mode::S_IRWXU).map_err(call("make the directory"))?;
        }
        set_owner(parent, name, entry, squash)?;
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = openat(parent, name, flags, Mode::empty()).map_err(call("open it"))?;
        fchmod(&fd, mode(entry)).map_err(call("set its mode"))?;
        set_xattrs(fd.as_fd(), entry)?;
        self.own(entry);
        self.times.push((path, entry.mtime));
        if replaced {
            self.tree.forget();
        }
        Ok(())
    }

    fn file<R: io::Read>(
        &mut self,
        entry: &Entry,
        path: &Path,
        archive: &mut Archive<R>,
        check: &impl Fn(u64) -> Result<(), String>,
    ) -> Result<(), Trouble> {
        if entry.size > LARGEST_FILE || self.summary.bytes.saturating_add(entry.stored) > MOST_BYTES {
            return refused(&format!("a size of {} bytes is beyond the limit", entry.size));
        }
        let squash = self.squash;
        self.make_room(path)?;
        let (parent, name) = self.tree.parent(path).map_err(call("open its directory"))?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = openat(parent, name, flags, Mode::S_IRUSR | Mode::S_IWUSR).map_err(call("make the file"))?;
        set_owner(parent, name, entry, squash)?;
        self.content(&fd, entry, archive, check)?;
        // After the owner: chown(2) clears the setuid bit and file capabilities.
        fchmod(&fd, mode(entry)).map_err(call("set its mode"))?;
        set_xattrs(fd.as_fd(), entry)?;
        let time = time(entry.mtime);
        futimens(&fd, &time, &time).map_err(call("set its time"))?;
        self.own(entry);
        Ok(())
    }

    fn content<R: io::Read>(
        &mut self,
        fd: &OwnedFd,
        entry: &Entry,
        archive: &mut Archive<R>,
        check: &impl Fn(u64) -> Result<(), String>,
    ) -> Result<(), Trouble> {
        let whole = [super::sparse::Piece { offset: 0, length: entry.stored }];
        for piece in entry.pieces.as_deref().unwrap_or(&whole) {
            let (mut at, mut left) = (piece.offset, piece.length);
            while left > 0 {
                let most = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
                let count = archive.read_data(&mut self.buffer[..most])?;
                if count == 0 {
                    return refused("its data is shorter than its size");
                }
                write_all_at(fd, &self.buffer[..count], at).map_err(call("write it"))?;
                (at, left) = (at + count as u64, left - count as u64);
                self.summary.bytes += count as u64;
                check(self.summary.bytes).map_err(Trouble::Refused)?;
            }
        }
        if entry.pieces.is_some() {
            let size = i64::try_from(entry.size).map_err(|_| Trouble::Refused("its size".into()))?;
            ftruncate(fd, size).map_err(call("set its size"))?;
        }
        Ok(())
    }

    fn hard_link(&mut self, entry: &Entry, path: &Path) -> Result<(), Trouble> {
        let target = beneath(&entry.link).map_err(Trouble::Refused)?;
        let name = target.file_name().ok_or_else(|| Trouble::Refused("a hard link to the root".into()))?;
        if target == path {
            return refused("a hard link to itself");
        }
        self.make_room(path)?;
        let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let from = open_beneath(self.tree.root(), directory, OFlag::O_PATH | OFlag::O_DIRECTORY)
            .map_err(call("open the link's target"))?;
        let there = look(from.as_fd(), name).map_err(call("examine the link's target"))?;
        if there.as_ref().is_none_or(is_directory) {
            return refused("a hard link to a directory, or to nothing");
        }
        let (parent, own) = self.tree.parent(path).map_err(call("open its directory"))?;
        linkat(&from, name, parent, own, AtFlags::empty()).map_err(call("make the hard link"))
    }

    fn symlink(&mut self, entry: &Entry, path: &Path) -> Result<(), Trouble> {
        let squash = self.squash;
        if entry.link.is_empty() {
            return refused("a symbolic link to nothing");
        }
        self.make_room(path)?;
        let (parent, name) = self.tree.parent(path).map_err(call("open its directory"))?;
        symlinkat(OsStr::from_bytes(&entry.link), parent, name).map_err(call("make the link"))?;
        self.finish_by_name(entry, path, squash)
    }

    fn fifo(&mut self, entry: &Entry, path: &Path) -> Result<(), Trouble> {
        let squash = self.squash;
        self.make_room(path)?;
        let (parent, name) = self.tree.parent(path).map_err(call("open its directory"))?;
        mkfifoat(parent, name, Mode::S_IRUSR).map_err(call("make the fifo"))?;
        set_owner(parent, name, entry, squash)?;
        fchmodat(parent, name, mode(entry), FchmodatFlags::FollowSymlink).map_err(call("set its mode"))?;
        self.finish_by_name(entry, path, squash)
    }

    fn finish_by_name(&mut self, entry: &Entry, path: &Path, squash: bool) -> Result<(), Trouble> {
        let (parent, name) = self.tree.parent(path).map_err(call("open its directory"))?;
        set_owner(parent, name, entry, squash)?;
        let time = time(entry.mtime);
        utimensat(parent, name, &time, &time, UtimensatFlags::NoFollowSymlink).map_err(call("set its time"))?;
        self.own(entry);
        Ok(())
    }

    fn device(&mut self, path: &Path) -> Result<(), Trouble> {
        self.make_room(path)?;
        let (parent, name) = self.tree.parent(path).map_err(call("open its directory"))?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        openat(parent, name, flags, Mode::empty()).map_err(call("make a placeholder for the device"))?;
        self.summary.devices += 1;
        Ok(())
    }

    /// A later entry of a name replaces an earlier one, as in tar; a directory only when it is empty.
    fn make_room(&mut self, path: &Path) -> Result<(), Trouble> {
        let (parent, name) = self.tree.parent(path).map_err(call("open its directory"))?;
        match unlinkat(parent, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => return Ok(()),
            Err(Errno::EISDIR | Errno::EPERM) => {}
            Err(errno) => return Err(Trouble::Failed("replace it", errno)),
        }
        match unlinkat(parent, name, UnlinkatFlags::RemoveDir) {
            Ok(()) => {
                self.tree.forget();
                self.times.retain(|(directory, _)| directory != path);
                Ok(())
            }
            Err(Errno::ENOTEMPTY | Errno::EEXIST) => refused("it would replace a directory that is not empty"),
            Err(errno) => Err(Trouble::Failed("replace it", errno)),
        }
    }

    fn own(&mut self, entry: &Entry) {
        if self.squash && (entry.uid, entry.gid) != (0, 0) {
            self.summary.squashed += 1;
        }
    }

    fn directory_times(&mut self) -> Result<()> {
        for (path, mtime) in std::mem::take(&mut self.times).into_iter().rev() {
            let path = if path.as_os_str().is_empty() { Path::new(".") } else { &path };
            let time = time(mtime);
            // It may have been replaced by something else since.
            if let Ok(fd) = open_beneath(self.tree.root(), path, OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
                let set = futimens(&fd, &time, &time);
                set.map_err(|errno| {
                    Error::new(&image::APPLY, format!("set the time of {}", path.display())).because(errno)
                })?;
            }
        }
        Ok(())
    }
}

fn refused<T>(why: &str) -> Result<T, Trouble> {
    Err(Trouble::Refused(why.to_owned()))
}

fn mode(entry: &Entry) -> Mode {
    Mode::from_bits_truncate(entry.mode)
}

fn time((seconds, nanos): (i64, u32)) -> TimeSpec {
    TimeSpec::new(seconds, i64::from(nanos))
}

/// An empty name means the descriptor itself.
fn set_owner(parent: BorrowedFd<'_>, name: &OsStr, entry: &Entry, squash: bool) -> Result<(), Trouble> {
    if squash {
        return Ok(());
    }
    let id = |id: u64| u32::try_from(id).ok().filter(|id| *id != u32::MAX);
    let (Some(uid), Some(gid)) = (id(entry.uid), id(entry.gid)) else {
        return refused(&format!("its owner {}:{} is no possible id", entry.uid, entry.gid));
    };
    let flags = AtFlags::AT_SYMLINK_NOFOLLOW | AtFlags::AT_EMPTY_PATH;
    fchownat(parent, name, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), flags).map_err(call("set its owner"))
}

/// Only what programs and the kernel's security understand. user.overlay.* and its kind would let a layer hide or redirect what
/// lies below it; trusted.* can't be set in a user namespace anyway.
fn set_xattrs(file: BorrowedFd<'_>, entry: &Entry) -> Result<(), Trouble> {
    const CONTROL: [&[u8]; 4] =
        [b"user.overlay.", b"user.fuseoverlayfs.", b"user.containers.", b"user.rootlesscontainers"];
    for (name, value) in &entry.xattrs {
        let known =
            name.starts_with(b"user.") || name == b"security.capability" || name.starts_with(b"system.posix_acl_");
        if !known || CONTROL.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let c_name = CString::new(name.as_slice())
            .map_err(|_| Trouble::Refused("an attribute with a zero byte in its name".into()))?;
        match xattr::set(file, &c_name, value) {
            // A file system without attributes (NFS, some tmpfs) can't keep them; programs live without user.*.
            Err(Errno::ENOTSUP) if name != b"security.capability" => {}
            other => other.map_err(call("set an extended attribute"))?,
        }
    }
    Ok(())
}

fn write_all_at(fd: &OwnedFd, mut bytes: &[u8], mut at: u64) -> Result<(), Errno> {
    while !bytes.is_empty() {
        let offset = i64::try_from(at).map_err(|_| Errno::EFBIG)?;
        match nix::sys::uio::pwrite(fd, bytes, offset) {
            Ok(count) => (bytes, at) = (&bytes[count..], at + count as u64),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn explain(trouble: Trouble, name: &str, entry: &Entry) -> Error {
    match trouble {
        Trouble::Refused(why) => Error::new(&image::BAD_ARCHIVE, format!("the entry {name:?}: {why}")),
        Trouble::Input(error) => Error::new(&image::BAD_ARCHIVE, format!("read the entry {name:?}")).because(error),
        Trouble::Failed("set its owner", Errno::EINVAL) => {
            Error::new(&image::UNMAPPED_ID, format!("the entry {name:?} belongs to {}:{}", entry.uid, entry.gid))
        }
        Trouble::Failed(what, errno @ (Errno::ELOOP | Errno::ENOTDIR | Errno::EXDEV)) => {
            Error::new(&image::BAD_ARCHIVE, format!("the entry {name:?}: {what}: it leads through a link or a file"))
                .because(errno)
        }
        Trouble::Failed(what, errno @ (Errno::ENOSPC | Errno::EDQUOT)) => {
            Error::new(&image::NO_SPACE, format!("the entry {name:?}: {what}")).because(errno)
        }
        Trouble::Failed(what, errno) => Error::new(&image::APPLY, format!("the entry {name:?}: {what}")).because(errno),
    }
}
