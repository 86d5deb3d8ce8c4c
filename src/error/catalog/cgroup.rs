//! RL10xx: control groups and limits.

use super::entries;

entries! {
    /// The kernel's control groups are of the first version, or mixed.
    OLD_HIERARCHY = 1001, exit 125, "no control groups that a user may have",
        why "/sys/fs/cgroup is cgroup v1, or v1 and v2 side by side (hybrid). In v1 no part can be handed to an unprivileged user, so no limit of this container could be enforced; rl never ignores one.",
        fix "An administrator boots with systemd.unified_cgroup_hierarchy=1 on the kernel's command line (the default since systemd 243). Without limits containers run here; --ulimit works everywhere.";
    /// No systemd, and the caller's own group is not theirs.
    NO_MANAGER = 1002, exit 125, "nobody here can make a control group for you",
        why "This machine has no systemd, and the group in which you stand is not yours to divide: its directory below /sys/fs/cgroup can't be written.",
        fix "Whoever started you (a container, a batch job) has to delegate a control group: make a directory, give it to you (chown DIR, DIR/cgroup.procs, DIR/cgroup.subtree_control), and start you in it.";
    /// systemd is there, but not the user's own.
    NO_USER_MANAGER = 1003, exit 125, "your own systemd is not running",
        why "systemd starts a manager for a user (user@UID.service) when they log in through PAM, or always where they linger. From cron, a service or plain su there may be none.",
        fix "Log in (ssh, su -l, machinectl shell), or have an administrator type: loginctl enable-linger USER";
    /// The manager runs, and can't be spoken to.
    NO_BUS = 1004, exit 125, "your own systemd does not answer",
        why "Neither $XDG_RUNTIME_DIR/systemd/private nor the user's bus could be reached.",
        fix "Look at: systemctl --user status. Where the bus is missing, install dbus-user-session and log in anew.";
    /// A controller is not handed down.
    NOT_DELEGATED = 1005, exit 125, "a limit needs a controller that is not yours",
        why "systemd hands cpu, memory and pids to users by default, but not cpuset and io; a batch system or a container may hand down fewer.",
        fix "An administrator writes /etc/systemd/system/user@.service.d/delegate.conf with the two lines [Service] and Delegate=cpu cpuset io memory pids, types systemctl daemon-reload, and you log in anew.";
    /// systemd has refused.
    SCOPE = 1006, exit 125, "systemd does not make the scope",
        why "The unit of the container could not be started; the message has systemd's own words.",
        fix "Look at: systemctl --user status, journalctl --user -e";
    /// A file of the group could not be written.
    APPLY = 1007, exit 125, "cannot set a limit",
        why "The kernel refuses the value: a device that is no whole disk, a CPU that is not there, a scheduler without weights.",
        fix "The message names the file and the value; /sys/fs/cgroup has the kernel's own limits.";
    /// A verb that needs a group.
    NO_GROUP = 1008, exit 125, "this container has no control group of its own",
        why "A container in the foreground without limits stays in its caller's group. Freezing, counting and changing limits need one of its own.",
        fix "Start it with --cgroups=enabled, with a limit, or detached.";
    /// The kernel killed for want of memory.
    OUT_OF_MEMORY = 1009, exit 137, "the container was killed: out of memory",
        why "Its processes together took more than --memory allows (and no swap was left), so the kernel killed all of them.",
        fix "Give it more with -m, or look at what takes so much: rl stats";
    /// What is asked of a logout can't be had.
    LOGOUT = 1010, exit 125, "cannot promise what happens at logout",
        why "When a user's last session ends, systemd stops their manager and with it their containers, unless the user lingers.",
        fix "loginctl enable-linger, or as an administrator: loginctl enable-linger USER";
}
