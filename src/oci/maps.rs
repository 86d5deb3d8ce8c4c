//! The id maps of a bundle's container, in the terms of the base namespace.
//!
//! linux.uidMappings is in the caller's ids; the maps are written from the base, which for an unprivileged caller is the held
//! namespace, where the caller is 0 and the subordinate ids are 1 and up. So nothing is asked of newuidmap again.

use oci_spec::runtime::{Linux, LinuxIdMapping};
use subid::{Extent, IdMap};

use super::bundle::bad;
use crate::error::{Context, Result, catalog::ids};
use crate::plan::Namespace;
use crate::spec::Ids;
use crate::spec::ids::Base;

/// The maps for a namespace that is made; for one that is joined or the caller's own, what is known of it.
pub(super) fn resolve(linux: &Linux, user: &Namespace, base: &Base) -> Result<Ids> {
    let map = |field: &str, mappings: &Option<Vec<LinuxIdMapping>>, base: &IdMap| match mappings.as_deref() {
        Some(mappings) if user.is_new() && !mappings.is_empty() => one(field, mappings, base),
        _ => Ok(base.identity_child()),
    };
    let uid = map("linux.uidMappings", linux.uid_mappings(), &base.uid)?;
    let gid = map("linux.gidMappings", linux.gid_mappings(), &base.gid)?;
    Ok(Ids { uid, gid, base_uid: base.uid.clone(), base_gid: base.gid.clone(), setgroups: base.setgroups })
}

fn one(field: &str, mappings: &[LinuxIdMapping], base: &IdMap) -> Result<IdMap> {
    let mut extents = Vec::new();
    for mapping in mappings {
        pieces(field, mapping, base, &mut extents)?;
    }
    let map = IdMap::new(extents).and_then(|map| map.split_at(&base.identity_child()));
    let map = map.context(&ids::BAD_ID_MAP, || format!("make the id map of {field}"))?;
    if map.outside(0).is_none() {
        return Err(bad(field, "does not map id 0 of the container, as which its first process starts"));
    }
    Ok(map)
}

/// Each piece of the mapping that lies within one extent of the base's, with the base's ids for the caller's.
fn pieces(field: &str, mapping: &LinuxIdMapping, base: &IdMap, extents: &mut Vec<Extent>) -> Result<()> {
    let (mut inside, mut host, mut left) = (mapping.container_id(), mapping.host_id(), mapping.size());
    if left == 0 {
        return Err(bad(field, "has a mapping of no ids"));
    }
    while left > 0 {
        let holder = base.extents().iter().find(|one| one.outside <= host && host - one.outside < one.count);
        let Some(holder) = holder else {
            return Err(bad(field, &format!("maps id {host}, which is none of the caller's: operation not permitted")));
        };
        let skipped = host - holder.outside;
        let count = left.min(holder.count - skipped);
        extents.push(Extent { inside, outside: holder.inside + skipped, count });
        left -= count;
        // Nothing comes behind the last id.
        inside = inside.saturating_add(count);
        host = host.saturating_add(count);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(inside: u32, host: u32, size: u32) -> LinuxIdMapping {
        serde_json::from_value(serde_json::json!({ "containerID": inside, "hostID": host, "size": size })).expect("one")
    }

    fn held() -> IdMap {
        IdMap::parse("0 1000 1\n1 100000 65536\n").expect("a map")
    }

    #[test]
    fn the_callers_ids_become_the_bases_and_are_cut_at_its_extents() {
        let map = one("x", &[mapping(0, 1000, 1), mapping(1, 100_000, 65_536)], &held()).expect("a map");
        assert_eq!(map.to_string(), "0 0 1\n1 1 65536\n");
        let map = one("x", &[mapping(0, 100_005, 10), mapping(1000, 1000, 1)], &held()).expect("a map");
        assert_eq!(map.to_string(), "0 6 10\n1000 0 1\n");
    }

    #[test]
    fn root_maps_what_it_likes() {
        let base = IdMap::parse("0 0 4294967295\n").expect("a map");
        let map = one("x", &[mapping(0, 100_000, 65_536)], &base).expect("a map");
        assert_eq!(map.to_string(), "0 100000 65536\n");
    }

    #[test]
    fn ids_of_others_and_a_container_without_root_are_refused() {
        for mappings in
            [vec![mapping(0, 999, 1)], vec![mapping(0, 1000, 2)], vec![mapping(1, 1000, 1)], vec![mapping(0, 1000, 0)]]
        {
            assert!(one("linux.uidMappings", &mappings, &held()).is_err(), "{mappings:?}");
        }
    }
}
