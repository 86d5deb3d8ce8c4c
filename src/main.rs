//! The binary: reset signals, parse, dispatch, print the error once, map the exit code.

use std::io::Write;
use std::process::ExitCode;

use rl::cli::format::Screen;
use rl::error::{Context, catalog::state};

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    let reset = rl::sys::signal::reset_dispositions();
    let reset = reset.context(&state::INTERNAL, || "give SIGPIPE and SIGCHLD their default actions".into());
    match reset.and_then(|()| rl::cli::main(&words)) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            // A registry or an archive may have had a part in the words. Nobody is left to hear that stderr is closed.
            let _ = Screen::stderr().write_all(format!("rl: {error}\n").as_bytes());
            ExitCode::from(error.exit_status())
        }
    }
}
