//! What is asked of a container's life: whether it is started again, where its output goes, how its health is told.
//!
//! Pure data, with docker's words for it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `--restart`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Restart {
    /// `no`.
    #[default]
    No,
    /// `on-failure[:N]`: at most N times in a row; 0 is no bound.
    OnFailure(u32),
    /// `always`.
    Always,
    /// `unless-stopped`.
    UnlessStopped,
}

impl Restart {
    /// Docker's name of the policy.
    pub fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::OnFailure(_) => "on-failure",
            Self::Always => "always",
            Self::UnlessStopped => "unless-stopped",
        }
    }

    /// The bound of `on-failure:N`, else 0.
    pub fn most(self) -> u32 {
        if let Self::OnFailure(most) = self { most } else { 0 }
    }

    /// Whether a container that nobody has asked to stop is started once more, after `restarts` of them.
    pub fn applies(self, exit: u8, restarts: u32) -> bool {
        match self {
            Self::No => false,
            Self::OnFailure(most) => exit != 0 && (most == 0 || restarts < most),
            Self::Always | Self::UnlessStopped => true,
        }
    }
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnFailure(most) if *most > 0 => write!(f, "on-failure:{most}"),
            other => f.write_str(other.name()),
        }
    }
}

impl FromStr for Restart {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None => match text {
                "" | "no" => Ok(Self::No),
                "on-failure" => Ok(Self::OnFailure(0)),
                "always" => Ok(Self::Always),
                "unless-stopped" => Ok(Self::UnlessStopped),
                _ => Err("no, on-failure[:N], always or unless-stopped"),
            },
            Some(("on-failure", most)) => most.parse().map(Self::OnFailure).map_err(|_| "on-failure:N with a number"),
            Some(_) => Err("only on-failure may have a number"),
        }
    }
}

/// `--log-driver` and `--log-opt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// `json-file`, or `none`.
    pub kept: bool,
    /// `max-size`: a file that has grown to it is put aside; None: it grows.
    pub max_size: Option<u64>,
    /// `max-file`: how many files there are at most, the current one included.
    pub max_files: u32,
}

impl Default for Log {
    fn default() -> Self {
        Self { kept: true, max_size: None, max_files: 1 }
    }
}

impl Log {
    /// Docker's name of the driver.
    pub fn driver(&self) -> &'static str {
        if self.kept { "json-file" } else { "none" }
    }
}

/// Which outputs of a container in the foreground are shown (`-a`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// stdout, and all of a terminal.
    pub stdout: bool,
    /// stderr.
    pub stderr: bool,
}

impl Default for Attached {
    fn default() -> Self {
        Self { stdout: true, stderr: true }
    }
}

/// What comes of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// `--timeout`: the seconds after which it is killed.
    pub timeout: Option<u32>,
    /// `--rmi`: the image goes after the container, unless another one needs it.
    pub remove_image: bool,
}

/// Files into which numbers of processes are written at each start; absolute.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PidFiles {
    /// `--pidfile`: the container's first process.
    pub own: Option<PathBuf>,
    /// `--conmon-pidfile`: who watches over it.
    pub supervisor: Option<PathBuf>,
}

/// `--health-cmd` and its siblings; times in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// argv, run in the container; docker's CMD-SHELL is `/bin/sh -c`.
    pub command: Vec<String>,
    /// Between the end of a check and the next.
    pub interval: u64,
    /// After which a check has failed.
    pub timeout: u64,
    /// Failures in a row that make it unhealthy.
    pub retries: u32,
    /// After the start, in which failures don't count.
    pub start_period: u64,
    /// Between the end of a check and the next while that lasts and none has succeeded.
    pub start_interval: u64,
    /// What becomes of an unhealthy container.
    pub on_failure: OnUnhealthy,
}

/// `--health-on-failure`, podman's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnUnhealthy {
    /// Nothing but the word.
    #[default]
    None,
    /// SIGKILL; the restart policy decides what comes then.
    Kill,
    /// It is stopped for good.
    Stop,
}
