//! execvp(3) in the container, and why it did not work.
//!
//! Owns the search in the container's PATH. The surprise: the same search is made twice where `create` and `start` are two calls, first
//! without executing anything, because an engine wants to hear at `create` that there is no such command.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::diagnose;
use crate::error::{Context, Error, catalog::process as codes};
use crate::host::kernel::OVERFLOW_ID;
use crate::plan::{Plan, Process, Step};
use crate::sys::launcher::{self, Launcher};

/// Looks into a failed exec.
pub(super) fn explain(process: &Process, env: &[String], errno: Errno) -> Error {
    let doing = || format!("execute {}", process.args.first().map_or("", String::as_str));
    if is_blind() {
        let plain = process.args.first().is_none_or(|command| !command.contains('/'));
        let entry = match errno {
            Errno::ENOENT if plain => &codes::COMMAND_NOT_FOUND,
            Errno::ENOENT => &codes::FILE_MISSING,
            _ => &codes::NOT_EXECUTABLE,
        };
        return Error::new(entry, doing()).because(errno);
    }
    let root = match std::fs::File::open("/") {
        Ok(root) => root,
        Err(error) => return Error::new(&codes::SETUP, doing()).because(error),
    };
    let cwd = nix::unistd::getcwd().unwrap_or_else(|_| PathBuf::from("/"));
    let command = process.args.first().map_or("", String::as_str);
    diagnose::explain(root.as_fd(), command, search_path(env), &cwd, errno)
}

/// A seccomp filter that is on already may forbid the very calls with which a container is looked into safely.
fn is_blind() -> bool {
    let how = nix::fcntl::OpenHow::new().flags(nix::fcntl::OFlag::O_PATH | nix::fcntl::OFlag::O_CLOEXEC);
    matches!(nix::fcntl::openat2(nix::fcntl::AT_FDCWD, "/", how), Err(Errno::EPERM | Errno::EACCES))
}

/// The last PATH of an environment, or the usual one.
pub(super) fn search_path(env: &[String]) -> &str {
    env.iter()
        .rev()
        .find_map(|pair| pair.strip_prefix("PATH="))
        .unwrap_or("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
}

/// What this process must become before it executes what the container has chosen; None where no id of this user namespace may
/// write to `rl`'s own file. To be asked while /proc is still the host's. What belongs to nobody here can't be written to by anybody
/// here, whatever capabilities he has (capable_wrt_inode_uidgid in the kernel).
pub(super) fn launcher(process: &Process) -> Result<Option<Launcher>, Error> {
    let own = nix::sys::stat::stat("/proc/self/exe").context(&codes::SETUP, || "look at rl's own file".into())?;
    if !launcher::exists() || (own.st_uid == OVERFLOW_ID && own.st_gid == OVERFLOW_ID && own.st_mode & 0o022 == 0) {
        return Ok(None);
    }
    let made = launcher::make(3 + process.preserve_fds).map_err(|errno| {
        let error = Error::new(&codes::SETUP, "make a sealed file to execute the command from").because(errno);
        error.fix("rl's own file is yours, so a container could change it. Let root install rl, or set vm.memfd_noexec below 2.")
    });
    made.map(Some)
}

/// Looks into a failed exec of a plan, from outside of a container whose process waits for the answer.
pub(super) fn explain_here(plan: &Plan, errno: Errno) -> Error {
    let directory = plan.steps.iter().find_map(|step| match step {
        Step::WorkingDirectory { path } => Some(path.as_path()),
        _ => None,
    });
    let _ = nix::unistd::chdir(directory.unwrap_or(Path::new("/")));
    explain(&plan.process, &plan.process.env, errno)
}

/// execvp(3) with the container's PATH. `by`: the launcher, and where it reports.
pub(super) fn execute(args: &[String], env: &[String], by: Option<(&Launcher, BorrowedFd<'_>)>) -> Errno {
    let strings = |list: &[String]| list.iter().map(|text| CString::new(text.as_str())).collect::<Result<Vec<_>, _>>();
    let (Ok(argv), Ok(envp)) = (strings(args), strings(env)) else { return Errno::EINVAL };
    let attempt = |path: &str| -> Result<std::convert::Infallible, Errno> {
        let name = path;
        let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
        if let Some((program, report)) = by {
            // From there nothing comes back: whether this is the file is seen before.
            executable(name)?;
            return Err(program.execute(report, &path, &argv, &envp));
        }
        nix::unistd::execve(&path, &argv, &envp)
    };
    match search(args, env, attempt) {
        Ok(never) => match never {},
        Err(errno) => errno,
    }
}

/// Whether [`execute`] would find a file: `create` says so, and not `start`.
pub(super) fn findable(args: &[String], env: &[String]) -> Result<(), Errno> {
    search(args, env, executable)
}

fn executable(path: &str) -> Result<(), Errno> {
    let executable = nix::unistd::AccessFlags::X_OK;
    match nix::unistd::faccessat(nix::fcntl::AT_FDCWD, path, executable, nix::fcntl::AtFlags::AT_EACCESS) {
        // A filter from before Linux 5.8, which knows no faccessat2; access(2) itself never says so.
        Err(Errno::EPERM) => nix::unistd::access(path, executable)?,
        other => other?,
    }
    let is_directory = nix::sys::stat::stat(path).is_ok_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFDIR);
    if is_directory { Err(Errno::EACCES) } else { Ok(()) }
}

/// Tries the command's file, or one after the other in PATH: one that may not be executed is passed over, but remembered.
fn search<T>(args: &[String], env: &[String], attempt: impl Fn(&str) -> Result<T, Errno>) -> Result<T, Errno> {
    let Some(command) = args.first().filter(|command| !command.is_empty()) else { return Err(Errno::ENOENT) };
    if command.contains('/') {
        return attempt(command);
    }
    let mut worst = Errno::ENOENT;
    for directory in search_path(env).split(':') {
        let directory = if directory.is_empty() { "." } else { directory };
        match attempt(&format!("{directory}/{command}")) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => {}
            Err(Errno::EACCES) => worst = Errno::EACCES,
            other => return other,
        }
    }
    Err(worst)
}
