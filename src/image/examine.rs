//! What fuzz targets call, and the test that replays their corpora (tests/fuzz): the readers of foreign bytes, each alone.
//!
//! No user's command comes through here. The surprise: a layer is really unpacked, because what matters is what its entries do
//! to a file system.

use std::io::Cursor;
use std::os::fd::OwnedFd;
use std::path::Path;

use super::apply::{Applier, Style, Summary};
use super::exchange;
use super::lower::Lower;
use super::reference::Reference;
use crate::error::Result;
use crate::host::config::Limits;

/// Unpacks an uncompressed tar into `root`, a layer with whiteouts or a whole root file system, everything owned by the caller.
///
/// # Errors
/// What was wrong with which entry.
pub fn unpack(bytes: &[u8], root: OwnedFd, layer: bool, entries: u64) -> Result<Summary> {
    let style = if layer { Style::Layer(Lower::default()) } else { Style::Flat };
    let limits = Limits { layer_bytes: None, layer_entries: Some(entries) };
    Applier::new(root, style, true, limits).apply(Cursor::new(bytes))
}

/// Reads an archive of images and its documents; gives the names that its images have. `spool` is for copies.
///
/// # Errors
/// What was wrong with it.
pub fn archive(path: &Path, spool: &Path) -> Result<Vec<Vec<Reference>>> {
    Ok(exchange::images_at(path, spool)?.into_iter().map(|found| found.names).collect())
}
