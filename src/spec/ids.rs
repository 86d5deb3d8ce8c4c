//! tmp
use super::*;
use crate::error::Result;
#[derive(Debug, Clone)] pub struct Base { pub uid: IdMap, pub gid: IdMap, pub setgroups: bool }
pub fn parse_userns(t: &str) -> Result<UserNs> { Ok(match t { "single" => UserNs::Single, _ => UserNs::Full }) }
pub fn resolve(_: &UserNs, b: &Base, _: u32, _: u32, _: &[subid::Range]) -> Result<Ids> { Ok(Ids { base_uid: b.uid.clone(), base_gid: b.gid.clone(), uid: b.uid.identity_child(), gid: b.gid.identity_child(), setgroups: b.setgroups }) }
pub fn parse_map(t: &str) -> Result<subid::Extent> { let v: Vec<u32> = t.split(':').filter_map(|x| x.parse().ok()).collect(); Ok(subid::Extent { inside: v[0], outside: v[1], count: v.get(2).copied().unwrap_or(1) }) }
