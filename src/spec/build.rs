//! RunSpec + ImageConfig + Ids -> OCI runtime `Spec`.

use oci_spec::runtime::Spec;

use super::{Extras, Identity, Ids, ImageConfig, RunSpec};
use crate::error::Result;

/// Makes the specification. Pure.
pub fn build(_run: &RunSpec, _image: &ImageConfig, _ids: &Ids, _identity: &Identity) -> Result<(Spec, Extras)> {
    Ok((
        Spec::default(),
        Extras {
            user: String::new(),
            group_add: Vec::new(),
            init: false,
            seccomp: super::SeccompChoice::Default,
            interactive: false,
            home_given: false,
        },
    ))
}
