//! `status.json`: a container's last start and end.
//!
//! Written by whoever starts it and again by whoever has waited for its end. The surprise: a status without an end is no running
//! container; its supervisor was killed, or the machine was switched off, and [`Status::settled`] says what is to be told then.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::files::{read_versioned, write_replacing};
use crate::error::Result;
use crate::host::kernel;

const VERSION: u32 = 1;
const FILE: &str = "status.json";

/// The last start and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    version: u32,
    boot_id: String,
    /// Nanoseconds since 1970.
    pub started: u64,
    /// Nanoseconds since 1970; None: nobody has seen its end (yet).
    pub finished: Option<u64>,
    /// 128 and the signal for one that was killed.
    pub exit: u8,
    /// The kernel killed it for want of memory.
    pub oom: bool,
    /// What `rl` has to say about the end.
    pub error: String,
    /// How often its restart policy has started it again.
    pub restarts: u32,
    /// Somebody asked for its end.
    pub stopped: bool,
    /// Its supervisor waits before it starts it again.
    pub restarting: bool,
}

impl Status {
    /// Of a container that starts now, and was started again so often by its policy.
    pub fn starting(restarts: u32) -> Self {
        Self {
            version: VERSION,
            boot_id: kernel::boot_id().unwrap_or_default(),
            started: super::now(),
            finished: None,
            exit: 0,
            oom: false,
            error: String::new(),
            restarts,
            stopped: false,
            restarting: false,
        }
    }

    /// Of a container that has just ended.
    #[must_use]
    pub fn ended(self, exit: u8) -> Self {
        Self { finished: Some(super::now()), exit, ..self }
    }

    /// None: it was never started.
    pub fn read(data: &Path) -> Result<Option<Self>> {
        read_versioned(&data.join(FILE), VERSION)
    }

    /// Puts it into `data`. Not synced: after a power cut the older status is as good, for it has no end either.
    pub fn write(&self, data: &Path) -> Result<()> {
        write_replacing(&data.join(FILE), self, false)
    }

    /// What is told of a container that does not run: its end, or what must have ended it where nobody saw that.
    #[must_use]
    pub fn settled(&self) -> Self {
        if self.finished.is_some() {
            return self.clone();
        }
        let rebooted = kernel::boot_id().is_some_and(|id| id != self.boot_id);
        let (exit, error) = if rebooted {
            (255, "the machine was restarted while it ran")
        } else {
            (137, "its supervisor was killed, and it was ended with it")
        };
        Self { exit, error: error.to_owned(), ..self.clone() }
    }
}
