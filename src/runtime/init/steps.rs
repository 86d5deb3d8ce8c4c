//! One step of the plan, carried out.
//!
//! Owns which code a step is, and the steps that are too small for a module of their own. The surprise: what is opened of the host
//! was opened before the first step, and some of what a step finds out is kept in [`State`] for a later one.

use std::path::PathBuf;

use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, umask};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

use super::{Init, State};
use crate::error::{Context, Error, Result, catalog::process as codes};
use crate::plan::{self, Step};
use crate::runtime::mounts::{self, Overlay};
use crate::runtime::{attributes, rights, uts};
use crate::sys::{child, loopback};

impl State {
    /// The step of this index; in the plan's order.
    pub(super) fn carry_out(&mut self, index: usize, step: &Step, init: &Init<'_>) -> Result<()> {
        match step {
            // Before anything of the host was opened.
            Step::Isolate { .. } => Ok(()),
            Step::Overlay { lower, upper, work, volatile, on } => {
                self.overlay(index, &Overlay { lower, upper, work, volatile: *volatile }, on)
            }
            Step::BindRoot { .. } => self.bind_root(index),
            Step::EnterRoot => self.enter_root(),
            Step::Mount { .. }
            | Step::Bind { .. }
            | Step::Directory { .. }
            | Step::Symlink { .. }
            | Step::Mask { .. }
            | Step::ReadOnly { .. } => self.mount(index, step),
            Step::Device(device) => self.device(index, device),
            Step::Emulate { emulators } => self.emulate(emulators),
            Step::Terminal => self.terminal(init),
            Step::PivotRoot { moved: false, .. } => mounts::pivot(self.root()?),
            Step::PivotRoot { moved: true, .. } => mounts::move_root(self.root()?),
            Step::Chroot => mounts::chroot(self.root()?),
            Step::RootPropagation { propagation, recursive } => {
                mounts::propagate_root(self.root()?, *propagation, *recursive)
            }
            Step::RootReadOnly => mounts::root_read_only(self.root()?),
            Step::Hostname { name } => uts::set_hostname(name),
            Step::Domainname { name } => uts::set_domainname(name),
            Step::Loopback => loopback::up().context(&codes::SETUP, || "bring the loopback interface up".into()),
            Step::Network => network(init),
            Step::Sysctl { key, value } => self.sysctl(key, value),
            Step::Rlimit(limit) => rights::set_limit(limit),
            Step::Umask { mask } => {
                umask(Mode::from_bits_truncate(*mask));
                Ok(())
            }
            Step::User { setgroups, .. } | Step::Ids { setgroups, .. } => {
                let account = self.look_up(step, init)?;
                self.become_account(account, *setgroups)
            }
            Step::WorkingDirectory { path } => self.working_directory(path, init.plan.joins_root()),
            Step::Capabilities(sets) => self.capabilities(sets),
            Step::NoNewPrivileges => {
                nix::sys::prctl::set_no_new_privs().context(&codes::SETUP, || "set no_new_privs".into())
            }
            Step::Seccomp { .. } => self.load_filter(index, init),
            Step::Keyring => attributes::keyring(),
            Step::Scheduling(scheduling) => attributes::scheduling(scheduling),
            Step::Personality { persona } => attributes::personality(*persona),
            Step::Label { module, label } => attributes::label(self.root()?, module, label),
            Step::RuntimeHooks | Step::ContainerHooks { .. } | Step::AwaitStart { .. } | Step::StartHooks { .. } => {
                self.lifecycle(step, init)
            }
        }
    }

    fn capabilities(&self, sets: &plan::CapabilitySets) -> Result<()> {
        rights::set_capabilities(sets, self.account.as_ref().is_none_or(|account| account.uid == 0))
    }

    /// Through the container's own procfs, checked to be one: a bind over /proc must not turn this into a write elsewhere
    /// (CVE-2019-19921, CVE-2025-52881).
    fn sysctl(&mut self, key: &str, value: &str) -> Result<()> {
        let doing = || format!("set the sysctl {key}={value}");
        let path = PathBuf::from("/proc/sys").join(key.replace('.', "/"));
        let file = self.root()?.open(&path, OFlag::O_WRONLY)?;
        let kind = fstatfs(&file).context(&codes::SETUP, doing)?.filesystem_type();
        if kind != PROC_SUPER_MAGIC {
            return Err(Error::new(&codes::SETUP, doing()).because("/proc is not a proc file system"));
        }
        nix::unistd::write(&file, value.as_bytes()).context(&codes::SETUP, doing).map(drop)
    }
}

/// Waits until the parent has connected it.
fn network(init: &Init<'_>) -> Result<()> {
    if !init.channel.wait_for_network() {
        child::exit_now(125);
    }
    Ok(())
}
