//! The binary: reset signals, parse, dispatch, print the error once, map the exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    match rl::cli::main(&words) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("rl: {error}");
            ExitCode::from(error.exit_status())
        }
    }
}
