//! Terminal ioctls that nix does not wrap.
//!
//! Owns window sizes, the peer of a pty's master, and making a terminal the controlling one; termios itself is nix's.
//! The surprise: the slave of a pty is opened through its master (TIOCGPTPEER, Linux 4.13), never by the name
//! /dev/pts/N, because a name can lead to another file system's pts (CVE-2025-52565).

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

/// Rows and columns, as ioctl_tty(2) has them.
pub type WindowSize = libc::winsize;

/// The size of a terminal, or of the terminal behind a pty's master.
pub fn window_size(terminal: BorrowedFd<'_>) -> nix::Result<WindowSize> {
    let mut size = WindowSize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one winsize.
    Errno::result(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) })?;
    Ok(size)
}

/// The size, where it is known: a serial line does not know its own and says 0 by 0, and a pty's default is as good.
pub fn known_size(terminal: BorrowedFd<'_>) -> Option<WindowSize> {
    window_size(terminal).ok().filter(|size| size.ws_row != 0)
}

/// Sets the size; the kernel sends SIGWINCH to the terminal's foreground group when it differs.
pub fn set_window_size(terminal: BorrowedFd<'_>, size: &WindowSize) -> nix::Result<()> {
    // SAFETY: TIOCSWINSZ reads one winsize.
    Errno::result(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, std::ptr::from_ref(size)) }).map(drop)
}

/// Lets the slave of a pty's master be opened (unlockpt(3), which nix offers for masters of its own only).
pub fn unlock(master: BorrowedFd<'_>) -> nix::Result<()> {
    let locked: libc::c_int = 0;
    // SAFETY: TIOCSPTLCK reads one int.
    Errno::result(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const locked) }).map(drop)
}

/// Opens the slave of a pty's master, close-on-exec and without making it the controlling terminal.
pub fn peer(master: BorrowedFd<'_>) -> nix::Result<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: TIOCGPTPEER takes open flags by value.
    let fd = Errno::result(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) })?;
    // SAFETY: the call has just made this descriptor, nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes a terminal the controlling terminal of the calling session leader, which must have none.
pub fn make_controlling(terminal: BorrowedFd<'_>) -> nix::Result<()> {
    // SAFETY: TIOCSCTTY takes a number; 0 does not steal it from another session.
    Errno::result(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY, 0) }).map(drop)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use nix::fcntl::OFlag;

    use super::*;

    #[test]
    fn a_size_set_on_the_master_is_seen_on_the_peer() {
        let master = nix::pty::posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).expect("openpt");
        nix::pty::unlockpt(&master).expect("unlockpt");
        let slave = peer(master.as_fd()).expect("peer");
        set_window_size(master.as_fd(), &WindowSize { ws_row: 33, ws_col: 101, ws_xpixel: 0, ws_ypixel: 0 })
            .expect("set");
        let size = window_size(slave.as_fd()).expect("get");
        assert_eq!((size.ws_row, size.ws_col), (33, 101));
    }

    #[test]
    fn a_pipe_has_no_window_size() {
        let (read, _write) = nix::unistd::pipe().expect("pipe");
        assert_eq!(window_size(read.as_fd()).map(|size| size.ws_row), Err(Errno::ENOTTY));
    }
}
