//! Why a command can't be executed: the answer that execve's errno keeps to itself.
//!
//! Owns the look into the container's root after exec has failed. 'No such file or directory' is a missing file, a missing ELF
//! interpreter, a missing `#!` interpreter, or one whose name ends with a carriage return; 'Exec format error' is another
//! architecture or no program at all. What it reads is the image's, so every file is opened inside the root, must be regular,
//! and is read up to a bound. The surprise: it runs in the container's first process, in the last moment before that ends.

mod libraries;

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::stat::{SFlag, fstat};
use nix::sys::statvfs::{FsFlags, fstatvfs};
use pathrs::RootRef;
use pathrs::flags::OpenFlags;

use crate::error::{Error, catalog::process};
use crate::host::elf;
use crate::host::emulation::Architecture;
use crate::spec::capabilities;
use crate::sys::xattr;

pub use libraries::missing as missing_libraries;

/// As many interpreters as the kernel follows from one file (exec_binprm in fs/exec.c).
pub(super) const MOST_INTERPRETERS: usize = 5;
/// How much of a file is looked at: more than the 256 bytes of it that the kernel reads, so that a longer name is shown whole.
const FIRST_BYTES: u64 = 4096;

/// Explains `errno`, which execve has given for `command`. `root` is the container's root directory.
pub fn explain(root: BorrowedFd<'_>, command: &str, search: &str, cwd: &Path, errno: Errno) -> Error {
    if errno == Errno::E2BIG {
        return Error::new(
            &process::NOT_EXECUTABLE,
            format!("execute {command}: its arguments and environment are too long"),
        )
        .because(errno);
    }
    let path = match locate(root, command, search, cwd) {
        Ok(path) => path,
        Err(error) => return error,
    };
    if let Some(error) = (errno == Errno::EPERM).then(|| file_capabilities(root, &path)).flatten() {
        return error;
    }
    inspect(root, &path, MOST_INTERPRETERS)
        .unwrap_or_else(|| Error::new(&process::NOT_EXECUTABLE, format!("execute {}", path.display())).because(errno))
}

/// The file that a shell would run: the first executable of that name in PATH, else the first file.
pub(super) fn locate(root: BorrowedFd<'_>, command: &str, search: &str, cwd: &Path) -> Result<PathBuf, Error> {
    if command.is_empty() {
        return Err(Error::new(&process::COMMAND_NOT_FOUND, "the command is an empty word"));
    }
    if command.contains('/') {
        return Ok(cwd.join(command));
    }
    let candidates = search.split(':').map(|dir| cwd.join(dir).join(command));
    let mut second_best = None;
    for path in candidates {
        if let Ok(stat) = look(root, &path) {
            if is(&stat, SFlag::S_IFREG) && stat.st_mode & 0o111 != 0 {
                return Ok(path);
            }
            second_best.get_or_insert(path);
        }
    }
    second_best.ok_or_else(|| {
        Error::new(
            &process::COMMAND_NOT_FOUND,
            format!("{command:?} is in no directory of the container's PATH ({search})"),
        )
    })
}

/// `None`: nothing is wrong with the file itself.
fn inspect(root: BorrowedFd<'_>, path: &Path, depth: usize) -> Option<Error> {
    let shown = path.display();
    let stat = match look(root, path) {
        Ok(stat) => stat,
        Err(errno @ (Errno::ENOENT | Errno::ENOTDIR)) => {
            return Some(Error::new(&process::FILE_MISSING, format!("{shown} is not in the container")).because(errno));
        }
        Err(errno) => return Some(Error::new(&process::NOT_EXECUTABLE, format!("reach {shown}")).because(errno)),
    };
    let refuse = |what: String| Some(Error::new(&process::NOT_EXECUTABLE, format!("{shown} {what}")));
    if is(&stat, SFlag::S_IFDIR) {
        return refuse("is a directory".into());
    }
    if !is(&stat, SFlag::S_IFREG) {
        return refuse("is not a regular file".into());
    }
    if stat.st_mode & 0o111 == 0 {
        return refuse(format!(
            "is not executable (mode {:04o}); in the image: chmod +x {shown}",
            stat.st_mode & 0o7777
        ));
    }
    let mut file = match RootRef::from_fd(root)
        .open_subpath(path, OpenFlags::O_RDONLY | OpenFlags::O_NONBLOCK | OpenFlags::O_NOCTTY)
    {
        Ok(file) => file,
        // Executable but not readable by this user: exec works on such files, so the cause is another.
        Err(_) => return None,
    };
    if fstatvfs(&file).is_ok_and(|volume| volume.flags().contains(FsFlags::ST_NOEXEC)) {
        return refuse("lies on a mount with noexec; mount it with exec (-v SRC:DST:exec)".into());
    }
    let mut start = Vec::new();
    (&mut file).take(FIRST_BYTES).read_to_end(&mut start).ok()?;
    if start.starts_with(b"#!") {
        return script(root, path, &start, depth);
    }
    if start.starts_with(b"\x7fELF") {
        return program(root, path, &start, &file);
    }
    refuse("is no program: neither an ELF file nor a script that starts with #!".into())
}

/// A file whose capabilities are effective at once can't be executed where the bounding set lacks one of them (capabilities(7),
/// "Safety checking for capability-dumb binaries"): ping on Debian without CAP_NET_RAW.
fn file_capabilities(root: BorrowedFd<'_>, path: &Path) -> Option<Error> {
    let flags = OpenFlags::O_RDONLY | OpenFlags::O_NONBLOCK | OpenFlags::O_NOCTTY;
    let file = RootRef::from_fd(root).open_subpath(path, flags).ok()?;
    let mut buffer = [0; 64];
    let data = xattr::get(file.as_fd(), c"security.capability", &mut buffer).ok()?;
    let word = |at: usize| Some(u64::from(u32::from_le_bytes(data.get(at..at + 4)?.try_into().ok()?)));
    let names = capabilities::names(word(4)? | word(12).unwrap_or(0) << 32).join(",").to_lowercase();
    let what = format!("{} has the file capability {names}, which this container may not have", path.display());
    Some(Error::new(&process::NOT_EXECUTABLE, what).fix(format!("Give it: --cap-add={names}")))
}

fn script(root: BorrowedFd<'_>, path: &Path, start: &[u8], depth: usize) -> Option<Error> {
    let word = interpreter_word(&start[2..]);
    if word.is_empty() {
        return Some(Error::new(
            &process::NOT_EXECUTABLE,
            format!("{} names no interpreter behind #!", path.display()),
        ));
    }
    if look(root, &Path::new("/").join(&word)).is_err() {
        let error = Error::new(
            &process::SCRIPT_INTERPRETER,
            format!("{} needs the interpreter {}", path.display(), word.escape_default()),
        );
        return Some(if word.ends_with('\r') {
            error.fix("The first line ends with a carriage return (\\r), as DOS and Windows write lines: sed -i 's/\\r$//' FILE")
        } else {
            error
        });
    }
    depth.checked_sub(1).and_then(|depth| inspect(root, &Path::new("/").join(word), depth))
}

/// The first word of a first line.
pub(super) fn interpreter_word(line: &[u8]) -> String {
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    line.trim_start_matches([' ', '\t']).split([' ', '\t']).next().unwrap_or_default().to_owned()
}

fn program(root: BorrowedFd<'_>, path: &Path, start: &[u8], file: &std::fs::File) -> Option<Error> {
    let header = elf::Header::parse(start)?;
    let (theirs, ours) = (header.architecture(), elf::machine());
    if !elf::runs_here(&header) {
        let what = format!("{} is a program for {theirs}, this machine is {ours}", path.display());
        let error = Error::new(&process::WRONG_ARCHITECTURE, what)
            .fix(format!("Use an image for {ours}, or for an architecture that rl info lists as runnable."));
        return Some(match Architecture::of_program(&header) {
            Some(architecture) => error.concerning(architecture.name),
            None => error,
        });
    }
    let interpreter = header.interpreter(file)?;
    if look(root, Path::new(&interpreter)).is_err() {
        let what = format!("{} needs the ELF interpreter {interpreter}", path.display());
        let hint = if interpreter.contains("musl") {
            "The program was built for musl (Alpine). Use an Alpine image, or a program for this image's C library."
        } else {
            "The program was built for glibc and the image has none (busybox, Alpine, scratch). Use an image with glibc, or a static program."
        };
        return Some(Error::new(&process::ELF_INTERPRETER, what).fix(hint));
    }
    None
}

/// stat, inside the root.
fn look(root: BorrowedFd<'_>, path: &Path) -> Result<nix::sys::stat::FileStat, Errno> {
    match RootRef::from_fd(root).resolve(path) {
        Ok(handle) => fstat(&handle),
        Err(error) => Err(match error.kind() {
            pathrs::error::ErrorKind::OsError(Some(code)) => Errno::from_raw(code),
            _ => Errno::EINVAL,
        }),
    }
}

fn is(stat: &nix::sys::stat::FileStat, kind: SFlag) -> bool {
    stat.st_mode & SFlag::S_IFMT.bits() == kind.bits()
}

#[cfg(test)]
mod tests;
