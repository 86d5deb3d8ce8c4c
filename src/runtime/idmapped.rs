//! Id-mapped binds (Linux 5.12), made by the parent.
//!
//! Owns the copies of the sources and the user namespaces that say how their ids are mapped. The kernel asks for CAP_SYS_ADMIN over the
//! file system itself, which the container's first process has not, once it is in a user namespace of its own; a copy that is
//! attached nowhere can be handed to it all the same. The surprise: a user namespace needs a process only until it is open.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::sched::CloneFlags;

use super::maps::write_maps;
use super::mounts;
use super::refusal::refused;
use crate::error::{Context, Error, Result, catalog::process as codes, catalog::rootfs};
use crate::plan::idmap::MountMap;
use crate::plan::{IdPlan, Namespace, Plan, Step};
use crate::sys::child::exit_now;
use crate::sys::clone::{Side, clone};
use crate::sys::mount::map_ids;

/// The copies, by the index of their steps.
pub(super) fn sources(plan: &Plan) -> Result<Vec<(usize, OwnedFd)>> {
    let mut all = Vec::new();
    for (index, step) in plan.steps.iter().enumerate() {
        if let Step::Bind { source, recursive, idmap: Some(map), .. } = step {
            let ids = namespace(plan, map).map_err(|error| error.within(&map.field))?;
            let made = mounts::clone_host(source, *recursive)
                .and_then(|tree| map_ids(tree.as_fd(), ids.as_fd(), map.recursive).map(|()| tree));
            let doing = || format!("{}: map the ids of {}", map.field, source.display());
            all.push((index, made.map_err(|errno| Error::new(&rootfs::ID_MAPPED, doing()).because(why(errno)))?));
        }
    }
    Ok(all)
}

/// What the kernel's answer means for this call alone.
fn why(errno: Errno) -> String {
    let why = match errno {
        Errno::EPERM => "whose file system it is must ask: of a disk, root of the machine",
        Errno::EINVAL => "this kernel can't do it for this kind of file system",
        Errno::ENOSYS => "this kernel can't, Linux 5.12 can",
        other => return other.to_string(),
    };
    format!("{why} ({errno})")
}

/// The user namespace that has the maps.
fn namespace(plan: &Plan, map: &MountMap) -> Result<OwnedFd> {
    let doing = || "open the user namespace of an id map".to_owned();
    if let (None, Namespace::Join(path)) = (&map.maps, &plan.namespaces.user) {
        return File::open(path).map(OwnedFd::from).context(&codes::NAMESPACE, doing);
    }
    let (uid_map, gid_map) = map.maps.clone().unwrap_or((plan.ids.uid_map.clone(), plan.ids.gid_map.clone()));
    let maps = IdPlan { uid_map, gid_map, ..plan.ids.clone() };
    let (wait, go) =
        nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).context(&codes::SETUP, || "make a pipe".into())?;
    match clone(CloneFlags::CLONE_NEWUSER).map_err(refused)? {
        Side::Child => {
            drop(go);
            // The parent's end: of the pipe, or of the parent.
            let _ = nix::unistd::read(&wait, &mut [0]);
            exit_now(0)
        }
        Side::Parent(child) => {
            let opened = write_maps(&child, &maps)
                .and_then(|()| File::open(format!("/proc/{}/ns/user", child.pid)).context(&codes::NAMESPACE, doing));
            drop(go);
            child.kill();
            opened.map(OwnedFd::from)
        }
    }
}
