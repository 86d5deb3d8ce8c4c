//! Where the programs are: configured, in PATH, or where install.sh has put them without root; and giving them commands.
//!
//! Owns the search and its memory, `RUN/NAME`: asking slirp4netns for its version costs a process, so the answer is kept for the
//! session. slirp4netns itself is found by its helper crate. The surprise: only good answers are kept, so that an upgrade helps at
//! once.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::error::Result;
use crate::host::config::Config;

/// What was found, and the state of what it depends on.
#[derive(Debug, Serialize, Deserialize)]
struct Kept<T> {
    path: PathBuf,
    stamp: String,
    path_variable: Option<std::ffi::OsString>,
    found: T,
}

/// Beside rl's own binary: `PREFIX/bin/rl` and `PREFIX/lib/rl/bin`.
pub(super) fn own_directory() -> Option<PathBuf> {
    std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.parent()?.join("lib/rl/bin")))
}

/// The program of this name: the one that is configured and no other, or the first in PATH, beside rl's own binary, and in these
/// directories of the system, where an administrator's programs are that a user's PATH need not have.
pub(super) fn find(name: &str, configured: Option<PathBuf>, system: &[&str]) -> Option<PathBuf> {
    let is_program =
        |file: &PathBuf| file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0);
    if configured.is_some() {
        return configured.filter(is_program);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    // An empty or relative element means the current directory, which may be anybody's.
    let dirs = std::env::split_paths(&path).filter(|dir| dir.is_absolute()).chain(own_directory());
    dirs.chain(system.iter().map(PathBuf::from)).map(|dir| dir.join(name)).find(is_program)
}

/// Runs a program that reads commands from its stdin.
///
/// # Errors
/// Its own words.
pub(super) fn feed(mut command: Command, commands: &str) -> std::result::Result<(), String> {
    let name = Path::new(command.get_program()).display().to_string();
    let failed = |error: std::io::Error| format!("{name}: {error}");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(commands.as_bytes()));
    let output = child.wait_with_output().map_err(failed)?;
    let said = String::from_utf8_lossy(&output.stderr);
    match said.lines().map(str::trim).find(|line| !line.is_empty()) {
        _ if output.status.success() => written.map_err(failed),
        Some(line) => Err(format!("{name}: {line}")),
        None => Err(format!("{name}: {}", output.status)),
    }
}

/// The remembered answer for `name`, or that of `look`, which is given the configured path and says where it was found.
pub(super) fn remembered<T: Serialize + DeserializeOwned>(
    run: &Path,
    name: &str,
    configured: impl FnOnce(Config) -> Option<PathBuf>,
    look: impl FnOnce(Option<PathBuf>) -> Result<(PathBuf, T)>,
) -> Result<T> {
    let file = run.join(name);
    let path_variable = std::env::var_os("PATH");
    let kept = std::fs::read(&file).ok().and_then(|text| serde_json::from_slice::<Kept<T>>(&text).ok());
    if let Some(kept) = kept
        && kept.stamp == stamp(&kept.path)
        && kept.path_variable == path_variable
    {
        return Ok(kept.found);
    }
    let (path, found) = look(configured(Config::read()?))?;
    let kept = Kept { stamp: stamp(&path), path, path_variable, found };
    // Only memory: where it can't be written, the next run looks again.
    if let Ok(text) = serde_json::to_vec(&kept) {
        let staged = run.join(format!("{name}.{}", std::process::id()));
        let _ = std::fs::write(&staged, text).and_then(|()| std::fs::rename(&staged, &file));
    }
    Ok(kept.found)
}

/// Identity, size and time of the program and of the files that may name another.
fn stamp(program: &Path) -> String {
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config"));
    let own = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).or(home).unwrap_or_default();
    let files = [program.to_owned(), own.join("rl/config.toml"), PathBuf::from("/etc/rl/config.toml")];
    let one = |path: &PathBuf| match std::fs::metadata(path) {
        Ok(meta) => format!("{}:{}:{}.{}", meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec()),
        Err(_) => "-".to_owned(),
    };
    files.iter().map(one).collect::<Vec<_>>().join(" ")
}
