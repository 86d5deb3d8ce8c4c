//! `--replace`: the container that has the name goes before the new one comes.
//!
//! Only once the image is there and the new one is about to be made. The surprise: another `rl rm -f` does it, because removing files of
//! subordinate ids means entering the namespace in which this process has yet to make its container.

use std::process::{Command, Stdio};

use crate::error::{Context, Error, Result, catalog::command_line, catalog::state as codes};
use crate::host::Host;
use crate::spec::RunSpec;
use crate::state::Containers;

/// # Errors
/// RL0101 without `--name`; RL0802 where the old one can't be removed.
pub(super) fn replace(host: &Host, run: &RunSpec) -> Result<()> {
    if !run.replace {
        return Ok(());
    }
    let none = || Error::new(&command_line::USAGE, "--replace: whatever has the --name, and none is given");
    let name = run.name.as_deref().ok_or_else(none)?;
    let all = Containers::open(&host.dirs).list(|error| eprintln!("rl: {}", error.summary()))?;
    let Some(old) = all.into_iter().find(|container| container.record.name == name) else { return Ok(()) };
    let mut rm = Command::new("/proc/self/exe");
    rm.arg("--root").arg(&host.dirs.data).arg("--runroot").arg(&host.dirs.run).args(["rm", "-f", "-i", &old.record.id]);
    let done = rm.stdin(Stdio::null()).stdout(Stdio::null()).status();
    let done = done.context(&codes::STATE, || format!("execute rl rm -f {name}"))?;
    if done.success() { Ok(()) } else { Err(Error::new(&codes::STATE, format!("replace the container {name}"))) }
}
