//! The seccomp filter, and who is asked about the system calls that it notifies of.
//!
//! Owns loading it and handing the listener over; the filter itself was compiled by the parent. The surprise: a user whom the command
//! becomes only afterwards is looked up before, because the filter may forbid what looking up takes.

use std::os::fd::AsFd;

use super::{Init, State};
use crate::error::{Context, Result, catalog::process as codes};
use crate::plan::Step;
use crate::sys::seccomp;

impl State {
    /// Loads the filter; `index` is that of the step, behind which there may be one that needs a user.
    pub(super) fn load_filter(&mut self, index: usize, init: &Init<'_>) -> Result<()> {
        let later = init.plan.steps[index..].iter().find(|step| matches!(step, Step::User { .. } | Step::Ids { .. }));
        self.known = later.map(|step| self.look_up(step, init)).transpose()?;
        self.load(init)
    }

    fn load(&self, init: &Init<'_>) -> Result<()> {
        let Some(filter) = init.filter else { return Ok(()) };
        let asked = seccomp::load(filter).context(&codes::SETUP, || "load the seccomp filter".into())?;
        let (Some(fd), Some(receiver), Some(listener)) = (asked, &self.listener, init.listener) else { return Ok(()) };
        let state = init.plan.bundle.as_ref().map(|bundle| bundle.state(&init.plan.id, "creating", self.pid));
        let text = serde_json::json!({
            "ociVersion": init.plan.bundle.as_ref().map(|bundle| &bundle.version),
            "fds": ["seccompFd"],
            "pid": self.pid,
            "metadata": listener.metadata,
            "state": state,
        });
        receiver.send(text.to_string().as_bytes(), fd.as_fd())
    }
}
