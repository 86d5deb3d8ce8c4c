//! `supervised [-i] [-t] [--init] COMMAND...`: a command under rl's supervision, on the host, in a session of its own.
//!
//! What `rl run` does around a container, without a container, so that terminals and signals can be tested where no
//! namespace can be made.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use rl::error::catalog::state::INTERNAL;
use rl::error::{Context, Result};
use rl::runtime::console::Console;
use rl::runtime::reaper;
use rl::runtime::supervise::{Child, supervise};
use rl::sys::child::{fork, open_pidfd};
use rl::sys::signal::{Signals, reset_dispositions};
use rl::sys::terminal::{make_controlling, peer};

fn main() -> ExitCode {
    let (mut interactive, mut terminal, mut init, mut command) = (false, false, false, Vec::new());
    let mut words = std::env::args().skip(1);
    for word in words.by_ref() {
        match word.as_str() {
            "-i" => interactive = true,
            "-t" => terminal = true,
            "-it" => (interactive, terminal) = (true, true),
            "--init" => init = true,
            _ => {
                command.push(word);
                break;
            }
        }
    }
    command.extend(words);
    match run(interactive, terminal, init, &command) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("supervised: {error}");
            ExitCode::from(error.exit_status())
        }
    }
}

fn run(interactive: bool, terminal: bool, init: bool, command: &[String]) -> Result<u8> {
    reset_dispositions().context(&INTERNAL, || "reset dispositions".into())?;
    let signals = Signals::block().context(&INTERNAL, || "block signals".into())?;
    let mut master = None;
    let mut slave = None;
    if terminal {
        let pty = pty().context(&INTERNAL, || "open a pty".into())?;
        (master, slave) = (Some(pty.0), Some(pty.1));
    }
    let pid = fork(|| start(slave.as_ref(), init, &signals, command)).context(&INTERNAL, || "fork".into())?;
    drop(slave);
    let pidfd = open_pidfd(pid).context(&INTERNAL, || "open a pidfd".into())?;
    let console = master.map(|master| Console::start(master, interactive)).transpose()?;
    Ok(supervise(Child { pid, pidfd }, &signals, console)?.status())
}

fn pty() -> nix::Result<(OwnedFd, OwnedFd)> {
    let master = nix::pty::posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)?;
    nix::pty::unlockpt(&master)?;
    let slave = peer(master.as_fd())?;
    Ok((master.into(), slave))
}

fn start(slave: Option<&OwnedFd>, init: bool, signals: &Signals, command: &[String]) -> u8 {
    let prepared =
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).and_then(|()| nix::unistd::setsid()).and_then(|_| {
            let Some(slave) = slave else { return Ok(()) };
            make_controlling(slave.as_fd())?;
            nix::unistd::dup2_stdin(slave)?;
            nix::unistd::dup2_stdout(slave)?;
            nix::unistd::dup2_stderr(slave)
        });
    if prepared.is_err() {
        return 125;
    }
    let exec = || {
        let words: Vec<CString> = command.iter().filter_map(|word| CString::new(word.as_str()).ok()).collect();
        let Some(name) = words.first() else { return 125 };
        match nix::unistd::execvp(name, &words) {
            Ok(never) => match never {},
            Err(nix::errno::Errno::ENOENT) => 127,
            Err(_) => 126,
        }
    };
    if init {
        match reaper::run(signals, exec) {
            Ok(never) => match never {},
            Err(_) => return 125,
        }
    }
    if signals.restore().is_err() {
        return 125;
    }
    exec()
}
