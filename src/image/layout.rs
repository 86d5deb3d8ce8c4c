//! An OCI image layout in a directory (image specification, "Image Layout"), as a source.
//!
//! Owns finding the image that a name means and opening blobs. The surprise: the directory may be anybody's making, so
//! every path in it is opened beneath it, through no link, and only regular files are read.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use serde::Deserialize;
use serde_json::Value;

use super::beneath::open_beneath;
use super::digest::Digest;
use super::manifest::{Descriptor, MOST_DOCUMENT_BYTES, Parsed, parse};
use super::transport::{Sink, Source};
use crate::error::{Context, Error, Result, catalog::image};

/// Where a layout says what its images are called: the specification's place, and containerd's.
const NAMES: [&str; 2] = ["org.opencontainers.image.ref.name", "io.containerd.image.name"];

/// One image of a layout.
#[derive(Debug)]
pub struct Layout {
    path: PathBuf,
    root: OwnedFd,
    chosen: Descriptor,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(flatten)]
    descriptor: Descriptor,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

impl Layout {
    /// The image called `name`, or the only one.
    ///
    /// # Errors
    /// `RL0316`: no layout, no such image, or several where none was named.
    pub fn open(path: &Path, name: Option<&str>) -> Result<Self> {
        let doing = || format!("read the layout {}", path.display());
        let root: OwnedFd = File::open(path).context(&image::BAD_LAYOUT, doing)?.into();
        let mut layout = Self { path: path.to_owned(), root, chosen: nothing() };
        let version: Value = layout.json("oci-layout")?;
        if version.get("imageLayoutVersion").and_then(Value::as_str) != Some("1.0.0") {
            return Err(Error::new(&image::BAD_LAYOUT, doing()).because("its version is not 1.0.0"));
        }
        let mut index: Value = layout.json("index.json")?;
        let entries = index.get_mut("manifests").map(Value::take).unwrap_or_default();
        let entries: Vec<Entry> = serde_json::from_value(entries).context(&image::BAD_LAYOUT, doing)?;
        layout.chosen = choose(entries, name).map_err(|error| error.within(&path.display().to_string()))?;
        Ok(layout)
    }

    fn json(&self, file: &str) -> Result<Value> {
        let bytes = self.read(Path::new(file), MOST_DOCUMENT_BYTES)?;
        serde_json::from_slice(&bytes)
            .context(&image::BAD_LAYOUT, || format!("understand {}", self.shown(Path::new(file))))
    }

    fn shown(&self, file: &Path) -> String {
        self.path.join(file).display().to_string()
    }

    fn file(&self, file: &Path) -> Result<File> {
        let doing = || format!("open {}", self.shown(file));
        // O_NONBLOCK: a fifo in its place must not be waited for.
        let opened = open_beneath(self.root.as_fd(), file, OFlag::O_RDONLY | OFlag::O_NONBLOCK);
        let opened = File::from(opened.context(&image::BAD_LAYOUT, doing)?);
        if opened.metadata().context(&image::BAD_LAYOUT, doing)?.is_file() {
            return Ok(opened);
        }
        Err(Error::new(&image::BAD_LAYOUT, doing()).because("it is no regular file"))
    }

    fn read(&self, file: &Path, most: u64) -> Result<Vec<u8>> {
        let doing = || format!("read {}", self.shown(file));
        let mut bytes = Vec::new();
        self.file(file)?.take(most + 1).read_to_end(&mut bytes).context(&image::BAD_LAYOUT, doing)?;
        if bytes.len() as u64 > most {
            return Err(Error::new(&image::BAD_LAYOUT, doing()).because(format!("it has more than {most} bytes")));
        }
        Ok(bytes)
    }
}

fn nothing() -> Descriptor {
    Descriptor { media_type: String::new(), digest: Digest::of(b""), size: 0 }
}

fn choose(entries: Vec<Entry>, name: Option<&str>) -> Result<Descriptor> {
    let names = |entry: &Entry| NAMES.iter().filter_map(|key| entry.annotations.get(*key)).cloned().collect::<Vec<_>>();
    let all: Vec<_> = entries.iter().flat_map(names).collect();
    let list = || Error::new(&image::BAD_LAYOUT, "choose an image").fix(format!("Name one of: {}", all.join(", ")));
    let mut fitting = entries.iter().filter(|entry| name.is_none_or(|name| names(entry).iter().any(|own| own == name)));
    match (fitting.next(), fitting.next()) {
        (Some(one), None) => Ok(one.descriptor.clone()),
        (None, _) if name.is_some() => Err(list().because(format!("none is called {:?}", name.unwrap_or_default()))),
        (None, _) => Err(Error::new(&image::BAD_LAYOUT, "choose an image").because("there is none")),
        (Some(_), Some(_)) => Err(list().because("there are several")),
    }
}

impl Source for Layout {
    fn resolve(&self) -> Result<Parsed> {
        parse(&self.document(&self.chosen)?, Some(&self.chosen.media_type))
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let bytes = self.read(&path(&descriptor.digest), MOST_DOCUMENT_BYTES)?;
        if Digest::of_kind(&descriptor.digest, &bytes) == descriptor.digest {
            return Ok(bytes);
        }
        Err(Error::new(&image::WRONG_CONTENT, format!("read {}", self.shown(&path(&descriptor.digest)))))
    }

    fn blob(&self, descriptor: &Descriptor, sink: &mut dyn Sink) -> Result<()> {
        let file = path(&descriptor.digest);
        let doing = || format!("copy {}", self.shown(&file));
        let mut from = self.file(&file)?;
        from.seek(SeekFrom::Start(sink.position())).context(&image::BAD_LAYOUT, doing)?;
        let mut buffer = vec![0; 1 << 18];
        loop {
            match from.read(&mut buffer).context(&image::BAD_LAYOUT, doing)? {
                0 => return Ok(()),
                count => sink.write(&buffer[..count]).context(&image::WRONG_CONTENT, doing)?,
            }
        }
    }
}

fn path(digest: &Digest) -> PathBuf {
    Path::new("blobs").join(digest.algorithm()).join(digest.hex())
}
