//! The binary: reset signals, parse, dispatch, print the error once, map the exit code.

use std::process::ExitCode;

use rl::error::{Context, catalog::state};

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    let reset = rl::sys::signal::reset_dispositions();
    let reset = reset.context(&state::INTERNAL, || "give SIGPIPE and SIGCHLD their default actions".into());
    match reset.and_then(|()| rl::cli::main(&words)) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("rl: {error}");
            ExitCode::from(error.exit_status())
        }
    }
}
