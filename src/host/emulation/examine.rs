//! Whether a file is an emulator that can be registered: a static program of this machine, which says that it is qemu.
//!
//! Owns the examination and what is remembered of it: `DATA/emulators/NAME`, with the identity of the file that was examined. The
//! surprise: the record is believed only for that very file, so a changed qemu is examined again and nothing must be forgotten.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::unistd::{AccessFlags, access};
use serde::{Deserialize, Serialize};

use super::{Architecture, Emulator};
use crate::error::{Error, Result, catalog::emulation};
use crate::host::{Dirs, elf};

/// qemu understands AT_FLAGS_PRESERVE_ARGV0 since 6.0 (linux-user/main.c); the kernel says it since 5.12.
const KEEPS_ARGV0: u32 = 6;
/// Nobody's `--version` is longer.
const LONGEST_ANSWER: u64 = 4096;

#[derive(Serialize, Deserialize)]
struct Record {
    identity: String,
    emulator: Emulator,
}

/// Examines it, or remembers.
pub(super) fn examine(architecture: &Architecture, path: &Path, dirs: &Dirs) -> Result<Emulator> {
    let unusable = |why: String| unusable(architecture, path, why);
    let meta = fs::metadata(path).map_err(|error| unusable(describe(&error)))?;
    let identity = identity(&meta);
    let place = dirs.data.join("emulators").join(architecture.handler());
    if let Some(known) = remembered(&place, &identity, path) {
        return Ok(known);
    }
    if !meta.is_file() {
        return Err(unusable("it is no regular file".into()));
    }
    if access(path, AccessFlags::X_OK).is_err() {
        let error = unusable(format!("it is not executable (mode {:04o})", meta.mode() & 0o7777));
        return Err(error.fix(format!("Make it executable: chmod +x {}", path.display())));
    }
    is_static_program(path).map_err(unusable)?;
    let (version, number) = version(architecture, path).map_err(unusable)?;
    let emulator = Emulator {
        architecture: architecture.name.to_owned(),
        interpreter: path.to_owned(),
        version,
        keeps_argv0: number >= KEEPS_ARGV0,
    };
    remember(&place, &Record { identity, emulator: emulator.clone() });
    Ok(emulator)
}

fn unusable(architecture: &Architecture, path: &Path, why: String) -> Error {
    Error::new(&emulation::UNUSABLE, format!("run programs for {} with {}", architecture.name, path.display()))
        .because(why)
}

fn describe(error: &std::io::Error) -> String {
    match error.raw_os_error().map(nix::errno::Errno::from_raw) {
        Some(errno) => format!("{} ({errno:?})", errno.desc()),
        None => error.to_string(),
    }
}

/// A replaced file has another inode, a changed one another time.
fn identity(meta: &fs::Metadata) -> String {
    let (changed, nanoseconds) = (meta.ctime(), meta.ctime_nsec());
    format!("{}:{}:{}:{changed}.{nanoseconds}", meta.dev(), meta.ino(), meta.size())
}

fn remembered(place: &Path, identity: &str, path: &Path) -> Option<Emulator> {
    let record: Record = serde_json::from_slice(&fs::read(place).ok()?).ok()?;
    (record.identity == identity && record.emulator.interpreter == path).then_some(record.emulator)
}

/// Best effort: what can't be remembered is examined again. Runs that do this at the same time write the same.
fn remember(place: &Path, record: &Record) {
    let Some(directory) = place.parent() else { return };
    let written = fs::create_dir_all(directory).and_then(|()| {
        let staged = place.with_extension(format!("{}", std::process::id()));
        fs::write(&staged, serde_json::to_vec(record)?)?;
        fs::rename(&staged, place)
    });
    if let Err(_kept_nothing) = written {}
}

/// The kernel would look for a dynamic program's loader and libraries inside the container.
fn is_static_program(path: &Path) -> Result<(), String> {
    let file = fs::File::open(path).map_err(|error| describe(&error))?;
    let mut start = Vec::new();
    (&file).take(64).read_to_end(&mut start).map_err(|error| describe(&error))?;
    let header = elf::Header::parse(&start).filter(|_| start.starts_with(b"\x7fELF"));
    let Some(header) = header else { return Err("it is no ELF program; a script can't be an emulator".into()) };
    if !elf::runs_here(&header) {
        return Err(format!(
            "it is itself a program for {}, this machine is {}",
            header.architecture(),
            elf::machine()
        ));
    }
    match header.interpreter(&file) {
        Some(_) => Err("it is a dynamic program, whose libraries are in no container; take the static one".into()),
        None => Ok(()),
    }
}

/// `qemu-aarch64 version 7.2.22 (Debian ...)`.
fn version(architecture: &Architecture, path: &Path) -> Result<(String, u32), String> {
    let mut command = Command::new(path);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| describe(&error))?;
    let mut answer = Vec::new();
    let read = child.stdout.take().map(|out| out.take(LONGEST_ANSWER).read_to_end(&mut answer));
    let status = child.wait().map_err(|error| describe(&error))?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (target, version) =
        answer.strip_prefix("qemu-").and_then(|rest| rest.split_once(" version ")).unwrap_or_default();
    let word = version.split([' ', '\n']).next().unwrap_or_default();
    let major: Option<u32> = word.split('.').next().and_then(|number| number.parse().ok());
    match (read, major) {
        (Some(Ok(_)), Some(major)) if status.success() && target == architecture.qemu => Ok((word.to_owned(), major)),
        (Some(Ok(_)), Some(_)) if status.success() => Err(format!("it is the emulator for {target}")),
        _ => Err(format!("asked for its version it does not answer as qemu's user mode does ({status})")),
    }
}
