//! What a specification can say and a plan can't yet: an error that names the field, never silence.
//!
//! Pure. The surprise: `rl`'s own specifications never trip it; it is there for a config.json of somebody else's making.

use std::path::{Component, Path, PathBuf};

use oci_spec::runtime::{Linux, Spec};

use crate::error::{Error, Result, catalog::command_line, catalog::rootfs};

/// A field of the specification that can't become a plan.
pub(super) fn bad(field: &str, what: &str) -> Error {
    Error::new(&command_line::SPECIFICATION, format!("{field} {what}"))
}

/// Refuses the first field that would have to be ignored.
pub(super) fn check(spec: &Spec) -> Result<()> {
    let set =
        [("solaris", spec.solaris().is_some()), ("windows", spec.windows().is_some()), ("vm", spec.vm().is_some())];
    first(&set)?;
    spec.linux().as_ref().map_or(Ok(()), check_linux)
}

fn check_linux(linux: &Linux) -> Result<()> {
    first(&[
        ("linux.intelRdt", linux.intel_rdt().is_some()),
        ("linux.netDevices", linux.net_devices().as_ref().is_some_and(|devices| !devices.is_empty())),
    ])
}

fn first(set: &[(&str, bool)]) -> Result<()> {
    set.iter().find(|(_, set)| *set).map_or(Ok(()), |(field, _)| Err(bad(field, "is not supported")))
}

/// Absolute and without `..`: a target is a place in the container, not a way to it.
pub(super) fn checked_path(field: &str, path: &Path) -> Result<PathBuf> {
    let plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    if path.is_absolute() && path.components().all(plain) {
        return Ok(path.components().collect());
    }
    let what = format!("{field}: {} is not an absolute path without ..", path.display());
    Err(Error::new(&rootfs::UNSAFE_TARGET, what).fix("Give an absolute path inside the container."))
}
