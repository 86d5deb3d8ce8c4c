//! What the steps need of the host, opened before the first of them.
//!
//! Owns opening it, and handing each step what is its own. The surprise: two kinds of steps are done by then. The mounts are isolated
//! here, because what is opened should be of the isolated tree, and a bind with mapped ids was made by the parent.

use std::os::fd::OwnedFd;

use super::{Init, State};
use crate::error::{Context, Error, Result, catalog::process as codes, catalog::rootfs};
use crate::plan::Step;
use crate::runtime::gate::Gate;
use crate::runtime::handover::Receiver;
use crate::runtime::{binfmt, mounts};

impl State {
    /// Opens whatever of the host the steps name, while this is still the caller: container root may be another, who has no way
    /// through the caller's private directories (nomap, auto). No path is looked up again.
    pub(super) fn open_host(&mut self, init: &Init<'_>) -> Result<()> {
        for (index, step) in init.plan.steps.iter().enumerate() {
            let source = match step {
                Step::Isolate { propagation } => {
                    mounts::isolate(*propagation)?;
                    None
                }
                Step::Overlay { on, .. } => Some(mounts::open_directory(on)?),
                Step::BindRoot { source, on } => {
                    self.on = Some(mounts::open_directory(on)?);
                    Some(mounts::clone_root(source)?)
                }
                Step::Bind { idmap: Some(_), .. } => {
                    let made = init.mapped.iter().find(|(of, _)| *of == index);
                    let copy = made.map(|(_, tree)| tree.try_clone()).transpose();
                    copy.context(&codes::SETUP, || "take what the parent has made".into())?
                }
                Step::Bind { source, beneath: Some(root), .. } => Some(mounts::open_part(root, source)?),
                Step::Bind { source, .. } => Some(mounts::open_source(source)?),
                Step::Device(device) => mounts::host_node(device),
                Step::Emulate { emulators } => {
                    self.emulators = emulators.iter().map(binfmt::open).collect::<Result<_>>()?;
                    None
                }
                Step::AwaitStart { dir } => {
                    self.gate = Some(Gate::open(dir)?);
                    None
                }
                _ => None,
            };
            self.sources.push(source);
        }
        if let Some(listener) = init.listener {
            self.listener = Some(Receiver::connect(&listener.path, "linux.seccomp.listenerPath")?);
        }
        Ok(())
    }

    /// What was opened for the step of this index, which has it from now on.
    pub(super) fn source(&mut self, index: usize) -> Result<OwnedFd> {
        let source = self.sources.get_mut(index).and_then(Option::take);
        source.ok_or_else(|| Error::new(&rootfs::MOUNT, format!("find what step {index} has opened of the host")))
    }
}
