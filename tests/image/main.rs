//! `rl import`, `rl images`, `rl rmi` through the real binary.
//!
//! Modules inside say where a test runs, as in tests/rootless: `everywhere`, `full_map`, `as_user`.

#[path = "../support/mod.rs"]
mod support;

mod check;
mod corpus;
mod disaster;
mod exchange;
mod faithful;
mod hostile;
mod layers;
mod store;
mod tar;

use std::path::{Path, PathBuf};

use support::Rl;

/// The one layer's tree.
fn layer(rl: &Rl) -> PathBuf {
    let mut layers = entries(&rl.root().join("layers"));
    assert_eq!(layers.len(), 1, "{layers:?}");
    layers.remove(0).join("diff")
}

/// What a directory holds; nothing where it is missing.
fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> =
        std::fs::read_dir(dir).into_iter().flatten().map(|entry| entry.expect("entry").path()).collect();
    all.sort();
    all
}

/// Neither an image nor a layer nor anything staged.
fn assert_nothing_is_left(rl: &Rl, why: &str) {
    for part in ["images", "layers", "staging"] {
        let left = entries(&rl.root().join(part));
        assert!(left.is_empty(), "{why}: {part} holds {left:?}");
    }
}
