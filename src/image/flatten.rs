//! All layers of an image copied into one directory: the storage driver for where nothing can be mounted.
//!
//! Owns the merge, which is an overlay's lookup carried out for every name: the topmost layer that has it counts,
//! whiteouts and opaque directories hide what is below. The surprise: it goes from the top, directory by directory, so
//! that nothing is written that a later layer would delete.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, UtimensatFlags, fchmodat, futimens, mkdirat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchownat, linkat, mkfifoat, symlinkat};

use super::beneath::{is_directory, look};
use super::lower::Found;
use super::publish;
use super::unpack::open;
use super::whiteout::{is_opaque, is_whiteout};
use crate::error::{Context, Result, catalog::image};

/// Copies the layers, topmost first, into `into`, an empty directory.
///
/// # Errors
/// `RL0305` with the path at fault; what was copied stays.
pub fn flatten(layers: &[PathBuf], into: &Path) -> Result<()> {
    let roots = layers.iter().map(|layer| open(layer)).collect::<Result<Vec<_>>>()?;
    let root = open(into)?;
    let published = roots.iter().any(|root| publish::real(root.as_fd()).is_some());
    let own = root.try_clone().context(&image::APPLY, || "copy".into())?;
    let mut merge = Merge { links: HashMap::new(), root: own, published };
    merge.directory(&roots, &root, Path::new(""))
}

struct Merge {
    /// Where a file with several names has been copied to, by its device and inode.
    links: HashMap<(u64, u64), PathBuf>,
    root: OwnedFd,
    /// The layers are from a shared store, where links have nobody's owner.
    published: bool,
}

impl Merge {
    /// `from`: the directory in each layer that has it and is not hidden, topmost first.
    fn directory(&mut self, from: &[OwnedFd], to: &OwnedFd, path: &Path) -> Result<()> {
        let doing = || format!("copy the directory /{}", path.display());
        // By name, so that two copies of one image are made in the same order.
        let mut names: BTreeMap<CString, usize> = BTreeMap::new();
        for (layer, directory) in from.iter().enumerate() {
            for name in entries(directory).context(&image::APPLY, doing)? {
                names.entry(name).or_insert(layer);
            }
        }
        for (name, layer) in names {
            let name = OsStr::from_bytes(name.as_bytes());
            self.entry(&from[layer..], to, name, &path.join(name))?;
        }
        let top = nix::sys::stat::fstat(&from[0]).context(&image::APPLY, doing)?;
        let found = Found::new(from[0].try_clone().context(&image::APPLY, doing)?, ".".into(), top);
        found.attributes(to.as_fd()).context(&image::APPLY, doing)?;
        let time = TimeSpec::new(top.st_mtime, top.st_mtime_nsec);
        futimens(to, &time, &time).context(&image::APPLY, doing)
    }

    /// `from[0]` is the topmost layer that has the name.
    fn entry(&mut self, from: &[OwnedFd], to: &OwnedFd, name: &OsStr, path: &Path) -> Result<()> {
        let doing = || format!("copy /{}", path.display());
        let stat = look(from[0].as_fd(), name).context(&image::APPLY, doing)?;
        let Some(stat) = stat.filter(|stat| !is_whiteout(stat)) else { return Ok(()) };
        if is_directory(&stat) {
            let below = visible(from, name).context(&image::APPLY, doing)?;
            mkdirat(to, name, Mode::S_IRWXU).context(&image::APPLY, doing)?;
            let made = open_directory(to.as_fd(), name).context(&image::APPLY, doing)?;
            return self.directory(&below, &made, path);
        }
        if stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&(stat.st_dev, stat.st_ino)) {
                return linkat(&self.root, first, to, name, AtFlags::empty()).context(&image::APPLY, doing);
            }
            self.links.insert((stat.st_dev, stat.st_ino), path.to_owned());
        }
        let directory = from[0].try_clone().context(&image::APPLY, doing)?;
        let owner = if self.published { (0, 0) } else { (stat.st_uid, stat.st_gid) };
        copy(&Found::new(directory, name.to_owned(), stat), owner, from[0].as_fd(), to.as_fd(), name)
            .context(&image::APPLY, doing)
    }
}

/// Those of the layers whose directory `name` can be seen through the ones above.
pub(super) fn visible(from: &[OwnedFd], name: &OsStr) -> Result<Vec<OwnedFd>, Errno> {
    let mut all = Vec::new();
    for layer in from {
        match look(layer.as_fd(), name)? {
            None => {}
            Some(stat) if is_directory(&stat) => {
                let directory = open_directory(layer.as_fd(), name)?;
                let opaque = is_opaque(directory.as_fd());
                all.push(directory);
                if opaque {
                    break;
                }
            }
            Some(_) => break,
        }
    }
    Ok(all)
}

pub(super) fn open_directory(parent: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

pub(super) fn entries(directory: &OwnedFd) -> Result<Vec<CString>, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut open = Dir::openat(directory.as_fd(), ".", flags, Mode::empty())?;
    let names = open.iter().map(|entry| entry.map(|entry| entry.file_name().to_owned()));
    let names = names.collect::<Result<Vec<_>, _>>()?;
    Ok(names.into_iter().filter(|name| !matches!(name.to_bytes(), b"." | b"..")).collect())
}

/// What is no directory. `owner` is that of links and fifos.
fn copy(
    found: &Found,
    (uid, gid): (u32, u32),
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    name: &OsStr,
) -> io::Result<()> {
    let stat = &found.stat;
    let mode = Mode::from_bits_truncate(stat.st_mode);
    let kind = SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits());
    if kind == SFlag::S_IFREG {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        return found.copy(openat(to, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
    }
    if kind == SFlag::S_IFLNK {
        symlinkat(readlinkat(from, name)?.as_os_str(), to, name)?;
    } else if kind == SFlag::S_IFIFO {
        mkfifoat(to, name, mode)?;
    } else {
        // A socket or a device: no archive makes one.
        return Ok(());
    }
    fchownat(to, name, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), AtFlags::AT_SYMLINK_NOFOLLOW)?;
    if kind == SFlag::S_IFIFO {
        fchmodat(to, name, mode, FchmodatFlags::FollowSymlink)?;
    }
    let time = TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec);
    Ok(utimensat(to, name, &time, &time, UtimensatFlags::NoFollowSymlink)?)
}
