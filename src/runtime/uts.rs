//! The two names of a UTS namespace (uname(2)).
//!
//! Owns writing them. The surprise: one that is as wanted already is left alone, because a joined namespace may be another's.

use crate::error::{Context, Result, catalog::process as codes};
use crate::sys::process;

/// A joined UTS namespace has the name already as a rule, and may belong to a user namespace above this one.
pub(super) fn set_hostname(name: &str) -> Result<()> {
    if nix::unistd::gethostname().is_ok_and(|own| own == name) {
        return Ok(());
    }
    nix::unistd::sethostname(name).context(&codes::SETUP, || format!("set the hostname {name}"))
}

/// The second name, which nix can't set.
pub(super) fn set_domainname(name: &str) -> Result<()> {
    process::set_domainname(name).context(&codes::SETUP, || format!("set the domain name {name}"))
}
