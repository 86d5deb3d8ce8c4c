//! RL02xx: who the caller is, subordinate ids, user namespaces.

use super::entries;

entries! {
    /// The kernel refused a user namespace.
    NO_USER_NAMESPACE = 201, exit 125, "this machine does not let you make a user namespace",
        why "An administrator has limited user namespaces (user.max_user_namespaces, kernel.unprivileged_userns_clone, or AppArmor's kernel.apparmor_restrict_unprivileged_userns), or the process runs in a sandbox that forbids them.",
        fix "Ask the administrator for: sysctl -w user.max_user_namespaces=15000 (and, where it exists, kernel.unprivileged_userns_clone=1).";
    /// The caller has no subordinate ids.
    NO_SUBORDINATE_IDS = 202, exit 125, "no subordinate ids",
        why "Neither /etc/subuid and /etc/subgid nor the name service give this user a range of subordinate ids, so only one id can exist in the container.",
        fix "Ask the administrator for: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER (a range that no other user has).";
    /// newuidmap or newgidmap does not work.
    NO_NEWUIDMAP = 203, exit 125, "newuidmap does not work",
        why "newuidmap and newgidmap write id maps for unprivileged users. They are missing, have lost their setuid bit or file capability, or the process has no_new_privs set.",
        fix "Install the package uidmap (Debian, Ubuntu) or shadow-utils (Fedora, Arch), or ask the administrator to.";
    /// A file of subordinate ids can't be understood.
    BAD_SUBID_FILE = 204, exit 125, "a malformed file of subordinate ids",
        why "A line of /etc/subuid or /etc/subgid is not NAME:START:COUNT, is empty, overflows, or overlaps another range of the same user.",
        fix "Ask the administrator to correct the line that is named.";
    /// An id map of the command line can't be made.
    BAD_ID_MAP = 205, exit 125, "an id map that cannot be made",
        why "A mapping asks for ids that the caller does not have, maps an id twice, or overflows.",
        fix "Use ids within your own range: rl unshare cat /proc/self/uid_map shows it.";
    /// The namespace that holds the caller's map could not be made or joined.
    HELD_NAMESPACE = 206, exit 125, "cannot make or join the held user namespace",
        why "The first run maps the caller's ids once in a namespace that a small process holds; later runs join it. Making or joining it failed.",
        fix "Run again; if it fails again, run with --userns=single and report the message.";
}
