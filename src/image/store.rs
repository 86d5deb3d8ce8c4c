//! The store on disk: documents of images, unpacked layers.
//!
//! `images/NAME%TAG.json` says everything about a name, so that looking one up is one small read. `layers/DIGEST/diff`
//! is a layer's tree, shared by all images that have it; DIGEST is that of the uncompressed layer, with `.root` behind
//! it where its owners were all replaced by root. Writers take the lock of the store's directory for the moments in
//! which names and layers change; who uses a layer has a shared lock on it. Everything is synced before it is renamed
//! into place: a reader finds the old state or the new one. The surprise: nothing counts references; what no document
//! names is garbage, found when an image is removed.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde::Serialize;

use super::document::Document;
use super::reference::{Reference, near};
use super::staging::{Staging, make_dir, try_lock};
use crate::error::{Context, Error, Result, catalog::image};
use crate::host::Dirs;
use crate::spec::ImageConfig;

/// The store of one data directory.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
}

/// An image, ready to be run.
#[derive(Debug)]
pub struct Image {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its layers' trees, topmost first.
    pub layers: Vec<PathBuf>,
    /// What a run takes from its configuration.
    pub config: ImageConfig,
    /// To be kept for as long as the layers are used.
    pub hold: Hold,
}

/// Keeps layers from being deleted for as long as it lives.
#[derive(Debug, Default)]
pub struct Hold(#[expect(dead_code, reason = "dropping the descriptors is what ends it")] Vec<Flock<File>>);

/// A line of `rl images`.
#[derive(Debug, Serialize)]
pub struct Listed {
    /// `None`: an image without a name.
    pub name: Option<String>,
    /// 64 hexadecimal digits.
    pub id: String,
    /// Seconds since 1970.
    pub created: u64,
    /// Bytes of regular files in its layers.
    pub size: u64,
}

/// What [`Store::remove`] did.
#[derive(Debug, PartialEq, Eq)]
pub struct Removed {
    /// Names that are gone.
    pub names: Vec<String>,
    /// The image's id, if that was its last name.
    pub id: Option<String>,
}

impl Store {
    /// The store of `dirs.data`; it is made when something is put into it.
    pub fn open(dirs: &Dirs) -> Self {
        Self { root: dirs.data.clone() }
    }

    /// Looks an image up by its name, or by the first digits of its id.
    ///
    /// # Errors
    /// `RL0301` with near names.
    pub fn find(&self, text: &str) -> Result<Image> {
        let mut document = self.document(text)?;
        loop {
            if let Some(hold) = self.hold(&document)? {
                let layers = document.layers.iter().rev().map(|layer| self.layer(layer).join("diff")).collect();
                return Ok(Image { layers, config: document.run_config(), id: document.id, hold });
            }
            // Removed or replaced since its document was read, or the store was damaged.
            let again = self.document(text)?;
            if again.layers == document.layers {
                let what =
                    format!("{text:?}: a layer of the image is missing in {}", self.root.join("layers").display());
                return Err(Error::new(&image::STORE, what).fix(format!("Import it again: rl import FILE {text}")));
            }
            document = again;
        }
    }

    /// Every name, in alphabetical order.
    ///
    /// # Errors
    /// `RL0307` where a document can't be read.
    pub fn list(&self) -> Result<Vec<Listed>> {
        let listed = |Document { name, id, created, size, .. }| Listed { name, id, created, size };
        let mut all: Vec<_> = self.documents()?.into_iter().map(|(_, document)| listed(document)).collect();
        all.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        Ok(all)
    }

    /// Removes a name, or all names of an id; layers that nothing has any more are deleted.
    ///
    /// # Errors
    /// `RL0301` when there is no such image, `RL0308` when a container runs on it.
    pub fn remove(&self, text: &str) -> Result<Removed> {
        let staging = self.root.join("staging");
        let lock = self.lock()?;
        let mut condemned = Staging::orphans(&staging);
        let by_name =
            Reference::parse(text).ok().map(|name| name.file(None)).filter(|file| self.images().join(file).exists());
        let id = if by_name.is_none() { Some(self.document(text)?.id) } else { None };
        let goes = |(file, document): &(String, Document)| {
            by_name.as_deref() == Some(file.as_str()) || id.as_ref() == Some(&document.id)
        };
        let (going, staying): (Vec<_>, Vec<_>) = self.documents()?.into_iter().partition(goes);
        let has = |all: &[(String, Document)], layer: &String| all.iter().any(|(_, doc)| doc.layers.contains(layer));
        let mut unused = Vec::new();
        for layer in names_in(&self.root.join("layers"))?.iter().filter(|layer| !has(&staying, layer)) {
            match try_lock(&self.layer(layer))? {
                Some(lock) => unused.push((self.layer(layer), lock)),
                None if has(&going, layer) => {
                    return Err(Error::new(&image::IN_USE, format!("remove {text:?}: a container runs on it")));
                }
                // Garbage that a container still stands on, since its image's name was given to another.
                None => {}
            }
        }
        for (file, _) in &going {
            let path = self.images().join(file);
            fs::remove_file(&path).context(&image::STORE, || format!("remove {}", path.display()))?;
        }
        // Before any layer goes: a document that came back after a power cut must find its layers.
        sync_dir(&self.images())?;
        for (layer, lock) in unused {
            condemned.push(Staging::condemn(&staging, &layer, lock)?);
        }
        drop(lock);
        drop(condemned);
        let (_, first) = going.first().ok_or_else(|| self.unknown(text))?;
        let last = !staying.iter().any(|(_, document)| document.id == first.id);
        let id = last.then(|| first.id.clone());
        Ok(Removed { names: going.into_iter().filter_map(|(_, document)| document.name).collect(), id })
    }

    /// A fresh staging directory; what killed writers have left goes first.
    pub(super) fn stage(&self) -> Result<Staging> {
        let staging = self.root.join("staging");
        let lock = self.lock()?;
        let orphans = Staging::orphans(&staging);
        let made = Staging::make(&staging);
        drop(lock);
        drop(orphans);
        made
    }

    /// Puts a staged layer into place and writes the image's document.
    pub(super) fn commit(&self, staged: &Staging, document: &Document) -> Result<()> {
        let layers = self.root.join("layers");
        make_dir(&layers)?;
        make_dir(&self.images())?;
        let dir = File::open(&staged.dir).context(&image::STORE, || format!("open {}", staged.dir.display()))?;
        // One syncfs(2) for the whole layer: an fsync a file would cost more than the unpacking.
        nix::unistd::syncfs(&dir).context(&image::STORE, || "write the layer to the disk".into())?;
        let _lock = self.lock()?;
        if let Some(target) = document.layers.last().map(|layer| self.layer(layer)).filter(|target| !target.exists()) {
            let made = staged.dir.join("layer");
            fs::rename(&made, &target)
                .context(&image::STORE, || format!("rename {} to {}", made.display(), target.display()))?;
            sync_dir(&layers)?;
        }
        let file = document.file()?;
        let others = self.documents()?;
        let others = |id: &str| others.iter().filter(|(have, other)| *have != file && other.id == id).count();
        match self.read(&file)? {
            // Its name goes to the new image; it stays, without one.
            Some(old) if old.id != document.id && others(&old.id) == 0 => {
                let old = Document { name: None, ..old };
                replace(&self.images(), &old.file()?, &old.text()?)?;
            }
            _ => {}
        }
        if document.name.is_none() && others(&document.id) > 0 {
            return Ok(());
        }
        replace(&self.images(), &file, &document.text()?)?;
        if document.name.is_some() {
            // It had no name before, now it has.
            let unnamed = Document { name: None, ..document.clone() }.file()?;
            let _ = fs::remove_file(self.images().join(unnamed));
        }
        Ok(())
    }

    fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    fn layer(&self, name: &str) -> PathBuf {
        self.root.join("layers").join(name)
    }

    /// None: a layer is not there (any more).
    fn hold(&self, document: &Document) -> Result<Option<Hold>> {
        let mut locks = Vec::with_capacity(document.layers.len());
        for layer in &document.layers {
            let path = self.layer(layer);
            let file = match File::open(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                opened => opened.context(&image::STORE, || format!("open {}", path.display()))?,
            };
            let lock = Flock::lock(file, FlockArg::LockShared).map_err(|(_, errno)| errno);
            let lock = lock.context(&image::STORE, || format!("lock {}", path.display()))?;
            // Whoever had it locked may have taken it away meanwhile.
            let inode = |meta: fs::Metadata| meta.ino();
            if fs::metadata(&path).map(inode).ok() != lock.metadata().map(inode).ok() {
                return Ok(None);
            }
            locks.push(lock);
        }
        Ok(Some(Hold(locks)))
    }

    fn document(&self, text: &str) -> Result<Document> {
        // An id can't be found by its file's name; it is only tried where no image has the name.
        match self.read(&Reference::parse(text)?.file(None))? {
            Some(document) => Ok(document),
            None => self.by_id(text)?.ok_or_else(|| self.unknown(text)),
        }
    }

    fn read(&self, file: &str) -> Result<Option<Document>> {
        let path = self.images().join(file);
        match fs::read(&path) {
            Ok(bytes) => Document::parse(&path, &bytes).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::new(&image::STORE, format!("read {}", path.display())).because(error)),
        }
    }

    fn documents(&self) -> Result<Vec<(String, Document)>> {
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
        let like: Vec<_> = names.iter().filter(|name| near(name, text)).map(String::as_str).collect();
        let error = Error::new(&image::IMAGE_NOT_FOUND, format!("{text:?}"));
        match (like.is_empty(), names.is_empty()) {
            (false, _) => error.fix(format!("Did you mean {}?", like.join(" or "))),
            (true, false) => error
                .fix(format!("There are: {}. Another comes from an archive: rl import FILE {text}", names.join(", "))),
            (true, true) => {
                error.fix(format!("There is no image yet. One comes from an archive: rl import FILE {text}"))
            }
        }
    }

    /// One writer at a time.
    fn lock(&self) -> Result<Flock<File>> {
        let file = File::open(&self.root).context(&image::STORE, || format!("open {}", self.root.display()))?;
        let lock = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno);
        lock.context(&image::STORE, || format!("lock {}", self.root.display()))
    }
}

/// What can't be listed must not look empty: whatever no document names is deleted. Only a missing directory is empty.
fn names_in(dir: &Path) -> Result<Vec<String>> {
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

/// Written beside, synced, renamed.
fn replace(dir: &Path, file: &str, text: &[u8]) -> Result<()> {
    let (staged, target) = (dir.join(format!("{file}.new")), dir.join(file));
    let written = File::create(&staged).and_then(|mut new| new.write_all(text).and_then(|()| new.sync_all()));
    written.context(&image::STORE, || format!("write {}", staged.display()))?;
    fs::rename(&staged, &target).context(&image::STORE, || format!("rename {}", staged.display()))?;
    sync_dir(dir)
}

fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).context(&image::STORE, || format!("sync {}", dir.display()))
}
