//! What the user asked for, and the OCI runtime specification that says the same.
//!
//! Owns [`RunSpec`] (the command line, resolved) and `build`: RunSpec + the image's configuration + the id map -> OCI `Spec`. Pure:
//! no file is opened and no system call made here. The surprise: what the OCI specification can't say (a user by name, an init,
//! the two halves of an overlay) is handed beside the `Spec`, in [`Extras`].

pub mod build;
pub mod capabilities;
pub mod document;
pub mod egress;
pub mod environment;
mod extras;
pub mod files;
pub mod health;
pub mod ids;
pub mod lifecycle;
pub mod limits;
mod mounts;
pub mod network;
pub mod networks;
pub mod ports;
pub mod resources;
pub mod seccomp;
mod volume;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Context, Result, catalog::state};

pub use self::extras::{Bundled, Extras, Facts, Identity, VolumeExtra};
pub use self::ids::{Ids, UserNs};
pub use self::limits::Ulimit;
pub use self::volume::{BindOptions, DeviceBind, ImageVolumes, Volume, is_volume_name};

/// `rl run`, resolved: no environment variable, no file and no default is looked at after this.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunSpec {
    /// Image or directory.
    pub source: Source,
    /// The words behind IMAGE; empty means the image's own Cmd.
    pub command: Vec<String>,
    /// `--entrypoint`; Some(empty) removes the image's own.
    pub entrypoint: Option<Vec<String>>,
    /// `-e`, `--env-file`, in order, already resolved to NAME=VALUE.
    pub env: Vec<(String, String)>,
    /// `--unsetenv` and its kin: the variables that nobody has typed.
    pub inherited: environment::Inherited,
    /// `-w`.
    pub workdir: Option<String>,
    /// `-u USER[:GROUP]`, unresolved: names are looked up inside the container.
    pub user: Option<String>,
    /// `--group-add`, unresolved.
    pub group_add: Vec<String>,
    /// `--group-add keep-groups`: the caller's own groups, whose ids nobody in the container knows.
    pub keep_groups: bool,
    /// `-h`.
    pub hostname: Option<String>,
    /// `--domainname`.
    pub domainname: Option<String>,
    /// `--no-hosts`, `--no-hostname`, `--tz`.
    pub etc: files::Etc,
    /// `--name`.
    pub name: Option<String>,
    /// `-i`.
    pub interactive: bool,
    /// `-t`.
    pub tty: bool,
    /// `--init`.
    pub init: bool,
    /// `--rm`.
    pub remove: bool,
    /// `--read-only`.
    pub read_only: bool,
    /// `--read-only-tmpfs=false`: without memory to write to.
    pub bare_read_only: bool,
    /// `--privileged`.
    pub privileged: bool,
    /// `-v`, `--mount`, `--tmpfs`, in order.
    pub volumes: Vec<Volume>,
    /// `--image-volume`: what becomes of the image's VOLUMEs.
    pub image_volumes: ImageVolumes,
    /// `--volumes-from CONTAINER[:OPTIONS]`; resolved into `volumes` before the container is made.
    pub volumes_from: Vec<String>,
    /// `--device HOST[:CONTAINER[:rwm]]`.
    pub devices: Vec<DeviceBind>,
    /// `--cap-add`, as typed.
    pub cap_add: Vec<String>,
    /// `--cap-drop`, as typed.
    pub cap_drop: Vec<String>,
    /// `--security-opt seccomp=`.
    pub seccomp: SeccompChoice,
    /// `--security-opt no-new-privileges`.
    pub no_new_privileges: bool,
    /// `--security-opt mask=`/`unmask=`: paths masked in addition, and paths not masked (`ALL`: none).
    pub mask: Vec<String>,
    /// See `mask`.
    pub unmask: Vec<String>,
    /// `--ulimit NAME=SOFT[:HARD]`; None is unlimited.
    pub ulimits: Vec<Ulimit>,
    /// `--umask`, default 0022.
    pub umask: u32,
    /// `--label`, `--label-file`.
    pub labels: Vec<(String, String)>,
    /// `--annotation`.
    pub annotations: Vec<(String, String)>,
    /// `--personality`: linux.personality.
    pub personality: Option<String>,
    /// `--preserve-fds`: descriptors from 3 on that it has of the caller's.
    pub preserve_fds: u32,
    /// `--replace`: what has the name goes first.
    pub replace: bool,
    /// `--cidfile`.
    pub cidfile: Option<PathBuf>,
    /// `--pidfile`, `--conmon-pidfile`.
    pub pid_files: lifecycle::PidFiles,
    /// `-a`: which of its outputs the foreground shows.
    pub attached: lifecycle::Attached,
    /// `--timeout`, `--rmi`.
    pub ending: lifecycle::Ending,
    /// `--stop-signal`.
    pub stop_signal: Option<i32>,
    /// `--stop-timeout`, seconds from that signal to SIGKILL; None: ten.
    pub stop_timeout: Option<u32>,
    /// `-d`, or made by `rl create`: nobody waits for it at the terminal.
    pub detach: bool,
    /// `--restart`.
    pub restart: lifecycle::Restart,
    /// `--log-driver`, `--log-opt`.
    pub log: lifecycle::Log,
    /// `--health-cmd` and its siblings.
    pub health: Option<health::HealthAsked>,
    /// `--sysctl`.
    pub sysctls: Vec<(String, String)>,
    /// `--shm-size`, bytes.
    pub shm_size: u64,
    /// `--network`.
    pub network: network::Network,
    /// `-p`.
    pub publish: Vec<network::Publish>,
    /// `-P`: the ports that the image exposes, too.
    pub publish_all: bool,
    /// `--expose`: as if the image exposed them: `80/tcp`.
    #[serde(default)]
    pub expose: Vec<String>,
    /// `--egress`.
    #[serde(default)]
    pub egress: Option<egress::Egress>,
    /// `--add-host NAME:IP`; the address may be `host-gateway`.
    pub add_hosts: Vec<(String, String)>,
    /// `--dns`.
    pub dns: Vec<String>,
    /// `--dns-search`.
    pub dns_search: Vec<String>,
    /// `--dns-option`.
    pub dns_option: Vec<String>,
    /// Which namespaces are the host's.
    pub share: Share,
    /// `--userns`, `--uidmap`, `--gidmap`.
    pub userns: UserNs,
    /// A time namespace of its own (`--timens`): offsets of the boot and monotonic clocks in seconds.
    pub time_offset: Option<(i64, i64)>,
    /// `-m`, `--cpus` and their kin.
    pub resources: resources::Resources,
    /// `--cgroups`, `--cgroup-parent`.
    pub cgroups: resources::Cgroups,
    /// `--oom-score-adj`.
    pub oom_score_adj: Option<i32>,
    /// `--systemd`: what pid 1 needs that is a systemd.
    pub systemd: bool,
}

impl RunSpec {
    /// Whether the network namespace is kept out of the container's hands.
    pub fn is_guarded(&self) -> bool {
        self.egress.is_some() && self.network != network::Network::None
    }
}

/// Where the root file system comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// `--rootfs DIR`: used as it is, writes go into DIR. `--rootfs DIR:O`: below a throw-away overlay.
    Directory {
        /// The absolute directory.
        path: PathBuf,
        /// `:O`.
        overlay: bool,
    },
    /// An image of the store.
    Image(String),
}

impl Default for Source {
    fn default() -> Self {
        Self::Image(String::new())
    }
}

/// The seccomp filter.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub enum SeccompChoice {
    /// The default profile for the container's capabilities.
    #[default]
    Default,
    /// None.
    Unconfined,
    /// A profile in the OCI's terms; docker's form is converted where it is read.
    Profile(Box<seccomp::Profile>),
    /// linux.seccomp of somebody else's document, as it stands.
    Exact(Box<oci_spec::runtime::LinuxSeccomp>),
}

/// Namespaces that are shared with the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Share {
    /// `--pid=host`.
    pub pid: bool,
    /// `--ipc=host`.
    pub ipc: bool,
    /// `--uts=host`.
    pub uts: bool,
    /// `--network=host`, or another container's.
    pub network: bool,
    /// `--cgroupns=host`.
    pub cgroup: bool,
}

/// What of an image's configuration matters to a run (image-spec, config.md).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// NAME=VALUE.
    pub env: Vec<String>,
    /// Cmd.
    pub cmd: Vec<String>,
    /// Entrypoint.
    pub entrypoint: Vec<String>,
    /// User, unresolved.
    pub user: String,
    /// WorkingDir.
    pub working_dir: String,
    /// StopSignal.
    pub stop_signal: Option<String>,
    /// Labels.
    pub labels: Vec<(String, String)>,
    /// Volumes: paths.
    pub volumes: Vec<String>,
    /// ExposedPorts: `80/tcp`.
    pub exposed_ports: Vec<String>,
    /// Healthcheck, docker's.
    #[serde(default)]
    pub health: Option<health::ImageHealth>,
}

/// What a builder of the OCI types has made; every field that it insists on was given.
fn made<T>(built: std::result::Result<T, oci_spec::OciSpecError>) -> Result<T> {
    built.context(&state::INTERNAL, || "make a part of the specification".into())
}
