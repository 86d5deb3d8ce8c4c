//! What a container has changed in its image: docker's A, C and D.
//!
//! Owns the comparison of a writable directory, or of a whole copy, with the layers below it. It goes by descriptors, name by name, because the
//! container may change its files meanwhile. The surprise: the time of a directory says nothing, for it changes with every file in it; a
//! directory is changed when its owner or mode is, or when something in it is.

use std::collections::BTreeSet;
use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::readlinkat;
use nix::sys::stat::{FileStat, SFlag};

use super::beneath::{is_directory, look};
use super::flatten::{entries, open_directory, visible};
use super::publish;
use super::unpack::open;
use super::whiteout::{Meaning, is_opaque, is_whiteout, meaning};
use crate::error::{Context, Result, catalog::image};

/// How.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It was there, and is not as it was.
    Changed,
    /// It was not there.
    Added,
    /// It is not there any more.
    Deleted,
}

/// One name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// How.
    pub kind: Kind,
    /// Absolute in the container.
    pub path: PathBuf,
}

/// Compares `top` with the layers, topmost first. `whole`: it is no directory above the layers but a copy of what they show.
/// What `hidden` says is left out, with all below it; paths are absolute.
///
/// # Errors
/// `RL0305` with the path that could not be looked at.
pub fn changes(layers: &[PathBuf], top: &Path, whole: bool, hidden: &dyn Fn(&Path) -> bool) -> Result<Vec<Change>> {
    let lower = layers.iter().map(|layer| open(layer)).collect::<Result<Vec<_>>>()?;
    let mut compare = Compare { found: Vec::new(), hidden };
    compare
        .directory(&open(top)?, &lower, Path::new("/"), whole)
        .context(&image::APPLY, || format!("compare {} with its image", top.display()))?;
    compare.found.sort_by(|a, b| a.path.as_os_str().cmp(b.path.as_os_str()));
    Ok(compare.found)
}

struct Compare<'a> {
    found: Vec<Change>,
    hidden: &'a dyn Fn(&Path) -> bool,
}

impl Compare<'_> {
    /// `below`: that directory in each layer that can be seen. `covers`: nothing of it shows through.
    fn directory(&mut self, top: &OwnedFd, below: &[OwnedFd], path: &Path, covers: bool) -> Result<(), Errno> {
        let names = entries(top)?;
        // fuse-overlayfs has files for what the kernel has an attribute and a device for.
        let covers = covers || names.iter().any(|name| meaning(OsStr::from_bytes(name.as_bytes())) == Meaning::Opaque);
        for name in &names {
            let name = OsStr::from_bytes(name.as_bytes());
            // No layer can hold such a name, and so no commit.
            if meaning(name) != Meaning::Ordinary {
                continue;
            }
            // It may have gone meanwhile.
            let (Some(stat), path) = (look(top.as_fd(), name)?, path.join(name)) else { continue };
            if !(self.hidden)(&path) {
                self.entry((top, name), &stat, below, &path, covers)?;
            }
        }
        if covers {
            let names: BTreeSet<CString> = names.into_iter().collect();
            self.missing(below, &names, path)?;
        }
        Ok(())
    }

    /// What `names` no longer has.
    fn missing(&mut self, below: &[OwnedFd], names: &BTreeSet<CString>, path: &Path) -> Result<(), Errno> {
        let mut gone = BTreeSet::new();
        for layer in below {
            gone.extend(entries(layer)?.into_iter().filter(|name| !names.contains(name)));
        }
        for name in gone {
            let name = OsStr::from_bytes(name.as_bytes());
            if first(below, name)?.is_some() && !(self.hidden)(&path.join(name)) {
                self.say(Kind::Deleted, &path.join(name));
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        (top, name): (&OwnedFd, &OsStr),
        stat: &FileStat,
        below: &[OwnedFd],
        path: &Path,
        covers: bool,
    ) -> Result<(), Errno> {
        let was = first(below, name)?;
        if is_whiteout(stat) {
            if was.is_some() {
                self.say(Kind::Deleted, path);
            }
            return Ok(());
        }
        let own = self.found.len();
        if let Some(kind) = compared((top, name), stat, was.as_ref(), covers)? {
            self.say(kind, path);
        }
        if is_directory(stat) {
            let below = match &was {
                Some((_, was)) if is_directory(was) => visible(below, name)?,
                _ => Vec::new(),
            };
            let directory = match open_directory(top.as_fd(), name) {
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(()),
                directory => directory?,
            };
            let covers = covers || is_opaque(directory.as_fd());
            let before = self.found.len();
            self.directory(&directory, &below, path, covers)?;
            if own == before && before < self.found.len() {
                self.say(Kind::Changed, path);
            }
        }
        Ok(())
    }

    fn say(&mut self, kind: Kind, path: &Path) {
        self.found.push(Change { kind, path: path.to_owned() });
    }
}

/// Of the topmost layer that has the name, the directory that it is in.
fn first<'a>(below: &'a [OwnedFd], name: &OsStr) -> Result<Option<(&'a OwnedFd, FileStat)>, Errno> {
    for layer in below {
        match look(layer.as_fd(), name)? {
            None => {}
            Some(stat) if is_whiteout(&stat) => return Ok(None),
            Some(stat) => return Ok(Some((layer, stat))),
        }
    }
    Ok(None)
}

/// None: it says nothing by itself.
fn compared(
    (top, name): (&OwnedFd, &OsStr),
    stat: &FileStat,
    was: Option<&(&OwnedFd, FileStat)>,
    whole: bool,
) -> Result<Option<Kind>, Errno> {
    let Some((layer, was)) = was else { return Ok(Some(Kind::Added)) };
    let kind = |stat: &FileStat| SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits());
    if kind(stat) != kind(was) {
        return Ok(Some(Kind::Changed));
    }
    if is_directory(stat) {
        let real = publish::real(open_directory(layer.as_fd(), name)?.as_fd());
        let real = real.map_or((was.st_uid, was.st_gid, was.st_mode & 0o7777), |(uid, gid, mode)| {
            (uid.as_raw(), gid.as_raw(), mode.bits() & 0o7777)
        });
        let same = real == (stat.st_uid, stat.st_gid, stat.st_mode & 0o7777);
        return Ok((!same).then_some(Kind::Changed));
    }
    if !whole {
        return Ok(Some(Kind::Changed));
    }
    let looks = |stat: &FileStat| {
        (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_size, stat.st_rdev, stat.st_mtime, stat.st_mtime_nsec)
    };
    let mut same = looks(stat) == looks(was);
    if same && kind(stat) == SFlag::S_IFLNK {
        same = readlinkat(top, name)? == readlinkat(layer, name)?;
    }
    Ok((!same).then_some(Kind::Changed))
}
