//! The lowest layer of a container: what in every container something is mounted on.
//!
//! Owns `DATA/mountpoints`, a tree of empty files and directories. Most images lack `/etc/hosts` and its like; made when they are
//! needed they would be created in, and deleted from, the upper directory of each container, on the disk and as changes of its own.
//! The surprise: without it all goes well too, so what speaks against making it is not looked into.

use std::fs::{self, DirBuilder, File, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::host::Dirs;
use crate::image::remove_tree;
use crate::spec::files::Etc;

const DIRECTORIES: [&str; 4] = ["dev", "etc", "proc", "sys"];
const FILES: [&str; 3] = ["etc/hosts", "etc/hostname", "etc/resolv.conf"];

/// Its path, for a container that has something on each of its files: none of them may be seen. Made by the first container of a
/// store, in the caller's mapped namespace.
pub fn lowest(dirs: &Dirs, etc: &Etc) -> Option<PathBuf> {
    if etc.no_hosts || etc.no_hostname || etc.no_resolv {
        return None;
    }
    let layer = dirs.data.join("mountpoints");
    if layer.exists() {
        return Some(layer);
    }
    let staged = dirs.data.join(format!("mountpoints.{}", std::process::id()));
    if make(&staged).and_then(|()| fs::rename(&staged, &layer)).is_err() {
        // Somebody else was faster, or nothing can be made here.
        let _ = remove_tree(&staged);
    }
    layer.exists().then_some(layer)
}

/// With these modes, whatever the caller's umask is.
fn make(layer: &Path) -> std::io::Result<()> {
    let directory = |path: &Path| {
        DirBuilder::new().mode(0o755).create(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o755))
    };
    directory(layer)?;
    DIRECTORIES.iter().try_for_each(|name| directory(&layer.join(name)))?;
    FILES.iter().try_for_each(|name| {
        let file = File::create_new(layer.join(name))?;
        file.set_permissions(Permissions::from_mode(0o644))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_and_is_the_same_afterwards() {
        let data = tempfile::tempdir().expect("a directory");
        let dirs = Dirs { data: data.path().to_owned(), run: data.path().join("run") };
        let layer = lowest(&dirs, &Etc::default()).expect("a layer");
        let made = fs::metadata(layer.join("etc/hosts")).expect("a file");
        assert_eq!((made.len(), made.permissions().mode() & 0o7777), (0, 0o644));
        assert_eq!(lowest(&dirs, &Etc::default()), Some(layer));
        assert_eq!(lowest(&dirs, &Etc { no_hosts: true, ..Etc::default() }), None);
        assert_eq!(lowest(&dirs, &Etc { no_resolv: true, ..Etc::default() }), None);
        assert_eq!(fs::read_dir(data.path()).expect("a directory").count(), 1);
    }

    #[test]
    fn a_store_that_cannot_be_written_to_has_none() {
        let dirs = Dirs { data: PathBuf::from("/proc/self"), run: PathBuf::from("/proc/self") };
        assert_eq!(lowest(&dirs, &Etc::default()), None);
    }
}
