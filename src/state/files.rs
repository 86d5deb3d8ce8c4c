//! Reading and writing the small documents.
//!
//! Every document carries a version, is written beside its place, and is renamed into it: a reader finds the old one or the new
//! one. The surprise: what lies in the data directory is synced before the rename, or a power cut could leave an empty file
//! under the name of a container.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::error::{Context, Error, Result, catalog::state};

/// Nanoseconds since 1970.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// None: there is no such file.
pub fn read_versioned<T: DeserializeOwned>(path: &Path, version: u32) -> Result<Option<T>> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let text = match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text.context(&state::STATE, || format!("read {}", path.display()))?,
    };
    let understand = || format!("understand {}", path.display());
    // All at once where it is ours; only what is not is looked at more closely.
    match serde_json::from_slice::<T>(&text) {
        Ok(document) if version_of(&text, version) => Ok(Some(document)),
        parsed => {
            let Versioned { version: found } = serde_json::from_slice(&text).context(&state::STATE, understand)?;
            if found == version {
                return parsed.map(Some).context(&state::STATE, understand);
            }
            let what = format!("{} has version {found}, this rl knows {version}", path.display());
            Err(Error::new(&state::STATE, what).fix("Use the rl that wrote it, or another --root."))
        }
    }
}

/// Every document begins with its version.
fn version_of(text: &[u8], version: u32) -> bool {
    text.starts_with(format!("{{\"version\":{version},").as_bytes())
}

/// Writes beside and renames. `sync`: the new content is on the disk before it has the name.
pub fn write_replacing(path: &Path, document: &impl Serialize, sync: bool) -> Result<()> {
    let doing = || format!("write {}", path.display());
    let text = serde_json::to_vec(document).context(&state::INTERNAL, doing)?;
    // The writer's own name for it: two that write the same document must not write into each other's file.
    let staged = path.with_extension(format!("{}.new", std::process::id()));
    let written = create_private(&staged).and_then(|mut file| {
        file.write_all(&text)?;
        if sync { file.sync_data() } else { Ok(()) }
    });
    let renamed = written.and_then(|()| fs::rename(&staged, path));
    if renamed.is_err() {
        let _ = fs::remove_file(&staged);
    }
    renamed.context(&state::STATE, doing)
}

/// For the owner alone, whatever the umask: environment variables hold secrets.
pub(super) fn create_private(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// What can't be listed must not look empty. Only a missing directory is empty.
pub(super) fn names_in(dir: &Path) -> Result<Vec<String>> {
    let doing = || format!("list {}", dir.display());
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.context(&state::STATE, doing)?,
    };
    let name = |entry: std::io::Result<fs::DirEntry>| {
        entry.map(|entry| entry.file_name().to_string_lossy().into_owned()).context(&state::STATE, doing)
    };
    entries.map(name).collect()
}
