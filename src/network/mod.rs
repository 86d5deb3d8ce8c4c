//! The network of a container, made from outside: a program that carries the packets, and the ports of the host that lead in.
//!
//! Owns what the plan's `network` asks for, in three steps: [`prepare`] before anything is started (the program, the ports),
//! [`Prepared::start`] when the container's network namespace is there, and [`Starting::wait`] when the container's own set-up
//! has nothing left to do. The surprise: `rl` stands in the base user namespace meanwhile, as its root, and in the host's network;
//! so what it starts has rights over the container's namespaces, and none on the host.

mod dns;
mod egress;
pub mod forward;
mod last_words;
pub mod named;
mod pasta;
pub mod ports;
mod program;
pub mod record;
mod serving;
mod slirp;

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::unistd::Pid;

use self::forward::Forwarder;
pub use self::last_words::LastWords;
use self::ports::{Bound, bind_all};
use self::record::Record;
pub use self::serving::Helper;
use crate::error::{Context, Error, Result, catalog::network as codes};
use crate::spec::network::{Network, Wiring};
use crate::spec::networks::Joining;
use crate::sys::child::has_ended;

/// All that can be known beforehand is known.
#[derive(Debug)]
pub struct Prepared {
    driver: Driver,
    bound: Vec<Bound>,
    guarded: Option<egress::Guarded>,
}

#[derive(Debug)]
enum Driver {
    Slirp(Box<slirp::Slirp>),
    Pasta(pasta::Pasta),
    Named { joinings: Vec<Joining>, run: PathBuf },
}

/// The programs run, and the network may not be there yet. Dropped, they end.
#[derive(Debug)]
pub struct Starting {
    carrier: StartingCarrier,
    record: Record,
    bound: Vec<Bound>,
    guard: Option<Forwarder>,
    namespace: File,
    first: Pid,
    dir: PathBuf,
}

#[derive(Debug)]
enum StartingCarrier {
    Slirp(slirp4netns_ctl::Starting),
    Pasta(pasta::Starting),
    Named { joinings: Vec<Joining>, run: PathBuf },
}

/// A network at work; it ends when this is dropped.
#[derive(Debug)]
pub struct Running {
    carrier: Carrier,
    dir: PathBuf,
    helpers: Vec<(Helper, Forwarder)>,
}

#[derive(Debug)]
enum Carrier {
    Slirp(slirp4netns_ctl::Running),
    Pasta(pasta::Running),
    /// Another process's, which looks after itself.
    Named,
    Lost,
}

/// Looks for the program, and whether the ports can be had. `run` is where running state is kept. None: there is nothing to
/// make.
///
/// # Errors
/// `RL0701` to `RL0703` for the program, `RL0705` for a port, `RL0708` and `RL0709` for `--egress`.
pub fn prepare(wiring: &Wiring, run: &Path) -> Result<Option<Prepared>> {
    let driver = match &wiring.network {
        Network::Slirp4netns(options) => Driver::Slirp(Box::new(slirp::Slirp::prepare(options, run)?)),
        Network::Pasta(words) => Driver::Pasta(pasta::Pasta::prepare(words, run)?),
        Network::Named(_) => Driver::Named { joinings: wiring.networks.clone(), run: run.to_owned() },
        Network::None | Network::Host | Network::Container(_) => return Ok(None),
    };
    let bound = bind_all(&wiring.ports)?;
    let guard = wiring.guard.as_ref().map(|guard| egress::make(guard, egress::prepare()?));
    Ok(Some(Prepared { driver, bound, guarded: guard.transpose()? }))
}

impl Prepared {
    /// The namespace that was made already, with its rules; the container is put into it.
    pub fn guarded(&self) -> Option<&File> {
        self.guarded.as_ref().map(|guarded| &guarded.namespace)
    }

    /// Starts what carries the packets. `first` is the container's first process, `dir` the container's run directory, and
    /// `namespace` its network: opened before Go, because after that the process shows nothing of itself.
    ///
    /// # Errors
    /// `RL0704`.
    pub fn start(self, namespace: File, first: Pid, dir: &Path) -> Result<Starting> {
        let kept = namespace.try_clone().context(&codes::NETWORK, || "keep the network namespace open".into())?;
        let namespace = OwnedFd::from(namespace);
        let legs: Vec<_> = self.bound.iter().map(|(leg, _)| *leg).collect();
        let (carrier, record, bound) = match self.driver {
            Driver::Slirp(slirp) => {
                let record = Record::new("slirp4netns", Some(slirp.guest()), legs);
                (StartingCarrier::Slirp(slirp.start(namespace, dir)?), record, self.bound)
            }
            Driver::Pasta(pasta) => {
                // It binds them itself, all of them.
                drop(self.bound);
                (
                    StartingCarrier::Pasta(pasta.start(namespace, dir, &legs)?),
                    Record::new("pasta", None, legs),
                    Vec::new(),
                )
            }
            Driver::Named { joinings, run } => {
                (StartingCarrier::Named { joinings, run }, Record::new("named", None, legs), self.bound)
            }
        };
        let guard = self.guarded.and_then(|guarded| guarded.process);
        Ok(Starting { carrier, record, bound, guard, namespace: kept, first, dir: dir.to_owned() })
    }
}

impl Starting {
    /// Waits until the network is there, and publishes the ports.
    ///
    /// # Errors
    /// `RL0702`, `RL0704` with the program's own words; `RL0705`; `RL0710` and `RL0711` of a network by name.
    pub fn wait(self) -> Result<Running> {
        let carrier = match self.carrier {
            StartingCarrier::Slirp(starting) => {
                Carrier::Slirp(starting.wait().map_err(|error| slirp::failed(error, "start slirp4netns"))?)
            }
            StartingCarrier::Pasta(starting) => Carrier::Pasta(starting.wait()?),
            StartingCarrier::Named { joinings, run } => {
                for (index, joining) in joinings.iter().enumerate() {
                    let lease = named::join(joining, &run, self.first, &self.namespace)?;
                    if index == 0 {
                        named::write_hosts(&self.dir, &lease);
                    }
                }
                Carrier::Named
            }
        };
        let left = record::hand_over(&self.record, self.bound, &self.dir)?;
        let served =
            (!left.is_empty()).then(|| forward::start(left, &self.namespace, self.first, &record::control(&self.dir)));
        let served = served.transpose()?.map(|process| (Helper::Ports, process));
        let guard = self.guard.map(|process| (Helper::Names, process));
        self.record.write(&self.dir)?;
        Ok(Running { carrier, dir: self.dir, helpers: served.into_iter().chain(guard).collect() })
    }
}

impl Running {
    /// Ends it in a process that ends soon itself. Waiting is for the ports alone, those too that were added while it ran: who calls
    /// `rl` again must find them free. The kernel takes some 20 ms to give an interface back, which is none of the caller's.
    pub fn end(self) {
        let publishes =
            Record::read(&self.dir).map_or(true, |record| record.is_none_or(|record| !record.ports.is_empty()));
        match self.carrier {
            Carrier::Slirp(running) if !publishes => running.let_go(),
            Carrier::Pasta(running) if !publishes => running.let_go(),
            // Dropped here, with a wait.
            Carrier::Slirp(_) | Carrier::Pasta(_) | Carrier::Named | Carrier::Lost => {}
        }
    }

    /// What must stay open for the network to go on, in a process that executes itself anew.
    pub fn held(&self) -> Vec<BorrowedFd<'_>> {
        match &self.carrier {
            Carrier::Slirp(running) => running.held().collect(),
            Carrier::Pasta(running) => vec![running.as_fd()],
            Carrier::Named | Carrier::Lost => Vec::new(),
        }
    }

    /// Readable or hung up when what carries the packets has ended; None when it never will any more.
    pub fn carrier(&self) -> Option<BorrowedFd<'_>> {
        match &self.carrier {
            Carrier::Slirp(running) => Some(running.as_fd()),
            Carrier::Pasta(running) => Some(running.as_fd()),
            Carrier::Named | Carrier::Lost => None,
        }
    }

    /// The numbers of `rl`'s own processes, for who reaps them.
    pub fn helpers(&self) -> impl Iterator<Item = (i32, Helper)> {
        self.helpers.iter().map(|(helper, process)| (process.pid().as_raw(), *helper))
    }

    /// Readable or hung up when [`Running::check`] has something to say.
    pub fn watched(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.carrier().into_iter().chain(self.helpers.iter().map(|(_, process)| process.as_fd()))
    }

    /// What there is to say, each once: that the network is gone, or what one of `rl`'s own processes has served. `container` is the
    /// first process, with which they end.
    pub fn check(&mut self, container: BorrowedFd<'_>) -> Vec<Error> {
        let ended = match &mut self.carrier {
            Carrier::Slirp(running) => running.check().err().map(|error| error.to_string()),
            Carrier::Pasta(running) => running.ended(),
            Carrier::Named | Carrier::Lost => None,
        };
        if ended.is_some() {
            self.carrier = Carrier::Lost;
        }
        let mut said: Vec<_> = ended.into_iter().map(|ended| Error::new(&codes::LOST, ended)).collect();
        let mut lost = Vec::new();
        self.helpers.retain(|(helper, process)| match process.ended() {
            Ok(None) => true,
            exit => {
                lost.push((*helper, exit.ok().flatten()));
                false
            }
        });
        if !lost.is_empty() && !has_ended(container) {
            said.extend(lost.into_iter().map(|(helper, exit)| helper.lost(&self.dir, exit)));
        }
        said
    }
}
