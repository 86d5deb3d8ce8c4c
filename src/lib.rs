//! `rl`: root in a container, without sudo.
//!
//! The flow is one way: cli -> spec -> plan -> runtime -> sys (docs/architecture.md). The library exists for the tests and the
//! fuzz targets; what users call is the binary.

pub mod cgroup;
pub mod cli;
pub mod error;
pub mod host;
pub mod image;
pub mod network;
pub mod oci;
pub mod plan;
pub mod runtime;
pub mod spec;
pub mod state;
pub mod sys;
pub mod tree;
pub mod volume;
