//! The files of cgroup2: making groups, handing controllers down, writing limits.
//!
//! The surprise: a group with processes in it can't hand controllers to its children (EBUSY), so the caller's own processes, and this
//! one, are moved into a leaf beside the containers' first.

use std::path::Path;

use nix::errno::Errno;
use nix::unistd::Pid;

use super::place::LEAF;
use super::{Group, Owner};
use crate::error::{Context, Error, Result, catalog::cgroup as codes};
use crate::plan::cgroup::{CgroupPlan, Limits};

/// Below `base`, which is the caller's: a group for the container, with its limits.
pub(super) fn make(base: &Path, plan: &CgroupPlan, owner: Owner) -> Result<Group> {
    let above = match &plan.parent {
        Some(parent) if parent.starts_with('/') => super::place::absolute(base, parent),
        // A slice is systemd's word; here it is a directory like any other.
        Some(parent) => base.join(parent),
        None => base.to_owned(),
    };
    let there = || above.ancestors().find(|dir| dir.is_dir()).unwrap_or(base);
    let mut dir = if above.starts_with(base) { base } else { there() }.to_owned();
    make_room(&dir, &plan.limits)?;
    let missing = above.strip_prefix(&dir).unwrap_or(Path::new("")).to_owned();
    for part in &missing {
        dir.push(part);
        directory(&dir)?;
        enable(&dir, &plan.limits)?;
    }
    let group = Group { dir: dir.join(&plan.name), unit: None };
    if !processes(&group.dir).is_empty() {
        // Its limits are not ours to change, nor its processes to end.
        let error = Error::new(&codes::APPLY, format!("make the control group {}", group.dir.display()));
        return Err(error.because("it has processes already"));
    }
    directory(&group.dir)?;
    let limited = limit(&group.dir, &plan.limits).and_then(|()| own(&group.dir, plan, owner));
    if let Err(error) = limited {
        group.remove();
        return Err(error);
    }
    Ok(group)
}

/// Hands the controllers down; where processes are in the way, they are moved into the leaf.
fn make_room(base: &Path, limits: &Limits) -> Result<()> {
    // A process that is forked meanwhile is found the next time round.
    for _ in 0..5 {
        match enable_all(base) {
            Err(Errno::EBUSY) => {}
            _ => return enable(base, limits),
        }
        let leaf = base.join(LEAF);
        directory(&leaf)?;
        for pid in processes(base) {
            match write_file(&leaf, "cgroup.procs", &pid.to_string()) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => {
                    return Err(Error::new(
                        &codes::APPLY,
                        format!("move pid {pid} from {} into {LEAF}", base.display()),
                    )
                    .because(errno)
                    .fix("Somebody else's process is in your control group, so it can't be divided."));
                }
            }
        }
    }
    enable(base, limits)
}

/// Every controller that is there is handed down, for counting; those that the limits need must be.
pub(super) fn enable(above: &Path, limits: &Limits) -> Result<()> {
    let enabled = enable_all(above);
    let have = std::fs::read_to_string(above.join("cgroup.subtree_control")).unwrap_or_default();
    let missing: Vec<_> = limits
        .controllers()
        .into_iter()
        .filter(|one| !have.split_ascii_whitespace().any(|have| have == *one))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let offered = std::fs::read_to_string(above.join("cgroup.controllers")).unwrap_or_default();
    let words = format!("hand the controllers {} down from {}", missing.join(" "), above.display());
    if missing.iter().all(|one| offered.split_ascii_whitespace().any(|offered| offered == *one)) {
        let error = Error::new(&codes::APPLY, words);
        return Err(match enabled {
            Err(errno) => error.because(errno),
            Ok(()) => error,
        });
    }
    Err(Error::new(&codes::NOT_DELEGATED, words).because(format!("there are only: {}", offered.trim())))
}

fn enable_all(above: &Path) -> Result<(), Errno> {
    let read = |name: &str| std::fs::read_to_string(above.join(name)).unwrap_or_default();
    let (offered, have) = (read("cgroup.controllers"), read("cgroup.subtree_control"));
    let missing: Vec<_> = offered
        .split_ascii_whitespace()
        .filter(|one| !have.split_ascii_whitespace().any(|have| have == *one))
        .map(|one| format!("+{one}"))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    match write_file(above, "cgroup.subtree_control", &missing.join(" ")) {
        Err(Errno::EBUSY) => Err(Errno::EBUSY),
        Ok(()) => Ok(()),
        // One of them can't be; the others may.
        Err(_) => missing.iter().try_for_each(|one| match write_file(above, "cgroup.subtree_control", one) {
            Err(Errno::EBUSY) => Err(Errno::EBUSY),
            _ => Ok(()),
        }),
    }
}

/// Writes every limit, and that an end for want of memory is the whole container's.
pub(super) fn limit(dir: &Path, limits: &Limits) -> Result<()> {
    for (file, value) in limits.files() {
        match write_file(dir, &file, &value) {
            // Without swap accounting there is nothing to limit: no swap is counted, and memory.max holds alone.
            Err(Errno::ENOENT) if file == "memory.swap.max" => {}
            // Before Linux 5.7 reservations are not counted.
            Err(Errno::ENOENT) if file.ends_with(".rsvd.max") => {}
            // The BFQ scheduler has weights of its own.
            Err(Errno::ENOENT) if file == "io.weight" && dir.join("io.bfq.weight").exists() => {
                let (device, weight) = value.rsplit_once(' ').unwrap_or(("", &value));
                let weight = weight.parse::<u64>().map_or(100, |weight| weight.clamp(1, 1000));
                write(dir, "io.bfq.weight", format!("{device} {weight}").trim_start())?;
            }
            Err(Errno::ENOENT) => {
                return Err(Error::new(&codes::APPLY, format!("write {value} to {}", dir.join(&file).display()))
                    .because("this kernel has no such limit"));
            }
            written => written.context(&codes::APPLY, || format!("write {value} to {}", dir.join(&file).display()))?,
        }
    }
    // There without the memory controller? Then nobody is killed by this group.
    let _ = write_file(dir, "memory.oom.group", "1");
    Ok(())
}

/// What container root must own to divide the group further (cgroups(7), delegation); not the files with the limits.
pub(super) fn own(dir: &Path, plan: &CgroupPlan, owner: Owner) -> Result<()> {
    let Some((uid, gid)) = owner.filter(|_| plan.delegated) else { return Ok(()) };
    for name in ["", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"] {
        let path = if name.is_empty() { dir.to_owned() } else { dir.join(name) };
        std::os::unix::fs::chown(&path, Some(uid), Some(gid))
            .context(&codes::APPLY, || format!("give {} to the container", path.display()))?;
    }
    Ok(())
}

pub(super) fn directory(dir: &Path) -> Result<()> {
    match std::fs::create_dir(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(error).context(&codes::APPLY, || format!("make the control group {}", dir.display()))
        }
        _ => Ok(()),
    }
}

pub(super) fn write(dir: &Path, file: &str, text: &str) -> Result<()> {
    write_file(dir, file, text).context(&codes::APPLY, || format!("write {text} to {}", dir.join(file).display()))
}

/// One write: cgroup2 takes no value in pieces, and never makes a file.
fn write_file(dir: &Path, file: &str, text: &str) -> Result<(), Errno> {
    let errno = |error: std::io::Error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
    let file = std::fs::OpenOptions::new().write(true).open(dir.join(file)).map_err(errno)?;
    nix::unistd::write(&file, text.as_bytes()).map(drop)
}

/// Makes a group, where it is missing, and moves processes into it; those that have ended meanwhile don't matter.
pub(super) fn move_into(dir: &Path, pids: &[Pid]) -> Result<()> {
    if pids.is_empty() {
        return Ok(());
    }
    directory(dir)?;
    for pid in pids {
        match write_file(dir, "cgroup.procs", &pid.to_string()) {
            Err(Errno::ESRCH) => {}
            written => written.context(&codes::APPLY, || format!("move pid {pid} into {}", dir.display()))?,
        }
    }
    Ok(())
}

/// This process and the helpers that it has started, without the container's first process and without the holder of the user
/// namespace, which outlives the container and sees to itself.
pub(super) fn family(first: Pid) -> Vec<Pid> {
    let me = Pid::this();
    let children = std::fs::read_to_string(format!("/proc/{me}/task/{me}/children")).unwrap_or_default();
    let children = children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw);
    let is_holder =
        |pid: Pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "rl: holder");
    std::iter::once(me).chain(children.filter(|pid| *pid != first && !is_holder(*pid))).collect()
}

/// The processes of a group and of all below it.
pub(super) fn processes(dir: &Path) -> Vec<Pid> {
    let text = std::fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    let mut all: Vec<_> = text.lines().filter_map(|line| line.parse().ok()).map(Pid::from_raw).collect();
    for below in children(dir) {
        all.extend(processes(&below));
    }
    all
}

fn children(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

pub(super) fn remove_tree(dir: &Path) {
    children(dir).iter().for_each(|below| remove_tree(below));
    // A group with processes stays (EBUSY); whoever ends them tries again.
    let _ = std::fs::remove_dir(dir);
}
