//! What the container's first process does, one thing a step.
//!
//! Owns the words of a plan; `compile` puts them into order, `runtime::init` carries them out and `shell` writes them as a script. The
//! surprise: paths in steps are the container's (`/dev/pts`), not the host's; only fields named `source`, `lower`, `upper`, `work`,
//! `on` and `beneath` are paths of the host.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Device, Hook, Scheduling, idmap};
use crate::host::emulation::Emulator;
use crate::spec::Ulimit;

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

impl Step {
    /// Whether somebody may notice the container by it, or leave messages of its parent unread behind it: the container must have
    /// been written down before.
    pub fn is_noticed(&self) -> bool {
        matches!(
            self,
            Self::Network
                | Self::RuntimeHooks
                | Self::ContainerHooks { .. }
                | Self::AwaitStart { .. }
                | Self::StartHooks { .. }
                | Self::Seccomp { .. }
        )
    }
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
