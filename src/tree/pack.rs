//! A directory, or one file, as entries of a tar stream (POSIX pax).
//!
//! The surprise: a file that shrinks while it is read is filled up with zeros, because its length stands in front of it.

use std::collections::HashMap;
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2, readlinkat};
use nix::sys::stat::{FileStat, fstat};
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, DEVPTS_SUPER_MAGIC, PROC_SUPER_MAGIC, SYSFS_MAGIC, fstatfs};
use tar::{Builder, EntryType, Header};

use crate::sys::xattr;

/// Deeper trees are somebody's trick.
const DEEPEST: u32 = 1024;
/// What seven octal digits of a header hold.
const OCTAL: u64 = 0o7_777_777;

/// Whose each file is in the archive: from what this process sees to what is written.
#[derive(Clone, Copy)]
pub struct Owners<'a> {
    /// Of uids.
    pub uid: &'a (dyn Fn(u32) -> u32 + Sync),
    /// Of gids.
    pub gid: &'a (dyn Fn(u32) -> u32 + Sync),
}

/// Writes entries to a stream.
pub struct Pack<'a, W: Write> {
    out: Builder<W>,
    owners: Owners<'a>,
    /// Extended attributes, too.
    attributes: bool,
    /// What is mounted below stays out, but for its mount point.
    one_mount: bool,
    /// The first name of each file that has several.
    links: HashMap<(u64, u64), Vec<u8>>,
    /// Character devices 0:0 and opaque directories are what a layer says of the ones below.
    whiteouts: bool,
    /// What is left out, by its name in the archive.
    hidden: &'a dyn Fn(&[u8]) -> bool,
}

impl<'a, W: Write> Pack<'a, W> {
    /// With extended attributes, through all mounts.
    pub fn new(out: W, owners: Owners<'a>) -> Self {
        Self {
            out: Builder::new(out),
            owners,
            attributes: true,
            one_mount: false,
            links: HashMap::new(),
            whiteouts: false,
            hidden: &|_| false,
        }
    }

    /// What is mounted below stays out.
    #[must_use]
    pub fn one_mount(mut self) -> Self {
        self.one_mount = true;
        self
    }

    /// These names, with all below them, stay out.
    #[must_use]
    pub fn without(mut self, hidden: &'a dyn Fn(&[u8]) -> bool) -> Self {
        self.hidden = hidden;
        self
    }

    /// The tree is the upper directory of an overlay, and the archive a layer.
    #[must_use]
    pub fn layer(mut self) -> Self {
        self.whiteouts = true;
        self
    }

    /// The entry `name` of the directory `parent`, and all below it, as `shown`.
    pub fn entry(&mut self, parent: BorrowedFd<'_>, name: &OsStr, shown: &[u8]) -> io::Result<()> {
        let file = self.open(parent, &CString::new(name.as_bytes())?, OFlag::O_PATH | OFlag::O_NOFOLLOW)?;
        self.opened(parent, name, &file, shown, DEEPEST)
    }

    /// What is open as a regular file, as `shown`.
    pub fn file(&mut self, file: File, shown: &[u8]) -> io::Result<()> {
        self.open_file(file, shown)
    }

    /// All that is in a directory, each entry below `shown`, and the directory itself where that has a name.
    pub fn directory(&mut self, directory: BorrowedFd<'_>, shown: &[u8]) -> io::Result<()> {
        let stat = fstat(directory)?;
        let directory = super::readable(directory, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        self.content(directory.as_fd(), &stat, shown, DEEPEST)
    }

    /// The end of the archive.
    pub fn finish(self) -> io::Result<W> {
        self.out.into_inner()
    }

    fn open(&self, at: BorrowedFd<'_>, name: &CStr, flags: OFlag) -> Result<OwnedFd, Errno> {
        let mut resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS;
        resolve.set(ResolveFlag::RESOLVE_NO_XDEV, self.one_mount);
        openat2(at, name, OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve))
    }

    fn opened(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        file: &OwnedFd,
        shown: &[u8],
        left: u32,
    ) -> io::Result<()> {
        let stat = fstat(file)?;
        match stat.st_mode & libc::S_IFMT {
            libc::S_IFDIR => {
                let directory = super::readable(file, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
                self.content(directory.as_fd(), &stat, shown, left)
            }
            libc::S_IFLNK => {
                // Of the very link that is open: an empty path.
                let target = readlinkat(file, c"")?;
                self.write(EntryType::Symlink, &stat, shown, Some(target.as_bytes()), &[], io::empty())
            }
            libc::S_IFIFO => self.write(EntryType::Fifo, &stat, shown, None, &[], io::empty()),
            libc::S_IFREG => self.regular(parent, name, shown),
            libc::S_IFCHR if self.whiteouts && stat.st_rdev == 0 => self.whiteout(&stat, shown),
            libc::S_IFCHR => self.write(EntryType::Char, &stat, shown, None, &[], io::empty()),
            libc::S_IFBLK => self.write(EntryType::Block, &stat, shown, None, &[], io::empty()),
            // A socket is of the process that listens.
            _ => Ok(()),
        }
    }

    fn whiteout(&mut self, stat: &FileStat, shown: &[u8]) -> io::Result<()> {
        let at = shown.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
        let name = [&shown[..at], b".wh.", &shown[at..]].concat();
        let stat = with_mode(stat, libc::S_IFREG | 0o600);
        self.write(EntryType::Regular, &stat, &name, None, &[], io::empty())
    }

    fn regular(&mut self, parent: BorrowedFd<'_>, name: &OsStr, shown: &[u8]) -> io::Result<()> {
        let name = CString::new(name.as_bytes())?;
        // Whatever has taken its place meanwhile: neither a reader nor a writer of a FIFO is waited for.
        let file =
            self.open(parent, &name, OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY)?;
        self.open_file(File::from(file), shown)
    }

    fn open_file(&mut self, file: File, shown: &[u8]) -> io::Result<()> {
        let stat = fstat(&file)?;
        if stat.st_mode & libc::S_IFMT != libc::S_IFREG {
            return Ok(());
        }
        let inode = (stat.st_dev, stat.st_ino);
        if stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&inode).cloned() {
                let stat = with_mode(&stat, stat.st_mode);
                return self.write(EntryType::Link, &stat, shown, Some(&first), &[], io::empty());
            }
            self.links.insert(inode, shown.to_owned());
        }
        let attributes = self.attributes_of(file.as_fd())?;
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        let content = file.take(size).chain(io::repeat(0)).take(size);
        self.write(EntryType::Regular, &stat, shown, None, &attributes, content)
    }

    fn content(&mut self, directory: BorrowedFd<'_>, stat: &FileStat, shown: &[u8], left: u32) -> io::Result<()> {
        if left == 0 {
            return Err(Errno::ELOOP.into());
        }
        let attributes = self.attributes_of(directory)?;
        let below = |name: &[u8]| if shown.is_empty() { name.to_owned() } else { [shown, b"/", name].concat() };
        if !shown.is_empty() {
            self.write(EntryType::Directory, stat, &[shown, b"/"].concat(), None, &attributes, io::empty())?;
        }
        if self.whiteouts && xattr::get(directory, c"user.overlay.opaque", &mut [0; 8]).is_ok() {
            let stat = with_mode(stat, libc::S_IFREG | 0o600);
            self.write(EntryType::Regular, &stat, &below(b".wh..wh..opq"), None, &[], io::empty())?;
        }
        if is_of_the_kernel(directory) {
            return Ok(());
        }
        let mut names = names(directory)?;
        names.sort();
        for name in names {
            if (self.hidden)(&below(name.to_bytes())) || (self.whiteouts && is_bookkeeping(name.to_bytes())) {
                continue;
            }
            let file = match self.open(directory, &name, OFlag::O_PATH | OFlag::O_NOFOLLOW) {
                // It has gone meanwhile.
                Err(Errno::ENOENT) => continue,
                // Another mount: its mount point only.
                Err(Errno::EXDEV) => {
                    match self.mount_point(directory, &name, stat, &below(name.to_bytes())) {
                        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                        done => done?,
                    }
                    continue;
                }
                file => file?,
            };
            let os_name = OsStr::from_bytes(name.to_bytes());
            match self.opened(directory, os_name, &file, &below(name.to_bytes()), left - 1) {
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                done => done?,
            }
        }
        Ok(())
    }

    /// What lies below a mount can't be seen from here; that it is a directory, or a file, is what the mount itself must be, too.
    fn mount_point(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &CStr,
        parent: &FileStat,
        shown: &[u8],
    ) -> io::Result<()> {
        let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS;
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mounted = fstat(openat2(directory, name, OpenHow::new().flags(flags).resolve(resolve))?)?;
        if mounted.st_mode & libc::S_IFMT == libc::S_IFDIR {
            let stat = with_mode(parent, libc::S_IFDIR | 0o755);
            return self.write(EntryType::Directory, &stat, &[shown, b"/"].concat(), None, &[], io::empty());
        }
        let stat = with_mode(parent, libc::S_IFREG | 0o644);
        self.write(EntryType::Regular, &stat, shown, None, &[], io::empty())
    }

    fn attributes_of(&self, file: BorrowedFd<'_>) -> io::Result<Vec<(String, Vec<u8>)>> {
        if !self.attributes {
            return Ok(Vec::new());
        }
        let mut all = Vec::new();
        let mut value = vec![0; 1 << 16];
        for name in xattr::list(file)? {
            let Ok(text) = name.to_str() else { continue };
            // Bookkeeping of overlays says nothing about the file, and would be a lie elsewhere.
            let is_kept = text == "security.capability"
                || text.starts_with("system.posix_acl_")
                || (text.starts_with("user.")
                    && !text.starts_with("user.overlay.")
                    && !text.starts_with("user.fuseoverlayfs."));
            if let (true, Ok(value)) = (is_kept, xattr::get(file, &name, &mut value)) {
                all.push((format!("SCHILY.xattr.{text}"), value.to_owned()));
            }
        }
        Ok(all)
    }

    fn write(
        &mut self,
        kind: EntryType,
        stat: &FileStat,
        shown: &[u8],
        link: Option<&[u8]>,
        attributes: &[(String, Vec<u8>)],
        content: impl Read,
    ) -> io::Result<()> {
        let mut header = Header::new_ustar();
        let mut records: Vec<(String, Vec<u8>)> = attributes.to_vec();
        let (uid, gid) = ((self.owners.uid)(stat.st_uid), (self.owners.gid)(stat.st_gid));
        let mut number = |name: &str, value: u64, set: &mut dyn FnMut(u64)| {
            if value > OCTAL {
                records.push((name.to_owned(), value.to_string().into_bytes()));
            }
            set(value.min(OCTAL));
        };
        number("uid", uid.into(), &mut |value| header.set_uid(value));
        number("gid", gid.into(), &mut |value| header.set_gid(value));
        let size = if kind == EntryType::Regular { u64::try_from(stat.st_size).unwrap_or_default() } else { 0 };
        if size > 0o77_777_777_777 {
            records.push(("size".to_owned(), size.to_string().into_bytes()));
        }
        header.set_size(size);
        header.set_mode(stat.st_mode & 0o7777);
        header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or_default());
        header.set_entry_type(kind);
        if matches!(kind, EntryType::Char | EntryType::Block) {
            header.set_device_major(libc::major(stat.st_rdev))?;
            header.set_device_minor(libc::minor(stat.st_rdev))?;
        }
        let fields = header.as_ustar_mut().ok_or(io::ErrorKind::InvalidData)?;
        put(&mut fields.name, shown, "path", &mut records);
        if let Some(link) = link {
            put(&mut fields.linkname, link, "linkpath", &mut records);
        }
        header.set_cksum();
        if !records.is_empty() {
            let records: Vec<(&str, &[u8])> =
                records.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
            self.out.append_pax_extensions(records)?;
        }
        self.out.append(&header, content)
    }
}

/// A container's file of such a name would delete another one of the image. fuse-overlayfs means what it writes so.
fn is_bookkeeping(name: &[u8]) -> bool {
    name.starts_with(b".wh.") && name != b".wh..wh..opq"
}

/// Without a length, of another kind.
fn with_mode(stat: &FileStat, mode: libc::mode_t) -> FileStat {
    let mut stat = *stat;
    (stat.st_mode, stat.st_size) = (mode, 0);
    stat
}

/// A name that does not fit, or that is no ASCII, has a record of its own.
fn put(field: &mut [u8], name: &[u8], record: &str, records: &mut Vec<(String, Vec<u8>)>) {
    if name.len() >= field.len() || !name.is_ascii() {
        records.push((record.to_owned(), name.to_owned()));
    }
    let fits = name.len().min(field.len() - 1);
    field[..fits].copy_from_slice(&name[..fits]);
}

fn names(directory: BorrowedFd<'_>) -> Result<Vec<CString>, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut dir = Dir::openat(directory, ".", flags, nix::sys::stat::Mode::empty())?;
    let names =
        dir.iter().map(|entry| entry.map(|entry| entry.file_name().to_owned())).collect::<Result<Vec<_>, _>>()?;
    Ok(names.into_iter().filter(|name| !matches!(name.to_bytes(), b"." | b"..")).collect())
}

/// Its files have no length and no end.
fn is_of_the_kernel(directory: BorrowedFd<'_>) -> bool {
    let kinds = [PROC_SUPER_MAGIC, SYSFS_MAGIC, CGROUP2_SUPER_MAGIC, DEVPTS_SUPER_MAGIC];
    fstatfs(directory).is_ok_and(|stat| kinds.contains(&stat.filesystem_type()))
}
