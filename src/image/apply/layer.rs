//! What only layers have: whiteouts, and hard links to files of the layers below.
//!
//! The surprise: a whiteout is about the layers below. What the same archive has made stays, whichever came first.

use std::os::fd::AsFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use super::{Applier, create};
use crate::image::beneath::{is_directory, look, open_beneath};
use crate::image::lower::Found;
use crate::image::trouble::{Trouble, call, refused};
use crate::image::whiteout::{Meaning, make_opaque, make_whiteout, meaning};

pub(super) const HIDE: &str = "hide what is below";

impl Applier {
    /// Whether the name is a whiteout; then it has been obeyed.
    pub(super) fn hides(&mut self, path: &Path) -> Result<bool, Trouble> {
        let name = path.file_name().unwrap_or_default();
        let hidden = match meaning(name) {
            Meaning::Ordinary => return Ok(false),
            Meaning::Nothing => return Ok(true),
            Meaning::Absurd => return refused("a whiteout of nothing"),
            Meaning::Hides(hidden) => Some(path.with_file_name(hidden)),
            Meaning::Opaque => None,
        };
        let Some(hidden) = hidden else {
            match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                Some(parent) => match self.tree.open_directory(parent) {
                    Err(Errno::ENOTDIR | Errno::ELOOP) => {}
                    opened => make_opaque(opened.map_err(call("open its directory"))?.as_fd()).map_err(call(HIDE))?,
                },
                // An overlay does not look for the mark on its layers' roots; the store leaves out what is below.
                None => self.summary.opaque_root = true,
            }
            return Ok(true);
        };
        let (parent, name) = match self.tree.parent(&hidden) {
            // The archive has put a file where the directory was: with it all that was below is gone already. umoci
            // writes such whiteouts.
            Err(Errno::ENOTDIR | Errno::ELOOP) => return Ok(true),
            found => found.map_err(call("open its directory"))?,
        };
        match look(parent, name).map_err(call("examine it"))? {
            None => make_whiteout(parent, name).map_err(call(HIDE))?,
            Some(there) if is_directory(&there) => {
                let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                let directory = openat(parent, name, flags, Mode::empty()).map_err(call("open it"))?;
                make_opaque(directory.as_fd()).map_err(call(HIDE))?;
            }
            Some(_) => {}
        }
        Ok(true)
    }

    /// A hard link to a file that this layer does not have, but one below has.
    pub(super) fn copy_up(&mut self, path: &Path) -> Result<(), Trouble> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW;
        match open_beneath(self.tree.root(), path, flags) {
            Err(Errno::ENOENT) => {}
            _ => return Ok(()),
        }
        let below = self.tree.below(path).map_err(call("look for it in the layers below"))?;
        let Some(found) = below.filter(Found::is_file) else { return Ok(()) };
        let made = self.make(path, "copy it up", |parent, name| create(parent, name, Mode::S_IRUSR | Mode::S_IWUSR))?;
        found.copy(made).map_err(Trouble::Input)
    }
}
