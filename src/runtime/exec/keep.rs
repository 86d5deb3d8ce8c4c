//! The terminal of a detached exec: held open and read until the command has ended.
//!
//! The surprise: the process that does this is not the command's parent, which has gone; it knows the end from the pidfd.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::error::{Context, Result, catalog::process as codes};
use crate::sys::child::{close_all_but, fork};
use crate::sys::clone::Child;
use crate::sys::process::hide_arguments;

/// A terminal whose master nobody holds hangs up: a small process holds it until the command has ended.
pub(super) fn keep(child: &Child, master: &OwnedFd) -> Result<()> {
    let body = || {
        let _ = nix::unistd::setsid();
        let _ = nix::unistd::chdir("/");
        hide_arguments("rl: terminal");
        if close_all_but(&mut [master.as_raw_fd(), child.pidfd.as_raw_fd()]).is_err() {
            return 1;
        }
        drain(child, master);
        0
    };
    fork(body).map(drop).context(&codes::TERMINAL, || "make a process that keeps the terminal".into())
}

/// Reads what nobody will see, so that the command never waits for a reader.
fn drain(child: &Child, master: &OwnedFd) {
    let mut buffer = [0; 4096];
    loop {
        let mut polls =
            [PollFd::new(child.pidfd.as_fd(), PollFlags::POLLIN), PollFd::new(master.as_fd(), PollFlags::POLLIN)];
        match poll(&mut polls, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return,
        }
        let [ended, readable] = [&polls[0], &polls[1]].map(|poll| poll.any().unwrap_or(true));
        if ended || (readable && nix::unistd::read(master, &mut buffer).is_err()) {
            return;
        }
    }
}
