//! Labels of security modules that this machine's kernel has not.
//!
//! They are left out and that is told, as crun does without telling: a bundle is made for many machines, and where a module
//! is not, nothing can be set. The surprise: a label of a module that is there and can't be set stays an error.

use oci_spec::runtime::Process;

use crate::host::kernel;

/// What the document's process, or one of `exec`, is to have here.
pub(super) fn keep_possible(process: &mut Process) {
    keep_of((kernel::has_apparmor(), kernel::has_selinux()), process, |what| eprintln!("rl: warning: {what}"));
}

fn keep_of((apparmor, selinux): (bool, bool), process: &mut Process, tell: impl Fn(String)) {
    let given = |label: &Option<String>| label.clone().filter(|label| !label.is_empty());
    let told = |field: &str, label: String, module: &str| {
        tell(format!("process.{field} {label} is not set: this machine's kernel has no {module}"));
    };
    if let Some(label) = given(process.apparmor_profile()).filter(|_| !apparmor) {
        told("apparmorProfile", label, "AppArmor");
        process.set_apparmor_profile(None);
    }
    if let Some(label) = given(process.selinux_label()).filter(|_| !selinux) {
        told("selinuxLabel", label, "SELinux");
        process.set_selinux_label(None);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn a_label_is_left_out_and_told_only_where_its_module_is_not() {
        let labelled = || {
            let mut process = Process::default();
            process.set_apparmor_profile(Some("profile".into())).set_selinux_label(Some("label".into()));
            process
        };
        for (modules, wanted) in [((true, true), 0), ((true, false), 1), ((false, true), 1), ((false, false), 2)] {
            let (mut process, told) = (labelled(), RefCell::new(Vec::new()));
            keep_of(modules, &mut process, |what| told.borrow_mut().push(what));
            assert_eq!(told.borrow().len(), wanted, "{told:?}");
            assert_eq!((process.apparmor_profile().is_some(), process.selinux_label().is_some()), modules);
        }
    }
}
