//! The process that is a network.
//!
//! Owns starting, watching and stopping. It makes no thread. The surprise: the process is watched through its stderr: the pipe
//! ends when the process does, however it died, and gives its last words then. The process's end of the pipe does not block, so
//! a program that talks without end loses words and not its life.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::pipe2;

use crate::api::SocketPath;
use crate::{Error, Options, Program, Target};

/// Making an interface is a matter of milliseconds, on a machine that swaps of seconds.
const START: Duration = Duration::from_secs(30);
/// How much of the last words is kept.
const WORDS: usize = 4096;

/// A slirp4netns that has been started and may not be ready yet. Dropped, it ends.
#[derive(Debug)]
pub struct Starting {
    running: Running,
    ready: OwnedFd,
}

/// A slirp4netns at work. It ends when this is dropped, because it sees the other end of its `--exit-fd` close.
#[derive(Debug)]
pub struct Running {
    child: Child,
    exit: Option<OwnedFd>,
    stderr: File,
    words: Vec<u8>,
}

impl Options {
    /// Starts the program and does not wait: while it makes the interface, the caller has other things to do.
    ///
    /// `amend` may change the command before it is started.
    ///
    /// # Errors
    /// [`Error::System`] where the program can't be started.
    pub fn start(
        &self,
        program: &Program,
        target: Target,
        amend: impl FnOnce(&mut Command),
    ) -> Result<Starting, Error> {
        let pipe = |flags| pipe2(OFlag::O_CLOEXEC | flags).map_err(|errno| Error::system("make a pipe", errno));
        let (ready, tell_ready) = pipe(OFlag::empty())?;
        let (watch_exit, exit) = pipe(OFlag::empty())?;
        let (stderr, theirs) = pipe(OFlag::O_NONBLOCK)?;
        // These two are inherited. The caller has one thread, so nothing else is started in between.
        for fd in [&tell_ready, &watch_exit] {
            let kept = fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty()));
            kept.map_err(|errno| Error::system("hand a descriptor on", errno))?;
        }
        let mut command = Command::new(program.path());
        let api = self.api_socket.as_deref().map(socket_path).transpose()?;
        command.args(self.arguments(&target, tell_ready.as_raw_fd(), watch_exit.as_raw_fd(), api.as_ref()));
        let stdin = match target {
            Target::Descriptor(namespace) => Stdio::from(namespace),
            Target::Process(_) | Target::Path(_) => Stdio::null(),
        };
        command.stdin(stdin).stdout(Stdio::null()).stderr(theirs);
        // Ctrl-C at the caller's terminal is for the container, not for its network.
        command.process_group(0);
        amend(&mut command);
        let started = command.spawn();
        let child = started.map_err(|error| Error::system(format!("run {}", program.path().display()), error))?;
        let running = Running { child, exit: Some(exit), stderr: stderr.into(), words: Vec::new() };
        Ok(Starting { running, ready })
    }
}

impl Starting {
    /// Waits until the interface is there and configured.
    ///
    /// # Errors
    /// [`Error::Device`] where /dev/net/tun can't be opened, [`Error::Ended`] with its words where it gave up for another reason,
    /// [`Error::TooSlow`].
    pub fn wait(mut self) -> Result<Running, Error> {
        let deadline = Instant::now() + START;
        loop {
            let stderr = self.running.stderr.as_fd();
            let mut events =
                [PollFd::new(self.ready.as_fd(), PollFlags::POLLIN), PollFd::new(stderr, PollFlags::POLLIN)];
            if poll_until(&mut events, deadline)? == 0 {
                return Err(Error::TooSlow { seconds: START.as_secs(), said: said(&self.running.words) });
            }
            let [ready, _] = events.map(|event| event.revents().is_some_and(|flags| flags.contains(PollFlags::POLLIN)));
            if ready {
                return Ok(self.running);
            }
            if let Err(ended) = self.running.check() {
                check_device()?;
                return Err(ended);
            }
        }
    }

    /// The process's pid; it stays this process's until it has been waited for.
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }
}

/// Readable when the network is ready, hung up when it will never be: call [`Starting::wait`] then.
impl AsFd for Starting {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }
}

impl Running {
    /// The process's pid; it stays this process's until [`Running::stop`] has returned.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What must stay open for the program to go on: for a caller that executes itself anew and hands these over.
    pub fn held(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.exit.iter().map(AsFd::as_fd).chain([self.stderr.as_fd()])
    }

    /// To be called when the descriptor is readable or hung up.
    ///
    /// # Errors
    /// [`Error::Ended`] when the process has ended.
    pub fn check(&mut self) -> Result<(), Error> {
        if self.listen()? { Err(self.ended()) } else { Ok(()) }
    }

    /// Ends the process and waits until it is gone, and with it every port of the host.
    ///
    /// # Errors
    /// [`Error::System`] where it can't be waited for.
    pub fn stop(mut self) -> Result<(), Error> {
        self.end()
    }

    /// Ends the process and does not wait: the kernel takes some 20 ms to give its interface back. For a caller who ends soon
    /// himself, because until then the process stays a zombie, and who has no forwards, because their ports are taken until it is
    /// gone.
    pub fn let_go(mut self) {
        self.kill();
    }

    /// False: it has ended already.
    fn kill(&mut self) -> bool {
        if self.exit.take().is_none() {
            return false;
        }
        // It has nothing to finish, and a stopped one (SIGSTOP) would never see its descriptor close.
        let _ = self.child.kill();
        true
    }

    fn end(&mut self) -> Result<(), Error> {
        if !self.kill() {
            return Ok(());
        }
        self.child.wait().map(drop).map_err(|error| Error::system("wait for slirp4netns", error))
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
                Err(error) => return Err(Error::system("read the messages of slirp4netns", error)),
            }
        }
    }

    fn ended(&mut self) -> Error {
        let status = match self.child.wait() {
            Ok(status) => status,
            Err(error) => return Error::system("wait for slirp4netns", error),
        };
        self.exit = None;
        let said = [said(&self.words), status.to_string()].into_iter().filter(|text| !text.is_empty());
        Error::Ended { said: said.collect::<Vec<_>>().join("; ") }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// Readable when the process says something, hung up when it has ended: call [`Running::check`] then.
impl AsFd for Running {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stderr.as_fd()
    }
}

/// The socket's path, short enough for the address of a socket (unix(7)): else through a descriptor of its directory, which the
/// program inherits.
fn socket_path(path: &Path) -> Result<SocketPath, Error> {
    let failed = |error: io::Error| Error::system(format!("open the directory of {}", path.display()), error);
    let short = SocketPath::of(path).map_err(failed)?;
    if let Some(directory) = &short.directory {
        let kept = fcntl(directory, FcntlArg::F_SETFD(FdFlag::empty()));
        kept.map_err(|errno| failed(errno.into()))?;
    }
    Ok(short)
}

/// Whether it is said by every slirp4netns of what it does: nothing to tell a user who asks why it has ended.
pub fn is_ordinary(line: &str) -> bool {
    const ORDINARY: [&str; 4] = ["sent tapfd", "received tapfd", "apifd event", "api_handler: got request"];
    ORDINARY.iter().any(|start| line.starts_with(start))
}

/// The words on one line, without what it says of its ordinary doings.
fn said(words: &[u8]) -> String {
    let words = String::from_utf8_lossy(words);
    let lines = words.lines().map(str::trim).filter(|line| !line.is_empty() && !is_ordinary(line));
    lines.collect::<Vec<_>>().join("; ")
}

/// Opening is the one test that permissions, device rules of a cgroup and a missing module all fail. For afterwards, where a reason is
/// looked for: closing the device again waits for whoever is changing a network of this machine, some milliseconds at times.
fn check_device() -> Result<(), Error> {
    let opened = File::options().read(true).write(true).open("/dev/net/tun");
    let errno = |error: io::Error| Errno::from_raw(error.raw_os_error().unwrap_or_default());
    opened.map(drop).map_err(|error| Error::Device { errno: errno(error) })
}

/// poll(2) until the deadline; 0 then. Signals do not end it.
fn poll_until(events: &mut [PollFd<'_>], deadline: Instant) -> Result<i32, Error> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // Rounded up, or the last millisecond would be spent in a loop.
        let left = PollTimeout::try_from(left + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX);
        match poll(events, left) {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(Error::system("wait for slirp4netns", errno)),
            Ok(count) => return Ok(count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_ordinary_doings_are_no_last_words() {
        assert_eq!(
            said(b"sent tapfd=5 for tap0\nreceived tapfd=5\nset route: No such process\n"),
            "set route: No such process"
        );
    }
}
