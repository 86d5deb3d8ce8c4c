//! RL05xx: the container's process.

use super::entries;

entries! {
    /// The command is nowhere in PATH.
    COMMAND_NOT_FOUND = 501, exit 127, "command not found",
        why "The command has no slash and is in no directory of the container's PATH.",
        fix "Check its name, or give its full path inside the container.";
    /// A step of the process's set-up failed.
    SETUP = 510, exit 125, "cannot set up the container's process",
        why "A step between clone and exec was refused by the kernel.",
        fix "The message names the step; rl run --plan=shell shows all of them in order.";
    /// The user that should run the command is not there.
    UNKNOWN_USER = 511, exit 125, "no such user or group in the container",
        why "A name given to --user or --group-add, or the image's own User, is not in the container's /etc/passwd or /etc/group, or its id is not mapped.",
        fix "Use a numeric id, or a name that is in the image.";
    /// The caller's terminal, or the container's, can't be used.
    TERMINAL = 520, exit 125, "cannot use the terminal",
        why "Reading or changing the terminal of -t was refused; usually it was closed, or belongs to another session.",
        fix "Run without -t, or from another terminal.";
    /// Watching over the container failed.
    SUPERVISE = 521, exit 125, "cannot watch over the container",
        why "rl waits for the container's first process, forwards signals to it and passes its terminal's bytes on; the kernel refused one of these. The container has been killed.",
        fix "Run it again; if it fails again, report the message.";
}
