//! Carries a plan out: the held user namespace, the parent, the container's first process, the terminal, the state on disk.
//!
//! Owns every effect of a run. It decides nothing: what is done, and in which order, is in the [`crate::plan::Plan`]. The surprise:
//! the caller's own process enters the held user namespace for good (`base`), so a run can only be started from a process that
//! was made for it.

pub mod attach;
mod attributes;
pub mod base;
pub mod binfmt;
pub mod console;
pub mod container;
pub mod detach;
pub mod diagnose;
pub mod exec;
mod execute;
pub mod fuse;
pub mod gate;
pub mod handover;
pub mod holder;
pub mod hooks;
mod idmapped;
mod init;
pub mod inside;
pub mod join;
pub mod keys;
mod maps;
pub mod message;
pub mod mountpoints;
mod mounts;
pub mod parent;
pub mod processes;
pub mod reaper;
mod refusal;
pub mod rest;
mod rights;
pub mod seccomp;
pub mod stdio;
pub mod storage;
pub mod supervise;
pub mod supervisor;
pub mod unshare;
mod user;
mod uts;
pub mod view;

use crate::host::procfs;
