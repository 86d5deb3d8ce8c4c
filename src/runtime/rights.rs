//! What the container's process may do: limits, ids, capabilities.
//!
//! Owns the system calls of these steps and the words for what the kernel refuses. The surprise: capabilities of `rl run` depend on who
//! the user is, and those of somebody else's document do not.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Uid};

use super::user::Account;
use crate::error::{Context, Error, Result, catalog::process as codes};
use crate::plan::CapabilitySets;
use crate::spec::limits::{RESOURCES, resource};
use crate::spec::{Ulimit, capabilities};
use crate::sys::capability;

/// Sets all five sets.
pub(super) fn set_capabilities(sets: &CapabilitySets, is_root: bool) -> Result<()> {
    let doing = || "set the capabilities".to_owned();
    let held = capability::get().context(&codes::SETUP, doing)?.permitted;
    let wanted = Wanted::of(sets, is_root, held);
    // After a change of uid the effective set is empty; dropping from the bounding set needs CAP_SETPCAP in it.
    capability::set(held, held, 0).context(&codes::SETUP, doing)?;
    capability::drop_bounding(wanted.bounding).context(&codes::SETUP, doing)?;
    capability::clear_ambient().context(&codes::SETUP, doing)?;
    capability::set(wanted.effective, wanted.permitted, wanted.inheritable).context(&codes::SETUP, doing)?;
    nix::sys::prctl::set_keepcaps(false).context(&codes::SETUP, doing)?;
    capability::raise_ambient(wanted.ambient).context(&codes::SETUP, doing)
}

/// The sets that are to be set, as masks.
struct Wanted {
    bounding: u64,
    effective: u64,
    permitted: u64,
    inheritable: u64,
    ambient: u64,
}

impl Wanted {
    fn of(sets: &CapabilitySets, is_root: bool, held: u64) -> Self {
        let mask = |names: &[String]| capabilities::mask(names);
        let bounding = mask(&sets.bounding);
        if let Some(permitted) = &sets.permitted {
            // To the letter, as far as this process has them: an engine inside a container asks for all that its own host has.
            let permitted = mask(permitted) & held;
            let inheritable = mask(&sets.inheritable) & held;
            let (effective, ambient) =
                (mask(&sets.effective) & permitted, mask(&sets.ambient) & permitted & inheritable);
            return Self { bounding, effective, permitted, inheritable, ambient };
        }
        let ambient = if is_root { 0 } else { mask(&sets.ambient) };
        let (own, inheritable) =
            if is_root { (mask(&sets.effective), mask(&sets.inheritable)) } else { (ambient, ambient) };
        Self { bounding, effective: own, permitted: own, inheritable, ambient }
    }
}

/// setrlimit.
pub(super) fn set_limit(limit: &Ulimit) -> Result<()> {
    let doing = || format!("set the limit {}={}:{}", limit.name, limit.soft, limit.hard);
    let resource =
        resource(&limit.name).ok_or_else(|| Error::new(&codes::SETUP, doing()).because("there is no such limit"))?;
    setrlimit(resource, limit.soft, limit.hard).map_err(|errno| {
        let error = Error::new(&codes::SETUP, doing()).because(errno);
        if errno == Errno::EPERM {
            error.fix("Nobody without privilege can raise a hard limit; ulimit -H shows yours.")
        } else {
            error
        }
    })
}

/// The limits of this process.
pub(super) fn limits() -> Vec<Ulimit> {
    let of = |(name, resource): &(&str, Resource)| {
        let (soft, hard) = getrlimit(*resource).ok()?;
        Some(Ulimit { name: (*name).to_owned(), soft, hard })
    };
    RESOURCES.iter().filter_map(of).collect()
}

/// For messages.
pub(super) fn becoming(account: &Account) -> String {
    format!("become uid {} with gid {} and groups {:?}", account.uid, account.gid, account.groups)
}

/// Groups were asked for that can't be had.
pub(super) fn no_groups(account: &Account) -> Error {
    Error::new(&codes::UNKNOWN_USER, becoming(account))
        .because("with a single id the kernel denies setgroups")
        .fix("Additional groups need subordinate ids: rl explain RL0202")
}

/// An id could not be taken.
pub(super) fn unmapped(errno: Errno, account: &Account) -> Error {
    let error = Error::new(&codes::UNKNOWN_USER, becoming(account)).because(errno);
    if errno == Errno::EINVAL {
        return error.fix("An id is not mapped in the container: you have too few subordinate ids (rl explain RL0202) or the id is wrong.");
    }
    error
}

/// So that a program that reopens /dev/stdout may: only pipes and the container's own terminal, never a file of the caller's.
pub(super) fn own_stdio(account: &Account, slave: Option<&OwnedFd>) {
    if account.uid == 0 {
        return;
    }
    let (uid, gid) = (Some(Uid::from_raw(account.uid)), None::<Gid>);
    if let Some(slave) = slave {
        let _ = nix::unistd::fchown(slave, uid, gid);
    }
    for stream in [std::io::stdin().as_fd(), std::io::stdout().as_fd(), std::io::stderr().as_fd()] {
        let is_pipe = nix::sys::stat::fstat(stream).is_ok_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFIFO);
        if is_pipe {
            let _ = nix::unistd::fchown(stream, uid, gid);
        }
    }
}
