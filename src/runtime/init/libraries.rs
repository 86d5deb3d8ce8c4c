//! Why a command has ended with 127: libraries that its loader can't have found.
//!
//! Owns building the container's root once more, in a process of its own. The surprise: nothing of it is on the way of a run; the
//! loader's own words went to the container's stderr, and rl has nothing but the status.

use std::path::Path;

use super::become_root::become_root;
use super::{Init, State, report};
use crate::error::{Error, Result, catalog::process as codes};
use crate::plan::Step;
use crate::runtime::{diagnose, execute};
use crate::sys::child;

/// After the container has ended with 127: builds its root once more and looks for libraries that the loader can't have found.
/// Never returns; what it finds goes up as a failure, nothing as an end.
pub(in crate::runtime) fn examine(init: &Init<'_>) -> ! {
    if init.channel.wait_for_go().is_some()
        && let Ok(Some(error)) = missing_libraries(init)
    {
        report(&init.channel, &error);
    }
    child::exit_now(0)
}

fn missing_libraries(init: &Init<'_>) -> Result<Option<Error>> {
    let mut state = State::default();
    state.open_host(init)?;
    become_root(init.plan)?;
    // The root file system and the volumes; no terminal, no device, nothing behind the pivot.
    let needed =
        |step: &Step| matches!(step, Step::Overlay { .. } | Step::BindRoot { .. } | Step::Bind { device: false, .. });
    for (index, step) in init.plan.steps.iter().enumerate().filter(|(_, step)| needed(step)) {
        state.carry_out(index, step, init)?;
    }
    let command = &init.plan.process;
    let Some(program) = command.args.first() else { return Ok(None) };
    let root = state.root()?.fd();
    let Ok(path) = diagnose::locate(root, program, execute::search_path(&command.env), Path::new("/")) else {
        return Ok(None);
    };
    let missing = diagnose::missing_libraries(root, &path);
    let what = format!("{} needs {}", path.display(), missing.join(", "));
    Ok((!missing.is_empty()).then(|| Error::new(&codes::MISSING_LIBRARIES, what)))
}
