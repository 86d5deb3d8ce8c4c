//! The container's own handlers for programs of other architectures.
//!
//! Owns mounting binfmt_misc in the container's user namespace and registering qemu there (Linux 6.7), and what is done on older
//! kernels: relying on a handler of the machine's. The surprise: the handlers live only as long as the file system is
//! mounted somewhere, so it is attached in the container's own /proc, read-only, and all goes with the container; nothing is
//! kept, shared or cleaned up, and a changed qemu counts from the next container on.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;

use super::diagnose::{self, MOST_INTERPRETERS};
use super::execute::search_path;
use super::mounts::{Bind, Root, clone_source};
use crate::error::{Error, Result, catalog::emulation as codes};
use crate::host::elf;
use crate::host::emulation::{Architecture, Emulator, own_name, registered};
use crate::plan::{Attributes, Plan, Propagation, Step};
use crate::sys::child::{exit_now, wait_pidfd};
use crate::sys::clone::{Side, clone};
use crate::sys::mount::{Change, fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount_setattr};

/// As much of a file as the kernel reads (BINPRM_BUF_SIZE).
const FIRST_BYTES: usize = 256;

/// Where the kernel has a directory for it, an empty one that is there in every procfs.
pub(super) const PLACE: &str = "/proc/sys/fs/binfmt_misc";

/// Opens the emulator while this is still the caller: container root may have no way through the caller's directories.
pub(super) fn open(emulator: &Emulator) -> Result<OwnedFd> {
    openat(AT_FDCWD, &emulator.interpreter, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(|errno| unusable(emulator, errno))
}

/// Makes the container run the emulator's programs. Called before pivot_root, because the kernel opens the emulator now, in
/// the root directory of this process.
pub(super) fn emulate(root: &mut Root, emulators: &[(&Emulator, OwnedFd)]) -> Result<()> {
    let table = match mount() {
        Ok(table) => table,
        Err(errno) => return emulators.iter().try_for_each(|(emulator, _)| fall_back(root, emulator, errno)),
    };
    for (emulator, program) in emulators {
        register(table.as_fd(), emulator, program)?;
    }
    // From inside nobody is to add a handler or to take one away.
    let change = Change { set: libc::MOUNT_ATTR_RDONLY, ..Change::default() };
    let attached = mount_setattr(table.as_fd(), change).map_err(|errno| errno.to_string());
    let attached =
        attached.and_then(|()| root.attach_in_proc(&table, Path::new(PLACE)).map_err(|error| error.summary()));
    attached.map_err(|why| Error::new(&codes::REFUSED, format!("attach the handlers on {PLACE}")).because(why))
}

/// A new table, of the user namespace that this process is in. On an older kernel only the machine's root may (EPERM).
fn mount() -> Result<OwnedFd, Errno> {
    let fs = fsopen(c"binfmt_misc")?;
    fsconfig_set_string(fs.as_fd(), c"source", c"binfmt_misc")?;
    fsconfig_create(fs.as_fd())?;
    fsmount(fs.as_fd(), libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC)
}

fn register(table: BorrowedFd<'_>, emulator: &Emulator, program: &OwnedFd) -> Result<()> {
    // The path is what ps(1) shows of a program; where container root can't get to it, the descriptor does as well.
    let by_descriptor = PathBuf::from(format!("/proc/self/fd/{}", program.as_raw_fd()));
    let written = match write(table, emulator, &emulator.interpreter) {
        Err(Errno::EACCES | Errno::ENOENT) => write(table, emulator, &by_descriptor),
        other => other,
    };
    written.map_err(|errno| unusable(emulator, errno))
}

fn write(table: BorrowedFd<'_>, emulator: &Emulator, interpreter: &Path) -> Result<(), Errno> {
    let line = emulator.registration(interpreter).ok_or(Errno::EINVAL)?;
    // The kernel opens the interpreter with the rights of whoever opened this file.
    let register = openat(table, "register", OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    nix::unistd::write(&register, line.as_bytes()).map(drop)
}

fn unusable(emulator: &Emulator, errno: Errno) -> Error {
    let what = format!("register {} for {}", emulator.interpreter.display(), emulator.architecture);
    Error::new(&codes::UNUSABLE, what).because(errno)
}

/// Without a table of our own the machine's counts. A handler without `F` looks for its interpreter in the container.
fn fall_back(root: &Root, emulator: &Emulator, errno: Errno) -> Result<()> {
    let name = emulator.architecture.as_str();
    match Architecture::of(name).and_then(registered) {
        None => Err(refused(emulator, errno)),
        Some(handler) if handler.fixed => Ok(()),
        Some(handler) => {
            let source = handler.interpreter.as_path();
            let tree = clone_source(source, false).or_else(|_| clone_source(&emulator.interpreter, false))?;
            let attributes = Attributes { read_only: true, nosuid: true, nodev: true, ..Attributes::default() };
            let (recursive, propagation, device, deep) = (false, Propagation::Private, false, attributes);
            root.bind(
                &Bind {
                    source,
                    target: source,
                    recursive,
                    attributes,
                    propagation,
                    device,
                    deep,
                    copy: false,
                    owner: None,
                },
                &tree,
            )
        }
    }
}

fn refused(emulator: &Emulator, errno: Errno) -> Error {
    let name = &emulator.architecture;
    let kernel = nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned());
    let kernel = kernel.unwrap_or_default();
    let what = format!("let programs for {name} run on this machine, which is {}", own_name());
    let error = Error::new(&codes::REFUSED, what);
    let error = error.because(format!(
        "Linux {kernel} gives a user namespace no binfmt_misc of its own ({errno:?}; 6.7 and later do), and no handler for {name} is registered on the machine"
    ));
    let Some(line) = emulator.registration(&emulator.interpreter) else { return error };
    error.fix(format!(
        "An administrator makes it work for everybody, once: apt-get install qemu-user-static binfmt-support (Fedora: dnf install qemu-user-static), or, until the next boot:\n\
         mount -t binfmt_misc binfmt_misc {PLACE}; printf '%s' '{line}' >{PLACE}/register"
    ))
}

/// An image for another architecture whose program is this machine's own: it runs, and somebody should know.
pub(super) fn warn_of_a_native_program(plan: &Plan, env: &[String]) {
    let emulators = plan.steps.iter().find_map(|step| match step {
        Step::Emulate { emulators } => Some(emulators),
        _ => None,
    });
    let (Some(emulators), Some(command)) = (emulators, plan.process.args.first()) else { return };
    let Some((path, header)) = program(command, search_path(env)) else { return };
    if elf::runs_here(&header) {
        let said: Vec<_> = emulators.iter().map(|one| one.architecture.as_str()).collect();
        eprintln!(
            "rl: warning: {} is a program for {}, this machine's own, although the image is for {}; it is not emulated",
            path.display(),
            own_name(),
            said.join(", ")
        );
    }
}

/// The ELF file that runs in the end: the command's own, or that of a script's interpreter. By plain paths, for this process is in
/// the container's root already, and a run must not wait for more.
fn program(command: &str, search: &str) -> Option<(PathBuf, elf::Header)> {
    let mut next = if command.contains('/') {
        open_program(PathBuf::from(command))
    } else {
        search.split(':').find_map(|directory| open_program(Path::new(directory).join(command)))
    };
    for _ in 0..=MOST_INTERPRETERS {
        let (path, mut file) = next?;
        let mut start = [0; FIRST_BYTES];
        let length = file.read(&mut start).ok()?;
        let Some(line) = start[..length].strip_prefix(b"#!") else {
            let header = elf::Header::parse(&start[..length]).filter(|_| start.starts_with(b"\x7fELF"))?;
            return Some((path, header));
        };
        next = open_program(PathBuf::from(diagnose::interpreter_word(line)));
    }
    None
}

fn open_program(path: PathBuf) -> Option<(PathBuf, File)> {
    // A FIFO or a device must neither be waited for nor be woken up.
    let file = std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_file).and_then(|_| File::open(&path).ok())?;
    Some((path, file))
}

/// Whether containers can have handlers of their own; else why not. Tried in a user namespace that goes at once, because a table
/// in ours, even an empty one, would hide the machine's.
pub fn probe() -> Result<(), Errno> {
    match clone(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)? {
        Side::Parent(child) => match wait_pidfd(child.pidfd.as_fd(), true)? {
            Some(crate::sys::child::Exit::Code(0)) => Ok(()),
            Some(crate::sys::child::Exit::Code(code)) => Err(Errno::from_raw(i32::from(code))),
            _ => Err(Errno::EINTR),
        },
        Side::Child => {
            let answer = mount().err().map_or(0, |errno| errno as i32);
            exit_now(u8::try_from(answer).unwrap_or(u8::MAX))
        }
    }
}
