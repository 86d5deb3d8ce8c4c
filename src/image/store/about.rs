//! `layers/CHAIN/about.json`: what the documents of images say of a layer, for the next image that has it.
//!
//! The surprise: it names one blob, of which the layer was unpacked, though other images may have the same files in another compression.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Context, Result, catalog::image};
use crate::image::digest::Digest;
use crate::image::document::Layer;
use crate::image::manifest::Descriptor;

/// What the file says.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::image) struct About {
    pub(in crate::image) diff_id: Digest,
    pub(in crate::image) size: u64,
    pub(in crate::image) opaque: bool,
    /// What it was unpacked from. Another image may have the same files in another compression.
    pub(in crate::image) blob: Descriptor,
}

impl About {
    pub(in crate::image) fn of(layer: &Layer) -> Self {
        let Layer { diff_id, size, opaque, blob, .. } = layer.clone();
        Self { diff_id, size, opaque, blob }
    }

    /// Beside the layer's tree, before it gets its place.
    pub(in crate::image) fn write(&self, layer: &Path) -> Result<()> {
        let path = layer.join("about.json");
        let doing = || format!("write {}", path.display());
        let text = serde_json::to_vec(self).context(&image::STORE, doing)?;
        fs::write(&path, text).context(&image::STORE, doing)
    }

    pub(super) fn read(layer: &Path) -> Result<Self> {
        let path = layer.join("about.json");
        let doing = || format!("read {}", path.display());
        let text = fs::read(&path).context(&image::STORE, doing)?;
        serde_json::from_slice(&text).context(&image::STORE, doing)
    }
}
