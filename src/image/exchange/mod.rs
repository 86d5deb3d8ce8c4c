//! Images in files: docker's archives, OCI's archives and layouts; how they are read, and how they are written.
//!
//! Owns telling the formats apart. The store is not touched from here, but for a directory in which a copy may lie. The
//! surprise: what docker saves today is both formats in one archive; docker's half is read then, for it has whole names.

mod docker;
mod files;
mod layout;
mod members;
mod save;

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::files::{Directory, Files};
use self::members::Members;
pub use self::save::Format;
use self::save::Saved;
use super::reference::Reference;
use super::send::{Outgoing, send};
use super::store::Store;
use super::transport::{Location, Progress, Source};
use crate::error::{Context, Error, Result, catalog::image};

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
            layout::images(Arc::new(Members::read(path, &store.spool()?)?), name.as_deref())?
        }
        Location::DockerArchive(path, name) => {
            docker::images(&Arc::new(Members::read(path, &store.spool()?)?), name.as_ref())?
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
    images_at(path, &store.spool()?)
}

/// As [`open_all`]; `spool` is a directory for copies of what can't be read twice.
pub(super) fn images_at(path: &Path, spool: &Path) -> Result<Vec<Found>> {
    if path.is_dir() {
        return layout::images(Arc::new(Directory::open(path)?), None);
    }
    let members = Arc::new(Members::read(path, spool)?);
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

/// Where an archive goes.
#[derive(Debug, Clone)]
pub enum Output {
    /// Into a pipe.
    Stdout,
    /// Into a file, which is whole or not there; or, for a layout, a directory.
    Path(PathBuf),
}

/// Writes images, each with the names that it is to have there.
///
/// # Errors
/// `RL0318`, `RL0306`: what could not be written. An archive that was there before is still there then.
pub fn save(
    store: &Store,
    images: Vec<(Outgoing<'_>, Vec<Reference>)>,
    format: Format,
    output: &Output,
    progress: &dyn Progress,
) -> Result<()> {
    let write = |saved: Saved| -> Result<()> {
        for (outgoing, names) in images {
            send(outgoing, &saved, &names, progress)?;
        }
        saved.close()
    };
    let spool = store.spool()?;
    let path = match (output, format) {
        (Output::Stdout, Format::OciDirectory) => {
            return Err(Error::new(&image::SAVE, "save to standard output").because("a layout is a directory"));
        }
        (Output::Stdout, _) => return write(Saved::archive(format, Box::new(std::io::stdout()), spool)?),
        (Output::Path(path), Format::OciDirectory) => return write(Saved::directory(path, spool)?),
        (Output::Path(path), _) => path,
    };
    let doing = || format!("write {}", path.display());
    // A device or a pipe is written to as it is.
    if fs::metadata(path).is_ok_and(|meta| !meta.is_file()) {
        let file = OpenOptions::new().write(true).open(path).context(&image::SAVE, doing)?;
        return write(Saved::archive(format, Box::new(file), spool)?);
    }
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let staged = tempfile::Builder::new().prefix(".rl-save-").permissions(save::open_to_all()).tempfile_in(dir);
    let staged = staged.context(&image::SAVE, doing)?;
    write(Saved::archive(format, Box::new(staged.reopen().context(&image::SAVE, doing)?), spool)?)?;
    staged.persist(path).map(drop).map_err(|error| Error::new(&image::SAVE, doing()).because(error.error))
}
