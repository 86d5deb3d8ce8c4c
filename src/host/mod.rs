//! What this machine offers the caller, looked up once.
//!
//! Owns: who the caller is ([`Caller`]), the directories of `rl` ([`Dirs`]). It changes nothing but making those directories.
//! The surprise: "am I root?" is answered from /proc/self/uid_map, never from geteuid alone; root of somebody's namespace and
//! root of the machine are different callers.

mod caller;
pub mod config;
pub mod credentials;
mod dirs;
pub mod elf;
pub mod emulation;
pub mod kernel;
pub mod procfs;

pub use caller::{Caller, Kind};
pub use dirs::{Dirs, SHARED_MARK};

use crate::error::Result;

/// The facts that the rest of `rl` is handed; nothing looks them up again.
#[derive(Debug, Clone)]
pub struct Host {
    /// Who runs `rl`, in which user namespace.
    pub caller: Caller,
    /// Where `rl` keeps what lasts and what runs.
    pub dirs: Dirs,
}

impl Host {
    /// Looks the facts up. `root` and `runroot` are the flags of those names.
    pub fn probe(root: Option<&std::path::Path>, runroot: Option<&std::path::Path>) -> Result<Self> {
        let caller = Caller::read()?;
        let dirs = Dirs::find(&caller, root, runroot)?;
        Ok(Self { caller, dirs })
    }
}
