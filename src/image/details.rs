//! All that the store knows of an image, for people to look at.
//!
//! Owns gathering it from the documents. The surprise: an image has several documents, one a name, and what is asked about
//! one name is answered with all of them.

use std::path::PathBuf;

use oci_spec::image::ImageConfiguration;

use super::document::Document;
use super::manifest::Descriptor;
use super::platform::Platform;
use super::staging::try_lock;
use super::store::Store;
use crate::error::Result;
use crate::spec::health::ImageHealth;

/// An image.
#[derive(Debug)]
pub struct Details {
    /// 64 hexadecimal digits.
    pub id: String,
    /// All its names, in alphabetical order.
    pub names: Vec<String>,
    /// Of its manifest, where it came with one.
    pub digest: Option<String>,
    /// What its programs were made for.
    pub platform: Platform,
    /// As it came.
    pub configuration: ImageConfiguration,
    /// Docker's, which stands beside it.
    pub health: Option<ImageHealth>,
    /// Lowest first.
    pub layers: Vec<LayerDetails>,
}

/// A layer of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerDetails {
    /// Its directory below `layers/`; the same for two images that share it.
    pub dir: String,
    /// Where its files are.
    pub tree: PathBuf,
    /// Its archive among the blobs.
    pub blob: Descriptor,
    /// Bytes of its regular files.
    pub size: u64,
}

impl Details {
    /// Bytes of regular files in all layers.
    pub fn size(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size).sum()
    }
}

impl Store {
    /// Of one image.
    ///
    /// # Errors
    /// `RL0301`, with near names.
    pub fn details(&self, text: &str, platform: Option<&Platform>) -> Result<Details> {
        let document = self.document(text, platform)?;
        let names = self.documents()?.into_iter().map(|(_, other)| other).filter(|other| other.id == document.id);
        let names = names.filter_map(|other| other.name).collect();
        Ok(self.detailed(document, names))
    }

    /// Of all images, each once.
    ///
    /// # Errors
    /// `RL0307` where a document can't be read.
    pub fn all_details(&self) -> Result<Vec<Details>> {
        let mut all: Vec<Details> = Vec::new();
        for (_, document) in self.documents()? {
            match all.iter_mut().find(|details| details.id == document.id) {
                Some(same) => same.names.extend(document.name),
                None => {
                    let names = document.name.iter().cloned().collect();
                    all.push(self.detailed(document, names));
                }
            }
        }
        all.iter_mut().for_each(|details| details.names.sort());
        all.sort_by(|a, b| (&a.names, &a.id).cmp(&(&b.names, &b.id)));
        Ok(all)
    }

    /// Whether a container runs on it.
    ///
    /// # Errors
    /// `RL0307` where a layer can't be opened.
    pub fn is_used(&self, details: &Details) -> Result<bool> {
        let Some(top) = details.layers.last() else { return Ok(false) };
        let path = self.layer(&top.dir);
        Ok(path.exists() && try_lock(&path)?.is_none())
    }

    fn detailed(&self, document: Document, mut names: Vec<String>) -> Details {
        names.sort();
        let layers = document.layers.into_iter().map(|layer| LayerDetails {
            tree: self.layer(&layer.dir).join("diff"),
            dir: layer.dir,
            blob: layer.blob,
            size: layer.size,
        });
        Details {
            id: document.id,
            names,
            digest: document.manifest.map(|manifest| manifest.digest.to_string()),
            platform: document.platform,
            layers: layers.collect(),
            configuration: document.configuration,
            health: document.health,
        }
    }
}
