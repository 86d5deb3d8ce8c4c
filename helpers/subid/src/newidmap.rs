//! Running newuidmap and newgidmap, and finding out why they did not work.
//!
//! Owns [`Writer`] (both programs, found) and [`HelperError`] (the cause, with its fix). The process whose maps are
//! written is the caller's business; it must be dumpable, because newuidmap compares the owner of /proc/PID with the
//! caller. The surprise: a helper that has lost its setuid bit says only "Operation not permitted", as does one that is
//! kept from using it; so after a failure the machine is looked at, and nothing of that costs a run that works.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::{IdMap, program};

mod cause;

pub use cause::HelperError;

/// Both programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writer {
    newuidmap: PathBuf,
    newgidmap: PathBuf,
}

impl Writer {
    /// Looks for the programs in PATH, then in the system's directories.
    pub fn find() -> Result<Self, HelperError> {
        Self::find_in(std::env::var_os("PATH").as_deref())
    }

    /// The same with a PATH of the caller's choice.
    pub fn find_in(path: Option<&OsStr>) -> Result<Self, HelperError> {
        let find = |name| program::find(name, path).ok_or(HelperError::Missing { program: name });
        Ok(Self { newuidmap: find("newuidmap")?, newgidmap: find("newgidmap")? })
    }

    /// Writes both maps of the process `pid`, which sits in a new user namespace and is a child of ours that is not
    /// reaped.
    ///
    /// The two programs run side by side: each takes 1.5-2 ms, nearly all of it its own start.
    pub fn write(&self, pid: i32, uid: &IdMap, gid: &IdMap) -> Result<(), HelperError> {
        let first = start(&self.newuidmap, pid, uid)?;
        let second = start(&self.newgidmap, pid, gid);
        // Both are waited for whatever happens, so that none stays behind as a zombie.
        let first = finish(&self.newuidmap, first, uid, "uid");
        let second = second.and_then(|child| finish(&self.newgidmap, child, gid, "gid"));
        first.and(second)
    }
}

/// Finds the programs and writes both maps of `pid`; see [`Writer::write`].
pub fn write_maps(pid: i32, uid: &IdMap, gid: &IdMap) -> Result<(), HelperError> {
    Writer::find()?.write(pid, uid, gid)
}

/// Newer programs (shadow 4.14) take `fd:N`, a descriptor of /proc/PID, against a pid that is used again between our
/// look and theirs. Which version this is can't be told without running it. The pid will do: it is that of our own
/// child, and a child that is not reaped keeps its pid, dead or alive.
fn start(program: &Path, pid: i32, map: &IdMap) -> Result<Child, HelperError> {
    let mut command = Command::new(program);
    command.arg(pid.to_string());
    for extent in map.extents() {
        command.args([extent.inside, extent.outside, extent.count].map(|number| number.to_string()));
    }
    // The messages are looked into, and gettext would translate them.
    command.env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().map_err(|source| HelperError::Spawn { program: program.to_owned(), source })
}

fn finish(program: &Path, child: Child, map: &IdMap, kind: &str) -> Result<(), HelperError> {
    let output: io::Result<Output> = child.wait_with_output();
    let output = output.map_err(|source| HelperError::Spawn { program: program.to_owned(), source })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let said = if said.is_empty() { output.status.to_string() } else { said };
    Err(cause::find(program, said, map, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scripts in place of the programs, written by another process so that no descriptor of ours makes them ETXTBSY.
    fn scripts(dir: &Path, newuidmap: &str, newgidmap: &str) -> Writer {
        for (name, body) in [("newuidmap", newuidmap), ("newgidmap", newgidmap)] {
            let write = r#"printf '#!/bin/sh\ncd "${0%%/*}"\n%s\n' "$1" > "$2" && chmod 755 "$2""#;
            let status = Command::new("sh").args(["-c", write, "sh", body]).arg(dir.join(name)).status();
            assert!(status.expect("sh").success());
        }
        Writer::find_in(Some(dir.as_os_str())).expect("the scripts")
    }

    fn map() -> IdMap {
        IdMap::parse("0 1001 1\n1 100000 65536\n").expect("a map")
    }

    #[test]
    fn each_program_gets_the_pid_and_its_own_map() {
        let dir = tempfile::tempdir().expect("a directory");
        let writer = scripts(dir.path(), r#"echo "$@" > uid"#, r#"echo "$@" > gid"#);
        writer.write(42, &map(), &IdMap::single(0, 7)).expect("the scripts succeed");
        let read = |name| std::fs::read_to_string(dir.path().join(name)).expect("the arguments");
        assert_eq!(read("uid"), "42 0 1001 1 1 100000 65536\n");
        assert_eq!(read("gid"), "42 0 7 1\n");
    }

    #[test]
    fn the_programs_run_side_by_side() {
        let dir = tempfile::tempdir().expect("a directory");
        nix::unistd::mkfifo(&dir.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
        // Opening a fifo waits for the other end: run one after the other, the first would never end.
        let writer = scripts(dir.path(), "read word < fifo", "echo word > fifo");
        writer.write(42, &map(), &map()).expect("both meet");
    }

    #[test]
    fn what_the_program_says_about_a_range_is_the_cause() {
        let dir = tempfile::tempdir().expect("a directory");
        let words = "newuidmap: uid range [1-65537) -> [100000-165536) not allowed";
        let writer = scripts(dir.path(), &format!("echo '{words}' >&2; exit 1"), "exit 0");
        match writer.write(42, &map(), &map()) {
            Err(HelperError::NotPermitted { said, .. }) => assert_eq!(said, words),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_failure_of_the_second_program_is_seen_too() {
        let dir = tempfile::tempdir().expect("a directory");
        let writer = scripts(dir.path(), "exit 0", "echo 'newgidmap: gid range [..) not allowed' >&2; exit 1");
        let error = writer.write(42, &map(), &map()).expect_err("the second fails");
        assert!(error.to_string().contains("newgidmap"), "{error}");
    }

    #[test]
    fn a_program_that_cannot_be_executed_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut writer = scripts(dir.path(), "exit 0", "exit 0");
        writer.newgidmap = dir.path().join("absent");
        let error = writer.write(42, &map(), &map());
        assert!(matches!(error, Err(HelperError::Spawn { program, .. }) if program == writer.newgidmap));
    }
}
