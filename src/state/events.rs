//! `RUN/events/log`: what happened to containers, one JSON object a line, in docker's shape.
//!
//! Whoever does something to a container appends a line in one write. Owns the file and its rotation. The surprise: containers of
//! `--rm` in the foreground are told of only where the file is there already, so that the shortest run writes nothing for nobody.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::now;
use crate::host::Dirs;

/// A file that has grown to this is put aside, once.
const LARGEST: u64 = 1 << 20;

/// The current file.
pub fn file(dirs: &Dirs) -> PathBuf {
    dirs.run.join("events/log")
}

/// Makes it, for somebody who wants to hear of all that comes.
pub fn prepare(dirs: &Dirs) {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dirs.run.join("events"));
    if made.is_ok() {
        let _ = OpenOptions::new().append(true).create(true).mode(0o600).open(file(dirs));
    }
}

/// Which container it was.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its image.
    pub image: &'a str,
}

/// Tells that `action` (`create`, `start`, `die`...) has happened. Best effort: an event that can't be written is no reason to
/// fail what has been done.
pub fn tell(dirs: &Dirs, of: Subject<'_>, action: &str, more: &[(&str, String)]) {
    prepare(dirs);
    tell_listeners(dirs, of, action, more);
}

/// The same, where there has been somebody to listen.
fn tell_listeners(dirs: &Dirs, of: Subject<'_>, action: &str, more: &[(&str, String)]) {
    let path = file(dirs);
    let Ok(mut file) = OpenOptions::new().append(true).open(&path) else { return };
    let time = now();
    let mut attributes: Map<String, Value> =
        more.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    attributes.insert("image".into(), json!(of.image));
    attributes.insert("name".into(), json!(of.name));
    let event = json!({
        "status": action,
        "id": of.id,
        "from": of.image,
        "Type": "container",
        "Action": action,
        "Actor": { "ID": of.id, "Attributes": attributes },
        "scope": "local",
        "time": time / 1_000_000_000,
        "timeNano": time,
    });
    let _ = file.write_all(format!("{event}\n").as_bytes());
    if file.metadata().is_ok_and(|meta| meta.len() > LARGEST) {
        let _ = fs::rename(&path, path.with_extension("1"));
        prepare(dirs);
    }
}
