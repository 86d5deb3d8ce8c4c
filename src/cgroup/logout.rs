//! What a logout does to a container: its fate is that of the systemd whose scope it is in.
//!
//! The surprise: nobody has to be asked. That a user lingers is a file of logind's, which everybody may read.

use std::path::Path;

use nix::unistd::{Uid, User};

use super::place::{Place, Reason, booted};
use super::scope::Manager;
use crate::error::{Error, Result, catalog::cgroup as codes};
use crate::spec::resources::Logout;

/// One file for each user who lingers (loginctl(1), enable-linger).
const LINGER: &str = "/var/lib/systemd/linger";

/// What the end of the user's last session does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Their systemd ends, and stops its scopes.
    Stops,
    /// Their systemd goes on, or it is the machine's.
    GoesOn,
}

/// Of a scope of this manager.
pub(super) fn fate(manager: &Manager) -> Fate {
    let lingers = || {
        let user = User::from_uid(Uid::from_raw(manager.uid())).ok().flatten();
        user.is_some_and(|user| Path::new(LINGER).join(user.name).exists())
    };
    if manager.uid() == 0 || lingers() { Fate::GoesOn } else { Fate::Stops }
}

/// Whether `--logout` can be promised for a container in this place.
///
/// # Errors
/// What will happen instead.
pub(super) fn promise(wish: Logout, place: &Result<Place, Reason>) -> Result<()> {
    let word = match wish {
        Logout::Stop => "stop",
        Logout::Keep => "keep",
    };
    let refused = |why: &str| Err(Error::new(&codes::LOGOUT, format!("use --logout={word}")).because(why));
    match (place, wish) {
        (Ok(Place::Manager(manager)), wish) => match (fate(manager), wish) {
            (Fate::Stops, Logout::Keep) => {
                refused("you don't linger, so your systemd ends at logout, with the container")
            }
            (Fate::GoesOn, Logout::Stop) if manager.uid() == 0 => {
                refused("root's containers are the machine's; no logout ends them")
            }
            (Fate::GoesOn, Logout::Stop) => {
                refused("you linger, so your systemd goes on after your logout, with the container")
            }
            _ => Ok(()),
        },
        (Ok(Place::Subtree(_)), _) => {
            refused("the container is in the group that was delegated to you, whose end is another's affair")
        }
        // Nothing watches over sessions there.
        (Err(_), Logout::Keep) if !booted() => Ok(()),
        (Err(_), Logout::Stop) if !booted() => refused("no systemd runs here, so nothing ends containers at logout"),
        (Err(_), _) => refused("your own systemd is not running, so the container stays with what you came by"),
    }
}
