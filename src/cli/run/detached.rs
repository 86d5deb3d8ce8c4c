//! Containers that go on after `rl`: making one, starting one, starting one again.
//!
//! Owns the order of these in the process that becomes the supervisor. The surprise: `rl run -d` and `rl start` fork first and do all
//! the work in the child, because the container must be a child of the process that stays.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use super::launch::{From, Made, Mode};
use crate::cgroup::Fate;
use crate::cli::{Globals, warn_fallback};
use crate::error::{Context, Error, Result, catalog::process, catalog::state as codes};
use crate::host::Host;
use crate::network::Running;
use crate::runtime::base::{self, Entered};
use crate::runtime::container::{Container, collect, collect_one};
use crate::runtime::detach;
use crate::runtime::fuse::Fuse;
use crate::runtime::message::Channel;
use crate::runtime::parent::{self, Job};
use crate::runtime::stdio::Stdio;
use crate::runtime::supervisor::{self, Handoff, Origin, Outcome, inheritable};
use crate::spec::RunSpec;
use crate::state::events::{self, Subject};
use crate::state::{self, Containers, Lock, Record, Status};

/// How a container is started that this process will supervise.
pub(super) struct Detached<'a> {
    /// Who waits to hear that it runs.
    channel: Option<&'a Channel>,
    /// A client that is there from the beginning, so that it misses no output.
    client: Option<&'a OwnedFd>,
    /// How often its policy has started it.
    pub(super) restarts: u32,
}

/// `rl run -d`.
pub(super) fn run(globals: &Globals, host: &Host, run: &RunSpec, from: From<'_>) -> Result<String> {
    detach::detached(&[], |channel| {
        let begin = || -> Result<Error> {
            let entered = entered(host, run)?;
            let mut made = Made::new(globals, host, run, from)?;
            tell(host, &made.record, "create");
            let detached = Detached { channel: Some(channel), client: None, restarts: 0 };
            let error = failed(made.launch(host, &entered, Mode::Detached(&detached)));
            made.container.remove(false)?;
            Ok(error)
        };
        begin().unwrap_or_else(|error| error)
    })
}

/// `rl create`: makes it and its record; gives its id.
pub(super) fn create(globals: &Globals, host: &Host, run: &RunSpec, from: From<'_>) -> Result<String> {
    let entered = entered(host, run)?;
    let mut made = Made::new(globals, host, run, from)?;
    let done = made.launch(host, &entered, Mode::Never);
    let id = made.record.id.clone();
    if done.is_ok() {
        tell(host, &made.record, "create");
    }
    made.container.remove(done.is_ok())?;
    done.map(|_| id)
}

/// `rl start`: a container that does not run. `client` gets its output from the beginning.
///
/// # Errors
/// `RL0806` where it runs; what keeps it from running, which is written down, too.
pub fn start(host: &Host, id: &str, client: Option<&OwnedFd>) -> Result<()> {
    let keep: Vec<_> = client.iter().map(|client| client.as_raw_fd()).collect();
    let started = detach::detached(&keep, |channel| {
        let begin = || -> Result<Error> {
            let (record, lock) = in_hand(host, id)?;
            let entered = entered(host, &record.run)?;
            let container = Container::of_record(&host.dirs, &record, lock);
            let mut made = Made::again(host, record, container)?;
            let detached = Detached { channel: Some(channel), client, restarts: 0 };
            let error = failed(made.launch(host, &entered, Mode::Detached(&detached)));
            give_up(made, &error)?;
            Ok(error)
        };
        begin().unwrap_or_else(|error| error)
    });
    started.map(drop)
}

/// The hidden verb that a supervisor executes itself with: watches, and starts again as long as the policy says so.
pub fn supervise(run: &std::path::Path) -> Result<u8> {
    let handoff = Handoff::read(run)?;
    let Outcome::Again(lock) = supervisor::watch(&handoff)? else { return Ok(0) };
    // What was blocked for the loop must not be blocked in the container.
    nix::sys::signal::SigSet::empty()
        .thread_set_mask()
        .context(&process::SUPERVISE, || "unblock the signals".into())?;
    let (host, base) = handoff.origin.restored()?;
    let record = Record::read(&state::data_of(&host.dirs, &handoff.id))?;
    let record = record.ok_or_else(|| Error::new(&codes::NO_CONTAINER, handoff.id.clone()))?;
    let container = Container::of_record(&host.dirs, &record, lock);
    let mut made = Made::again(&host, record, container)?;
    let detached = Detached { channel: None, client: None, restarts: handoff.restarts + 1 };
    let entered = Entered { base, fallback: None };
    let error = failed(made.launch(&host, &entered, Mode::Detached(&detached)));
    let status = error.exit_status();
    give_up(made, &error)?;
    Ok(status)
}

/// Its record and its lock, where it does not run. What a killed supervisor has left is cleaned up.
pub(super) fn in_hand(host: &Host, id: &str) -> Result<(Record, Lock)> {
    let run = host.dirs.containers().join(id);
    let containers = Containers::open(&host.dirs);
    let read = || containers.read(id)?.ok_or_else(|| Error::new(&codes::NO_CONTAINER, id.to_owned()));
    loop {
        // Whoever runs has the lock for as long: so it is asked first, and waited for only where it is about to be given back.
        let container = read()?;
        if container.is_active() {
            return Err(Error::new(&codes::RUNNING, container.record.name));
        }
        let lock = state::lock(&run)?;
        let container = read()?;
        if run.join("state.json").exists() {
            collect_one(&run, &container.data)?;
            continue;
        }
        return Ok((container.record, lock));
    }
}

fn entered(host: &Host, run: &RunSpec) -> Result<Entered> {
    let entered = base::enter(host, &run.userns)?;
    warn_fallback(entered.fallback.as_ref());
    Ok(entered)
}

/// Launching detached comes back with an error or not at all.
fn failed(launched: Result<u8>) -> Error {
    match launched {
        Err(error) => error,
        Ok(_) => Error::new(&codes::INTERNAL, "come back from the supervisor"),
    }
}

/// A start that has failed is told by the container's status.
fn give_up(made: Made, error: &Error) -> Result<()> {
    let before = Status::read(&made.container.data)?;
    if let Some(status) = before {
        let mut status = status.ended(error.exit_status());
        status.error = error.summary();
        status.restarting = false;
        status.write(&made.container.data)?;
    }
    made.container.remove(true)
}

fn tell(host: &Host, record: &Record, action: &str) {
    events::tell(&host.dirs, Subject { id: &record.id, name: &record.name, image: &record.image }, action, &[]);
}

impl Detached<'_> {
    /// Starts the command and becomes its supervisor; comes back only with an error, and the container ended.
    pub(super) fn start(&self, job: &Job<'_>, record: &Record, origin: Origin, mounted: &[&Fuse]) -> Error {
        self.try_start(job, record, origin, mounted)
            .err()
            .unwrap_or_else(|| Error::new(&codes::INTERNAL, "execute the supervisor"))
    }

    fn try_start(&self, job: &Job<'_>, record: &Record, origin: Origin, mounted: &[&Fuse]) -> Result<()> {
        let run = &record.run;
        let dir = &job.container.identity.dir;
        std::fs::create_dir_all(&job.container.data)
            .context(&codes::STATE, || format!("make {}", job.container.data.display()))?;
        let listener = supervisor::listener(dir)?;
        let health = record.health();
        if health.is_some() {
            supervisor::announce(dir);
        }
        let (theirs, ours) = if run.tty { (None, Ours::default()) } else { pipes(run.interactive)? };
        let started = parent::start(&Job { stdio: theirs.as_ref(), ..*job }, || (), Ok)?;
        drop(theirs);
        let mut handoff = Handoff::new(&record.id, &record.name, &record.image, origin);
        let mut fill = || -> Result<()> {
            let fds = &mut handoff.fds;
            let through = |fd: &Option<OwnedFd>| fd.as_ref().map(|fd| inheritable(fd.as_fd())).transpose();
            fds.lock = inheritable(job.container.lock().as_fd())?;
            fds.pidfd = inheritable(started.child.pidfd.as_fd())?;
            fds.listener = inheritable(listener.as_fd())?;
            (fds.master, fds.stdin) = (through(&started.terminal)?, through(&ours.stdin)?);
            (fds.stdout, fds.stderr) = (through(&ours.stdout)?, through(&ours.stderr)?);
            fds.client = self.client.map(|client| inheritable(client.as_fd())).transpose()?;
            let helpers =
                mounted.iter().map(|mounted| mounted.as_fd()).chain(started.network.iter().flat_map(Running::held));
            let watched = started.network.as_ref().and_then(Running::carrier);
            fds.network = watched.map(inheritable).transpose()?;
            let others = helpers.filter(|fd| Some(fd.as_raw_fd()) != fds.network);
            fds.held = others.map(inheritable).collect::<Result<_>>()?;
            Ok(())
        };
        let filled = fill();
        if let (Some(group), None, true) = (&started.group, run.cgroups.logout, self.channel.is_some())
            && group.group.at_logout() == Some(Fate::Stops)
        {
            let name = &record.name;
            eprintln!(
                "rl: {name} will be stopped when you log out; loginctl enable-linger changes that (--logout=stop: no need to say so)"
            );
        }
        handoff.helpers = started.network.iter().flat_map(Running::helpers).collect();
        handoff.pid = started.child.pid.as_raw();
        handoff.own_pids = job.plan.namespaces.pid.is_new();
        handoff.stdin_once = run.interactive && !run.detach;
        handoff.stop = (stop_signal(record), run.stop_timeout.unwrap_or(10));
        (handoff.remove, handoff.log, handoff.restart) = (run.remove, run.log, run.restart);
        (handoff.restarts, handoff.health) = (self.restarts, health);
        handoff.timeout = run.ending.timeout;
        handoff.image_goes = run.ending.remove_image;
        handoff.mounted = mounted.iter().map(|mounted| mounted.target().to_owned()).collect();
        let become_it = || -> Result<()> {
            filled?;
            if let Some(channel) = self.channel {
                // Nobody there any more: nobody would know of this container.
                channel.send_ready(&record.id).context(&process::SUPERVISE, || "say that the container runs".into())?;
            }
            events::tell(job.dirs, Subject { id: &record.id, name: &record.name, image: &record.image }, "start", &[]);
            detach::let_go()?;
            collect(job.dirs);
            handoff.execute(dir).map(drop)
        };
        let done = become_it();
        started.child.kill();
        done
    }
}

/// Our ends.
#[derive(Default)]
struct Ours {
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
}

fn pipes(interactive: bool) -> Result<(Option<Stdio>, Ours)> {
    let pipe = || nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).context(&process::SETUP, || "make a pipe".into());
    let (stdout, their_stdout) = pipe()?;
    let (stderr, their_stderr) = pipe()?;
    let (their_stdin, stdin) =
        if interactive { pipe().map(|(read, write)| (Some(read), Some(write)))? } else { (None, None) };
    let theirs = Stdio { stdin: their_stdin, stdout: their_stdout, stderr: their_stderr };
    Ok((Some(theirs), Ours { stdin, stdout: Some(stdout), stderr: Some(stderr) }))
}

/// `--stop-signal`, the image's own, SIGTERM.
pub fn stop_signal(record: &Record) -> i32 {
    let image =
        || record.config.stop_signal.as_deref().and_then(|word| super::limits::signal("stop-signal", word).ok());
    record.run.stop_signal.or_else(image).unwrap_or(libc::SIGTERM)
}
