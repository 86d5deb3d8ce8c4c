//! Finding a program of the system.
//!
//! Owns the search only. The surprise: the search goes on in the usual system directories after PATH, because a user's
//! PATH in cron or in a batch job often lacks /usr/sbin and sometimes /usr/bin.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const SYSTEM: [&str; 5] = ["/usr/local/bin", "/usr/bin", "/usr/sbin", "/bin", "/sbin"];

/// The first executable file called `name` in the directories of `path`, then in the system's own.
pub(crate) fn find(name: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    let given = path.map(std::env::split_paths).into_iter().flatten();
    // An empty or relative element means the current directory, which may be anybody's.
    let given = given.filter(|dir| dir.is_absolute());
    given.chain(SYSTEM.iter().map(PathBuf::from)).map(|dir| dir.join(name)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_directories_are_searched_without_a_path() {
        assert!(find("sh", None).is_some());
        assert_eq!(find("no-such-program-of-any-system", None), None);
    }

    #[test]
    fn a_file_that_is_not_executable_is_passed_over() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("sh"), "").expect("a file");
        let found = find("sh", Some(dir.path().as_os_str())).expect("the system's sh");
        assert!(!found.starts_with(dir.path()));
    }

    #[test]
    fn a_relative_element_of_path_is_passed_over() {
        // The tests run in the crate's own directory, in which `target-of-this-test` would be found relatively.
        assert_eq!(find("Cargo.toml", Some(OsStr::new(":.:"))), None);
    }
}
