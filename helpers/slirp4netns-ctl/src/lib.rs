//! Finding, checking, starting, watching and stopping slirp4netns, and its API socket.
//!
//! Owns the program's command line, its process and the protocol by which ports are forwarded. It makes no namespace: the
//! caller has one, and may enter it. Nor does it decide whether a network is wanted.
//!
//! ```no_run
//! use std::net::{Ipv4Addr, SocketAddrV4};
//!
//! use slirp4netns_ctl::{Api, Forward, Options, Program, Protocol, Target};
//!
//! # fn main() -> Result<(), slirp4netns_ctl::Error> {
//! let program = Program::find(None, &[])?;
//! program.version()?.check()?;
//! let options = Options { api_socket: Some("/run/user/1000/x/api".into()), ..Options::default() };
//! let running = options.start(&program, Target::Process(4711), |_| ())?.wait()?;
//! let api = Api::new("/run/user/1000/x/api");
//! let web = Forward {
//!     protocol: Protocol::Tcp,
//!     host: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8080),
//!     guest: SocketAddrV4::new(options.network.guest(), 80),
//! };
//! web.check()?;
//! let added = api.add(&web)?;
//! api.remove(added.id)?;
//! running.stop()
//! # }
//! ```
//!
//! The surprise: the program ends when the write end of a pipe is closed (`--exit-fd`), which [`Running`] holds. So it ends
//! with the process that started it, however that ends, and needs no PR_SET_PDEATHSIG.

#![forbid(unsafe_code)]

mod api;
mod error;
mod network;
mod options;
mod port;
mod program;
mod running;

pub use api::{Added, Api, Entry};
pub use error::{Error, Taken};
pub use network::Network;
pub use options::{Options, Outbound, Target};
pub use port::{Forward, Holder, Protocol, holder, unprivileged_start};
pub use program::{Program, Version};
pub use running::{Running, Starting, is_ordinary};
