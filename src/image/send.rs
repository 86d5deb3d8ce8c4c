//! An image leaves the store: to a registry, an archive or a layout, all of which are a [`Destination`].
//!
//! Owns the order: the blobs side by side, then the manifest that names them. What leaves is what came, byte for byte, as
//! long as the store has the very archives that the manifest names; otherwise a manifest is made. The surprise: an archive
//! that lies uncompressed in the store (docker's archives have them so) is compressed on its way to a registry.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::{Compression, GzBuilder};

use super::digest::Digest;
use super::document::Document;
use super::hashed::Hashed;
use super::manifest::{Descriptor, Manifest, OCI_LAYER_GZIP, Parsed, compose, parse};
use super::platform::Platform;
use super::reference::Reference;
use super::store::{Store, Using};
use super::transport::{Destination, Progress};
use crate::error::{Context, Error, Result, catalog::image};

/// An image on its way out. While it lives nothing of it is deleted.
pub struct Outgoing<'a> {
    store: &'a Store,
    /// What it is called here; none where it was asked for by its id.
    pub name: Option<Reference>,
    manifest: Manifest,
    /// Blobs that were made for this journey.
    made: HashMap<Digest, Arc<File>>,
    _using: Using,
}

/// Finds the image and what it consists of.
///
/// # Errors
/// `RL0301`; `RL0307` where the store has lost a part of it.
pub fn outgoing<'a>(store: &'a Store, text: &str, platform: Option<&Platform>) -> Result<Outgoing<'a>> {
    let using = store.using()?;
    let document = store.document(text, platform)?;
    let asked = store.meaning(text, platform).ok().map(|(reference, _)| reference);
    let name = asked.filter(|asked| document.name == Some(asked.to_string()));
    let manifest = manifest(store, &document)?;
    let outgoing = Outgoing { store, name, manifest, made: HashMap::new(), _using: using };
    // Before the first byte leaves.
    outgoing.blobs().try_for_each(|blob| outgoing.open(blob).map(drop))?;
    Ok(outgoing)
}

/// As it came, if the archives are those that it came with.
pub(super) fn manifest(store: &Store, document: &Document) -> Result<Manifest> {
    let layers: Vec<Descriptor> = document.layers.iter().map(|layer| layer.blob.clone()).collect();
    if let Some(descriptor) = &document.manifest
        && let Some(bytes) = store.blobs().read(descriptor)?
        && let Parsed::Manifest(manifest) = parse(&bytes, Some(&descriptor.media_type))?
        && manifest.layers == layers
    {
        return Ok(manifest);
    }
    compose(document.config.clone(), layers)
}

impl Outgoing<'_> {
    /// Of its manifest, as long as nothing must be compressed on the way.
    pub fn digest(&self) -> &Digest {
        &self.manifest.digest
    }

    fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        self.manifest.layers.iter().chain([&self.manifest.config])
    }

    fn open(&self, blob: &Descriptor) -> Result<Arc<File>> {
        if let Some(file) = self.made.get(&blob.digest) {
            return Ok(Arc::clone(file));
        }
        match self.store.blobs().open(blob)? {
            Some(file) => Ok(Arc::new(file)),
            None => Err(Error::new(&image::STORE, format!("find {} in the store", blob.digest))
                .because("it is gone")
                .fix("See what is wrong: rl system check. Getting the image again brings it back.")),
        }
    }

    /// Compresses the layers that are not.
    fn compress(&mut self) -> Result<()> {
        let mut layers = self.manifest.layers.clone();
        for layer in &mut layers {
            if !layer.media_type.ends_with(".tar") {
                continue;
            }
            let doing = || format!("compress the layer {}", layer.digest);
            let file = self.open(layer)?;
            let made = gzip(&file, self.store.nameless()?).context(&image::STORE, doing)?;
            self.made.insert(made.0.digest.clone(), Arc::new(made.1));
            *layer = made.0;
        }
        if layers != self.manifest.layers {
            self.manifest = compose(self.manifest.config.clone(), layers)?;
        }
        Ok(())
    }
}

/// Always the same bytes for the same input: no name, no time.
fn gzip(from: &File, to: File) -> io::Result<(Descriptor, File)> {
    let mut encoder = GzBuilder::new().write(Hashed::new(to), Compression::default());
    let mut buffer = vec![0; 1 << 18];
    let mut position = 0;
    loop {
        let count = from.read_at(&mut buffer, position)?;
        if count == 0 {
            break;
        }
        encoder.write_all(&buffer[..count])?;
        position += count as u64;
    }
    let (mut file, digest, size) = encoder.finish()?.finish();
    file.rewind()?;
    Ok((Descriptor { media_type: OCI_LAYER_GZIP.into(), digest, size }, file))
}

/// Brings it to `destination`, where it gets `names`; gives the digest of its manifest.
///
/// # Errors
/// The destination's; nothing has a name there then.
pub fn send(
    mut outgoing: Outgoing<'_>,
    destination: &dyn Destination,
    names: &[Reference],
    progress: &dyn Progress,
) -> Result<Digest> {
    if destination.wants_compressed() {
        outgoing.compress()?;
    }
    let outgoing = &outgoing;
    let blobs: Vec<&Descriptor> = outgoing.blobs().collect();
    let next = AtomicUsize::new(0);
    let bring = || -> Result<()> {
        while let Some(blob) = blobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let brought = match destination.has(blob) {
                Ok(true) => {
                    progress.exists(blob);
                    Ok(())
                }
                Ok(false) => outgoing.open(blob).and_then(|content| destination.put(blob, &content, progress)),
                Err(error) => Err(error),
            };
            if brought.is_err() {
                // The others end with what they are at.
                next.store(blobs.len(), Ordering::Relaxed);
                return brought;
            }
        }
        Ok(())
    };
    let threads = destination.side_by_side().min(blobs.len());
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(bring)).collect();
        let own = bring();
        let died = || Err(Error::new(&image::STORE, "send the layers").because("a thread has died"));
        others.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| died())).and(own)
    })?;
    destination.finish(&outgoing.manifest, names)?;
    Ok(outgoing.manifest.digest.clone())
}
