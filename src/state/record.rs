//! `container.json`: what a container was made of, and all that starting it again needs.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::files::{read_versioned, write_replacing};
use crate::error::Result;
use crate::spec::lifecycle::Health;
use crate::spec::{ImageConfig, RunSpec, health};

const VERSION: u32 = 1;
pub(super) const FILE: &str = "container.json";

/// A container, apart from whether it runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    version: u32,
    /// 64 hexadecimal digits.
    pub id: String,
    /// `--name`, or a made-up one.
    pub name: String,
    /// Nanoseconds since 1970.
    pub created: u64,
    /// The image as it was typed, or the directory of `--rootfs`.
    pub image: String,
    /// 64 hexadecimal digits; None of a directory.
    pub image_id: Option<String>,
    /// `--platform`: `linux/arm64`.
    pub platform: Option<String>,
    /// Where the image is, if it is not in this user's own store.
    pub store: Option<PathBuf>,
    /// What the image's configuration says.
    pub config: ImageConfig,
    /// The storage driver that puts its root together, where that is not the kernel's overlay.
    pub driver: Option<String>,
    /// The command, the entrypoint in front.
    pub command: Vec<String>,
    /// What was asked for.
    pub run: RunSpec,
    /// How that was typed; None of what an older `rl` has made.
    #[serde(default)]
    pub typed: Option<Typed>,
}

/// The words behind `rl run` or `rl create`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Typed {
    /// Where; paths may have been relative.
    pub dir: PathBuf,
    /// Before IMAGE.
    pub flags: Vec<String>,
    /// IMAGE, or the directory, and the command.
    pub rest: Vec<String>,
}

impl Record {
    /// Of a container that is being made now.
    pub fn new(id: &str, name: &str, image: String, config: &ImageConfig, run: &RunSpec) -> Self {
        Self {
            version: VERSION,
            id: id.to_owned(),
            name: name.to_owned(),
            created: super::now(),
            image,
            image_id: None,
            platform: None,
            store: None,
            config: config.clone(),
            driver: None,
            command: Vec::new(),
            run: run.clone(),
            typed: None,
        }
    }

    /// None: there is no record in `data`.
    pub fn read(data: &Path) -> Result<Option<Self>> {
        read_versioned(&data.join(FILE), VERSION)
    }

    /// Puts it into `data`, on the disk.
    pub fn write(&self, data: &Path) -> Result<()> {
        write_replacing(&data.join(FILE), self, true)
    }

    /// How it is found out how the container is; None: it is not.
    pub fn health(&self) -> Option<Health> {
        health::of(self.run.health.as_ref(), self.config.health.as_ref())
    }

    /// Labels of the image and of the command line; the latter win.
    pub fn labels(&self) -> Vec<(String, String)> {
        let mut all: Vec<(String, String)> = Vec::new();
        for (name, value) in self.config.labels.iter().chain(&self.run.labels) {
            match all.iter_mut().find(|(have, _)| have == name) {
                Some((_, have)) => have.clone_from(value),
                None => all.push((name.clone(), value.clone())),
            }
        }
        all
    }
}
