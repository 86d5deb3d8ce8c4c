//! `-t` and `-i` under a real terminal (tmux): editing, job control, resizing, and a sane terminal on every way out.

mod attached;
mod processes;
mod scenarios;
#[path = "../support/mod.rs"]
mod support;
mod tmux;

use std::process::Command;

use support::Rl;

/// `rl run` of busybox in a home of its own.
pub struct Program(Rl);

impl Program {
    /// The holder is made first, so that it is no child of the `rl` that a scenario looks at.
    pub fn start() -> Self {
        let rl = Rl::new();
        rl.run(&["run", "--rm", "busybox", "true"]).success();
        Self(rl)
    }

    /// Words of a shell command that runs `command` with `flags`; a shell inside has the prompt `inner> `, which
    /// comes from a variable so that neither the echo of the line nor `fg` shows it.
    pub fn line(&self, flags: &str, command: &str) -> String {
        let Self(rl) = self;
        let binary = rl.binary();
        let (root, run) = (rl.root(), rl.runroot());
        let own = format!("{} --root {} --runroot {}", binary.display(), root.display(), run.display());
        format!("{own} run --rm --network=none -e PS1=\"$INNER\" {flags} busybox {command}")
    }

    /// The same for tests that need no terminal.
    pub fn command(&self, flags: &str, command: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("exec {}", self.line(flags, command)));
        shell
    }
}
