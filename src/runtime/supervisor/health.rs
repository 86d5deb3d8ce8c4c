//! How a container is: `RUN/containers/ID/health.json`, written by its supervisor after every check.
//!
//! Owns running the checks, one at a time, as `rl exec` would. The surprise: a check that hangs is killed, but only the `rl exec` of it;
//! what that has started in the container ends with it, because exec binds its command's life to its own.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::host::Dirs;
use crate::spec::lifecycle::{Health, OnUnhealthy};
use crate::state::{now as time, read_versioned, write_replacing};
use crate::sys::child::{Exit, signal_pid};

const VERSION: u32 = 1;
const FILE: &str = "health.json";
/// Docker keeps so many results, and so much of each one's output.
const KEPT: usize = 5;
const OUTPUT: usize = 4096;

/// What the checks have shown.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Told {
    version: u32,
    /// `starting`, `healthy`, `unhealthy`.
    pub status: String,
    /// Failures in a row.
    pub streak: u32,
    /// The last checks.
    pub log: Vec<Check>,
}

/// One of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Check {
    /// Nanoseconds since 1970.
    pub start: u64,
    /// See above.
    pub end: u64,
    /// The command's; -1: it took too long.
    pub exit: i32,
    /// The beginning of what it has written.
    pub output: String,
}

impl Default for Told {
    fn default() -> Self {
        Self { version: VERSION, status: "starting".into(), streak: 0, log: Vec::new() }
    }
}

impl Told {
    fn write(&self, run: &Path) {
        // Nothing depends on it but what people are told.
        let _ = write_replacing(&run.join(FILE), self, false);
    }
}

/// Of a running container.
pub fn health_of(run: &Path) -> Told {
    read_versioned(&run.join(FILE), VERSION).ok().flatten().unwrap_or_default()
}

/// Before the container is seen to run: it will be checked.
pub fn announce(run: &Path) {
    Told::default().write(run);
}

/// Whether somebody checks it.
pub fn is_checked(run: &Path) -> bool {
    run.join(FILE).exists()
}

/// The checks of one container.
#[derive(Debug)]
pub(super) struct Checks {
    health: Health,
    id: String,
    dirs: Dirs,
    run: PathBuf,
    /// Failures before it don't count.
    grace: Instant,
    next: Instant,
    current: Option<Current>,
    told: Told,
}

/// A check that runs.
#[derive(Debug)]
struct Current {
    pid: Pid,
    out: Option<OwnedFd>,
    text: Vec<u8>,
    start: u64,
    deadline: Instant,
    late: bool,
}

/// What a check has brought that is new.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct News {
    pub(super) status: String,
    pub(super) then: OnUnhealthy,
}

impl Checks {
    /// Of a container that has just been started.
    pub(super) fn new(health: Health, id: &str, dirs: Dirs) -> Self {
        let now = Instant::now();
        let mut checks = Self {
            grace: now + Duration::from_millis(health.start_period),
            next: now,
            run: dirs.containers().join(id),
            health,
            id: id.to_owned(),
            dirs,
            current: None,
            told: Told::default(),
        };
        checks.next = now + checks.pause();
        checks.told.write(&checks.run);
        checks
    }

    /// Until the next check.
    fn pause(&self) -> Duration {
        let starting = self.told.status == "starting" && Instant::now() < self.grace;
        Duration::from_millis(if starting { self.health.start_interval } else { self.health.interval })
    }

    /// When there is something to do.
    pub(super) fn deadline(&self) -> Instant {
        match &self.current {
            Some(current) if !current.late => current.deadline,
            // Killed, and about to be reaped.
            Some(_) => Instant::now() + Duration::from_secs(1),
            None => self.next,
        }
    }

    /// What the running check writes.
    pub(super) fn output(&self) -> Option<BorrowedFd<'_>> {
        self.current.as_ref()?.out.as_ref().map(AsFd::as_fd)
    }

    /// Reads it.
    pub(super) fn read(&mut self) {
        let Some(current) = &mut self.current else { return };
        let mut buffer = [0; OUTPUT];
        let count = current.out.as_ref().map(|out| nix::unistd::read(out, &mut buffer));
        match count {
            Some(Ok(count)) if count > 0 => {
                let room = OUTPUT.saturating_sub(current.text.len()).min(count);
                current.text.extend_from_slice(&buffer[..room]);
            }
            Some(Err(nix::errno::Errno::EINTR | nix::errno::Errno::EAGAIN)) | None => {}
            _ => current.out = None,
        }
    }

    /// Starts a check that is due, and ends one that is late.
    pub(super) fn turn(&mut self) -> Option<News> {
        let now = Instant::now();
        match &mut self.current {
            Some(current) if !current.late && current.deadline <= now => {
                current.late = true;
                // A child that nobody else reaps: the number is its own still.
                let _ = signal_pid(current.pid, libc::SIGKILL);
                None
            }
            Some(_) => None,
            None if self.next <= now => match self.start() {
                Ok(current) => {
                    self.current = Some(current);
                    None
                }
                Err(error) => self.conclude(Check { start: time(), end: time(), exit: -1, output: error.to_string() }),
            },
            None => None,
        }
    }

    fn start(&self) -> io::Result<Current> {
        let (reader, writer) = io::pipe()?;
        let mut command = Command::new("/proc/self/exe");
        command.arg("--root").arg(&self.dirs.data).arg("--runroot").arg(&self.dirs.run);
        command.arg("exec").arg(&self.id).args(&self.health.command);
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        let child = command.spawn()?;
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(0));
        let deadline = Instant::now() + Duration::from_millis(self.health.timeout);
        Ok(Current { pid, out: Some(reader.into()), text: Vec::new(), start: time(), deadline, late: false })
    }

    /// Takes the end of a child, if it is the check's.
    pub(super) fn reaped(&mut self, pid: Pid, exit: Exit) -> Option<News> {
        let mut current = self.current.take_if(|current| current.pid == pid)?;
        if let Some(out) = current.out.take() {
            let mut rest = Vec::new();
            // What it has started may hold the pipe open: only what is there.
            let _ = nix::fcntl::fcntl(&out, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK));
            let _ = std::fs::File::from(out).take(OUTPUT as u64).read_to_end(&mut rest);
            rest.truncate(OUTPUT.saturating_sub(current.text.len()));
            current.text.extend_from_slice(&rest);
        }
        let (exit, mut output) = (i32::from(exit.status()), String::from_utf8_lossy(&current.text).into_owned());
        if current.late {
            output.push_str(&format!("\nrl: ended after {} ms", self.health.timeout));
        }
        self.conclude(Check { start: current.start, end: time(), exit: if current.late { -1 } else { exit }, output })
    }

    fn conclude(&mut self, check: Check) -> Option<News> {
        let failed = check.exit != 0;
        let before = self.told.status.clone();
        self.told.log.push(check);
        if self.told.log.len() > KEPT {
            self.told.log.remove(0);
        }
        if !failed {
            self.told.streak = 0;
            self.told.status = "healthy".into();
        } else if Instant::now() >= self.grace || before != "starting" {
            self.told.streak += 1;
            if self.told.streak >= self.health.retries {
                self.told.status = "unhealthy".into();
            }
        }
        self.told.write(&self.run);
        self.next = Instant::now() + self.pause();
        let unhealthy = self.told.status == "unhealthy";
        let then = if unhealthy { self.health.on_failure } else { OnUnhealthy::None };
        (self.told.status != before).then(|| News { status: self.told.status.clone(), then })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks(dir: &Path, start_period: u64) -> Checks {
        let health = Health {
            command: vec!["true".into()],
            interval: 10,
            timeout: 10,
            retries: 2,
            start_period,
            start_interval: 5,
            on_failure: OnUnhealthy::Kill,
        };
        let dirs = Dirs { data: dir.join("data"), run: dir.to_owned() };
        std::fs::create_dir_all(dirs.containers().join("c")).expect("mkdir");
        Checks::new(health, "c", dirs)
    }

    fn check(exit: i32) -> Check {
        Check { start: 1, end: 2, exit, output: String::new() }
    }

    #[test]
    fn it_is_unhealthy_after_so_many_failures_in_a_row_and_healthy_after_one_success() {
        let dir = tempfile::tempdir().expect("dir");
        let mut checks = checks(dir.path(), 0);
        assert_eq!(checks.conclude(check(1)), None);
        assert_eq!(checks.conclude(check(0)).map(|news| news.status), Some("healthy".into()));
        assert_eq!(checks.conclude(check(1)), None);
        let news = checks.conclude(check(-1)).expect("news");
        assert_eq!((news.status.as_str(), news.then), ("unhealthy", OnUnhealthy::Kill));
        assert_eq!(checks.conclude(check(0)).map(|news| news.status), Some("healthy".into()));
        assert_eq!(health_of(&dir.path().join("containers/c")).log.len(), 5);
    }

    #[test]
    fn failures_right_after_the_start_do_not_count() {
        let dir = tempfile::tempdir().expect("dir");
        let mut checks = checks(dir.path(), 60_000);
        for _ in 0..5 {
            assert_eq!(checks.conclude(check(1)), None);
        }
        assert_eq!(health_of(&dir.path().join("containers/c")).status, "starting");
    }
}
