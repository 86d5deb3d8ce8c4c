//! A container that does not run, in hand: its files are there to be read and changed, and nobody can start it meanwhile.
//!
//! Owns finding what it stands on, with the same code as its next start. The surprise: nothing of it is left when this is dropped but what
//! was written into its files; only where the mount can't be taken away its run directory stays, for the next `rl` to clean up.

use std::path::PathBuf;

use super::detached::in_hand;
use super::ground::{self, Ground, Layers};
use crate::error::Result;
use crate::host::Host;
use crate::image::Pin;
use crate::runtime::container::Container;
use crate::runtime::fuse::Fuse;
use crate::runtime::mountpoints;
use crate::runtime::rest::Mounted;
use crate::runtime::storage::{self, Driver};
use crate::spec::{self, Ids, ids::Base};
use crate::state::{self, Record};

/// See the head.
pub(in crate::cli) struct Rest {
    record: Record,
    container: Container,
    ground: Ground,
}

/// What a container has written, and what that lies on.
pub(in crate::cli) struct Written {
    /// Topmost first.
    pub(in crate::cli) layers: Vec<PathBuf>,
    /// None: nothing, because it was never started.
    pub(in crate::cli) top: Option<PathBuf>,
    /// It is a copy of what the layers show, with the changes in it.
    pub(in crate::cli) whole: bool,
    /// Its image; none of a directory.
    pub(in crate::cli) pin: Option<Pin>,
    _ground: Ground,
}

impl Written {
    /// Of a container that runs, or that is in hand.
    ///
    /// # Errors
    /// RL0307 where its image is damaged.
    pub(in crate::cli) fn of(host: &Host, record: &Record) -> Result<Self> {
        let data = state::data_of(&host.dirs, &record.id);
        let ground = ground::of_running(&host.dirs, record, &data)?;
        let (top, whole) = match (&ground.layers, data.join("upper"), data.join("root")) {
            (Layers::Plain(path), ..) => (Some(path.clone()), true),
            (_, upper, _) if upper.is_dir() => (Some(upper), false),
            (.., copy) if copy.is_dir() => (Some(copy), true),
            _ => (None, false),
        };
        Ok(Self { layers: ground.layers.paths(), top, whole, pin: ground.pin.clone(), _ground: ground })
    }
}

/// Its root, mounted.
pub(in crate::cli) struct Standing {
    pub(in crate::cli) mounted: Mounted,
    /// What its ids are here.
    pub(in crate::cli) ids: Ids,
    fuse: Option<Fuse>,
    /// Given back last.
    pub(in crate::cli) rest: Rest,
}

impl Rest {
    /// Takes it in hand.
    ///
    /// # Errors
    /// RL0806 where it runs.
    pub(in crate::cli) fn take(host: &Host, id: &str) -> Result<Self> {
        let (record, lock) = in_hand(host, id)?;
        let container = Container::of_record(&host.dirs, &record, lock);
        match ground::again(&host.dirs, &record, &container.data) {
            Ok(ground) => Ok(Self { record, container, ground }),
            Err(error) => {
                container.put_back()?;
                Err(error)
            }
        }
    }

    /// What it was made of.
    pub(in crate::cli) fn record(&self) -> &Record {
        &self.record
    }

    /// Mounts its root.
    ///
    /// # Errors
    /// As a start.
    pub(in crate::cli) fn stand(self, host: &Host, base: &Base) -> Result<Standing> {
        let run = &self.record.run;
        let ids = spec::ids::resolve(&run.userns, base, host.caller.uid, host.caller.gid, &[])?;
        let root = self.ground.layers.below(&self.container.data, run.remove);
        let recorded = self.record.driver.as_deref().map(str::parse).transpose()?;
        let driver: Driver = recorded.unwrap_or_else(|| storage::remembered(&host.dirs));
        let mountpoints = mountpoints::lowest(&host.dirs, &run.etc);
        let (root, fuse) = self.ground.stand(&root, driver, &ids, &self.container, mountpoints)?;
        let mounted = Mounted::new(&root, &self.container.identity.dir, run.read_only)?;
        Ok(Standing { mounted, ids, fuse, rest: self })
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        // What it says of its end is of no use to anybody any more.
        let _ = self.fuse.take().map(Fuse::stop);
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        // Best effort: it is an orphan then, which the next start of anything collects.
        let _ = self.container.put_back();
    }
}
