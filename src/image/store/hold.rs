//! Shared locks on layers: what is used is not deleted.
//!
//! Owns the lock of one layer and of all of an image. The surprise: a layer may be taken away between being opened and being locked, so
//! what was locked is compared with what has the name afterwards.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;

use nix::fcntl::{Flock, FlockArg};

use super::about::About;
use super::{Store, Written, written};
use crate::error::{Context, Result, catalog::image};
use crate::image::document::Document;

/// Keeps layers from being deleted for as long as it lives.
#[derive(Debug, Default)]
pub struct Hold(#[expect(dead_code, reason = "dropping the descriptors is what ends it")] Vec<Flock<File>>);

impl Store {
    /// All layers of an image. None: a layer is not there (any more).
    pub(super) fn hold(&self, document: &Document) -> Result<Option<Hold>> {
        let locks =
            document.layers.iter().map(|layer| self.hold_one(&layer.dir)).collect::<Result<Option<Vec<_>>>>()?;
        Ok(locks.map(Hold))
    }

    fn hold_one(&self, name: &str) -> Result<Option<Flock<File>>> {
        let path = self.layer(name);
        let file = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.context(&image::STORE, || format!("open {}", path.display()))?,
        };
        let lock = Flock::lock(file, FlockArg::LockShared).map_err(|(_, errno)| errno);
        let lock = lock.context(&image::STORE, || format!("lock {}", path.display()))?;
        // Whoever had it locked may have taken it away meanwhile.
        let inode = |meta: fs::Metadata| meta.ino();
        let same = fs::metadata(&path).map(inode).ok() == lock.metadata().map(inode).ok();
        Ok(same.then_some(lock))
    }

    /// A layer that is there, for an image that is coming.
    pub(in crate::image) fn hold_layer(&self, name: &str) -> Result<Option<(Hold, About)>> {
        let Some(lock) = self.hold_one(name)? else { return Ok(None) };
        if written(&self.layer(name))? == Written::Lost {
            return Ok(None);
        }
        Ok(Some((Hold(vec![lock]), About::read(&self.layer(name))?)))
    }
}
