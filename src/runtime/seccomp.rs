//! Makes the seccomp program that a container's init loads: compiled once by libseccomp, then read from a file.
//!
//! Owns compiling and the cache. What is allowed is `spec::seccomp`'s, installing it is `sys::seccomp`'s. The surprise:
//! compiling the default profile takes 3 ms, as long as everything else of a start together, so a run usually reads 5
//! kB below the data directory instead; the file's name says all that the program depends on, and a wrong or torn file
//! is made again.

mod cache;

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use libseccomp::error::{SeccompErrno, SeccompError};
use libseccomp::{ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall, ScmpVersion};
use nix::sys::memfd::{MFdFlags, memfd_create};
use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag, LinuxSeccompOperator, LinuxSyscall,
};

use crate::error::catalog::security::{SECCOMP_COMPILE, SECCOMP_PROFILE};
use crate::error::{Context, Entry, Error, Result};
use crate::spec::seccomp::{default_profile, table::NEWER};
use crate::spec::{SeccompChoice, capabilities};
use crate::sys::seccomp::{Filter, NEW_LISTENER};

/// The filter for a container with these capabilities, or None where there is to be none. `cache` is a directory of
/// rl's own, made when it is missing; a cache that can't be read or written costs time and nothing else.
pub fn program(choice: &SeccompChoice, caps: &[String], cache: &Path) -> Result<Option<Filter>> {
    match choice {
        SeccompChoice::Unconfined => Ok(None),
        SeccompChoice::Default => {
            let key = cache::default_key(capabilities::mask(caps), version());
            cache::or_make(&cache.join(key), || compile(&default_profile(caps), &SECCOMP_COMPILE)).map(Some)
        }
        SeccompChoice::Profile(profile) => cached(&profile.resolve(caps), cache).map(Some),
        SeccompChoice::Exact(profile) => cached(profile, cache).map(Some),
    }
}

fn cached(profile: &LinuxSeccomp, cache: &Path) -> Result<Filter> {
    let text = serde_json::to_vec(profile).context(&SECCOMP_PROFILE, || "write the profile as JSON".into())?;
    let key = cache::content_key(&text, version());
    cache::or_make(&cache.join(key), || compile(profile, &SECCOMP_PROFILE))
}

/// A newer libseccomp knows more names and may order a program differently.
fn version() -> (u32, u32, u32) {
    ScmpVersion::current().map_or((0, 0, 0), |version| (version.major, version.minor, version.micro))
}

/// Compiles a profile. `blame` is the catalog's entry for what libseccomp refuses: the user's file or rl's own table.
fn compile(profile: &LinuxSeccomp, blame: &'static Entry) -> Result<Filter> {
    let default = action(profile.default_action(), profile.default_errno_ret());
    let context = |what: &str| format!("compile the seccomp profile: {what}");
    let mut filter = new_context(default).context(blame, || context("start"))?;
    let mut foreign = false;
    for arch in profile.architectures().iter().flatten() {
        let arch: ScmpArch = arch.to_string().parse().context(blame, || context(&arch.to_string()))?;
        if !filter.is_arch_present(arch).context(blame, || context("architectures"))? {
            filter.add_arch(arch).context(blame, || context("architectures"))?;
            foreign = true;
        }
    }
    for rule in profile.syscalls().iter().flatten() {
        let action = action(rule.action(), rule.errno_ret());
        if action == default {
            // libseccomp takes such a rule for a mistake (EACCES); it says what holds anyhow.
            continue;
        }
        let conditions = conditions(rule);
        for name in rule.names() {
            match number(name, foreign) {
                Some(call) => add(&mut filter, action, call, &conditions).context(blame, || context(name))?,
                None if lets_through(default) && !lets_through(action) => {
                    // Without this rule the call would be allowed, so leaving it out is not for rl to decide.
                    return Err(Error::new(blame, context(&format!("no system call is named {name:?}"))));
                }
                None => {}
            }
        }
    }
    Ok(Filter { program: export(&filter).context(blame, || context("export"))?, flags: flags(profile) })
}

fn new_context(default: ScmpAction) -> std::result::Result<ScmpFilterContext, SeccompError> {
    let mut filter = ScmpFilterContext::new(default)?;
    // A call by another architecture's table (int 0x80, x32) is one that this machine does not have. Killing,
    // libseccomp's default, would take the whole process for a probe.
    filter.set_act_badarch(ScmpAction::Errno(libc::ENOSYS))?;
    // A binary tree over the numbers: at install the kernel runs the filter once for each call of each architecture to
    // find those that are always allowed. That takes 340 us with libseccomp's usual list of comparisons, 140 us with a
    // tree.
    filter.set_ctl_optimize(2)?;
    Ok(filter)
}

fn export(filter: &ScmpFilterContext) -> std::io::Result<Vec<u8>> {
    let mut file = File::from(memfd_create("seccomp", MFdFlags::MFD_CLOEXEC)?);
    filter.export_bpf(&file).map_err(std::io::Error::other)?;
    file.rewind()?;
    let mut program = Vec::new();
    file.read_to_end(&mut program)?;
    Ok(program)
}

/// A negative number is libseccomp's for a call that this architecture does not have; such a rule comes to nothing by
/// itself.
fn number(name: &str, foreign: bool) -> Option<ScmpSyscall> {
    ScmpSyscall::from_name(name).ok().or_else(|| {
        // libseccomp translates a number for another architecture through its name, and for these it has none.
        let (_, number) = NEWER.iter().find(|(newer, _)| *newer == name && !foreign)?;
        Some(ScmpSyscall::from(*number))
    })
}

/// The comparisons of a rule: those of one inner list must all be true, one of the outer list suffices. Two comparisons
/// of the same argument are alternatives, as in runc and crun.
fn conditions(rule: &LinuxSyscall) -> Vec<Vec<ScmpArgCompare>> {
    let args = rule.args().as_deref().unwrap_or_default();
    let repeated = (1..args.len()).any(|at| args[..at].iter().any(|earlier| earlier.index() == args[at].index()));
    let compared = args.iter().map(compare);
    if repeated { compared.map(|one| vec![one]).collect() } else { vec![compared.collect()] }
}

fn compare(arg: &LinuxSeccompArg) -> ScmpArgCompare {
    let (op, datum) = match arg.op() {
        LinuxSeccompOperator::ScmpCmpNe => (ScmpCompareOp::NotEqual, arg.value()),
        LinuxSeccompOperator::ScmpCmpLt => (ScmpCompareOp::Less, arg.value()),
        LinuxSeccompOperator::ScmpCmpLe => (ScmpCompareOp::LessOrEqual, arg.value()),
        LinuxSeccompOperator::ScmpCmpEq => (ScmpCompareOp::Equal, arg.value()),
        LinuxSeccompOperator::ScmpCmpGe => (ScmpCompareOp::GreaterEqual, arg.value()),
        LinuxSeccompOperator::ScmpCmpGt => (ScmpCompareOp::Greater, arg.value()),
        LinuxSeccompOperator::ScmpCmpMaskedEq => {
            (ScmpCompareOp::MaskedEqual(arg.value()), arg.value_two().unwrap_or_default())
        }
    };
    // The profile's parser has checked that the index is at most 5.
    ScmpArgCompare::new(u32::try_from(arg.index()).unwrap_or(u32::MAX), op, datum)
}

fn add(
    filter: &mut ScmpFilterContext,
    action: ScmpAction,
    call: ScmpSyscall,
    conditions: &[Vec<ScmpArgCompare>],
) -> std::result::Result<(), SeccompError> {
    for comparisons in conditions {
        let added = if comparisons.is_empty() {
            filter.add_rule(action, call)
        } else {
            filter.add_rule_conditional(action, call, comparisons)
        };
        match added {
            Ok(_) => {}
            // The same rule twice, as in podman's own file.
            Err(error) if error.errno() == Some(SeccompErrno::EEXIST) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn action(action: LinuxSeccompAction, value: Option<u32>) -> ScmpAction {
    let value = value.unwrap_or(libc::EPERM.unsigned_abs());
    // The parser has checked that it is no larger than an errno can be.
    let value = u16::try_from(value).unwrap_or(u16::MAX);
    match action {
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => ScmpAction::KillThread,
        LinuxSeccompAction::ScmpActKillProcess => ScmpAction::KillProcess,
        LinuxSeccompAction::ScmpActTrap => ScmpAction::Trap,
        LinuxSeccompAction::ScmpActErrno => ScmpAction::Errno(value.into()),
        LinuxSeccompAction::ScmpActNotify => ScmpAction::Notify,
        LinuxSeccompAction::ScmpActTrace => ScmpAction::Trace(value),
        LinuxSeccompAction::ScmpActLog => ScmpAction::Log,
        LinuxSeccompAction::ScmpActAllow => ScmpAction::Allow,
    }
}

fn lets_through(action: ScmpAction) -> bool {
    matches!(action, ScmpAction::Allow | ScmpAction::Log)
}

/// The flags of seccomp(2) (include/uapi/linux/seccomp.h).
fn flags(profile: &LinuxSeccomp) -> u32 {
    let listener = if profile.listener_path().is_some() { NEW_LISTENER } else { 0 };
    profile.flags().iter().flatten().fold(listener, |flags, flag| {
        flags
            | match flag {
                // There is one thread, and the kernel can't answer with a listener and a thread's number at once.
                LinuxSeccompFilterFlag::SeccompFilterFlagTsync if listener != 0 => 0,
                LinuxSeccompFilterFlag::SeccompFilterFlagTsync => 1,
                LinuxSeccompFilterFlag::SeccompFilterFlagLog => 1 << 1,
                LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => 1 << 2,
                LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => 1 << 5,
            }
    })
}

#[cfg(test)]
mod tests;
