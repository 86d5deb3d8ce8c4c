//! Random stacks of layers against a model of what they mean, through the whole of a pull, with one id and no namespace.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::host::Dirs;
use crate::image::flatten::flatten;
use crate::image::manifest::{OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST, Parsed};
use crate::image::transport::{Quiet, Sink};

/// An image in memory.
#[derive(Default)]
struct Memory {
    blobs: BTreeMap<String, Vec<u8>>,
    manifest: Vec<u8>,
    /// Bytes after which a blob's download is cut off, once.
    cut: std::sync::Mutex<Option<usize>>,
    /// Where blobs were asked for from.
    asked: std::sync::Mutex<Vec<u64>>,
}

impl Memory {
    fn add(&mut self, media_type: &str, bytes: Vec<u8>) -> serde_json::Value {
        let (digest, size) = (Digest::of(&bytes).to_string(), bytes.len());
        self.blobs.insert(digest.clone(), bytes);
        json!({ "mediaType": media_type, "digest": digest, "size": size })
    }

    /// Of uncompressed layers.
    fn image(layers: &[Vec<u8>]) -> Self {
        let mut memory = Self::default();
        let diff_ids: Vec<_> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
        let config = json!({ "architecture": Platform::host().architecture, "os": "linux",
            "rootfs": { "type": "layers", "diff_ids": diff_ids } });
        let layers: Vec<_> = layers.iter().map(|layer| memory.add(OCI_LAYER_GZIP, gzip(layer))).collect();
        let config = memory.add(OCI_CONFIG, config.to_string().into_bytes());
        let manifest = json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers });
        memory.manifest = manifest.to_string().into_bytes();
        memory
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, bytes).expect("write");
    encoder.finish().expect("finish")
}

impl Source for Memory {
    fn resolve(&self) -> Result<Parsed> {
        crate::image::manifest::parse(&self.manifest, None)
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        Ok(self.blobs[&descriptor.digest.to_string()].clone())
    }

    fn blob(&self, descriptor: &Descriptor, sink: &mut dyn Sink) -> Result<()> {
        let bytes = &self.blobs[&descriptor.digest.to_string()];
        self.asked.lock().expect("lock").push(sink.position());
        let from = usize::try_from(sink.position()).expect("position");
        let end = self.cut.lock().expect("lock").take().map_or(bytes.len(), |cut| cut.clamp(from, bytes.len()));
        for chunk in bytes[from..end].chunks(1000) {
            sink.write(chunk).map_err(|error| Error::new(&image::STORE, "write").because(error))?;
        }
        if end < bytes.len() {
            return Err(Error::new(&image::STORE, "the line was cut"));
        }
        Ok(())
    }
}

/// What is at a path: a directory with its mode, or a file with its content.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Directory(u32),
    File(u8),
}

/// One entry of a layer's archive.
#[derive(Debug, Clone)]
enum Op {
    Directory(u32),
    File(u8),
    Whiteout,
    Opaque,
}

type Layer = BTreeMap<String, Op>;
type Tree = BTreeMap<String, Node>;

fn layer() -> impl Strategy<Value = Layer> {
    let path = prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..4).prop_map(|parts| parts.join("/"));
    let op = prop_oneof![
        prop::sample::select(vec![0o755, 0o700, 0o711]).prop_map(Op::Directory),
        any::<u8>().prop_map(Op::File),
        Just(Op::Whiteout),
        Just(Op::Opaque),
    ];
    prop::collection::btree_map(path, op, 0..6).prop_map(consistent)
}

/// No entry below a file or a whiteout of the same archive: that is refused, or means nothing.
fn consistent(layer: Layer) -> Layer {
    let mut kept = Layer::new();
    for (path, op) in layer {
        let blocked = kept
            .iter()
            .any(|(above, op)| path.starts_with(&format!("{above}/")) && matches!(op, Op::File(_) | Op::Whiteout));
        if !blocked {
            kept.insert(path, op);
        }
    }
    kept
}

fn parents(path: &str) -> Vec<String> {
    path.match_indices('/').map(|(at, _)| path[..at].to_owned()).collect()
}

/// The image specification's words, on paths.
fn apply(tree: &mut Tree, layer: &Layer) {
    let below = |tree: &mut Tree, path: &str| tree.retain(|have, _| !have.starts_with(&format!("{path}/")));
    for (path, op) in layer {
        match op {
            Op::Whiteout => {
                below(tree, path);
                tree.remove(path);
            }
            Op::Opaque => below(tree, path),
            _ => {}
        }
    }
    for (path, op) in layer {
        // A directory above any entry, also above a whiteout, is one in this layer.
        for parent in parents(path) {
            if !matches!(tree.get(&parent), Some(Node::Directory(_))) {
                tree.insert(parent, Node::Directory(0o755));
            }
        }
        match op {
            Op::Directory(mode) => drop(tree.insert(path.clone(), Node::Directory(*mode))),
            Op::Opaque => {
                if !matches!(tree.get(path), Some(Node::Directory(_))) {
                    tree.insert(path.clone(), Node::Directory(0o755));
                }
            }
            Op::File(content) => {
                below(tree, path);
                tree.insert(path.clone(), Node::File(*content));
            }
            Op::Whiteout => {}
        }
    }
}

fn archive(layer: &Layer) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |path: &str, kind: tar::EntryType, mode: u32, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, path, content).expect("append");
    };
    for (path, op) in layer {
        let (parent, name) = path.rsplit_once('/').map_or(("", path.as_str()), |(parent, name)| (parent, name));
        let parent = if parent.is_empty() { String::new() } else { format!("{parent}/") };
        match op {
            Op::Directory(mode) => add(path, tar::EntryType::Directory, *mode, b""),
            Op::File(content) => add(path, tar::EntryType::Regular, 0o644, &[*content]),
            Op::Whiteout => add(&format!("{parent}.wh.{name}"), tar::EntryType::Regular, 0o644, b""),
            Op::Opaque => add(&format!("{path}/.wh..wh..opq"), tar::EntryType::Regular, 0o644, b""),
        }
    }
    builder.into_inner().expect("end")
}

fn read(dir: &Path, prefix: &str, tree: &mut Tree) {
    for entry in std::fs::read_dir(dir).expect("list").flatten() {
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let meta = entry.metadata().expect("metadata");
        if meta.is_dir() {
            tree.insert(path.clone(), Node::Directory(meta.permissions().mode() & 0o777));
            read(&entry.path(), &format!("{path}/"), tree);
        } else {
            tree.insert(path, Node::File(std::fs::read(entry.path()).expect("read")[0]));
        }
    }
}

fn store(dir: &Path) -> Store {
    Store::open(&Dirs { data: dir.to_owned(), run: dir.to_owned() })
}

fn pulled(store: &Store, source: &Memory) -> Result<Pulled> {
    let (platform, name) = (Platform::host(), Reference::parse("x").expect("a name"));
    let what = Pull { name: Some(&name), platform: &platform, strict: true, squash: true };
    pull(store, source, &what, &Quiet)
}

/// What the image shows, and what it should.
fn shown_and_meant(layers: &[Layer]) -> (Tree, Tree) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store(dir.path());
    let archives: Vec<_> = layers.iter().map(archive).collect();
    pulled(&store, &Memory::image(&archives)).expect("a pull");
    let image = store.find("x", None).expect("the image");
    let out = dir.path().join("out");
    std::fs::create_dir(&out).expect("mkdir");
    flatten(&image.layers, &out).expect("flatten");

    let (mut shown, mut model) = (Tree::new(), Tree::new());
    read(&out, "", &mut shown);
    layers.iter().for_each(|layer| apply(&mut model, layer));
    (shown, model)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_stack_of_layers_shows_what_the_specification_says(layers in prop::collection::vec(layer(), 1..5)) {
        let (shown, meant) = shown_and_meant(&layers);
        prop_assert_eq!(shown, meant);
    }
}

/// Regression: the directory that an entry below it implies took the mode of one that an opaque directory hides.
#[test]
fn behind_an_opaque_directory_nothing_is_taken_from_below() {
    let layer = |entries: &[(&str, Op)]| entries.iter().map(|(path, op)| ((*path).to_owned(), op.clone())).collect();
    let lower = layer(&[("a/b", Op::Directory(0o700))]);
    let upper = layer(&[("a", Op::Opaque), ("a/b/a", Op::Directory(0o755))]);
    let (shown, meant) = shown_and_meant(&[lower, upper]);
    assert_eq!(shown, meant);
}

fn one_file(content: u8) -> Vec<u8> {
    // Large and not compressible, so that a cut falls into it.
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    let mut state = u32::from(content) + 1;
    let random = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    let bytes: Vec<u8> = random.take(50_000).collect();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, format!("file{content}"), bytes.as_slice()).expect("append");
    builder.into_inner().expect("end")
}

#[test]
fn a_download_that_was_cut_goes_on_where_it_ended() {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, source) = (store(dir.path()), Memory::image(&[one_file(1)]));
    *source.cut.lock().expect("lock") = Some(20_000);
    let error = pulled(&store, &source).expect_err("the cut");
    assert!(error.summary().contains("the line was cut"), "{}", error.summary());
    let partial: Vec<_> = std::fs::read_dir(dir.path().join("partial")).expect("list").flatten().collect();
    let length = partial[0].metadata().expect("metadata").len();
    assert!((20_000..=21_000).contains(&length), "{length}");
    assert!(store.find("x", None).is_err(), "nothing has a name before it is whole");

    pulled(&store, &source).expect("the rest");
    assert_eq!(*source.asked.lock().expect("lock"), [0, length], "only what was missing is asked for");
    assert!(store.find("x", None).is_ok());
    assert_eq!(std::fs::read_dir(dir.path().join("partial")).expect("list").count(), 0);
}

/// Each small document was once staged under a name of its own, which stayed when its writer was killed.
#[test]
fn what_a_killed_writer_of_a_document_left_is_replaced() {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, source) = (store(dir.path()), Memory::image(&[one_file(1)]));
    std::fs::create_dir(dir.path().join("partial")).expect("mkdir");
    for digest in source.blobs.keys().filter(|digest| source.blobs[*digest].len() < 5_000) {
        let left = dir.path().join("partial").join(digest.replace(':', "-"));
        std::fs::write(left, "the first half of something longer than it was".repeat(100)).expect("write");
    }
    pulled(&store, &source).expect("an image");
    assert_eq!(std::fs::read_dir(dir.path().join("partial")).expect("list").count(), 0);
}

#[test]
fn content_with_another_digest_is_refused_and_not_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, mut source) = (store(dir.path()), Memory::image(&[one_file(1), one_file(2)]));
    let (digest, right) = source.blobs.iter().max_by_key(|(_, bytes)| bytes.len()).expect("a layer");
    let (digest, right) = (digest.clone(), right.clone());
    let mut wrong = right.clone();
    *wrong.last_mut().expect("bytes") ^= 1;
    source.blobs.insert(digest.clone(), wrong);
    assert_eq!(*pulled(&store, &source).expect_err("wrong").entry(), image::WRONG_CONTENT);
    source.blobs.insert(digest, right);
    pulled(&store, &source).expect("the right one");
    assert!(store.find("x", None).is_ok());
    assert_eq!(std::fs::read_dir(dir.path().join("partial")).expect("list").count(), 0);
}

#[test]
fn layers_that_are_there_are_not_fetched_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store(dir.path());
    pulled(&store, &Memory::image(&[one_file(1)])).expect("the base");
    let mut above = Memory::image(&[one_file(1), one_file(2)]);
    let base = Digest::of(&gzip(&one_file(1))).to_string();
    above.blobs.remove(&base).expect("the base's blob");
    pulled(&store, &above).expect("the layer above");
    assert_eq!(store.find("x", None).expect("the image").layers.len(), 2);
}

#[test]
fn an_image_for_another_platform_lies_beside_and_is_only_taken_when_it_is_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store(dir.path());
    let mut foreign = Memory::image(&[one_file(1)]);
    let config = foreign.manifest.clone();
    let text = String::from_utf8(config).expect("text");
    let old: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let digest = old["config"]["digest"].as_str().expect("a digest");
    let host = format!("\"{}\"", Platform::host().architecture);
    let changed = String::from_utf8(foreign.blobs[digest].clone()).expect("text").replace(&host, "\"s390x\"");
    let descriptor = foreign.add(OCI_CONFIG, changed.into_bytes());
    let mut manifest = old.clone();
    manifest["config"] = descriptor;
    foreign.manifest = manifest.to_string().into_bytes();

    let error = pulled(&store, &foreign).expect_err("another platform than asked for");
    assert_eq!(*error.entry(), image::NO_PLATFORM);
    let (platform, name) = (Platform::linux("s390x", None), Reference::parse("x").expect("a name"));
    let what = Pull { name: Some(&name), platform: &platform, strict: true, squash: true };
    pull(&store, &foreign, &what, &Quiet).expect("the foreign one");
    assert_eq!(store.find("x", None).expect("the only one").platform, platform);
    assert_eq!(store.find("x-s390x", None).expect("by its ending").platform, platform);

    pulled(&store, &Memory::image(&[one_file(1)])).expect("the machine's own");
    assert_eq!(store.find("x", None).expect("the machine's").platform, Platform::host());
    assert_eq!(store.find("x", Some(&platform)).expect("the other").platform, platform);
    assert_eq!(store.list().expect("list").len(), 2);
}
