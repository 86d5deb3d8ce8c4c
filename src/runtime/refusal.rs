//! Why the kernel makes no user namespace.
//!
//! Owns reading the switches that distributions have for it, and nothing else; they are read only after a refusal. The
//! surprise: EPERM is what all of them answer, so the switch that is off can't be told from the errno.

use crate::error::{Error, catalog::ids};

/// The error for this errno, with the administrator's command for the first switch that is off.
pub(super) fn refused(errno: nix::errno::Errno) -> Error {
    let switch = |path: &str| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let error = Error::new(&ids::NO_USER_NAMESPACE, "make a user namespace").because(errno);
    let zero = Some("0".to_owned());
    if switch("/proc/sys/user/max_user_namespaces") == zero {
        return error
            .fix("user.max_user_namespaces is 0. Ask the administrator for: sysctl -w user.max_user_namespaces=15000");
    }
    if switch("/proc/sys/kernel/unprivileged_userns_clone") == zero {
        return error.fix(
            "kernel.unprivileged_userns_clone is 0. Ask the administrator for: sysctl -w kernel.unprivileged_userns_clone=1",
        );
    }
    if switch("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == Some("1".into()) {
        let exe = std::env::current_exe().unwrap_or_default();
        return error.fix(format!(
            "AppArmor allows user namespaces only to programs with a profile. Ask the administrator for the file \
             /etc/apparmor.d/rl with\n  abi <abi/4.0>,\n  profile rl {} flags=(unconfined) {{ userns, }}\nand: \
             apparmor_parser -r /etc/apparmor.d/rl",
            exe.display()
        ));
    }
    error
}
