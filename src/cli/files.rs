//! The files of a container, whether it runs or not: a root directory to look names up in, and whose they are.
//!
//! Owns the way to them, for cp, export, commit and diff. The surprise: of a container that runs it is the very root that its processes
//! have, with all that they have mounted; of one that does not it is mounted for this `rl` alone, which has the container in hand as long.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::run::rest::{Rest, Standing};
use crate::error::{Result, catalog::state as codes};
use crate::host::Host;
use crate::runtime::inside::{self, Record, Target};
use crate::spec::{self, Ids, ids::Base};
use crate::state::{self, Container, Containers, Running};
use crate::tree::Owners;

/// One container's.
pub(super) struct Files {
    root: Root,
    ids: Ids,
}

enum Root {
    Running(OwnedFd),
    Resting(Box<Standing>),
}

/// From ids of this namespace to what is written into a stream.
pub(super) struct Maps {
    uid: Box<dyn Fn(u32) -> u32 + Sync>,
    gid: Box<dyn Fn(u32) -> u32 + Sync>,
}

impl Maps {
    pub(super) fn owners(&self) -> Owners<'_> {
        Owners { uid: &*self.uid, gid: &*self.gid }
    }
}

/// A container, with its first process where it runs, else in hand.
pub(super) enum Found {
    Running(Box<Container>, Running),
    Resting(Box<Rest>),
}

impl Found {
    /// # Errors
    /// RL0804; RL0806 where it is just between two starts.
    pub(super) fn of(host: &Host, text: &str) -> Result<Self> {
        let containers = Containers::open(&host.dirs);
        let mut container = containers.find(text)?;
        if let Some(running) = container.running.take() {
            return Ok(Self::Running(Box::new(container), running));
        }
        match Rest::take(host, &container.record.id) {
            // Started since it was looked at.
            Err(error) if *error.entry() == codes::RUNNING => {
                let (container, running) = containers.find_running(text)?;
                Ok(Self::Running(Box::new(container), running))
            }
            rest => rest.map(Box::new).map(Self::Resting),
        }
    }
}

impl Found {
    /// What it was made of.
    pub(super) fn record(&self) -> &state::Record {
        match self {
            Self::Running(container, _) => &container.record,
            Self::Resting(rest) => rest.record(),
        }
    }
}

impl Files {
    /// Without what is mounted in it, where it does not run.
    ///
    /// # Errors
    /// RL0804, RL0516; what its start would say.
    pub(super) fn of(host: &Host, base: &Base, found: Found) -> Result<Self> {
        match found {
            Found::Running(container, running) => Self::running(host, base, &container, running),
            Found::Resting(rest) => {
                let standing = rest.stand(host, base)?;
                Ok(Self { ids: standing.ids.clone(), root: Root::Resting(Box::new(standing)) })
            }
        }
    }

    /// With its volumes.
    ///
    /// # Errors
    /// As [`Files::of`].
    pub(super) fn with_volumes(host: &Host, base: &Base, text: &str) -> Result<Self> {
        let files = Self::of(host, base, Found::of(host, text)?)?;
        if let Root::Resting(standing) = &files.root {
            standing.mounted.volumes(&standing.rest.record().run.volumes)?;
        }
        Ok(files)
    }

    fn running(host: &Host, base: &Base, container: &Container, running: Running) -> Result<Self> {
        let record = Record::read(&container.run)?;
        let target = Target { pid: running.pid.as_raw(), pidfd: running.pidfd, record };
        let userns = &container.record.run.userns;
        let ids = spec::ids::resolve(userns, base, host.caller.uid, host.caller.gid, &[])?;
        Ok(Self { root: Root::Running(inside::root(&target)?), ids })
    }

    /// The root directory.
    pub(super) fn root(&self) -> BorrowedFd<'_> {
        match &self.root {
            Root::Running(root) => root.as_fd(),
            Root::Resting(standing) => standing.mounted.root(),
        }
    }

    /// As this process sees them.
    pub(super) fn as_seen(&self) -> Maps {
        Maps { uid: Box::new(|uid| uid), gid: Box::new(|gid| gid) }
    }

    /// As the container sees its own files.
    pub(super) fn as_inside(&self) -> Maps {
        let (uids, gids) = (self.ids.uid.clone(), self.ids.gid.clone());
        Maps {
            uid: Box::new(move |uid| uids.inside(uid).unwrap_or(0)),
            gid: Box::new(move |gid| gids.inside(gid).unwrap_or(0)),
        }
    }

    /// As the caller sees files of the host.
    pub(super) fn as_here(&self) -> Maps {
        let (uids, gids) = (self.ids.base_uid.clone(), self.ids.base_gid.clone());
        Maps {
            uid: Box::new(move |uid| uids.outside(uid).unwrap_or(0)),
            gid: Box::new(move |gid| gids.outside(gid).unwrap_or(0)),
        }
    }

    /// Whose a file in the container is to be: by its number in the stream, or root's.
    pub(super) fn owner(&self, keep: bool, uid: u32, gid: u32) -> Option<(u32, u32)> {
        let (uid, gid) = if keep { (uid, gid) } else { (0, 0) };
        let root = (self.ids.uid.outside(0)?, self.ids.gid.outside(0)?);
        Some((self.ids.uid.outside(uid).unwrap_or(root.0), self.ids.gid.outside(gid).unwrap_or(root.1)))
    }
}
