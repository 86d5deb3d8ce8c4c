//! The way into the program, in place of the one that std brings.
//!
//! Owns what std's would do and is needed: descriptors 0-2 are open. Left out is its handler of overflown stacks: to find the stack's
//! end glibc reads and parses /proc/self/maps, which is a noticeable part of a container's start; the kernel's guard stays. The
//! surprise: std's own `args_os` works all the same, because glibc hands the words to every initialiser.

use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;

/// Makes `$main`, an `fn() -> u8`, the program's entry.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        /// Called by the C library.
        // SAFETY: the one symbol of this name; the C library calls it once, with arguments that it ignores.
        #[expect(unsafe_code, reason = "the name is the C library's")]
        #[unsafe(no_mangle)]
        pub extern "C" fn main(_: std::ffi::c_int, _: *const *const std::ffi::c_char) -> std::ffi::c_int {
            $crate::sys::start::enter($main)
        }
    };
}

/// Runs `main` and ends with its status; never returns.
pub fn enter(main: fn() -> u8) -> ! {
    if open_standard().is_err() {
        std::process::abort();
    }
    // Flushes stdout, too.
    std::process::exit(i32::from(main()))
}

/// Whichever of 0-2 the caller has closed becomes /dev/null, or the next file that is opened would be taken for it.
fn open_standard() -> nix::Result<()> {
    // SAFETY: only asked about, by number, for the length of this function.
    let mut asked = [0, 1, 2].map(|fd| PollFd::new(unsafe { BorrowedFd::borrow_raw(fd) }, PollFlags::empty()));
    while let Err(errno) = poll(&mut asked, PollTimeout::ZERO) {
        // As std: who can't be asked (no memory, a limit of descriptors below three) is believed to be open.
        match errno {
            Errno::EINTR => {}
            Errno::EINVAL | Errno::EAGAIN | Errno::ENOMEM => return Ok(()),
            other => return Err(other),
        }
    }
    for fd in &asked {
        if fd.revents().is_some_and(|events| events.contains(PollFlags::POLLNVAL)) {
            // The lowest number that is free is this one; it stays open for the life of the process.
            std::mem::forget(open("/dev/null", OFlag::O_RDWR, Mode::empty())?);
        }
    }
    Ok(())
}
