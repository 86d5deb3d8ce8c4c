//! RL053x: programs of other architectures.

use super::entries;

entries! {
    /// No qemu for the architecture.
    MISSING = 530, exit 126, "no emulator for this architecture",
        why "The image's programs were built for another processor than this machine has. rl lets qemu's user mode run them, with no image changed and nothing registered on the machine, but needs the static program of qemu for that architecture.",
        fix "Install the package qemu-user-static, or, without root, run ./install.sh, which unpacks it into ~/.local/lib/rl. rl info lists what can be run.";
    /// What was found can't be used.
    UNUSABLE = 531, exit 126, "cannot use this emulator",
        why "An emulator is a static program of this machine that anybody may execute: the kernel starts it inside the container, where none of the machine's libraries are. What was found is none of these, or the kernel refused to open it (a mount with noexec).",
        fix "Take the static build (package qemu-user-static), or name another in config.toml: qemu = { arm64 = \"/path/to/qemu-aarch64-static\" }";
    /// Neither a table of the container's own nor a handler of the machine's.
    REFUSED = 532, exit 126, "this kernel does not let you register an emulator",
        why "From Linux 6.7 on a user namespace may have its own handlers for foreign programs (binfmt_misc). This kernel is older, or was built without binfmt_misc, and no handler for the architecture is registered on the machine.",
        fix "Ask the administrator for, once: apt-get install qemu-user-static binfmt-support (Debian, Ubuntu), or dnf install qemu-user-static (Fedora), which register handlers for everybody.";
}
