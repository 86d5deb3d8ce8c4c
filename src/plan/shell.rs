//! The plan as a POSIX shell script in the terms of util-linux, uidmap and libcap2-bin.

use super::Plan;

/// Writes the script. Pure.
pub fn script(_plan: &Plan) -> String {
    String::new()
}
