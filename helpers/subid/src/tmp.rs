#![allow(missing_docs)]
use crate::*;
#[derive(Debug, Clone, Copy, PartialEq, Eq)] pub enum Kind { Uid, Gid }
impl Kind { pub fn file(self) -> &'static str { match self { Kind::Uid => "/etc/subuid", Kind::Gid => "/etc/subgid" } } }
impl std::fmt::Display for Kind { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { write!(f, "{self:?}") } }
#[derive(Debug, Clone)] pub struct User { pub name: Option<String>, pub uid: u32 }
impl std::fmt::Display for User { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { write!(f, "{self:?}") } }
#[derive(Debug, Clone, Copy)] pub struct Range { pub start: u32, pub count: u32 }
#[derive(Debug, thiserror::Error)] #[error("{0}")] pub struct Error(String);
impl Error { pub fn fix(&self) -> String { String::new() } }
pub fn root_default() -> Range { Range { start: 0x7000_0000, count: 65536 } }
pub fn first_free() -> u32 { 100000 }
pub fn ranges(kind: Kind, user: &User) -> Result<Vec<Range>, Error> {
    let text = std::fs::read_to_string(kind.file()).unwrap_or_default();
    Ok(text.lines().filter_map(|l| { let mut f = l.split(':'); let n = f.next()?; (Some(n) == user.name.as_deref()).then_some(Range { start: f.next()?.parse().ok()?, count: f.next()?.parse().ok()? }) }).collect())
}
pub fn full_map(id: u32, ranges: &[Range]) -> Result<IdMap, MapError> {
    let mut v = vec![Extent { inside: 0, outside: id, count: 1 }]; let mut i = 1;
    for r in ranges { v.push(Extent { inside: i, outside: r.start, count: r.count }); i += r.count; }
    IdMap::new(v)
}
pub fn write_maps(pid: i32, uid: &IdMap, gid: &IdMap) -> Result<(), Error> {
    let spawn = |p: &str, m: &IdMap| std::process::Command::new(p).arg(pid.to_string()).args(m.to_string().split_whitespace()).spawn();
    let (a, b) = (spawn("newuidmap", uid), spawn("newgidmap", gid));
    for c in [a, b] { if !c.map_err(|e| Error(e.to_string()))?.wait().map_err(|e| Error(e.to_string()))?.success() { return Err(Error("newuidmap".into())); } }
    Ok(())
}
