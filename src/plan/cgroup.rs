//! The container's control group as data: where it is to be, and its limits in the terms of cgroup2.
//!
//! Pure. Owns the group's name and place; `limits` owns what is limited. The surprise: most containers have none, because staying in the
//! caller's group costs nothing.

mod limits;

use oci_spec::runtime::Linux;
use serde::Serialize;
use sha2::{Digest, Sha256};

pub use self::limits::{Limits, MAX, limits};
use super::unsupported::bad;
use crate::error::Result;
use crate::spec::Identity;
use crate::spec::resources::{Cgroups, Logout, Mode, Way};

/// What is applied before the container's first process may go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CgroupPlan {
    /// `rl-ID`: the scope's name without `.scope`, or the directory's.
    pub name: String,
    /// A slice of the manager, or a directory below the caller's own group; with a `/` before it, one of the whole hierarchy, where that
    /// can be written.
    pub parent: Option<String>,
    /// What `systemctl status` shows.
    pub description: String,
    /// Below the caller's own group, never a scope.
    pub split: bool,
    /// Without it nothing may start; else the container stays in the caller's group where there is no way.
    pub needed: bool,
    /// Container root may make groups below it.
    pub delegated: bool,
    /// As what it may be made.
    pub way: Way,
    /// A supervisor stays with it, which goes into the scope, too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub supervised: bool,
    /// What the user insists on, of their logout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logout: Option<Logout>,
    /// What is limited.
    pub limits: Limits,
}

/// What a plan has to do with control groups; None: the container stays in the caller's group, which costs nothing.
///
/// # Errors
/// A resource that cgroup2 can't limit.
pub(super) fn compile(linux: &Linux, wish: &Cgroups, identity: &Identity) -> Result<Option<CgroupPlan>> {
    let limits = linux.resources().as_ref().map(limits).transpose()?.unwrap_or_default();
    let limited = limits != Limits::default();
    let path = linux.cgroups_path().as_ref().filter(|path| !path.as_os_str().is_empty());
    if let Some(path) = path.filter(|_| wish.mode != Mode::Disabled) {
        let (parent, name) = place(&path.to_string_lossy())?;
        // systemd knows no directories.
        let parent = parent.filter(|parent| wish.way != Way::Scope || parent.ends_with(".slice"));
        return Ok(Some(CgroupPlan {
            name,
            parent,
            description: format!("rl container {}", identity.name),
            split: wish.mode == Mode::Split,
            // Engines always name one, also where none can be made.
            needed: limited,
            delegated: wish.delegated,
            way: wish.way,
            supervised: false,
            logout: None,
            limits,
        }));
    }
    let wanted = match wish.mode {
        Mode::Disabled => false,
        Mode::Enabled | Mode::Split => true,
        Mode::Auto => limited || wish.parent.is_some() || wish.delegated,
    };
    let needed = wanted;
    // What goes on in the background is not to sit in the group of a login session.
    let wanted = wanted || (wish.mode == Mode::Auto && (wish.detached || wish.way != Way::Any));
    Ok(wanted.then(|| CgroupPlan {
        name: name(&identity.id),
        parent: wish.parent.clone(),
        description: format!("rl container {}", identity.name),
        split: wish.mode == Mode::Split,
        needed,
        delegated: wish.delegated,
        way: wish.way,
        supervised: wish.detached,
        logout: wish.logout.filter(|_| wish.detached),
        limits,
    }))
}

/// `rl-ID`. The ids of `rl oci` are their callers' words, so that another id is its own hash: nothing of it can mean anything to
/// systemd or be a path.
pub fn name(id: &str) -> String {
    let plain = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if plain {
        return format!("rl-{id}");
    }
    let hash = Sha256::digest(id.as_bytes());
    format!("rl-{}", hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// The parent and the name that `linux.cgroupsPath` stands for: `SLICE:PREFIX:NAME` is the scope `PREFIX-NAME.scope`, all else a path.
///
/// # Errors
/// What is not made of plain words: it becomes a unit's name and a path.
pub fn place(path: &str) -> Result<(Option<String>, String)> {
    let refuse = |what: &str| Err(bad("linux.cgroupsPath", &format!("is {path:?}, which {what}")));
    let kernels = |word: &str| word.split_once('.').is_some_and(|(one, _)| KERNELS.contains(&one));
    let plain = |word: &str| {
        let letters = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte));
        letters && !word.is_empty() && word.len() <= 200 && !word.starts_with(['.', '-']) && !kernels(word)
    };
    if let [slice, prefix, name] = path.split(':').collect::<Vec<_>>()[..] {
        let scope = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}-{name}") };
        let slice_fits = slice.is_empty() || (plain(slice) && slice.ends_with(".slice"));
        if !slice_fits || !plain(&scope) || scope.ends_with(".slice") {
            return refuse("is no SLICE:PREFIX:NAME of plain words");
        }
        let scope = scope.strip_suffix(".scope").unwrap_or(&scope).to_owned();
        return Ok(((!slice.is_empty()).then(|| slice.to_owned()), scope));
    }
    let (root, below) = path.strip_prefix('/').map_or(("", path), |below| ("/", below));
    if !below.split('/').all(plain) {
        return refuse("is no path of plain words");
    }
    Ok(match below.rsplit_once('/') {
        Some((above, name)) => (Some(format!("{root}{above}")), name.to_owned()),
        None => ((!root.is_empty()).then(|| root.to_owned()), below.to_owned()),
    })
}

/// The first words of the kernel's own files in a group, as which nothing may be called.
pub const KERNELS: [&str; 11] =
    ["cgroup", "memory", "cpu", "cpuset", "io", "pids", "rdma", "misc", "hugetlb", "irq", "perf_event"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_scope_or_a_directory_of_plain_words() {
        let of = |path: &str| place(path).expect(path);
        let some = |parent: &str, name: &str| (Some(parent.to_owned()), name.to_owned());
        assert_eq!(of("user.slice:libpod:0123"), some("user.slice", "libpod-0123"));
        assert_eq!(of(":rl:web"), (None, "rl-web".to_owned()));
        assert_eq!(of("a.slice::b.scope"), some("a.slice", "b"));
        assert_eq!(of("/docker/0123"), some("/docker", "0123"));
        assert_eq!(of("a/b/c"), some("a/b", "c"));
        assert_eq!(of("/c"), some("/", "c"));
        assert_eq!(of("c"), (None, "c".to_owned()));
        let long = "x".repeat(300);
        for path in [
            "/",
            "..",
            "/a/../b",
            "a//b",
            "a/",
            "x:y",
            "a:b:c:d",
            "no:b:c",
            "a.slice:b:c/d",
            "a.slice:b:c.slice",
            "%n",
            "a\nb",
            "-rf",
            "/a/cgroup.procs",
            "cpu.max/a",
            &long,
        ] {
            assert!(place(path).is_err(), "{path:?}");
        }
    }
}
