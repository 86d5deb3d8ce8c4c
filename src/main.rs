//! The binary: reset signals, parse, dispatch, print the error once, map the exit code.

// `rl::entry!` is what the C library calls. Others than GNU's give std's `args_os` nothing without std's own entry, and a test harness
// brings its own.
#![cfg_attr(all(target_env = "gnu", not(test)), no_main)]

use std::io::Write;

use rl::cli::format::Screen;
use rl::error::{Context, catalog::state};

#[cfg(all(target_env = "gnu", not(test)))]
rl::entry!(run);

#[cfg(any(not(target_env = "gnu"), test))]
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
