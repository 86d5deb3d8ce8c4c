//! `images/*.json`: all that the store knows about a name, in one small file.
//!
//! Owns the format and its version. The surprise: the image's whole configuration is in it, so that a run reads no
//! other file; the very bytes of the configuration, of which the id is the digest, lie among the blobs.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use oci_spec::image::ImageConfiguration;
use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::manifest::Descriptor;
use super::platform::Platform;
use super::reference::Reference;
use crate::error::{Context, Error, Result, catalog::image};
use crate::spec::ImageConfig;
use crate::spec::health::ImageHealth;

/// Of the documents, and with them of the whole store.
pub const STORE_VERSION: u32 = 2;

/// One name of an image, or an image without a name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Document {
    pub(super) version: u32,
    /// Of the configuration, without its algorithm.
    pub(super) id: String,
    pub(super) name: Option<String>,
    pub(super) platform: Platform,
    /// Seconds since 1970: when it came into the store.
    pub(super) added: u64,
    /// Lowest first.
    pub(super) layers: Vec<Layer>,
    /// As it came from a registry or an archive; none of an import.
    pub(super) manifest: Option<Descriptor>,
    pub(super) config: Descriptor,
    pub(super) configuration: ImageConfiguration,
    /// Docker's, for which the image specification has no place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) health: Option<ImageHealth>,
}

/// A layer of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Layer {
    /// Its directory below `layers/`: the chain id (image specification, "Layer ChainID"), because what a layer's
    /// archive leaves out is as the layers below have it.
    pub(super) dir: String,
    pub(super) diff_id: Digest,
    /// The archive that it was unpacked from, as it lies among the blobs.
    pub(super) blob: Descriptor,
    /// Bytes of its regular files.
    pub(super) size: u64,
    /// It hides all layers below it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) opaque: bool,
}

impl Document {
    /// Of an image that comes into the store now.
    pub(super) fn new(
        name: Option<&Reference>,
        layers: Vec<Layer>,
        manifest: Option<Descriptor>,
        config: Descriptor,
        configuration: ImageConfiguration,
    ) -> Self {
        let added = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let platform = Platform::new(
            &configuration.os().to_string(),
            &configuration.architecture().to_string(),
            configuration.variant().as_deref(),
        );
        let (id, name) = (config.digest.hex().to_owned(), name.map(Reference::to_string));
        Self {
            version: STORE_VERSION,
            id,
            name,
            platform,
            added,
            layers,
            manifest,
            config,
            configuration,
            health: None,
        }
    }

    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Self> {
        // The version first: another version may have other fields.
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let understand = || format!("understand {}", path.display());
        let Versioned { version } = serde_json::from_slice(bytes).context(&image::STORE, understand)?;
        if version == STORE_VERSION {
            return serde_json::from_slice(bytes).context(&image::STORE, understand);
        }
        let what = format!("{} has version {version}, this rl knows {STORE_VERSION}", path.display());
        Err(Error::new(&image::STORE, what).fix("Use the rl that wrote it, or another --root."))
    }

    pub(super) fn text(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).context(&image::STORE, || "write an image's document".into())
    }

    /// The file's name: that of its name, or of its id.
    pub(super) fn file(&self) -> Result<String> {
        let named = self.name.as_deref().map(Reference::parse).transpose()?;
        let platform = Some(&self.platform).filter(|platform| **platform != Platform::host());
        Ok(named.map_or_else(|| format!("%{}.json", self.id), |name| name.file(platform)))
    }

    /// Bytes of regular files in its layers.
    pub(super) fn size(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size).sum()
    }

    /// Everything that it names among the blobs.
    pub(super) fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        self.layers.iter().map(|layer| &layer.blob).chain([&self.config]).chain(&self.manifest)
    }

    /// The directories of the layers that can be seen, topmost first.
    pub(super) fn visible(&self) -> impl Iterator<Item = &str> {
        let sealed = self.layers.iter().rposition(|layer| layer.opaque).unwrap_or(0);
        self.layers[sealed..].iter().rev().map(|layer| layer.dir.as_str())
    }

    /// What a run takes from the configuration.
    pub(super) fn run_config(&self) -> ImageConfig {
        let Some(own) = self.configuration.config() else { return ImageConfig::default() };
        ImageConfig {
            env: own.env().clone().unwrap_or_default(),
            cmd: own.cmd().clone().unwrap_or_default(),
            entrypoint: own.entrypoint().clone().unwrap_or_default(),
            user: own.user().clone().unwrap_or_default(),
            working_dir: own.working_dir().clone().unwrap_or_default(),
            stop_signal: own.stop_signal().clone(),
            labels: own.labels().clone().unwrap_or_default().into_iter().collect(),
            volumes: own.volumes().clone().unwrap_or_default(),
            exposed_ports: own.exposed_ports().clone().unwrap_or_default(),
            health: self.health.clone(),
        }
    }
}
