//! An image comes into the store: from a registry, an archive or a layout, all of which are a [`Source`].
//!
//! Owns the order. Blobs are fetched side by side by a few threads; this thread unpacks the layers from the lowest on,
//! each while it still grows. Nothing has a name in the store before all of it is verified and on the disk. The
//! surprise: what another process is fetching or unpacking is waited for, not done twice.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use oci_spec::image::ImageConfiguration;

use super::apply::{Style, Summary};
use super::blobs::{Fetch, Follower, Growth};
use super::digest::Digest;
use super::document::{Document, Layer};
use super::lower::Lower;
use super::manifest::{Descriptor, Manifest};
use super::platform::Platform;
use super::publish::SHARED;
use super::reference::Reference;
use super::staging::Staging;
use super::store::{About, Hold, Made, Store};
use super::transport::{Progress, Source};
use super::unpack::{ROOTS, Turn, chain, open, unpack};
use crate::error::{Error, Result, catalog::image};
use crate::spec::health::ImageHealth;

/// Downloads at a time: what docker does, and what registries are used to.
const SIDE_BY_SIDE: usize = 3;

/// What is wanted of the source.
#[derive(Debug)]
pub struct Pull<'a> {
    /// The name that it gets; `None`: an image without one.
    pub name: Option<&'a Reference>,
    /// For which machine.
    pub platform: &'a Platform,
    /// Another platform than that is an error, because it was asked for.
    pub strict: bool,
    /// Only one id is mapped: everything belongs to root.
    pub squash: bool,
}

/// What came.
#[derive(Debug)]
pub struct Pulled {
    /// 64 hexadecimal digits.
    pub id: String,
    /// What it runs on.
    pub platform: Platform,
    /// Of all layers that were unpacked now.
    pub summary: Summary,
}

/// Fetches what is missing and gives the image its name.
///
/// # Errors
/// The source's; what was wrong with which layer. Blobs that are whole stay for the next attempt; nothing else does.
pub fn pull(store: &Store, source: &dyn Source, what: &Pull<'_>, progress: &dyn Progress) -> Result<Pulled> {
    let _using = store.using()?;
    let manifest = source.manifest(what.platform)?;
    let bytes = match store.blobs().read(&manifest.config)? {
        Some(bytes) => bytes,
        None => source.document(&manifest.config)?,
    };
    let configuration = configuration(&bytes, &manifest)?;
    let diff_ids = diff_ids(&configuration, &manifest)?;
    let mut layers = Layers::new(store, source, &manifest, diff_ids, what.squash)?;
    layers.find()?;
    layers.check_room()?;
    layers.make(progress)?;
    store.blobs().write(&manifest.config.digest, &bytes)?;
    store.blobs().write(&manifest.digest, &manifest.bytes)?;
    let own = Descriptor {
        media_type: manifest.media_type.clone(),
        digest: manifest.digest.clone(),
        size: manifest.bytes.len() as u64,
    };
    let mut document = Document::new(what.name, layers.entries, Some(own), manifest.config.clone(), configuration);
    document.health = ImageHealth::of_configuration(&bytes);
    if what.strict && !what.platform.serves(&document.platform) {
        let error = Error::new(&image::NO_PLATFORM, what.platform.to_string());
        return Err(error.because(format!("the image that there is is for {}", document.platform)));
    }
    store.commit(Made { layers: layers.staged, blobs: Vec::new() }, &document)?;
    let Document { id, platform, .. } = document;
    Ok(Pulled { id, platform, summary: layers.summary })
}

fn bad(why: String) -> Error {
    Error::new(&image::BAD_MANIFEST, "understand the image's configuration").because(why)
}

fn configuration(bytes: &[u8], manifest: &Manifest) -> Result<ImageConfiguration> {
    if Digest::of_kind(&manifest.config.digest, bytes) != manifest.config.digest {
        return Err(Error::new(&image::WRONG_CONTENT, format!("fetch the configuration {}", manifest.config.digest)));
    }
    let configuration: ImageConfiguration = serde_json::from_slice(bytes).map_err(|error| bad(error.to_string()))?;
    if configuration.os().to_string() != "linux" {
        return Err(bad(format!("it is an image for {}", configuration.os())));
    }
    Ok(configuration)
}

fn diff_ids(configuration: &ImageConfiguration, manifest: &Manifest) -> Result<Vec<Digest>> {
    let ids = configuration.rootfs().diff_ids();
    if ids.len() != manifest.layers.len() {
        return Err(bad(format!("it names {} layers, the manifest {}", ids.len(), manifest.layers.len())));
    }
    if ids.is_empty() {
        return Err(bad("it has no layer, so there is nothing to run".into()));
    }
    ids.iter().map(|id| id.parse()).collect()
}

/// The layers of one image on their way into the store.
struct Layers<'a> {
    store: &'a Store,
    source: &'a dyn Source,
    blobs: &'a [Descriptor],
    diff_ids: Vec<Digest>,
    chains: Vec<Digest>,
    squash: bool,
    staging: Staging,
    /// Those that are done, lowest first; the rest follows in order.
    entries: Vec<Layer>,
    lower: Lower,
    /// Where those are that were made now, and their directories in the store.
    staged: Vec<(PathBuf, String)>,
    /// Of those that were there.
    holds: Vec<Hold>,
    turns: Vec<Turn>,
    summary: Summary,
}

impl<'a> Layers<'a> {
    fn new(
        store: &'a Store,
        source: &'a dyn Source,
        manifest: &'a Manifest,
        diff_ids: Vec<Digest>,
        squash: bool,
    ) -> Result<Self> {
        let mut chains: Vec<Digest> = Vec::with_capacity(diff_ids.len());
        for diff_id in &diff_ids {
            chains.push(chain(chains.last(), diff_id));
        }
        Ok(Self {
            store,
            source,
            blobs: &manifest.layers,
            diff_ids,
            chains,
            squash,
            staging: store.stage()?,
            entries: Vec::new(),
            lower: Lower::default(),
            staged: Vec::new(),
            holds: Vec::new(),
            turns: Vec::new(),
            summary: Summary::default(),
        })
    }

    /// Takes what is there, from the lowest layer on.
    fn find(&mut self) -> Result<()> {
        while self.entries.len() < self.chains.len() && self.take()? {}
        Ok(())
    }

    /// Whether the next layer was there already.
    fn take(&mut self) -> Result<bool> {
        let index = self.entries.len();
        let below_is_roots = self.entries.last().is_some_and(|layer| layer.dir.ends_with(ROOTS));
        let plain = self.chains[index].hex().to_owned();
        let names = match self.store.is_shared() {
            true => [Some(plain + SHARED), None],
            false => [Some(plain.clone()).filter(|_| !below_is_roots), self.squash.then(|| plain + ROOTS)],
        };
        for dir in names.into_iter().flatten() {
            let Some((hold, about)) = self.store.hold_layer(&dir)? else { continue };
            // The same files may have come in another compression; without any archive of them, they come again.
            let mut archives = [&self.blobs[index], &about.blob].into_iter();
            let archive =
                archives.find_map(|blob| self.store.blobs().open(blob).map(|file| file.map(|_| blob)).transpose());
            let Some(blob) = archive.transpose()?.cloned() else { continue };
            self.lower = self.lower.with(open(&self.store.layer(&dir).join("diff"))?);
            self.holds.push(hold);
            let diff_id = self.diff_ids[index].clone();
            self.entries.push(Layer { dir, diff_id, blob, size: about.size, opaque: about.opaque });
            return Ok(true);
        }
        Ok(false)
    }

    /// Before the first byte: the archives and, at the very least, as much again for what is in them.
    fn check_room(&self) -> Result<()> {
        let needed: u64 = self.blobs[self.entries.len()..].iter().map(|blob| blob.size.saturating_mul(2)).sum();
        self.store.check_room(needed)
    }

    fn make(&mut self, progress: &dyn Progress) -> Result<()> {
        let first = self.entries.len();
        for blob in &self.blobs[..first] {
            progress.exists(blob);
        }
        let wanted = &self.blobs[first..];
        let growths: Vec<_> = wanted.iter().map(|_| Arc::new(Growth::default())).collect();
        let (next, given_up) = (AtomicUsize::new(0), AtomicBool::new(false));
        let (source, blobs) = (self.source, self.store.blobs());
        let fetch = || -> Result<()> {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let (Some(blob), Some(growth)) = (wanted.get(index), growths.get(index)) else { return Ok(()) };
                let fetched = blobs.fetch(blob, source, &Fetch { growth, progress, given_up: &given_up });
                if fetched.is_err() && !given_up.swap(true, Ordering::Relaxed) {
                    // The first failure is the one to tell; those behind it fail because of it.
                    growths.iter().for_each(|growth| growth.end(false));
                    return fetched;
                }
            }
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..SIDE_BY_SIDE.min(wanted.len())).map(|_| scope.spawn(fetch)).collect();
            let unpacked = growths.iter().try_for_each(|growth| self.unpack(growth, progress));
            // A layer whose download has failed is that download's failure, which its thread has yet to tell.
            if unpacked.is_err() && !growths.iter().any(|growth| growth.has_failed()) {
                given_up.store(true, Ordering::Relaxed);
            }
            let died = || Err(Error::new(&image::STORE, "fetch the layers").because("a thread has died"));
            // The others are joined by the scope.
            let fetched = threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| died()));
            fetched.and(unpacked)
        })
    }

    /// The next layer.
    fn unpack(&mut self, growth: &Arc<Growth>, progress: &dyn Progress) -> Result<()> {
        let index = self.entries.len();
        let blob = &self.blobs[index];
        let turn = Turn::wait(self.store.root(), &self.chains[index])?;
        // Whoever had the turn before may have made it.
        if self.take()? {
            return Ok(());
        }
        progress.unpacked(blob, false);
        let made = self.staging.dir.join(index.to_string());
        let style = Style::Layer(self.lower.clone());
        let unpacked = unpack(Follower::new(Arc::clone(growth)), &made, style, self.store.how(self.squash)?, None);
        let (finished, summary) = unpacked.map_err(|error| error.within(&format!("the layer {}", blob.digest)))?;
        let diff_id = &self.diff_ids[index];
        if finished.diff_id != *diff_id {
            let doing = format!("unpack the layer {}", blob.digest);
            let why = format!("the image's configuration calls its content {diff_id}, it is {}", finished.diff_id);
            return Err(Error::new(&image::WRONG_CONTENT, doing).because(why));
        }
        let roots = summary.squashed > 0 || self.entries.last().is_some_and(|layer| layer.dir.ends_with(ROOTS));
        let ending = match (self.store.is_shared(), roots) {
            (true, _) => SHARED,
            (false, true) => ROOTS,
            (false, false) => "",
        };
        let dir = format!("{}{ending}", self.chains[index].hex());
        let opaque = summary.opaque_root;
        let entry = Layer { dir, diff_id: diff_id.clone(), blob: blob.clone(), size: summary.bytes, opaque };
        About::of(&entry).write(&made)?;
        self.lower = self.lower.with(open(&made.join("diff"))?);
        self.staged.push((made, entry.dir.clone()));
        self.entries.push(entry);
        self.turns.push(turn);
        self.summary.add(&summary);
        progress.unpacked(blob, true);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
