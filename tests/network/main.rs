//! Networks through the real binary, slirp4netns and pasta: what goes out, what comes in, and what must not.
//!
//! Modules say where a test runs (tests/pass.sh). Servers listen on loopback, or in network namespaces that the tests make
//! (`lab`): a machine on which `rl` runs, and a second one behind a wire.

#[path = "../support/mod.rs"]
mod support;

mod apt;
mod attacks;
mod basics;
mod egress;
mod finding;
mod guarded;
mod lab;
mod names;
mod networks;
mod ports;
mod second_host;
