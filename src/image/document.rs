//! `images/*.json`: all that the store knows about a name, in one small file.
//!
//! Owns the format and its version. The surprise: the image's whole configuration is in it, so that a run reads no
//! other file.

use std::path::Path;

use oci_spec::image::ImageConfiguration;
use serde::{Deserialize, Serialize};

use super::reference::Reference;
use crate::error::{Context, Error, Result, catalog::image};
use crate::spec::ImageConfig;

const VERSION: u32 = 1;

/// One name of an image, or an image without a name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Document {
    pub(super) version: u32,
    pub(super) id: String,
    pub(super) name: Option<String>,
    pub(super) created: u64,
    pub(super) size: u64,
    /// Directories below `layers/`, lowest first.
    pub(super) layers: Vec<String>,
    pub(super) config: ImageConfiguration,
}

impl Document {
    /// Of an image that is made now.
    pub(super) fn new(
        id: String,
        name: Option<&Reference>,
        size: u64,
        layer: String,
        config: ImageConfiguration,
    ) -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let name = name.map(Reference::to_string);
        Self { version: VERSION, id, name, created: now, size, layers: vec![layer], config }
    }

    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Self> {
        // The version first: another version may have other fields.
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let understand = || format!("understand {}", path.display());
        let Versioned { version } = serde_json::from_slice(bytes).context(&image::STORE, understand)?;
        if version == VERSION {
            return serde_json::from_slice(bytes).context(&image::STORE, understand);
        }
        let what = format!("{} has version {version}, this rl knows {VERSION}", path.display());
        Err(Error::new(&image::STORE, what).fix("Use the rl that wrote it, or another --root."))
    }

    pub(super) fn text(&self) -> Result<Vec<u8>> {
        serde_json::to_vec_pretty(self).context(&image::STORE, || "write an image's document".into())
    }

    /// The file's name: that of its name, or of its id.
    pub(super) fn file(&self) -> Result<String> {
        let named = self.name.as_deref().map(Reference::parse).transpose()?;
        Ok(named.map_or_else(|| format!("%{}.json", self.id), |name| name.file(None)))
    }

    /// What a run takes from the configuration.
    pub(super) fn run_config(&self) -> ImageConfig {
        let Some(own) = self.config.config() else { return ImageConfig::default() };
        ImageConfig {
            env: own.env().clone().unwrap_or_default(),
            cmd: own.cmd().clone().unwrap_or_default(),
            entrypoint: own.entrypoint().clone().unwrap_or_default(),
            user: own.user().clone().unwrap_or_default(),
            working_dir: own.working_dir().clone().unwrap_or_default(),
            stop_signal: own.stop_signal().clone(),
            labels: own.labels().clone().unwrap_or_default().into_iter().collect(),
            volumes: own.volumes().clone().unwrap_or_default(),
        }
    }
}
