//! Finding, starting, watching and stopping fuse-overlayfs.
//!
//! Owns the program's command line and its process. It makes no namespace: the caller already is where the mount
//! belongs, as root of a user namespace with a mount namespace of its own, or as root of the machine.
//!
//! The program runs in the foreground (`-f`), as a child. Without `-f` it would say that the mount is there by its
//! exit, but the process that serves the mount would be init's child, with no handle to watch or end it by, and a
//! descendant of the caller no more. In the foreground it says nothing; but the kernel does: poll(2) on
//! /proc/self/mountinfo reports every change of the mount table (Linux 2.6.30). So starting waits for the first of two
//! events, the mount or the end of the program's stderr.
//!
//! The surprise: the program sits in the mount namespace that it serves, and keeps it alive by that. When the caller is
//! killed, neither ends by itself. [`Mount::start`] therefore lets the caller amend the command, to set
//! PR_SET_PDEATHSIG.

#![forbid(unsafe_code)]

mod arguments;
mod error;
mod mountinfo;
mod program;
mod running;

pub use arguments::{Mount, Shift};
pub use error::Error;
pub use program::{Program, Version};
pub use running::Running;
