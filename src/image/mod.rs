//! Images: the store, and the archives that fill it.
//!
//! Owns `DATA/images`, `DATA/layers` and `DATA/staging`. It runs inside the caller's mapped user namespace (its caller
//! has entered it), where files of subordinate ids can be made and deleted. The surprise: a layer is a plain directory
//! tree with the archive's own owners, so an overlay can use it as it lies.

mod apply;
mod archive;
mod attributes;
mod compression;
mod document;
mod import;
mod name;
mod number;
mod pax;
mod remove;
mod sparse;
mod staging;
mod store;
mod tree;
mod trouble;

pub use apply::Summary;
pub use import::{Import, import};
pub use name::Name;
pub use remove::remove_tree;
pub use store::{Hold, Image, Listed, Removed, Store};
