//! The binary: reset signals, parse, dispatch, print the error once, map the exit code.

// `rl::entry!` is what the C library calls; other C libraries give std's `args_os` nothing without std's own entry.
#![cfg_attr(target_env = "gnu", no_main)]

use std::io::Write;

use rl::cli::format::Screen;
use rl::error::{Context, catalog::state};

#[cfg(target_env = "gnu")]
rl::entry!(run);

#[cfg(not(target_env = "gnu"))]
fn main() -> std::process::ExitCode {
    run().into()
}

fn run() -> u8 {
    let words: Vec<_> = std::env::args_os().collect();
    let reset = rl::sys::signal::reset_dispositions();
    let reset = reset.context(&state::INTERNAL, || "give SIGPIPE and SIGCHLD their default actions".into());
    match reset.and_then(|()| rl::cli::main(&words)) {
        Ok(status) => status,
        Err(error) => {
            // A registry or an archive may have had a part in the words. Nobody is left to hear that stderr is closed.
            let _ = Screen::stderr().write_all(format!("rl: {error}\n").as_bytes());
            error.exit_status()
        }
    }
}
