//! What can go wrong, and what to do about it.
//!
//! Owns [`Error`]. The surprise: a program that fails says why on stderr and exits with 1 whatever it was, so its words
//! are all there is to pass on.

use std::io;
use std::path::PathBuf;

use nix::errno::Errno;

use crate::Version;

/// Why there is no mount.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program is nowhere.
    #[error("the program fuse-overlayfs is not installed")]
    NotInstalled,
    /// The path that was given is no program.
    #[error("{} is not an executable file", path.display())]
    NotAProgram {
        /// The path.
        path: PathBuf,
    },
    /// /dev/fuse can't be opened.
    #[error("cannot open /dev/fuse")]
    Device {
        /// The answer: ENOENT where it is missing, EACCES or EPERM where it is closed to this user.
        #[source]
        errno: Errno,
    },
    /// The layers make no overlay.
    #[error("{0}")]
    Layers(&'static str),
    /// A directory can't be opened.
    #[error("cannot open the directory {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The answer.
        source: io::Error,
    },
    /// This version takes a colon in the upper directory for a separator.
    #[error("fuse-overlayfs {version} cannot write to {}, because its path has a colon", path.display())]
    Colon {
        /// The upper directory.
        path: PathBuf,
        /// The version.
        version: Version,
    },
    /// The version can't be told.
    #[error("{} --version printed {said:?}, which names no version", program.display())]
    NoVersion {
        /// The program.
        program: PathBuf,
        /// What it printed.
        said: String,
    },
    /// The program can't be started, watched or waited for.
    #[error("cannot {doing}")]
    System {
        /// What was being done.
        doing: String,
        /// The answer.
        source: io::Error,
    },
    /// The program ended by itself.
    #[error("fuse-overlayfs on {} ended ({said})", target.display())]
    Ended {
        /// Where the mount is or should have been.
        target: PathBuf,
        /// Its last words, or its exit status where there were none.
        said: String,
    },
    /// The mount did not come.
    #[error("fuse-overlayfs did not mount {} within {seconds} seconds ({said})", target.display())]
    TooSlow {
        /// Where the mount should have been.
        target: PathBuf,
        /// How long it had.
        seconds: u64,
        /// What it said in that time.
        said: String,
    },
    /// The mount can't be taken away.
    #[error("cannot unmount {}", target.display())]
    Unmount {
        /// Where the mount is.
        target: PathBuf,
        /// The answer.
        #[source]
        errno: Errno,
    },
}

impl Error {
    pub(crate) fn system(doing: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::System { doing: doing.into(), source: source.into() }
    }

    /// What to do about it.
    pub fn fix(&self) -> &'static str {
        match self {
            Self::NotInstalled => "Ask the administrator to install the package fuse-overlayfs.",
            Self::NotAProgram { .. } => "Give the path of the program fuse-overlayfs itself.",
            Self::Device { errno: Errno::ENOENT | Errno::ENODEV | Errno::ENXIO } => {
                "Ask the administrator for: modprobe fuse. Inside a container, start the outer one with \
                 --device /dev/fuse."
            }
            Self::Device { .. } => {
                "Ask the administrator for: chmod 666 /dev/fuse, which is its mode on ordinary machines. Inside a \
                 container, start the outer one with --device /dev/fuse."
            }
            Self::Colon { .. } => "Use a directory without a colon in its path, or fuse-overlayfs 1.15 or newer.",
            Self::Layers(_) | Self::Directory { .. } => "See whether the directories are there and can be read.",
            Self::Ended { .. } | Self::TooSlow { .. } => {
                "The words in parentheses are the program's own; dmesg may say more about a process that was killed."
            }
            Self::NoVersion { .. } | Self::System { .. } | Self::Unmount { .. } => "",
        }
    }
}
