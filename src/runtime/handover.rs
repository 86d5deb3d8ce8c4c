//! Hands a descriptor to whoever listens on a UNIX socket: the master of a terminal (`--console-socket`), a pidfd
//! (`--pidfd-socket`), the listener of a seccomp filter (linux.seccomp.listenerPath).
//!
//! One connection, one message, exactly one descriptor in it: conmon and containerd take the first and close the rest. The
//! surprise: a socket's path may be longer than the 107 bytes of an address; then it is reached through its directory.

use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, connect, sendmsg, socket,
};
use nix::sys::stat::Mode;

use crate::error::{Context, Result, catalog::process as codes};

/// A connected socket.
#[derive(Debug)]
pub struct Receiver(OwnedFd);

impl Receiver {
    /// Connects to the listener at `path`. `field` is what named it.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn connect(path: &Path, field: &str) -> Result<Self> {
        to(path).context(&codes::HANDOVER, || format!("connect to {field} {}", path.display())).map(Self)
    }

    /// Sends the text, at least one byte, and the descriptor.
    ///
    /// # Errors
    /// The listener has gone.
    pub fn send(&self, text: &[u8], fd: BorrowedFd<'_>) -> Result<()> {
        let fds = [fd.as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&fds)];
        let text = [IoSlice::new(text)];
        sendmsg::<UnixAddr>(self.0.as_raw_fd(), &text, &rights, MsgFlags::MSG_NOSIGNAL, None)
            .context(&codes::HANDOVER, || "send a descriptor".into())
            .map(drop)
    }
}

fn to(path: &Path) -> Result<OwnedFd, Errno> {
    let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    match UnixAddr::new(path) {
        Ok(address) => connect(socket.as_raw_fd(), &address)?,
        Err(_) => {
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err(Errno::ENOENT) };
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            let directory = open(parent, flags, Mode::empty())?;
            let short = Path::new("/proc/self/fd").join(directory.as_fd().as_raw_fd().to_string()).join(name);
            connect(socket.as_raw_fd(), &UnixAddr::new(&short)?)?;
        }
    }
    Ok(socket)
}
