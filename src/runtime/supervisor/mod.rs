//! The process that lives as long as a detached container: its parent, its log, its terminal's other end.
//!
//! Owns the one loop of that process, and what is done when the container ends: the record, `--rm`, the restart. It does not start
//! containers; for a restart it says so to its caller. No threads, no timers but those of poll. The surprise: it ends the container when
//! it dies itself (PR_SET_PDEATHSIG, set by init), so there is never a container that nobody watches.

mod clients;
mod handoff;
mod health;
mod log;
mod lost;
mod streams;

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;

pub use self::clients::{Clients, LARGEST, connected, listener};
pub use self::handoff::{Descriptors, Handoff, Origin, inheritable};
use self::health::{Checks, News};
pub use self::health::{Told, announce, health_of, is_checked};
pub use self::log::FILE as LOG_FILE;
use self::log::Log;
use self::lost::Lost;
use self::streams::Streams;
use super::container::Container;
use crate::cgroup::{Group, Held};
use crate::error::{Context, Result, catalog::process};
use crate::image::Store;
use crate::network::{self, Helper};
use crate::spec::Identity;
use crate::spec::lifecycle::OnUnhealthy;
use crate::state::events::{self, Subject};
use crate::state::{self, Lock, RunningFile, Status};
use crate::sys::child::{Exit, open_pidfd, reap_any, signal_pid, signal_pidfd, wait_pid, wait_pidfd};
use crate::sys::process::CleanPages;
use crate::sys::signal::Signals;
use crate::volume;

/// Docker's: the first wait, doubled with every restart up to the longest; from the beginning again after a run that was this long.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
const LONG_RUN: u64 = 10_000_000_000;
/// After which memory is given back.
const QUIET: Duration = Duration::from_secs(1);
/// What helpers have to end after the container.
const GRACE: Duration = Duration::from_secs(2);

/// What comes after a container's end.
#[derive(Debug)]
pub enum Outcome {
    /// Nothing; all has been written down and cleaned up.
    Over,
    /// It is to be started again by this process, which has it in hand still.
    Again(Lock),
}

struct Supervisor<'a> {
    handoff: &'a Handoff,
    signals: Signals,
    pidfd: std::os::fd::OwnedFd,
    streams: Streams,
    clients: Clients,
    log: Log,
    checks: Option<Checks>,
    network: Option<Lost>,
    /// Those that have not ended yet.
    helpers: Vec<(i32, Helper)>,
    pages: CleanPages,
    /// Somebody has asked this process to end.
    stopping: bool,
    kill_at: Option<Instant>,
    /// `--timeout`.
    ends_at: Option<Instant>,
}

/// Watches over the container until it has ended, and does what is to be done then.
///
/// # Errors
/// What makes watching impossible; the container has been killed then.
pub fn watch(handoff: &Handoff) -> Result<Outcome> {
    let held = handoff.adopt()?;
    let _ = nix::sys::prctl::set_name(c"rl-supervisor");
    let signals = Signals::block().context(&process::SUPERVISE, || "block signals".into())?;
    let streams = Streams::new(held.master, held.stdin, held.stdout, held.stderr)?;
    let dirs = handoff.origin.dirs();
    let mut supervisor = Supervisor {
        handoff,
        signals,
        pidfd: held.pidfd,
        clients: Clients::new(held.listener, streams.is_terminal()),
        log: Log::open(&state::data_of(&dirs, &handoff.id), handoff.log),
        checks: handoff.health.clone().map(|health| Checks::new(health, &handoff.id, dirs.clone())),
        network: held.network.map(Lost::new),
        helpers: handoff.helpers.clone(),
        pages: CleanPages::find(),
        streams,
        stopping: false,
        kill_at: None,
        ends_at: handoff.timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds.into())),
    };
    if let Some(client) = held.client {
        supervisor.clients.add(client, true);
    }
    let first = RunningFile::read(&dirs.containers().join(&handoff.id)).map(|file| Pid::from_raw(file.pid));
    let group = first.and_then(Group::of).map(Held::watch);
    let exit = supervisor.until_end();
    let oom = group.as_ref().is_some_and(|group| group.out_of_memory().is_some());
    if exit.is_err() {
        let _ = signal_pidfd(supervisor.pidfd.as_fd(), libc::SIGKILL);
        let _ = wait_pidfd(supervisor.pidfd.as_fd(), true);
    }
    // First of all, for whoever asks meanwhile.
    let status = exit.as_ref().map_or(137, |exit| exit.status());
    let (status, written) = supervisor.write_down(status, oom, exit.as_ref().err().map(ToString::to_string));
    supervisor.streams.drain(&mut supervisor.log, &mut supervisor.clients);
    supervisor.log.finish();
    end_children(&dirs);
    let outcome = supervisor.conclude(held.lock, &status);
    exit.and(written).and(outcome)
}

impl Supervisor<'_> {
    fn until_end(&mut self) -> Result<Exit> {
        // One that was made before the signals were blocked may have ended without a signal.
        if !self.helpers.is_empty()
            && let Some(exit) = self.reap()?
        {
            return Ok(exit);
        }
        loop {
            let ready = self.wait()?;
            if ready.signals
                && let Some(exit) = self.handle_signals()?
            {
                return Ok(exit);
            }
            self.streams.turn(ready.streams, &mut self.log, &mut self.clients);
            for wish in self.clients.turn(&ready.clients) {
                self.streams.wish(wish, self.handoff.stdin_once);
            }
            if let Some(checks) = &mut self.checks {
                if ready.check {
                    checks.read();
                }
                let news = checks.turn();
                self.health(news)?;
            }
            if ready.network
                && let Some(error) = self.network.as_mut().and_then(Lost::said)
            {
                self.network = None;
                self.lost(&error);
            }
            if ready.ended
                && let Some(exit) = self.reaped()?
            {
                return Ok(exit);
            }
            for due in [&mut self.kill_at, &mut self.ends_at] {
                if due.take_if(|at| *at <= Instant::now()).is_some() {
                    signal(&self.pidfd, libc::SIGKILL)?;
                }
            }
        }
    }

    fn wait(&self) -> Result<Ready> {
        let streams = self.streams.interest(self.clients.is_behind());
        let clients = self.clients.interest(self.streams.takes_input());
        let mut polls = Vec::with_capacity(2 + streams.len() + clients.len());
        polls.push(PollFd::new(self.signals.as_fd(), PollFlags::POLLIN));
        polls.push(PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN));
        polls.extend(streams.iter().flatten().map(|(fd, events)| PollFd::new(*fd, *events)));
        let check = self.checks.as_ref().and_then(Checks::output);
        polls.extend(check.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        polls.extend(self.network.as_ref().map(|network| PollFd::new(network.as_fd(), PollFlags::POLLIN)));
        polls.extend(clients.iter().map(|(fd, events)| PollFd::new(*fd, *events)));
        let checks = self.checks.as_ref().map(Checks::deadline);
        let due = self.kill_at.into_iter().chain(self.ends_at);
        let deadline = due.chain(self.clients.deadline()).chain(checks).min();
        // After a quiet moment nothing of its code is needed for a while.
        let quiet = Instant::now() + QUIET;
        let mut found = poll(&mut polls, until(Some(deadline.map_or(quiet, |deadline| deadline.min(quiet)))));
        if found == Ok(0) && deadline.is_none_or(|deadline| deadline > quiet) {
            self.pages.forget();
            found = poll(&mut polls, until(deadline));
        }
        match found {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(Ready::default()),
            Err(errno) => return Err(errno).context(&process::SUPERVISE, || "wait for the container".into()),
        }
        let mut found = polls.iter().map(|entry| entry.revents().unwrap_or(PollFlags::POLLIN));
        let mut next = || found.next().unwrap_or(PollFlags::empty());
        let (signals, ended) = (!next().is_empty(), !next().is_empty());
        let streams = streams.map(|stream| stream.is_some() && !next().is_empty());
        let check = check.is_some() && !next().is_empty();
        let network = self.network.is_some() && !next().is_empty();
        Ok(Ready { signals, ended, streams, check, network, clients: found.collect() })
    }

    /// Every signal that asks a process to end asks this one to end its container: systemd at the end of a session, a person.
    fn handle_signals(&mut self) -> Result<Option<Exit>> {
        while let Some(number) = self.signals.next().context(&process::SUPERVISE, || "read a signal".into())? {
            match number {
                libc::SIGTERM | libc::SIGINT | libc::SIGQUIT => self.stop()?,
                libc::SIGCHLD => {
                    if let Some(exit) = self.reap()? {
                        return Ok(Some(exit));
                    }
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// Of children there are, besides the container, helpers and, without a pid namespace, the container's orphans.
    fn reap(&mut self) -> Result<Option<Exit>> {
        if let Some(exit) = self.reaped()? {
            return Ok(Some(exit));
        }
        loop {
            match reap_any() {
                Ok(Some((pid, exit))) if pid.as_raw() == self.handoff.pid => return Ok(Some(exit)),
                Ok(Some((pid, exit))) => {
                    if let Some(helper) = self.helper_of(pid) {
                        // Helpers end with the container, and may be met first.
                        if let Some(exit) = self.reaped()? {
                            return Ok(Some(exit));
                        }
                        self.helper_has_ended(helper, exit);
                    }
                    let news = self.checks.as_mut().and_then(|checks| checks.reaped(pid, exit));
                    self.health(news)?;
                }
                Ok(None) | Err(_) => return Ok(None),
            }
        }
    }

    /// What a check has shown is told, and acted upon.
    fn health(&mut self, news: Option<News>) -> Result<()> {
        let Some(News { status, then }) = news else { return Ok(()) };
        let Handoff { id, name, image, origin, .. } = self.handoff;
        events::tell(&origin.dirs(), Subject { id, name, image }, &format!("health_status: {status}"), &[]);
        match then {
            OnUnhealthy::None => Ok(()),
            OnUnhealthy::Kill => self.signal(libc::SIGKILL),
            OnUnhealthy::Stop => self.stop(),
        }
    }

    fn stop(&mut self) -> Result<()> {
        let (signal, seconds) = self.handoff.stop;
        self.stopping = true;
        self.kill_at.get_or_insert(Instant::now() + Duration::from_secs(u64::from(seconds)));
        self.signal(signal)
    }

    fn reaped(&self) -> Result<Option<Exit>> {
        wait_pidfd(self.pidfd.as_fd(), false).context(&process::SUPERVISE, || "wait for the container".into())
    }

    fn signal(&self, number: i32) -> Result<()> {
        signal(&self.pidfd, number)
    }

    /// The end, and whether the container is started again. A disk that is full now may not be when somebody looks; then the end is told
    /// as one that nobody has seen.
    fn write_down(&self, exit: u8, oom: bool, error: Option<String>) -> (Status, Result<()>) {
        let Handoff { id, name, image, .. } = self.handoff;
        let dirs = self.handoff.origin.dirs();
        let (data, run) = (state::data_of(&dirs, id), dirs.containers().join(id));
        let mut status = Status::read(&data).ok().flatten().unwrap_or_else(|| Status::starting(0)).ended(exit);
        status.stopped = self.stopping || state::asked_to_stop(&run);
        status.error = error.unwrap_or_default();
        status.oom = oom;
        let policy = state::asked_policy(&run).unwrap_or(self.handoff.restart);
        let again = policy.applies(exit, status.restarts);
        status.restarting = again && !status.stopped && !self.handoff.remove;
        let written = if self.handoff.remove { Ok(()) } else { status.write(&data) };
        events::tell(&dirs, Subject { id, name, image }, "die", &[("exitCode", exit.to_string())]);
        (status, written)
    }

    /// Restarts or cleans up. Clients hear of the end last: what they look at then is true.
    fn conclude(&mut self, lock: Lock, status: &Status) -> Result<Outcome> {
        let Handoff { id, name, image, .. } = self.handoff;
        let dirs = self.handoff.origin.dirs();
        let run = dirs.containers().join(id);
        if status.restarting {
            let long = status.finished.is_some_and(|finished| finished.saturating_sub(status.started) > LONG_RUN);
            self.clients.end(status.exit);
            return self.pause(lock, status, if long { 0 } else { status.restarts });
        }
        for mounted in &self.handoff.mounted {
            let _ = nix::mount::umount2(mounted, nix::mount::MntFlags::MNT_DETACH);
        }
        let identity = Identity { id: id.clone(), name: name.clone(), dir: run };
        let gone = identity.id.clone();
        let mut removed = Container::inherited(&dirs, identity, lock).remove(!self.handoff.remove);
        if self.handoff.remove {
            removed = removed.and_then(|()| volume::remove_of(&dirs, &gone));
        }
        if self.handoff.remove {
            events::tell(&dirs, Subject { id, name, image }, "destroy", &[]);
        }
        if self.handoff.image_goes {
            removed = removed.and_then(|()| Store::open(&dirs).remove_unused(image));
        }
        self.clients.end(status.exit);
        removed.map(|()| Outcome::Over)
    }

    /// Waits before a restart, unless somebody asks for the end meanwhile.
    fn pause(&mut self, lock: Lock, status: &Status, round: u32) -> Result<Outcome> {
        let wait = FIRST_WAIT.saturating_mul(1 << round.min(16)).min(LONGEST_WAIT);
        let end = Instant::now() + wait;
        let dirs = self.handoff.origin.dirs();
        let (data, run) = (state::data_of(&dirs, &self.handoff.id), dirs.containers().join(&self.handoff.id));
        loop {
            let mut polls = [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut polls, until(Some(end)));
            while let Some(number) = self.signals.next().context(&process::SUPERVISE, || "read a signal".into())? {
                self.stopping |= matches!(number, libc::SIGTERM | libc::SIGINT | libc::SIGQUIT);
            }
            if self.stopping || state::asked_to_stop(&run) {
                let mut stopped = status.clone();
                (stopped.restarting, stopped.stopped) = (false, true);
                stopped.write(&data)?;
                let Handoff { id, name, .. } = self.handoff;
                let identity = Identity { id: id.clone(), name: name.clone(), dir: run };
                return Container::inherited(&dirs, identity, lock).remove(true).map(|()| Outcome::Over);
            }
            if end <= Instant::now() {
                return Ok(Outcome::Again(lock));
            }
        }
    }
}

fn signal(pidfd: &std::os::fd::OwnedFd, number: i32) -> Result<()> {
    match signal_pidfd(pidfd.as_fd(), number) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(errno).context(&process::SUPERVISE, || format!("send signal {number} to the container")),
    }
}

#[derive(Default)]
struct Ready {
    signals: bool,
    ended: bool,
    streams: [bool; streams::COUNT],
    check: bool,
    network: bool,
    clients: Vec<PollFlags>,
}

/// Rounded up, or the last millisecond would be spent in a loop.
fn until(deadline: Option<Instant>) -> PollTimeout {
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    left.and_then(|left| PollTimeout::try_from(left.as_millis() + 1).ok()).unwrap_or(PollTimeout::NONE)
}

/// Ends what the container has left, and its helpers: first asked, then killed. The holder of the base user namespace may be a child,
/// too, and stays; so does that of a network, which others are in.
fn end_children(dirs: &crate::host::Dirs) {
    let holder = super::holder::pid(&dirs.run);
    let children = || -> Vec<Pid> {
        let path = format!("/proc/self/task/{}/children", nix::unistd::gettid());
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let all = text.split_ascii_whitespace().filter_map(|word| word.parse().ok());
        all.filter(|pid| Some(*pid) != holder && !network::named::is_holder(*pid)).map(Pid::from_raw).collect()
    };
    let deadline = Instant::now() + GRACE;
    loop {
        let left = children();
        if left.is_empty() {
            return;
        }
        // Nobody else can reap them, so the numbers are theirs still. What carries the packets was started while `rl` had its signals
        // blocked, and Rust lets a program inherit that: it would not hear, and there is nothing that it could put in order.
        for pid in &left {
            let signal = if hears(*pid, libc::SIGTERM) { libc::SIGTERM } else { libc::SIGKILL };
            let _ = signal_pid(*pid, signal);
        }
        for pid in left {
            if let Ok(pidfd) = open_pidfd(pid) {
                let mut polls = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
                let _ = poll(&mut polls, until(Some(deadline)));
            }
            let _ = signal_pid(pid, libc::SIGKILL);
            let _ = wait_pid(pid);
        }
    }
}

/// Whether the process has this signal not blocked.
fn hears(pid: Pid, signal: i32) -> bool {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let blocked = text.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigBlk:")?.trim(), 16).ok());
    blocked.is_none_or(|blocked| blocked >> (signal - 1) & 1 == 0)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use nix::sys::signal::{SigSet, Signal};

    use super::*;

    /// `slirp4netns` and `pasta` are started so, and were waited for two seconds, as was each stop of their containers.
    #[test]
    fn a_child_with_a_blocked_signal_does_not_hear_it() {
        let heard = || {
            let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("cat");
            let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
            let heard = (hears(pid, libc::SIGTERM), hears(pid, libc::SIGHUP));
            drop(child.stdin.take());
            child.wait().expect("wait");
            heard
        };
        assert_eq!(heard(), (true, true));
        SigSet::from(Signal::SIGTERM).thread_block().expect("block");
        assert_eq!(heard(), (false, true));
    }
}
