//! What happens between the container's own steps: hooks, and waiting for `start`.
//!
//! Owns the moments at which an engine or its document's hooks have their turn. The surprise: while it waits for `start` the process
//! may be dumpable, or no engine could join its namespaces by pid.

use super::{Init, State};
use crate::error::{Context, Result, catalog::process as codes};
use crate::plan::Step;
use crate::runtime::gate::Gate;
use crate::runtime::{execute, hooks};
use crate::sys::child;

impl State {
    /// One of the steps in which somebody else is run or waited for.
    pub(super) fn lifecycle(&mut self, step: &Step, init: &Init<'_>) -> Result<()> {
        let state = |status| init.plan.bundle.as_ref().map(|bundle| bundle.state(&init.plan.id, status, self.pid));
        match step {
            Step::RuntimeHooks => {
                if !init.channel.have_hooks_run() {
                    child::exit_now(125);
                }
                Ok(())
            }
            Step::ContainerHooks { hooks } => {
                hooks::run("createContainer", hooks, &state("created").unwrap_or_default())
            }
            Step::StartHooks { hooks } => hooks::run("startContainer", hooks, &state("created").unwrap_or_default()),
            Step::AwaitStart { .. } => {
                let command = &init.plan.process;
                if !command.args.is_empty()
                    && let Err(errno) = execute::findable(&command.args, &command.env)
                {
                    return Err(execute::explain(command, &command.env, errno));
                }
                init.channel.send_waiting().context(&codes::SETUP, || "tell that all is done".into())?;
                self.wait_at_gate(init.plan.namespaces.pid.is_new())
            }
            _ => Ok(()),
        }
    }

    /// Engines join the namespaces of a container that was created by its pid, which the kernel refuses while it is not dumpable.
    /// With a pid namespace of its own nobody in it can see this process yet.
    fn wait_at_gate(&self, alone: bool) -> Result<()> {
        let doing = || "wait for start".to_owned();
        nix::sys::prctl::set_dumpable(alone).context(&codes::SETUP, doing)?;
        self.gate.as_ref().map_or(Ok(()), Gate::wait)?;
        nix::sys::prctl::set_dumpable(false).context(&codes::SETUP, doing)
    }
}
