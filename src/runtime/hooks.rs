//! Runs hooks: one after the other, the container's state on stdin, killed when their time is over.
//!
//! Owns one hook's life, wherever it runs: in the parent, or in the container's first process. The surprise: stdin is
//! a file without a name, because a hook need not read it, and neither the run nor a signal to it may depend on that.

use std::io::{Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::Pid;

use crate::error::{Context, Error, Result, catalog::process as codes};
use crate::plan::Hook;
use crate::sys::child::open_pidfd;

/// What of a hook's stderr is told.
const MOST: u64 = 4096;

/// Runs them in their order; the first failure ends it.
///
/// # Errors
/// `RL0513`, with what the hook wrote to stderr.
pub fn run(kind: &str, hooks: &[Hook], state: &serde_json::Value) -> Result<()> {
    let text = state.to_string();
    hooks.iter().enumerate().try_for_each(|(index, hook)| one(&format!("hooks.{kind}[{index}]"), hook, &text))
}

fn one(field: &str, hook: &Hook, state: &str) -> Result<()> {
    let doing = || format!("run {field}, {}", hook.path.display());
    let mut command = Command::new(&hook.path);
    if let Some((first, rest)) = hook.args.split_first() {
        command.arg0(first).args(rest);
    }
    command.env_clear();
    for pair in &hook.env {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        command.env(name, value);
    }
    command.stdin(state_file(state).context(&codes::HOOK, doing)?).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().context(&codes::HOOK, doing)?;
    if !ends_in_time(&child, hook.timeout) {
        let _ = child.kill();
        let _ = child.wait();
        let seconds = hook.timeout.unwrap_or_default();
        return Err(Error::new(&codes::HOOK, doing()).because(format!("it has not ended after {seconds} s")));
    }
    let status = child.wait().context(&codes::HOOK, doing)?;
    if status.success() {
        return Ok(());
    }
    Err(Error::new(&codes::HOOK, doing()).because(format!("{status}{}", said(&mut child))))
}

/// A file and not a pipe: a hook that ends without reading would otherwise send SIGPIPE here.
fn state_file(state: &str) -> std::io::Result<std::fs::File> {
    let mut file = std::fs::File::from(memfd_create("state", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(state.as_bytes())?;
    file.rewind()?;
    Ok(file)
}

/// Without a limit: true, and whoever waits next waits for its end.
fn ends_in_time(child: &Child, timeout: Option<u32>) -> bool {
    let Some(timeout) = timeout else { return true };
    let Ok(pidfd) =
        i32::try_from(child.id()).map_err(drop).and_then(|pid| open_pidfd(Pid::from_raw(pid)).map_err(drop))
    else {
        return true;
    };
    let deadline = Instant::now() + Duration::from_secs(u64::from(timeout));
    loop {
        let left = deadline.saturating_duration_since(Instant::now()).as_millis();
        let wait = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], wait) {
            Ok(0) if left == 0 => return false,
            Ok(0) | Err(nix::errno::Errno::EINTR) => {}
            Ok(_) | Err(_) => return true,
        }
    }
}

/// Only what is there: a process that the hook has left behind may keep the pipe open for ever.
fn said(child: &mut Child) -> String {
    let Some(pipe) = child.stderr.take() else { return String::new() };
    let flags = nix::fcntl::OFlag::O_NONBLOCK;
    if nix::fcntl::fcntl(&pipe, nix::fcntl::FcntlArg::F_SETFL(flags)).is_err() {
        return String::new();
    }
    let mut text = Vec::new();
    let _ = pipe.take(MOST).read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text);
    if text.trim().is_empty() { String::new() } else { format!(": {}", text.trim()) }
}
