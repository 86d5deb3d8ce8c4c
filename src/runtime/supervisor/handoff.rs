//! From the process that has started a container to the bare supervisor that it becomes.
//!
//! Starting takes memory: the image, the plan, a compiled filter. So when the command runs, the process executes itself again and goes
//! on as a loop with nothing in its memory. It keeps its pid, and so stays the container's parent. Owns the document
//! `RUN/containers/ID/supervisor.json`, which says what the inherited descriptors are. The surprise: the process is in the base user
//! namespace for good and can't find out any more who called `rl`; so that travels in the document, too.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use serde::{Deserialize, Serialize};
use subid::IdMap;

use crate::error::{Context, Error, Result, catalog::process, catalog::state as codes};
use crate::host::{Caller, Dirs, Host, Kind};
use crate::network::Helper;
use crate::spec::ids::Base;
use crate::spec::lifecycle::{Health, Log, Restart};
use crate::state::{self, Lock};
use crate::sys::process::adopt;

const VERSION: u32 = 1;
const FILE: &str = "supervisor.json";

/// All that the loop needs to know.
#[derive(Debug, Serialize, Deserialize)]
pub struct Handoff {
    version: u32,
    /// The container.
    pub id: String,
    /// Its name when it was started.
    pub name: String,
    /// Its image, for events.
    pub image: String,
    /// Its first process.
    pub pid: i32,
    /// Whether its processes end with the first one.
    pub own_pids: bool,
    /// The inherited descriptors.
    pub fds: Descriptors,
    /// The end of the first client's input is the end of the container's.
    pub stdin_once: bool,
    /// What asks it to stop, and the seconds until it is killed.
    pub stop: (i32, u32),
    /// `--rm`.
    pub remove: bool,
    /// Where its output goes.
    pub log: Log,
    /// Whether it is started again.
    pub restart: Restart,
    /// How often it was.
    pub restarts: u32,
    /// How its health is told.
    pub health: Option<Health>,
    /// `--timeout`: the seconds after which it is killed.
    #[serde(default)]
    pub timeout: Option<u32>,
    /// `--rmi`.
    #[serde(default)]
    pub image_goes: bool,
    /// Processes of `rl`'s own that serve its network.
    #[serde(default)]
    pub helpers: Vec<(i32, Helper)>,
    /// Mounts of the supervisor's own, which helpers keep: the container's root, images that are volumes.
    pub mounted: Vec<PathBuf>,
    /// Who called, and in which namespace the container was made.
    pub origin: Origin,
}

/// Numbers of descriptors.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Descriptors {
    /// The lock of the container.
    pub lock: RawFd,
    /// Of its first process.
    pub pidfd: RawFd,
    /// Where clients come in.
    pub listener: RawFd,
    /// Our ends of its pipes, or of its terminal.
    pub master: Option<RawFd>,
    /// See above.
    pub stdin: Option<RawFd>,
    /// See above.
    pub stdout: Option<RawFd>,
    /// See above.
    pub stderr: Option<RawFd>,
    /// A client that is connected already.
    pub client: Option<RawFd>,
    /// Hangs up when the program that carries its packets ends, and has that program's last words.
    #[serde(default)]
    pub network: Option<RawFd>,
    /// Only held: the ends of pipes of helpers, which must not break.
    pub held: Vec<RawFd>,
}

/// Who called `rl`, as it was before the base user namespace was entered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Origin {
    data: PathBuf,
    run: PathBuf,
    uid: u32,
    gid: u32,
    kind: Kind,
    uid_map: String,
    gid_map: String,
    base_uid_map: String,
    base_gid_map: String,
    setgroups: bool,
}

impl Origin {
    /// Of this call.
    pub fn of(host: &Host, base: &Base) -> Self {
        let Caller { uid, gid, kind, uid_map, gid_map } = &host.caller;
        Self {
            data: host.dirs.data.clone(),
            run: host.dirs.run.clone(),
            uid: *uid,
            gid: *gid,
            kind: *kind,
            uid_map: uid_map.to_string(),
            gid_map: gid_map.to_string(),
            base_uid_map: base.uid.to_string(),
            base_gid_map: base.gid.to_string(),
            setgroups: base.setgroups,
        }
    }

    /// The directories.
    pub fn dirs(&self) -> Dirs {
        Dirs { data: self.data.clone(), run: self.run.clone() }
    }

    /// The same facts again.
    pub fn restored(&self) -> Result<(Host, Base)> {
        let map = |text: &str| IdMap::parse(text).context(&codes::STATE, || format!("understand {FILE}"));
        let (uid_map, gid_map) = (map(&self.uid_map)?, map(&self.gid_map)?);
        let caller = Caller { uid: self.uid, gid: self.gid, kind: self.kind, uid_map, gid_map };
        let (uid, gid) = (map(&self.base_uid_map)?, map(&self.base_gid_map)?);
        Ok((Host { caller, dirs: self.dirs() }, Base { uid, gid, setgroups: self.setgroups }))
    }
}

/// The descriptors, owned.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) lock: Lock,
    pub(super) pidfd: OwnedFd,
    pub(super) listener: OwnedFd,
    pub(super) master: Option<OwnedFd>,
    pub(super) stdin: Option<OwnedFd>,
    pub(super) stdout: Option<OwnedFd>,
    pub(super) stderr: Option<OwnedFd>,
    pub(super) client: Option<OwnedFd>,
    pub(super) network: Option<OwnedFd>,
    #[expect(dead_code, reason = "held open, no more")]
    others: Vec<OwnedFd>,
}

impl Handoff {
    /// Of a container that was just started; the rest is the caller's to fill in.
    pub fn new(id: &str, name: &str, image: &str, origin: Origin) -> Self {
        Self {
            version: VERSION,
            id: id.to_owned(),
            name: name.to_owned(),
            image: image.to_owned(),
            pid: 0,
            own_pids: true,
            fds: Descriptors::default(),
            stdin_once: false,
            stop: (libc::SIGTERM, 10),
            remove: false,
            log: Log::default(),
            restart: Restart::No,
            restarts: 0,
            health: None,
            timeout: None,
            image_goes: false,
            helpers: Vec::new(),
            mounted: Vec::new(),
            origin,
        }
    }

    /// Reads the document of the container's run directory.
    pub fn read(run: &Path) -> Result<Self> {
        let path = run.join(FILE);
        let read = state::read_versioned(&path, VERSION)?;
        read.ok_or_else(|| Error::new(&codes::STATE, format!("find {}", path.display())))
    }

    /// Takes over the descriptors that it names. To be called once, by the process that was executed with them.
    pub(super) fn adopt(&self) -> Result<Held> {
        let fds = &self.fds;
        let own = |fd: Option<RawFd>| fd.map(take).transpose();
        Ok(Held {
            lock: Lock::inherited(take(fds.lock)?)?,
            pidfd: take(fds.pidfd)?,
            listener: take(fds.listener)?,
            master: own(fds.master)?,
            stdin: own(fds.stdin)?,
            stdout: own(fds.stdout)?,
            stderr: own(fds.stderr)?,
            client: own(fds.client)?,
            network: own(fds.network)?,
            others: fds.held.iter().map(|fd| take(*fd)).collect::<Result<_>>()?,
        })
    }

    /// Becomes the bare supervisor. Returns only when that fails; then nothing has changed yet.
    pub fn execute(&self, run: &Path) -> Result<std::convert::Infallible> {
        let doing = || "become the container's supervisor".to_owned();
        state::write_replacing(&run.join(FILE), self, false)?;
        let strings = ["rl", "supervise"].map(str::to_owned).into_iter().chain([run.to_string_lossy().into_owned()]);
        let strings: Vec<CString> =
            strings.map(CString::new).collect::<Result<_, _>>().context(&codes::STATE, doing)?;
        match nix::unistd::execv(c"/proc/self/exe", &strings) {
            Ok(never) => Ok(never),
            Err(errno) => Err(Error::new(&process::SUPERVISE, doing()).because(errno)),
        }
    }
}

/// Lets a descriptor through exec.
pub fn inheritable(fd: BorrowedFd<'_>) -> Result<RawFd> {
    let kept = fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty()));
    kept.context(&process::SUPERVISE, || "keep a descriptor through exec".into())?;
    Ok(fd.as_raw_fd())
}

/// Ours from now on, and for no child.
fn take(fd: RawFd) -> Result<OwnedFd> {
    let fd = adopt(fd);
    let closed = fcntl(fd.as_fd(), FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
    match closed {
        Ok(_) => Ok(fd),
        Err(errno) => {
            // Nothing to close.
            std::mem::forget(fd);
            Err(errno).context(&codes::STATE, || format!("take over a descriptor that {FILE} names"))
        }
    }
}
