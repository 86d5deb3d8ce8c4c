//! `--userns`, `--uidmap` and `--gidmap`: the words, and the map of the container that they ask for.
//!
//! Owns parsing the flags' values and [`resolve`], which lays the container's ids over the base namespace's. It does
//! not find the base's ids (that is `subid`) and writes no map. The surprise: everything here is in terms of the base
//! namespace, in which 0 is the caller and 1.. are the subordinate ids, not in terms of the host; and each line is cut
//! where it would cross two extents of the base's map, because the kernel refuses it otherwise (user_namespaces(7)).

use serde::{Deserialize, Serialize};
use subid::{Extent, IdMap, Range};

use crate::error::catalog::{command_line, ids};
use crate::error::{Context, Error, Result};

/// How the container's ids are mapped.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum UserNs {
    /// Root is the caller, 1.. the subordinate ids; falls back to one id with a warning.
    #[default]
    Default,
    /// The same without the fallback (`--userns=full`).
    Full,
    /// Only root (`--userns=single`).
    Single,
    /// The caller's own uid inside is the caller (`--userns=keep-id[:uid=,gid=]`).
    KeepId {
        /// The uid that the caller has inside; None: the same as outside.
        uid: Option<u32>,
        /// The gid that the caller has inside.
        gid: Option<u32>,
    },
    /// A range of its own (`--userns=auto[:size=]`).
    Auto {
        /// How many ids; None: as the image needs, at least 1024.
        size: Option<u32>,
    },
    /// Container root is a subordinate id too (`--userns=nomap`).
    NoMap,
    /// `--uidmap`, `--gidmap`: in terms of the default map's inside ids (podman's meaning).
    Custom {
        /// CONTAINER:FROM:COUNT.
        uid: Vec<Extent>,
        /// CONTAINER:FROM:COUNT.
        gid: Vec<Extent>,
    },
}

/// The container's id maps, from two viewpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids {
    /// The base namespace (the held one, or the current one) as seen from the caller's: what the caller owns.
    pub base_uid: IdMap,
    /// The same for gids.
    pub base_gid: IdMap,
    /// The container's namespace as seen from the base, split at the base's extents.
    pub uid: IdMap,
    /// The same for gids.
    pub gid: IdMap,
    /// Whether setgroups(2) works in the container; not with a single id.
    pub setgroups: bool,
}

/// What `--userns=auto` takes without `size=`. podman starts at the same number; it leaves room for 60 such containers
/// in the usual 65536 ids, and has every system user of the distributions but `nobody`.
const AUTO_SIZE: u32 = 1024;

/// The maps of the base namespace (the held one, or the caller's own) as seen from the caller's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// Its uids.
    pub uid: IdMap,
    /// Its gids.
    pub gid: IdMap,
    /// Whether setgroups(2) works in it; a namespace made below it can't have more.
    pub setgroups: bool,
}

/// The container's maps. `used` are the ids of the base that running containers with `--userns=auto` have. Pure.
pub fn resolve(mode: &UserNs, base: &Base, caller_uid: u32, caller_gid: u32, used: &[Range]) -> Result<Ids> {
    let (uid, gid) = match mode {
        UserNs::Default | UserNs::Full => (base.uid.identity_child(), base.gid.identity_child()),
        UserNs::Single => (IdMap::single(0, 0), IdMap::single(0, 0)),
        UserNs::KeepId { uid, gid } => (
            keep_id(&base.uid, uid.unwrap_or(caller_uid), "uid")?,
            keep_id(&base.gid, gid.unwrap_or(caller_gid), "gid")?,
        ),
        UserNs::NoMap => (nomap(&base.uid, "uid")?, nomap(&base.gid, "gid")?),
        UserNs::Auto { size } => {
            let extent = auto(base, size.unwrap_or(AUTO_SIZE), used)?;
            (map(vec![extent])?, map(vec![extent])?)
        }
        // podman's rule: one flag alone counts for both kinds.
        UserNs::Custom { uid, gid } if gid.is_empty() => (map(uid.clone())?, map(uid.clone())?),
        UserNs::Custom { uid, gid } if uid.is_empty() => (map(gid.clone())?, map(gid.clone())?),
        UserNs::Custom { uid, gid } => (map(uid.clone())?, map(gid.clone())?),
    };
    Ok(Ids {
        uid: within(&uid, &base.uid, "uid")?,
        gid: within(&gid, &base.gid, "gid")?,
        base_uid: base.uid.clone(),
        base_gid: base.gid.clone(),
        setgroups: base.setgroups && *mode != UserNs::Single,
    })
}

/// Cuts the map at the base's extents, and refuses what the kernel or the container could not work with.
fn within(map: &IdMap, base: &IdMap, kind: &str) -> Result<IdMap> {
    let has = || format!("map the container's {kind}s onto yours, of which there are {} (0 is you)", base.total());
    let split = map.split_at(base).context(&ids::BAD_ID_MAP, has)?;
    if split.outside(0).is_none() {
        return Err(Error::new(&ids::BAD_ID_MAP, format!("map the container's {kind}s"))
            .because(format!("{kind} 0 of the container is not mapped, and its first process starts as root"))
            .fix(format!(
                "Map it, for example with --{kind}map 0:1:1 (a subordinate id) or --{kind}map 0:0:1 (you)."
            )));
    }
    Ok(split)
}

fn map(extents: Vec<Extent>) -> Result<IdMap> {
    let shown: Vec<String> = extents.iter().map(Extent::to_string).collect();
    IdMap::new(extents).context(&ids::BAD_ID_MAP, || format!("make an id map of {}", shown.join(" ")))
}

/// The ids of the base other than 0, in order.
fn subordinates(base: &IdMap) -> Vec<Range> {
    let mut ranges = Vec::new();
    for extent in base.extents() {
        let skip = u32::from(extent.inside == 0);
        if extent.count > skip {
            ranges.push(Range { start: extent.inside + skip, count: extent.count - skip });
        }
    }
    ranges
}

fn total(ranges: &[Range]) -> u64 {
    ranges.iter().map(|range| u64::from(range.count)).sum()
}

/// Container id `kept` is the caller; the ids below and above it are the subordinate ids in order.
fn keep_id(base: &IdMap, kept: u32, kind: &str) -> Result<IdMap> {
    let rest = subordinates(base);
    if total(&rest) < u64::from(kept) {
        return Err(Error::new(&ids::BAD_ID_MAP, format!("keep the {kind} {kept} (--userns=keep-id)"))
            .because(format!(
                "the {kind}s 0 to {} of the container would each need a subordinate id, and there are {}",
                u64::from(kept) - 1,
                total(&rest)
            ))
            .fix(match total(&rest) {
                0 => "Ask the administrator for subordinate ids, or leave --userns out: container root is you then."
                    .into(),
                most => format!("Be a smaller one inside: --userns=keep-id:{kind}={}.", most.min(1000)),
            }));
    }
    let mut extents = vec![Extent { inside: kept, outside: 0, count: 1 }];
    let mut inside = 0;
    for range in rest {
        let below = range.count.min(kept.saturating_sub(inside));
        let above = range.count - below;
        if below > 0 {
            extents.push(Extent { inside, outside: range.start, count: below });
            inside += below;
        }
        if above > 0 {
            // `kept` itself is taken. No sum overflows: there are at most as many ids here as in the base.
            inside = inside.max(kept + 1);
            extents.push(Extent { inside, outside: range.start + below, count: above });
            inside += above;
        }
    }
    map(extents)
}

/// Container ids from 0 on are the subordinate ids; the caller's own id is nobody inside.
fn nomap(base: &IdMap, kind: &str) -> Result<IdMap> {
    let mut inside = 0;
    let mut extents = Vec::new();
    for range in subordinates(base) {
        extents.push(Extent { inside, outside: range.start, count: range.count });
        inside += range.count;
    }
    if extents.is_empty() {
        return Err(Error::new(&ids::NO_SUBORDINATE_IDS, format!("leave your own {kind} out (--userns=nomap)"))
            .because("container root would have to be a subordinate id, and there is none"));
    }
    map(extents)
}

/// The topmost `size` ids that the base has as uids and gids and that nobody uses.
fn auto(base: &Base, size: u32, used: &[Range]) -> Result<Extent> {
    let both = common(&joined(subordinates(&base.uid)), &joined(subordinates(&base.gid)));
    let free = without(both, used);
    let highest = free.iter().rev().find(|range| size > 0 && range.count >= size);
    if let Some(range) = highest {
        return Ok(Extent { inside: 0, outside: range.start + (range.count - size), count: size });
    }
    let largest = free.iter().map(|range| range.count).max().unwrap_or(0);
    let because = format!("{} subordinate ids are left, at most {largest} of them in one piece", total(&free));
    Err(Error::new(&ids::BAD_ID_MAP, format!("take {size} ids for this container alone (--userns=auto)"))
        .because(because)
        .fix("End a container that runs with --userns=auto, or ask for fewer ids: --userns=auto:size=N."))
}

/// Ranges that touch become one.
fn joined(ranges: Vec<Range>) -> Vec<Range> {
    let mut joined: Vec<Range> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.start + last.count == range.start => last.count += range.count,
            _ => joined.push(range),
        }
    }
    joined
}

/// The ids that are in both; each list is sorted and without overlap.
fn common(one: &[Range], other: &[Range]) -> Vec<Range> {
    let mut both = Vec::new();
    for a in one {
        for b in other {
            let (start, end) = (a.start.max(b.start), end(*a).min(end(*b)));
            if start < end {
                both.push(Range { start, count: end - start });
            }
        }
    }
    both
}

/// What is left of `free` when `used` is taken out.
fn without(mut free: Vec<Range>, used: &[Range]) -> Vec<Range> {
    for taken in used {
        let pieces = free.iter().flat_map(|range| {
            let below = taken.start.clamp(range.start, end(*range));
            let above = end(*taken).clamp(range.start, end(*range)).max(below);
            [(range.start, below), (above, end(*range))]
        });
        free =
            pieces.filter(|(start, end)| start < end).map(|(start, end)| Range { start, count: end - start }).collect();
    }
    free
}

/// The first id behind. Ranges of the base never reach 2^32; those of a state file are taken as they come.
fn end(range: Range) -> u32 {
    range.start.saturating_add(range.count)
}

/// The value of `--userns`.
pub fn parse_userns(text: &str) -> Result<UserNs> {
    let (word, options) = text.split_once(':').unwrap_or((text, ""));
    let mode = match word {
        "" | "default" => UserNs::Default,
        "full" => UserNs::Full,
        "single" => UserNs::Single,
        "nomap" => UserNs::NoMap,
        "keep-id" => {
            let [uid, gid] = numbers(text, options, ["uid", "gid"])?;
            return Ok(UserNs::KeepId { uid, gid });
        }
        "auto" => {
            let [size] = numbers(text, options, ["size"])?;
            if size == Some(0) {
                return Err(refuse_userns(text, "a container needs at least one id"));
            }
            return Ok(UserNs::Auto { size });
        }
        "host" => {
            let error = refuse_userns(text, "rl always makes a user namespace: it is what makes you root inside");
            return Err(
                error.fix("Leave it out: root inside is you outside, so files that you may write are writable.")
            );
        }
        _ => return Err(refuse_userns(text, format!("{word:?} is no mode"))),
    };
    match text.split_once(':') {
        None => Ok(mode),
        Some(_) => Err(refuse_userns(text, format!("the mode {word:?} takes no options"))),
    }
}

fn refuse_userns(text: &str, because: impl Into<String>) -> Error {
    Error::new(&command_line::USAGE, format!("understand --userns={text}"))
        .because(because.into())
        .fix("The modes: default, full, single, keep-id[:uid=N,gid=N], auto[:size=N], nomap.")
}

/// `NAME=NUMBER,...` with the given names.
fn numbers<const N: usize>(text: &str, options: &str, names: [&str; N]) -> Result<[Option<u32>; N]> {
    let mut values = [None; N];
    if options.is_empty() && !text.ends_with(':') {
        return Ok(values);
    }
    for option in options.split(',') {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let Some(index) = names.iter().position(|known| *known == name) else {
            return Err(refuse_userns(text, format!("{name:?} is no option of this mode")));
        };
        let number = id(value).ok_or_else(|| refuse_userns(text, format!("{value:?} is not an id")))?;
        values[index] = Some(number);
    }
    Ok(values)
}

/// A number that can be an id: 4294967295 is (uid_t)-1, which is none.
fn id(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().filter(|id| *id != u32::MAX)
}

/// One value of `--uidmap` or `--gidmap`: `CONTAINER:FROM[:COUNT]`, where FROM 0 is the caller and 1.. are the
/// subordinate ids.
pub fn parse_map(text: &str) -> Result<Extent> {
    let refuse = |because: String| {
        Error::new(&command_line::USAGE, format!("understand the id map {text:?}"))
            .because(because)
            .fix("An id map is CONTAINER:FROM[:COUNT]; FROM 0 is you, 1 your first subordinate id.")
    };
    let fields: Vec<&str> = text.split(':').collect();
    let numbers: Option<Vec<u32>> = fields.iter().map(|field| id(field)).collect();
    let (inside, outside, count) = match numbers.as_deref() {
        Some([inside, outside]) => (*inside, *outside, 1),
        Some([inside, outside, count]) => (*inside, *outside, *count),
        _ => return Err(refuse("it is not two or three numbers with colons between them".into())),
    };
    let extent = Extent { inside, outside, count };
    IdMap::new(vec![extent]).map_err(|error| refuse(error.to_string()))?;
    Ok(extent)
}

#[cfg(test)]
mod tests;
