//! The base user namespace: the one in which the caller's ids are mapped and container namespaces are made.
//!
//! Owns which namespace that is and entering it. There are three: the held namespace (mapped once a session by
//! newuidmap, kept by a holder process), a fresh one with a single id, or the one in which `rl` already stands. Entering is for
//! good, and needs a single-threaded process. The surprise: for root of the machine there is a held namespace too, so that
//! container root never has more on the host than the caller's own id.

use nix::sched::{CloneFlags, unshare};
use subid::IdMap;

use super::holder::{self, Maps};
use super::refusal::refused;
use crate::error::{Context, Error, Result, catalog::ids};
use crate::host::{Caller, Host, Kind};
use crate::spec::{UserNs, ids::Base};

/// The base namespace, and what had to be given up for it.
#[derive(Debug)]
pub struct Entered {
    /// The base namespace's maps.
    pub base: Base,
    /// Why there is only one id although more were wanted; to be shown as one warning.
    pub fallback: Option<Error>,
}

/// What [`enter`] would give, without entering or making anything (`--plan`).
///
/// # Errors
/// As [`enter`], for what can be known beforehand.
pub fn foresee(host: &Host, mode: &UserNs) -> Result<Entered> {
    choose(host, mode, |caller| Ok(wanted(caller)?.into()))
}

/// Enters the base namespace.
///
/// # Errors
/// `RL0201` where user namespaces are forbidden; with `--userns=full`, the cause for which there is no full map.
pub fn enter(host: &Host, mode: &UserNs) -> Result<Entered> {
    let entered = choose(host, mode, |caller| {
        let held = holder::join(&host.dirs.run, || wanted(caller), caller.kind == Kind::Root)?;
        Ok(held.into())
    })?;
    let stay = matches!(host.caller.kind, Kind::NamespaceRoot | Kind::SingleId);
    if !stay && !entered.base.setgroups {
        single(&host.caller)?;
    }
    Ok(entered)
}

fn choose(host: &Host, mode: &UserNs, full: impl FnOnce(&Caller) -> Result<Base>) -> Result<Entered> {
    let caller = &host.caller;
    let plainly = |base| Ok(Entered { base, fallback: None });
    match (caller.kind, mode) {
        (Kind::SingleId, UserNs::Full) => {
            let what = "this namespace has one id, so a container in it can't have more";
            Err(Error::new(&ids::NO_SUBORDINATE_IDS, what)
                .fix("Start rl outside of it, or in a namespace with more ids: rl unshare."))
        }
        (Kind::NamespaceRoot | Kind::SingleId, _) => plainly(current(caller)?),
        (_, UserNs::Single) => plainly(single_base(caller)),
        (_, UserNs::Default) => match full(caller) {
            Ok(base) => plainly(base),
            Err(error) if falls_back(&error) => Ok(Entered { base: single_base(caller), fallback: Some(error) }),
            Err(error) => Err(error),
        },
        _ => plainly(full(caller)?),
    }
}

/// Only a lack of ids or of a working newuidmap is a reason to go on with one id; a refused user namespace is the end either way.
fn falls_back(error: &Error) -> bool {
    [&ids::NO_SUBORDINATE_IDS, &ids::NO_NEWUIDMAP].contains(&error.entry())
}

fn single_base(caller: &Caller) -> Base {
    Base { uid: IdMap::single(0, caller.uid), gid: IdMap::single(0, caller.gid), setgroups: false }
}

/// `rl` is root of somebody's namespace already (podman, buildah, `unshare -r`, `rl unshare`): that one is the base.
///
/// # Errors
/// /proc is not there.
pub fn current(caller: &Caller) -> Result<Base> {
    let setgroups = std::fs::read_to_string("/proc/self/setgroups")
        .context(&ids::NO_USER_NAMESPACE, || "read /proc/self/setgroups".into())?;
    Ok(Base {
        uid: caller.uid_map.identity_child(),
        gid: caller.gid_map.identity_child(),
        setgroups: setgroups.trim_end() == "allow",
    })
}

/// The maps that the caller is entitled to.
fn wanted(caller: &Caller) -> Result<Maps> {
    let user = subid::User::of(caller.uid);
    let map = |kind, id| -> Result<IdMap> {
        let mut ranges = subid::ranges(kind, &user).map_err(subid_error)?;
        if ranges.is_empty() && caller.kind == Kind::Root {
            ranges.push(subid::root_default());
        }
        if ranges.is_empty() {
            return Err(no_ranges(&user, kind));
        }
        subid::full_map(id, &ranges).context(&ids::BAD_SUBID_FILE, || format!("lay out the ranges of {}", kind.file()))
    };
    Ok(Maps { uid: map(subid::Kind::Uid, caller.uid)?, gid: map(subid::Kind::Gid, caller.gid)? })
}

fn no_ranges(user: &subid::User, kind: subid::Kind) -> Error {
    let file = kind.file();
    let name = user.name.clone().unwrap_or_else(|| user.uid.to_string());
    let error = Error::new(&ids::NO_SUBORDINATE_IDS, format!("{file} and the name service give {name} no range"));
    match subid::first_free().map(|start| (start, start + 65535)) {
        Some((start, end)) => error.fix(format!(
            "Ask the administrator for: usermod --add-subuids {start}-{end} --add-subgids {start}-{end} {name}"
        )),
        None => error,
    }
}

fn subid_error(error: subid::Error) -> Error {
    Error::new(&ids::BAD_SUBID_FILE, "read the subordinate ids").because(error)
}

/// A namespace with one id, as `unshare -r` makes it: the process itself writes the map, which needs setgroups denied first
/// (CVE-2014-8989: dropping a group could grant access).
fn single(caller: &Caller) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWUSER).map_err(refused)?;
    let write = |path: &str, text: String| {
        std::fs::write(path, &text).context(&ids::NO_USER_NAMESPACE, || format!("write {text:?} to {path}"))
    };
    write("/proc/self/setgroups", "deny".into())?;
    write("/proc/self/uid_map", format!("0 {} 1", caller.uid))?;
    write("/proc/self/gid_map", format!("0 {} 1", caller.gid))
}

impl From<Maps> for Base {
    fn from(maps: Maps) -> Self {
        Self { uid: maps.uid, gid: maps.gid, setgroups: true }
    }
}
