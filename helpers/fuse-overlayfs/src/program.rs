//! Where the program is, and which version.
//!
//! Owns the search and reading `--version`. The surprise: the version costs a process, so nothing here asks for it
//! unless it is needed.

use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Error;

const SYSTEM: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/bin"];

/// The program fuse-overlayfs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program(PathBuf);

/// The version of fuse-overlayfs. 1.10 is newer than 1.9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The number before the first dot.
    pub major: u32,
    /// The number behind it.
    pub minor: u32,
}

impl Program {
    /// `explicit` alone where it is given; else PATH, then `extra`, then the system's directories.
    pub fn find(explicit: Option<&Path>, extra: &[PathBuf]) -> Result<Self, Error> {
        if let Some(path) = explicit {
            let found = is_executable(path).then(|| Self(path.to_owned()));
            return found.ok_or_else(|| Error::NotAProgram { path: path.to_owned() });
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        // An empty or relative element means the current directory, which may be anybody's.
        let dirs = std::env::split_paths(&path).filter(|dir| dir.is_absolute());
        let mut files = dirs.chain(extra.iter().cloned()).chain(SYSTEM.map(PathBuf::from));
        files
            .find_map(|dir| Some(dir.join("fuse-overlayfs")).filter(|file| is_executable(file)))
            .map(Self)
            .ok_or(Error::NotInstalled)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Runs the program with `--version`.
    pub fn version(&self) -> Result<Version, Error> {
        let output = Command::new(&self.0).arg("--version").stdin(Stdio::null()).output();
        let output = output.map_err(|error| Error::system(format!("run {} --version", self.0.display()), error))?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        parse(&said).ok_or(Error::NoVersion { program: self.0.clone(), said })
    }
}

/// `fuse-overlayfs: version 1.10`, among lines about libfuse and fusermount3 that have versions too.
fn parse(said: &str) -> Option<Version> {
    let line = said.lines().find_map(|line| line.strip_prefix("fuse-overlayfs: version "))?;
    let mut numbers = line.split(|c: char| !c.is_ascii_digit()).map(|digits| digits.parse().ok());
    Some(Version { major: numbers.next()??, minor: numbers.next().flatten().unwrap_or(0) })
}

fn is_executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_found_among_those_of_the_libraries() {
        let said = "fusermount3 version: 3.14.0\nfuse-overlayfs: version 1.10\nFUSE library version 3.14.0\n";
        assert_eq!(parse(said), Some(Version { major: 1, minor: 10 }));
        assert_eq!(parse("fuse-overlayfs: version 1.7.1\n"), Some(Version { major: 1, minor: 7 }));
        assert_eq!(parse("fuse-overlayfs: version 1.13-dev\n"), Some(Version { major: 1, minor: 13 }));
        assert_eq!(parse("fuse-overlayfs: version 2\n"), Some(Version { major: 2, minor: 0 }));
        assert_eq!(parse("FUSE library version 3.14.0\n"), None);
        assert_eq!(parse("fuse-overlayfs: version x\n"), None);
    }

    #[test]
    fn versions_are_ordered_as_numbers() {
        assert!(Version { major: 1, minor: 9 } < Version { major: 1, minor: 10 });
        assert!(Version { major: 1, minor: 16 } < Version { major: 2, minor: 0 });
    }

    #[test]
    fn an_explicit_path_is_the_only_one() {
        assert_eq!(Program::find(Some(Path::new("/bin/sh")), &[]).expect("sh").path(), Path::new("/bin/sh"));
        let missing = Program::find(Some(Path::new("/nowhere/fuse-overlayfs")), &["/usr/bin".into()]);
        assert!(matches!(missing, Err(Error::NotAProgram { .. })));
    }
}
