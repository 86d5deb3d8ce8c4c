//! The steps that make the container's file tree.
//!
//! Owns what each of them hands to `mounts`, where it is made: what of the host was opened for it, and what earlier steps have left.
//! The surprise: users of the container are looked up in a tree that is not finished, because a volume can be given to one.

use std::path::Path;

use super::State;
use crate::error::{Error, Result, catalog::rootfs};
use crate::host::emulation::Emulator;
use crate::plan::{Device, Step};
use crate::runtime::mounts::{self, Bind, NewMount, Overlay, Root};
use crate::runtime::{binfmt, user};

impl State {
    /// The root file system, once there is one.
    pub(super) fn root(&mut self) -> Result<&mut Root> {
        self.root.as_mut().ok_or_else(|| Error::new(&rootfs::MOUNT, "use a root file system before it was mounted"))
    }

    pub(super) fn overlay(&mut self, index: usize, overlay: &Overlay<'_>, on: &Path) -> Result<()> {
        self.root = Some(mounts::overlay(overlay, on, &self.source(index)?)?);
        Ok(())
    }

    pub(super) fn bind_root(&mut self, index: usize) -> Result<()> {
        let (tree, on) = (self.source(index)?, self.on.take());
        let on = on.ok_or_else(|| Error::new(&rootfs::MOUNT, "find where the root is attached"))?;
        self.root = Some(mounts::bind_root(tree, &on)?);
        Ok(())
    }

    pub(super) fn enter_root(&mut self) -> Result<()> {
        self.root = Some(mounts::enter_root()?);
        Ok(())
    }

    pub(super) fn emulate(&mut self, emulators: &[Emulator]) -> Result<()> {
        let programs = std::mem::take(&mut self.emulators);
        let emulators: Vec<_> = emulators.iter().zip(programs).collect();
        binfmt::emulate(self.root()?, &emulators)
    }

    pub(super) fn device(&mut self, index: usize, device: &Device) -> Result<()> {
        let host = self.sources.get_mut(index).and_then(Option::take);
        self.root()?.device(device, host.as_ref())
    }

    /// What is mounted, made or covered in the root.
    pub(super) fn mount(&mut self, index: usize, step: &Step) -> Result<()> {
        match step {
            Step::Mount { filesystem, source, target, attributes, options, fallback_bind, propagation, copy_up } => {
                self.root()?.mount(&NewMount {
                    filesystem,
                    source,
                    target,
                    attributes: *attributes,
                    options,
                    fallback: fallback_bind.as_deref(),
                    propagation: *propagation,
                    copy_up: *copy_up,
                })
            }
            Step::Bind { .. } => self.bind(index, step),
            Step::Directory { target, .. } => self.root()?.directory(target).map(drop),
            Step::Symlink { target, to } => self.root()?.symlink(target, to),
            Step::Mask { targets } => {
                let root = self.root()?;
                targets.iter().try_for_each(|target| root.mask(target))
            }
            Step::ReadOnly { targets } => {
                let root = self.root()?;
                targets.iter().try_for_each(|target| root.read_only(target))
            }
            _ => Ok(()),
        }
    }

    fn bind(&mut self, index: usize, step: &Step) -> Result<()> {
        let Step::Bind { source, target, recursive, attributes, deep, propagation, device, copy, owner, idmap, .. } =
            step
        else {
            return Ok(());
        };
        let opened = self.source(index)?;
        let root = self.root()?;
        let owner = owner.as_ref().map(|words| user::account(root.fd(), words, &[])).transpose()?;
        let bind = Bind {
            source,
            target,
            recursive: *recursive,
            attributes: *attributes,
            deep: *deep,
            propagation: *propagation,
            device: *device,
            copy: *copy,
            owner: owner.map(|account| (account.uid, account.gid)),
        };
        // With mapped ids the parent has made the copy already.
        let tree = if idmap.is_some() { opened } else { root.copy_opened(&opened, source, *recursive)? };
        root.bind(&bind, &tree)
    }

    /// Made when it is missing, but not in a container that is there already.
    pub(super) fn working_directory(&mut self, path: &Path, there: bool) -> Result<()> {
        self.root()?.enter(path, !there)
    }
}
