//! RL01xx: what the user typed.

use super::entries;

entries! {
    /// A flag or argument that makes no sense.
    USAGE = 101, exit 125, "wrong usage",
        why "A flag, its value or an argument is not one that this verb understands.",
        fix "See: rl --help";
    /// Two flags that exclude each other.
    CONFLICT = 102, exit 125, "flags that contradict each other",
        why "Two of the given flags ask for opposite things.",
        fix "Leave one of them out.";
    /// A file that the command line names can't be read.
    INPUT_FILE = 103, exit 125, "cannot read a file of the command line",
        why "A file given by --env-file, --security-opt seccomp= or a similar flag is missing, unreadable or malformed.",
        fix "Check the path and the file's content.";
    /// A specification that can't be carried out.
    SPECIFICATION = 104, exit 125, "a container specification that cannot be carried out",
        why "A field of the OCI runtime specification is missing, contradictory, or asks for something that is not supported.",
        fix "Change the field that is named.";
    /// A flag or verb of docker or podman that is not one of rl's.
    NOT_HERE = 105, exit 125, "rl has no such flag or verb",
        why "docker or podman have it; rl does not, and takes no flag that it would not obey. docs/podman.md has all of them.",
        fix "Leave it out, or do what the message says.";
}
