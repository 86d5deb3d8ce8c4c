//! Spec + Extras -> Plan.

use oci_spec::runtime::Spec;

use super::{Plan, RootSource};
use crate::error::{Error, Result, catalog::state};
use crate::spec::{Extras, Identity, Ids};

/// Validates and orders. Pure.
pub fn compile(
    _spec: &Spec,
    _extras: &Extras,
    _ids: &Ids,
    _identity: &Identity,
    _root: &RootSource,
    _run_root: &std::path::Path,
) -> Result<Plan> {
    Err(Error::new(&state::INTERNAL, "compile"))
}
