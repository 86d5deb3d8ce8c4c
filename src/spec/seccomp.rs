//! The seccomp profile: the default one for a set of capabilities, and the file of `--security-opt seccomp=FILE`.
//!
//! Owns what is allowed, in the OCI's terms. It does not compile: system call numbers, BPF and the cache are
//! `runtime::seccomp`'s. The surprise: the kernel reads many arguments as 32-bit ints, so comparing 64 bits can be
//! passed by setting a high one (CVE-2019-10063); every comparison here is masked, and "not equal", for which there is
//! no masked operator, is spelled as the masked comparisons that match all the other numbers ([`all_but`]).

mod file;
pub mod table;

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder, LinuxSeccompOperator, LinuxSyscall,
};

pub use file::{Machine, Profile, parse};

use super::capabilities::{bit, mask};
use table::{ALLOWED, BY_CAPABILITY, REFUSED};

const EPERM: u32 = 1;
const EINVAL: u32 = 22;
const ENOSYS: u32 = 38;

/// An argument that the kernel reads as an int.
const INT: u64 = 0xffff_ffff;

/// The default profile of a container with these capabilities, named with or without `CAP_`.
pub fn default_profile(caps: &[String]) -> LinuxSeccomp {
    let mut profile = LinuxSeccomp::default();
    profile.set_default_action(LinuxSeccompAction::ScmpActErrno);
    // ENOSYS, as podman has it: a libc that tries a newer call than this table knows then falls back to the older one.
    profile.set_default_errno_ret(Some(ENOSYS));
    profile.set_architectures(native().map(|arch| vec![arch]));
    profile.set_syscalls(Some(rules(mask(caps))));
    profile
}

/// The architecture that rl is built for. Only its own calls are allowed: the numbers of i386 and x32 name other calls.
pub const fn native() -> Option<Arch> {
    if cfg!(all(target_arch = "x86_64", target_pointer_width = "64")) {
        Some(Arch::ScmpArchX86_64)
    } else if cfg!(target_arch = "aarch64") {
        Some(Arch::ScmpArchAarch64)
    } else if cfg!(target_arch = "riscv64") {
        Some(Arch::ScmpArchRiscv64)
    } else {
        None
    }
}

fn rules(caps: u64) -> Vec<LinuxSyscall> {
    let mut rules: Vec<LinuxSyscall> = ALLOWED.iter().map(|names| allow(names, &[])).collect();
    for &(any_of, names) in BY_CAPABILITY {
        rules.push(if caps & any_of != 0 { allow(names, &[]) } else { refuse(EPERM, names, &[]) });
    }
    rules.extend(REFUSED.iter().map(|names| refuse(EPERM, names, &[])));
    clone(caps, &mut rules);
    socket(caps, &mut rules);
    ioctl(&mut rules);
    personality(&mut rules);
    rules
}

/// Processes and threads may be made, namespaces only with CAP_SYS_ADMIN: a new user namespace would give every
/// capability over a large part of the kernel.
fn clone(caps: u64, rules: &mut Vec<LinuxSyscall>) {
    /// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. CLONE_NEWTIME has no bit in clone(2).
    const NAMESPACES: [u64; 7] = [0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000];
    if caps & bit("SYS_ADMIN") != 0 {
        rules.push(allow("clone clone3", &[]));
        return;
    }
    // The flags of clone3 lie in memory, where a filter can't look; ENOSYS makes every libc use clone.
    rules.push(refuse(ENOSYS, "clone3", &[]));
    rules.push(allow("clone", &[masked(0, NAMESPACES.iter().sum(), 0)]));
    rules.extend(NAMESPACES.map(|flag| refuse(EPERM, "clone", &[masked(0, flag, flag)])));
}

/// Families whose code is used everywhere; the others are seldom needed and were the way into the kernel often enough
/// (AF_ALG, AF_VSOCK, AF_TIPC, AF_RDS...).
fn socket(caps: u64, rules: &mut Vec<LinuxSyscall>) {
    const UNIX: u64 = 1;
    const INET: u64 = 2;
    const INET6: u64 = 10;
    const NETLINK: u64 = 16;
    const PACKET: u64 = 17;
    const NETLINK_AUDIT: u64 = 9;
    /// Families are below 64 and netlink's protocols below 32 (MAX_LINKS); the default action is for the numbers past
    /// them.
    const FAMILY_BITS: u32 = 6;
    const PROTOCOL_BITS: u32 = 5;

    let mut families = vec![UNIX, INET, INET6];
    if caps & bit("NET_RAW") != 0 {
        families.push(PACKET);
    }
    rules.extend(families.iter().map(|family| allow("socket", &[masked(0, INT, *family)])));
    families.push(NETLINK);
    let others = all_but(&families, FAMILY_BITS);
    rules.extend(others.iter().map(|&(mask, value)| refuse(EPERM, "socket", &[masked(0, mask, value)])));

    let netlink = masked(0, INT, NETLINK);
    if caps & bit("AUDIT_WRITE") != 0 {
        rules.push(allow("socket", &[netlink]));
    } else {
        // EINVAL is what libaudit takes for a kernel without audit; with EPERM su and sshd give up.
        rules.push(refuse(EINVAL, "socket", &[netlink, masked(2, INT, NETLINK_AUDIT)]));
        for (mask, value) in all_but(&[NETLINK_AUDIT], PROTOCOL_BITS) {
            rules.push(allow("socket", &[netlink, masked(2, mask, value)]));
        }
    }

    rules.push(allow("socketpair", &[masked(0, INT, UNIX)]));
    for (mask, value) in all_but(&[UNIX], FAMILY_BITS) {
        rules.push(refuse(EPERM, "socketpair", &[masked(0, mask, value)]));
    }
}

/// Everything but the two requests that put characters into a terminal's input, where the caller's shell would read
/// them (CVE-2017-5226, CVE-2023-28100).
fn ioctl(rules: &mut Vec<LinuxSyscall>) {
    const TIOCSTI: u64 = 0x5412;
    const TIOCLINUX: u64 = 0x541c;
    for request in [TIOCSTI, TIOCLINUX] {
        rules.push(refuse(EPERM, "ioctl", &[masked(1, INT, request)]));
    }
    for (mask, value) in all_but(&[TIOCSTI, TIOCLINUX], u32::BITS) {
        rules.push(allow("ioctl", &[masked(1, mask, value)]));
    }
}

/// The personalities that change what uname(2) says, and the question which one is set (0xffffffff). Not
/// READ_IMPLIES_EXEC, ADDR_NO_RANDOMIZE and their like, which weaken the process.
fn personality(rules: &mut Vec<LinuxSyscall>) {
    const PER_LINUX32: u64 = 8;
    const UNAME26: u64 = 0x2_0000;
    for persona in [0, PER_LINUX32, UNAME26, UNAME26 | PER_LINUX32, INT] {
        rules.push(allow("personality", &[masked(0, INT, persona)]));
    }
}

fn allow(names: &str, args: &[LinuxSeccompArg]) -> LinuxSyscall {
    let mut rule = LinuxSyscall::default();
    rule.set_names(names.split_whitespace().map(str::to_owned).collect());
    rule.set_action(LinuxSeccompAction::ScmpActAllow);
    if !args.is_empty() {
        rule.set_args(Some(args.to_vec()));
    }
    rule
}

fn refuse(errno: u32, names: &str, args: &[LinuxSeccompArg]) -> LinuxSyscall {
    let mut rule = allow(names, args);
    rule.set_action(LinuxSeccompAction::ScmpActErrno);
    rule.set_errno_ret(Some(errno));
    rule
}

/// `argument & mask == value`.
fn masked(index: usize, mask: u64, value: u64) -> LinuxSeccompArg {
    LinuxSeccompArgBuilder::default()
        .index(index)
        .op(LinuxSeccompOperator::ScmpCmpMaskedEq)
        .value(mask)
        .value_two(value)
        .build()
        .expect("a builder whose members all have defaults")
}

/// The (mask, value) pairs that match every 32-bit number below 2 to the `bits` except `values`, each number once: the
/// subtrees of the binary tree of numbers that hold none of the values.
fn all_but(values: &[u64], bits: u32) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    let mut open = vec![(bits, 0_u64)];
    while let Some((height, prefix)) = open.pop() {
        if values.iter().all(|value| value >> height != prefix >> height) {
            found.push((INT & !((1 << height) - 1), prefix));
        } else if height > 0 {
            open.push((height - 1, prefix));
            open.push((height - 1, prefix | 1 << (height - 1)));
        }
    }
    found
}

#[cfg(test)]
mod tests;
