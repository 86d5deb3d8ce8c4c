//! The foreground: waits for the container's first process, forwards signals, and turns the console's wheel.
//!
//! Owns the one poll loop of a running container and which signal means what. It does not start or clean up anything.
//! The surprise: the container's processes are in a session of their own, so the terminal's Ctrl-C and Ctrl-Z reach
//! only `rl`, and what the kernel would have done for a process group is done here. A first process that handles
//! neither SIGINT nor SIGTERM ignores them, as pid 1 does everywhere; `--init` is for that. When the caller's terminal has
//! gone, nobody could ever end such a container again, so it is killed after a grace period.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::error::{Context, Error, Result, catalog::process};
use crate::network;
use crate::runtime::console::{Console, STREAMS};
pub use crate::sys::child::Exit;
use crate::sys::child::{signal_pid, signal_pidfd, wait_pidfd};
use crate::sys::clone::Child;
use crate::sys::signal::Signals;

impl Child {
    /// Sends a signal by number. A child that has ended is no error: its status is about to be read.
    pub fn signal(&self, number: i32) -> Result<()> {
        match signal_pidfd(self.pidfd.as_fd(), number) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(errno) => {
                Err(Error::new(&process::SUPERVISE, format!("send signal {number} to pid {}", self.pid)).because(errno))
            }
        }
    }

    /// Kills and reaps it; for every way out on which nobody wants its status.
    pub fn kill(self) {
        // A child that can't be killed can't be waited for; PR_SET_PDEATHSIG ends it with this process.
        if self.signal(libc::SIGKILL).is_ok() {
            let _ = wait_pidfd(self.pidfd.as_fd(), true);
        }
    }

    /// Signals its process group: of a container without job control of its own that is every process. The group
    /// exists until the child is reaped, so its number can't have passed to another.
    fn signal_group(&self, number: i32) -> Result<()> {
        match signal_pid(Pid::from_raw(-self.pid.as_raw()), number) {
            // Before its setsid the child has no group yet.
            Err(Errno::ESRCH) => self.signal(number),
            Ok(()) => Ok(()),
            Err(errno) => {
                Err(Error::new(&process::SUPERVISE, format!("send signal {number} to process group {}", self.pid))
                    .because(errno))
            }
        }
    }
}

/// Stays until the child has ended and all that it wrote to its terminal has been passed on; gives how it ended.
///
/// The child is reaped on every way out; on an error it is killed first. The caller's terminal is as it was before when
/// this returns.
///
/// Should the network end before, or a process that serves a part of it, that is said once. At `limit` it is killed.
pub fn supervise(
    child: Child,
    signals: &Signals,
    mut console: Option<Console>,
    mut network: Option<network::Running>,
    limit: Option<Instant>,
) -> Result<Exit> {
    let watched = watch(&child, signals, console.as_mut(), network.as_mut(), limit);
    if let (Ok(_), Some(network)) = (&watched, network) {
        network.end();
    }
    match watched {
        Ok(Some(exit)) => Ok(exit),
        // It has no keys by which it could be left.
        Ok(None) => Err(Error::new(&process::SUPERVISE, format!("wait for pid {}", child.pid))),
        Err(error) => {
            child.kill();
            Err(error)
        }
    }
}

/// The same of a process whose terminal can be left by the console's keys; None: it was, and goes on.
///
/// # Errors
/// As [`supervise`].
pub fn until_left(child: &Child, signals: &Signals, console: Option<&mut Console>) -> Result<Option<Exit>> {
    watch(child, signals, console, None, None)
}

/// Waits for a child that shares this process's terminal and process group (`rl unshare`): the terminal's signals reach it
/// without help, so none is forwarded.
pub fn wait_for_end(child: &Child) -> Result<Exit> {
    let ended =
        wait_pidfd(child.pidfd.as_fd(), true).context(&process::SUPERVISE, || format!("wait for pid {}", child.pid))?;
    ended.ok_or_else(|| Error::new(&process::SUPERVISE, format!("wait for pid {}", child.pid)))
}

/// Ends what a container without a pid namespace has left: such processes have become this one's children (subreaper), so that
/// each round of killing and reaping shows the next generation. The holder may be a child too; it is in our own user namespace,
/// as no process of a container is.
pub fn end_descendants() {
    let path = format!("/proc/self/task/{}/children", nix::unistd::gettid());
    let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/user")).ok();
    let own = namespace("self");
    loop {
        let children = std::fs::read_to_string(&path).unwrap_or_default();
        let theirs = children.split_ascii_whitespace().filter(|pid| namespace(pid) != own);
        let mut children = theirs.filter_map(|word| word.parse().ok()).map(Pid::from_raw).peekable();
        if children.peek().is_none() {
            return;
        }
        for pid in children {
            // Children can't be reaped by anybody else, so the number is still theirs.
            if signal_pid(pid, libc::SIGKILL).is_err() || crate::sys::child::wait_pid(pid).is_err() {
                return;
            }
        }
    }
}

/// What a container has to end after its terminal was hung up: docker's and podman's time between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(10);

/// What one poll has found.
struct Ready {
    signals: bool,
    ended: bool,
    network: bool,
    console: [bool; STREAMS],
}

fn watch(
    child: &Child,
    signals: &Signals,
    mut console: Option<&mut Console>,
    mut network: Option<&mut network::Running>,
    mut deadline: Option<Instant>,
) -> Result<Option<Exit>> {
    // A stopped process could not carry out what it was asked: after one of these `rl` stays awake in the background.
    let mut asked_to_end = false;
    let (mut was_background, mut was_hung_up) = (false, false);
    loop {
        if !was_hung_up && console.as_deref().is_some_and(Console::hung_up) {
            was_hung_up = true;
            child.signal(libc::SIGHUP)?;
            let end = Instant::now() + GRACE;
            deadline = Some(deadline.map_or(end, |deadline| deadline.min(end)));
        }
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            child.signal(libc::SIGKILL)?;
        }
        let background = console.as_deref().is_some_and(Console::in_background);
        if background && !was_background && !asked_to_end {
            stop(signals, Signal::SIGTTIN)?;
        }
        was_background = background;
        let ready = wait(child, signals, console.as_deref(), network.as_deref(), deadline)?;
        if let Some(network) = network.as_deref_mut().filter(|_| ready.network) {
            // With a return: the terminal may be raw.
            network.check(child.pidfd.as_fd()).iter().for_each(|error| eprint!("rl: {}\r\n", error.line()));
        }
        if ready.signals {
            while let Some(number) = signals.next().context(&process::SUPERVISE, || "read a signal".into())? {
                asked_to_end |= asks_to_end(number);
                // Continued: if it is in the background still (`bg`), it stops once more.
                was_background &= number != libc::SIGCONT;
                handle(number, child, signals, console.as_deref_mut())?;
            }
        }
        if let Some(console) = console.as_deref_mut() {
            console.turn(ready.console)?;
            if console.is_left() {
                return Ok(None);
            }
        }
        if ready.ended {
            let exit = wait_pidfd(child.pidfd.as_fd(), false);
            if let Some(exit) = exit.context(&process::SUPERVISE, || format!("wait for pid {}", child.pid))? {
                if let Some(console) = console {
                    console.drain(signals, asks_to_end)?;
                }
                return Ok(Some(exit));
            }
        }
    }
}

fn wait(
    child: &Child,
    signals: &Signals,
    console: Option<&Console>,
    network: Option<&network::Running>,
    deadline: Option<Instant>,
) -> Result<Ready> {
    let wanted = console.map(Console::interest).unwrap_or_default();
    let mut polls = Vec::with_capacity(3 + STREAMS);
    polls.push(PollFd::new(signals.as_fd(), PollFlags::POLLIN));
    polls.push(PollFd::new(child.pidfd.as_fd(), PollFlags::POLLIN));
    polls.extend(network.into_iter().flat_map(network::Running::watched).map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
    let watched = polls.len() - 2;
    polls.extend(wanted.iter().flatten().map(|(fd, events)| PollFd::new(*fd, *events)));
    // Rounded up, or the last millisecond would be spent in a loop. After the deadline only the end is waited for.
    let left = deadline.and_then(|deadline| deadline.checked_duration_since(Instant::now()));
    let timeout = left.and_then(|left| PollTimeout::try_from(left.as_millis() + 1).ok()).unwrap_or(PollTimeout::NONE);
    match poll(&mut polls, timeout) {
        Ok(_) => {}
        // Stopped and continued.
        Err(Errno::EINTR) => {
            return Ok(Ready { signals: false, ended: false, network: false, console: [false; STREAMS] });
        }
        Err(errno) => return Err(errno).context(&process::SUPERVISE, || format!("wait for pid {}", child.pid)),
    }
    // Flags that this nix does not know count as readiness: the read that follows gives the reason.
    let mut found = polls.iter().map(|entry| entry.any().unwrap_or(true));
    let signals = found.next().unwrap_or(false);
    let ended = found.next().unwrap_or(false);
    let network = found.by_ref().take(watched).fold(false, |any, one| any | one);
    let console = wanted.map(|entry| entry.is_some() && found.next().unwrap_or(false));
    Ok(Ready { signals, ended, network, console })
}

/// Everything that can be caught goes to the child, as podman's --sig-proxy has it, but for what concerns this
/// process itself.
fn handle(number: i32, child: &Child, signals: &Signals, console: Option<&mut Console>) -> Result<()> {
    match (number, console) {
        // The pidfd tells of the child's end; the other is only there to make writing to a closed pipe an errno.
        (libc::SIGCHLD | libc::SIGPIPE, _) => Ok(()),
        // A container without a terminal of its own may well write to the caller's, and has to hear of its size from
        // us.
        (libc::SIGWINCH, Some(console)) => {
            console.resize();
            Ok(())
        }
        (libc::SIGTSTP, console) => suspend(child, signals, console),
        (libc::SIGCONT, console) => {
            if let Some(console) = console {
                console.resume()?;
            }
            child.signal(number)
        }
        _ => child.signal(number),
    }
}

/// Whether a signal is one by which people and service managers ask a program to end.
fn asks_to_end(number: i32) -> bool {
    matches!(number, libc::SIGHUP | libc::SIGINT | libc::SIGQUIT | libc::SIGTERM)
}

/// Ctrl-Z. pid 1 ignores SIGTSTP unless it handles it, but a SIGSTOP from its parent namespace it can't ignore.
fn suspend(child: &Child, signals: &Signals, console: Option<&mut Console>) -> Result<()> {
    child.signal_group(libc::SIGSTOP)?;
    if let Some(console) = &console {
        console.suspend();
    }
    stop(signals, Signal::SIGTSTP)?;
    if let Some(console) = console {
        console.resume()?;
    }
    child.signal_group(libc::SIGCONT)
}

fn stop(signals: &Signals, signal: Signal) -> Result<()> {
    signals.stop_self(signal).context(&process::SUPERVISE, || format!("stop by {signal}"))
}
