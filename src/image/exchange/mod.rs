//! Images in files: docker's archives, OCI's archives and layouts; how they are read, and how they are written.
//!
//! Owns telling the formats apart. The store is not touched from here, but for a directory in which a copy may lie. The
//! surprise: what docker saves today is both formats in one archive; docker's half is read then, for it has whole names.

mod docker;
mod files;
mod layout;
mod members;

use std::path::Path;
use std::sync::Arc;

use self::files::{Directory, Files};
use self::members::Members;
use super::reference::Reference;
use super::store::Store;
use super::transport::{Location, Source};
use crate::error::{Error, Result, catalog::image};

/// An image of an archive or a layout.
pub struct Found {
    /// What it is called there.
    pub names: Vec<Reference>,
    /// Its content.
    pub source: Box<dyn Source>,
}

/// The one image that `location` names.
///
/// # Errors
/// `RL0303`, `RL0316`: what was wrong with the file, or that there are several images.
pub fn open(store: &Store, location: &Location) -> Result<Found> {
    let mut all = match location {
        Location::OciDirectory(path, name) => layout::images(Arc::new(Directory::open(path)?), name.as_deref())?,
        Location::OciArchive(path, name) => {
            layout::images(Arc::new(Members::read(path, &spool(store))?), name.as_deref())?
        }
        Location::DockerArchive(path, name) => {
            docker::images(&Arc::new(Members::read(path, &spool(store))?), name.as_ref())?
        }
        Location::Registry(reference) => {
            return Err(Error::new(&image::BAD_LAYOUT, format!("{reference} is no file")));
        }
    };
    match all.pop() {
        Some(one) if all.is_empty() => Ok(one),
        Some(last) => {
            let names = all.iter().chain([&last]).flat_map(|found| &found.names).map(Reference::to_string);
            let fix = format!("Name one of: {}", names.collect::<Vec<_>>().join(", "));
            Err(Error::new(&image::BAD_LAYOUT, "choose an image").because("there are several").fix(fix))
        }
        None => Err(Error::new(&image::BAD_LAYOUT, "choose an image").because("there is none")),
    }
}

/// All images of the file at `path` (`-`: standard input), whichever of the formats it has.
///
/// # Errors
/// As [`open`].
pub fn open_all(store: &Store, path: &Path) -> Result<Vec<Found>> {
    if path.is_dir() {
        return layout::images(Arc::new(Directory::open(path)?), None);
    }
    let members = Arc::new(Members::read(path, &spool(store))?);
    if members.has(docker::MANIFEST) {
        return docker::images(&members, None);
    }
    if members.has("oci-layout") {
        return layout::images(members, None);
    }
    let shown = members.shown(Path::new(docker::MANIFEST));
    Err(Error::new(&image::BAD_LAYOUT, format!("find {shown}, or oci-layout"))
        .because("it is an archive, but not one of images")
        .fix(format!("If it is a root file system: rl import {} NAME", path.display())))
}

fn spool(store: &Store) -> std::path::PathBuf {
    store.root().join("partial")
}
