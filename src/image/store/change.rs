//! What writes to the store: putting an image in, giving it names, taking it out.
//!
//! Owns the store's lock and the order of writes. The surprise: blobs are deleted only when nobody is putting an image
//! in, because an image that is coming counts on blobs that no document names yet.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::written::{Written, mark, written};
use super::{SHARED_MARK, Store, names_in};
use crate::error::{Context, Error, Result, catalog::image};
use crate::image::digest::Digest;
use crate::image::document::Document;
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::image::staging::{Staging, make_dir, try_lock};

/// What [`Store::remove`] did.
#[derive(Debug, PartialEq, Eq)]
pub struct Removed {
    /// Names that are gone.
    pub names: Vec<String>,
    /// The image's id, if that was its last name.
    pub id: Option<String>,
}

/// What was made in the staging directory: where it is, and what it is to be.
#[derive(Debug, Default)]
pub(in crate::image) struct Made {
    pub(in crate::image) layers: Vec<(PathBuf, String)>,
    pub(in crate::image) blobs: Vec<(PathBuf, Digest)>,
}

/// While it lives no blob is deleted.
#[derive(Debug)]
pub(in crate::image) struct Using(#[expect(dead_code, reason = "dropping the descriptor ends it")] Flock<File>);

impl Store {
    /// To be kept by whoever is putting an image in.
    pub(in crate::image) fn using(&self) -> Result<Using> {
        let blobs = self.root.join("blobs");
        make_dir(&blobs)?;
        // Under the store's lock: who deletes blobs has it, too, from looking to deleting.
        let _lock = self.lock()?;
        lock(&blobs, FlockArg::LockShared).map(Using)
    }

    /// Removes a name, or all names of an id; layers and blobs that nothing has any more are deleted.
    ///
    /// # Errors
    /// `RL0301` when there is no such image, `RL0308` when a container runs on it.
    pub fn remove(&self, text: &str, platform: Option<&Platform>) -> Result<Removed> {
        let staging = self.root.join("staging");
        let lock = self.lock()?;
        let mut condemned = Staging::orphans(&staging);
        let by_name = match self.meaning(text, platform) {
            Ok((reference, platform)) => self.named(&reference, platform.as_ref())?.map(|(file, _)| file),
            Err(_) => None,
        };
        let id = if by_name.is_none() { Some(self.document(text, platform)?.id) } else { None };
        let goes = |(file, document): &(String, Document)| {
            by_name.as_deref() == Some(file.as_str()) || id.as_ref() == Some(&document.id)
        };
        let (going, staying): (Vec<_>, Vec<_>) = self.documents()?.into_iter().partition(goes);
        let pins = self.pins()?;
        let unused = self.unused_layers(text, &going, &staying, &pins)?;
        for (file, _) in &going {
            let path = self.images().join(file);
            fs::remove_file(&path).context(&image::STORE, || format!("remove {}", path.display()))?;
        }
        // Before any layer goes: a document that came back after a power cut must find its layers.
        sync_dir(&self.images())?;
        for (layer, lock) in unused {
            condemned.push(Staging::condemn(&staging, &layer, lock)?);
        }
        self.delete_blobs(staying.iter().chain(&pins))?;
        drop(lock);
        drop(condemned);
        let (_, first) = going.first().ok_or_else(|| self.unknown(text))?;
        let last = !staying.iter().any(|(_, document)| document.id == first.id);
        let id = last.then(|| first.id.clone());
        Ok(Removed { names: going.into_iter().filter_map(|(_, document)| document.name).collect(), id })
    }

    /// The same, where nothing needs it; else it stays, which is no failure.
    ///
    /// # Errors
    /// What else keeps it from going.
    pub fn remove_unused(&self, text: &str) -> Result<()> {
        match self.remove(text, None) {
            Err(error) if [&image::IN_USE, &image::IMAGE_NOT_FOUND].contains(&error.entry()) => Ok(()),
            done => done.map(drop),
        }
    }

    /// Layers that no document needs, locked.
    fn unused_layers(
        &self,
        text: &str,
        going: &[(String, Document)],
        staying: &[(String, Document)],
        pins: &[(String, Document)],
    ) -> Result<Vec<(PathBuf, Flock<File>)>> {
        let has = |all: &[(String, Document)], name: &String| {
            all.iter().any(|(_, document)| document.layers.iter().any(|layer| layer.dir == *name))
        };
        let last = |id: &str| !staying.iter().any(|(_, document)| document.id == id);
        let user =
            pins.iter().find(|(_, pin)| last(&pin.id) && going.iter().any(|(_, document)| document.id == pin.id));
        if let Some((id, _)) = user {
            let short: String = id.chars().take(12).collect();
            return Err(Error::new(&image::IN_USE, format!("remove {text:?}: the container {short} was made of it"))
                .fix(format!("Remove the container first: rl rm {short}")));
        }
        let mut unused = Vec::new();
        let needed = |layer: &&String| has(staying, layer) || has(pins, layer);
        for layer in names_in(&self.root.join("layers"))?.iter().filter(|layer| !needed(layer)) {
            match try_lock(&self.layer(layer))? {
                Some(lock) => unused.push((self.layer(layer), lock)),
                None if has(going, layer) => {
                    return Err(Error::new(&image::IN_USE, format!("remove {text:?}: a container runs on it")));
                }
                // Garbage that a container still stands on, since its image's name was given to another.
                None => {}
            }
        }
        Ok(unused)
    }

    fn delete_blobs<'a>(&self, staying: impl Iterator<Item = &'a (String, Document)>) -> Result<()> {
        for digest in self.unused_blobs(staying.map(|(_, document)| document))? {
            let path = self.blobs.path(&digest);
            fs::remove_file(&path).context(&image::STORE, || format!("remove {}", path.display()))?;
        }
        Ok(())
    }

    /// Blobs that none of the documents names; none while an image is coming in: who removes one later finds them.
    /// Under the store's lock, which an image must take before it can come in.
    pub(in crate::image) fn unused_blobs<'a>(
        &self,
        documents: impl IntoIterator<Item = &'a Document>,
    ) -> Result<Vec<Digest>> {
        let blobs = self.root.join("blobs");
        if !blobs.exists() {
            return Ok(Vec::new());
        }
        let Some(_alone) = try_lock(&blobs)? else { return Ok(Vec::new()) };
        let needed: BTreeSet<Digest> =
            documents.into_iter().flat_map(|document| document.blobs().map(|blob| blob.digest.clone())).collect();
        let mut unused = Vec::new();
        for algorithm in names_in(&blobs)? {
            for hex in names_in(&blobs.join(&algorithm))? {
                unused.extend(format!("{algorithm}:{hex}").parse().ok().filter(|digest| !needed.contains(digest)));
            }
        }
        Ok(unused)
    }

    /// A fresh staging directory; what killed writers have left goes first.
    pub(in crate::image) fn stage(&self) -> Result<Staging> {
        let staging = self.root.join("staging");
        let lock = self.lock()?;
        let orphans = Staging::orphans(&staging);
        let made = Staging::make(&staging);
        drop(lock);
        drop(orphans);
        made
    }

    /// Puts what was staged into place and writes the image's document. The layers may be in memory only
    /// ([`Store::sync`]); all else is on the disk.
    pub(in crate::image) fn commit(&self, made: Made, document: &Document) -> Result<()> {
        let layers = self.root.join("layers");
        make_dir(&layers)?;
        make_dir(&self.images())?;
        let turn = self.lock()?;
        for (from, digest) in made.blobs {
            self.blobs.adopt(&from, &digest)?;
        }
        let mut condemned = Vec::new();
        for (from, name) in made.layers {
            let target = self.layer(&name);
            if target.exists() && written(&target)? == Written::Lost {
                let lock = lock(&target, FlockArg::LockExclusive)?;
                condemned.push(Staging::condemn(&self.root.join("staging"), &target, lock)?);
            }
            if !target.exists() {
                mark(&from)?;
                let doing = || format!("rename {} to {}", from.display(), target.display());
                fs::rename(&from, &target).context(&image::STORE, doing)?;
            }
        }
        if self.is_shared() {
            let own = document.layers.iter().map(|layer| self.layer(&layer.dir));
            own.chain([layers.clone(), self.images()]).try_for_each(|dir| open_up(&dir, 0o755))?;
        }
        sync_dir(&layers)?;
        self.write(document)?;
        // Deleting takes a while.
        drop(turn);
        drop(condemned);
        Ok(())
    }

    /// Makes it one that other users read, from now on.
    ///
    /// # Errors
    /// `RL0319` where it has images already, which were not meant for others.
    pub fn share(&self) -> Result<()> {
        if self.is_shared() {
            return Ok(());
        }
        let _lock = self.lock()?;
        if !self.documents()?.is_empty() {
            return Err(Error::new(&image::SHARE, format!("share {}", self.root.display()))
                .because("it has images that were not meant for others")
                .fix("Use a store of its own: rl --root DIR pull --shared IMAGE"));
        }
        let mark = self.root.join(SHARED_MARK);
        File::create(&mark).context(&image::STORE, || format!("make {}", mark.display()))?;
        open_up(&self.root, 0o755)
    }

    /// Gives the image of `text` one more name.
    ///
    /// # Errors
    /// `RL0301`, `RL0302`.
    pub fn tag(&self, text: &str, platform: Option<&Platform>, name: &Reference) -> Result<()> {
        let _lock = self.lock()?;
        let document = self.document(text, platform)?;
        self.write(&Document { name: Some(name.to_string()), ..document })
    }

    /// Under the lock. An image whose name goes to this one stays, without a name.
    fn write(&self, document: &Document) -> Result<()> {
        let file = document.file()?;
        let others = self.documents()?;
        let others = |id: &str| others.iter().filter(|(have, other)| *have != file && other.id == id).count();
        match self.read(&file)? {
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

    /// Refuses what can't fit.
    pub(in crate::image) fn check_room(&self, needed: u64) -> Result<()> {
        let doing = || format!("examine {}", self.root.display());
        let stat = nix::sys::statvfs::statvfs(&self.root).context(&image::STORE, doing)?;
        let free = stat.blocks_available().saturating_mul(stat.fragment_size());
        if needed <= free {
            return Ok(());
        }
        let megabytes = |bytes: u64| bytes / 1_000_000;
        let what = format!("unpack the image below {}", self.root.display());
        Err(Error::new(&image::NO_SPACE, what).because(format!(
            "it takes at least {} MB, and {} MB are free",
            megabytes(needed),
            megabytes(free)
        )))
    }

    /// One writer at a time.
    pub(in crate::image) fn lock(&self) -> Result<Flock<File>> {
        lock(&self.root, FlockArg::LockExclusive)
    }
}

fn lock(dir: &Path, how: FlockArg) -> Result<Flock<File>> {
    let file = File::open(dir).context(&image::STORE, || format!("open {}", dir.display()))?;
    let lock = Flock::lock(file, how).map_err(|(_, errno): (File, Errno)| errno);
    lock.context(&image::STORE, || format!("lock {}", dir.display()))
}

/// Lets other users read, whatever the umask.
fn open_up(path: &Path, mode: u32) -> Result<()> {
    let opened = fs::set_permissions(path, PermissionsExt::from_mode(mode));
    opened.context(&image::STORE, || format!("open {} to other users", path.display()))
}

/// Written beside, synced, renamed. Who may read it is the directory's to say.
fn replace(dir: &Path, file: &str, text: &[u8]) -> Result<()> {
    let (staged, target) = (dir.join(format!("{file}.new")), dir.join(file));
    let written = File::create(&staged).and_then(|mut new| new.write_all(text).and_then(|()| new.sync_all()));
    written.context(&image::STORE, || format!("write {}", staged.display()))?;
    open_up(&staged, 0o644)?;
    fs::rename(&staged, &target).context(&image::STORE, || format!("rename {}", staged.display()))?;
    sync_dir(dir)
}

fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).context(&image::STORE, || format!("sync {}", dir.display()))
}
