//! The repository's own rules: who may import whom, where `unsafe` is, how long files are, what the dependencies' licences are.
//!
//! Owns reading the sources as text. It is no compiler: macros that build paths would escape it, and there are none. The
//! surprise: the tree is found at run time, because the tests are run from an archive as users who can't read the clone.

mod code;
mod dependencies;
mod imports;
mod sources;

use std::path::{Path, PathBuf};

/// The root of the tree. nextest sets the variable to where it was told that the tree is now.
pub fn top() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

/// Every file below these directories that has this extension, with its text, in a fixed order.
pub fn files(directories: &[&str], extension: &str) -> Vec<(PathBuf, String)> {
    let top = top();
    let mut found = Vec::new();
    let mut todo: Vec<PathBuf> = directories.iter().map(|directory| top.join(directory)).collect();
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("list");
            todo.extend(entries.map(|entry| entry.expect("entry").path()).filter(|path| !path.ends_with("target")));
        } else if path.extension().is_some_and(|end| end == extension) {
            let text = std::fs::read_to_string(&path).expect("UTF-8");
            found.push((path.strip_prefix(&top).expect("below the top").to_owned(), text));
        }
    }
    assert!(!found.is_empty(), "no .{extension} below {directories:?} of {}", top.display());
    found.sort();
    found
}

/// Fails with all complaints at once.
pub fn none(rule: &str, complaints: &[String]) {
    assert!(complaints.is_empty(), "{rule}\n  {}", complaints.join("\n  "));
}

/// `src/plan/mod.rs`, for messages.
pub fn name(path: &Path) -> std::path::Display<'_> {
    path.display()
}
