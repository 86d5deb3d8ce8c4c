//! The process that serves a mount.
//!
//! Owns starting, watching and stopping. It makes no thread. The surprise: the process is watched through its stderr:
//! the pipe ends when the process does, however it died, and gives its last words then. The process's end of the pipe
//! does not block, so a program that complains without end loses words and not its life.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::{MntFlags, umount2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{Error, Mount, Program, mountinfo};

/// Nothing that fuse-overlayfs does before the mount takes longer, on a network file system either.
const START: Duration = Duration::from_secs(60);
/// What the program gets between SIGTERM and SIGKILL.
const TERM: Duration = Duration::from_secs(2);
/// How much of the last words is kept.
const WORDS: usize = 4096;

/// A mount that is there. Dropping this leaves it there: [`Running::stop`] takes it away.
#[derive(Debug)]
pub struct Running {
    child: Child,
    target: PathBuf,
    stderr: File,
    words: Vec<u8>,
}

impl Mount {
    /// Starts the program and returns when the mount is there.
    ///
    /// `amend` may change the command before it is started, for what only unsafe code can do: PR_SET_PDEATHSIG above
    /// all.
    pub fn start(&self, program: &Program, amend: impl FnOnce(&mut Command)) -> Result<Running, Error> {
        check_device()?;
        let target = self.target.canonicalize();
        let target = target.map_err(|source| Error::Directory { path: self.target.clone(), source })?;
        let mut table = Table::open(&target)?;
        let (stderr, theirs) = pipe().map_err(|error| Error::system("make a pipe", error))?;
        let arguments = self.arguments(program)?;
        let mut command = Command::new(program.path());
        command.args(&arguments.words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(theirs);
        // Ctrl-C at the caller's terminal is for the container, not for its file system.
        command.process_group(0);
        amend(&mut command);
        let child =
            command.spawn().map_err(|error| Error::system(format!("run {}", program.path().display()), error))?;
        // The command holds the other end of the pipe too; without it the process's death would go unseen.
        drop(command);
        let mut running = Running { child, target, stderr, words: Vec::new() };
        match running.wait_for_mount(&mut table) {
            Ok(()) => Ok(running),
            Err(error) => {
                // The error is what counts; a process that can't be killed is dead already.
                let _ = running.child.kill();
                let _ = running.child.wait();
                Err(error)
            }
        }
    }
}

impl Running {
    /// The process's pid; it stays this process's until [`Running::stop`] has returned.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where the mount is, without links.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// To be called when the descriptor is readable or hung up: an error when the process has ended.
    pub fn check(&mut self) -> Result<(), Error> {
        if self.listen()? { Err(self.ended()) } else { Ok(()) }
    }

    /// Takes the mount away and waits until the process is gone.
    ///
    /// The process ends by itself when the mount has no user left. Where another mount namespace has it still, the
    /// process is ended after `patience`, and the others see ENOTCONN.
    pub fn stop(mut self, patience: Duration) -> Result<(), Error> {
        let unmounted = unmount(&self.target);
        // Where that failed, waiting would be in vain.
        let patience = if unmounted.is_ok() { patience } else { Duration::ZERO };
        if !self.wait_for_end(patience)? {
            // Our child is not reaped, so the pid is its own. ESRCH can't be; the wait below would tell anyway.
            let _ = kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM);
            if !self.wait_for_end(TERM)? {
                let _ = self.child.kill();
            }
        }
        self.child.wait().map_err(|error| Error::system("wait for fuse-overlayfs", error))?;
        unmounted
    }

    fn wait_for_mount(&mut self, table: &mut Table) -> Result<(), Error> {
        let deadline = Instant::now() + START;
        loop {
            let mut events = [PollFd::new(table.file.as_fd(), PollFlags::POLLPRI), self.readable()];
            if poll_until(&mut events, deadline)? == 0 {
                let (target, said) = (self.target.clone(), self.said());
                return Err(Error::TooSlow { target, seconds: START.as_secs(), said });
            }
            if table.has_new_mount(&self.target)? {
                return Ok(());
            }
            self.check()?;
        }
    }

    /// Whether the process ended within `patience`.
    fn wait_for_end(&mut self, patience: Duration) -> Result<bool, Error> {
        let deadline = Instant::now() + patience;
        loop {
            if self.listen()? {
                return Ok(true);
            }
            if poll_until(&mut [self.readable()], deadline)? == 0 {
                return Ok(false);
            }
        }
    }

    fn readable(&self) -> PollFd<'_> {
        PollFd::new(self.stderr.as_fd(), PollFlags::POLLIN)
    }

    /// Reads what there is; true at the end.
    fn listen(&mut self) -> Result<bool, Error> {
        let mut buffer = [0; WORDS];
        loop {
            match self.stderr.read(&mut buffer) {
                Ok(0) => return Ok(true),
                Ok(count) => {
                    self.words.extend_from_slice(&buffer[..count]);
                    self.words.drain(..self.words.len().saturating_sub(WORDS));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::system("read the messages of fuse-overlayfs", error)),
            }
        }
    }

    fn said(&self) -> String {
        said(&self.words)
    }

    fn ended(&mut self) -> Error {
        let status = match self.child.wait() {
            Ok(status) => status,
            Err(error) => return Error::system("wait for fuse-overlayfs", error),
        };
        // Words of long ago need not be about this end; the status always is.
        let said = [self.said(), status.to_string()].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>();
        Error::Ended { target: self.target.clone(), said: said.join("; ") }
    }
}

/// The words on one line. Versions up to 1.14 complain of an option that they add themselves.
fn said(words: &[u8]) -> String {
    let words = String::from_utf8_lossy(words);
    let lines = words.lines().map(str::trim).filter(|line| !line.is_empty() && !line.ends_with("ignored: lazytime"));
    lines.collect::<Vec<_>>().join("; ")
}

/// Readable when the process complains, hung up when it has ended: call [`Running::check`] then.
impl AsFd for Running {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stderr.as_fd()
    }
}

/// The mount table, and what lay on the target at first.
struct Table {
    file: File,
    before: Option<Vec<u8>>,
}

impl Table {
    /// Opened before the program starts: events are counted from then on.
    fn open(target: &Path) -> Result<Self, Error> {
        let file = File::open("/proc/self/mountinfo");
        let file = file.map_err(|error| Error::system("open /proc/self/mountinfo", error))?;
        let mut table = Self { file, before: None };
        let text = table.read()?;
        table.before = mountinfo::on_top(&text, target).map(|(id, _)| id.to_owned());
        Ok(table)
    }

    fn read(&mut self) -> Result<Vec<u8>, Error> {
        let failed = |error| Error::system("read /proc/self/mountinfo", error);
        let mut text = Vec::new();
        self.file.rewind().map_err(failed)?;
        self.file.read_to_end(&mut text).map_err(failed)?;
        Ok(text)
    }

    fn has_new_mount(&mut self, target: &Path) -> Result<bool, Error> {
        let text = self.read()?;
        let top = mountinfo::on_top(&text, target);
        Ok(top.is_some_and(|(id, kind)| kind.starts_with(b"fuse") && self.before.as_deref() != Some(id)))
    }
}

/// Opening is the one test that permissions, device rules of a cgroup and a missing module all fail.
fn check_device() -> Result<(), Error> {
    let opened = File::options().read(true).write(true).open("/dev/fuse");
    let errno = |error: io::Error| Errno::from_raw(error.raw_os_error().unwrap_or_default());
    opened.map(drop).map_err(|error| Error::Device { errno: errno(error) })
}

/// Our end and the program's; neither blocks.
fn pipe() -> nix::Result<(File, Stdio)> {
    let (ours, theirs) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    Ok((ours.into(), theirs.into()))
}

/// poll(2) until the deadline; 0 then. Signals do not end it.
fn poll_until(events: &mut [PollFd<'_>], deadline: Instant) -> Result<i32, Error> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // Rounded up, or the last millisecond would be spent in a loop.
        let left = PollTimeout::try_from(left + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX);
        match poll(events, left) {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(Error::system("wait for fuse-overlayfs", errno)),
            Ok(count) => return Ok(count),
        }
    }
}

/// At once for this namespace, even where a process still has a file open (MNT_DETACH).
fn unmount(target: &Path) -> Result<(), Error> {
    match umount2(target, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
        // EINVAL: no mount is there any more, as after the process has ended by itself on SIGTERM.
        Ok(()) | Err(Errno::EINVAL) => Ok(()),
        // Mounted through the setuid helper, by a user without CAP_SYS_ADMIN; the same helper takes it away.
        Err(Errno::EPERM) if fusermount(target) => Ok(()),
        Err(errno) => Err(Error::Unmount { target: target.to_owned(), errno }),
    }
}

fn fusermount(target: &Path) -> bool {
    let mut command = Command::new("fusermount3");
    command.args(["-u", "-z", "--"]).arg(target).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_complaint_about_its_own_option_is_left_out() {
        assert_eq!(said(b"unknown argument ignored: lazytime\ncannot mount\n\n"), "cannot mount");
        assert_eq!(said(b"one\ntwo"), "one; two");
    }

    #[test]
    fn waiting_ends_at_the_deadline_and_not_before() {
        let (ours, _theirs) = pipe().expect("a pipe");
        let begin = Instant::now();
        let mut events = [PollFd::new(ours.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll_until(&mut events, begin + Duration::from_millis(5)).expect("poll"), 0);
        assert!(begin.elapsed() >= Duration::from_millis(5));
    }
}
