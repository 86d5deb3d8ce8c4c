//! RL08xx: rl's own directories and running state.

use super::entries;

entries! {
    /// A directory of rl's is not private to the caller.
    UNSAFE_DIRECTORY = 801, exit 125, "a directory that is not yours alone",
        why "A directory for rl's state belongs to another user or others may write to it, so what it holds can't be trusted.",
        fix "Remove it or give another with --runroot or --root.";
    /// State can't be read or written.
    STATE = 802, exit 125, "cannot read or write rl's state",
        why "The disk is full, read-only, or a directory has been changed by hand.",
        fix "Check free space and the permissions of the path that is named.";
    /// A container name that is taken or malformed.
    NAME = 803, exit 125, "cannot use this container name",
        why "Another container has the name, or it is not made of [a-zA-Z0-9][a-zA-Z0-9_.-]*.",
        fix "Choose another --name.";
    /// No container has this name or id.
    NO_CONTAINER = 804, exit 1, "no such container",
        why "No container has this name, and no id starts with these digits (or several do).",
        fix "See which there are: rl ps -a";
    /// The container does not run.
    NOT_RUNNING = 805, exit 1, "the container does not run",
        why "This needs a running container, and the container has ended or was never started.",
        fix "Start it: rl start NAME";
    /// The container runs.
    RUNNING = 806, exit 1, "the container runs",
        why "This needs a container that does not run.",
        fix "Stop it first: rl stop NAME";
    /// Nothing was logged.
    NO_LOG = 807, exit 1, "the container has no log",
        why "Only the output of containers in the background is logged, and not with --log-driver none.",
        fix "Run it in the background: rl run -d";
    /// Something that cannot happen.
    INTERNAL = 899, exit 125, "an internal error",
        why "rl reached a state that it should never reach.",
        fix "Please report this with the command line.";
}
