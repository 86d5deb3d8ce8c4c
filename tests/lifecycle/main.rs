//! Containers that live, through the real binary: what goes on in them after their start.
//!
//! Modules say where a test runs: `everywhere` in all three passes (an unprivileged user, root, root of a single-id namespace),
//! `full_map` where subordinate ids are mapped, `as_user` only as the unprivileged user.

#[path = "../support/mod.rs"]
mod support;

mod exec;
mod exec_attacks;
