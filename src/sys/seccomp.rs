//! seccomp(2): installing a finished filter on the calling thread.
//!
//! Owns the one system call; `runtime::seccomp` makes the program. The surprise: without no_new_privs the kernel
//! demands CAP_SYS_ADMIN in the caller's user namespace (EACCES), so the filter goes in before capabilities are
//! dropped, and must therefore allow what init still has to do (capset, setuid, prctl, execve).

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

/// A compiled filter, ready to be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// An array of struct sock_filter, 8 bytes each, in this machine's byte order.
    pub program: Vec<u8>,
    /// SECCOMP_FILTER_FLAG_* as the profile names them. The default profile has none: SPEC_ALLOW would switch off the
    /// mitigation of speculative store bypass against the wish of an administrator who booted with
    /// spec_store_bypass_disable=seccomp, and since Linux 5.16 a filter costs nothing there unless that was asked for.
    pub flags: u32,
}

/// SECCOMP_FILTER_FLAG_NEW_LISTENER: loading answers with the descriptor on which SCMP_ACT_NOTIFY asks.
pub const NEW_LISTENER: u32 = 1 << 3;

/// Installs the filter. It can't be taken off again, and every process that the thread starts from now on has it. Gives the
/// listener, where the filter's flags ask for one.
pub fn load(filter: &Filter) -> Result<Option<OwnedFd>, Errno> {
    let (chunks, rest) = filter.program.as_chunks::<8>();
    if !rest.is_empty() || chunks.is_empty() {
        return Err(Errno::EINVAL);
    }
    let mut instructions: Vec<libc::sock_filter> = chunks
        .iter()
        .map(|&[c0, c1, jt, jf, k0, k1, k2, k3]| libc::sock_filter {
            code: u16::from_ne_bytes([c0, c1]),
            jt,
            jf,
            k: u32::from_ne_bytes([k0, k1, k2, k3]),
        })
        .collect();
    let len = u16::try_from(instructions.len()).map_err(|_| Errno::E2BIG)?;
    let program = libc::sock_fprog { len, filter: instructions.as_mut_ptr() };
    let flags = libc::c_ulong::from(filter.flags);
    // SAFETY: `program` points to `len` instructions that live until the call returns; the kernel copies them, checks
    // every jump, and refuses a malformed program with EINVAL.
    let answer = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    match Errno::result(answer)? {
        listener if filter.flags & NEW_LISTENER != 0 => {
            let listener = RawFd::try_from(listener).map_err(|_| Errno::EBADF)?;
            // SAFETY: with this flag the call has just made the descriptor, nobody else has it.
            Ok(Some(unsafe { OwnedFd::from_raw_fd(listener) }))
        }
        0 => Ok(None),
        // SECCOMP_FILTER_FLAG_TSYNC answers with the thread that could not be synchronised.
        _ => Err(Errno::ESRCH),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_program_is_refused_before_the_kernel_sees_it() {
        for length in [0, 7, 9] {
            let filter = Filter { program: vec![0; length], flags: 0 };
            assert_eq!(load(&filter).err(), Some(Errno::EINVAL), "{length} bytes");
        }
    }

    #[test]
    fn a_program_without_a_return_is_refused_by_the_kernel() {
        std::thread::spawn(|| {
            nix::sys::prctl::set_no_new_privs().expect("prctl");
            let filter = Filter { program: vec![0; 8], flags: 0 };
            assert_eq!(load(&filter).err(), Some(Errno::EINVAL));
        })
        .join()
        .expect("the test's thread");
    }
}
