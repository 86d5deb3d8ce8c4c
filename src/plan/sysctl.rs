//! linux.sysctl: what belongs to a namespace of the container's, and nothing else.
//!
//! Pure. The kernel itself keeps an unprivileged caller from the rest, but not root of the machine, whose container would change the machine
//! (runc refuses it, too). The surprise: a key may be written with dots or with slashes, sysctl(8) takes both.

use super::unsupported::bad;
use super::{Namespace, Namespaces};
use crate::error::Result;

/// Keys of the IPC namespace (ipc_namespaces(7)) that are not below fs.mqueue.
const IPC: [&str; 10] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.msg_next_id",
    "kernel.sem",
    "kernel.sem_next_id",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_next_id",
];

/// Refuses a key that is the machine's, of somebody else's document.
pub(super) fn check(key: &str, namespaces: &Namespaces) -> Result<()> {
    let dotted = key.replace('/', ".");
    let owner = if dotted.starts_with("net.") {
        Some(("network", &namespaces.network))
    } else if IPC.contains(&dotted.as_str()) || dotted == "kernel.shm_rmid_forced" || dotted.starts_with("fs.mqueue.") {
        Some(("IPC", &namespaces.ipc))
    } else if ["kernel.hostname", "kernel.domainname"].contains(&dotted.as_str()) {
        Some(("UTS", &namespaces.uts))
    } else if dotted.starts_with("user.max_") {
        Some(("user", &namespaces.user))
    } else {
        None
    };
    match owner {
        None => Err(bad("linux.sysctl", &format!("has {key}, which belongs to the machine and to no namespace"))),
        Some((kind, Namespace::Host)) => {
            Err(bad("linux.sysctl", &format!("has {key}, which would change the caller's {kind} namespace")))
        }
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_a_namespace_of_the_containers_is_set_and_nothing_else() {
        let all = Namespaces {
            network: Namespace::New,
            ipc: Namespace::Join("/x".into()),
            uts: Namespace::New,
            user: Namespace::New,
            ..Namespaces::default()
        };
        let known =
            ["net.ipv4.ip_forward", "net/ipv4/ip_forward", "kernel.shmmax", "fs.mqueue.msg_max", "kernel.domainname"];
        for key in known {
            assert!(check(key, &all).is_ok(), "{key}");
            assert!(check(key, &Namespaces::default()).is_err(), "{key}");
        }
        for key in
            ["vm.swappiness", "kernel.core_pattern", "kernel/core_pattern", "fs.file-max", "kernel.pid_max", "../x", ""]
        {
            assert!(check(key, &all).is_err(), "{key}");
        }
    }
}
