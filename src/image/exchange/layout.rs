//! An OCI image layout (image specification, "Image Layout"), in a directory or an archive, as a source.
//!
//! Owns finding the image that a name means. The surprise: what tools call an image lies in two annotations, the
//! specification's and containerd's, and docker writes only the tag into the first.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::Found;
use super::files::{Files, copy, document, verified};
use crate::error::{Context, Error, Result, catalog::image};
use crate::image::digest::Digest;
use crate::image::manifest::{Descriptor, Parsed, parse};
use crate::image::reference::Reference;
use crate::image::transport::{Sink, Source};

/// The specification's place for a name.
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Containerd's, always with a registry.
pub(super) const IMAGE_NAME: &str = "io.containerd.image.name";

/// One image of a layout.
#[derive(Debug)]
struct Layout {
    files: Arc<dyn Files + Send>,
    chosen: Descriptor,
}

/// An entry of `index.json`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(flatten)]
    descriptor: Descriptor,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl Entry {
    fn is_called(&self, name: &str) -> bool {
        let own = |key| self.annotations.get(key).map(String::as_str);
        // Whoever types `debian:12` means the image that is called docker.io/library/debian:12 there, too.
        let meant = || Reference::parse(name).ok().map(|name| name.canonical());
        own(REF_NAME) == Some(name) || own(IMAGE_NAME).is_some() && own(IMAGE_NAME) == meant().as_deref()
    }

    /// What an image may be called here: a lone tag is no name.
    fn reference(&self) -> Option<Reference> {
        let name = |key| self.annotations.get(key).and_then(|name| Reference::parse(name).ok());
        name(IMAGE_NAME).or_else(|| name(REF_NAME).filter(|_| self.annotations[REF_NAME].contains([':', '/'])))
    }

    fn shown(&self) -> Option<&str> {
        [REF_NAME, IMAGE_NAME].iter().find_map(|key| self.annotations.get(*key)).map(String::as_str)
    }
}

/// The images of the layout: the one called `name`, or all.
///
/// # Errors
/// `RL0316`: no layout, or no such image.
pub(super) fn images(files: Arc<dyn Files + Send>, name: Option<&str>) -> Result<Vec<Found>> {
    let whole = files.shown(Path::new(""));
    let doing = || format!("read the layout {whole}");
    let json = |file: &str| -> Result<Value> {
        let bytes = document(files.as_ref(), Path::new(file))?;
        serde_json::from_slice(&bytes)
            .context(&image::BAD_LAYOUT, || format!("understand {}", files.shown(Path::new(file))))
    };
    if json("oci-layout")?.get("imageLayoutVersion").and_then(Value::as_str) != Some("1.0.0") {
        return Err(Error::new(&image::BAD_LAYOUT, doing()).because("its version is not 1.0.0"));
    }
    let entries = json("index.json")?.get_mut("manifests").map(Value::take).unwrap_or_default();
    let entries: Vec<Entry> = serde_json::from_value(entries).context(&image::BAD_LAYOUT, doing)?;
    let all = names(&entries);
    let mut found: Vec<Found> = Vec::new();
    let mut fitting: Vec<Descriptor> = Vec::new();
    for entry in entries.into_iter().filter(|entry| name.is_none_or(|name| entry.is_called(name))) {
        let reference = entry.reference();
        // One image with several names has an entry for each.
        if let Some(same) = fitting.iter().position(|other| *other == entry.descriptor) {
            found[same].names.extend(reference);
            continue;
        }
        fitting.push(entry.descriptor.clone());
        let source = Box::new(Layout { files: Arc::clone(&files), chosen: entry.descriptor });
        found.push(Found { names: reference.into_iter().collect(), source });
    }
    if !found.is_empty() {
        return Ok(found);
    }
    let error = Error::new(&image::BAD_LAYOUT, format!("choose an image of {whole}"));
    Err(match name {
        Some(name) => error.because(format!("none is called {name:?}")).fix(format!("Name one of: {all}")),
        None => error.because("there is none"),
    })
}

fn names(entries: &[Entry]) -> String {
    entries.iter().filter_map(Entry::shown).collect::<Vec<_>>().join(", ")
}

impl Source for Layout {
    fn resolve(&self) -> Result<Parsed> {
        parse(&self.document(&self.chosen)?, Some(&self.chosen.media_type))
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        verified(self.files.as_ref(), &path(&descriptor.digest), descriptor)
    }

    fn blob(&self, descriptor: &Descriptor, sink: &mut dyn Sink) -> Result<()> {
        copy(self.files.as_ref(), &path(&descriptor.digest), sink)
    }
}

/// Where content lies in a layout.
pub(super) fn path(digest: &Digest) -> PathBuf {
    Path::new("blobs").join(digest.algorithm()).join(digest.hex())
}
