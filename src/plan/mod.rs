//! The plan: everything that will be done to make the container, as an ordered list of data.
//!
//! Owns [`Plan`] and [`Step`], and `compile`, which validates a specification once and orders it. `runtime::init` carries the
//! steps out from top to bottom; `shell` writes the same list as a script. No effects here. The surprise: paths in steps are the
//! container's (`/dev/pts`), not the host's; only fields named `source`, `lower`, `upper`, `work` are paths of the host.

pub mod cgroup;
pub mod compile;
mod devices;
pub mod exec;
pub mod hooks;
pub mod idmap;
pub mod mounts;
pub mod options;
pub mod scheduling;
pub mod shell;
mod sysctl;
mod unsupported;

#[cfg(test)]
mod golden;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use self::devices::{Device, DeviceKind};
pub use self::hooks::{Bundle, Hook, Hooks};
pub use self::scheduling::Scheduling;
use crate::host::emulation::Emulator;
use crate::spec::Ulimit;
use crate::spec::network::Wiring;

/// The whole container.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// 64 hexadecimal digits.
    pub id: String,
    /// The container's name.
    pub name: String,
    /// Which namespaces are new, and which are somebody else's.
    pub namespaces: Namespaces,
    /// The id maps that the parent writes.
    pub ids: IdPlan,
    /// The control group; None: the caller's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<cgroup::CgroupPlan>,
    /// What the parent does before the child may go on.
    pub host: HostPlan,
    /// The network that the parent makes while the child carries its steps out.
    #[serde(skip_serializing_if = "Wiring::is_nothing")]
    pub network: Wiring,
    /// What the child does, in this order.
    pub steps: Vec<Step>,
    /// What runs in the end.
    pub process: Process,
    /// Who is asked about system calls that the filter notifies of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener: Option<Listener>,
    /// The bundle, where the container was described by one (`rl oci`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<Bundle>,
}

/// Where one of the container's namespaces comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Namespace {
    /// The caller's (or the base's) own.
    #[default]
    Host,
    /// A new one.
    New,
    /// The one at this path: /proc/PID/ns/NAME or a file that it is bound on.
    Join(PathBuf),
    /// A new one of the base user namespace: the container is in it, and its root has no rights over it.
    Guarded,
}

impl Namespace {
    /// Whether it is made for this container.
    pub fn is_new(&self) -> bool {
        *self == Self::New
    }

    /// Whether it is one that is there already.
    pub fn is_joined(&self) -> bool {
        matches!(self, Self::Join(_))
    }

    /// Whether the container shares it with its caller.
    pub fn is_host(&self) -> bool {
        *self == Self::Host
    }
}

/// All eight namespaces. Whatever is new is made at once, by one clone, for which the user namespace comes first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Namespaces {
    /// The host's only for a caller who has a namespace's (or the machine's) root rights already.
    pub user: Namespace,
    /// New in every plan of `rl run`.
    pub mount: Namespace,
    /// Names of the machine.
    pub uts: Namespace,
    /// System V and POSIX queues.
    pub ipc: Namespace,
    /// Processes.
    pub pid: Namespace,
    /// Network devices.
    pub network: Namespace,
    /// The root of what /proc/self/cgroup shows.
    pub cgroup: Namespace,
    /// Clocks.
    pub time: Namespace,
    /// Offsets of a new time namespace.
    pub clocks: Vec<Clock>,
}

/// The offset of one clock, as /proc/PID/timens_offsets has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Clock {
    /// `monotonic` or `boottime`.
    pub name: String,
    /// Whole seconds; may be negative.
    pub seconds: i64,
    /// To be added to them.
    pub nanoseconds: u32,
}

/// linux.seccomp.listenerPath and listenerMetadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// A UNIX socket of the host.
    pub path: PathBuf,
    /// Handed on as it is.
    pub metadata: String,
}

/// The maps, ready to be written to /proc/PID/uid_map.
#[derive(Debug, Clone, Serialize)]
pub struct IdPlan {
    /// Lines of uid_map, in terms of the base namespace.
    pub uid_map: String,
    /// Lines of gid_map.
    pub gid_map: String,
    /// The base namespace's own maps, in terms of the caller's: what newuidmap is given.
    pub base_uid_map: String,
    /// See above.
    pub base_gid_map: String,
    /// False: `deny` is written to /proc/PID/setgroups first.
    pub setgroups: bool,
}

/// Effects on the host side, before Go.
#[derive(Debug, Clone, Serialize)]
pub struct HostPlan {
    /// Files made for the container below its run directory: name, content.
    pub files: Vec<(PathBuf, String)>,
    /// Directories that must exist (upper, work).
    pub directories: Vec<PathBuf>,
}

/// Mount attributes in mount(8)'s terms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "one flag an attribute, as mount_setattr(2) has them")]
pub struct Attributes {
    /// ro
    pub read_only: bool,
    /// nosuid
    pub nosuid: bool,
    /// nodev
    pub nodev: bool,
    /// noexec
    pub noexec: bool,
    /// noatime
    pub noatime: bool,
    /// relatime is the kernel's default; strictatime asks for the other.
    pub strictatime: bool,
    /// nodiratime
    pub nodiratime: bool,
    /// nosymfollow (Linux 5.14)
    pub nosymfollow: bool,
}

/// How mounts of the other side arrive (mount_namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Propagation {
    /// private
    Private,
    /// slave
    Slave,
    /// shared
    Shared,
    /// unbindable
    Unbindable,
}

/// One thing that the container's first process does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Step {
    /// Every mount of the new namespace becomes private (or slave), so that nothing reaches the host.
    Isolate {
        /// Private, or slave where a volume wants the host's later mounts.
        propagation: Propagation,
    },
    /// Overlay: the image's layers below a writable directory, attached on `on`, a directory of the host.
    Overlay {
        /// Layers, topmost first.
        lower: Vec<PathBuf>,
        /// Upper directory.
        upper: PathBuf,
        /// Work directory.
        work: PathBuf,
        /// The upper directory is thrown away: nothing of it is synced to the disk.
        volatile: bool,
        /// Where it is attached until pivot_root.
        on: PathBuf,
    },
    /// A directory of the host is the root, bound on `on`.
    BindRoot {
        /// The directory.
        source: PathBuf,
        /// Where it is attached until pivot_root.
        on: PathBuf,
    },
    /// The container's root is the one that this process has after joining its mount namespace.
    EnterRoot,
    /// A new instance of a file system.
    Mount {
        /// proc, tmpfs, devpts, mqueue, sysfs, cgroup2, and for root of the machine any other.
        filesystem: String,
        /// What /proc/self/mountinfo shows as its source; a device for a file system on one.
        source: String,
        /// Container path.
        target: PathBuf,
        /// ro, nosuid, ...
        attributes: Attributes,
        /// File system's own options, `mode=755`; None: a flag such as `newinstance`.
        options: Vec<(String, Option<String>)>,
        /// Where the kernel refuses a fresh one (EPERM, a partly covered /proc of the host): bind the host's instead.
        fallback_bind: Option<PathBuf>,
        /// Of the new mount, where another than private was asked for.
        propagation: Option<Propagation>,
        /// tmpfs: what was there before is copied into it (`tmpcopyup`).
        copy_up: bool,
    },
    /// A file or directory of the host.
    Bind {
        /// Host path.
        source: PathBuf,
        /// Container path; made when missing, as the source's kind.
        target: PathBuf,
        /// rbind.
        recursive: bool,
        /// ro, nosuid, ... of the mount itself.
        attributes: Attributes,
        /// rro, rnosuid, ... of all mounts below it, too.
        deep: Attributes,
        /// Of the new mount.
        propagation: Propagation,
        /// A device node: its kind and number are checked to be those of the host's own node by descriptor.
        device: bool,
        /// A volume: while it is empty it gets what is in its place, with owners and modes.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        copy: bool,
        /// All that is in it is given to this user, as the step `user` has him.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
        /// The source is looked up below this directory, as if it were the root: containers write to it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        beneath: Option<PathBuf>,
        /// idmap, ridmap: it shows other ids than its files have.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        idmap: Option<idmap::MountMap>,
    },
    /// A device node: made where the kernel lets this user namespace, else the host's own bound.
    Device(Device),
    /// mkdir -p.
    Directory {
        /// Container path.
        target: PathBuf,
        /// Permission bits of those that are made.
        mode: u32,
    },
    /// A symbolic link, made where nothing is.
    Symlink {
        /// Container path.
        target: PathBuf,
        /// Text of the link.
        to: String,
    },
    /// A pty from the container's devpts; its master goes up to the parent, its slave becomes /dev/console and stdio.
    Terminal,
    /// A directory hidden by an empty read-only tmpfs, a file by /dev/null; missing ones are passed over.
    Mask {
        /// Container paths.
        targets: Vec<PathBuf>,
    },
    /// Made read-only in place; missing ones are passed over.
    ReadOnly {
        /// Container paths.
        targets: Vec<PathBuf>,
    },
    /// sethostname.
    Hostname {
        /// The name.
        name: String,
    },
    /// setdomainname.
    Domainname {
        /// The name.
        name: String,
    },
    /// Programs of other architectures are run by these (binfmt_misc of the container's own user namespace).
    Emulate {
        /// Static programs of qemu's user mode.
        emulators: Vec<Emulator>,
    },
    /// The loopback interface up.
    Loopback,
    /// Waits until the network is there.
    Network,
    /// /proc/sys/KEY, written through a fresh procfs handle.
    Sysctl {
        /// Dotted key.
        key: String,
        /// Value.
        value: String,
    },
    /// The parent runs hooks in its own namespaces; this process waits for them.
    RuntimeHooks,
    /// Hooks of this process's namespaces, found in the host's files (createContainer).
    ContainerHooks {
        /// In their order.
        hooks: Vec<Hook>,
    },
    /// The attached root becomes /; the old one is detached.
    PivotRoot {
        /// Where the root is attached.
        on: PathBuf,
        /// The host's root is an initramfs, which can't be pivoted: the new root is moved over it.
        moved: bool,
    },
    /// The attached root becomes / of this process alone: without a mount namespace of its own it may pivot nothing.
    Chroot,
    /// What mounts of the container's root send to each other, and hear of the host's.
    RootPropagation {
        /// linux.rootfsPropagation.
        propagation: Propagation,
        /// With all mounts below it.
        recursive: bool,
    },
    /// The root mount itself read-only.
    RootReadOnly,
    /// A session keyring of the container's own.
    Keyring,
    /// Processor time, disk time, memory nodes.
    Scheduling(Scheduling),
    /// personality(2).
    Personality {
        /// Domain and flags.
        persona: u64,
    },
    /// The label that the next exec gives, of AppArmor or SELinux.
    Label {
        /// `apparmor` or `selinux`.
        module: String,
        /// A profile's name or a context.
        label: String,
    },
    /// setrlimit.
    Rlimit(Ulimit),
    /// umask.
    Umask {
        /// The bits.
        mask: u32,
    },
    /// The user's ids, from numbers or from the container's own passwd and group files; groups, gid, uid.
    User {
        /// `USER[:GROUP]`; empty: root.
        user: String,
        /// Additional groups, names or numbers.
        groups: Vec<String>,
        /// Whether setgroups works.
        setgroups: bool,
    },
    /// The user's ids as numbers, taken as they are.
    Ids {
        /// process.user.uid
        uid: u32,
        /// process.user.gid
        gid: u32,
        /// process.user.additionalGids
        groups: Vec<u32>,
        /// Whether setgroups works.
        setgroups: bool,
    },
    /// chdir, verified to be inside (CVE-2024-21626); made when missing.
    WorkingDirectory {
        /// Container path.
        path: PathBuf,
    },
    /// The five sets, as capability names without CAP_.
    Capabilities(CapabilitySets),
    /// prctl(PR_SET_NO_NEW_PRIVS).
    NoNewPrivileges,
    /// Loads the filter that the parent has compiled.
    Seccomp {
        /// What for `--plan=json`; the program itself travels beside the plan.
        profile: String,
    },
    /// `create` ends here: this process waits for `start`, which comes through a FIFO in this directory of the host.
    AwaitStart {
        /// The container's state directory.
        dir: PathBuf,
    },
    /// Hooks of the container's own files, just before its command (startContainer).
    StartHooks {
        /// In their order.
        hooks: Vec<Hook>,
    },
}

/// Names without CAP_, in capability order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapabilitySets {
    /// Bounding set.
    pub bounding: Vec<String>,
    /// Effective and permitted sets of a uid 0 process; another uid has none of them.
    pub effective: Vec<String>,
    /// Somebody else's document: its sets are taken as they are, whoever the user is, and this is the permitted one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permitted: Option<Vec<String>>,
    /// Empty by default (CVE-2022-24769).
    pub inheritable: Vec<String>,
    /// Empty by default.
    pub ambient: Vec<String>,
}

/// What is executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// argv.
    pub args: Vec<String>,
    /// NAME=VALUE.
    pub env: Vec<String>,
    /// Set HOME from the passwd entry.
    pub set_home: bool,
    /// A terminal.
    pub terminal: bool,
    /// Without it stdin is /dev/null.
    pub interactive: bool,
    /// rl's own reaper is pid 1.
    pub init: bool,
    /// It outlives the process that starts it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub detached: bool,
    /// Descriptors from 3 on that it inherits from rl's caller.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub preserve_fds: u32,
    /// It keeps the supplementary groups of rl's caller.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_groups: bool,
    /// /proc/self/oom_score_adj.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_score_adj: Option<i32>,
    /// Rows and columns of its terminal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console_size: Option<(u16, u16)>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Where the root file system comes from, as `compile` is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootSource {
    /// Native overlay.
    Overlay {
        /// Layers, topmost first.
        lower: Vec<PathBuf>,
        /// Upper directory.
        upper: PathBuf,
        /// Work directory.
        work: PathBuf,
        /// The upper directory is thrown away.
        volatile: bool,
    },
    /// A directory, or a mount that a helper has made.
    Directory(PathBuf),
}

impl Plan {
    /// The container's first process waits for `start`.
    pub fn waits(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::AwaitStart { .. }))
    }

    /// A process that joins a container finds its root made.
    pub fn joins_root(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::EnterRoot))
    }

    /// The bounding set, on which the default seccomp profile depends; None: the plan sets no capabilities.
    pub fn bounding(&self) -> Option<&[String]> {
        self.steps.iter().find_map(|step| match step {
            Step::Capabilities(sets) => Some(sets.bounding.as_slice()),
            _ => None,
        })
    }
}
