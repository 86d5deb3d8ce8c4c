//! What must be true of any bytes: one function a target, for the fuzzer and for the replay of its corpus.

#![allow(dead_code, reason = "each fuzz target uses one of them")]

use std::fs::File;
use std::path::Path;

use rl::image::manifest::{OCI_INDEX, OCI_MANIFEST, Parsed, parse};
use rl::image::{Digest, Platform, Reference, examine};

/// More would test the disk.
const MOST_ENTRIES: u64 = 200;

/// A name that is taken means the same however it is written.
pub fn reference(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(reference) = Reference::parse(text) else { return };
    let short = Reference::parse(&reference.to_string()).expect("the short form");
    assert_eq!(short.canonical(), reference.canonical());
    let whole = Reference::parse(&reference.canonical()).expect("the whole form");
    assert_eq!(
        (whole.registry(), whole.repository(), whole.tag()),
        (short.registry(), short.repository(), short.tag())
    );
    assert!(!reference.repository().split('/').any(|part| [".", "..", ""].contains(&part)), "{text:?}");
    let _ = reference.platform_ending();
}

fn document(bytes: &[u8], content_type: Option<&str>) {
    match parse(bytes, content_type) {
        Ok(Parsed::Manifest(manifest)) => {
            assert_eq!((&manifest.digest, &manifest.bytes[..]), (&Digest::of(bytes), bytes));
            assert!(manifest.layers.iter().all(|layer| i64::try_from(layer.size).is_ok()));
            // No reader may see an index in it.
            assert!(parse(bytes, Some(OCI_INDEX)).is_err());
        }
        Ok(Parsed::Index(index)) => {
            assert!(parse(bytes, Some(OCI_MANIFEST)).is_err());
            for platform in [Platform::host(), Platform::linux("arm", Some("v7"))] {
                let _ = index.choose(&platform);
            }
        }
        Err(_) => {}
    }
}

/// One platform, whatever the transport says of it.
pub fn manifest(bytes: &[u8]) {
    document(bytes, None);
    document(bytes, Some(OCI_MANIFEST));
}

/// Several.
pub fn index(bytes: &[u8]) {
    document(bytes, None);
    document(bytes, Some(OCI_INDEX));
}

/// Whatever is in the archive, nothing but the tree changes, and each time in the same way.
pub fn layer(bytes: &[u8]) {
    for layer in [true, false] {
        let (first, second) = (unpacked(bytes, layer), unpacked(bytes, layer));
        assert_eq!(first, second);
    }
}

/// What came of it.
fn unpacked(bytes: &[u8], layer: bool) -> Result<String, String> {
    let dir = scratch();
    let (root, canary) = (dir.path().join("root"), dir.path().join("canary"));
    std::fs::create_dir(&root).expect("mkdir");
    std::fs::write(&canary, "canary").expect("write");
    let opened = File::open(&root).expect("open").into();
    let result = examine::unpack(bytes, opened, layer, MOST_ENTRIES);
    assert_eq!(std::fs::read_to_string(&canary).expect("read"), "canary");
    assert_eq!(std::fs::read_dir(dir.path()).expect("list").count(), 2);
    // A directory that nobody may enter is in the way of deleting it.
    rl::image::remove_tree(&root).expect("remove");
    result.map(|summary| format!("{summary:?}")).map_err(|error| error.summary())
}

/// An archive of images: names that are none, documents that are none, members that lead out.
pub fn archive(bytes: &[u8]) {
    let dir = scratch();
    let path = dir.path().join("archive");
    std::fs::write(&path, bytes).expect("write");
    let _ = examine::archive(&path, dir.path());
    assert_eq!(std::fs::read_dir(dir.path()).expect("list").count(), 1);
}

/// In memory, where there is such a place.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    match tempfile::tempdir_in(memory) {
        Ok(dir) => dir,
        Err(_) => tempfile::tempdir().expect("a directory"),
    }
}
