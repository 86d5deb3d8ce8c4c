//! What a container stands on: the layers of an image, or a directory.
//!
//! Owns finding it, for a new container by the image's name, for one that is started again by the copy of the image's document that it has.

use std::path::{Path, PathBuf};

use super::image::Place;
use crate::error::{Context, Error, Result, catalog::rootfs, catalog::state};
use crate::host::Dirs;
use crate::image::{Hold, Image, Pin, Platform, Store};
use crate::plan::RootSource;
use crate::runtime::container::Container;
use crate::runtime::fuse::{self, Fuse};
use crate::runtime::storage::Driver;
use crate::spec::{Ids, ImageConfig, Source};
use crate::state::Record;

/// What lies below the container's writable directory.
pub(super) enum Layers {
    Image(Vec<PathBuf>),
    /// Somebody else's, with owners in attributes.
    Shared(Vec<PathBuf>),
    Overlay(PathBuf),
    Plain(PathBuf),
}

impl Layers {
    /// Topmost first; none of a directory that is used as it is.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        match self {
            Self::Image(layers) | Self::Shared(layers) => layers.clone(),
            Self::Overlay(path) => vec![path.clone()],
            Self::Plain(_) => Vec::new(),
        }
    }

    /// `throwaway`: the writable directory goes with the container.
    pub(super) fn below(&self, data: &Path, throwaway: bool) -> RootSource {
        let overlay = |lower| RootSource::Overlay {
            lower,
            upper: data.join("upper"),
            work: data.join("work"),
            volatile: throwaway,
        };
        match self {
            Self::Image(layers) | Self::Shared(layers) => overlay(layers.clone()),
            Self::Overlay(path) => overlay(vec![path.clone()]),
            Self::Plain(path) => RootSource::Directory(path.clone()),
        }
    }
}

/// What a container stands on.
pub(super) struct Ground {
    pub(super) image: ImageConfig,
    /// What its programs were made for; a directory does not say.
    pub(super) platform: Option<Platform>,
    pub(super) layers: Layers,
    pub(super) pin: Option<Pin>,
    pub(super) image_id: Option<String>,
    /// Keeps the layers from being deleted.
    #[expect(dead_code, reason = "dropping it ends it")]
    pub(super) hold: Hold,
}

impl Ground {
    /// What the driver makes of it: the root that is mounted, and the process that keeps it mounted, if there is one. `mountpoints`: the
    /// lowest layer, for the kernel's overlay.
    pub(super) fn stand(
        &self,
        root: &RootSource,
        driver: Driver,
        ids: &Ids,
        container: &Container,
        mountpoints: Option<PathBuf>,
    ) -> Result<(RootSource, Option<Fuse>)> {
        let shared = matches!(self.layers, Layers::Shared(_));
        match (root, driver) {
            (RootSource::Directory(_), _) => Ok((root.clone(), None)),
            (RootSource::Overlay { lower, upper, work, volatile }, Driver::Overlay)
                if !shared && !fuse::is_needed(ids) =>
            {
                let lower = lower.iter().cloned().chain(mountpoints).collect();
                let (upper, work, volatile) = (upper.clone(), work.clone(), *volatile);
                Ok((RootSource::Overlay { lower, upper, work, volatile }, None))
            }
            // The copy has the real owners, whoever made the layers.
            (RootSource::Overlay { lower, .. }, Driver::Copy) if !fuse::is_needed(ids) => {
                Ok((RootSource::Directory(copied(lower, &container.data)?), None))
            }
            (RootSource::Overlay { .. }, _) => {
                let fuse = fuse::mount(root, ids, shared, &container.identity.dir)?;
                Ok((fuse.root(), Some(fuse)))
            }
        }
    }
}

/// `platform`: what the command line says.
pub(super) fn ground(source: &Source, place: Option<&Place>, platform: Option<&Platform>) -> Result<Ground> {
    let directory = |layers| {
        let (image, platform, hold) = (ImageConfig::default(), platform.cloned(), Hold::default());
        Ok(Ground { image, platform, layers, pin: None, image_id: None, hold })
    };
    match source {
        Source::Image(name) => {
            let place = place.ok_or_else(|| Error::new(&state::INTERNAL, format!("find the image {name}")))?;
            Ok(of_image(place.find()?))
        }
        Source::Directory { path, overlay: true } => directory(Layers::Overlay(path.clone())),
        Source::Directory { path, overlay: false } => directory(Layers::Plain(path.clone())),
    }
}

/// What `rl ps` shows as its image.
pub(super) fn called(source: &Source) -> String {
    match source {
        Source::Image(name) => name.clone(),
        Source::Directory { path, .. } => path.display().to_string(),
    }
}

/// Of a container that has been made before.
pub(super) fn again(dirs: &Dirs, record: &Record, data: &Path) -> Result<Ground> {
    match &record.run.source {
        Source::Image(_) => {
            let store = record.store.as_deref().map_or_else(|| Store::open(dirs), Store::of_others);
            Ok(of_image(store.pinned(data)?))
        }
        directory => {
            let platform: Option<Platform> = record.platform.as_deref().map(str::parse).transpose()?;
            ground(directory, None, platform.as_ref())
        }
    }
}

/// The same of one that runs, which need not stay: one of --rm in the foreground has no copy of the document.
pub(super) fn of_running(dirs: &Dirs, record: &Record, data: &Path) -> Result<Ground> {
    match (again(dirs, record, data), &record.image_id) {
        (Err(_), Some(id)) if record.run.remove => {
            let store = record.store.as_deref().map_or_else(|| Store::open(dirs), Store::of_others);
            Ok(of_image(store.find(id, None)?))
        }
        (ground, _) => ground,
    }
}

fn of_image(image: Image) -> Ground {
    let layers = if image.shared { Layers::Shared(image.layers) } else { Layers::Image(image.layers) };
    Ground {
        image: image.config,
        platform: Some(image.platform),
        layers,
        pin: Some(image.pin),
        image_id: Some(image.id),
        hold: image.hold,
    }
}

/// The copy driver: never in silence, because it takes the image's time and space for each container.
fn copied(layers: &[PathBuf], data: &Path) -> Result<PathBuf> {
    if data.join("root").is_dir() {
        // Of an earlier start, with what the container has written.
        return Ok(data.join("root"));
    }
    eprintln!("rl: copying the image for this container (storage driver copy)");
    let (staged, root) = (data.join("root.new"), data.join("root"));
    let made = std::fs::create_dir_all(&staged);
    made.context(&rootfs::ROOTFS, || format!("make {}", staged.display()))?;
    crate::image::flatten(layers, &staged)?;
    std::fs::rename(&staged, &root).context(&rootfs::ROOTFS, || format!("rename {}", staged.display()))?;
    Ok(root)
}
