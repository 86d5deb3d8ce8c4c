//! Where images come from and go to: what the user typed, and what the two ends of every transfer can do.
//!
//! Owns the words (`docker://`, `docker-archive:`, `oci-archive:`, `oci:`) and the traits; a registry, an archive and a layout
//! each are one. No effects here. The surprise: a source writes into a [`Sink`] that may have begun already, because a download
//! that was cut off goes on where it ended, in a later process, too.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::manifest::{Descriptor, Index, Manifest, Parsed};
use super::platform::Platform;
use super::reference::Reference;
use crate::error::{Error, Result, catalog::image};

/// A place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// `docker://REFERENCE`, or a plain reference.
    Registry(Reference),
    /// `docker-archive:FILE[:REFERENCE]`: what `docker save` makes.
    DockerArchive(PathBuf, Option<Reference>),
    /// `oci-archive:FILE[:NAME]`: a tar of a layout.
    OciArchive(PathBuf, Option<String>),
    /// `oci:DIR[:NAME]`: a layout (the image specification's "Image Layout").
    OciDirectory(PathBuf, Option<String>),
}

impl Location {
    /// Reads the word.
    ///
    /// # Errors
    /// `RL0302` for what is neither.
    pub fn parse(text: &str) -> Result<Self> {
        if let Some(reference) = text.strip_prefix("docker://") {
            return Reference::parse(reference).map(Self::Registry);
        }
        let Some((transport, rest)) = text.split_once(':') else {
            return Reference::parse(text).map(Self::Registry);
        };
        // A file's name may hold a colon only where a path must (containers-transports(5) has the same rule).
        let (path, name) = rest.split_once(':').map_or((rest, None), |(path, name)| (path, Some(name.to_owned())));
        if !matches!(transport, "docker-archive" | "oci-archive" | "oci") {
            return Reference::parse(text).map(Self::Registry);
        }
        if path.is_empty() {
            let error = Error::new(&image::BAD_NAME, format!("{text:?}")).because(format!("{transport}: needs a path"));
            return Err(error.fix(format!("For example: {transport}:/tmp/image")));
        }
        let path = PathBuf::from(path);
        Ok(match transport {
            "docker-archive" => Self::DockerArchive(path, name.as_deref().map(Reference::parse).transpose()?),
            "oci-archive" => Self::OciArchive(path, name),
            _ => Self::OciDirectory(path, name),
        })
    }
}

/// Where an image comes from. Shared by several downloading threads.
pub trait Source: Sync {
    /// What the source's name led to.
    ///
    /// # Errors
    /// What was asked, and what answered.
    fn resolve(&self) -> Result<Parsed>;

    /// The document that an index names, verified against its digest.
    ///
    /// # Errors
    /// As [`Source::resolve`]; `RL0314` for other bytes than the digest's.
    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>>;

    /// The content, from `sink.position()` on. The sink verifies it.
    ///
    /// # Errors
    /// When it is not there, or can't be had after all retries.
    fn blob(&self, descriptor: &Descriptor, sink: &mut dyn Sink) -> Result<()>;

    /// The one image for `platform` of what the source has.
    ///
    /// # Errors
    /// As the others, and `RL0313` where there is none for it.
    fn manifest(&self, platform: &Platform) -> Result<Manifest> {
        match self.resolve()? {
            Parsed::Manifest(manifest) => Ok(manifest),
            Parsed::Index(index) => self.of_index(&index, platform),
        }
    }

    /// As [`Source::manifest`], when the index is there already.
    ///
    /// # Errors
    /// As [`Source::manifest`].
    fn of_index(&self, index: &Index, platform: &Platform) -> Result<Manifest> {
        let mut index = index.clone();
        // An index may lead to another (the image specification allows it); two levels exist in practice.
        for _ in 0..3 {
            let chosen = index.choose(platform)?;
            let bytes = self.document(chosen)?;
            match super::manifest::parse(&bytes, Some(&chosen.media_type))? {
                Parsed::Manifest(manifest) => return Ok(manifest),
                Parsed::Index(inner) => index = inner,
            }
        }
        Err(Error::new(&image::BAD_MANIFEST, "find the image in its index").because("indexes lead to indexes"))
    }
}

/// Where the bytes of a blob go.
pub trait Sink {
    /// How many there are already; the next ones are written behind them.
    fn position(&self) -> u64;

    /// More.
    ///
    /// # Errors
    /// The disk's, or that there are more bytes than the blob has.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// The source can't go on where the bytes end: from the start.
    ///
    /// # Errors
    /// The disk's.
    fn restart(&mut self) -> io::Result<()>;
}

/// Where an image goes. Shared by the threads that bring its blobs.
pub trait Destination: Sync {
    /// How many blobs it takes at a time.
    fn side_by_side(&self) -> usize {
        1
    }

    /// Layers should come compressed.
    fn wants_compressed(&self) -> bool {
        false
    }

    /// Whether it has the content, or could take it from another of its images.
    ///
    /// # Errors
    /// What was asked, and what answered.
    fn has(&self, descriptor: &Descriptor) -> Result<bool>;

    /// The content, which is the whole of a file.
    ///
    /// # Errors
    /// When it can't be stored there.
    fn put(&self, descriptor: &Descriptor, content: &Arc<File>, progress: &dyn Progress) -> Result<()>;

    /// The manifest: with it the image is there. The content that it names has been put.
    ///
    /// # Errors
    /// When it can't be stored there.
    fn finish(&self, manifest: &Manifest, names: &[Reference]) -> Result<()>;
}

/// What a person may watch. All calls come from several threads.
pub trait Progress: Sync {
    /// `done` of `total` bytes of a blob are there.
    fn blob(&self, descriptor: &Descriptor, done: u64);
    /// It was there already.
    fn exists(&self, descriptor: &Descriptor);
    /// A layer is being unpacked, or has been.
    fn unpacked(&self, descriptor: &Descriptor, finished: bool);
}

/// Nobody watches.
#[derive(Debug, Clone, Copy)]
pub struct Quiet;

impl Progress for Quiet {
    fn blob(&self, _: &Descriptor, _: u64) {}
    fn exists(&self, _: &Descriptor) {}
    fn unpacked(&self, _: &Descriptor, _: bool) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transports_of_skopeo_are_known() {
        let reference = |text| Reference::parse(text).expect("a reference");
        for (text, location) in [
            ("busybox:1", Location::Registry(reference("busybox:1"))),
            ("localhost:5000/x", Location::Registry(reference("localhost:5000/x"))),
            ("docker://localhost:5000/x", Location::Registry(reference("localhost:5000/x"))),
            ("docker-archive:/a.tar", Location::DockerArchive("/a.tar".into(), None)),
            ("docker-archive:a.tar:x:1", Location::DockerArchive("a.tar".into(), Some(reference("x:1")))),
            ("oci-archive:a.tar:v1", Location::OciArchive("a.tar".into(), Some("v1".into()))),
            ("oci:/dir", Location::OciDirectory("/dir".into(), None)),
        ] {
            assert_eq!(Location::parse(text).expect(text), location);
        }
        for bad in ["oci:", "docker-archive::x", "docker://", "containers-storage:x/Y", "dir:/x"] {
            assert!(Location::parse(bad).is_err(), "{bad}");
        }
    }
}
