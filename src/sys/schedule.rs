//! How a process shares the machine: scheduler, I/O priority, memory nodes, processors; and two calls of its surroundings, the
//! session keyring and the personality. nix has none of them with all their arguments.

use std::mem::size_of;

use nix::errno::Errno;

/// struct sched_attr (sched_setattr(2)), as Linux 5.3 has it; the specification has no value for the utilisation clamps.
#[repr(C)]
struct Attr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    times: [u64; 3],
    clamps: [u32; 2],
}

/// sched_setattr(2) for the calling thread: SCHED_* with SCHED_FLAG_*, nice(2), the real-time policies' priority, and runtime,
/// deadline and period of SCHED_DEADLINE in nanoseconds.
pub fn set_scheduler((policy, flags): (u32, u64), nice: i32, priority: u32, times: [u64; 3]) -> Result<(), Errno> {
    let attr = Attr { size: size_of::<Attr>() as u32, policy, flags, nice, priority, times, clamps: [0; 2] };
    // SAFETY: the kernel reads `size` bytes of a structure of that size.
    Errno::result(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) }).map(drop)
}

/// ioprio_set(2) for the calling thread.
pub fn set_io_priority(priority: i32) -> Result<(), Errno> {
    const WHO_PROCESS: libc::c_int = 1;
    // SAFETY: three numbers.
    Errno::result(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, priority) }).map(drop)
}

/// set_mempolicy(2): the mode with its flags, and the nodes.
pub fn set_memory_policy(mode: u32, nodes: &[u32]) -> Result<(), Errno> {
    const WORD: usize = libc::c_ulong::BITS as usize;
    let highest = nodes.iter().max().map_or(0, |node| *node as usize + 1);
    let mut mask = vec![0 as libc::c_ulong; highest.div_ceil(WORD)];
    for node in nodes {
        mask[*node as usize / WORD] |= 1 << (*node as usize % WORD);
    }
    // The kernel reads one bit less than it is told.
    let (pointer, bits) = if nodes.is_empty() { (std::ptr::null(), 0) } else { (mask.as_ptr(), highest + 1) };
    // SAFETY: the mask has at least the bits that the kernel is told of, rounded up to words; null goes with zero bits.
    Errno::result(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, pointer, bits) }).map(drop)
}

/// sched_setaffinity(2) for the calling thread.
pub fn set_affinity(processors: &[u32]) -> Result<(), Errno> {
    let highest = processors.iter().max().map_or(0, |processor| *processor as usize + 1);
    let mut mask = vec![0_u64; highest.div_ceil(64)];
    for processor in processors {
        mask[*processor as usize / 64] |= 1 << (*processor % 64);
    }
    // SAFETY: the kernel reads as many bytes as the mask has.
    Errno::result(unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, mask.len() * 8, mask.as_ptr()) }).map(drop)
}

/// personality(2).
pub fn set_personality(persona: u64) -> Result<(), Errno> {
    // SAFETY: a number.
    Errno::result(unsafe { libc::personality(persona) }).map(drop)
}

/// A new, empty session keyring: the caller's keys are not the container's (keyctl(2), KEYCTL_JOIN_SESSION_KEYRING).
pub fn new_session_keyring() -> Result<(), Errno> {
    const JOIN_SESSION_KEYRING: libc::c_int = 1;
    let name = std::ptr::null::<libc::c_char>();
    // SAFETY: a null name asks for one without a name; nothing else is a pointer.
    Errno::result(unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, name) }).map(drop)
}
