//! Files of the host that an attack would change.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A directory with files; what they are is remembered.
pub struct Canary {
    dir: PathBuf,
    before: BTreeMap<PathBuf, (u32, u32, u32, Vec<u8>)>,
}

impl Canary {
    pub(super) fn new(dir: &Path) -> Self {
        for name in ["file", "sub/file"] {
            let path = dir.join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("mkdir");
            std::fs::write(path, "canary").expect("write");
        }
        Self { dir: dir.to_owned(), before: state(dir) }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Nothing in it has another content, mode or owner, and nothing has come or gone.
    pub fn is_untouched(&self, case: &str) {
        assert_eq!(state(&self.dir), self.before, "{case}");
    }
}

fn state(dir: &Path) -> BTreeMap<PathBuf, (u32, u32, u32, Vec<u8>)> {
    let mut all = BTreeMap::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(path) = todo.pop() {
        let meta = std::fs::symlink_metadata(&path).expect("metadata");
        let content = if meta.is_file() { std::fs::read(&path).expect("read") } else { Vec::new() };
        if meta.is_dir() {
            todo.extend(std::fs::read_dir(&path).expect("list").map(|entry| entry.expect("entry").path()));
        }
        all.insert(path, (meta.mode(), meta.uid(), meta.gid(), content));
    }
    all
}
