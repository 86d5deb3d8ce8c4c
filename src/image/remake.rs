//! Layers that a power cut may have left half there are made again of their archives.
//!
//! Owns the store as its own [`Source`]. The surprise: it is a pull like any other, which finds all blobs where they are and
//! takes layers that were lost for missing ones.

use super::document::Document;
use super::manifest::{Descriptor, Parsed};
use super::pull::{Pull, pull};
use super::reference::Reference;
use super::send::manifest;
use super::store::Store;
use super::transport::{Quiet, Sink, Source};
use super::unpack::ROOTS;
use crate::error::{Error, Result, catalog::image};

struct Kept<'a> {
    store: &'a Store,
    document: &'a Document,
}

fn missing(descriptor: &Descriptor) -> Error {
    Error::new(&image::STORE, format!("the blob {} is missing", descriptor.digest))
        .fix("Pull or import the image again.")
}

impl Source for Kept<'_> {
    fn resolve(&self) -> Result<Parsed> {
        manifest(self.store, self.document).map(Parsed::Manifest)
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        self.store.blobs().read(descriptor)?.ok_or_else(|| missing(descriptor))
    }

    fn blob(&self, descriptor: &Descriptor, _: &mut dyn Sink) -> Result<()> {
        Err(missing(descriptor))
    }
}

/// Makes those layers of the image again that were lost.
///
/// # Errors
/// `RL0307` where an archive is missing; what is wrong with it.
pub(super) fn remake(store: &Store, document: &Document) -> Result<()> {
    let name = document.name.as_deref().map(Reference::parse).transpose()?;
    let squash = document.layers.iter().any(|layer| layer.dir.ends_with(ROOTS));
    let what = Pull { name: name.as_ref(), platform: &document.platform, strict: false, squash };
    pull(store, &Kept { store, document }, &what, &Quiet).map(drop)
}
