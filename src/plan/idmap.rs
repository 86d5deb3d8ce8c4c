//! Id-mapped binds: which ids a mount shows for those on its disk.
//!
//! Pure. The surprise: an entry's containerID is the id on the disk and its hostID the one that the caller would see, so that the
//! container's own maps show it its own ids (`idmap` without maps of the mount's own).

use oci_spec::runtime::{LinuxIdMapping, Mount};
use serde::{Deserialize, Serialize};

use super::options::Options;
use super::unsupported::bad;
use crate::error::Result;

/// How the ids of a bind are mapped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountMap {
    /// The field of config.json, for errors.
    pub field: String,
    /// ridmap: those of the mounts below it, too.
    pub recursive: bool,
    /// Lines of uid_map and gid_map in the caller's ids; None: the container's user namespace.
    pub maps: Option<(String, String)>,
}

/// The map of `mounts[index]`, if it has one. `own`: the container has a user namespace.
pub(super) fn of(index: usize, mount: &Mount, options: &Options, bind: bool, own: bool) -> Result<Option<MountMap>> {
    let field = |name: &str| format!("mounts[{index}].{name}");
    let (uid, gid) = (mount.uid_mappings().as_deref(), mount.gid_mappings().as_deref());
    let uid = uid.filter(|list| !list.is_empty());
    let gid = gid.filter(|list| !list.is_empty());
    if uid.is_none() && gid.is_none() && options.idmap.is_none() {
        return Ok(None);
    }
    if !bind {
        let name = if options.idmap.is_some() { "options" } else { "uidMappings" };
        return Err(bad(&field(name), "asks for an idmapped mount, which only a bind can be"));
    }
    let maps = match (uid, gid) {
        (Some(uid), Some(gid)) => Some((lines(&field("uidMappings"), uid)?, lines(&field("gidMappings"), gid)?)),
        (None, None) if own => None,
        (None, None) => {
            return Err(bad(
                &field("options"),
                "has idmap without maps, and the container has no user namespace of its own",
            ));
        }
        (Some(_), None) => return Err(bad(&field("gidMappings"), "is missing beside uidMappings")),
        (None, Some(_)) => return Err(bad(&field("uidMappings"), "is missing beside gidMappings")),
    };
    let name = if maps.is_some() { "uidMappings" } else { "options" };
    Ok(Some(MountMap { field: field(name), recursive: options.idmap == Some(true), maps }))
}

fn lines(field: &str, mappings: &[LinuxIdMapping]) -> Result<String> {
    if mappings.iter().any(|one| one.size() == 0) {
        return Err(bad(field, "has a mapping of no ids"));
    }
    let line = |one: &LinuxIdMapping| format!("{} {} {}\n", one.container_id(), one.host_id(), one.size());
    Ok(mappings.iter().map(line).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::options::sort;

    fn map(mount: serde_json::Value, own: bool) -> Result<Option<MountMap>> {
        let mount: Mount = serde_json::from_value(mount).expect("a mount");
        let options = sort(mount.options().as_deref().unwrap_or_default());
        let bind = options.bind.is_some();
        of(3, &mount, &options, bind, own)
    }

    #[test]
    fn the_mounts_own_maps_come_before_the_containers() {
        let ids =
            json!([{ "containerID": 0, "hostID": 1000, "size": 2 }, { "containerID": 5, "hostID": 5, "size": 1 }]);
        let mount =
            json!({ "destination": "/x", "options": ["bind", "ridmap"], "uidMappings": ids, "gidMappings": ids });
        let found = map(mount, true).expect("a map").expect("one");
        assert_eq!(found.maps, Some(("0 1000 2\n5 5 1\n".into(), "0 1000 2\n5 5 1\n".into())));
        assert!(found.recursive);
        let found = map(json!({ "destination": "/x", "options": ["bind", "idmap"] }), true).expect("a map");
        assert_eq!(found.map(|map| (map.maps, map.recursive)), Some((None, false)));
        assert_eq!(map(json!({ "destination": "/x", "options": ["bind"] }), true).expect("none"), None);
    }

    #[test]
    fn what_cannot_be_mapped_is_told_by_its_field() {
        let ids = json!([{ "containerID": 0, "hostID": 0, "size": 1 }]);
        let none = json!([{ "containerID": 0, "hostID": 0, "size": 0 }]);
        for (mount, field) in [
            (json!({ "options": ["bind", "idmap"] }), "mounts[3].options"),
            (json!({ "type": "tmpfs", "options": ["idmap"] }), "mounts[3].options"),
            (json!({ "type": "tmpfs", "uidMappings": ids, "gidMappings": ids }), "mounts[3].uidMappings"),
            (json!({ "options": ["bind"], "uidMappings": ids }), "mounts[3].gidMappings"),
            (json!({ "options": ["bind"], "gidMappings": ids }), "mounts[3].uidMappings"),
            (json!({ "options": ["bind"], "uidMappings": none, "gidMappings": ids }), "mounts[3].uidMappings"),
        ] {
            let mut whole = json!({ "destination": "/x" });
            whole.as_object_mut().expect("an object").extend(mount.as_object().expect("an object").clone());
            let error = map(whole.clone(), false).expect_err("a refusal");
            assert!(error.summary().contains(field), "{whole}: {}", error.summary());
        }
    }
}
