//! Raw mode of the caller's terminal, and its way back even after `kill -9`.
//!
//! Owns the saved modes and the guard: a tiny process that waits on a socket whose other end only `rl` has, and
//! restores the terminal when `rl` is gone without having said so. The surprise: it restores only while the terminal
//! still has exactly the modes that `rl` gave it. The caller's shell is told of the end of `rl` at the same moment
//! and sets modes for its own line editing; a late restore would break those.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::socket::{MsgFlags, send};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::{Pid, chdir, getpgrp, read, setsid, tcgetpgrp};

use crate::sys::child::{close_all_but, fork, wait_pid};

/// A terminal in raw mode; dropping it restores the modes.
#[derive(Debug)]
pub struct RawMode {
    terminal: OwnedFd,
    saved: Termios,
    raw: Termios,
    /// The guard's process and our end of its socket.
    guard: (Pid, UnixStream),
}

impl RawMode {
    /// Saves the modes and starts the guard; the terminal is made raw by [`RawMode::enter`].
    pub fn start(terminal: BorrowedFd<'_>) -> nix::Result<Self> {
        let terminal = terminal.try_clone_to_owned().map_err(|error| from_io(&error))?;
        let saved = tcgetattr(&terminal)?;
        let mut raw = saved.clone();
        cfmakeraw(&mut raw);
        let (ours, its) = UnixStream::pair().map_err(|error| from_io(&error))?;
        let guard = fork(|| guard(&its, &terminal, &saved, &raw))?;
        drop(its);
        // From here on nothing that happens to rl can leave the terminal raw. An end instead of the byte: it died.
        let _ = read(&ours, &mut [0])?;
        Ok(Self { terminal, saved, raw, guard: (guard, ours) })
    }

    /// Whether this process may use the terminal now. One that is not our controlling terminal knows no background.
    pub fn in_foreground(&self) -> bool {
        tcgetpgrp(&self.terminal).map_or(true, |group| group == getpgrp())
    }

    /// Raw. Never TCSADRAIN or TCSAFLUSH: the one can block on a terminal that has been stopped, the other throws
    /// away what was typed ahead. Only for the foreground: with SIGTTOU blocked the kernel would let a background
    /// process do it too.
    pub fn enter(&self) -> nix::Result<()> {
        tcsetattr(&self.terminal, SetArg::TCSANOW, &self.raw)
    }

    /// The caller's modes, for a while.
    pub fn leave(&self) {
        restore(self.terminal.as_fd(), &self.saved, &self.raw);
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        self.leave();
        let (pid, socket) = &self.guard;
        // A guard that was killed can't be told; it is reaped all the same.
        let _ = send(socket.as_raw_fd(), b"x", MsgFlags::MSG_NOSIGNAL);
        let _ = wait_pid(*pid);
    }
}

/// Back to `saved`, unless somebody else has changed the modes meanwhile. A terminal that refuses has been closed.
/// The modes are ours to take back from the background too, so SIGTTOU must not stop this.
fn restore(terminal: BorrowedFd<'_>, saved: &Termios, raw: &Termios) {
    // The control flags are left out of the comparison: drivers correct them.
    let modes = |of: &Termios| (of.input_flags, of.output_flags, of.local_flags);
    if !tcgetattr(terminal).is_ok_and(|now| modes(&now) == modes(raw)) {
        return;
    }
    let mut stop = SigSet::empty();
    stop.add(Signal::SIGTTOU);
    let before = stop.thread_swap_mask(SigmaskHow::SIG_BLOCK);
    let _ = tcsetattr(terminal, SetArg::TCSANOW, saved);
    if let Ok(before) = before {
        let _ = before.thread_set_mask();
    }
}

/// The guard's whole life. It holds nothing of the container and nothing of the caller but the terminal.
///
/// In a session of its own it has no controlling terminal: no key and no hang-up reaches it, and tcsetattr is not
/// refused to it as to a background process, because the kernel asks that only about one's own controlling terminal.
fn guard(socket: &UnixStream, terminal: &OwnedFd, saved: &Termios, raw: &Termios) -> u8 {
    let prepared = SigSet::all().thread_block().and_then(|()| setsid()).and_then(|_| chdir("/"));
    if prepared.and_then(|()| close_all_but(&mut [socket.as_raw_fd(), terminal.as_raw_fd()])).is_err() {
        return 1;
    }
    // Only the name in ps.
    let _ = prctl::set_name(c"rl-terminal");
    let _ = send(socket.as_raw_fd(), b"r", MsgFlags::MSG_NOSIGNAL);
    // A byte: rl has restored the modes itself. The end: it was killed.
    if let Ok(0) = read(socket, &mut [0]) {
        restore(terminal.as_fd(), saved, raw);
    }
    0
}

fn from_io(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(0))
}
