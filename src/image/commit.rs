//! What a container has written becomes a layer, and with its image's layers a new image.
//!
//! Owns the new configuration and the order: the layer into a file without a name, then a pull from here into the store itself, which finds
//! the layers below where they are. The surprise: the parent's configuration is changed as JSON and not through our own types, so that
//! what only docker knows (Healthcheck, OnBuild, Shell) stays in it.

use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::os::unix::fs::FileExt;

use flate2::{Compression, GzBuilder};
use oci_spec::image::Config;
use serde_json::{Value, json};

use super::digest::Digest;
use super::hashed::Hashed;
use super::manifest::{Descriptor, OCI_CONFIG, OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, Parsed, compose};
use super::platform::Platform;
use super::pull::{Pull, pull};
use super::reference::Reference;
use super::store::{Pin, Store};
use super::transport::{Quiet, Sink, Source};
use crate::error::{Context, Error, Result, catalog::image};

/// What is to be made.
#[derive(Debug)]
pub struct Commit<'a> {
    /// `None`: an image without a name.
    pub name: Option<&'a Reference>,
    /// What the container stands on; `None`: the layer is all of it.
    pub parent: Option<&'a Pin>,
    /// What its programs were made for, where there is no parent to say it.
    pub platform: &'a Platform,
    /// The parent's, changed.
    pub config: Config,
    /// `-a`.
    pub author: Option<&'a str>,
    /// `-m`.
    pub message: Option<&'a str>,
    /// The container's command.
    pub created_by: &'a str,
    /// Now, by RFC 3339.
    pub created: &'a str,
    /// Only one id is mapped: everything belongs to root.
    pub squash: bool,
}

/// The new layer: its archive, and its digest before it was compressed.
#[derive(Debug)]
struct Layer {
    file: File,
    blob: Descriptor,
    diff_id: Digest,
}

impl Pin {
    /// What the image's configuration says about containers.
    pub fn config(&self) -> Config {
        self.document.configuration.config().clone().unwrap_or_default()
    }
}

/// Writes an archive.
pub type WriteLayer<'a> = &'a mut dyn FnMut(&mut dyn Write) -> io::Result<()>;

/// Makes the image and gives its id. `layer` writes the archive of what was changed; without it only the configuration is new.
///
/// # Errors
/// What could not be read of the container, or written to the store.
pub fn commit(store: &Store, what: &Commit<'_>, layer: Option<WriteLayer<'_>>) -> Result<String> {
    let made = layer.map(|write| Layer::new(store, write)).transpose()?;
    let from = what.parent.map(|pin| Store::of_others(pin.store()));
    let mut layers = Vec::new();
    for layer in what.parent.iter().flat_map(|pin| &pin.document.layers) {
        layers.push(Descriptor { media_type: plain(&layer.blob.media_type), ..layer.blob.clone() });
    }
    layers.extend(made.as_ref().map(|layer| layer.blob.clone()));
    let text = configuration(what, from.as_ref(), made.as_ref())?;
    let config = Descriptor { media_type: OCI_CONFIG.into(), digest: Digest::of(&text), size: text.len() as u64 };
    let manifest = Parsed::Manifest(compose(config, layers)?);
    let platform = what.parent.map_or(what.platform, |pin| &pin.document.platform);
    let wanted = Pull { name: what.name, platform, strict: false, squash: what.squash };
    pull(store, &Here { manifest, config: text, layer: made, from }, &wanted, &Quiet).map(|pulled| pulled.id)
}

impl Layer {
    fn new(store: &Store, write: WriteLayer<'_>) -> Result<Self> {
        let doing = || "write the container's layer".to_owned();
        let out = Hashed::new(store.nameless()?);
        // Always the same bytes for the same files: no name, no time.
        let archive = Hashed::new(GzBuilder::new().write(out, Compression::fast()));
        let mut archive = BufWriter::with_capacity(1 << 18, archive);
        write(&mut archive).context(&image::STORE, doing)?;
        let archive = archive.into_inner().map_err(io::IntoInnerError::into_error).context(&image::STORE, doing)?;
        let (encoder, diff_id, _) = archive.finish();
        let (mut file, digest, size) = encoder.finish().context(&image::STORE, doing)?.finish();
        file.rewind().context(&image::STORE, doing)?;
        let blob = Descriptor { media_type: OCI_LAYER_GZIP.into(), digest, size };
        Ok(Self { file, blob, diff_id })
    }
}

/// Docker's name for the same bytes would be wrong in a manifest of OCI's.
fn plain(media_type: &str) -> String {
    let kind = match media_type {
        _ if media_type.starts_with("application/vnd.oci.") => media_type,
        _ if media_type.ends_with("gzip") => OCI_LAYER_GZIP,
        _ if media_type.ends_with("zstd") => OCI_LAYER_ZSTD,
        _ => OCI_LAYER,
    };
    kind.to_owned()
}

/// As the parent's bytes have it, with what is new.
fn configuration(what: &Commit<'_>, from: Option<&Store>, layer: Option<&Layer>) -> Result<Vec<u8>> {
    let doing = || "write the image's configuration".to_owned();
    let mut document = match (what.parent, from) {
        (Some(pin), Some(from)) => match from.blobs().read(&pin.document.config)? {
            Some(bytes) => serde_json::from_slice(&bytes).context(&image::STORE, doing)?,
            None => serde_json::to_value(&pin.document.configuration).context(&image::STORE, doing)?,
        },
        _ => {
            let Platform { os, architecture, variant } = what.platform;
            let mut new = json!({ "os": os, "architecture": architecture, "rootfs": { "type": "layers" } });
            if let Some(variant) = variant {
                new["variant"] = json!(variant);
            }
            new
        }
    };
    let top = document.as_object_mut().ok_or_else(|| Error::new(&image::STORE, doing()).because("it is no object"))?;
    // Of the container in which docker made the parent.
    ["container", "container_config", "id", "parent"].iter().for_each(|name| drop(top.remove(*name)));
    top.insert("created".into(), json!(what.created));
    if let Some(author) = what.author {
        top.insert("author".into(), json!(author));
    }
    let config = top.entry("config").or_insert_with(|| json!({}));
    if !config.is_object() {
        *config = json!({});
    }
    for name in ["User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal"] {
        config.as_object_mut().into_iter().for_each(|config| drop(config.remove(name)));
    }
    let own = serde_json::to_value(&what.config).context(&image::STORE, doing)?;
    for (name, value) in own.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        config[name] = value.clone();
    }
    let mut step = json!({ "created": what.created, "created_by": what.created_by });
    for (name, text) in [("author", what.author), ("comment", what.message)] {
        if let Some(text) = text {
            step[name] = json!(text);
        }
    }
    if layer.is_none() {
        step["empty_layer"] = json!(true);
    }
    push(&mut document, "/history", step);
    if let Some(layer) = layer {
        push(&mut document, "/rootfs/diff_ids", json!(layer.diff_id.to_string()));
    }
    serde_json::to_vec(&document).context(&image::STORE, doing)
}

/// Behind the others, if there are others.
fn push(document: &mut Value, pointer: &str, value: Value) {
    if let Some(Value::Array(all)) = document.pointer_mut(pointer) {
        return all.push(value);
    }
    let (parent, name) = pointer.rsplit_once('/').unwrap_or(("", pointer));
    if let Some(Value::Object(parent)) = document.pointer_mut(parent) {
        parent.insert(name.to_owned(), json!([value]));
    }
}

/// The image, as if it came from somewhere.
struct Here {
    manifest: Parsed,
    config: Vec<u8>,
    layer: Option<Layer>,
    /// The store that has the layers below; it may be another than the one into which this goes.
    from: Option<Store>,
}

impl Source for Here {
    fn resolve(&self) -> Result<Parsed> {
        Ok(self.manifest.clone())
    }

    fn document(&self, _: &Descriptor) -> Result<Vec<u8>> {
        Ok(self.config.clone())
    }

    fn blob(&self, descriptor: &Descriptor, sink: &mut dyn Sink) -> Result<()> {
        let doing = || format!("copy the layer {}", descriptor.digest);
        let below;
        let file = match (&self.layer, &self.from) {
            (Some(layer), _) if layer.blob.digest == descriptor.digest => &layer.file,
            (_, Some(from)) => {
                let found = from.blobs().open(descriptor)?;
                below = found.ok_or_else(|| {
                    Error::new(&image::STORE, doing()).because("its archive is gone").fix("Pull the image again.")
                })?;
                &below
            }
            _ => return Err(Error::new(&image::STORE, doing())),
        };
        let mut buffer = vec![0; 1 << 18];
        loop {
            let count = file.read_at(&mut buffer, sink.position()).context(&image::STORE, doing)?;
            if count == 0 {
                return Ok(());
            }
            sink.write(&buffer[..count]).context(&image::STORE, doing)?;
        }
    }
}
