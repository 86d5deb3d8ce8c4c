//! RL05xx: the container's process.

use super::entries;

entries! {
    /// The command is nowhere in PATH.
    COMMAND_NOT_FOUND = 501, exit 127, "command not found",
        why "The command has no slash and is in no directory of the container's PATH.",
        fix "Check its name, or give its full path inside the container.";
    /// The file of a command is not there.
    FILE_MISSING = 502, exit 127, "no such file in the container",
        why "The command was given with a slash, and there is no file of that path in the container.",
        fix "Check the path, and whether a volume covers it.";
    /// A dynamic program's loader is not in the image.
    ELF_INTERPRETER = 503, exit 127, "the program's loader is missing",
        why "A dynamic program names the loader that starts it (its ELF interpreter), and the image has no such file. execve says only 'No such file or directory'.",
        fix "Use an image with that loader, or a static program.";
    /// A script's interpreter is not in the image.
    SCRIPT_INTERPRETER = 504, exit 127, "the script's interpreter is missing",
        why "The first line of the script names a program behind #! that is not in the image, or whose name ends with a carriage return. execve says only 'No such file or directory'.",
        fix "Install the interpreter in the image, or correct the script's first line.";
    /// A program for another machine.
    WRONG_ARCHITECTURE = 505, exit 126, "a program for another architecture",
        why "The program was built for another processor than this machine has, and rl could not run it with qemu: there is none for that architecture, or the program is none that the image's own architecture runs. execve says only 'Exec format error'.",
        fix "Use an image for an architecture that rl info lists as runnable.";
    /// The file is there but can't be executed.
    NOT_EXECUTABLE = 506, exit 126, "cannot execute the command",
        why "The file has no execute permission, is a directory, lies on a mount with noexec, or is neither an ELF program nor a script.",
        fix "The message says which of these it is.";
    /// The loader could not find libraries.
    MISSING_LIBRARIES = 507, exit 127, "shared libraries are missing",
        why "The program was started, but its loader found no file for these libraries in the image.",
        fix "Install the packages that have them in the image.";
    /// A step of the process's set-up failed.
    SETUP = 510, exit 125, "cannot set up the container's process",
        why "A step between clone and exec was refused by the kernel.",
        fix "The message names the step; rl run --plan=shell shows all of them in order.";
    /// The user that should run the command is not there.
    UNKNOWN_USER = 511, exit 125, "no such user or group in the container",
        why "A name given to --user or --group-add, or the image's own User, is not in the container's /etc/passwd or /etc/group, or its id is not mapped.",
        fix "Use a numeric id, or a name that is in the image.";
    /// A namespace can't be joined.
    NAMESPACE = 512, exit 125, "cannot join a namespace",
        why "A namespace that was named by its path is gone, is of another kind, or belongs to a user namespace in which the caller is not root.",
        fix "Check the path, and that the process or the file that keeps the namespace is still there.";
    /// A hook failed.
    HOOK = 513, exit 125, "a hook failed",
        why "A program that config.json names under hooks could not be executed, ended with another status than 0, or took longer than its timeout.",
        fix "The message has what the hook wrote to stderr.";
    /// start without a create.
    NOT_CREATED = 514, exit 125, "no container is waiting to be started",
        why "The container has been started already, or its first process has ended.",
        fix "Look at it with: rl oci state ID.";
    /// A descriptor can't be handed over.
    HANDOVER = 515, exit 125, "cannot hand over a descriptor",
        why "Nobody listens on the socket of --console-socket, --pidfd-socket or linux.seccomp.listenerPath.",
        fix "Start the program that listens there first.";
    /// An exec can't enter the container.
    JOIN = 516, exit 125, "cannot join the container",
        why "rl exec enters the namespaces of the container's first process, which the kernel allows to whoever owns them: the user that started it, in the same place (the host, or the same rl unshare).",
        fix "Start the exec as the user and from the place that started the container.";
    /// The working directory is not there, or is none.
    WORKING_DIRECTORY = 517, exit 127, "cannot use the working directory",
        why "The directory of -w, or of the image, is a file, leads nowhere or through a link of /proc, or is closed to the container. A run makes one that is missing (and ends with 125 where it can't); an exec makes nothing. One that may not be entered is 126.",
        fix "Give a directory that is in the container: -w DIR.";
    /// The caller's terminal, or the container's, can't be used.
    TERMINAL = 520, exit 125, "cannot use the terminal",
        why "Reading or changing the terminal of -t was refused; usually it was closed, or belongs to another session.",
        fix "Run without -t, or from another terminal.";
    /// Watching over the container failed.
    SUPERVISE = 521, exit 125, "cannot watch over the container",
        why "rl waits for the container's first process, forwards signals to it and passes its terminal's bytes on; the kernel refused one of these. The container has been killed.",
        fix "Run it again; if it fails again, report the message.";
}
