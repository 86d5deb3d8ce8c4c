//! Images into files: docker's archive, and OCI's layout as a directory or an archive.
//!
//! Owns what the formats look like. The surprise: docker's archive has its layers uncompressed, and a tar tells a member's
//! size before its content; so each is unpacked into a file without a name first.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::files::Content;
use super::layout::{IMAGE_NAME, REF_NAME, path};
use crate::error::{Context, Error, Result, catalog::image};
use crate::image::compression::{Compression, Stream};
use crate::image::digest::Digest;
use crate::image::manifest::{DOCKER_CONFIG, Descriptor, MOST_DOCUMENT_BYTES, Manifest, OCI_CONFIG, OCI_INDEX};
use crate::image::reference::Reference;
use crate::image::transport::{Destination, Progress};

/// What `rl save` makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One file, as `docker save` makes it.
    DockerArchive,
    /// One file, a tar of a layout.
    OciArchive,
    /// A directory: a layout.
    OciDirectory,
}

/// Files on their way out. What is not closed is no image.
pub struct Saved {
    format: Format,
    spool: PathBuf,
    state: Mutex<State>,
}

struct State {
    place: Place,
    /// Names of the members that are there.
    there: HashSet<PathBuf>,
    /// Of docker's layers, by the digests of the archives that they were: where they lie.
    layers: HashMap<Digest, String>,
    /// Of `manifest.json`, or of `index.json`.
    entries: Vec<Value>,
}

enum Place {
    Archive(tar::Builder<BufWriter<Box<dyn Write + Send>>>),
    Directory(PathBuf),
}

impl Saved {
    /// An archive that is written to `out` from its start to its end. `spool` is a directory for what must be unpacked.
    pub(super) fn archive(format: Format, out: Box<dyn Write + Send>, spool: PathBuf) -> Result<Self> {
        let mut builder = tar::Builder::new(BufWriter::with_capacity(1 << 18, out));
        // Without them skopeo makes them itself, and wants them to be root's.
        let directories: &[&str] = if format == Format::OciArchive { &["blobs/", "blobs/sha256/"] } else { &[] };
        for name in directories {
            let mut header = header(0, tar::EntryType::Directory);
            let written = builder.append_data(&mut header, name, io::empty());
            written.context(&image::SAVE, || format!("write {name}"))?;
        }
        Ok(Self::new(format, Place::Archive(builder), spool, Vec::new()))
    }

    /// A layout in a directory, which may have images already: they stay.
    pub(super) fn directory(dir: &Path, spool: PathBuf) -> Result<Self> {
        let doing = || format!("read the layout {}", dir.display());
        fs::create_dir_all(dir).context(&image::BAD_LAYOUT, || format!("make {}", dir.display()))?;
        let index = dir.join("index.json");
        let entries = match fs::metadata(&index) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let empty = fs::read_dir(dir).context(&image::BAD_LAYOUT, doing)?.next().is_none();
                if !empty {
                    return Err(Error::new(&image::BAD_LAYOUT, format!("save to {}", dir.display()))
                        .because("the directory has files, and is no layout")
                        .fix("Name an empty directory, or one that does not exist."));
                }
                Vec::new()
            }
            meta => {
                let size = meta.context(&image::BAD_LAYOUT, doing)?.len();
                if size > MOST_DOCUMENT_BYTES {
                    return Err(Error::new(&image::BAD_LAYOUT, doing()).because("its index is too large"));
                }
                let bytes = fs::read(&index).context(&image::BAD_LAYOUT, doing)?;
                let mut index: Value = serde_json::from_slice(&bytes).context(&image::BAD_LAYOUT, doing)?;
                serde_json::from_value(index["manifests"].take()).context(&image::BAD_LAYOUT, doing)?
            }
        };
        Ok(Self::new(Format::OciDirectory, Place::Directory(dir.to_owned()), spool, entries))
    }

    fn new(format: Format, place: Place, spool: PathBuf, entries: Vec<Value>) -> Self {
        let state = State { place, there: HashSet::new(), layers: HashMap::new(), entries };
        Self { format, spool, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what names the images, and with it they are there.
    pub(super) fn close(self) -> Result<()> {
        let mut state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let entries = std::mem::take(&mut state.entries);
        if self.format == Format::DockerArchive {
            state.document(Path::new("manifest.json"), &Value::from(entries))?;
        } else {
            state.document(Path::new("oci-layout"), &json!({ "imageLayoutVersion": "1.0.0" }))?;
            let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries });
            state.document(Path::new("index.json"), &index)?;
        }
        match state.place {
            Place::Archive(builder) => {
                let closed = builder.into_inner().and_then(|mut out| out.flush());
                closed.context(&image::SAVE, || "write the end of the archive".into())
            }
            Place::Directory(_) => Ok(()),
        }
    }
}

impl State {
    fn document(&mut self, name: &Path, value: &Value) -> Result<()> {
        let bytes = serde_json::to_vec(value).context(&image::SAVE, || format!("write {}", name.display()))?;
        self.file(name, bytes.len() as u64, &mut bytes.as_slice())
    }

    /// One file, once.
    fn file(&mut self, name: &Path, size: u64, content: &mut dyn Read) -> Result<()> {
        if !self.there.insert(name.to_owned()) {
            return Ok(());
        }
        let written = match &mut self.place {
            Place::Archive(builder) => builder.append_data(&mut header(size, tar::EntryType::Regular), name, content),
            Place::Directory(dir) => replace(&dir.join(name), content),
        };
        written.context(&image::SAVE, || format!("write {}", name.display()))
    }
}

/// The same image makes the same archive: nobody's time, nobody's id.
fn header(size: u64, kind: tar::EntryType) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_size(size);
    header.set_mode(if kind == tar::EntryType::Directory { 0o755 } else { 0o644 });
    header.set_mtime(0);
    header.set_entry_type(kind);
    header
}

/// Written beside, synced, renamed.
fn replace(path: &Path, content: &mut dyn Read) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir)?;
    let mut staged = tempfile::Builder::new().prefix(".").permissions(open_to_all()).tempfile_in(dir)?;
    io::copy(content, staged.as_file_mut())?;
    staged.as_file().sync_all()?;
    staged.persist(path).map_err(|error| error.error).map(drop)
}

/// What the umask leaves of it is what other programs' files have.
pub(super) fn open_to_all() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o666)
}

impl Destination for Saved {
    fn has(&self, descriptor: &Descriptor) -> Result<bool> {
        let state = self.state();
        Ok(match (&state.place, self.format) {
            (_, Format::DockerArchive) => state.layers.contains_key(&descriptor.digest),
            (Place::Directory(dir), _) => {
                fs::metadata(dir.join(path(&descriptor.digest))).is_ok_and(|meta| meta.len() == descriptor.size)
            }
            (Place::Archive(_), _) => state.there.contains(&path(&descriptor.digest)),
        })
    }

    fn put(&self, descriptor: &Descriptor, content: &Arc<File>, progress: &dyn Progress) -> Result<()> {
        let mut from = Content::new(Arc::clone(content), 0, descriptor.size).reader();
        if self.format != Format::DockerArchive {
            self.state().file(&path(&descriptor.digest), descriptor.size, &mut from)?;
        } else if [OCI_CONFIG, DOCKER_CONFIG].contains(&descriptor.media_type.as_str()) {
            let name = format!("{}.json", descriptor.digest.hex());
            self.state().file(Path::new(&name), descriptor.size, &mut from)?;
        } else {
            let doing = || format!("unpack the layer {}", descriptor.digest);
            let (mut file, diff_id) = plain(from, &self.spool).context(&image::SAVE, doing)?;
            let size = file.stream_position().context(&image::SAVE, doing)?;
            let name = format!("{}.tar", diff_id.hex());
            let mut state = self.state();
            state.file(Path::new(&name), size, &mut Content::new(Arc::new(file), 0, size).reader())?;
            state.layers.insert(descriptor.digest.clone(), name);
        }
        progress.blob(descriptor, descriptor.size);
        Ok(())
    }

    fn finish(&self, manifest: &Manifest, names: &[Reference]) -> Result<()> {
        let mut state = self.state();
        if self.format == Format::DockerArchive {
            let layers: Option<Vec<_>> =
                manifest.layers.iter().map(|layer| state.layers.get(&layer.digest).cloned()).collect();
            let layers = layers.ok_or_else(|| Error::new(&image::SAVE, "find the layers that were written"))?;
            let tags: Vec<_> = names.iter().map(Reference::canonical).collect();
            let config = format!("{}.json", manifest.config.digest.hex());
            state.entries.push(json!({ "Config": config, "RepoTags": tags, "Layers": layers }));
            return Ok(());
        }
        let size = manifest.bytes.len() as u64;
        state.file(&path(&manifest.digest), size, &mut manifest.bytes.as_slice())?;
        let mut described =
            json!({ "mediaType": manifest.media_type, "digest": manifest.digest.to_string(), "size": size });
        for name in names {
            let name = name.canonical();
            described["annotations"] = json!({ (REF_NAME): &name, (IMAGE_NAME): &name });
            // A name is one image's.
            state.entries.retain(|entry| entry["annotations"][REF_NAME] != name.as_str());
            state.entries.push(described.clone());
        }
        if names.is_empty() && !state.entries.iter().any(|entry| entry["digest"] == described["digest"]) {
            state.entries.push(described);
        }
        Ok(())
    }
}

/// The layer uncompressed, with its digest; positioned at its end.
fn plain(mut from: impl Read + Send + 'static, spool: &Path) -> io::Result<(File, Digest)> {
    let (compression, start) = Compression::of(&mut from)?;
    let mut stream = Stream::start(compression, start, from, None);
    let mut file = tempfile::tempfile_in(spool)?;
    io::copy(&mut stream, &mut file)?;
    Ok((file, stream.finish()?.diff_id))
}
