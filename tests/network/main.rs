//! Networks through the real binary, slirp4netns and pasta: what goes out, what comes in, and what must not.
//!
//! Modules say where a test runs (tests/pass.sh). Servers listen on loopback, or in network namespaces that the tests make
//! (`lab`): a machine on which `rl` runs, and a second one behind a wire.

#[path = "../support/mod.rs"]
mod support;

/// Says `up`, in a container, when its server listens at port 80: before that, a client's connection is made and ended at
/// once, because slirp4netns and the published port are there earlier.
const LISTENS: &str =
    "{ until grep -q ':0050 [0-9A-F:]* 0A ' /proc/net/tcp /proc/net/tcp6; do usleep 10000; done; echo up; }";

mod apt;
mod attacks;
mod basics;
mod egress;
mod finding;
mod guarded;
mod lab;
mod many;
mod names;
mod networks;
mod ports;
mod second_host;
mod serving;
