//! The directory in which the command begins.
//!
//! Owns the way there and what is said where there is none, which is the one step of a start that people get wrong by typing. The
//! surprise: an engine above `rl oci` reads the words of this error and takes "no such file or directory" for the status 127.

use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;

use super::Root;
use super::resolve::{Kind, errno};
use crate::error::{Error, Result, catalog::process, catalog::rootfs};

/// What whoever starts a command ends with where it is there and closed: docker's and podman's.
const CLOSED: u8 = 126;
/// What a start ends with where the directory can't be made, as it is docker's.
const UNMADE: u8 = 125;

impl Root {
    /// Changes to `path`; with `make` it is made where it is missing.
    pub(in crate::runtime) fn enter(&self, path: &Path, make: bool) -> Result<()> {
        let directory = self.working_directory(path, make)?;
        nix::unistd::fchdir(&directory).map_err(|errno| unusable(path, errno, make))?;
        // getcwd(2) answers "(unreachable)" for a directory outside the root (CVE-2024-21626).
        let inside = nix::unistd::getcwd().is_ok_and(|cwd| cwd.is_absolute());
        if inside {
            Ok(())
        } else {
            Err(Error::new(&rootfs::UNSAFE_TARGET, changing(path)).because("it is outside the container"))
        }
    }

    fn working_directory(&self, path: &Path, make: bool) -> Result<OwnedFd> {
        let error = match self.resolve(path) {
            Ok(found) => return Ok(found),
            Err(error) => error,
        };
        match errno(&error) {
            Some(Errno::ENOENT) if make => self.ensure(path, Kind::Directory).map_err(|error| {
                let unmade = Error::new(&process::WORKING_DIRECTORY, changing(path)).because(error.summary());
                let fix =
                    "It is not there, and can't be made. Give another one with -w, or mount something there: --tmpfs";
                unmade.exit(UNMADE).fix(format!("{fix} {}.", path.display()))
            }),
            Some(errno) => Err(unusable(path, errno, make)),
            None => Err(Error::new(&process::WORKING_DIRECTORY, changing(path)).because(error)),
        }
    }
}

fn changing(path: &Path) -> String {
    format!("change to {} in the container", path.display())
}

/// The kernel's answer, and what to do about it.
fn unusable(path: &Path, errno: Errno, make: bool) -> Error {
    let error = Error::new(&process::WORKING_DIRECTORY, changing(path)).because(errno);
    let error = if make { error.exit(UNMADE) } else { error };
    match errno {
        Errno::ENOENT => {
            let make = format!("mkdir -p {}", path.display());
            error.fix(format!("There is nothing of this name. Give another one with -w, or make it first: rl exec CONTAINER {make}"))
        }
        Errno::ENOTDIR => error.fix("It, or what is before one of its slashes, is a file. Give a directory with -w."),
        Errno::EACCES => {
            let fix = "It, or a directory above it, belongs to somebody who is not in the container, and is closed to others. Give \
                       another one with -w, or let others in: chmod o+x DIR.";
            error.exit(CLOSED).fix(fix)
        }
        Errno::ELOOP => error.fix(
            "A link leads to itself, or is one of /proc's, which lead out (CVE-2024-21626). Give the directory itself with -w.",
        ),
        _ => error,
    }
}
