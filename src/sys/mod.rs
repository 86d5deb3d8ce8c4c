//! The only unsafe code: system calls that nix has not wrapped, each in a safe function of the same name.
//!
//! Owns argument passing and nothing else: no policy, no retries but EINTR, errors are the bare errno (the caller knows what it
//! was doing). The surprise: `clone` is only right in a single-threaded process, and asserts it.

pub mod capability;
pub mod clone;
pub mod loopback;
pub mod mount;
pub mod process;
pub mod pty;
pub mod seccomp;
pub mod signal;
