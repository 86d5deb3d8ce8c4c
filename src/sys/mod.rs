//! The only unsafe code: system calls that nix has not wrapped, each in a safe function.
//!
//! Owns the calls and their safety arguments, nothing of what they are for: every function returns the bare errno and
//! its caller says what was being done. The surprise: functions that make processes are safe only while `rl` has one
//! thread, which `clone` asserts.

#![expect(unsafe_code, reason = "this is the module for it")]

pub mod capability;
pub mod child;
pub mod clock;
pub mod clone;
pub mod launcher;
pub mod loopback;
mod math;
pub mod mount;
pub mod namespace;
pub mod process;
pub mod schedule;
pub mod seccomp;
pub mod signal;
pub mod start;
pub mod terminal;
pub mod writeback;
pub mod xattr;
