//! Carries a plan out: parent, init, console, state.

pub mod console;
pub mod reaper;
pub mod supervise;
