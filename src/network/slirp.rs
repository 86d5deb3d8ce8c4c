//! slirp4netns, with what `rl` knows of this machine.
//!
//! Owns the choice of the program and turning its errors into `rl`'s. The surprise: IPv6 is left out where the kernel has none,
//! because slirp4netns itself does not look; and each connection of the container is a file of slirp4netns, so that it is given as
//! many as there are to be had.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

use nix::sys::socket::{self, Backlog, SockaddrIn, sockopt};
use nix::unistd::Pid;
use slirp4netns_ctl::{Error as Trouble, Options, Program, Starting, Target, Version};

use super::program::{own_directory, remembered};
use crate::error::{Error, Result, catalog::network as codes};
use crate::host::procfs;
use crate::sys::child::{descriptor_of, open_pidfd};
use crate::sys::process::opens_many_files;

/// The API socket in the container's run directory, which the container does not see.
pub(super) const API: &str = "slirp4netns";

#[derive(Debug)]
pub(super) struct Slirp {
    program: Program,
    options: Options,
}

impl Slirp {
    pub(super) fn prepare(options: &Options, run: &Path) -> Result<Self> {
        let configured = |config: crate::host::config::Config| config.slirp4netns;
        let (program, version) = remembered::<(Program, Version)>(run, "slirp4netns", configured, |given| {
            let program = Program::find(given.as_deref(), own_directory().as_slice());
            let program = program.map_err(|error| failed(error, "find slirp4netns"))?;
            let version = program.version().map_err(|error| failed(error, "ask slirp4netns for its version"))?;
            version.check().map_err(|error| failed(error, &format!("use {}", program.path().display())))?;
            Ok((program.path().to_owned(), (program, version)))
        })?;
        options.check(&version).map_err(|error| failed(error, "use slirp4netns"))?;
        let ipv6 = options.ipv6 && Path::new("/proc/sys/net/ipv6").exists();
        Ok(Self { program, options: Options { ipv6, ..options.clone() } })
    }

    /// The container's address.
    pub(super) fn guest(&self) -> std::net::Ipv4Addr {
        self.options.network.guest()
    }

    /// Without a socket: nobody adds forwards to it.
    pub(super) fn start_in(&self, namespace: OwnedFd) -> Result<Starting, Trouble> {
        self.options.start(&self.program, Target::Descriptor(namespace), opens_many_files)
    }

    pub(super) fn start(self, namespace: OwnedFd, dir: &Path) -> Result<Starting> {
        let options = Options { api_socket: Some(dir.join(API)), ..self.options };
        options
            .start(&self.program, Target::Descriptor(namespace), opens_many_files)
            .map_err(|error| failed(error, "start slirp4netns"))
    }
}

/// Lets as many clients wait at the ports that this process publishes as the system allows.
///
/// libslirp listens with a queue of one. Of 3,000 clients, 16 at a time, 143 found it full and came in a second or more later, when the
/// kernel tried once more; four were reset. A descriptor of the same socket is enough to listen once more (listen(2)). Where the
/// kernel gives none (before 5.6, or Yama) the ports are as libslirp made them.
pub(super) fn let_clients_wait(pid: i32) {
    let Ok(pidfd) = open_pidfd(Pid::from_raw(pid)) else { return };
    for number in procfs::descriptors(pid) {
        let _ = lengthen_queue(pidfd.as_fd(), number);
    }
}

/// Of a socket that listens for TCP over IPv4: of slirp4netns a published port, and nothing else.
fn lengthen_queue(pidfd: BorrowedFd<'_>, number: RawFd) -> nix::Result<()> {
    let fd = descriptor_of(pidfd, number)?;
    if socket::getsockopt(&fd, sockopt::AcceptConn)? && socket::getsockname::<SockaddrIn>(fd.as_raw_fd()).is_ok() {
        socket::listen(&fd, Backlog::MAXCONN)?;
    }
    Ok(())
}

/// The catalog's entry for what the helper's crate says.
pub(super) fn failed(error: Trouble, doing: &str) -> Error {
    let entry = match &error {
        Trouble::NotInstalled | Trouble::NotAProgram { .. } => &codes::NO_PROGRAM,
        Trouble::Device { .. } => &codes::NO_TUN,
        Trouble::OldLibslirp(_) => &codes::OLD_LIBSLIRP,
        Trouble::Port { .. } => &codes::PORT,
        _ => &codes::NETWORK,
    };
    let mut fix = error.fix();
    let made = Error::new(entry, doing).because(error);
    if fix.is_empty() {
        return made;
    }
    if *entry != codes::PORT {
        fix.push_str(" Without a network: --network=none.");
    }
    made.fix(fix)
}
