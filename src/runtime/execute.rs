//! execvp(3) in the container, and why it did not work.
//!
//! Owns the search in the container's PATH. The surprise: the same search is made twice where `create` and `start` are two calls, first
//! without executing anything, because an engine wants to hear at `create` that there is no such command.

use std::ffi::CString;
use std::os::fd::AsFd;
use std::path::PathBuf;

use nix::errno::Errno;

use super::diagnose;
use crate::error::{Error, catalog::process as codes};
use crate::plan::Process;

/// Looks into a failed exec.
pub(super) fn explain(process: &Process, env: &[String], errno: Errno) -> Error {
    let doing = || format!("execute {}", process.args.first().map_or("", String::as_str));
    let root = match std::fs::File::open("/") {
        Ok(root) => root,
        Err(error) => return Error::new(&codes::SETUP, doing()).because(error),
    };
    let cwd = nix::unistd::getcwd().unwrap_or_else(|_| PathBuf::from("/"));
    let command = process.args.first().map_or("", String::as_str);
    diagnose::explain(root.as_fd(), command, search_path(env), &cwd, errno)
}

/// The last PATH of an environment, or the usual one.
pub(super) fn search_path(env: &[String]) -> &str {
    env.iter()
        .rev()
        .find_map(|pair| pair.strip_prefix("PATH="))
        .unwrap_or("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
}

/// execvp(3) with the container's PATH.
pub(super) fn execute(args: &[String], env: &[String]) -> Errno {
    let strings = |list: &[String]| list.iter().map(|text| CString::new(text.as_str())).collect::<Result<Vec<_>, _>>();
    let (Ok(argv), Ok(envp)) = (strings(args), strings(env)) else { return Errno::EINVAL };
    let attempt = |path: &str| -> Result<std::convert::Infallible, Errno> {
        let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
        nix::unistd::execve(&path, &argv, &envp)
    };
    match search(args, env, attempt) {
        Ok(never) => match never {},
        Err(errno) => errno,
    }
}

/// Whether [`execute`] would find a file: `create` says so, and not `start`.
pub(super) fn findable(args: &[String], env: &[String]) -> Result<(), Errno> {
    search(args, env, |path| {
        let executable = nix::unistd::AccessFlags::X_OK;
        nix::unistd::faccessat(nix::fcntl::AT_FDCWD, path, executable, nix::fcntl::AtFlags::AT_EACCESS)?;
        let is_directory = nix::sys::stat::stat(path).is_ok_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFDIR);
        if is_directory { Err(Errno::EACCES) } else { Ok(()) }
    })
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
