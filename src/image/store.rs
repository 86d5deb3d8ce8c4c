//! The store on disk: documents of images, unpacked layers, staging.
//!
//! `images/NAME%TAG.json` says everything about a name, so that looking one up is one small read. `layers/DIGEST/diff` is a layer's
//! tree, shared by all images that have it. What is being made lies in `staging/`, locked by its maker, and is renamed into place
//! after it has been synced: a reader finds the old state or the new one. The surprise: nothing counts references; what no
//! document names is garbage, found when an image is removed.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use oci_spec::image::ImageConfiguration;
use serde::{Deserialize, Serialize};

use super::name::Name;
use super::remove::remove_tree;
use crate::error::{Context, Error, Result, catalog::image};
use crate::host::Dirs;
use crate::spec::ImageConfig;

const VERSION: u32 = 1;

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
}

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

/// `images/*.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Document {
    pub(super) version: u32,
    pub(super) id: String,
    pub(super) name: Option<String>,
    pub(super) created: u64,
    pub(super) size: u64,
    /// Digests of the uncompressed layers, lowest first.
    pub(super) layers: Vec<String>,
    pub(super) config: ImageConfiguration,
}

/// A directory for what is being made; removed unless it was committed.
pub(super) struct Staging {
    pub(super) dir: PathBuf,
    _lock: Flock<File>,
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What can't be removed now is found unlocked by the next writer.
        let _ = remove_tree(&self.dir);
    }
}

impl Store {
    /// The store of `dirs.data`; it is made when something is put into it.
    pub fn open(dirs: &Dirs) -> Self {
        Self { root: dirs.data.clone() }
    }

    /// Looks an image up by its name.
    ///
    /// # Errors
    /// `RL0301` with near names.
    pub fn find(&self, text: &str) -> Result<Image> {
        // An id can't be found by its file's name; it is only tried where no image has the name.
        let document = match Name::parse(text).and_then(|name| self.read(&name.file())) {
            Ok(Some(document)) => document,
            Ok(None) => self.by_id(text)?.ok_or_else(|| self.unknown(text))?,
            Err(error) => return Err(error),
        };
        Ok(Image {
            layers: document.layers.iter().rev().map(|digest| self.layer(digest)).collect(),
            config: run_config(&document.config),
            id: document.id,
        })
    }

    /// Every name, in alphabetical order.
    pub fn list(&self) -> Result<Vec<Listed>> {
        let mut all: Vec<_> = self
            .documents()?
            .into_iter()
            .map(|(_, Document { name, id, created, size, .. })| Listed { name, id, created, size })
            .collect();
        all.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        Ok(all)
    }

    /// Removes a name, or all names of an id; layers that nothing has any more are deleted. Gives what was removed.
    ///
    /// # Errors
    /// `RL0301` when there is no such image.
    pub fn remove(&self, text: &str) -> Result<Vec<String>> {
        let _lock = self.lock()?;
        let by_name =
            Name::parse(text).ok().map(|name| name.file()).filter(|file| self.root.join("images").join(file).exists());
        let id = if by_name.is_none() { self.by_id(text)?.map(|document| document.id) } else { None };
        let gone =
            |file: &str, document: &Document| by_name.as_deref() == Some(file) || Some(&document.id) == id.as_ref();
        let mut removed = Vec::new();
        for (file, document) in self.documents()?.into_iter().filter(|(file, document)| gone(file, document)) {
            let path = self.root.join("images").join(&file);
            fs::remove_file(&path).context(&image::STORE, || format!("remove {}", path.display()))?;
            removed.push(document.name.unwrap_or(document.id));
        }
        if removed.is_empty() {
            return Err(self.unknown(text));
        }
        self.collect_layers()?;
        Ok(removed)
    }

    /// A fresh staging directory; what killed writers have left goes first.
    pub(super) fn stage(&self) -> Result<Staging> {
        let staging = self.root.join("staging");
        make_dir(&staging)?;
        self.clean_staging(&staging);
        let dir = staging.join(random_name()?);
        make_dir(&dir)?;
        let file = File::open(&dir).context(&image::STORE, || format!("open {}", dir.display()))?;
        let lock = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno);
        let lock = lock.context(&image::STORE, || format!("lock {}", dir.display()))?;
        Ok(Staging { dir, _lock: lock })
    }

    fn clean_staging(&self, staging: &Path) {
        // Under the store's lock no writer is between making its directory and locking it.
        let Ok(_lock) = self.lock() else { return };
        for entry in fs::read_dir(staging).into_iter().flatten().flatten() {
            let Ok(file) = File::open(entry.path()) else { continue };
            if Flock::lock(file, FlockArg::LockExclusiveNonblock).is_ok() {
                let _ = remove_tree(&entry.path());
            }
        }
    }

    /// Puts a staged layer into place and writes the image's document. All data has reached the disk before a name leads to it.
    pub(super) fn commit(
        &self,
        staged: &Staging,
        digest: &str,
        document: &Document,
        name: Option<&Name>,
    ) -> Result<()> {
        let dir: OwnedFd =
            File::open(&staged.dir).context(&image::STORE, || format!("open {}", staged.dir.display()))?.into();
        sync(&dir).context(&image::STORE, || "write the layer to the disk".into())?;
        let _lock = self.lock()?;
        let layers = self.root.join("layers");
        make_dir(&layers)?;
        let target = layers.join(digest);
        if !target.exists() {
            let made = staged.dir.join("layer");
            fs::rename(&made, &target)
                .context(&image::STORE, || format!("rename {} to {}", made.display(), target.display()))?;
            sync_dir(&layers)?;
        }
        let images = self.root.join("images");
        make_dir(&images)?;
        let file = name.map_or_else(|| format!("%{}.json", document.id), Name::file);
        let text = serde_json::to_vec_pretty(document).context(&image::STORE, || "write an image's document".into())?;
        replace(&images, &file, &text)
    }

    fn layer(&self, digest: &str) -> PathBuf {
        self.root.join("layers").join(digest).join("diff")
    }

    fn read(&self, file: &str) -> Result<Option<Document>> {
        let path = self.root.join("images").join(file);
        match fs::read(&path) {
            Ok(bytes) => parse(&path, &bytes).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::new(&image::STORE, format!("read {}", path.display())).because(error)),
        }
    }

    fn documents(&self) -> Result<Vec<(String, Document)>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(self.root.join("images")).into_iter().flatten().flatten() {
            let file = entry.file_name().to_string_lossy().into_owned();
            if file.ends_with(".json") {
                all.extend(self.read(&file)?.map(|document| (file, document)));
            }
        }
        Ok(all)
    }

    /// By the first digits of an id; several images may be meant only if they are one.
    fn by_id(&self, text: &str) -> Result<Option<Document>> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        if digits.len() < 4 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let mut found: Vec<_> = self
            .documents()?
            .into_iter()
            .map(|(_, document)| document)
            .filter(|document| document.id.starts_with(digits))
            .collect();
        found.dedup_by(|a, b| a.id == b.id);
        match found.len() {
            0 | 1 => Ok(found.pop()),
            count => {
                Err(Error::new(&image::IMAGE_NOT_FOUND, format!("{count} images have an id that starts with {digits}")))
            }
        }
    }

    fn unknown(&self, text: &str) -> Error {
        let near =
            |name: &String| name.contains(text) || text.contains(name.split([':', '/']).next_back().unwrap_or(name));
        let names: Vec<_> =
            self.documents().unwrap_or_default().into_iter().filter_map(|(_, document)| document.name).collect();
        let near: Vec<_> = names.iter().filter(|name| near(name)).map(String::as_str).collect();
        let error = Error::new(&image::IMAGE_NOT_FOUND, format!("{text:?}"));
        match (near.is_empty(), names.is_empty()) {
            (false, _) => error.fix(format!("Did you mean {}?", near.join(" or "))),
            (true, false) => error
                .fix(format!("There are: {}. Another comes from an archive: rl import FILE {text}", names.join(", "))),
            (true, true) => {
                error.fix(format!("There is no image yet. One comes from an archive: rl import FILE {text}"))
            }
        }
    }

    fn collect_layers(&self) -> Result<()> {
        let documents = self.documents()?;
        let used =
            |digest: &str| documents.iter().any(|(_, document)| document.layers.iter().any(|layer| layer == digest));
        for entry in fs::read_dir(self.root.join("layers")).into_iter().flatten().flatten() {
            if !used(&entry.file_name().to_string_lossy()) {
                remove_tree(&entry.path())?;
            }
        }
        Ok(())
    }

    /// One writer at a time, for the moments in which names and layers change.
    fn lock(&self) -> Result<Flock<File>> {
        let file = File::open(&self.root).context(&image::STORE, || format!("open {}", self.root.display()))?;
        let lock = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno);
        lock.context(&image::STORE, || format!("lock {}", self.root.display()))
    }
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Document> {
    let document: Document =
        serde_json::from_slice(bytes).context(&image::STORE, || format!("understand {}", path.display()))?;
    if document.version == VERSION {
        return Ok(document);
    }
    let what = format!("{} has version {}, this rl knows {VERSION}", path.display(), document.version);
    Err(Error::new(&image::STORE, what).fix("Use the rl that wrote it, or another --root."))
}

/// The version that documents are written with.
pub(super) fn document(
    id: String,
    name: Option<&Name>,
    size: u64,
    digest: &str,
    config: ImageConfiguration,
) -> Document {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Document {
        version: VERSION,
        id,
        name: name.map(Name::to_string),
        created: now,
        size,
        layers: vec![digest.to_owned()],
        config,
    }
}

fn run_config(config: &ImageConfiguration) -> ImageConfig {
    let Some(own) = config.config() else { return ImageConfig::default() };
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

fn make_dir(path: &Path) -> Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.context(&image::STORE, || format!("make {}", path.display()))
}

fn random_name() -> Result<String> {
    let mut bytes = [0_u8; 8];
    getrandom::fill(&mut bytes).context(&image::STORE, || "get random bytes".into())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
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

/// One syncfs(2) for the whole layer: an fsync a file would cost more than the unpacking.
fn sync(dir: &OwnedFd) -> nix::Result<()> {
    nix::unistd::syncfs(dir)
}
