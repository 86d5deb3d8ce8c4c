//! The network as data, and the program's command line for it.
//!
//! Owns [`Options`]. It starts nothing. The surprise: the safe choice is the default everywhere: sandbox, seccomp filter and
//! no way to the host's loopback; only the last can be given up.

use std::ffi::OsString;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::api::SocketPath;
use crate::{Error, Network, Version};

/// As large as a packet of slirp can be: fewer packets, more throughput.
const MTU: u16 = 65520;

/// Whose network it shall be.
#[derive(Debug)]
pub enum Target {
    /// The network namespace of a process, entered by way of its user namespace.
    Process(u32),
    /// A network namespace by a path, such as /proc/4711/fd/5.
    Path(PathBuf),
    /// A network namespace that is open; it becomes the program's stdin.
    Descriptor(OwnedFd),
}

/// From which address connections go out: an address of the host, or the name of an interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outbound<A> {
    /// The address.
    Address(A),
    /// The interface, whose address is taken when slirp4netns starts.
    Interface(String),
}

/// What the network is like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// The name of the interface inside.
    pub interface: String,
    /// The MTU of the interface inside.
    pub mtu: u16,
    /// The IPv4 network inside.
    pub network: Network,
    /// Whether there is IPv6 inside, `fd00::/64`.
    pub ipv6: bool,
    /// From where connections go out.
    pub outbound: Option<Outbound<Ipv4Addr>>,
    /// From where IPv6 connections go out.
    pub outbound6: Option<Outbound<Ipv6Addr>>,
    /// Whether the host's 127.0.0.1 can be reached as the network's gateway.
    pub allow_host_loopback: bool,
    /// Without the forwarder of DNS.
    pub disable_dns: bool,
    /// Where the API socket shall be; its directory must exist, and should be closed to others.
    pub api_socket: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            interface: "tap0".into(),
            mtu: MTU,
            network: Network::default(),
            ipv6: true,
            outbound: None,
            outbound6: None,
            allow_host_loopback: false,
            disable_dns: false,
            api_socket: None,
        }
    }
}

impl Options {
    /// Whether this version can do all of it; the error names the option.
    ///
    /// # Errors
    /// [`Error::NotSupported`].
    pub fn check(&self, version: &Version) -> Result<(), Error> {
        let outbound = self.outbound.is_some() || self.outbound6.is_some();
        let needs = [
            (true, version.has_sandbox(), "--enable-sandbox"),
            (true, version.seccomp, "--enable-seccomp"),
            (outbound, version.has_outbound_address(), "--outbound-addr"),
            (self.disable_dns, version.has_disable_dns(), "--disable-dns"),
        ];
        match needs.into_iter().find(|(wanted, there, _)| *wanted && !there) {
            Some((_, _, option)) => Err(Error::NotSupported { version: version.program, option }),
            None => Ok(()),
        }
    }

    /// The whole command line behind the program's name.
    pub(crate) fn arguments(&self, target: &Target, ready: i32, exit: i32, api: Option<&SocketPath>) -> Vec<OsString> {
        let mut words: Vec<OsString> = ["--configure", "--enable-sandbox", "--enable-seccomp"].map(Into::into).into();
        let mut option = |text: String| words.push(text.into());
        option(format!("--ready-fd={ready}"));
        option(format!("--exit-fd={exit}"));
        option(format!("--mtu={}", self.mtu));
        option(format!("--cidr={}", self.network));
        if self.ipv6 {
            option("--enable-ipv6".into());
        }
        if !self.allow_host_loopback {
            option("--disable-host-loopback".into());
        }
        if self.disable_dns {
            option("--disable-dns".into());
        }
        if let Some(outbound) = &self.outbound {
            option(format!("--outbound-addr={}", text(outbound)));
        }
        if let Some(outbound) = &self.outbound6 {
            option(format!("--outbound-addr6={}", text(outbound)));
        }
        if let Some(socket) = api {
            words.push("--api-socket".into());
            words.push(socket.path.clone().into());
        }
        match target {
            Target::Process(pid) => words.push(pid.to_string().into()),
            Target::Path(path) => {
                words.push("--netns-type=path".into());
                words.push(path.into());
            }
            Target::Descriptor(_) => words.extend(["--netns-type=path", "/proc/self/fd/0"].map(OsString::from)),
        }
        words.push(self.interface.clone().into());
        words
    }
}

fn text<A: ToString>(outbound: &Outbound<A>) -> String {
    match outbound {
        Outbound::Address(address) => address.to_string(),
        Outbound::Interface(name) => name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(options: &Options, target: &Target) -> String {
        let api = options.api_socket.as_deref().map(|path| SocketPath::of(path).expect("short"));
        let words = options.arguments(target, 7, 8, api.as_ref());
        words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_default_is_closed() {
        let line = line(&Options::default(), &Target::Process(42));
        assert_eq!(
            line,
            "--configure --enable-sandbox --enable-seccomp --ready-fd=7 --exit-fd=8 --mtu=65520 --cidr=10.0.2.0/24 \
             --enable-ipv6 --disable-host-loopback 42 tap0"
        );
    }

    #[test]
    fn every_option_has_its_word() {
        let options = Options {
            interface: "eth0".into(),
            mtu: 1500,
            network: "10.9.0.0/16".parse().expect("a network"),
            ipv6: false,
            outbound: Some(Outbound::Address(Ipv4Addr::new(192, 0, 2, 7))),
            outbound6: Some(Outbound::Interface("eth1".into())),
            allow_host_loopback: true,
            disable_dns: true,
            api_socket: Some("/run/api".into()),
        };
        assert_eq!(
            line(&options, &Target::Path("/proc/self/fd/5".into())),
            "--configure --enable-sandbox --enable-seccomp --ready-fd=7 --exit-fd=8 --mtu=1500 --cidr=10.9.0.0/16 \
             --disable-dns --outbound-addr=192.0.2.7 --outbound-addr6=eth1 --api-socket /run/api --netns-type=path \
             /proc/self/fd/5 eth0"
        );
    }

    #[test]
    fn an_option_that_the_version_does_not_know_is_named() {
        let old = "slirp4netns version 1.0.1\nlibslirp: 4.6.1\nSLIRP_CONFIG_VERSION_MAX: 1\nlibseccomp: 2.4\n";
        let old = Version::parse(old).expect("a version");
        assert!(Options::default().check(&old).is_ok());
        let wanted = Options { disable_dns: true, ..Options::default() };
        let message = wanted.check(&old).expect_err("too old").to_string();
        assert_eq!(message, "slirp4netns 1.0.1 does not know --disable-dns");
    }
}
