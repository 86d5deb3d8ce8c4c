//! The mount API by descriptors (Linux 5.2 and 5.12): fsopen, fsmount, open_tree, move_mount, mount_setattr, pivot_root.
//!
//! A mount is made detached, gets its attributes, and is then attached on a descriptor: no path is resolved twice, which is
//! where the races of CVE-2021-30465 and its successors were.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

const EMPTY: &CStr = c"";

/// What mount_setattr(2) changes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Change {
    /// MOUNT_ATTR_* to set.
    pub set: u64,
    /// MOUNT_ATTR_* to clear.
    pub clear: u64,
    /// MS_PRIVATE, MS_SLAVE, ... or 0.
    pub propagation: u64,
    /// The whole tree.
    pub recursive: bool,
}

fn owned(result: libc::c_long) -> Result<OwnedFd, Errno> {
    let fd = Errno::result(result)?;
    // SAFETY: only called with the result of a system call that has just made a descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}

/// fsopen(2), close-on-exec.
///
/// # Errors
/// ENODEV for an unknown file system, EPERM without CAP_SYS_ADMIN.
pub fn fsopen(name: &CStr) -> Result<OwnedFd, Errno> {
    // SAFETY: name is a C string that outlives the call.
    owned(unsafe { libc::syscall(libc::SYS_fsopen, name.as_ptr(), libc::FSOPEN_CLOEXEC) })
}

fn fsconfig(
    fs: BorrowedFd<'_>,
    command: libc::c_uint,
    key: *const libc::c_char,
    value: *const libc::c_char,
) -> Result<(), Errno> {
    // SAFETY: key and value are null or C strings that outlive the call, as the commands used below demand.
    let result = unsafe { libc::syscall(libc::SYS_fsconfig, fs.as_raw_fd(), command, key, value, 0) };
    Errno::result(result).map(drop)
}

/// One option with a value: a comma or backslash in it is data, never syntax (attack class of CVE-2024-1753).
///
/// # Errors
/// EINVAL for an option that the file system does not know.
pub fn fsconfig_set_string(fs: BorrowedFd<'_>, key: &CStr, value: &CStr) -> Result<(), Errno> {
    fsconfig(fs, libc::FSCONFIG_SET_STRING, key.as_ptr(), value.as_ptr())
}

/// One option without a value.
///
/// # Errors
/// EINVAL for an option that the file system does not know.
pub fn fsconfig_set_flag(fs: BorrowedFd<'_>, key: &CStr) -> Result<(), Errno> {
    fsconfig(fs, libc::FSCONFIG_SET_FLAG, key.as_ptr(), std::ptr::null())
}

/// Makes the superblock.
///
/// # Errors
/// What the file system's own mount gives.
pub fn fsconfig_create(fs: BorrowedFd<'_>) -> Result<(), Errno> {
    fsconfig(fs, libc::FSCONFIG_CMD_CREATE, std::ptr::null(), std::ptr::null())
}

/// A detached mount of a configured file system, with MOUNT_ATTR_* flags.
///
/// # Errors
/// EPERM where the kernel refuses a fresh instance (a partly covered proc or sysfs on the host).
pub fn fsmount(fs: BorrowedFd<'_>, attributes: u64) -> Result<OwnedFd, Errno> {
    // SAFETY: takes integers only.
    owned(unsafe {
        libc::syscall(libc::SYS_fsmount, fs.as_raw_fd(), libc::FSMOUNT_CLOEXEC, attributes as libc::c_uint)
    })
}

/// Opens a path to copy a mount from it later. Not open(2) with O_PATH: that does not wake an automount.
///
/// # Errors
/// What looking a path up gives.
pub fn open_tree(path: &CStr) -> Result<OwnedFd, Errno> {
    // SAFETY: path is a C string that outlives the call.
    owned(unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), libc::OPEN_TREE_CLOEXEC) })
}

/// A detached copy of the mount at `path` below `dir`; an empty path means `dir` itself.
///
/// # Errors
/// EINVAL for a non-recursive copy that would uncover something that the host has covered.
pub fn open_tree_clone(dir: BorrowedFd<'_>, path: &CStr, recursive: bool) -> Result<OwnedFd, Errno> {
    let mut flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | libc::AT_EMPTY_PATH as libc::c_uint;
    if recursive {
        flags |= libc::AT_RECURSIVE as libc::c_uint;
    }
    // SAFETY: path is a C string that outlives the call.
    owned(unsafe { libc::syscall(libc::SYS_open_tree, dir.as_raw_fd(), path.as_ptr(), flags) })
}

/// Attaches a detached mount on what `target` is open on.
///
/// # Errors
/// ENOTDIR or EINVAL when a file meets a directory, ELOOP on itself.
pub fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = libc::MOVE_MOUNT_F_EMPTY_PATH | libc::MOVE_MOUNT_T_EMPTY_PATH;
    // SAFETY: both strings are constants.
    let result = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            mount.as_raw_fd(),
            EMPTY.as_ptr(),
            target.as_raw_fd(),
            EMPTY.as_ptr(),
            flags,
        )
    };
    Errno::result(result).map(drop)
}

/// Makes a mount that is attached nowhere (or its whole tree) show ids through the maps of a user namespace (Linux 5.12).
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN in the user namespace to which the file system belongs, EINVAL for a file system that can't.
pub fn map_ids(mount: BorrowedFd<'_>, namespace: BorrowedFd<'_>, recursive: bool) -> Result<(), Errno> {
    let userns_fd = u64::try_from(namespace.as_raw_fd()).map_err(|_| Errno::EBADF)?;
    let attr = libc::mount_attr { attr_set: libc::MOUNT_ATTR_IDMAP, attr_clr: 0, propagation: 0, userns_fd };
    set_attributes(mount, &attr, recursive)
}

/// Changes attributes of the mount (or tree) that `mount` is open on (Linux 5.12).
///
/// # Errors
/// EPERM when a flag is cleared that the host has locked.
pub fn mount_setattr(mount: BorrowedFd<'_>, change: Change) -> Result<(), Errno> {
    // The modes of access times are one number, not bits: whoever sets one must clear all of them first, or gets EINVAL.
    let times = if change.set & libc::MOUNT_ATTR__ATIME == 0 { 0 } else { libc::MOUNT_ATTR__ATIME };
    let attr = libc::mount_attr {
        attr_set: change.set,
        attr_clr: change.clear | times,
        propagation: change.propagation,
        userns_fd: 0,
    };
    set_attributes(mount, &attr, change.recursive)
}

fn set_attributes(mount: BorrowedFd<'_>, attr: &libc::mount_attr, recursive: bool) -> Result<(), Errno> {
    let mut flags = libc::AT_EMPTY_PATH;
    if recursive {
        flags |= libc::AT_RECURSIVE;
    }
    // SAFETY: attr is a valid mount_attr of the size that is passed; the path is a C string.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            EMPTY.as_ptr(),
            flags,
            std::ptr::from_ref(attr),
            size_of::<libc::mount_attr>(),
        )
    };
    Errno::result(result).map(drop)
}
