//! An archive becomes a directory tree: entry by entry, owners, modes, times, links and attributes as they are in it.
//!
//! Owns the verdict on each entry; what is no verdict on one entry is `archive`'s (framing) or `compression`'s (bombs).
//!
//! | entry | verdict |
//! |---|---|
//! | a leading `./`, doubled slashes, a slash at the end | read without them |
//! | an absolute name, `..`, a component beyond 255 bytes, more than 1024 levels | refused |
//! | a name that leads through a symbolic link or a file, were it the archive's own | refused |
//! | a hard link through a link, out of the tree, to a directory, to nothing, to itself | refused |
//! | a name for the second time | replaces the first; a directory only when empty; onto itself it is changed |
//! | an owner that is not mapped | refused; with a single id everything belongs to root, and is counted |
//! | a device node | an empty file that nobody can open, counted: no user namespace can make one |
//! | attributes of overlays and container tools, trusted.*, security.* but file capabilities | passed over |
//! | a name that starts with `.wh.` | in a flat archive an ordinary name; in a layer it hides what is below |
//! | a hard link to a file of a layer below | in a layer: that file is copied up first, as an overlay does |
//!
//! The surprise: directories get their times last, because making something in a directory changes them.

mod layer;

use std::ffi::OsStr;
use std::io::BufRead;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FchmodatFlags, Mode, UtimensatFlags, fchmod, fchmodat, futimens, mkdirat, utimensat};
use nix::unistd::{UnlinkatFlags, ftruncate, linkat, mkfifoat, symlinkat, unlinkat};

use self::layer::HIDE;
use super::archive::{Archive, Entry, Kind};
use super::attributes::{mode, set_owner, set_xattrs, time};
use super::beneath::{beneath, is_directory, look, open_beneath};
use super::compression::MOST_BYTES;
use super::lower::Lower;
use super::tree::Tree;
use super::trouble::{Trouble, call, explain, refused, unreadable};
use super::whiteout::{is_whiteout, make_opaque};
use crate::error::{Error, Result, catalog::image};
use crate::host::config::Limits;

/// Entries of one layer. The largest images that people have made have about two million.
const MOST_ENTRIES: u64 = 10_000_000;
/// The apparent size of one file, which a sparse one can have without storing it: ext4's own limit.
const LARGEST_FILE: u64 = 16 << 40;
/// Bytes that the names of directories may take, with what it costs to keep one until the end: some 600,000
/// directories.
const MOST_DIRECTORY_BYTES: usize = 64 << 20;
const DIRECTORY_COST: usize = 72;
const NO_TARGET: &str = "a hard link to a directory, or to nothing";

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
    /// The layer hides everything below it.
    pub opaque_root: bool,
}

impl Summary {
    /// Of several layers.
    pub(super) fn add(&mut self, other: &Self) {
        self.entries += other.entries;
        self.bytes += other.bytes;
        self.devices += other.devices;
        self.squashed += other.squashed;
    }
}

/// How an archive is meant.
#[derive(Debug, Default)]
pub(super) enum Style {
    /// A whole root file system: every name is a file's.
    #[default]
    Flat,
    /// A layer above others.
    Layer(Lower),
}

/// Applies archives to one tree.
pub(super) struct Applier {
    tree: Tree,
    squash: bool,
    /// Whiteouts mean something.
    layer: bool,
    most_entries: u64,
    summary: Summary,
    times: Vec<(PathBuf, (i64, u32))>,
    times_cost: usize,
}

impl Applier {
    /// `squash`: only one id is mapped, so everything belongs to root.
    pub(super) fn new(root: OwnedFd, style: Style, squash: bool, limits: Limits) -> Self {
        let (layer, lower) = match style {
            Style::Flat => (false, Lower::default()),
            Style::Layer(lower) => (true, lower),
        };
        Self {
            tree: Tree::new(root, lower),
            squash,
            layer,
            most_entries: limits.layer_entries.unwrap_or(MOST_ENTRIES),
            summary: Summary::default(),
            times: Vec::new(),
            times_cost: 0,
        }
    }

    /// Reads the archive to its end.
    pub(super) fn apply(mut self, input: impl BufRead) -> Result<Summary> {
        let mut archive = Archive::new(input, self.layer);
        loop {
            let entry = match archive.next() {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                Err(error) => return Err(unreadable(error, "the archive")),
            };
            self.summary.entries += 1;
            if self.summary.entries > self.most_entries {
                let what = format!("the archive has more than {} entries", self.most_entries);
                return Err(Error::new(&image::BAD_ARCHIVE, what).fix("See layer_entries in docs/config.md."));
            }
            self.entry(&entry, &mut archive).map_err(|trouble| explain(trouble, &entry))?;
            if self.layer {
                // Before the entry's own directory, if it is one: what the archive says of a directory counts.
                let implied = self.tree.take_implied();
                if !implied.is_empty() {
                    self.times.splice(0..0, implied);
                }
            }
        }
        self.directory_times()?;
        Ok(self.summary)
    }

    fn entry<R: BufRead>(&mut self, entry: &Entry, archive: &mut Archive<R>) -> Result<(), Trouble> {
        let path = beneath(&entry.path).map_err(Trouble::Refused)?;
        if path.as_os_str().is_empty() {
            // `./`: the root directory itself, which is there; its mode, owner and time are taken.
            return if entry.kind == Kind::Directory {
                self.root_directory(entry)
            } else {
                refused("the root can only be a directory")
            };
        }
        if self.layer && self.hides(&path)? {
            return Ok(());
        }
        match entry.kind {
            Kind::Directory => self.directory(entry, path),
            Kind::File => self.file(entry, &path, archive),
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
        set_xattrs(root, entry, self.squash)?;
        self.time_later(PathBuf::new(), entry.mtime)
    }

    fn directory(&mut self, entry: &Entry, path: PathBuf) -> Result<(), Trouble> {
        let squash = self.squash;
        let (parent, name) = self.tree.parent(&path).map_err(call("open its directory"))?;
        let there = look(parent, name).map_err(call("examine it"))?;
        let mut replaced = false;
        let hiding = self.layer && there.as_ref().is_some_and(is_whiteout);
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
        set_xattrs(fd.as_fd(), entry, squash)?;
        if hiding {
            make_opaque(fd.as_fd()).map_err(call(HIDE))?;
        }
        self.own(entry);
        if replaced {
            self.tree.forget();
        }
        self.time_later(path, entry.mtime)
    }

    fn time_later(&mut self, path: PathBuf, mtime: (i64, u32)) -> Result<(), Trouble> {
        self.times_cost += path.as_os_str().len() + DIRECTORY_COST;
        if self.times_cost > MOST_DIRECTORY_BYTES {
            return refused("more directories than any image has");
        }
        self.times.push((path, mtime));
        Ok(())
    }

    fn file<R: BufRead>(&mut self, entry: &Entry, path: &Path, archive: &mut Archive<R>) -> Result<(), Trouble> {
        if entry.size > LARGEST_FILE || self.summary.bytes.saturating_add(entry.stored) > MOST_BYTES {
            return refused(&format!("a size of {} bytes is beyond the limit", entry.size));
        }
        let fd =
            self.make(path, "make the file", |parent, name| create(parent, name, Mode::S_IRUSR | Mode::S_IWUSR))?;
        set_owner(fd.as_fd(), OsStr::new(""), entry, self.squash)?;
        self.content(&fd, entry, archive)?;
        // After the owner: chown(2) clears the setuid bit and file capabilities.
        fchmod(&fd, mode(entry)).map_err(call("set its mode"))?;
        set_xattrs(fd.as_fd(), entry, self.squash)?;
        let time = time(entry.mtime);
        futimens(&fd, &time, &time).map_err(call("set its time"))?;
        self.own(entry);
        Ok(())
    }

    fn content<R: BufRead>(&mut self, fd: &OwnedFd, entry: &Entry, archive: &mut Archive<R>) -> Result<(), Trouble> {
        let whole = [super::sparse::Piece { offset: 0, length: entry.stored }];
        for piece in entry.pieces.as_deref().unwrap_or(&whole) {
            let (mut at, mut left) = (piece.offset, piece.length);
            while left > 0 {
                let bytes = archive.data(left)?;
                let count = bytes.len();
                if count == 0 {
                    return refused("its data is shorter than its size");
                }
                write_all_at(fd, bytes, at).map_err(call("write it"))?;
                archive.took(count);
                (at, left) = (at + count as u64, left - count as u64);
                self.summary.bytes += count as u64;
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
        if self.layer {
            self.copy_up(&target)?;
        }
        let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let from = match open_beneath(self.tree.root(), directory, OFlag::O_PATH | OFlag::O_DIRECTORY) {
            Err(Errno::ENOENT) => return refused(NO_TARGET),
            opened => opened.map_err(call("open the directory of the link's target"))?,
        };
        let there = look(from.as_fd(), name).map_err(call("examine the link's target"))?;
        if there.as_ref().is_none_or(is_directory) {
            return refused(NO_TARGET);
        }
        // Without AT_SYMLINK_FOLLOW: a link to a symbolic link is one to that link itself.
        self.make(path, "make the hard link", |parent, own| linkat(&from, name, parent, own, AtFlags::empty()))
    }

    fn symlink(&mut self, entry: &Entry, path: &Path) -> Result<(), Trouble> {
        if entry.link.is_empty() {
            return refused("a symbolic link to nothing");
        }
        let target = OsStr::from_bytes(&entry.link);
        self.make(path, "make the link", |parent, name| symlinkat(target, parent, name))?;
        self.finish_by_name(entry, path, false)
    }

    fn fifo(&mut self, entry: &Entry, path: &Path) -> Result<(), Trouble> {
        self.make(path, "make the fifo", |parent, name| mkfifoat(parent, name, Mode::S_IRUSR))?;
        self.finish_by_name(entry, path, true)
    }

    /// For what can't be opened. `has_mode`: it is no symbolic link, so chmod follows none.
    fn finish_by_name(&mut self, entry: &Entry, path: &Path, has_mode: bool) -> Result<(), Trouble> {
        let squash = self.squash;
        let (parent, name) = self.tree.parent(path).map_err(call("open its directory"))?;
        set_owner(parent, name, entry, squash)?;
        if has_mode {
            fchmodat(parent, name, mode(entry), FchmodatFlags::FollowSymlink).map_err(call("set its mode"))?;
        }
        let time = time(entry.mtime);
        utimensat(parent, name, &time, &time, UtimensatFlags::NoFollowSymlink).map_err(call("set its time"))?;
        self.own(entry);
        Ok(())
    }

    fn device(&mut self, path: &Path) -> Result<(), Trouble> {
        self.make(path, "make a placeholder for the device", |parent, name| create(parent, name, Mode::empty()))?;
        self.summary.devices += 1;
        Ok(())
    }

    /// Makes something new. A later entry of a name replaces an earlier one, as in tar, and that is rare: it is looked
    /// at only when the name turns out to be taken.
    fn make<T>(
        &mut self,
        path: &Path,
        what: &'static str,
        make: impl Fn(BorrowedFd<'_>, &OsStr) -> Result<T, Errno>,
    ) -> Result<T, Trouble> {
        let (parent, name) = self.tree.parent(path).map_err(call("open its directory"))?;
        match make(parent, name) {
            Err(Errno::EEXIST) => {}
            other => return other.map_err(call(what)),
        }
        self.make_room(path)?;
        let (parent, name) = self.tree.parent(path).map_err(call("open its directory"))?;
        make(parent, name).map_err(call(what))
    }

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

    /// In the archive's order, so that of a directory's entries the last one counts.
    fn directory_times(&mut self) -> Result<()> {
        for (path, mtime) in std::mem::take(&mut self.times) {
            let path = if path.as_os_str().is_empty() { Path::new(".") } else { &path };
            let time = time(mtime);
            let set = match open_beneath(self.tree.root(), path, OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
                // A later entry has put something else in its place.
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => continue,
                opened => opened.and_then(|fd| futimens(&fd, &time, &time)),
            };
            set.map_err(|errno| {
                Error::new(&image::APPLY, format!("set the time of {}", path.display())).because(errno)
            })?;
        }
        Ok(())
    }
}

/// O_EXCL: never through a link, never onto what is there.
fn create(parent: BorrowedFd<'_>, name: &OsStr, mode: Mode) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(parent, name, flags, mode)
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
