//! Where the programs are: configured, in PATH, or where install.sh has put them without root.
//!
//! Owns the search and its memory, `RUN/NAME`: asking slirp4netns for its version costs a process, so the answer is kept for the
//! session. The surprise: only good answers are kept, so that an upgrade helps at once.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

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
