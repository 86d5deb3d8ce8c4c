//! The id maps of a user namespace, written from outside of it.
//!
//! The surprise: `setgroups` is denied first where the kernel wants it, because a map of groups is taken only once.

use crate::error::{Context, Result, catalog::ids};
use crate::plan::IdPlan;
use crate::sys::clone::Child;

pub(super) fn write_maps(child: &Child, plan: &IdPlan) -> Result<()> {
    let write = |file: &str, text: &str| {
        let path = format!("/proc/{}/{file}", child.pid);
        std::fs::write(&path, text).context(&ids::BAD_ID_MAP, || format!("write {text:?} to {path}"))
    };
    if !plan.setgroups {
        write("setgroups", "deny")?;
    }
    write("uid_map", &plan.uid_map)?;
    write("gid_map", &plan.gid_map)
}
