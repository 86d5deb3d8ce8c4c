//! `DATA/names/NAME`: a link to the id of the container that has the name.
//!
//! Owns taking and giving back. The surprise: a link alone takes no name. Its owner must be a container that stays or one that
//! somebody has in hand; what a killed `rl` has left is replaced.

use std::fs::File;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use nix::fcntl::{Flock, FlockArg};

use super::{Record, is_id, lock, stays};
use crate::error::{Context, Error, Result, catalog::state};
use crate::host::Dirs;

/// What a name is made of (attack 26): the first character is a letter or a digit, so that no name is an option or a path.
pub fn is_valid(name: &str) -> bool {
    let rest = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    name.len() <= 128 && name.starts_with(|first: char| first.is_ascii_alphanumeric()) && name.bytes().all(rest)
}

/// The id of the container that has the name, if any container has it.
pub fn owner(dirs: &Dirs, name: &str) -> Option<String> {
    if !is_valid(name) {
        return None;
    }
    let id = std::fs::read_link(directory(dirs).join(name)).ok()?.into_os_string().into_string().ok()?;
    // Looking whether it is in hand is a lock for a moment, so only where nothing else tells.
    let is = is_id(&id) && (stays(&super::data_of(dirs, &id)) || lock::is_taken(&dirs.containers().join(&id)));
    is.then_some(id)
}

/// Gives the name to the container `id`, which its caller has in hand.
///
/// # Errors
/// `RL0803` where another has it.
pub fn claim(dirs: &Dirs, name: &str, id: &str) -> Result<()> {
    let doing = || format!("take the name {name}");
    if !is_valid(name) {
        return Err(Error::new(&state::NAME, format!("{name:?}")));
    }
    let names = directory(dirs);
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&names);
    made.context(&state::NAME, doing)?;
    let dir = File::open(&names).context(&state::NAME, doing)?;
    // One at a time: of two that find a left link, the second would replace what the first has taken.
    let _turn = Flock::lock(dir, FlockArg::LockExclusive).map_err(|(_, errno)| errno).context(&state::NAME, doing)?;
    match owner(dirs, name) {
        Some(owner) if owner == id => return Ok(()),
        Some(owner) => {
            return Err(Error::new(&state::NAME, doing())
                .because(format!("the container {} has it", owner.get(..super::SHORT).unwrap_or(&owner))));
        }
        None => {}
    }
    let path = names.join(name);
    let _ = std::fs::remove_file(&path);
    nix::unistd::symlinkat(id, nix::fcntl::AT_FDCWD, &path).context(&state::NAME, doing)
}

/// Gives the name back, if this container has it.
pub fn release(dirs: &Dirs, name: &str, id: &str) {
    let path = directory(dirs).join(name);
    if is_valid(name) && std::fs::read_link(&path).is_ok_and(|owner| owner.as_os_str() == id) {
        let _ = std::fs::remove_file(path);
    }
}

/// Takes away the links of containers that are no more.
pub fn sweep(dirs: &Dirs) {
    let names = directory(dirs);
    let Ok(dir) = File::open(&names) else { return };
    let Ok(_turn) = Flock::lock(dir, FlockArg::LockExclusiveNonblock) else { return };
    for name in super::files::names_in(&names).unwrap_or_default() {
        let left = match owner(dirs, &name) {
            None => true,
            // Renamed by an `rl` that was killed before the old name was given back.
            Some(id) => {
                let other =
                    Record::read(&super::data_of(dirs, &id)).ok().flatten().is_some_and(|record| record.name != name);
                other && !lock::is_taken(&dirs.containers().join(&id))
            }
        };
        if left {
            let _ = std::fs::remove_file(names.join(name));
        }
    }
}

/// A name for a container that was given none: `quiet_harbour`. The same number gives the same name.
pub fn invent(number: u64) -> String {
    let pick = |words: &[&'static str], number: u64| {
        usize::try_from(number % words.len() as u64)
            .ok()
            .and_then(|index| words.get(index))
            .copied()
            .unwrap_or_default()
    };
    let (first, second) = (pick(&QUALITIES, number), pick(&THINGS, number / QUALITIES.len() as u64));
    // Short names while there are few containers; a digit or three when they have come to be many.
    let digits = number / (QUALITIES.len() * THINGS.len()) as u64 % 4000;
    if digits < 3000 { format!("{first}_{second}") } else { format!("{first}_{second}{}", digits - 3000) }
}

const QUALITIES: [&str; 96] = [
    "able", "amber", "apt", "autumn", "blue", "bold", "brave", "bright", "brisk", "calm", "candid", "careful",
    "cheerful", "clear", "clever", "cosy", "crisp", "curious", "daring", "deft", "dewy", "eager", "early", "earnest",
    "easy", "fair", "faithful", "fine", "firm", "fond", "frank", "fresh", "gentle", "glad", "golden", "grand", "green",
    "happy", "hardy", "hearty", "honest", "humble", "jolly", "keen", "kind", "late", "light", "lively", "loyal",
    "lucid", "lucky", "mellow", "merry", "mild", "misty", "modest", "neat", "nimble", "noble", "open", "patient",
    "plain", "plucky", "polite", "prompt", "proud", "quick", "quiet", "rapid", "ready", "rosy", "round", "sage",
    "serene", "sharp", "silent", "silver", "sincere", "sleek", "smart", "snug", "sober", "solid", "spry", "steady",
    "still", "sturdy", "sunny", "sure", "swift", "tidy", "tranquil", "vivid", "warm", "wise", "witty",
];

const THINGS: [&str; 96] = [
    "acorn", "alder", "anchor", "anvil", "apple", "arch", "ash", "aspen", "badger", "barley", "beacon", "beaver",
    "beech", "birch", "bison", "brook", "cairn", "canyon", "cedar", "cherry", "clover", "comet", "compass", "copper",
    "coral", "crane", "creek", "dale", "delta", "dune", "eagle", "elm", "ember", "falcon", "fern", "finch", "fjord",
    "forest", "fox", "garnet", "glacier", "gorge", "granite", "grove", "gull", "harbour", "hare", "hawk", "hazel",
    "heron", "hill", "island", "ivy", "jay", "juniper", "kestrel", "lagoon", "lake", "lantern", "lark", "laurel",
    "linden", "lotus", "lynx", "maple", "marsh", "meadow", "mill", "moss", "oak", "orchard", "osprey", "otter", "owl",
    "pebble", "pine", "plum", "pond", "poplar", "quartz", "raven", "reed", "reef", "ridge", "river", "robin", "rowan",
    "sparrow", "spruce", "stone", "stork", "swan", "thistle", "valley", "walnut", "willow",
];

fn directory(dirs: &Dirs) -> PathBuf {
    dirs.data.join("names")
}
