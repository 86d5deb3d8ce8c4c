//! Why an entry could not be applied, and the message that a person gets.
//!
//! Owns the step from a refusal or an errno to the catalog's entry. The surprise: names in an archive are hostile text;
//! they are shown escaped and cut, never as they are.

use std::io;

use nix::errno::Errno;

use super::archive::Entry;
use crate::error::{Error, catalog::image};
use crate::host::Caller;

/// The step whose EINVAL means an id that is not mapped.
pub(super) const SET_OWNER: &str = "set its owner";
/// Of a name in a message.
const LONGEST_SHOWN: usize = 200;

/// Why an entry could not be applied.
pub(super) enum Trouble {
    Refused(String),
    Failed(&'static str, Errno),
    Input(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Input(error)
    }
}

pub(super) fn call(what: &'static str) -> impl FnOnce(Errno) -> Trouble {
    move |errno| Trouble::Failed(what, errno)
}

pub(super) fn refused<T>(why: &str) -> Result<T, Trouble> {
    Err(Trouble::Refused(why.to_owned()))
}

/// The error that `rl` ends with.
pub(super) fn explain(trouble: Trouble, entry: &Entry) -> Error {
    let name = format!("the entry {}", shown(&entry.path));
    match trouble {
        Trouble::Refused(why) => Error::new(&image::BAD_ARCHIVE, format!("{name}: {why}")),
        Trouble::Input(error) => unreadable(error, &name),
        Trouble::Failed(SET_OWNER, Errno::EINVAL) => unmapped(&name, entry),
        Trouble::Failed(what, errno @ (Errno::ELOOP | Errno::ENOTDIR | Errno::EXDEV)) => {
            Error::new(&image::BAD_ARCHIVE, format!("{name}: {what}: it leads through a link or a file")).because(errno)
        }
        Trouble::Failed(what, errno @ (Errno::ENOSPC | Errno::EDQUOT)) => {
            Error::new(&image::NO_SPACE, format!("{name}: {what}")).because(errno)
        }
        Trouble::Failed(what, errno) => Error::new(&image::APPLY, format!("{name}: {what}")).because(errno),
    }
}

/// The archive's fault, or the disk's: a copy of it is kept while it is read.
pub(super) fn unreadable(error: io::Error, what: &str) -> Error {
    let full = matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT));
    let entry = if full { &image::NO_SPACE } else { &image::BAD_ARCHIVE };
    Error::new(entry, format!("read {what}")).because(error)
}

/// In double quotes, escaped, and cut where it is very long.
pub(super) fn shown(name: &[u8]) -> String {
    let cut = &name[..name.len().min(LONGEST_SHOWN)];
    let more = if cut.len() < name.len() { "..." } else { "" };
    format!("\"{}\"{more}", String::from_utf8_lossy(cut).escape_debug())
}

/// Names the id at fault, how many there are, and how many it takes.
fn unmapped(name: &str, entry: &Entry) -> Error {
    let Entry { uid, gid, .. } = entry;
    let error = |kind: &str, id: u64, have: u64| {
        Error::new(&image::UNMAPPED_ID, format!("{name} belongs to {kind} {id}"))
            .because(format!("only {have} {kind}s are mapped here"))
            .fix(format!(
                "You need at least {id} subordinate {kind}s (rl explain RL0202), or import with --userns=single, where \
                 everything belongs to root."
            ))
    };
    let maps = Caller::read().ok();
    let lacks = |map: &subid::IdMap, id: u64| u32::try_from(id).is_ok_and(|id| map.outside(id).is_none());
    match maps {
        Some(caller) if lacks(&caller.uid_map, *uid) => error("uid", *uid, caller.uid_map.total()),
        Some(caller) if lacks(&caller.gid_map, *gid) => error("gid", *gid, caller.gid_map.total()),
        _ => Error::new(&image::UNMAPPED_ID, format!("{name} belongs to {uid}:{gid}")).because(Errno::EINVAL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_is_shown_escaped_and_cut() {
        assert_eq!(shown(b"a\x1b[2Jb"), "\"a\\u{1b}[2Jb\"");
        assert!(shown(&[b'x'; 4000]).len() < 300);
    }
}
