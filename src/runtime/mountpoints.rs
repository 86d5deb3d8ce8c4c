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
use crate::plan::{Plan, Step};

const DIRECTORIES: [&str; 4] = ["dev", "etc", "proc", "sys"];
const FILES: [&str; 3] = ["etc/hosts", "etc/hostname", "etc/resolv.conf"];

/// Puts it below the layers of a plan for the kernel's overlay, if all its files are mounted on: none may be seen.
pub fn lay(plan: &mut Plan, dirs: &Dirs) {
    let is_on = |target: &Path, file| target.strip_prefix("/").is_ok_and(|target| target == Path::new(file));
    let is_covered =
        |file| plan.steps.iter().any(|step| matches!(step, Step::Bind { target, .. } if is_on(target, file)));
    if !FILES.into_iter().all(is_covered) {
        return;
    }
    let lower = plan.steps.iter_mut().find_map(|step| match step {
        Step::Overlay { lower, .. } => Some(lower),
        _ => None,
    });
    if let Some(lower) = lower {
        lower.extend(lowest(dirs));
    }
}

/// Its path; made by the first container of a store, in the caller's mapped namespace.
fn lowest(dirs: &Dirs) -> Option<PathBuf> {
    let layer = dirs.data.join("mountpoints");
    if !layer.exists() {
        let staged = dirs.data.join(format!("mountpoints.{}", std::process::id()));
        let made = make(&staged).and_then(|()| fs::rename(&staged, &layer));
        if made.is_err() {
            // Somebody else was faster, or nothing can be made here.
            let _ = remove_tree(&staged);
        }
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
        let layer = lowest(&dirs).expect("a layer");
        let made = fs::metadata(layer.join("etc/hosts")).expect("a file");
        assert_eq!((made.len(), made.permissions().mode() & 0o7777), (0, 0o644));
        assert_eq!(lowest(&dirs), Some(layer));
        assert_eq!(fs::read_dir(data.path()).expect("a directory").count(), 1);
    }

    #[test]
    fn a_store_that_cannot_be_written_to_has_none() {
        let dirs = Dirs { data: PathBuf::from("/proc/self"), run: PathBuf::from("/proc/self") };
        assert_eq!(lowest(&dirs), None);
    }
}
