//! RL06xx: capabilities, seccomp.

use super::entries;

entries! {
    /// A capability of an unknown name.
    UNKNOWN_CAPABILITY = 601, exit 125, "no such capability",
        why "A name given to --cap-add or --cap-drop is no capability that this kernel knows.",
        fix "See capabilities(7) for the names; ALL means all.";
    /// The seccomp profile can't be used.
    SECCOMP_PROFILE = 602, exit 125, "cannot use this seccomp profile",
        why "The profile is not valid JSON of docker's or the OCI's form, or it can't be compiled or loaded.",
        fix "Check the file, or use the default profile.";
    /// The default filter could not be made.
    SECCOMP_COMPILE = 603, exit 125, "cannot compile the seccomp filter",
        why "libseccomp refused a rule of rl's own profile, or there was no memory for it.",
        fix "Please report this with the version of libseccomp; --security-opt seccomp=FILE gives another profile.";
}
