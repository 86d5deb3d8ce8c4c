//! Which layers are known to be on the disk.
//!
//! Owns the mark of a layer that is in place but not yet written: a link in its directory to the boot in which it was made.
//! Writing to the disk takes a third of a pull, and nobody needs to wait for it: as long as the machine runs, every reader
//! sees the files whether they are written or not. After a power cut the mark tells of the layers that may be half there,
//! and they are made again of their archives, which are always on the disk before a document names them. The surprise: the
//! mark is a symbolic link because its few bytes lie in the inode: it is there with its content, or not at all.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, syncfs, unlinkat};

use super::{Document, Store, names_in};
use crate::error::{Context, Error, Result, catalog::image};
use crate::host::kernel::boot_id;

const MARK: &str = "unsynced";
/// Layers that are written with one syncfs(2); a descriptor each.
const AT_A_TIME: usize = 128;

/// How much of a layer is sure to be on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::image) enum Written {
    /// All of it.
    Whole,
    /// Nobody knows, but it is in memory.
    InMemory,
    /// Nobody knows, and the machine went down since.
    Lost,
}

/// Of the layer in the directory `layer`.
pub(in crate::image) fn written(layer: &Path) -> Result<Written> {
    match fs::read_link(layer.join(MARK)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Written::Whole),
        Err(error) => Err(error).context(&image::STORE, || format!("read {}", layer.join(MARK).display())),
        Ok(boot) if boot_id().is_some_and(|own| boot == Path::new(&own)) => Ok(Written::InMemory),
        Ok(_) => Ok(Written::Lost),
    }
}

/// Before it gets its place. Where boots can't be told apart it is written at once.
pub(super) fn mark(layer: &Path) -> Result<()> {
    match boot_id() {
        Some(boot) => {
            let doing = || format!("make {}", layer.join(MARK).display());
            symlink(boot, layer.join(MARK)).context(&image::STORE, doing)
        }
        None => write(layer),
    }
}

fn write(below: &Path) -> Result<()> {
    let dir = File::open(below).context(&image::STORE, || format!("open {}", below.display()))?;
    // One syncfs(2) for all files: an fsync for each would cost more than the unpacking.
    syncfs(&dir).context(&image::STORE, || format!("write {} to the disk", below.display()))
}

impl Store {
    /// An image that `text` has led to must be whole.
    pub(super) fn refuse_lost(&self, text: &str, document: &Document) -> Result<()> {
        for layer in &document.layers {
            if written(&self.layer(&layer.dir))? == Written::Lost {
                return Err(Error::new(
                    &image::NOT_WRITTEN,
                    format!("use the image {text:?}: its layer {}", layer.dir),
                ));
            }
        }
        Ok(())
    }

    /// Writes what is only in memory to the disk.
    ///
    /// # Errors
    /// `RL0307` with what the disk said; the layers stay marked.
    pub fn sync(&self) -> Result<()> {
        let layers = self.root().join("layers");
        let mut marked: Vec<PathBuf> = Vec::new();
        for name in names_in(&layers)? {
            let layer = self.layer(&name);
            // One that can't be read is gone, or for `rl system check` to tell of.
            if matches!(written(&layer), Ok(Written::InMemory)) {
                marked.push(layer);
            }
        }
        for some in marked.chunks(AT_A_TIME) {
            // Opened before they are written: another layer may lie under the name afterwards.
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            let open: Vec<_> = some.iter().filter_map(|layer| open(layer, flags, Mode::empty()).ok()).collect();
            write(&layers)?;
            for layer in open {
                match unlinkat(&layer, MARK, UnlinkatFlags::NoRemoveDir) {
                    // Another process was faster.
                    Ok(()) | Err(Errno::ENOENT) => {}
                    Err(errno) => return Err(errno).context(&image::STORE, || format!("unlink {MARK} of a layer")),
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_of_this_boot_is_in_memory_and_one_of_another_is_lost() {
        let dir = tempfile::tempdir().expect("a directory");
        let layer = dir.path();
        assert_eq!(written(layer).expect("read"), Written::Whole);
        mark(layer).expect("mark");
        assert_eq!(written(layer).expect("read"), Written::InMemory);
        fs::remove_file(layer.join(MARK)).expect("remove");
        symlink("another-boot", layer.join(MARK)).expect("link");
        assert_eq!(written(layer).expect("read"), Written::Lost);
    }
}
