//! The mount steps: what the container sees as its file tree.
//!
//! Owns the new root while it is being built. Every path of the container is resolved inside that root (openat2 with
//! RESOLVE_IN_ROOT, through pathrs) and every mount is attached by descriptor, so a symbolic link in an image leads nowhere else
//! (CVE-2021-30465, CVE-2024-45310). The surprise: below `/dev`, which is a tmpfs of our own, the same code makes the files.

mod copy_up;
mod device;
mod overlay;
mod own;
mod owner;
mod pivot;

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat, readlinkat};
use nix::sys::stat::{Mode, SFlag, fstat, mkdirat};
use nix::sys::statfs::{FsType, PROC_SUPER_MAGIC, fstatfs};

use crate::error::{Context, Error, Result, catalog::process, catalog::rootfs, catalog::volume};
use crate::host::kernel;
use crate::plan::mounts::LABEL;
use crate::plan::{Attributes, Propagation};
use crate::sys::mount::{
    Change, attach, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount_setattr, open_tree,
    open_tree_clone,
};
use crate::tree;

pub(super) use self::device::host_node;
pub(super) use self::overlay::{Overlay, overlay};
pub(super) use self::own::unshared;
pub(super) use self::pivot::{chroot, move_root, pivot, propagate_root, root_read_only};

/// include/uapi/linux/magic.h; the machine's own may be there already where /proc is bound.
const BINFMTFS_MAGIC: FsType = FsType(0x4249_4e4d);

/// As many links as the kernel follows in one path (ELOOP).
const MOST_LINKS: usize = 40;

/// The kernel's EINVAL for a plain `bind` over a tree whose submounts belong to the host says nothing by itself.
const NOT_RECURSIVE: &str = "Where other file systems are mounted below a directory, binding it without them would uncover what they cover, \
                             which the kernel refuses. Use rbind.";

/// What a missing mount target is made as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    File,
}

/// The root file system under construction.
pub(super) struct Root {
    inner: pathrs::Root,
    /// The last tmpfs that was mounted here (`/dev`): nobody else has been in it, so files are made in it directly.
    fresh: Option<(PathBuf, OwnedFd)>,
    /// The empty read-only tmpfs on the first masked directory, cloned for each further one: of a mount that is attached nowhere
    /// no kernel before 6.15 makes a copy.
    empty: Option<OwnedFd>,
}

/// The whole namespace's mounts stop (or go on only) hearing of the host's.
pub(super) fn isolate(propagation: Propagation) -> Result<()> {
    let flags = nix::mount::MsFlags::MS_REC | nix::mount::MsFlags::from_bits_retain(propagation_flag(propagation));
    let none: Option<&str> = None;
    nix::mount::mount(none, "/", none, flags, none).context(&rootfs::MOUNT, || "make all mounts private".into())
}

/// A directory of the host, with the mounts below it, to be the root.
pub(super) fn clone_root(source: &Path) -> Result<OwnedFd> {
    clone_host(source, true).context(&rootfs::ROOTFS, || format!("bind {}", source.display()))
}

/// A directory of the host is the root.
pub(super) fn bind_root(tree: OwnedFd, on: &OwnedFd) -> Result<Root> {
    let change = Change { propagation: propagation_flag(Propagation::Private), recursive: true, ..Change::default() };
    mount_setattr(tree.as_fd(), change).context(&rootfs::ROOTFS, || "make the root's mounts private".into())?;
    Root::attach(tree, on)
}

/// What a volume binds.
pub(super) fn clone_source(source: &Path, recursive: bool) -> Result<OwnedFd> {
    tree_of(source, recursive, clone_host(source, recursive))
}

fn tree_of(source: &Path, recursive: bool, tree: Result<OwnedFd, Errno>) -> Result<OwnedFd> {
    let tree = tree.context(&rootfs::VOLUME, || format!("bind {}", source.display()));
    tree.map_err(|error| if recursive { error } else { error.fix(NOT_RECURSIVE) })
}

/// What a volume will bind, for [`Root::copy_opened`].
pub(super) fn open_source(source: &Path) -> Result<OwnedFd> {
    let opened = c_path(source).and_then(|path| open_tree(&path));
    opened.context(&rootfs::VOLUME, || format!("bind {}", source.display()))
}

/// The same of a part of a volume, in which a container may exchange names for links at any moment: they lead nowhere but into it.
pub(super) fn open_part(root: &Path, source: &Path) -> Result<OwnedFd> {
    let root_fd = open_source(root)?;
    let part = source.strip_prefix(root).unwrap_or(source);
    let opened = tree::open_in(root_fd.as_fd(), part, OFlag::O_PATH);
    opened.context(&rootfs::VOLUME, || format!("find {} in the volume", part.display()))
}

/// What a part of a volume binds, now.
pub(super) fn clone_part(root: &Path, source: &Path, recursive: bool) -> Result<OwnedFd> {
    let part = open_part(root, source)?;
    tree_of(source, recursive, open_tree_clone(part.as_fd(), c"", recursive))
}

/// A real directory, to attach something on.
pub(super) fn open_directory(path: &Path) -> Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(AT_FDCWD, path, flags, Mode::empty()).context(&rootfs::MOUNT, || format!("open {}", path.display()))
}

impl Root {
    fn attach(mount: OwnedFd, on: &OwnedFd) -> Result<Self> {
        attach(mount.as_fd(), on.as_fd()).context(&rootfs::MOUNT, || "attach the root".into())?;
        Ok(Self::attached(mount))
    }

    fn attached(mount: OwnedFd) -> Self {
        Self { inner: pathrs::Root::from_fd(mount), fresh: None, empty: None }
    }

    /// The root directory.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }

    /// A copy of what was opened of the host, made as late as this because mountinfo lists mounts in the order in which they were
    /// made (Linux 6.8), which should be the listed one.
    pub(super) fn copy_opened(&self, opened: &OwnedFd, source: &Path, recursive: bool) -> Result<OwnedFd> {
        let copy = || open_tree_clone(opened.as_fd(), c"", recursive);
        if !recursive {
            return tree_of(source, recursive, copy());
        }
        // This root is attached in the host's tree until it is pivoted to: a copy of `/` would have it, and all in it, once more.
        let pass_over = |over| {
            let propagation = propagation_flag(if over { Propagation::Unbindable } else { Propagation::Private });
            mount_setattr(self.fd(), Change { propagation, ..Change::default() })
        };
        let tree = pass_over(true).and_then(|()| copy()).and_then(|tree| pass_over(false).map(|()| tree));
        tree_of(source, recursive, tree)
    }

    /// A new instance of a file system; where the kernel refuses one, `fallback` of the host is bound instead.
    pub(super) fn mount(&mut self, new: &NewMount<'_>) -> Result<()> {
        let NewMount { filesystem, target, attributes, fallback, .. } = *new;
        let doing = || format!("mount {filesystem} on {}", target.display());
        let place = if matches!(filesystem, "proc" | "sysfs" | "cgroup2") {
            // A link here would let an image move what is masked to a place where nothing masks it (CVE-2019-19921).
            self.ensure_no_links(target)?
        } else {
            self.ensure(target, Kind::Directory)?
        };
        let mount = match (fresh(filesystem, new.source, attributes, new.options), fallback) {
            // A partly covered proc or sysfs of the host, as in other containers (mount_too_revealing in the kernel); a unified
            // hierarchy that this mount namespace does not show.
            (Err(Errno::EPERM), Some(host)) => {
                let tree = clone_host(host, true).context(&rootfs::MOUNT, doing)?;
                let change = Change { set: attribute_bits(attributes), recursive: true, ..Change::default() };
                mount_setattr(tree.as_fd(), change).context(&rootfs::MOUNT, doing)?;
                tree
            }
            (made, _) => made.context(&rootfs::MOUNT, doing)?,
        };
        if let Some(propagation) = new.propagation {
            let change = Change { propagation: propagation_flag(propagation), ..Change::default() };
            mount_setattr(mount.as_fd(), change).context(&rootfs::MOUNT, doing)?;
        }
        if new.copy_up {
            copy_up::copy(place.as_fd(), mount.as_fd())
                .context(&rootfs::MOUNT, || format!("copy what is in {} into its tmpfs", target.display()))?;
        }
        attach(mount.as_fd(), place.as_fd()).context(&rootfs::MOUNT, doing)?;
        if filesystem == "tmpfs" && target == Path::new("/dev") {
            self.fresh = Some((target.to_owned(), mount));
        }
        Ok(())
    }

    /// A file or directory of the host; a missing target is made in its kind.
    pub(super) fn bind(&self, bind: &Bind<'_>, tree: &OwnedFd) -> Result<()> {
        let doing = || format!("bind {} on {}", bind.source.display(), bind.target.display());
        let stat = fstat(tree).context(&rootfs::VOLUME, doing)?;
        if bind.device {
            check_device(&stat, bind.source)?;
        }
        let is_directory = SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFDIR;
        let place = self.ensure(bind.target, if is_directory { Kind::Directory } else { Kind::File })?;
        // Before the volume may be read-only, and before it covers what is copied.
        if bind.copy && is_directory {
            copy_up::into_new_volume(place.as_fd(), tree.as_fd())
                .context(&rootfs::VOLUME, || format!("copy {} of the image into the volume", bind.target.display()))?;
        }
        if let Some((uid, gid)) = bind.owner {
            owner::give(tree.as_fd(), uid, gid).context(&volume::VOLUME_OWNER, || {
                format!("give {} to uid {uid} and gid {gid} of the container", bind.source.display())
            })?;
        }
        let (own, deep) = (attribute_bits(bind.attributes), attribute_bits(bind.deep));
        let propagation = propagation_flag(bind.propagation);
        // Without the mounts below it one call does for both.
        let set = if bind.recursive { deep } else { own | deep };
        let change = Change { set, propagation, recursive: bind.recursive, ..Change::default() };
        let mut locked = change_bind(tree, change).context(&rootfs::VOLUME, doing)?;
        if own & !set != 0 {
            let change = Change { set: own, ..Change::default() };
            locked |= change_bind(tree, change).context(&rootfs::VOLUME, doing)?;
        }
        if locked {
            let target = bind.target.display();
            eprintln!(
                "rl: warning: access times of {target} are counted as the machine counts them, which only its root can change"
            );
        }
        if !bind.device {
            refuse_disguised_proc(bind.target, &place)?;
        }
        attach(tree.as_fd(), place.as_fd()).context(&rootfs::VOLUME, doing)
    }

    /// Attaches a mount on a directory of the container's procfs, which must be one and there.
    pub(super) fn attach_in_proc(&self, mount: &OwnedFd, target: &Path) -> Result<()> {
        let doing = || format!("mount on {}", target.display());
        let flags = pathrs::flags::ResolverFlags::NO_SYMLINKS;
        let place = self.inner.as_ref().with_resolver_flags(flags).resolve(target).context(&rootfs::MOUNT, doing)?;
        let kind = fstatfs(&place).context(&rootfs::MOUNT, doing)?.filesystem_type();
        if kind != PROC_SUPER_MAGIC && kind != BINFMTFS_MAGIC {
            return Err(Error::new(&rootfs::UNSAFE_TARGET, doing()).because("it is in no procfs"));
        }
        attach(mount.as_fd(), place.as_fd()).context(&rootfs::MOUNT, doing)
    }

    /// mkdir -p.
    pub(super) fn directory(&self, target: &Path) -> Result<OwnedFd> {
        self.ensure(target, Kind::Directory)
    }

    /// A directory that is there; nothing is made.
    pub(super) fn existing_directory(&self, path: &Path) -> Result<OwnedFd> {
        let doing = || format!("change to the working directory {}", path.display());
        let handle = match self.inner.resolve(path) {
            Ok(handle) => OwnedFd::from(handle),
            Err(error) => return Err(Error::new(&process::WORKING_DIRECTORY, doing()).because(error)),
        };
        let stat = fstat(&handle).context(&process::WORKING_DIRECTORY, doing)?;
        if stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits() {
            return Ok(handle);
        }
        Err(Error::new(&process::WORKING_DIRECTORY, doing()).because(Errno::ENOTDIR))
    }

    /// ln -s, where nothing is.
    pub(super) fn symlink(&self, target: &Path, to: &str) -> Result<()> {
        let doing = || format!("link {} to {to}", target.display());
        let (parent, name) = split(target)?;
        let made = match &self.fresh {
            Some((fresh, directory)) if fresh == parent => nix::unistd::symlinkat(to, directory, name),
            _ => nix::unistd::symlinkat(to, self.ensure(parent, Kind::Directory)?, name),
        };
        match made {
            Err(Errno::EEXIST) => Ok(()),
            other => other.context(&rootfs::MOUNT, doing),
        }
    }

    /// Hides a directory behind an empty read-only tmpfs and a file behind /dev/null; what is not there is passed over.
    pub(super) fn mask(&mut self, target: &Path) -> Result<()> {
        let doing = || format!("mask {}", target.display());
        let Some(place) = self.existing(target)? else { return Ok(()) };
        let stat = fstat(&place).context(&rootfs::MOUNT, doing)?;
        let is_directory = stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits();
        let cover = match &self.empty {
            _ if !is_directory => null_device(),
            Some(attached) => open_tree_clone(attached.as_fd(), c"", false),
            None => empty_directory(),
        };
        let cover = cover.context(&rootfs::MOUNT, doing)?;
        attach(cover.as_fd(), place.as_fd()).context(&rootfs::MOUNT, doing)?;
        if is_directory && self.empty.is_none() {
            self.empty = Some(cover);
        }
        Ok(())
    }

    /// Makes what is at `target` read-only in place; what is not there is passed over.
    pub(super) fn read_only(&self, target: &Path) -> Result<()> {
        let doing = || format!("make {} read-only", target.display());
        let Some(place) = self.existing(target)? else { return Ok(()) };
        let tree = open_tree_clone(place.as_fd(), c"", true).context(&rootfs::MOUNT, doing)?;
        let change = Change { set: libc::MOUNT_ATTR_RDONLY, recursive: true, ..Change::default() };
        mount_setattr(tree.as_fd(), change).context(&rootfs::MOUNT, doing)?;
        attach(tree.as_fd(), place.as_fd()).context(&rootfs::MOUNT, doing)
    }

    /// The slave of a pty becomes `target` (`/dev/console`).
    pub(super) fn bind_descriptor(&self, source: BorrowedFd<'_>, target: &Path) -> Result<()> {
        let doing = || format!("bind the terminal on {}", target.display());
        let tree = open_tree_clone(source, c"", false).context(&rootfs::MOUNT, doing)?;
        let place = self.ensure(target, Kind::File)?;
        attach(tree.as_fd(), place.as_fd()).context(&rootfs::MOUNT, doing)
    }

    /// Opens a file of the container for reading and writing, without following a last link.
    pub(super) fn open(&self, target: &Path, flags: OFlag) -> Result<OwnedFd> {
        let doing = || format!("open {}", target.display());
        let (parent, name) = split(target)?;
        let parent = self.inner.resolve(parent).context(&rootfs::MOUNT, doing)?;
        let fd = openat(parent.as_fd(), name, flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty());
        fd.context(&rootfs::MOUNT, doing)
    }

    fn existing(&self, path: &Path) -> Result<Option<pathrs::Handle>> {
        match self.inner.resolve(path) {
            Ok(handle) => Ok(Some(handle)),
            Err(error) if errno(&error).is_some_and(|errno| [Errno::ENOENT, Errno::ENOTDIR].contains(&errno)) => {
                Ok(None)
            }
            Err(error) => Err(Error::new(&rootfs::MOUNT, format!("resolve {}", path.display())).because(error)),
        }
    }

    fn ensure_no_links(&self, path: &Path) -> Result<OwnedFd> {
        let flags = pathrs::flags::ResolverFlags::NO_SYMLINKS;
        match self.inner.as_ref().with_resolver_flags(flags).resolve(path) {
            Ok(handle) => Ok(handle.into()),
            Err(error) if errno(&error) == Some(Errno::ENOENT) => self.ensure(path, Kind::Directory),
            Err(error) => Err(Error::new(&rootfs::UNSAFE_TARGET, format!("resolve {}", path.display())).because(error)),
        }
    }

    /// Resolves `path`, making what is missing. Links are followed inside the root, dangling ones too: an image's
    /// /etc/resolv.conf often points to a file that only a running system has.
    fn ensure(&self, path: &Path, kind: Kind) -> Result<OwnedFd> {
        self.ensure_within(path, kind, MOST_LINKS)
    }

    /// None: the path is elsewhere, or there already.
    fn make_in_fresh(&self, path: &Path, kind: Kind) -> Option<OwnedFd> {
        let (fresh, directory) = self.fresh.as_ref()?;
        let name = path.strip_prefix(fresh).ok().filter(|name| name.components().count() == 1)?;
        make_at(directory.as_fd(), name.as_os_str(), kind).ok()
    }

    fn ensure_within(&self, path: &Path, kind: Kind, links: usize) -> Result<OwnedFd> {
        let doing = || format!("make {} in the container", path.display());
        if let Some(made) = self.make_in_fresh(path, kind) {
            return Ok(made);
        }
        match self.inner.resolve(path) {
            Ok(handle) => return Ok(handle.into()),
            Err(error) if errno(&error) == Some(Errno::ENOENT) && links > 0 => {}
            Err(error) => return Err(Error::new(&rootfs::UNSAFE_TARGET, doing()).because(error)),
        }
        let (parent, name) = split(path)?;
        let directory = self.ensure_within(parent, Kind::Directory, links - 1)?;
        match make_at(directory.as_fd(), name, kind) {
            Ok(made) => Ok(made),
            Err(Errno::EEXIST) => {
                let link = readlinkat(&directory, name).context(&rootfs::UNSAFE_TARGET, doing)?;
                self.ensure_within(&parent.join(link), kind, links - 1)
            }
            Err(errno) => Err(Error::new(&rootfs::MOUNT, doing()).because(errno)),
        }
    }
}

/// Makes what is not there yet and opens it.
fn make_at(directory: BorrowedFd<'_>, name: &OsStr, kind: Kind) -> Result<OwnedFd, Errno> {
    match kind {
        Kind::Directory => {
            mkdirat(directory, name, Mode::from_bits_truncate(0o755))?;
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            openat(directory, name, flags, Mode::empty())
        }
        Kind::File => {
            let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            openat(directory, name, flags, Mode::from_bits_truncate(0o644))
        }
    }
}

/// A bind mount's parts, as [`crate::plan::Step::Bind`] has them.
pub(super) struct Bind<'a> {
    pub(super) source: &'a Path,
    pub(super) target: &'a Path,
    pub(super) recursive: bool,
    pub(super) attributes: Attributes,
    pub(super) deep: Attributes,
    pub(super) propagation: Propagation,
    pub(super) device: bool,
    pub(super) copy: bool,
    /// uid and gid.
    pub(super) owner: Option<(u32, u32)>,
}

/// A new file system's parts, as [`crate::plan::Step::Mount`] has them.
#[derive(Clone, Copy)]
pub(super) struct NewMount<'a> {
    pub(super) filesystem: &'a str,
    pub(super) source: &'a str,
    pub(super) target: &'a Path,
    pub(super) attributes: Attributes,
    pub(super) options: &'a [(String, Option<String>)],
    pub(super) fallback: Option<&'a Path>,
    pub(super) propagation: Option<Propagation>,
    pub(super) copy_up: bool,
}

/// The root that this process has by now: that of a mount namespace which it has joined.
pub(super) fn enter_root() -> Result<Root> {
    open_directory(Path::new("/")).map(Root::attached)
}

fn fresh(
    filesystem: &str,
    source: &str,
    attributes: Attributes,
    options: &[(String, Option<String>)],
) -> Result<OwnedFd, Errno> {
    let text = |text: &str| CString::new(text).map_err(|_| Errno::EINVAL);
    let fs = fsopen(&text(filesystem)?)?;
    fsconfig_set_string(fs.as_fd(), c"source", &text(source)?)?;
    for (key, value) in options {
        // As every runtime: labels are of machines that have them.
        if key == LABEL && !kernel::has_selinux() {
            continue;
        }
        match value {
            Some(value) => fsconfig_set_string(fs.as_fd(), &text(key)?, &text(value)?)?,
            None => fsconfig_set_flag(fs.as_fd(), &text(key)?)?,
        }
    }
    fsconfig_create(fs.as_fd())?;
    fsmount(fs.as_fd(), attribute_bits(attributes))
}

/// A user namespace can't change how a mount of the host counts access times (it is locked, mount_namespaces(7)); the rest holds. Whether
/// that was asked for in vain.
fn change_bind(tree: &OwnedFd, change: Change) -> Result<bool, Errno> {
    const TIMES: u64 = libc::MOUNT_ATTR__ATIME | libc::MOUNT_ATTR_NODIRATIME;
    match mount_setattr(tree.as_fd(), change) {
        Err(Errno::EPERM) if change.set & TIMES != 0 => {
            mount_setattr(tree.as_fd(), Change { set: change.set & !TIMES, ..change }).map(|()| true)
        }
        other => other.map(|()| false),
    }
}

pub(super) fn clone_host(path: &Path, recursive: bool) -> Result<OwnedFd, Errno> {
    open_tree_clone(AT_FDCWD, &c_path(path)?, recursive)
}

/// What a masked directory shows.
fn empty_directory() -> Result<OwnedFd, Errno> {
    let attributes = Attributes { read_only: true, nosuid: true, nodev: true, noexec: true, ..Attributes::default() };
    let options = [("size".to_owned(), Some("0".to_owned())), ("mode".to_owned(), Some("755".to_owned()))];
    fresh("tmpfs", "tmpfs", attributes, &options)
}

/// The host's own /dev/null, checked to be it: a mask that is a regular file could be written to (CVE-2025-31133).
fn null_device() -> Result<OwnedFd, Errno> {
    let null = clone_host(Path::new("/dev/null"), false)?;
    let stat = fstat(&null)?;
    if stat.st_rdev == libc::makedev(1, 3) && stat.st_mode & libc::S_IFMT == libc::S_IFCHR {
        return Ok(null);
    }
    Err(Errno::ENODEV)
}

fn check_device(stat: &nix::sys::stat::FileStat, source: &Path) -> Result<()> {
    let kind = stat.st_mode & libc::S_IFMT;
    if kind == libc::S_IFCHR || kind == libc::S_IFBLK {
        return Ok(());
    }
    Err(Error::new(&rootfs::VOLUME, format!("bind the device {}", source.display())).because("it is no device node"))
}

/// An image's link may not put a volume into /proc, where it would pass for the kernel's word (CVE-2019-16884, CVE-2023-28642).
/// Who asks for /proc/cpuinfo by that name gets it.
fn refuse_disguised_proc(target: &Path, place: &OwnedFd) -> Result<()> {
    let doing = || format!("bind on {}", target.display());
    let kind = fstatfs(place).context(&rootfs::VOLUME, doing)?.filesystem_type();
    if kind != PROC_SUPER_MAGIC || target.starts_with("/proc") {
        return Ok(());
    }
    Err(Error::new(&rootfs::UNSAFE_TARGET, doing()).because("a link of the image leads from there into /proc"))
}

fn split(path: &Path) -> Result<(&Path, &OsStr)> {
    path.parent().zip(path.file_name()).ok_or_else(|| {
        Error::new(&rootfs::UNSAFE_TARGET, format!("resolve {}", path.display())).because("it has no last component")
    })
}

pub(super) fn c_path(path: &Path) -> Result<CString, Errno> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)
}

fn errno(error: &pathrs::error::Error) -> Option<Errno> {
    match error.kind() {
        pathrs::error::ErrorKind::OsError(Some(code)) => Some(Errno::from_raw(code)),
        _ => None,
    }
}

fn attribute_bits(attributes: Attributes) -> u64 {
    let Attributes { read_only, nosuid, nodev, noexec, noatime, strictatime, nodiratime, nosymfollow } = attributes;
    [
        (read_only, libc::MOUNT_ATTR_RDONLY),
        (nosuid, libc::MOUNT_ATTR_NOSUID),
        (nodev, libc::MOUNT_ATTR_NODEV),
        (noexec, libc::MOUNT_ATTR_NOEXEC),
        (noatime, libc::MOUNT_ATTR_NOATIME),
        (strictatime, libc::MOUNT_ATTR_STRICTATIME),
        (nodiratime, libc::MOUNT_ATTR_NODIRATIME),
        (nosymfollow, libc::MOUNT_ATTR_NOSYMFOLLOW),
    ]
    .into_iter()
    .filter_map(|(on, bit)| on.then_some(bit))
    .fold(0, |bits, bit| bits | bit)
}

fn propagation_flag(propagation: Propagation) -> u64 {
    match propagation {
        Propagation::Private => libc::MS_PRIVATE,
        Propagation::Slave => libc::MS_SLAVE,
        Propagation::Shared => libc::MS_SHARED,
        Propagation::Unbindable => libc::MS_UNBINDABLE,
    }
}
