//! What of the host, of other images and of memory is mounted into the container, as the user has asked for it.
//!
//! Owns the words; where a volume lies is found by the command line, and how it is mounted is decided by `mounts`. The surprise: an
//! empty name or directory means that nobody has looked for it yet.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// `-v SRC:DST[:OPTIONS]` or `--mount type=...`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Volume {
    /// A directory or file of the host.
    Bind {
        /// Absolute path on the host.
        source: PathBuf,
        /// Absolute path in the container.
        target: PathBuf,
        /// `ro`, ...
        options: BindOptions,
    },
    /// `-v NAME:DST[:OPTIONS]`, `-v DST`, an image's VOLUME, or `--mount type=volume`.
    Named {
        /// Its name; empty before one was made up for an anonymous one.
        name: String,
        /// Its directory; empty before it was looked for.
        source: PathBuf,
        /// Absolute path in the container.
        target: PathBuf,
        /// `ro`, ...
        options: BindOptions,
        /// Not `nocopy`: while it is empty it gets what the image has in its place.
        copy: bool,
        /// Nobody has named it, so it goes with its container.
        anonymous: bool,
        /// Only what is there in it.
        #[serde(default)]
        subpath: Option<PathBuf>,
        /// It is memory of this container's alone, mounted with these words.
        #[serde(default)]
        memory: Option<Vec<String>>,
    },
    /// `--mount type=image`: what is in an image, read-only.
    Image {
        /// The image, as it was typed.
        name: String,
        /// Where in it.
        subpath: Option<PathBuf>,
        /// Where it is mounted on the host; empty before it is.
        source: PathBuf,
        /// Absolute path in the container.
        target: PathBuf,
    },
    /// `--tmpfs DST[:OPTIONS]` or `--mount type=tmpfs`.
    Tmpfs {
        /// Absolute path in the container.
        target: PathBuf,
        /// Mount options in mount(8)'s words: `ro`, `noexec`, `size=64m`, `mode=1777`.
        options: Vec<String>,
    },
}

impl Volume {
    /// Whether nobody has named it.
    pub fn is_anonymous(&self) -> bool {
        matches!(self, Self::Named { anonymous: true, .. })
    }

    /// Where it is in the container.
    pub fn target(&self) -> &Path {
        match self {
            Self::Bind { target, .. }
            | Self::Named { target, .. }
            | Self::Image { target, .. }
            | Self::Tmpfs { target, .. } => target,
        }
    }
}

/// `--image-volume`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImageVolumes {
    /// Each is an anonymous volume (podman's `bind` and `anonymous`).
    #[default]
    Anonymous,
    /// Memory.
    Tmpfs,
    /// The image's directory, like any other.
    Ignore,
}

/// docker's rule: `[a-zA-Z0-9][a-zA-Z0-9_.-]*`.
pub fn is_volume_name(name: &str) -> bool {
    let of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    name.len() <= 255 && name.starts_with(|first: char| first.is_ascii_alphanumeric()) && name.bytes().all(of_a_name)
}

/// How a bind mount is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindOptions {
    /// `ro`.
    pub read_only: bool,
    /// `rbind` (the default, as in podman) or `bind`.
    pub recursive: bool,
    /// `private`, `rprivate` (default), `shared`, `rshared`, `slave`, `rslave`.
    pub propagation: String,
    /// `nosuid` (podman's default for volumes), `nodev` (default), `noexec`, `noatime`...
    pub nosuid: bool,
    /// See above.
    pub nodev: bool,
    /// See above.
    pub noexec: bool,
    /// `U`: all that is in it is given to the container's user.
    #[serde(default)]
    pub chown: bool,
}

impl Default for BindOptions {
    fn default() -> Self {
        Self {
            read_only: false,
            recursive: true,
            propagation: "rprivate".into(),
            nosuid: true,
            nodev: true,
            noexec: false,
            chown: false,
        }
    }
}

/// A device node of the host, bound into the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceBind {
    /// Absolute path on the host.
    pub source: PathBuf,
    /// Absolute path in the container.
    pub target: PathBuf,
    /// Without `w`: bound read-only.
    pub read_only: bool,
}
