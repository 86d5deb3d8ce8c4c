//! `-t` and `-i` under a real terminal (tmux): editing, job control, resizing, and a sane terminal on every way out.
//!
//! The same scenarios run twice: with rl's supervision around a plain process (`supervised`), which needs nothing, and
//! with `rl run` of the image busybox. The second needs that image and user namespaces: without them it is
//! skipped, or fails where RL_MUST_WORK=1.

mod processes;
mod scenarios;
mod tmux;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// What is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// tests/terminal/supervised.rs
    Supervised,
    /// `rl run` of busybox
    Rl,
}

impl Program {
    /// Words of a shell command that runs `command` with `flags`; a shell inside has the prompt `inner> `, which
    /// comes from a variable so that neither the echo of the line nor `fg` shows it.
    pub fn line(self, flags: &str, command: &str) -> String {
        match self {
            Self::Supervised => format!("PS1=\"$INNER\" {} {flags} busybox {command}", supervised().display()),
            Self::Rl => format!("{} run --rm --network=none -e PS1=\"$INNER\" {flags} busybox {command}", rl()),
        }
    }

    /// The same for tests that need no terminal.
    pub fn command(self, flags: &str, command: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("exec env {}", self.line(flags, command)));
        shell
    }

    /// Whether the scenario can run; announces why not.
    pub fn available(self) -> bool {
        if self == Self::Supervised {
            return true;
        }
        static WORKS: OnceLock<Result<(), String>> = OnceLock::new();
        let works = WORKS.get_or_init(|| {
            let mut run = Command::new(rl());
            run.args(["run", "--rm", "--network=none", "busybox", "true"]).stdin(Stdio::null());
            let output = run.output().map_err(|error| error.to_string())?;
            if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
        });
        if let Err(why) = works {
            assert!(std::env::var_os("RL_MUST_WORK").is_none_or(|value| value != "1"), "rl run must work here: {why}");
            eprintln!("skipped, rl run busybox does not work here: {why}");
        }
        works.is_ok()
    }
}

fn rl() -> &'static str {
    env!("CARGO_BIN_EXE_rl")
}

/// Beside the test binaries: target/PROFILE/examples, seen from target/PROFILE/deps/terminal-HASH.
fn supervised() -> PathBuf {
    let me = std::env::current_exe().expect("current_exe");
    let profile = me.parent().and_then(|deps| deps.parent()).expect("the profile's directory");
    let path = profile.join("examples/supervised");
    assert!(path.exists(), "{} is missing: cargo build --example supervised", path.display());
    path
}
