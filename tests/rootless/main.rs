//! `rl run` and `rl unshare` through the real binary, as the users meet them.
//!
//! Modules say where a test runs: `everywhere` in all three passes (an unprivileged user, root, root of a single-id namespace),
//! `full_map` where subordinate ids are mapped, `as_user` only as the unprivileged user.

#[path = "../support/mod.rs"]
mod support;

mod debian;
mod directories;
mod exec_explains;
mod files;
mod foreign;
mod ids;
mod lifecycle;
mod limits;
mod namespaces;
mod process;
mod script;
mod unshare;
