//! Carries a plan out: parent, init, console, state.

pub mod seccomp;
