//! The command line itself: verbs, help, errors and exit codes, through the real binary.
//!
//! Everything here runs in all three passes; what a container does is tests/rootless.

mod format;
mod store;
#[path = "../support/mod.rs"]
mod support;
mod verbs;
