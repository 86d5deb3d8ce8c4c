//! Images that containers stand on.
//!
//! A container that stays has a copy of its image's document, `image.json`, among its files; so its layers are found again whatever the
//! image's name has come to mean, and are not deleted. Owns reading and writing that copy. The surprise: nobody takes a
//! reference back. A container's copy goes with its directory, and is looked for when an image is removed.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Image, Store, names_in};
use crate::error::{Context, Error, Result, catalog::image};
use crate::image::document::Document;
use crate::image::publish::SHARED;

/// Of a container's copy, in its directory.
const FILE: &str = "image.json";
/// The beginning of the same for its volumes.
const VOLUME: &str = "image-volume-";

/// The document of an image that was found, and the store that has it.
#[derive(Debug, Clone)]
pub struct Pin {
    pub(in crate::image) document: Document,
    root: PathBuf,
}

impl Pin {
    /// Leaves the copy in the container's directory. It is on the disk before the container's own record is.
    ///
    /// # Errors
    /// `RL0307` when it can't be written.
    pub fn write(&self, data: &Path) -> Result<()> {
        self.write_to(&data.join(FILE))
    }

    /// The same of an image that is a volume of the container.
    ///
    /// # Errors
    /// `RL0307` when it can't be written.
    pub fn write_volume(&self, data: &Path, index: usize) -> Result<()> {
        self.write_to(&volume(data, index))
    }

    fn write_to(&self, path: &Path) -> Result<()> {
        fs::write(path, self.document.text()?).context(&image::STORE, || format!("write {}", path.display()))
    }

    /// The store's directory.
    pub fn store(&self) -> &Path {
        &self.root
    }
}

fn volume(data: &Path, index: usize) -> PathBuf {
    data.join(format!("{VOLUME}{index}.json"))
}

impl Store {
    /// The image of a container, from the copy in its directory.
    ///
    /// # Errors
    /// `RL0307` when the copy or a layer is missing.
    pub fn pinned(&self, data: &Path) -> Result<Image> {
        self.pinned_at(&data.join(FILE))
    }

    /// The image that is a volume of the container; None: there is no copy yet.
    ///
    /// # Errors
    /// As [`Store::pinned`].
    pub fn pinned_volume(&self, data: &Path, index: usize) -> Result<Option<Image>> {
        let path = volume(data, index);
        path.exists().then(|| self.pinned_at(&path)).transpose()
    }

    fn pinned_at(&self, path: &Path) -> Result<Image> {
        let text = fs::read(path).context(&image::STORE, || format!("read {}", path.display()))?;
        let document = Document::parse(path, &text)?;
        let hold = self.hold(&document)?.ok_or_else(|| {
            let what = format!("a layer of the container's image is missing in {}", self.root.join("layers").display());
            Error::new(&image::STORE, what).fix("See what is wrong, and repair it: rl system check")
        })?;
        self.refuse_lost(document.name.as_deref().unwrap_or(&document.id), &document)?;
        Ok(self.ready(document, hold))
    }

    pub(super) fn ready(&self, document: Document, hold: super::Hold) -> Image {
        let layers = document.visible().map(|layer| self.layer(layer).join("diff")).collect();
        let config = document.run_config();
        let shared = document.layers.iter().any(|layer| layer.dir.ends_with(SHARED));
        let (id, platform) = (document.id.clone(), document.platform.clone());
        Image { id, platform, layers, shared, config, hold, pin: Pin { document, root: self.root.clone() } }
    }

    /// The documents that containers have copies of, with the containers' ids. A copy that can't be read pins nothing: its container
    /// can't be started either.
    pub(super) fn pins(&self) -> Result<Vec<(String, Document)>> {
        let containers = self.root.join("containers");
        let mut all = Vec::new();
        for id in names_in(&containers)? {
            let data = containers.join(&id);
            let volumes =
                names_in(&data)?.into_iter().filter(|name| name.starts_with(VOLUME)).map(|name| data.join(name));
            for path in volumes.chain([data.join(FILE)]) {
                let document = fs::read(&path).ok().and_then(|text| Document::parse(&path, &text).ok());
                all.extend(document.map(|document| (id.clone(), document)));
            }
        }
        Ok(all)
    }
}
