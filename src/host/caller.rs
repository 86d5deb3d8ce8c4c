//! Who runs `rl`, and in which user namespace.

use nix::unistd::{Gid, Uid};
use subid::IdMap;

use crate::error::{Context, Error, Result, catalog::ids};

/// Ids from here on are 'the rest of the host' to a namespace that maps everything: the initial one has 0 0 4294967295.
const WHOLE: u64 = u32::MAX as u64;

/// Which of the four situations this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Kind {
    /// An ordinary user, of the machine or inside somebody's namespace.
    Unprivileged,
    /// Root of the machine: uid 0 where every id is mapped.
    Root,
    /// Root of a user namespace with a map of several ids (podman, buildah, `rl unshare`).
    NamespaceRoot,
    /// Root of a user namespace with one id (`unshare -r`).
    SingleId,
}

/// The calling user.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Effective uid in the caller's own namespace.
    pub uid: u32,
    /// Effective gid in the caller's own namespace.
    pub gid: u32,
    /// What kind of caller.
    pub kind: Kind,
    /// The caller's namespace's map of uids.
    pub uid_map: IdMap,
    /// The caller's namespace's map of gids.
    pub gid_map: IdMap,
}

impl Caller {
    /// Reads /proc/self/uid_map and gid_map.
    pub fn read() -> Result<Self> {
        let read = |path: &str| -> Result<IdMap> {
            let text = std::fs::read_to_string(path).context(&ids::NO_USER_NAMESPACE, || format!("read {path}"))?;
            IdMap::parse(&text).context(&ids::NO_USER_NAMESPACE, || format!("understand {path}"))
        };
        let (uid_map, gid_map) = (read("/proc/self/uid_map")?, read("/proc/self/gid_map")?);
        let (uid, gid) = (Uid::effective().as_raw(), Gid::effective().as_raw());
        if uid_map.outside(uid).is_none() {
            return Err(Error::new(&ids::NO_USER_NAMESPACE, format!("find out who uid {uid} is"))
                .because("the user namespace has no map yet, so the caller is nobody in it")
                .fix("Enter the namespace with a map: unshare -r, or rl unshare."));
        }
        let kind = match (uid, uid_map.total()) {
            (0, total) if total >= WHOLE => Kind::Root,
            (0, 1) => Kind::SingleId,
            (0, _) => Kind::NamespaceRoot,
            _ => Kind::Unprivileged,
        };
        Ok(Self { uid, gid, kind, uid_map, gid_map })
    }
}
