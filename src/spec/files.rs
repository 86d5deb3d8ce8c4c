//! /etc/hosts, /etc/hostname and /etc/resolv.conf of a container: their content. Pure.
//!
//! Without a network nothing can be resolved, so resolv.conf is empty then; with the host's network it is the host's; else it
//! names the network's forwarder (`network::resolv_conf`).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Facts, Identity, RunSpec, network};

/// The word of --add-host for the host itself.
pub const HOST_GATEWAY: &str = "host-gateway";

/// What of /etc is made for a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Etc {
    /// `--no-hosts`: /etc/hosts is the image's.
    pub no_hosts: bool,
    /// `--no-hostname`: /etc/hostname is the image's.
    pub no_hostname: bool,
    /// `--dns none`: /etc/resolv.conf is the image's.
    #[serde(default)]
    pub no_resolv: bool,
    /// `--tz`: the file of the host that /etc/localtime is.
    pub localtime: Option<PathBuf>,
}

impl Etc {
    /// Their names.
    pub fn made(&self) -> Vec<&'static str> {
        let all = [("hosts", !self.no_hosts), ("hostname", !self.no_hostname), ("resolv.conf", !self.no_resolv)];
        all.into_iter().filter_map(|(name, made)| made.then_some(name)).collect()
    }
}

/// The name that uname(2) gives in the container: `-h`, else the host's where it is shared, else the first twelve digits of the
/// container's id.
pub fn hostname(run: &RunSpec, identity: &Identity, facts: &Facts) -> String {
    let given = run.hostname.as_ref().or(facts.host_name.as_ref());
    given.cloned().unwrap_or_else(|| identity.id.chars().take(12).collect())
}

/// The files below the container's run directory, ready to be bound on /etc. Who shares another's network finds what that finds, too.
pub fn etc_files(run: &RunSpec, identity: &Identity, facts: &Facts) -> Vec<(PathBuf, String)> {
    let name = hostname(run, identity, facts);
    let mut hosts = match facts.hosts.trim_end() {
        "" => String::from("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"),
        theirs => format!("{theirs}\n"),
    };
    let gateway = facts.host_gateway.map(|address| address.to_string());
    for (host, address) in &run.add_hosts {
        let address = if address == HOST_GATEWAY { gateway.as_deref() } else { Some(address.as_str()) };
        if let Some(address) = address {
            hosts.push_str(&format!("{address}\t{host}\n"));
        }
    }
    let own = if identity.name == name { name.clone() } else { format!("{name} {}", identity.name) };
    // Debian's convention where there is no other address.
    let address = run.network.own_address().map_or_else(|| "127.0.1.1".to_owned(), |address| address.to_string());
    hosts.push_str(&format!("{address}\t{own}\n"));
    let resolv = network::resolv_conf(run, facts);
    let all = [("hosts", hosts), ("hostname", format!("{name}\n")), ("resolv.conf", resolv)];
    let made = run.etc.made();
    let made = all.into_iter().filter(|(file, _)| made.contains(file));
    made.map(|(file, text)| (identity.dir.join(file), text)).collect()
}
