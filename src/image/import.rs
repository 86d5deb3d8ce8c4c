//! `rl import`: an archive of a root file system becomes an image with one layer.
//!
//! Owns the order: stage, decompress and apply side by side, commit. On any failure the staging directory goes and the
//! store is as it was. The surprise: a layer unpacked with one id is not the layer of the same digest unpacked with all
//! of them.

use std::io::{self, Read};
use std::os::fd::OwnedFd;

use oci_spec::image::{Arch, Config, HistoryBuilder, ImageConfiguration, ImageConfigurationBuilder, Os, RootFsBuilder};
use sha2::{Digest, Sha256};

use super::apply::{Applier, Summary};
use super::compression::{Compression, Stream};
use super::document::Document;
use super::reference::Reference;
use super::staging::make_dir;
use super::store::Store;
use crate::error::{Context, Error, Result, catalog::image};

/// What is to be made of the archive.
#[derive(Debug, Default)]
pub struct Import {
    /// `None`: an image without a name.
    pub name: Option<Reference>,
    /// What `--change` says.
    pub config: Config,
    /// `--message`.
    pub message: Option<String>,
    /// Only one id is mapped: everything belongs to root.
    pub squash: bool,
}

/// Reads the archive to its end and gives the image's id. All threads have ended when it returns.
///
/// # Errors
/// What was wrong with which entry; nothing is left behind.
pub fn import(store: &Store, mut input: impl Read + Send + 'static, options: &Import) -> Result<(String, Summary)> {
    let staging = store.stage()?;
    let diff = staging.dir.join("layer/diff");
    make_dir(&diff)?;
    let start = first_bytes(&mut input).context(&image::BAD_ARCHIVE, || "read the archive".into())?;
    let compression = Compression::detect(&start).map_err(|what| {
        Error::new(&image::BAD_ARCHIVE, format!("the archive is compressed with {what}"))
            .fix("Give a plain tar, or one with gzip, zstd or xz.")
    })?;
    let mut stream = Stream::start(compression, start, input);
    let root: OwnedFd =
        std::fs::File::open(&diff).context(&image::STORE, || format!("open {}", diff.display()))?.into();
    let mode = nix::sys::stat::Mode::from_bits_truncate(0o755);
    nix::sys::stat::fchmod(&root, mode).context(&image::STORE, || format!("open up {}", diff.display()))?;
    let summary = Applier::new(root, options.squash).apply(&mut stream)?;
    let digest = stream.finish().context(&image::BAD_ARCHIVE, || "read the archive".into())?;
    if summary.entries == 0 {
        return Err(Error::new(&image::BAD_ARCHIVE, "the archive is empty"));
    }
    let config = configuration(&digest, options)?;
    let text = serde_json::to_vec(&config).context(&image::STORE, || "write the image's configuration".into())?;
    let id: String = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
    let layer = if summary.squashed > 0 { format!("{digest}.root") } else { digest };
    store.commit(&staging, &Document::new(id.clone(), options.name.as_ref(), summary.bytes, layer, config))?;
    Ok((id, summary))
}

/// Enough to recognise a compression; fewer where there are no more.
fn first_bytes(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    input.take(6).read_to_end(&mut start)?;
    Ok(start)
}

fn configuration(digest: &str, options: &Import) -> Result<ImageConfiguration> {
    let made = |what: Result<ImageConfiguration, oci_spec::OciSpecError>| {
        what.context(&image::STORE, || "make the image's configuration".into())
    };
    let rootfs = RootFsBuilder::default().typ("layers").diff_ids([format!("sha256:{digest}")]).build();
    let rootfs = rootfs.context(&image::STORE, || "make the image's configuration".into())?;
    let history =
        HistoryBuilder::default().comment(options.message.clone().unwrap_or_else(|| "imported".into())).build();
    let history = history.context(&image::STORE, || "make the image's configuration".into())?;
    made(
        ImageConfigurationBuilder::default()
            .architecture(Arch::default())
            .os(Os::Linux)
            .config(options.config.clone())
            .rootfs(rootfs)
            .history([history])
            .build(),
    )
}
