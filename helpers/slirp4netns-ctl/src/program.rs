//! Where the program is, and which version.
//!
//! Owns the search, reading `--version`, and what follows from it. The surprise: the version that matters most is not the
//! program's but that of libslirp, which parses what the container sends; it is a line of the same output.

use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::Error;

const SYSTEM: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/bin"];
/// Before it: reads and writes beyond buffers by packets of the guest (CVE-2020-29129, 29130, CVE-2021-3592 to 3595).
const SAFE_LIBSLIRP: Triple = Triple(4, 6, 0);

/// The program slirp4netns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program(PathBuf);

/// MAJOR.MINOR.PATCH; 1.10.0 is newer than 1.9.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Triple(pub u32, pub u32, pub u32);

/// What `--version` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The program's own.
    pub program: Triple,
    /// Of the library that does the work; None before 1.0.0, which had its own copy of it.
    pub libslirp: Option<Triple>,
    /// SLIRP_CONFIG_VERSION_MAX: what the library can be configured to.
    pub config: u32,
    /// Whether it was built with libseccomp.
    pub seccomp: bool,
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
            .find_map(|dir| Some(dir.join("slirp4netns")).filter(|file| is_executable(file)))
            .map(Self)
            .ok_or(Error::NotInstalled)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Runs the program with `--version`. It costs a process: a caller that starts often keeps the answer.
    pub fn version(&self) -> Result<Version, Error> {
        let output = Command::new(&self.0).arg("--version").stdin(Stdio::null()).output();
        let output = output.map_err(|error| Error::system(format!("run {} --version", self.0.display()), error))?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        Version::parse(&said).ok_or(Error::NoVersion { program: self.0.clone(), said })
    }
}

impl Version {
    /// The output of `--version`.
    pub fn parse(said: &str) -> Option<Self> {
        let line = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let program = Triple::parse(line("slirp4netns version ")?)?;
        let libslirp = line("libslirp:").and_then(Triple::parse);
        let config = line("SLIRP_CONFIG_VERSION_MAX:").and_then(|number| number.parse().ok()).unwrap_or(0);
        Some(Self { program, libslirp, config, seccomp: line("libseccomp:").is_some() })
    }

    /// Refuses a libslirp that a container could attack.
    ///
    /// # Errors
    /// [`Error::OldLibslirp`].
    pub fn check(&self) -> Result<(), Error> {
        let libslirp = self.libslirp.unwrap_or(Triple(0, 0, 0));
        if libslirp < SAFE_LIBSLIRP { Err(Error::OldLibslirp(libslirp)) } else { Ok(()) }
    }

    /// `--outbound-addr` and `--outbound-addr6`.
    pub fn has_outbound_address(&self) -> bool {
        self.program >= Triple(1, 1, 0) && self.config >= 2
    }

    /// `--disable-dns`.
    pub fn has_disable_dns(&self) -> bool {
        self.program >= Triple(1, 1, 0) && self.config >= 3
    }

    /// `--enable-sandbox` and `--enable-seccomp`.
    pub fn has_sandbox(&self) -> bool {
        self.program >= Triple(0, 4, 0)
    }
}

impl Triple {
    /// `1.2.0`, `1.2.0-beta.1+dev`, `1.2`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        let mut next = || numbers.next().and_then(Result::ok);
        let major = next()?;
        Some(Self(major, next().unwrap_or(0), next().unwrap_or(0)))
    }
}

impl fmt::Display for Triple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

fn is_executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = "slirp4netns version 1.2.0\ncommit: 656041d45cfca7a4176f6b7eed9e4fe6c11e8383\n\
                          libslirp: 4.7.0\nSLIRP_CONFIG_VERSION_MAX: 4\nlibseccomp: 2.5.4\n";

    #[test]
    fn both_versions_are_found() {
        let version = Version::parse(DEBIAN).expect("a version");
        let expected = Version { program: Triple(1, 2, 0), libslirp: Some(Triple(4, 7, 0)), config: 4, seccomp: true };
        assert_eq!(version, expected);
        assert!(version.check().is_ok() && version.has_outbound_address() && version.has_disable_dns());
        assert_eq!(Version::parse("usage: x\n"), None);
    }

    #[test]
    fn a_libslirp_with_known_holes_is_refused() {
        for (old, fine) in [("4.5.0", false), ("4.5.99", false), ("4.6.0", true), ("4.10.1", true), ("5.0", true)] {
            let version = Version::parse(&DEBIAN.replace("4.7.0", old)).expect("a version");
            assert_eq!(version.check().is_ok(), fine, "{old}");
        }
        let own_copy = Version::parse("slirp4netns version 0.4.3\ncommit: x\n").expect("a version");
        assert!(matches!(own_copy.check(), Err(Error::OldLibslirp(_))));
        assert!(!own_copy.has_disable_dns() && own_copy.has_sandbox() && !own_copy.seccomp);
    }

    #[test]
    fn versions_are_ordered_as_numbers() {
        assert!(Triple::parse("1.9.0") < Triple::parse("1.10.0"));
        assert_eq!(Triple::parse("1.3.0-beta.2+dev"), Some(Triple(1, 3, 0)));
    }

    #[test]
    fn an_explicit_path_is_the_only_one() {
        assert_eq!(Program::find(Some(Path::new("/bin/sh")), &[]).expect("sh").path(), Path::new("/bin/sh"));
        let missing = Program::find(Some(Path::new("/nowhere/slirp4netns")), &["/usr/bin".into()]);
        assert!(matches!(missing, Err(Error::NotAProgram { .. })));
    }
}
