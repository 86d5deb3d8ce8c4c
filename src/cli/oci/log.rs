//! How a failure is told to an engine.
//!
//! The surprise: the words matter. podman gives 127 for `executable file ... not found in` and `no such file or directory`, 126 for
//! `permission denied`, and buildah and containerd look for `does not exist`.

use std::io::Write;
use std::path::PathBuf;

use crate::error::{Error, catalog::process as codes};
use crate::oci::state::now;

/// logrus' two forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Format {
    #[default]
    Text,
    Json,
}

/// `--log`.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) path: Option<PathBuf>,
    pub(super) format: Format,
}

impl Log {
    /// Tells it, and gives the exit status.
    pub(super) fn failed(&self, error: &Error) -> u8 {
        let message = message(error);
        let line = match self.format {
            Format::Json => serde_json::json!({ "level": "error", "msg": message, "time": now() }).to_string(),
            Format::Text => format!("time={:?} level=error msg={message:?}", now()),
        };
        if let Some(path) = &self.path {
            let opened = std::fs::OpenOptions::new().append(true).create(true).open(path);
            // stderr says it anyhow.
            let _ = opened.and_then(|mut file| writeln!(file, "{line}"));
        }
        eprintln!("{}: {message}", super::NAME);
        // What docker and podman call the engine's own failure is 1 of a runtime.
        match error.exit_status() {
            125 => 1,
            status => status,
        }
    }
}

/// One line, with what callers look for in it.
fn message(error: &Error) -> String {
    let words: Vec<_> = error.summary().split_whitespace().map(str::to_owned).collect();
    let summary = words.join(" ");
    let entry = error.entry();
    let more = if *entry == codes::COMMAND_NOT_FOUND {
        "executable file not found in $PATH: No such file or directory"
    } else if [&codes::FILE_MISSING, &codes::ELF_INTERPRETER, &codes::SCRIPT_INTERPRETER].contains(&entry) {
        "no such file or directory"
    } else if *entry == codes::NOT_EXECUTABLE {
        "permission denied"
    } else if *entry == codes::WRONG_ARCHITECTURE {
        "exec format error"
    } else {
        return summary;
    };
    if summary.to_lowercase().contains(&more.to_lowercase()) { summary } else { format!("{summary}: {more}") }
}
