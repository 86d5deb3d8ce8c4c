//! What can go wrong, and what to do about it.
//!
//! Owns [`Error`]. The surprise: slirp4netns answers every port that it can't have with the same words, so why it was is found
//! out here, by asking the kernel for the same port ([`Taken`]).

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use nix::errno::Errno;

use crate::port::{Holder, Protocol};
use crate::program::Triple;

/// Why there is no network, or no forward.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program is nowhere.
    #[error("the program slirp4netns is not installed")]
    NotInstalled,
    /// The path that was given is no program.
    #[error("{} is not an executable file", path.display())]
    NotAProgram {
        /// The path.
        path: PathBuf,
    },
    /// /dev/net/tun can't be opened.
    #[error("cannot open /dev/net/tun")]
    Device {
        /// The answer: ENOENT where it is missing, EACCES or EPERM where it is closed to this user.
        #[source]
        errno: Errno,
    },
    /// The version can't be told.
    #[error("{} --version printed {said:?}, which names no version", program.display())]
    NoVersion {
        /// The program.
        program: PathBuf,
        /// What it printed.
        said: String,
    },
    /// A libslirp with holes that a container can reach.
    #[error("slirp4netns uses libslirp {0}, which a container can attack (CVE-2021-3592 to 3595, CVE-2020-29129)")]
    OldLibslirp(Triple),
    /// An option that this version does not know.
    #[error("slirp4netns {version} does not know {option}")]
    NotSupported {
        /// The version.
        version: Triple,
        /// The option.
        option: &'static str,
    },
    /// A network that slirp4netns can't make.
    #[error("{given:?} is no network for slirp4netns: {what}")]
    BadNetwork {
        /// What was given.
        given: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The program can't be started, watched or waited for.
    #[error("cannot {doing}")]
    System {
        /// What was being done.
        doing: String,
        /// The answer.
        source: io::Error,
    },
    /// The program ended by itself.
    #[error("slirp4netns ended ({said})")]
    Ended {
        /// Its last words, and its exit status.
        said: String,
    },
    /// The network did not come.
    #[error("slirp4netns was not ready within {seconds} seconds ({said})")]
    TooSlow {
        /// How long it had.
        seconds: u64,
        /// What it said in that time.
        said: String,
    },
    /// The API socket can't be spoken to.
    #[error("cannot {doing} over the API socket {}", socket.display())]
    Api {
        /// What was asked for.
        doing: String,
        /// The socket.
        socket: PathBuf,
        /// The answer.
        source: io::Error,
    },
    /// slirp4netns refuses what it was asked for.
    #[error("slirp4netns refused to {doing} ({said})")]
    Refused {
        /// What was asked for.
        doing: String,
        /// Its words.
        said: String,
    },
    /// A port of the host can't be had.
    #[error("cannot listen on {host}/{protocol}: {why}")]
    Port {
        /// The address and port of the host.
        host: SocketAddr,
        /// TCP or UDP.
        protocol: Protocol,
        /// Why not.
        why: Taken,
    },
}

/// Why a port of the host can't be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Taken {
    /// Somebody has it. The holder is known where it is the caller's own process.
    #[error("{}", held(holder.as_ref()))]
    InUse {
        /// Who.
        holder: Option<Holder>,
    },
    /// Below net.ipv4.ip_unprivileged_port_start.
    #[error("ports below {start} are for root (net.ipv4.ip_unprivileged_port_start)")]
    Privileged {
        /// The sysctl's value.
        start: u16,
    },
    /// The address is not this machine's.
    #[error("this machine does not have that address")]
    NotLocal,
    /// Anything else.
    #[error("{}", .0.desc())]
    Other(Errno),
}

fn held(holder: Option<&Holder>) -> String {
    match holder {
        Some(Holder { pid, command }) => format!("it is in use by {command} (process {pid})"),
        None => "it is in use by a process of another user".to_owned(),
    }
}

impl Error {
    pub(crate) fn system(doing: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::System { doing: doing.into(), source: source.into() }
    }

    /// What to do about it.
    pub fn fix(&self) -> String {
        match self {
            Self::NotInstalled => "Ask the administrator to install the package slirp4netns.",
            Self::NotAProgram { .. } => "Give the path of the program slirp4netns itself.",
            Self::Device { errno: Errno::ENOENT | Errno::ENODEV | Errno::ENXIO } => {
                "Ask the administrator for: modprobe tun. Inside a container, start the outer one with --device /dev/net/tun."
            }
            Self::Device { .. } => {
                "Ask the administrator for: chmod 666 /dev/net/tun, which is its mode on ordinary machines. Inside a \
                 container, start the outer one with --device /dev/net/tun."
            }
            Self::OldLibslirp(_) => "Ask the administrator for libslirp 4.6.0 or newer.",
            Self::NotSupported { .. } => "Ask the administrator for a newer slirp4netns, or leave the option out.",
            Self::BadNetwork { .. } => "Give an IPv4 network such as 10.0.2.0/24, of at most 25 bits.",
            Self::Ended { .. } | Self::TooSlow { .. } => {
                "The words in parentheses are the program's own; dmesg may say more about a process that was killed."
            }
            Self::Api { .. } | Self::Refused { .. } => "See whether slirp4netns still runs.",
            Self::Port { why, host, .. } => return why.fix(*host),
            Self::NoVersion { .. } | Self::System { .. } => "",
        }
        .to_owned()
    }
}

impl Taken {
    fn fix(&self, host: SocketAddr) -> String {
        let port = host.port();
        match self {
            Self::InUse { .. } => "Choose another port of the host, or end the process that has it.".to_owned(),
            Self::Privileged { .. } => format!(
                "Choose a port of the host from the sysctl's value on, or ask the administrator for: \
                 sysctl -w net.ipv4.ip_unprivileged_port_start={port}"
            ),
            Self::NotLocal => "ip address shows this machine's addresses.".to_owned(),
            Self::Other(_) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_names_the_port_and_its_holder() {
        let taken = |holder| Error::Port {
            host: ([127, 0, 0, 1], 8080).into(),
            protocol: Protocol::Tcp,
            why: Taken::InUse { holder },
        };
        let known = taken(Some(Holder { pid: 7, command: "nginx".into() })).to_string();
        assert_eq!(known, "cannot listen on 127.0.0.1:8080/tcp: it is in use by nginx (process 7)");
        assert!(taken(None).to_string().ends_with("by a process of another user"));
    }

    #[test]
    fn a_privileged_port_names_the_sysctl() {
        let why = Taken::Privileged { start: 1024 };
        let error = Error::Port { host: ([0, 0, 0, 0], 80).into(), protocol: Protocol::Udp, why };
        assert!(error.to_string().contains("ip_unprivileged_port_start"), "{error}");
        assert!(error.fix().ends_with("net.ipv4.ip_unprivileged_port_start=80"));
    }
}
