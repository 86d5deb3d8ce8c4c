//! `rl system check`: whether the store is what its documents say.
//!
//! Owns the questions: does every image have its layers and blobs, is every blob what its digest says, is every layer
//! under the name of its chain, and what is there that nothing needs. Owns the repair, too, which deletes what is
//! damaged, for it can be pulled or imported again, and makes layers again whose archives are there. The surprise: garbage is no damage; a
//! killed pull leaves some for the next one to go on with.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use super::digest::Digest;
use super::document::Document;
use super::remake::remake;
use super::staging::{Staging, try_lock};
use super::store::{Store, Written, names_in, written};
use super::unpack::chain;
use crate::error::{Context, Error, Result, catalog::image};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// An image can't be run, or can't be pushed, or is not what it says.
    Damaged,
    /// Something that nothing needs.
    Garbage,
}

/// One thing that was found.
#[derive(Debug)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// What it is, with its path or name.
    pub what: String,
    /// What was done about it.
    pub repair: Option<String>,
}

/// Looks at everything; with `repair`, deletes what is damaged and what is garbage.
///
/// # Errors
/// Only where the store can't be read at all, or a repair fails.
pub fn check(store: &Store, repair: bool) -> Result<Vec<Finding>> {
    let mut checker = Checker { store, repair, findings: Vec::new() };
    checker.blobs()?;
    checker.lost()?;
    let lock = store.lock()?;
    let documents = checker.documents()?;
    checker.garbage(&documents)?;
    drop(lock);
    Ok(checker.findings)
}

struct Checker<'a> {
    store: &'a Store,
    repair: bool,
    findings: Vec<Finding>,
}

impl Checker<'_> {
    fn find(&mut self, severity: Severity, what: String, repair: impl FnOnce() -> Result<String>) -> Result<()> {
        let repair = if self.repair { Some(repair()?) } else { None };
        self.findings.push(Finding { severity, what, repair });
        Ok(())
    }

    /// Without the store's lock: reading all of it takes a while, and a blob never changes.
    fn blobs(&mut self) -> Result<()> {
        let blobs = self.store.root().join("blobs");
        for algorithm in names_in(&blobs)? {
            for hex in names_in(&blobs.join(&algorithm))? {
                let path = blobs.join(&algorithm).join(&hex);
                let delete = || {
                    let deleted = fs::remove_file(&path);
                    deleted.context(&image::STORE, || format!("remove {}", path.display()))?;
                    Ok("deleted".to_owned())
                };
                let Ok(digest) = format!("{algorithm}:{hex}").parse::<Digest>() else {
                    self.find(Severity::Garbage, format!("{} is no blob", path.display()), delete)?;
                    continue;
                };
                match content(&path, &digest) {
                    Ok(Some(is)) if is != digest => {
                        self.find(Severity::Damaged, format!("the blob {digest} has the content of {is}"), delete)?;
                    }
                    // Gone meanwhile: its image was removed.
                    Ok(_) => {}
                    Err(error) => self.find(Severity::Damaged, error.summary(), delete)?,
                }
            }
        }
        Ok(())
    }

    /// Without the store's lock, which making them again takes.
    fn lost(&mut self) -> Result<()> {
        for file in names_in(&self.store.root().join("images"))? {
            // What can't be read is told of with the other documents.
            let Ok(Some(document)) = self.store.read(&file) else { continue };
            let mut layers = document.layers.iter().map(|layer| written(&self.store.layer(&layer.dir)));
            if layers.any(|layer| matches!(layer, Ok(Written::Lost))) {
                let name = document.name.clone().unwrap_or_else(|| document.id.clone());
                let what = format!("the image {name}: the machine went down before all of it was on the disk");
                let store = self.store;
                self.find(Severity::Damaged, what, || match remake(store, &document) {
                    Ok(()) => Ok("made again of its archives".into()),
                    Err(error) => {
                        let path = store.root().join("images").join(&file);
                        let deleted = fs::remove_file(&path);
                        deleted.context(&image::STORE, || format!("remove {}", path.display()))?;
                        Ok(format!("its name was removed; pull or import it again: {}", error.summary()))
                    }
                })?;
            }
        }
        Ok(())
    }

    /// Those that are right, or can be run at least.
    fn documents(&mut self) -> Result<Vec<Document>> {
        let images = self.store.root().join("images");
        let mut right = Vec::new();
        for file in names_in(&images)? {
            let path = images.join(&file);
            let delete = |why: &str| {
                let deleted = fs::remove_file(&path);
                deleted.context(&image::STORE, || format!("remove {}", path.display()))?;
                Ok(why.to_owned())
            };
            if !file.ends_with(".json") {
                self.find(Severity::Garbage, format!("{} was never finished", path.display()), || delete("deleted"))?;
                continue;
            }
            let read = fs::read(&path).context(&image::STORE, || format!("read {}", path.display()));
            let document = match read.and_then(|bytes| Document::parse(&path, &bytes)) {
                Ok(document) => document,
                Err(error) => {
                    self.find(Severity::Damaged, error.summary(), || delete("deleted; pull or import it again"))?;
                    continue;
                }
            };
            let name = document.name.clone().unwrap_or_else(|| document.id.clone());
            if let Some(why) = self.unusable(&document)? {
                let what = format!("the image {name}: {why}");
                self.find(Severity::Damaged, what, || delete("its name was removed; pull or import it again"))?;
                continue;
            }
            let missing = document.blobs().find(|blob| !self.store.blobs().path(&blob.digest).exists());
            if let Some(blob) = missing {
                let what = format!("the image {name} runs, but can't be pushed or saved: {} is missing", blob.digest);
                self.find(Severity::Damaged, what, || delete("its name was removed; pull or import it again"))?;
                continue;
            }
            right.push(document);
        }
        Ok(right)
    }

    fn unusable(&self, document: &Document) -> Result<Option<String>> {
        let diff_ids = document.configuration.rootfs().diff_ids();
        let same = diff_ids.len() == document.layers.len()
            && document.layers.iter().zip(diff_ids).all(|(layer, id)| layer.diff_id.to_string() == *id);
        if !same {
            return Ok(Some("its layers are not those of its configuration".into()));
        }
        let mut below: Option<Digest> = None;
        for layer in &document.layers {
            let own = chain(below.as_ref(), &layer.diff_id);
            if layer.dir.split('.').next() != Some(own.hex()) {
                return Ok(Some(format!("its layer {} is not of this chain", layer.dir)));
            }
            let diff = self.store.layer(&layer.dir).join("diff");
            if !diff.is_dir() {
                return Ok(Some(format!("its layer {} is missing", layer.dir)));
            }
            below = Some(own);
        }
        Ok(None)
    }

    fn garbage(&mut self, documents: &[Document]) -> Result<()> {
        let needed: BTreeSet<&str> =
            documents.iter().flat_map(|document| document.layers.iter().map(|layer| layer.dir.as_str())).collect();
        let staging = self.store.root().join("staging");
        for name in names_in(&self.store.root().join("layers"))?.iter().filter(|name| !needed.contains(name.as_str())) {
            let path = self.store.layer(name);
            // Locked: a container stands on it, or an image that is coming will.
            if let Some(lock) = try_lock(&path)? {
                self.find(Severity::Garbage, format!("no image has the layer {name}"), || {
                    Staging::condemn(&staging, &path, lock).map(|_| "deleted".into())
                })?;
            }
        }
        let orphans = Staging::orphans(&staging);
        if !orphans.is_empty() {
            let what = format!("{} directories of writers that were killed", orphans.len());
            if self.repair {
                drop(orphans);
            } else {
                // Looked at, not taken away.
                orphans.into_iter().for_each(Staging::leave);
            }
            self.find(Severity::Garbage, what, || Ok("deleted".into()))?;
        }
        self.partial()?;
        self.blobs_of_nobody(documents)
    }

    fn partial(&mut self) -> Result<()> {
        let partial = self.store.root().join("partial");
        for name in names_in(&partial)? {
            let path = partial.join(&name);
            if let Some(lock) = try_lock(&path)? {
                self.find(Severity::Garbage, format!("a download that was cut off: {name}"), || {
                    let deleted = fs::remove_file(&path);
                    drop(lock);
                    deleted.context(&image::STORE, || format!("remove {}", path.display()))?;
                    Ok("deleted".into())
                })?;
            }
        }
        Ok(())
    }

    fn blobs_of_nobody(&mut self, documents: &[Document]) -> Result<()> {
        for digest in self.store.unused_blobs(documents)? {
            let path = self.store.blobs().path(&digest);
            self.find(Severity::Garbage, format!("no image has the blob {digest}"), || {
                let deleted = fs::remove_file(&path);
                deleted.context(&image::STORE, || format!("remove {}", path.display()))?;
                Ok("deleted".into())
            })?;
        }
        Ok(())
    }
}

/// What a file's content is called. `None`: it is not there any more.
fn content(path: &Path, like: &Digest) -> Result<Option<Digest>> {
    let doing = || format!("read {}", path.display());
    let mut file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::new(&image::STORE, doing()).because(error)),
        Ok(file) => file,
    };
    let mut hasher = like.hasher();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer).context(&image::STORE, doing)? {
            0 => return Ok(Some(hasher.finish())),
            count => hasher.update(&buffer[..count]),
        }
    }
}
