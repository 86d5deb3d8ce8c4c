//! `RUN/containers/ID/process.json`: what a container leaves for execs, its steps and its seccomp program.
//!
//! The surprise: the program itself is in it, not a name in the cache. An exec must not be weaker than the run because somebody has
//! cleaned a cache meanwhile, or installed another libseccomp.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result, catalog::state};
use crate::plan::exec::Template;
use crate::plan::{Plan, Step};
use crate::runtime::rights;
use crate::sys::seccomp::Filter;

const VERSION: u32 = 1;

/// The record as it is read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    version: u32,
    /// What an exec is made of.
    pub template: Template,
    filter: Option<Program>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Program {
    flags: u32,
    /// Base64.
    program: String,
}

/// Leaves the record in the container's run directory.
///
/// # Errors
/// RL0802.
pub fn write(dir: &Path, plan: &Plan, filter: Option<&Filter>) -> Result<()> {
    let filter = filter.map(|filter| Program { flags: filter.flags, program: STANDARD.encode(&filter.program) });
    let record = Record { version: VERSION, template: Template::of(plan, rights::limits()), filter };
    let path = dir.join("process.json");
    let doing = || format!("write {}", path.display());
    let text = serde_json::to_vec(&record).context(&state::STATE, doing)?;
    std::fs::write(&path, text).context(&state::STATE, doing)
}

impl Record {
    /// Reads what [`write`] has left.
    ///
    /// # Errors
    /// RL0802 where it is missing, torn, or another version's.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join("process.json");
        let doing = || format!("read {}", path.display());
        let text = std::fs::read(&path).context(&state::STATE, doing)?;
        let record: Self = serde_json::from_slice(&text).context(&state::STATE, doing)?;
        if record.version == VERSION {
            return Ok(record);
        }
        Err(Error::new(&state::STATE, doing()).because(format!("it has the version {}", record.version)))
    }

    /// The filter that the plan's step loads. A plan that wants one while none was left is refused: the exec would be weaker.
    pub(in crate::runtime) fn filter(&self, plan: &Plan) -> Result<Option<Filter>> {
        if !plan.steps.iter().any(|step| matches!(step, Step::Seccomp { .. })) {
            return Ok(None);
        }
        let doing = || "find the container's seccomp program".to_owned();
        let stored = self.filter.as_ref().ok_or_else(|| Error::new(&state::STATE, doing()))?;
        let program = STANDARD.decode(&stored.program).context(&state::STATE, doing)?;
        Ok(Some(Filter { program, flags: stored.flags }))
    }
}
