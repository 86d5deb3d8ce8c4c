//! Subordinate ids and the maps between user namespaces.
//!
//! Owns: reading /etc/subuid and /etc/subgid (and NSS through `getsubids`), the half-open [`IdMap`], and running
//! newuidmap and newgidmap side by side. It makes no namespace itself. The surprise: a line of a child's map must lie
//! within one extent of its parent's, or the kernel answers EPERM; [`IdMap::identity_child`] splits accordingly.

#![forbid(unsafe_code)]

mod file;
mod full;
mod map;
mod newidmap;
mod program;
mod ranges;

pub use file::{LineProblem, parse};
pub use full::{full_map, root_default};
pub use map::{Extent, IdMap, MapError};
pub use newidmap::{HelperError, Writer, write_maps};
pub use ranges::{Error, Kind, Range, Sources, User, first_free, ranges};
