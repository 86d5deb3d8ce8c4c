//! RL09xx: `rl oci`, called by engines.

use super::entries;

entries! {
    /// No container of that id.
    MISSING = 901, exit 1, "no such container",
        why "There is no container of this id in the state directory, which is $XDG_RUNTIME_DIR/rl-oci, /run/rl-oci for root, or --root.",
        fix "List them: rl oci list. A container of another --root is found with that --root only.";
    /// The id is taken.
    EXISTS = 902, exit 1, "the container exists already",
        why "A container of this id is in the state directory, perhaps one that has stopped and was not deleted.",
        fix "Delete it: rl oci delete ID.";
    /// Not in this state.
    STATUS = 903, exit 1, "not possible in the container's state",
        why "A container is created, then running, then stopped, and each verb is for some of these states.",
        fix "Look at it: rl oci state ID.";
    /// A verb that rl has not.
    UNSUPPORTED = 904, exit 1, "not supported",
        why "This runtime does not do what was asked, and says so instead of doing something else.",
        fix "rl oci features shows what it does.";
}
