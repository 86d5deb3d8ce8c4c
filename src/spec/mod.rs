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

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use subid::IdMap;

use crate::error::{Context, Result, catalog::state};
use crate::host::emulation::Emulator;

pub use limits::Ulimit;

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

/// `-v SRC:DST[:OPTIONS]` or `--mount type=...`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Volume {
    /// A directory or file of the host.
    Bind {
        /// Absolute path on the host.
        source: PathBuf,
        /// Absolute path in the container.
        target: PathBuf,
        /// `ro`, ...
        options: BindOptions,
    },
    /// `-v NAME:DST[:OPTIONS]`, `-v DST`, an image's VOLUME, or `--mount type=volume`.
    Named {
        /// Its name; empty before one was made up for an anonymous one.
        name: String,
        /// Its directory; empty before it was looked for.
        source: PathBuf,
        /// Absolute path in the container.
        target: PathBuf,
        /// `ro`, ...
        options: BindOptions,
        /// Not `nocopy`: while it is empty it gets what the image has in its place.
        copy: bool,
        /// Nobody has named it, so it goes with its container.
        anonymous: bool,
        /// Only what is there in it.
        #[serde(default)]
        subpath: Option<PathBuf>,
    },
    /// `--mount type=image`: what is in an image, read-only.
    Image {
        /// The image, as it was typed.
        name: String,
        /// Where in it.
        subpath: Option<PathBuf>,
        /// Where it is mounted on the host; empty before it is.
        source: PathBuf,
        /// Absolute path in the container.
        target: PathBuf,
    },
    /// `--tmpfs DST[:OPTIONS]` or `--mount type=tmpfs`.
    Tmpfs {
        /// Absolute path in the container.
        target: PathBuf,
        /// Mount options in mount(8)'s words: `ro`, `noexec`, `size=64m`, `mode=1777`.
        options: Vec<String>,
    },
}

impl Volume {
    /// Whether nobody has named it.
    pub fn is_anonymous(&self) -> bool {
        matches!(self, Self::Named { anonymous: true, .. })
    }

    /// Where it is in the container.
    pub fn target(&self) -> &std::path::Path {
        match self {
            Self::Bind { target, .. }
            | Self::Named { target, .. }
            | Self::Image { target, .. }
            | Self::Tmpfs { target, .. } => target,
        }
    }
}

/// `--image-volume`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImageVolumes {
    /// Each is an anonymous volume (podman's `bind` and `anonymous`).
    #[default]
    Anonymous,
    /// Memory.
    Tmpfs,
    /// The image's directory, like any other.
    Ignore,
}

/// docker's rule: `[a-zA-Z0-9][a-zA-Z0-9_.-]*`.
pub fn is_volume_name(name: &str) -> bool {
    let of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    name.len() <= 255 && name.starts_with(|first: char| first.is_ascii_alphanumeric()) && name.bytes().all(of_a_name)
}

/// How a bind mount is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindOptions {
    /// `ro`.
    pub read_only: bool,
    /// `rbind` (the default, as in podman) or `bind`.
    pub recursive: bool,
    /// `private`, `rprivate` (default), `shared`, `rshared`, `slave`, `rslave`.
    pub propagation: String,
    /// `nosuid` (podman's default for volumes), `nodev` (default), `noexec`, `noatime`...
    pub nosuid: bool,
    /// See above.
    pub nodev: bool,
    /// See above.
    pub noexec: bool,
    /// `U`: all that is in it is given to the container's user.
    #[serde(default)]
    pub chown: bool,
}

impl Default for BindOptions {
    fn default() -> Self {
        Self {
            read_only: false,
            recursive: true,
            propagation: "rprivate".into(),
            nosuid: true,
            nodev: true,
            noexec: false,
            chown: false,
        }
    }
}

/// A device node of the host, bound into the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceBind {
    /// Absolute path on the host.
    pub source: PathBuf,
    /// Absolute path in the container.
    pub target: PathBuf,
    /// Without `w`: bound read-only.
    pub read_only: bool,
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

/// How the container's ids are mapped.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum UserNs {
    /// Root is the caller, 1.. the subordinate ids; falls back to one id with a warning.
    #[default]
    Default,
    /// The same without the fallback (`--userns=full`).
    Full,
    /// Only root (`--userns=single`).
    Single,
    /// The caller's own uid inside is the caller (`--userns=keep-id[:uid=,gid=]`).
    KeepId {
        /// The uid that the caller has inside; None: the same as outside.
        uid: Option<u32>,
        /// The gid that the caller has inside.
        gid: Option<u32>,
    },
    /// A range of its own (`--userns=auto[:size=]`).
    Auto {
        /// How many ids; None: as the image needs, at least 1024.
        size: Option<u32>,
    },
    /// Container root is a subordinate id too (`--userns=nomap`).
    NoMap,
    /// `--uidmap`, `--gidmap`: in terms of the default map's inside ids (podman's meaning).
    Custom {
        /// CONTAINER:FROM:COUNT.
        uid: Vec<subid::Extent>,
        /// CONTAINER:FROM:COUNT.
        gid: Vec<subid::Extent>,
    },
}

/// The container's id maps, from two viewpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids {
    /// The base namespace (the held one, or the current one) as seen from the caller's: what the caller owns.
    pub base_uid: IdMap,
    /// The same for gids.
    pub base_gid: IdMap,
    /// The container's namespace as seen from the base, split at the base's extents.
    pub uid: IdMap,
    /// The same for gids.
    pub gid: IdMap,
    /// Whether setgroups(2) works in the container; not with a single id.
    pub setgroups: bool,
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

/// Who the container is; made by the runtime before the specification.
#[derive(Debug, Clone)]
pub struct Identity {
    /// 64 hexadecimal digits.
    pub id: String,
    /// `--name` or a made-up one.
    pub name: String,
    /// The container's directory below the run root; the made files (hosts, hostname, resolv.conf) lie in it.
    pub dir: PathBuf,
}

/// What the OCI specification has no word for.
#[derive(Debug, Clone, PartialEq)]
pub struct Extras {
    /// `USER[:GROUP]`, unresolved; empty: root.
    pub user: String,
    /// Additional groups, unresolved.
    pub group_add: Vec<String>,
    /// It keeps the supplementary groups of the caller.
    pub keep_groups: bool,
    /// Descriptors from 3 on that it has of the caller's.
    pub preserve_fds: u32,
    /// Run rl's own reaper as pid 1.
    pub init: bool,
    /// Which filter; the default one is not spelled out in the Spec of a run, to save its cost.
    pub seccomp: SeccompChoice,
    /// What `-i` says: without it the command's stdin is /dev/null.
    pub interactive: bool,
    /// Environment variables that were given by name; HOME is set from the passwd entry only where it is not among them.
    pub home_given: bool,
    /// Where the control group is to be.
    pub cgroups: resources::Cgroups,
    /// The document is somebody else's (`rl oci`): user, capability sets and seccomp are taken from it as they stand.
    pub bundle: Option<Bundled>,
    /// What runs programs of other architectures; none where the image is for this machine.
    pub emulators: Vec<Emulator>,
    /// What happens to volumes before they are mounted.
    pub volumes: Vec<VolumeExtra>,
    /// What is made on the host for the container's network.
    pub wiring: network::Wiring,
}

/// What a bind mount of the specification can't say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeExtra {
    /// Which mount, by its target.
    pub target: PathBuf,
    /// While it is empty it gets what the image has in its place.
    pub copy: bool,
    /// It is given to the container's user.
    pub chown: bool,
    /// A part of a volume, to which containers write: its name is looked up as if this were the root directory.
    pub beneath: Option<PathBuf>,
}

/// How a container of somebody else's document is started.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bundled {
    /// The bundle's directory.
    pub path: PathBuf,
    /// The root file system, absolute.
    pub rootfs: PathBuf,
    /// `create`: the first process waits for `start` on a FIFO in this state directory.
    pub awaits: Option<PathBuf>,
    /// It outlives the process that starts it.
    pub detached: bool,
    /// `--preserve-fds`.
    pub preserve_fds: u32,
    /// `--no-pivot`.
    pub no_pivot: bool,
    /// A session keyring of its own; not with `--no-new-keyring`.
    pub keyring: bool,
}

/// What of this machine the specification depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Whether /sys/fs/cgroup is the unified hierarchy.
    pub unified_cgroup: bool,
    /// Whether the host has /dev/mqueue, which a container that shares the IPC namespace gets.
    pub host_mqueue: bool,
    /// The host's name, where the container shares it.
    pub host_name: Option<String>,
    /// The host's /etc/resolv.conf, or that of the container whose network is shared.
    pub resolv_conf: String,
    /// The network namespace of the container that shares its network.
    pub network_namespace: Option<PathBuf>,
    /// The networks by name that the container is to be in.
    pub networks: Vec<networks::Definition>,
    /// What `host-gateway` stands for: an address at which the container finds the host.
    pub host_gateway: Option<std::net::IpAddr>,
}

/// What a builder of the OCI types has made; every field that it insists on was given.
fn made<T>(built: std::result::Result<T, oci_spec::OciSpecError>) -> Result<T> {
    built.context(&state::INTERNAL, || "make a part of the specification".into())
}
