//! Manifests and indexes: from bytes of anybody's making to one of two shapes.
//!
//! Pure. The only parser of manifests: registries, archives and the store itself go through it. Owns the media types, OCI's and
//! docker's. The surprise: the bytes say what they are in up to three places (the transport's content type, `mediaType`, the
//! fields), and all must agree, or two readers would see two images in one digest (CVE-2021-41190).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::digest::Digest;
use super::platform::Platform;
use crate::error::{Error, Result, catalog::image};

/// Bytes of a manifest, an index or a configuration. Registries have 4 MiB as their bound, too.
pub const MOST_DOCUMENT_BYTES: u64 = 4 << 20;
/// Layers of an image. An overlay takes 500 of them, and docker makes at most 127.
const MOST_LAYERS: usize = 500;

/// OCI's and docker's manifest types, for Accept.
pub const ACCEPTED: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST];
/// An image for one platform.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An image for several platforms.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Docker's schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's schema 2, of several platforms.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// The configuration of an image.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The same, docker's.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// A layer.
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// A layer, compressed.
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// A layer, compressed.
pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// Content that a document names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// Its name.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
}

/// An image for one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The very bytes, of which `digest` is the digest.
    pub bytes: Vec<u8>,
    /// What it is.
    pub media_type: String,
    /// Its name.
    pub digest: Digest,
    /// The configuration.
    pub config: Descriptor,
    /// Lowest first.
    pub layers: Vec<Descriptor>,
}

/// An image for several platforms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Manifests and, for those that name one, their platforms.
    pub manifests: Vec<(Descriptor, Option<Platform>)>,
}

/// What a reference led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// One platform.
    Manifest(Manifest),
    /// Several.
    Index(Index),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDescriptor {
    media_type: String,
    digest: String,
    size: u64,
    platform: Option<RawPlatform>,
}

#[derive(Deserialize)]
struct RawPlatform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

#[derive(Deserialize)]
struct RawManifest {
    config: RawDescriptor,
    layers: Vec<RawDescriptor>,
}

#[derive(Deserialize)]
struct RawIndex {
    manifests: Vec<RawDescriptor>,
}

fn bad(why: impl Into<String>) -> Error {
    Error::new(&image::BAD_MANIFEST, "understand the image's manifest").because(why.into())
}

/// Understands `bytes`; `content_type` is what the transport called them, where it says so.
///
/// # Errors
/// `RL0312`: too large, ambiguous, of another kind, or with a digest or size that is none.
pub fn parse(bytes: &[u8], content_type: Option<&str>) -> Result<Parsed> {
    if bytes.len() as u64 > MOST_DOCUMENT_BYTES {
        return Err(bad(format!("it has {} bytes; at most {MOST_DOCUMENT_BYTES} are taken", bytes.len())));
    }
    let value: Value = serde_json::from_slice(bytes).map_err(|error| bad(no_json(bytes, &error)))?;
    let media_type = media_type(&value, content_type)?;
    let manifest = matches!(media_type.as_str(), OCI_MANIFEST | DOCKER_MANIFEST);
    let foreign = if manifest { "manifests" } else { "layers" };
    if value.get(foreign).is_some() || value.get("fsLayers").is_some() {
        return Err(bad("it can be understood both as a manifest and as an index (CVE-2021-41190)"));
    }
    if !manifest {
        let raw: RawIndex = serde_json::from_value(value).map_err(|error| bad(error.to_string()))?;
        let manifests = raw.manifests.into_iter().map(|raw| {
            let platform = raw.platform.as_ref();
            let platform = platform.map(|raw| Platform::new(&raw.os, &raw.architecture, raw.variant.as_deref()));
            Ok((descriptor(raw)?, platform))
        });
        return Ok(Parsed::Index(Index { manifests: manifests.collect::<Result<_>>()? }));
    }
    let raw: RawManifest = serde_json::from_value(value).map_err(|error| bad(error.to_string()))?;
    if raw.layers.len() > MOST_LAYERS {
        return Err(bad(format!("it has {} layers; at most {MOST_LAYERS} are taken", raw.layers.len())));
    }
    let config = descriptor(raw.config)?;
    if ![OCI_CONFIG, DOCKER_CONFIG].contains(&config.media_type.as_str()) {
        return Err(bad(format!("its configuration is {}: this is no container image", config.media_type)));
    }
    if config.size > MOST_DOCUMENT_BYTES {
        return Err(bad(format!(
            "its configuration has {} bytes; at most {MOST_DOCUMENT_BYTES} are taken",
            config.size
        )));
    }
    let layers = raw.layers.into_iter().map(descriptor).collect::<Result<Vec<_>>>()?;
    if let Some(layer) = layers.iter().find(|layer| !is_layer(&layer.media_type)) {
        return Err(bad(format!("a layer is {}, which is none of a container image", layer.media_type)));
    }
    Ok(Parsed::Manifest(Manifest { digest: Digest::of(bytes), bytes: bytes.to_vec(), media_type, config, layers }))
}

/// The manifest of an image that has none yet: one that was imported, or came from a docker archive.
///
/// # Errors
/// `RL0312` for what could not be read back.
pub fn compose(config: Descriptor, layers: Vec<Descriptor>) -> Result<Manifest> {
    let document = serde_json::json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers,
    });
    match parse(document.to_string().as_bytes(), Some(OCI_MANIFEST))? {
        Parsed::Manifest(manifest) => Ok(manifest),
        Parsed::Index(_) => Err(bad("it is an index")),
    }
}

/// A registry that answers with a page for people is the common case (a proxy's login, a wrong port).
fn no_json(bytes: &[u8], error: &serde_json::Error) -> String {
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).trim_start().to_ascii_lowercase();
    if start.starts_with("<!doctype") || start.starts_with("<html") {
        return "it is a web page: this address is no registry, or something between answers in its place".into();
    }
    format!("it is no JSON: {error}")
}

fn media_type(value: &Value, content_type: Option<&str>) -> Result<String> {
    // Behind a semicolon is the character set, which JSON does not have.
    let plain = |text: &str| text.split(';').next().unwrap_or_default().trim().to_owned();
    let transport = content_type.map(plain).filter(|text| ACCEPTED.contains(&text.as_str()));
    let own = value.get("mediaType").and_then(Value::as_str);
    if value.get("schemaVersion").and_then(Value::as_u64) == Some(1) {
        return Err(bad(
            "it is of docker's schema 1, which nobody has written since 2017 and which has no digests of its layers",
        )
        .fix("Have the image pushed again with a tool of this decade."));
    }
    match (own, transport) {
        (Some(own), Some(transport)) if own != transport => {
            Err(bad(format!("the registry calls it {transport}, itself it says {own}")))
        }
        (Some(own), _) if ACCEPTED.contains(&own) => Ok(own.to_owned()),
        (Some(own), _) => Err(bad(format!("it is {own:?}, which is no image"))),
        (None, Some(transport)) => Ok(transport),
        // OCI layouts of old have neither; the fields decide, and only one of the two may be there.
        (None, None) if value.get("manifests").is_some() => Ok(OCI_INDEX.into()),
        (None, None) if value.get("config").is_some() => Ok(OCI_MANIFEST.into()),
        (None, None) => Err(bad("it is neither a manifest nor an index")),
    }
}

fn descriptor(raw: RawDescriptor) -> Result<Descriptor> {
    let digest = raw.digest.parse().map_err(bad_digest)?;
    // Offsets in files are signed.
    i64::try_from(raw.size).map_err(|_| bad(format!("a size of {} bytes", raw.size)))?;
    Ok(Descriptor { media_type: raw.media_type, digest, size: raw.size })
}

fn bad_digest(error: Error) -> Error {
    bad(error.summary())
}

/// Foreign and non-distributable layers are ordinary content for us: what their `urls` say is never fetched (CVE-2020-15157).
fn is_layer(media_type: &str) -> bool {
    let oci = media_type
        .strip_prefix("application/vnd.oci.image.layer.v1.")
        .or_else(|| media_type.strip_prefix("application/vnd.oci.image.layer.nondistributable.v1."));
    let docker = media_type
        .strip_prefix("application/vnd.docker.image.rootfs.diff.")
        .or_else(|| media_type.strip_prefix("application/vnd.docker.image.rootfs.foreign.diff."));
    oci.is_some_and(|kind| ["tar", "tar+gzip", "tar+zstd"].contains(&kind))
        || docker.is_some_and(|kind| ["tar", "tar.gzip", "tar.zstd"].contains(&kind))
}

impl Index {
    /// The manifest for `platform`.
    ///
    /// # Errors
    /// `RL0313`, with the platforms that there are.
    pub fn choose(&self, platform: &Platform) -> Result<&Descriptor> {
        let with = || self.manifests.iter().filter_map(|(one, of)| of.as_ref().map(|of| (one, of)));
        let exact = with().find(|(_, of)| *of == platform);
        let found = exact.or_else(|| with().find(|(_, of)| platform.serves(of)));
        if let Some((descriptor, _)) = found {
            return Ok(descriptor);
        }
        // A layout with one image says nothing of platforms; the configuration will tell.
        if let [(only, None)] = &self.manifests[..] {
            return Ok(only);
        }
        let there: Vec<_> = with().filter(|(_, of)| of.os != "unknown").map(|(_, of)| of.to_string()).collect();
        let error = Error::new(&image::NO_PLATFORM, format!("{platform}"));
        Err(match there.is_empty() {
            true => error,
            false => error.fix(format!("There are: {}. Choose with --platform.", there.join(", "))),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn described(media_type: &str) -> Value {
        json!({ "mediaType": media_type, "digest": Digest::of(b"x").to_string(), "size": 7 })
    }

    fn manifest() -> Value {
        json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": described(OCI_CONFIG),
            "layers": [described("application/vnd.oci.image.layer.v1.tar+gzip")],
        })
    }

    fn refused(value: &Value, content_type: Option<&str>) -> String {
        parse(value.to_string().as_bytes(), content_type).expect_err("an error").summary()
    }

    #[test]
    fn a_manifest_is_read_with_its_very_bytes() {
        let text = manifest().to_string();
        let Parsed::Manifest(read) = parse(text.as_bytes(), Some(OCI_MANIFEST)).expect("a manifest") else {
            panic!("no manifest")
        };
        assert_eq!((read.bytes.as_slice(), read.layers.len()), (text.as_bytes(), 1));
        assert_eq!(read.digest, Digest::of(text.as_bytes()));
    }

    #[test]
    fn what_says_two_things_is_refused() {
        let mut both = manifest();
        both["manifests"] = json!([]);
        assert!(refused(&both, None).contains("CVE-2021-41190"));
        assert!(refused(&manifest(), Some(OCI_INDEX)).contains("itself it says"));
        let mut schema1 = manifest();
        schema1["schemaVersion"] = json!(1);
        assert!(refused(&schema1, None).contains("schema 1"));
        let mut untyped = both;
        untyped.as_object_mut().expect("an object").remove("mediaType");
        assert!(refused(&untyped, None).contains("CVE-2021-41190"));
    }

    #[test]
    fn content_that_is_no_image_is_refused() {
        for (field, value, why) in [
            ("/config/mediaType", json!("application/vnd.cncf.helm.config.v1+json"), "no container image"),
            ("/config/digest", json!("sha256:../../x"), "no digest"),
            ("/config/size", json!(u64::MAX), "size"),
            ("/config/size", json!(5 << 20), "at most"),
            ("/layers/0/mediaType", json!("text/plain"), "none of a container image"),
            ("/mediaType", json!("text/plain"), "no image"),
        ] {
            let mut document = manifest();
            *document.pointer_mut(field).expect(field) = value;
            assert!(refused(&document, None).contains(why), "{field}: {}", refused(&document, None));
        }
        assert!(parse(b"<!DOCTYPE html><html>", Some("text/html")).expect_err("a page").summary().contains("web page"));
        assert!(parse(&vec![b' '; (4 << 20) + 1], None).is_err());
    }

    #[test]
    fn the_platform_is_chosen_or_those_that_there_are_named() {
        let of = |architecture: &str, variant: Option<&str>| {
            let mut one = described(OCI_MANIFEST);
            one["platform"] = json!({ "os": "linux", "architecture": architecture, "variant": variant });
            one
        };
        let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX,
            "manifests": [of("amd64", None), of("arm", Some("v6")), of("arm64", Some("v8"))] });
        let Parsed::Index(index) = parse(index.to_string().as_bytes(), None).expect("an index") else { panic!() };
        assert_eq!(index.choose(&Platform::linux("arm64", None)).expect("arm64"), &index.manifests[2].0);
        assert_eq!(index.choose(&Platform::linux("arm", Some("v7"))).expect("v6 serves"), &index.manifests[1].0);
        let error = index.choose(&Platform::linux("s390x", None)).expect_err("none");
        assert!(error.remedy().contains("linux/amd64, linux/arm/v6, linux/arm64"), "{}", error.remedy());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes, None);
        }
    }
}
