//! The store on disk: documents of images, unpacked layers, blobs.
//!
//! `images/NAME%TAG.json` says everything about a name, so that looking one up is one small read. `layers/CHAIN/diff`
//! is a layer's tree, shared by all images that have it and the same layers below; with `.root` behind the chain id
//! where its owners were all replaced by root. Writers take the lock of the store's directory for the moments in which
//! names and layers change; who uses a layer has a shared lock on it. Everything is synced before it is renamed into
//! place: a reader finds the old state or the new one. Owns looking up; `change` owns what writes. The surprise:
//! nothing counts references; what no document names is garbage, found when an image is removed.

mod about;
mod change;
mod hold;
mod pin;
mod written;

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub(super) use self::about::About;
pub use self::change::Removed;
pub(super) use self::change::{Made, Using};
pub use self::hold::Hold;
pub use self::pin::Pin;
pub(super) use self::written::{Written, written};
use super::blobs::Blobs;
use super::document::Document;
use super::platform::Platform;
use super::reference::{Reference, near};
use super::staging::make_dir;
use super::unpack::How;
use crate::error::{Context, Error, Result, catalog::image};
use crate::host::Dirs;
use crate::host::config::Limits;
use crate::spec::ImageConfig;

/// In the directory of a store that others read.
const SHARED_MARK: &str = crate::host::SHARED_MARK;

/// The store of one data directory.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    blobs: Blobs,
    limits: Limits,
}

/// An image, ready to be run.
#[derive(Debug)]
pub struct Image {
    /// 64 hexadecimal digits.
    pub id: String,
    /// What its programs were made for.
    pub platform: Platform,
    /// Its layers' trees, topmost first.
    pub layers: Vec<PathBuf>,
    /// The owners of its files are in attributes, which only fuse-overlayfs understands.
    pub shared: bool,
    /// What a run takes from its configuration.
    pub config: ImageConfig,
    /// To be kept for as long as the layers are used.
    pub hold: Hold,
    /// For a container that stays.
    pub pin: Pin,
}

/// A line of `rl images`.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// `None`: an image without a name.
    pub name: Option<String>,
    /// 64 hexadecimal digits.
    pub id: String,
    /// What its programs were made for.
    pub platform: String,
    /// Of its manifest, where it came with one.
    pub digest: Option<String>,
    /// Seconds since 1970, when the image was made; of an import without a date, when it came.
    pub created: u64,
    /// Bytes of regular files in its layers.
    pub size: u64,
    /// Of its configuration.
    pub labels: Vec<(String, String)>,
}

impl Store {
    /// The store of `dirs.data`; it is made when something is put into it.
    pub fn open(dirs: &Dirs) -> Self {
        Self { root: dirs.data.clone(), blobs: Blobs::new(&dirs.data), limits: Limits::default() }
    }

    /// With other bounds for what is unpacked into it.
    #[must_use]
    pub fn with(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Somebody else's, to read.
    pub fn of_others(root: &Path) -> Self {
        Self { root: root.to_owned(), blobs: Blobs::new(root), limits: Limits::default() }
    }

    /// Whether other users read it.
    pub fn is_shared(&self) -> bool {
        self.root.join(SHARED_MARK).exists()
    }

    pub(super) fn how(&self, squash: bool) -> Result<How> {
        let shared = self.is_shared();
        if shared && squash {
            return Err(Error::new(&image::SHARE, "put an image into a shared store")
                .because("only one id is mapped, so the owners of its files can't be kept")
                .fix("You need subordinate ids: rl explain RL0202"));
        }
        Ok(How { squash, shared, limits: self.limits })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    pub(super) fn layer(&self, name: &str) -> PathBuf {
        self.root.join("layers").join(name)
    }

    /// For files that have no name and go with the process.
    pub(super) fn spool(&self) -> Result<PathBuf> {
        let dir = self.root.join("partial");
        make_dir(&dir)?;
        Ok(dir)
    }

    pub(super) fn nameless(&self) -> Result<File> {
        let dir = self.spool()?;
        tempfile::tempfile_in(&dir).context(&image::STORE, || format!("make a file in {}", dir.display()))
    }

    fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    /// Looks an image up: by its name and platform (the machine's, where none is given), by a name that ends with a
    /// platform, or by the first digits of its id.
    ///
    /// # Errors
    /// `RL0301` with near names.
    pub fn find(&self, text: &str, platform: Option<&Platform>) -> Result<Image> {
        let mut document = self.document(text, platform)?;
        loop {
            if let Some(hold) = self.hold(&document)? {
                self.refuse_lost(text, &document)?;
                return Ok(self.ready(document, hold));
            }
            // Removed or replaced since its document was read, or the store was damaged.
            let again = self.document(text, platform)?;
            if again.layers == document.layers {
                let what =
                    format!("{text:?}: a layer of the image is missing in {}", self.root.join("layers").display());
                return Err(Error::new(&image::STORE, what).fix("See what is wrong, and repair it: rl system check"));
            }
            document = again;
        }
    }

    /// What a name without `--platform` means: itself, or, where no image has that very name, the name without its
    /// ending for the platform of that ending (`debian-arm64`).
    ///
    /// # Errors
    /// `RL0302` for what is no name.
    pub fn meaning(&self, text: &str, platform: Option<&Platform>) -> Result<(Reference, Option<Platform>)> {
        let reference = Reference::parse(text)?;
        if let Some(platform) = platform {
            return Ok((reference, Some(platform.clone())));
        }
        match reference.platform_ending() {
            Some((base, platform)) if self.named(&reference, None)?.is_none() => Ok((base, Some(platform))),
            _ => Ok((reference, None)),
        }
    }

    /// Whether there is an image of that name.
    ///
    /// # Errors
    /// `RL0307` where a document can't be read.
    pub fn has(&self, reference: &Reference, platform: Option<&Platform>) -> Result<bool> {
        Ok(self.named(reference, platform)?.is_some())
    }

    /// Whether there is an image for this machine of exactly that name, at the cost of one look.
    pub fn is_there(&self, text: &str) -> bool {
        Reference::parse(text).is_ok_and(|reference| self.images().join(reference.file(None)).exists())
    }

    /// Whether [`Store::find`] would find something.
    ///
    /// # Errors
    /// `RL0302` for what is no name, `RL0307` where a document can't be read.
    pub fn lookup(&self, text: &str, platform: Option<&Platform>) -> Result<bool> {
        match self.document(text, platform) {
            Ok(_) => Ok(true),
            Err(error) if *error.entry() == image::IMAGE_NOT_FOUND => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Names that somebody who typed `text` may have meant.
    ///
    /// # Errors
    /// `RL0307` where a document can't be read.
    pub fn near(&self, text: &str) -> Result<Option<String>> {
        let names = self.documents()?.into_iter().filter_map(|(_, document)| document.name);
        let like: Vec<_> = names.filter(|name| near(name, text)).collect();
        Ok((!like.is_empty()).then(|| like.join(" or ")))
    }

    /// All names that images have.
    ///
    /// # Errors
    /// `RL0307` where a document can't be read.
    pub fn names(&self) -> Result<Vec<Reference>> {
        let names = self.documents()?.into_iter().filter_map(|(_, document)| document.name);
        names.map(|name| Reference::parse(&name)).collect()
    }

    /// Every name, in alphabetical order.
    ///
    /// # Errors
    /// `RL0307` where a document can't be read.
    pub fn list(&self) -> Result<Vec<Listed>> {
        let mut all: Vec<_> = self.documents()?.into_iter().map(|(_, document)| listed(&document)).collect();
        all.sort_by(|a, b| (&a.name, &a.platform, &a.id).cmp(&(&b.name, &b.platform, &b.id)));
        Ok(all)
    }

    pub(super) fn document(&self, text: &str, platform: Option<&Platform>) -> Result<Document> {
        let (reference, meant) = self.meaning(text, platform)?;
        // An id can't be found by its file's name; it is only tried where no image has the name.
        match self.named(&reference, meant.as_ref())? {
            Some((_, document)) => Ok(document),
            None => self.by_id(text)?.ok_or_else(|| self.unknown(text)),
        }
    }

    /// The document of a name, and its file. Without a platform it is the machine's, or the only one that there is.
    fn named(&self, reference: &Reference, platform: Option<&Platform>) -> Result<Option<(String, Document)>> {
        let host = Platform::host();
        let wanted = platform.filter(|platform| **platform != host);
        let file = reference.file(wanted);
        if let Some(document) = self.read(&file)? {
            return Ok(Some((file, document)));
        }
        if platform.is_some() {
            return Ok(None);
        }
        let others = reference.file(None).trim_end_matches(".json").to_owned() + "%";
        let mut found = names_in(&self.images())?.into_iter().filter(|file| file.starts_with(&others));
        match (found.next(), found.next()) {
            (Some(file), None) => Ok(self.read(&file)?.map(|document| (file, document))),
            _ => Ok(None),
        }
    }

    /// The document of a file in `images/`.
    pub(super) fn read(&self, file: &str) -> Result<Option<Document>> {
        let path = self.images().join(file);
        match fs::read(&path) {
            Ok(bytes) => Document::parse(&path, &bytes).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::new(&image::STORE, format!("read {}", path.display())).because(error)),
        }
    }

    /// All of them, with their files' names.
    pub(super) fn documents(&self) -> Result<Vec<(String, Document)>> {
        let mut all = Vec::new();
        for file in names_in(&self.images())?.into_iter().filter(|file| file.ends_with(".json")) {
            all.extend(self.read(&file)?.map(|document| (file, document)));
        }
        Ok(all)
    }

    /// By the first digits of an id; several documents may be meant only if they are one image's.
    fn by_id(&self, text: &str) -> Result<Option<Document>> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        if digits.len() < 4 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let documents = self.documents()?.into_iter().map(|(_, document)| document);
        let mut found: Vec<_> = documents.filter(|document| document.id.starts_with(digits)).collect();
        found.sort_by(|a, b| a.id.cmp(&b.id));
        found.dedup_by(|a, b| a.id == b.id);
        match found.len() {
            0 | 1 => Ok(found.pop()),
            count => {
                Err(Error::new(&image::IMAGE_NOT_FOUND, format!("{count} images have an id that starts with {digits}"))
                    .fix("Give more of its digits: rl images --no-trunc"))
            }
        }
    }

    fn unknown(&self, text: &str) -> Error {
        let names: Vec<_> =
            self.documents().unwrap_or_default().into_iter().filter_map(|(_, document)| document.name).collect();
        let error = Error::new(&image::IMAGE_NOT_FOUND, format!("{text:?}"));
        match (self.near(text).unwrap_or_default(), names.is_empty()) {
            (Some(near), _) => error.fix(format!("Did you mean {near}?")),
            (None, false) => error.fix(format!(
                "There are: {}. Others come from a registry or an archive: rl pull {text}, rl import FILE {text}",
                names.join(", ")
            )),
            (None, true) => error.fix(format!(
                "There is no image yet. They come from a registry or an archive: rl pull {text}, rl import FILE {text}"
            )),
        }
    }
}

fn listed(document: &Document) -> Listed {
    let created = document.configuration.created().as_deref().and_then(seconds);
    let config = document.configuration.config().as_ref();
    let labels = config.and_then(|config| config.labels().clone()).unwrap_or_default();
    let mut labels: Vec<_> = labels.into_iter().collect();
    labels.sort();
    Listed {
        name: document.name.clone(),
        id: document.id.clone(),
        platform: document.platform.to_string(),
        digest: document.manifest.as_ref().map(|manifest| manifest.digest.to_string()),
        created: created.unwrap_or(document.added),
        size: document.size(),
        labels,
    }
}

/// Since 1970, of RFC 3339, as configurations have it. Images that were made reproducibly say 1970, and that is what is shown.
pub fn seconds(text: &str) -> Option<u64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(time.unix_timestamp()).ok()
}

/// What can't be listed must not look empty: whatever no document names is deleted. Only a missing directory is empty.
pub(super) fn names_in(dir: &Path) -> Result<Vec<String>> {
    let doing = || format!("list {}", dir.display());
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.context(&image::STORE, doing)?,
    };
    let name = |entry: std::io::Result<fs::DirEntry>| {
        entry.map(|entry| entry.file_name().to_string_lossy().into_owned()).context(&image::STORE, doing)
    };
    entries.map(name).collect()
}
