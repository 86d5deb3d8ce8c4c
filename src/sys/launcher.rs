//! A program of a few instructions that executes another one.
//!
//! Owns those instructions, the ELF file around them and their execution. A process that executes what the container has chosen can
//! be led back to what it was executed from itself, by the name /proc/self/exe: as the interpreter of a script, for one
//! (CVE-2019-5736). If that is `rl`, and `rl` belongs to the caller, who is root inside, the container can change it. So the
//! process first becomes this program, a sealed memfd, which nobody can write to; it executes the command or says by descriptor 3
//! why it could not. The surprise: executed by anybody else it finds no descriptor 3 and ends.

use std::ffi::{CStr, CString};
use std::io::Write;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

// argv is the path to execute, then the command's own. The last four bytes are the number of the descriptor by which it reports, 3
// where none is preserved for the command. Marks that descriptor close-on-exec, executes; on failure writes the 8 bytes
// of the kernel's answer, waits until the other end has read and closed (or sent something), and ends with 125.
#[cfg(target_arch = "x86_64")]
std::arch::global_asm!(
    ".pushsection .rodata.rl_launcher,\"a\",@progbits",
    ".globl rl_launcher_begin",
    ".hidden rl_launcher_begin",
    ".globl rl_launcher_end",
    ".hidden rl_launcher_end",
    "rl_launcher_begin:",
    "mov edi, [rip + 3f]",
    "mov esi, 2", // F_SETFD
    "mov edx, 1", // FD_CLOEXEC
    "mov eax, 72",
    "syscall",
    "test rax, rax",
    "js 2f",
    "mov rdi, [rsp + 8]",
    "lea rsi, [rsp + 16]",
    "mov rax, [rsp]",
    "lea rdx, [rsp + rax * 8 + 16]",
    "mov eax, 59", // execve
    "syscall",
    "push rax",
    "mov edi, [rip + 3f]",
    "mov rsi, rsp",
    "mov edx, 8",
    "mov eax, 1", // write
    "syscall",
    "mov edi, [rip + 3f]",
    "mov rsi, rsp",
    "mov edx, 8",
    "xor eax, eax", // read
    "syscall",
    "2:",
    "mov edi, 125",
    "mov eax, 231", // exit_group
    "syscall",
    "3:",
    ".long 3",
    "rl_launcher_end:",
    ".popsection",
);

#[cfg(target_arch = "aarch64")]
std::arch::global_asm!(
    ".pushsection .rodata.rl_launcher,\"a\",@progbits",
    ".balign 4",
    ".globl rl_launcher_begin",
    ".hidden rl_launcher_begin",
    ".globl rl_launcher_end",
    ".hidden rl_launcher_end",
    "rl_launcher_begin:",
    "ldr w0, 3f",
    "mov x1, #2", // F_SETFD
    "mov x2, #1", // FD_CLOEXEC
    "mov x8, #25",
    "svc #0",
    "tbnz x0, #63, 2f",
    "ldr x3, [sp]",
    "ldr x0, [sp, #8]",
    "add x1, sp, #16",
    "add x2, x1, x3, lsl #3",
    "mov x8, #221", // execve
    "svc #0",
    "str x0, [sp, #-16]!",
    "ldr w0, 3f",
    "mov x1, sp",
    "mov x2, #8",
    "mov x8, #64", // write
    "svc #0",
    "ldr w0, 3f",
    "mov x1, sp",
    "mov x2, #8",
    "mov x8, #63", // read
    "svc #0",
    "2:",
    "mov x0, #125",
    "mov x8, #94", // exit_group
    "svc #0",
    "3:",
    ".word 3",
    "rl_launcher_end:",
    ".popsection",
);

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn code() -> &'static [u8] {
    unsafe extern "C" {
        static rl_launcher_begin: u8;
        static rl_launcher_end: u8;
    }
    let (begin, end) = (&raw const rl_launcher_begin, &raw const rl_launcher_end);
    // SAFETY: both are labels of one read-only section, the second behind the first, and nothing ever writes there.
    unsafe { std::slice::from_raw_parts(begin, end.addr() - begin.addr()) }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn code() -> &'static [u8] {
    &[]
}

/// Whether there are instructions for this machine.
pub fn exists() -> bool {
    !code().is_empty()
}

/// The program, ready to be executed.
#[derive(Debug)]
pub struct Launcher {
    file: OwnedFd,
    report: RawFd,
}

/// Where the program is loaded: the lowest address that the usual vm.mmap_min_addr allows.
const ADDRESS: u64 = 0x1_0000;
/// Of the ELF header and of the one program header (elf(5)).
const HEADERS: [u16; 2] = [64, 56];

/// A static ELF file with one segment: headers and code together.
fn file(report: u32) -> Vec<u8> {
    let mut code = code().to_vec();
    let number = code.len() - 4;
    code[number..].copy_from_slice(&report.to_ne_bytes());
    let [header, program] = HEADERS;
    let start = u64::from(header + program);
    let size = start + code.len() as u64;
    let machine: u16 = if cfg!(target_arch = "x86_64") { 62 } else { 183 };
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1];
    file.resize(16, 0);
    let mut half = |value: u16| file.extend(value.to_le_bytes());
    half(2); // ET_EXEC
    half(machine);
    file.extend(1_u32.to_le_bytes());
    for value in [ADDRESS + start, u64::from(header), 0] {
        file.extend(value.to_le_bytes());
    }
    file.extend(0_u32.to_le_bytes());
    for value in [header, program, 1, 0, 0, 0] {
        file.extend(value.to_le_bytes());
    }
    file.extend(1_u32.to_le_bytes()); // PT_LOAD
    file.extend(5_u32.to_le_bytes()); // PF_R | PF_X
    for value in [0, ADDRESS, ADDRESS, size, size, 0x1_0000] {
        file.extend(u64::to_le_bytes(value));
    }
    file.extend(code);
    file
}

/// The program as a file that can't be changed, close-on-exec. `report` is the descriptor that it will have for its report.
///
/// # Errors
/// EACCES where vm.memfd_noexec forbids it.
pub fn make(report: u32) -> Result<Launcher, Errno> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    // Kernels before 6.3 know no MFD_EXEC; later ones may want to be told.
    let fd = match memfd_create(c"rl-launcher", flags | MFdFlags::from_bits_retain(libc::MFD_EXEC)) {
        Err(Errno::EINVAL) => memfd_create(c"rl-launcher", flags)?,
        made => made?,
    };
    let mut memory = std::fs::File::from(fd);
    memory.write_all(&file(report)).map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
    let fd = OwnedFd::from(memory);
    let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
    fcntl(&fd, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(Launcher { file: fd, report: RawFd::try_from(report).map_err(|_| Errno::EBADF)? })
}

/// What the program has reported: an errno, as the kernel answers it, in 8 bytes.
pub fn answer(text: &[u8]) -> Option<Errno> {
    let answer = i64::from_ne_bytes(text.try_into().ok()?);
    i32::try_from(-answer).ok().filter(|errno| (1..4096).contains(errno)).map(Errno::from_raw)
}

impl Launcher {
    /// Executes the command by way of the program; returns only where the program itself can't be executed. What the command's own
    /// execve has answered comes by `to`, as 8 bytes.
    pub fn execute(&self, to: BorrowedFd<'_>, path: &CStr, argv: &[CString], envp: &[CString]) -> Errno {
        let mut words = vec![path.to_owned()];
        words.extend_from_slice(argv);
        let program = match fcntl(&self.file, FcntlArg::F_DUPFD_CLOEXEC(self.report + 1)) {
            // SAFETY: F_DUPFD_CLOEXEC has just made this descriptor, nobody else has it.
            Ok(program) => unsafe { OwnedFd::from_raw_fd(program) },
            Err(errno) => return errno,
        };
        let placed = if to.as_raw_fd() == self.report {
            // SAFETY: numbers only.
            unsafe { libc::fcntl(self.report, libc::F_SETFD, 0) }
        } else {
            // SAFETY: numbers only. Whatever was open by that number is `rl`'s own and close-on-exec; the process ends or execs
            // next, and the program, the only descriptor that is still used, was moved above.
            unsafe { libc::dup2(to.as_raw_fd(), self.report) }
        };
        if let Err(errno) = Errno::result(placed) {
            return errno;
        }
        match nix::unistd::execveat(&program, c"", &words, envp, AtFlags::AT_EMPTY_PATH) {
            Ok(never) => match never {},
            Err(errno) => errno,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::sys::child::{Exit, fork, wait_pid};

    fn word(text: &str) -> CString {
        CString::new(text).expect("no NUL")
    }

    /// Runs a command by way of the program: how it ended, and what was reported.
    fn launched(path: &str, argv: &[&str], envp: &[&str]) -> (Exit, Vec<u8>) {
        let program = make(3).expect("a sealed file");
        let (mut ours, theirs) = UnixStream::pair().expect("a pair");
        let (path, argv, envp): (_, Vec<_>, Vec<_>) =
            (word(path), argv.iter().map(|text| word(text)).collect(), envp.iter().map(|text| word(text)).collect());
        let child = fork(|| {
            let _ = program.execute(theirs.as_fd(), &path, &argv, &envp);
            99
        });
        let child = child.expect("fork");
        drop(theirs);
        let mut said = vec![0; 8];
        let count = ours.read(&mut said).expect("read");
        said.truncate(count);
        drop(ours);
        (wait_pid(child).expect("wait"), said)
    }

    #[test]
    fn a_command_gets_its_arguments_and_its_environment_and_no_descriptor() {
        let script = r#"[ "$0 $1 $#" = "zero one 1" ] && [ "$RL_A" = b ] && [ ! -e /proc/self/fd/3 ] && exit 7"#;
        let (exit, said) = launched("/bin/sh", &["sh", "-c", script, "zero", "one"], &["RL_A=b"]);
        assert_eq!((exit, said.as_slice()), (Exit::Code(7), [].as_slice()));
    }

    #[test]
    fn what_cannot_be_executed_is_reported() {
        let (exit, said) = launched("/nowhere/at/all", &["x"], &[]);
        assert_eq!(exit, Exit::Code(125));
        assert_eq!(answer(&said), Some(Errno::ENOENT));
    }

    #[test]
    fn nobody_can_write_to_it() {
        let program = make(3).expect("a sealed file");
        let path = format!("/proc/self/fd/{}", program.file.as_raw_fd());
        let mut file = std::fs::OpenOptions::new().write(true).open(path).expect("opening is no harm");
        assert_eq!(file.write(b"x").expect_err("sealed").raw_os_error(), Some(libc::EPERM));
        assert_eq!(file.set_len(0).expect_err("sealed").raw_os_error(), Some(libc::EPERM));
    }
}
