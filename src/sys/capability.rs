//! Capability sets by bit mask: capset(2), the bounding and the ambient set (capabilities(7)).
//!
//! Owns no names: those are in `spec::capabilities`. The surprise: how many capabilities the kernel knows is found by asking
//! until it says EINVAL, which is cheaper than a file of /proc.

use nix::errno::Errno;

const VERSION_3: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

/// One 32-bit half of the three sets.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// The three sets of this thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sets {
    /// Effective.
    pub effective: u64,
    /// Permitted.
    pub permitted: u64,
    /// Inheritable.
    pub inheritable: u64,
}

/// Reads the three sets.
///
/// # Errors
/// None that are known.
pub fn get() -> Result<Sets, Errno> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let mut halves = [Half::default(); 2];
    // SAFETY: version 3 writes two halves; both pointers are valid for the call.
    Errno::result(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, halves.as_mut_ptr()) })?;
    let join = |pick: fn(&Half) -> u32| u64::from(pick(&halves[0])) | u64::from(pick(&halves[1])) << 32;
    Ok(Sets {
        effective: join(|half| half.effective),
        permitted: join(|half| half.permitted),
        inheritable: join(|half| half.inheritable),
    })
}

/// Sets the three sets.
///
/// # Errors
/// EPERM for a capability that is not permitted now.
pub fn set(effective: u64, permitted: u64, inheritable: u64) -> Result<(), Errno> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let half = |shift: u32| Half {
        effective: (effective >> shift) as u32,
        permitted: (permitted >> shift) as u32,
        inheritable: (inheritable >> shift) as u32,
    };
    let halves = [half(0), half(32)];
    // SAFETY: version 3 reads two halves; both pointers are valid for the call.
    Errno::result(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, halves.as_ptr()) }).map(drop)
}

/// Drops from the bounding set all that is not in `keep`.
///
/// # Errors
/// EPERM without CAP_SETPCAP.
pub fn drop_bounding(keep: u64) -> Result<(), Errno> {
    for number in 0..64 {
        if keep & 1 << number == 0 {
            match prctl(libc::PR_CAPBSET_DROP, number, 0) {
                // Beyond the last capability of this kernel.
                Err(Errno::EINVAL) => break,
                other => other?,
            }
        }
    }
    Ok(())
}

/// Empties the ambient set (Linux 4.3).
///
/// # Errors
/// EINVAL on older kernels.
pub fn clear_ambient() -> Result<(), Errno> {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong, 0)
}

/// Adds to the ambient set.
///
/// # Errors
/// EPERM for a capability that is not both permitted and inheritable.
pub fn raise_ambient(mask: u64) -> Result<(), Errno> {
    (0..64)
        .filter(|number| mask & 1 << number != 0)
        .try_for_each(|number| prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE as libc::c_ulong, number))
}

fn prctl(operation: libc::c_int, first: libc::c_ulong, second: libc::c_ulong) -> Result<(), Errno> {
    let zero: libc::c_ulong = 0;
    // SAFETY: these operations take integers only, and demand that the unused ones are zero.
    Errno::result(unsafe { libc::prctl(operation, first, second, zero, zero) }).map(drop)
}
