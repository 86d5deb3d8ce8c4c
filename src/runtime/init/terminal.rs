//! The container's terminal, and what 0-2 of the command are.
//!
//! Owns opening a pty of the container's own devpts, and what it takes over from the caller's terminal. The surprise: nothing at
//! these paths is believed, neither /dev/pts/ptmx nor /dev/null: root of a container that runs may have put something else there.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::sys::statfs::{DEVPTS_SUPER_MAGIC, fstatfs};
use nix::sys::termios::{InputFlags, SetArg, SpecialCharacterIndices, tcgetattr, tcsetattr};

use super::{Init, State};
use crate::error::{Context, Error, Result, catalog::process as codes};
use crate::plan::Process;
use crate::runtime::console::callers_terminal;
use crate::sys::terminal;

impl State {
    /// A pty of the container's own devpts: what the container gets is never a descriptor of the caller's terminal.
    pub(super) fn terminal(&mut self, init: &Init<'_>) -> Result<()> {
        let doing = || "open a terminal in the container's devpts".to_owned();
        let root = self.root()?;
        let master = root.open(Path::new("/dev/pts/ptmx"), OFlag::O_RDWR | OFlag::O_NOCTTY)?;
        let kind = fstatfs(&master).context(&codes::SETUP, doing)?.filesystem_type();
        if kind != DEVPTS_SUPER_MAGIC {
            return Err(Error::new(&codes::SETUP, doing()).because("/dev/pts is not a devpts file system"));
        }
        terminal::unlock(master.as_fd()).context(&codes::SETUP, doing)?;
        let slave = terminal::peer(master.as_fd()).context(&codes::SETUP, doing)?;
        resemble_callers(master.as_fd(), init.plan.process.interactive);
        if let Some((rows, columns)) = init.plan.process.console_size {
            let size = terminal::WindowSize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
            terminal::set_window_size(master.as_fd(), &size).context(&codes::SETUP, doing)?;
        }
        if !init.plan.joins_root() {
            root.bind_descriptor(slave.as_fd(), Path::new("/dev/console"))?;
        }
        terminal::make_controlling(slave.as_fd()).context(&codes::SETUP, doing)?;
        init.channel.send_terminal(&master).context(&codes::SETUP, || "hand the terminal to rl".into())?;
        self.slave = Some(slave);
        Ok(())
    }

    /// 0-2 of the command: the terminal, or what the caller has, with nothing to read unless `-i` says so.
    pub(super) fn stdio(&self, process: &Process) -> Result<()> {
        let doing = || "set up stdin, stdout and stderr".to_owned();
        if let Some(slave) = &self.slave {
            nix::unistd::dup2_stdin(slave).context(&codes::SETUP, doing)?;
            nix::unistd::dup2_stdout(slave).context(&codes::SETUP, doing)?;
            nix::unistd::dup2_stderr(slave).context(&codes::SETUP, doing)?;
        } else if !process.interactive {
            nix::unistd::dup2_stdin(&null_device().context(&codes::SETUP, doing)?).context(&codes::SETUP, doing)?;
        }
        Ok(())
    }
}

/// What the caller's terminal decides, where 0-2 are still the caller's: the size, and of the modes what its keyboard has to do with,
/// the erase key and whether a character may have several bytes (IUTF8; without it erasing leaves half of one). ssh passes the
/// same on. Here and not where the master is relayed, which goes on beside the command: its first `stty` would be undone.
///
/// Nothing depends on it.
fn resemble_callers(master: BorrowedFd<'_>, interactive: bool) {
    if let Some(size) = callers_terminal().and_then(|fd| terminal::known_size(fd.as_fd())) {
        let _ = terminal::set_window_size(master, &size);
    }
    if let (true, Ok(callers), Ok(mut modes)) = (interactive, tcgetattr(io::stdin()), tcgetattr(master)) {
        let erase = SpecialCharacterIndices::VERASE as usize;
        modes.input_flags.set(InputFlags::IUTF8, callers.input_flags.contains(InputFlags::IUTF8));
        modes.control_chars[erase] = callers.control_chars[erase];
        let _ = tcsetattr(master, SetArg::TCSANOW, &modes);
    }
}

/// Checked to be the device: without waiting for the other end of what root of a running container may have put there.
fn null_device() -> io::Result<File> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let null = OpenOptions::new().read(true).custom_flags(flags.bits()).open("/dev/null")?;
    if null.metadata()?.rdev() == libc::makedev(1, 3) {
        return Ok(null);
    }
    Err(io::Error::other("/dev/null is not the null device"))
}
