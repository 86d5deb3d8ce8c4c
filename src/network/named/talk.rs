//! What is said to a network's holder, over `RUN/networks/NAME/socket`.
//!
//! The surprise: the container's network namespace comes along as a descriptor (SCM_RIGHTS), because before its command runs a
//! container's first process shows nothing of itself.

use std::fs::File;
use std::io::IoSlice;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::{self, ControlMessage, MsgFlags, SockFlag, UnixAddr, sendmsg, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use serde::{Deserialize, Serialize};

use super::Lease;
use crate::error::{Context, Error, Result, catalog::network as codes};
use crate::network::forward::control::{addressed, receive, seqpacket};
use crate::spec::networks::Joining;
use crate::sys::process::adopt;

pub(super) const SOCKET: &str = "socket";
const PATIENCE_MS: i64 = 30_000;
const LONGEST: usize = 64 << 10;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Request {
    Join { joining: Box<Joining>, pid: i32 },
    Leave { id: String },
}

/// None: it is not in there.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Reply {
    Done(Option<Lease>),
    Failed(String),
}

/// None: there is no holder, or for [`Request::Leave`] no such container.
pub(super) fn ask(dir: &Path, request: &Request, namespace: Option<&File>) -> Result<Option<Lease>> {
    let doing = || "speak with the holder of the network".to_owned();
    let server = seqpacket(SockFlag::empty()).context(&codes::NAMED, doing)?;
    let patience = TimeVal::milliseconds(PATIENCE_MS);
    socket::setsockopt(&server, sockopt::ReceiveTimeout, &patience).context(&codes::NAMED, doing)?;
    match addressed(&dir.join(SOCKET), |address| socket::connect(server.as_raw_fd(), address)) {
        Err(Errno::ENOENT | Errno::ECONNREFUSED) => return Ok(None),
        connected => connected.context(&codes::NAMED, doing)?,
    }
    let text = serde_json::to_vec(request).context(&codes::NAMED, doing)?;
    let raw = namespace.map(|namespace| [namespace.as_raw_fd()]);
    let rights = raw.as_ref().map(|raw| ControlMessage::ScmRights(raw));
    let words = [IoSlice::new(&text)];
    let sent = sendmsg::<UnixAddr>(server.as_raw_fd(), &words, rights.as_slice(), MsgFlags::MSG_NOSIGNAL, None);
    let mut answer = vec![0; LONGEST];
    let heard = sent.and_then(|_| socket::recv(server.as_raw_fd(), &mut answer, MsgFlags::empty()));
    let count = match heard {
        // One that was being killed: what it had done is gone with its namespace.
        Ok(0) | Err(Errno::EPIPE | Errno::ECONNRESET) => return Ok(None),
        heard => heard.context(&codes::NAMED, doing)?,
    };
    match serde_json::from_slice(&answer[..count]).context(&codes::NAMED, doing)? {
        Reply::Done(lease) => Ok(lease),
        Reply::Failed(why) => {
            let what = match request {
                Request::Join { joining, .. } => format!("join the network {}", joining.network.name),
                Request::Leave { .. } => "leave the network".to_owned(),
            };
            Err(Error::new(&codes::NAMED, what).because(why))
        }
    }
}

/// One client: the holder's side.
pub(super) fn serve(listener: &OwnedFd, work: impl FnOnce(Request, Option<OwnedFd>) -> Reply) {
    let Ok(client) = socket::accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC).map(adopt) else { return };
    let _ = socket::setsockopt(&client, sockopt::ReceiveTimeout, &TimeVal::milliseconds(5000));
    let Ok((text, namespace)) = receive(&client) else { return };
    let reply = match serde_json::from_slice(&text) {
        Ok(request) => work(request, namespace),
        Err(error) => Reply::Failed(error.to_string()),
    };
    if let Ok(text) = serde_json::to_vec(&reply) {
        let _ = socket::send(client.as_raw_fd(), &text, MsgFlags::MSG_NOSIGNAL);
    }
}
