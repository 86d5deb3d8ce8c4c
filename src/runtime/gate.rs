//! Between `create` and `start`: the container's first process waits at a gate, which another process opens.
//!
//! Owns two FIFOs in the container's state directory. Through `start` comes one byte; through `started` goes a failure of what
//! comes after, and its end, when exec has closed it, says that there was none. FIFOs and not a socket, because the
//! container's seccomp filter may be on already, and read, write and close are what any program needs. The surprise: the waiting
//! side opens both for reading and writing, so that it neither waits in open nor sees an end; so the other side learns from
//! open alone (ENXIO) that nobody is waiting any more.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::message::Failure;
use crate::error::{Context, Error, Result, catalog::process as codes, catalog::state};
use crate::sys::launcher;

const START: &str = "start";
const STARTED: &str = "started";

/// The waiting side.
#[derive(Debug)]
pub(super) struct Gate {
    start: OwnedFd,
    started: OwnedFd,
    /// The same for writing only: the launcher waits by reading, which here ends at once.
    launchers: OwnedFd,
}

/// Makes the FIFOs in a state directory.
///
/// # Errors
/// The directory's.
pub fn make(dir: &Path) -> Result<()> {
    for name in [START, STARTED] {
        let path = dir.join(name);
        mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR)
            .context(&state::STATE, || format!("make the FIFO {}", path.display()))?;
    }
    Ok(())
}

/// Whether `start` is still to come.
pub fn is_closed(dir: &Path) -> bool {
    dir.join(START).exists()
}

/// Opens the gate and waits until the command runs.
///
/// # Errors
/// Nobody waits there; or why the command could not be executed.
pub fn open_up(dir: &Path) -> Result<()> {
    let doing = || "start the container".to_owned();
    let gone = |errno: Errno| match errno {
        Errno::ENXIO | Errno::ENOENT => Error::new(&codes::NOT_CREATED, doing()),
        errno => Error::new(&codes::NOT_CREATED, doing()).because(errno),
    };
    let flags = OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let started = open(&dir.join(STARTED), OFlag::O_RDONLY | flags, Mode::empty()).map_err(gone)?;
    let start = open(&dir.join(START), OFlag::O_WRONLY | flags, Mode::empty()).map_err(gone)?;
    let text =
        fcntl(&started, FcntlArg::F_SETFL(OFlag::empty())).context(&codes::NOT_CREATED, doing).and_then(|_| {
            // Gone first: whoever sees the FIFO may open the gate, and that is to happen once.
            let _ = std::fs::remove_file(dir.join(START));
            File::from(start).write_all(b"s").context(&codes::NOT_CREATED, doing)?;
            let mut text = Vec::new();
            File::from(started).read_to_end(&mut text).context(&codes::NOT_CREATED, doing)?;
            Ok(text)
        })?;
    let _ = std::fs::remove_file(dir.join(STARTED));
    if let Some(errno) = launcher::answer(&text) {
        return Err(Error::new(&codes::NOT_EXECUTABLE, "execute the container's command").because(errno));
    }
    match serde_json::from_slice::<Failure>(&text) {
        Ok(failure) => Err(failure.into()),
        Err(_) => Ok(()),
    }
}

impl Gate {
    /// Opens both ends, while the host's files are still there.
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let one = |name: &str, mode: OFlag| {
            let path = dir.join(name);
            open(&path, mode | OFlag::O_CLOEXEC, Mode::empty())
                .context(&codes::SETUP, || format!("open the FIFO {}", path.display()))
        };
        let (start, started) = (one(START, OFlag::O_RDWR)?, one(STARTED, OFlag::O_RDWR)?);
        Ok(Self { start, started, launchers: one(STARTED, OFlag::O_WRONLY)? })
    }

    /// Where the launcher reports.
    pub(super) fn launchers_end(&self) -> BorrowedFd<'_> {
        self.launchers.as_fd()
    }

    /// Waits for `start`.
    pub(super) fn wait(&self) -> Result<()> {
        let mut byte = [0];
        loop {
            match nix::unistd::read(&self.start, &mut byte) {
                Err(Errno::EINTR) => {}
                other => return other.context(&codes::SETUP, || "wait for start".into()).map(drop),
            }
        }
    }

    /// What went wrong after it.
    pub(super) fn send_failure(&self, error: &Error) {
        if let Ok(text) = serde_json::to_vec(&Failure::from(error)) {
            let _ = nix::unistd::write(&self.started, &text);
        }
    }
}
