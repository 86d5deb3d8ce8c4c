//! The forwarder's own socket, `RUN/containers/ID/ports`: a port is added with its socket, or removed.
//!
//! The surprise: whoever adds a port brings the bound socket along (SCM_RIGHTS), because the forwarder has left the host's network
//! and could not make one.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::socket::{
    self, AddressFamily, Backlog, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, recvmsg,
    sendmsg, sockopt,
};
use nix::sys::stat::Mode;
use nix::sys::time::{TimeVal, TimeValLike};
use serde::{Deserialize, Serialize};

use super::{Item, Loop};
use crate::error::{Context, Result, catalog::network as codes};
use crate::network::ports::{Bound, Leg, listen as let_in};
use crate::sys::process::adopt;

const PATIENCE_MS: i64 = 5000;
const LONGEST: usize = 64 << 10;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Request {
    Add(Leg),
    Remove(Leg),
}

pub(in crate::network) fn seqpacket(flags: SockFlag) -> Result<OwnedFd, Errno> {
    socket::socket(AddressFamily::Unix, SockType::SeqPacket, flags | SockFlag::SOCK_CLOEXEC, None)
}

/// Calls `work` with an address of the socket that is short enough (107 bytes): through a descriptor of its directory.
pub(in crate::network) fn addressed<T>(
    path: &Path,
    work: impl FnOnce(&UnixAddr) -> Result<T, Errno>,
) -> Result<T, Errno> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err(Errno::EINVAL) };
    let directory = open(parent, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let short = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
    work(&UnixAddr::new(&short)?)
}

pub(in crate::network) fn listen(path: &Path) -> Result<OwnedFd, Errno> {
    let fd = seqpacket(SockFlag::SOCK_NONBLOCK)?;
    // Of a forwarder that is gone.
    let _ = nix::unistd::unlink(path);
    addressed(path, |address| socket::bind(fd.as_raw_fd(), address))?;
    socket::listen(&fd, Backlog::MAXCONN)?;
    Ok(fd)
}

/// Serves one client after the other; they are the same user, and at most late.
pub(super) fn answer(all: &mut Loop, listener: &OwnedFd) {
    while let Ok(fd) = socket::accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC) {
        let client = adopt(fd);
        let answer = serve(all, &client).map_or_else(|errno| errno as i32, |()| 0);
        let _ = socket::send(client.as_raw_fd(), &answer.to_ne_bytes(), MsgFlags::MSG_NOSIGNAL);
    }
}

fn serve(all: &mut Loop, client: &OwnedFd) -> Result<(), Errno> {
    socket::setsockopt(client, sockopt::ReceiveTimeout, &TimeVal::milliseconds(PATIENCE_MS))?;
    let (text, fd) = receive(client)?;
    match (serde_json::from_slice(&text).map_err(|_| Errno::EBADMSG)?, fd) {
        (Request::Add(leg), Some(fd)) => all.serve((leg, fd)),
        (Request::Add(_), None) => Err(Errno::EBADF),
        (Request::Remove(leg), _) => {
            let same = |item: &Item| match item {
                Item::Listener((own, _)) => *own == leg,
                Item::Udp(listener) => listener.leg == leg,
                _ => false,
            };
            let found = all.items.iter().find(|(_, item)| same(item)).map(|(id, _)| *id);
            let id = found.ok_or(Errno::ENOENT)?;
            all.items.remove(&id);
            Ok(())
        }
    }
}

pub(in crate::network) fn receive(client: &OwnedFd) -> Result<(Vec<u8>, Option<OwnedFd>), Errno> {
    let mut text = vec![0; LONGEST];
    let mut space = nix::cmsg_space!([RawFd; 1]);
    let (count, fd) = {
        let mut buffers = [IoSliceMut::new(&mut text)];
        let message =
            recvmsg::<UnixAddr>(client.as_raw_fd(), &mut buffers, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
        let fd = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
            _ => None,
        });
        (message.bytes, fd)
    };
    text.truncate(count);
    Ok((text, fd.map(adopt)))
}

/// Gives the forwarder behind `path` another port. False: there is no forwarder.
///
/// # Errors
/// `RL0704` where it refuses.
pub fn add(path: &Path, bound: &Bound) -> Result<bool> {
    let_in(bound)?;
    ask(path, &Request::Add(bound.0), Some(&bound.1))
}

/// Takes a port away from the forwarder. False: there is no forwarder, or it does not serve that port.
///
/// # Errors
/// `RL0704` where it does not answer.
pub fn remove(path: &Path, leg: &Leg) -> Result<bool> {
    ask(path, &Request::Remove(*leg), None)
}

fn ask(path: &Path, request: &Request, fd: Option<&OwnedFd>) -> Result<bool> {
    let doing = || "speak with the forwarder of published ports".to_owned();
    let server = seqpacket(SockFlag::empty()).context(&codes::NETWORK, doing)?;
    let patience = TimeVal::milliseconds(PATIENCE_MS);
    socket::setsockopt(&server, sockopt::SendTimeout, &patience).context(&codes::NETWORK, doing)?;
    socket::setsockopt(&server, sockopt::ReceiveTimeout, &patience).context(&codes::NETWORK, doing)?;
    match addressed(path, |address| socket::connect(server.as_raw_fd(), address)) {
        Err(Errno::ENOENT | Errno::ECONNREFUSED) => return Ok(false),
        connected => connected.context(&codes::NETWORK, doing)?,
    }
    let text = serde_json::to_vec(request).context(&codes::NETWORK, doing)?;
    let raw = fd.map(|fd| [fd.as_raw_fd()]);
    let rights = raw.as_ref().map(|raw| ControlMessage::ScmRights(raw));
    sendmsg::<UnixAddr>(server.as_raw_fd(), &[IoSlice::new(&text)], rights.as_slice(), MsgFlags::MSG_NOSIGNAL, None)
        .context(&codes::NETWORK, doing)?;
    let mut answer = [0; 4];
    socket::recv(server.as_raw_fd(), &mut answer, MsgFlags::empty()).context(&codes::NETWORK, doing)?;
    match i32::from_ne_bytes(answer) {
        0 => Ok(true),
        libc::ENOENT => Ok(false),
        errno => Err(Errno::from_raw(errno)).context(&codes::NETWORK, doing),
    }
}
