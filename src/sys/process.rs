//! What a process keeps through exec and what it shows of itself: descriptors, arguments.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Marks every descriptor from `first` on close-on-exec, those too that the caller of `rl` has left open (CVE-2024-21626).
///
/// # Errors
/// EINVAL before Linux 5.11, which knows no CLOSE_RANGE_CLOEXEC.
pub fn close_on_exec_from(first: u32) -> Result<(), Errno> {
    // SAFETY: integers only.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    Errno::result(result).map(drop)
}

/// Overwrites the command line that ps(1) shows, so that a long-lived child does not show its parent's arguments to the whole
/// machine (they may hold a password). Only for a process that will never look at its arguments again.
pub fn hide_arguments(title: &str) {
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else { return };
    // Fields 48 and 49 (proc_pid_stat(5)), counted behind the command's closing parenthesis, which ends field 2.
    let Some((_, rest)) = stat.rsplit_once(") ") else { return };
    let mut fields = rest.split(' ').skip(45).map(str::parse::<usize>);
    let (Some(Ok(start)), Some(Ok(end))) = (fields.next(), fields.next()) else { return };
    if start == 0 || end <= start {
        return;
    }
    // SAFETY: the kernel says that [start, end) is this process's argument area: mapped, writable, and of no other use once
    // the arguments have been read; the process is single-threaded.
    let area =
        unsafe { std::slice::from_raw_parts_mut(std::ptr::with_exposed_provenance_mut::<u8>(start), end - start) };
    area.fill(0);
    let shown = title.len().min(area.len().saturating_sub(1));
    area[..shown].copy_from_slice(&title.as_bytes()[..shown]);
}

/// setdomainname(2): the NIS name of the UTS namespace. Unlike the file in /proc/sys it asks for rights in that namespace alone.
pub fn set_domainname(name: &str) -> Result<(), Errno> {
    // SAFETY: the kernel reads as many bytes as the string has.
    Errno::result(unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) }).map(drop)
}

/// Takes ownership of a descriptor that the kernel has just installed in this process (SCM_RIGHTS gives bare numbers).
pub fn adopt(fd: RawFd) -> OwnedFd {
    // SAFETY: the only caller passes numbers that recvmsg(2) has made for this very message; nobody else owns them.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Whether a descriptor of that number is open and goes through exec, as those do that this process was started with.
pub fn is_inherited(fd: RawFd) -> Result<bool, Errno> {
    // SAFETY: F_GETFD reads a flag of a number in the kernel's table; no memory is involved.
    match Errno::result(unsafe { libc::fcntl(fd, libc::F_GETFD) }) {
        Ok(flags) => Ok(flags & libc::FD_CLOEXEC == 0),
        Err(Errno::EBADF) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Pages of code and constants, which come back from their file when they are needed. A process that only waits needs few.
#[derive(Debug)]
pub struct CleanPages(Vec<(usize, usize)>);

impl CleanPages {
    /// Those of this process; none where it can't be told which they are.
    pub fn find() -> Self {
        let text = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
        let (mut mapping, mut found) = (None, Vec::new());
        for line in text.lines() {
            if let Some(begun) = read_only_file(line) {
                mapping = begun;
            } else if line.strip_prefix("Anonymous:").is_some_and(|size| size.trim() == "0 kB") {
                found.extend(mapping.take());
            }
        }
        Self(found)
    }

    /// Gives them back to the kernel.
    pub fn forget(&self) {
        for (start, end) in &self.0 {
            let address = std::ptr::with_exposed_provenance_mut(*start);
            // SAFETY: a private mapping of a file, not writable, of which no page was ever changed (relocated ones are anonymous),
            // and which nobody unmaps: what is dropped is read again from the file with the same content.
            unsafe { libc::madvise(address, end - start, libc::MADV_DONTNEED) };
        }
    }
}

/// Of a line that begins a mapping: its ends, if it is a file's and only read. None for other lines.
fn read_only_file(line: &str) -> Option<Option<(usize, usize)>> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let ends = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    let (rights, inode) = (words.next()?, words.nth(2)?);
    Some((rights.starts_with('r') && !rights.contains('w') && inode != "0").then_some(ends))
}

/// Makes a command end when this process does, however that ends (PR_SET_PDEATHSIG).
pub fn end_with_parent(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt;
    let bind = || nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL).map_err(std::io::Error::from);
    // SAFETY: between fork and exec the closure makes one system call and touches no memory but its own.
    unsafe { command.pre_exec(bind) };
}

/// Lets this process open as many files as it may. Of the customary limit, 1024, a server of connections has used up all with 500
/// clients.
///
/// # Errors
/// getrlimit(2)'s; the limit stays then.
pub fn open_many_files() -> Result<(), Errno> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)
}

/// As [`open_many_files`], for a command. Where it can't be had, the command has what there is.
pub fn opens_many_files(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt;
    let raise = || {
        let _ = open_many_files();
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes two system calls and touches no memory but its own.
    unsafe { command.pre_exec(raise) };
}

/// Makes a command run in another network namespace; rights over that are needed when it is started.
pub fn in_network(command: &mut std::process::Command, namespace: std::os::fd::BorrowedFd<'_>) {
    use std::os::fd::AsRawFd;
    use std::os::unix::process::CommandExt;
    let fd = namespace.as_raw_fd();
    let enter = move || {
        // SAFETY: the call takes two numbers; a descriptor that was closed meanwhile gives EBADF.
        Errno::result(unsafe { libc::setns(fd, libc::CLONE_NEWNET) }).map(drop).map_err(std::io::Error::from)
    };
    // SAFETY: between fork and exec the closure makes one system call and touches no memory but its own.
    unsafe { command.pre_exec(enter) };
}
