//! `rl import`: an archive of a root file system becomes an image with one layer.
//!
//! Owns the order: stage, decompress and apply side by side, commit. On any failure the staging directory goes and the
//! store is as it was. The surprise: a layer unpacked with one id is not the layer of the same digest unpacked with all
//! of them.

use std::fs::File;
use std::io::Read;

use oci_spec::image::{Arch, Config, HistoryBuilder, ImageConfiguration, ImageConfigurationBuilder, Os, RootFsBuilder};

use super::apply::{Style, Summary};
use super::digest::Digest;
use super::document::{Document, Layer};
use super::manifest::{Descriptor, OCI_CONFIG};
use super::platform::Platform;
use super::publish::SHARED;
use super::reference::Reference;
use super::store::{About, Made, Store};
use super::unpack::{ROOTS, unpack};
use crate::error::{Context, Error, Result, catalog::image};

/// What is to be made of the archive.
#[derive(Debug)]
pub struct Import {
    /// `None`: an image without a name.
    pub name: Option<Reference>,
    /// What its programs were made for.
    pub platform: Platform,
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
pub fn import(store: &Store, input: impl Read + Send + 'static, options: &Import) -> Result<(String, Summary)> {
    let using = store.using()?;
    let staging = store.stage()?;
    let (layer, kept) = (staging.dir.join("layer"), staging.dir.join("blob"));
    let blob = File::create_new(&kept).context(&image::STORE, || format!("make {}", kept.display()))?;
    let (finished, summary) = unpack(input, &layer, Style::Flat, store.how(options.squash)?, Some(blob))?;
    if summary.entries == 0 {
        return Err(Error::new(&image::BAD_ARCHIVE, "the archive is empty"));
    }
    let blob = finished.kept.ok_or_else(|| Error::new(&image::STORE, "keep the archive"))?;
    let diff_id = finished.diff_id;
    let configuration = configuration(&diff_id, options)?;
    let text =
        serde_json::to_vec(&configuration).context(&image::STORE, || "write the image's configuration".into())?;
    let config = Descriptor { media_type: OCI_CONFIG.into(), digest: Digest::of(&text), size: text.len() as u64 };
    store.blobs().write(&config.digest, &text)?;
    let suffix = match (store.is_shared(), summary.squashed > 0) {
        (true, _) => SHARED,
        (false, true) => ROOTS,
        (false, false) => "",
    };
    let entry = Layer { dir: format!("{}{suffix}", diff_id.hex()), diff_id, blob, size: summary.bytes, opaque: false };
    About::of(&entry).write(&layer)?;
    let made = Made { layers: vec![(layer, entry.dir.clone())], blobs: vec![(kept, entry.blob.digest.clone())] };
    let document = Document::new(options.name.as_ref(), vec![entry], None, config, configuration);
    store.commit(made, &document)?;
    drop(staging);
    drop(using);
    Ok((document.id, summary))
}

fn configuration(diff_id: &Digest, options: &Import) -> Result<ImageConfiguration> {
    let doing = || "make the image's configuration".to_owned();
    let rootfs = RootFsBuilder::default().typ("layers").diff_ids([diff_id.to_string()]).build();
    let history =
        HistoryBuilder::default().comment(options.message.clone().unwrap_or_else(|| "imported".into())).build();
    let platform = &options.platform;
    let mut builder = ImageConfigurationBuilder::default()
        .architecture(Arch::from(platform.architecture.as_str()))
        .os(Os::from(platform.os.as_str()))
        .config(options.config.clone())
        .rootfs(rootfs.context(&image::STORE, doing)?)
        .history([history.context(&image::STORE, doing)?]);
    if let Some(variant) = &platform.variant {
        builder = builder.variant(variant.clone());
    }
    builder.build().context(&image::STORE, doing)
}
