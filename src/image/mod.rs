//! Images: the store, and the registries and archives that fill it.
//!
//! Owns `DATA/images`, `DATA/layers`, `DATA/blobs`, `DATA/partial` and `DATA/staging`. It runs inside the caller's mapped user namespace (its caller
//! has entered it), where files of subordinate ids can be made and deleted. The surprise: a layer is a plain directory
//! tree with the archive's own owners, so an overlay can use it as it lies.

mod apply;
mod archive;
mod attributes;
mod beneath;
mod blobs;
pub mod changes;
mod check;
mod commit;
pub mod compression;
mod details;
pub mod digest;
mod document;
pub mod examine;
pub mod exchange;
mod flatten;
mod hashed;
mod import;
mod lane;
mod lower;
pub mod manifest;
mod number;
mod pax;
pub mod platform;
mod publish;
mod pull;
pub mod reference;
pub mod registry;
mod remake;
mod remove;
mod send;
mod sparse;
mod staging;
mod store;
pub mod transport;
mod tree;
mod trouble;
mod unpack;
mod whiteout;

pub use apply::Summary;
pub use check::{Finding, Severity, check};
pub use commit::{Commit, commit};
pub use details::{Details, LayerDetails};
pub use digest::Digest;
pub use document::STORE_VERSION;
pub use flatten::flatten;
pub use import::{Import, import};
pub use platform::Platform;
pub use pull::{Pull, Pulled, pull};
pub use reference::Reference;
pub use remove::remove_tree;
pub use send::{Outgoing, outgoing, send};
pub use store::{Hold, Image, Listed, Pin, Removed, Store, seconds};
