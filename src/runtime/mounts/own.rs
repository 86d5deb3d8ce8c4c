//! A mount namespace of `rl`'s own, for what only it and its helpers see.
//!
//! The surprise: it is made once. In a second one the mounts of the first would still be held, but without what is mounted on them.

use std::sync::atomic::{AtomicBool, Ordering};

use nix::sched::{CloneFlags, unshare};

use super::isolate;
use crate::error::{Context, Result, catalog::rootfs};
use crate::plan::Propagation;

static OWN: AtomicBool = AtomicBool::new(false);

/// Makes it, if it is not there yet. What is mounted in it goes with the process.
pub(in crate::runtime) fn unshared() -> Result<()> {
    if OWN.load(Ordering::Relaxed) {
        return Ok(());
    }
    unshare(CloneFlags::CLONE_NEWNS).context(&rootfs::MOUNT, || "make a mount namespace".into())?;
    isolate(Propagation::Private)?;
    OWN.store(true, Ordering::Relaxed);
    Ok(())
}
