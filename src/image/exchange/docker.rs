//! Docker's archives (`docker save`), as sources.
//!
//! Owns `manifest.json` and what stands for a manifest, which such an archive has not. The surprise: the digest of a layer
//! that lies there uncompressed is its diff id, which the configuration tells; so nothing is hashed before it is copied.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci_spec::image::ImageConfiguration;
use serde::Deserialize;

use super::Found;
use super::files::{Content, Files, copy, document};
use super::members::Members;
use crate::error::{Context, Error, Result, catalog::image};
use crate::image::compression::Compression;
use crate::image::digest::{Digest, Hasher};
use crate::image::manifest::{
    Descriptor, Manifest, OCI_CONFIG, OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, Parsed, compose,
};
use crate::image::reference::Reference;
use crate::image::transport::{Sink, Source};

/// What is read first.
pub(super) const MANIFEST: &str = "manifest.json";

/// An element of it (docker's image specification v1.2, "Combined Image JSON + Filesystem Changeset Format").
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// One image of an archive.
#[derive(Debug)]
struct Archived {
    members: Arc<Members>,
    config: Vec<u8>,
    manifest: Manifest,
    /// Where the layers lie, in the manifest's order.
    layers: Vec<PathBuf>,
}

/// The images of the archive: the one called `name`, or all.
///
/// # Errors
/// `RL0316`: a member that is missing or does not fit, or no such image.
pub(super) fn images(members: &Arc<Members>, name: Option<&Reference>) -> Result<Vec<Found>> {
    let shown = members.shown(Path::new(MANIFEST));
    let bytes = document(members.as_ref(), Path::new(MANIFEST))?;
    let items: Vec<Item> =
        serde_json::from_slice(&bytes).context(&image::BAD_LAYOUT, || format!("understand {shown}"))?;
    let mut found = Vec::new();
    let mut all = Vec::new();
    for item in items {
        let names = item.repo_tags.iter().flatten().map(|name| Reference::parse(name));
        let names = names.collect::<Result<Vec<_>>>().map_err(|error| error.within(&shown))?;
        all.extend(names.iter().map(Reference::to_string));
        if name.is_some_and(|name| !names.contains(name)) {
            continue;
        }
        let names = name.map_or(names, |name| vec![name.clone()]);
        found.push(Found { names, source: Box::new(Archived::new(members, &item)?) });
    }
    if !found.is_empty() {
        return Ok(found);
    }
    let error = Error::new(&image::BAD_LAYOUT, format!("choose an image of {shown}"));
    Err(match name {
        Some(name) => error.because(format!("none is called {name}")).fix(format!("Name one of: {}", all.join(", "))),
        None => error.because("there is none"),
    })
}

impl Archived {
    fn new(members: &Arc<Members>, item: &Item) -> Result<Self> {
        let shown = members.shown(Path::new(&item.config));
        let config = document(members.as_ref(), Path::new(&item.config))?;
        let understood: ImageConfiguration =
            serde_json::from_slice(&config).context(&image::BAD_LAYOUT, || format!("understand {shown}"))?;
        let diff_ids = understood.rootfs().diff_ids();
        if diff_ids.len() != item.layers.len() {
            let why = format!("it has {} layers, the archive {}", diff_ids.len(), item.layers.len());
            return Err(Error::new(&image::BAD_LAYOUT, format!("understand {shown}")).because(why));
        }
        let mut layers = Vec::new();
        for (name, diff_id) in item.layers.iter().zip(diff_ids) {
            let content = members.open(Path::new(name))?;
            let doing = || format!("read {}", members.shown(Path::new(name)));
            layers.push(described(&content, &diff_id.parse()?).context(&image::BAD_LAYOUT, doing)?);
        }
        let descriptor =
            Descriptor { media_type: OCI_CONFIG.into(), digest: Digest::of(&config), size: config.len() as u64 };
        let layers_at = item.layers.iter().map(PathBuf::from).collect();
        Ok(Self { members: Arc::clone(members), config, manifest: compose(descriptor, layers)?, layers: layers_at })
    }
}

/// Later docker versions keep the layers as they came, compressed; only those must be read to be named.
fn described(content: &Content, diff_id: &Digest) -> io::Result<Descriptor> {
    let media_type = match Compression::of(&mut content.reader())?.0 {
        Compression::None => {
            return Ok(Descriptor { media_type: OCI_LAYER.into(), digest: diff_id.clone(), size: content.size });
        }
        Compression::Gzip => OCI_LAYER_GZIP,
        Compression::Zstd => OCI_LAYER_ZSTD,
        Compression::Xz => return Err(io::Error::other("a layer is compressed with xz")),
    };
    let mut hasher = Hasher::default();
    let mut from = content.reader();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match from.read(&mut buffer)? {
            0 => break,
            count => hasher.update(&buffer[..count]),
        }
    }
    Ok(Descriptor { media_type: media_type.into(), digest: hasher.finish(), size: content.size })
}

impl Source for Archived {
    fn resolve(&self) -> Result<Parsed> {
        Ok(Parsed::Manifest(self.manifest.clone()))
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        if *descriptor == self.manifest.config {
            return Ok(self.config.clone());
        }
        Err(Error::new(&image::BAD_LAYOUT, format!("find {} in a docker archive", descriptor.digest)))
    }

    fn blob(&self, descriptor: &Descriptor, sink: &mut dyn Sink) -> Result<()> {
        let layers = self.manifest.layers.iter().zip(&self.layers);
        match layers.into_iter().find(|(layer, _)| *layer == descriptor) {
            Some((_, name)) => copy(self.members.as_ref(), name, sink),
            None => Err(Error::new(&image::BAD_LAYOUT, format!("find {} in a docker archive", descriptor.digest))),
        }
    }
}
