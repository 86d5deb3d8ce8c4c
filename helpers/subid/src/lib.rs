//! Subordinate ids and the maps between user namespaces.
//!
//! Owns: reading /etc/subuid and /etc/subgid (and NSS through `getsubids`), the half-open [`IdMap`], and running newuidmap and
//! newgidmap side by side. It makes no namespace itself. The surprise: a line of a child's map must lie within one extent of
//! its parent's, or the kernel answers EPERM; [`IdMap::identity_child`] splits accordingly.

mod map;

pub use map::{Extent, IdMap, MapError};
mod tmp; pub use tmp::*;
