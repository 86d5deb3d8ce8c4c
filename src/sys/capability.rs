//! The calling thread's capability sets: capget, capset, and the prctl calls for the bounding and ambient sets.
//!
//! Owns the system calls over 64-bit masks; which capability is which is known to `spec::capabilities`. The surprise: a
//! kernel that is older than rl knows fewer capabilities, so a mask may have bits past its last one. capset(2) passes
//! over them, the prctl calls answer EINVAL, and that answer is used as the end of the list instead of reading
//! /proc/sys/kernel/cap_last_cap.

use nix::errno::Errno;

/// _LINUX_CAPABILITY_VERSION_3 of linux/capability.h: two halves of 32 bits each.
const VERSION_3: u32 = 0x2008_0522;

/// Bits of a mask, and one more than the highest capability that a kernel can ever have in it.
const BITS: u32 = u64::BITS;

/// struct __user_cap_header_struct.
#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

/// struct __user_cap_data_struct.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// The three sets that capget and capset know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sets {
    /// What is checked.
    pub effective: u64,
    /// What may be made effective.
    pub permitted: u64,
    /// What survives an exec together with a file's own inheritable set, or as ambient.
    pub inheritable: u64,
}

/// The calling thread's sets.
pub fn get() -> Result<Sets, Errno> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let mut halves = [Half::default(); 2];
    // SAFETY: version 3 makes the kernel write exactly two data structures, and both pointers are to live values of the
    // layout that capget(2) gives; the header is writable because the kernel answers its own version there when it does
    // not know ours.
    let answer = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, halves.as_mut_ptr()) };
    Errno::result(answer)?;
    let join = |field: fn(&Half) -> u32| u64::from(field(&halves[0])) | u64::from(field(&halves[1])) << 32;
    Ok(Sets {
        effective: join(|half| half.effective),
        permitted: join(|half| half.permitted),
        inheritable: join(|half| half.inheritable),
    })
}

/// Sets all three at once.
#[expect(clippy::cast_possible_truncation, reason = "the mask is cut into its two halves")]
pub fn set(effective: u64, permitted: u64, inheritable: u64) -> Result<(), Errno> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let half = |shift: u32| Half {
        effective: (effective >> shift) as u32,
        permitted: (permitted >> shift) as u32,
        inheritable: (inheritable >> shift) as u32,
    };
    let halves = [half(0), half(32)];
    // SAFETY: version 3 makes the kernel read exactly two data structures, and both pointers are to live values of the
    // layout that capset(2) gives.
    let answer = unsafe { libc::syscall(libc::SYS_capset, &raw mut header, halves.as_ptr()) };
    Errno::result(answer).map(drop)
}

/// Removes everything from the bounding set that is not in `keep`. Needs CAP_SETPCAP, so it comes before [`set`].
pub fn drop_bounding(keep: u64) -> Result<(), Errno> {
    for number in (0..BITS).filter(|number| keep >> number & 1 == 0) {
        match prctl(libc::PR_CAPBSET_DROP, number.into(), 0) {
            Ok(_) => {}
            Err(Errno::EINVAL) => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Empties the ambient set.
pub fn clear_ambient() -> Result<(), Errno> {
    prctl(libc::PR_CAP_AMBIENT, ambient(libc::PR_CAP_AMBIENT_CLEAR_ALL), 0).map(drop)
}

/// Makes the capabilities of `mask` ambient; the kernel demands that they are permitted and inheritable already.
pub fn raise_ambient(mask: u64) -> Result<(), Errno> {
    for number in (0..BITS).filter(|number| mask >> number & 1 == 1) {
        match prctl(libc::PR_CAP_AMBIENT, ambient(libc::PR_CAP_AMBIENT_RAISE), number.into()) {
            Ok(_) => {}
            Err(Errno::EINVAL) => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// The operations of PR_CAP_AMBIENT are ints in libc and unsigned longs in the call; none is negative.
fn ambient(operation: libc::c_int) -> libc::c_ulong {
    operation.unsigned_abs().into()
}

fn prctl(option: libc::c_int, second: libc::c_ulong, third: libc::c_ulong) -> Result<libc::c_int, Errno> {
    const ZERO: libc::c_ulong = 0;
    // SAFETY: every option that this module passes takes integers only, so no memory is read or written; the unused
    // arguments are zero words, which PR_CAP_AMBIENT checks.
    let answer = unsafe { libc::prctl(option, second, third, ZERO, ZERO) };
    Errno::result(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETPCAP: u64 = 1 << 8;
    const NET_RAW: u64 = 1 << 13;
    const CHOWN: u64 = 1;

    /// Capabilities belong to a thread when the system calls are made directly, so a test may throw its own away.
    fn on_a_thread<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
        std::thread::spawn(body).join().expect("the test's thread")
    }

    /// The line of this thread's own status file, which the kernel writes without rl's help.
    fn status(field: &str) -> u64 {
        let text = std::fs::read_to_string("/proc/thread-self/status").expect("procfs");
        let line = text.lines().find_map(|line| line.strip_prefix(field)).expect("a capability line");
        u64::from_str_radix(line.trim_start_matches(':').trim(), 16).expect("hexadecimal")
    }

    #[test]
    fn get_agrees_with_procfs() {
        let sets = get().expect("capget");
        assert_eq!(sets.effective, status("CapEff"));
        assert_eq!(sets.permitted, status("CapPrm"));
        assert_eq!(sets.inheritable, status("CapInh"));
    }

    #[test]
    fn sets_are_given_up_and_never_had_again() {
        let before = get().expect("capget").permitted;
        on_a_thread(move || {
            let kept = before & CHOWN;
            set(kept, kept, 0).expect("fewer capabilities are always allowed");
            assert_eq!(status("CapEff"), kept);
            assert_eq!(status("CapPrm"), kept);
            if before != kept {
                assert_eq!(set(before, before, 0), Err(Errno::EPERM));
            }
        });
    }

    #[test]
    fn the_bounding_set_needs_setpcap_and_then_keeps_only_what_was_named() {
        on_a_thread(|| {
            let all = status("CapBnd");
            if get().expect("capget").effective & SETPCAP == 0 {
                if all & !CHOWN != 0 {
                    assert_eq!(drop_bounding(CHOWN), Err(Errno::EPERM));
                }
                return;
            }
            drop_bounding(u64::MAX).expect("nothing to drop");
            assert_eq!(status("CapBnd"), all);
            drop_bounding(CHOWN).expect("CAP_SETPCAP");
            assert_eq!(status("CapBnd"), all & CHOWN);
        });
    }

    #[test]
    fn ambient_needs_permitted_and_inheritable() {
        on_a_thread(|| {
            let held = get().expect("capget").permitted;
            set(held, held, 0).expect("the same again");
            assert_eq!(raise_ambient(CHOWN | NET_RAW), Err(Errno::EPERM));
            let wanted = held & (CHOWN | NET_RAW);
            set(held, held, wanted).expect("inheritable within permitted");
            raise_ambient(wanted).expect("permitted and inheritable");
            assert_eq!(status("CapAmb"), wanted);
            clear_ambient().expect("always allowed");
            assert_eq!(status("CapAmb"), 0);
        });
    }

    #[test]
    fn capabilities_past_the_kernels_last_are_passed_over() {
        on_a_thread(|| {
            assert_eq!(raise_ambient(1 << 63), Ok(()));
        });
    }
}
