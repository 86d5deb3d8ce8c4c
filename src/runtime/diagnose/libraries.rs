//! Shared libraries that the dynamic loader would not find.
//!
//! The loader itself is executed without an error and then exits with 127, so this is looked into afterwards. What it searches is
//! ld.so(8)'s order without the caches: RUNPATH, the directories of ld.so.conf, the standard ones.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use object::read::ReadCache;
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::{Endianness, ReadRef, elf};
use pathrs::RootRef;
use pathrs::flags::OpenFlags;

use crate::host::elf::Header;
use crate::host::emulation::Architecture;

/// More than any program's closure.
const MOST_LIBRARIES: usize = 512;
const LONGEST_CONFIGURATION: u64 = 64 * 1024;
/// Strings of the dynamic table are names and short lists of directories.
const LONGEST_STRING: u64 = 4096;

const STANDARD: [&str; 4] = ["/lib64", "/usr/lib64", "/lib", "/usr/lib"];

/// The names that would not be found, for the program at `path` inside `root`. Empty: none, or it is no dynamic ELF program.
pub fn missing(root: BorrowedFd<'_>, path: &Path) -> Vec<String> {
    let mut standard: Vec<PathBuf> = configured(root);
    let multiarch = multiarch(root, path);
    standard.extend(STANDARD.iter().flat_map(|dir| [Path::new(dir).join(&multiarch), PathBuf::from(dir)]));
    let (mut known, mut missing) = (BTreeSet::new(), Vec::new());
    let mut todo = vec![path.to_owned()];
    while let Some(path) = todo.pop() {
        let Some((needed, run_path)) = dynamic(root, &path) else { continue };
        for name in needed {
            if known.len() >= MOST_LIBRARIES || !known.insert(name.clone()) {
                continue;
            }
            let own = run_path.iter().map(|dir| expand(dir, &path));
            let mut places = own.chain(standard.iter().cloned()).map(|dir| dir.join(&name));
            let direct = name.contains('/').then(|| PathBuf::from(&name));
            match direct.or_else(|| places.find(|place| open(root, place).is_some())) {
                Some(found) => todo.push(found),
                None => missing.push(name),
            }
        }
    }
    missing
}

fn expand(dir: &str, of: &Path) -> PathBuf {
    let origin = of.parent().unwrap_or(Path::new("/")).to_string_lossy().into_owned();
    PathBuf::from(dir.replace("$ORIGIN", &origin).replace("${ORIGIN}", &origin))
}

fn open(root: BorrowedFd<'_>, path: &Path) -> Option<File> {
    let flags = OpenFlags::O_RDONLY | OpenFlags::O_NONBLOCK | OpenFlags::O_NOCTTY;
    let file = RootRef::from_fd(root).open_subpath(path, flags).ok()?;
    file.metadata().ok()?.is_file().then_some(file)
}

/// Debian's directory of libraries for the program's architecture, which need not be this machine's.
fn multiarch(root: BorrowedFd<'_>, path: &Path) -> String {
    let header = || {
        let mut start = Vec::new();
        open(root, path)?.take(64).read_to_end(&mut start).ok()?;
        Header::parse(&start)
    };
    let architecture = header().and_then(|header| Architecture::of_program(&header));
    architecture.map_or_else(|| format!("{}-linux-gnu", std::env::consts::ARCH), |one| one.libraries.to_owned())
}

/// DT_NEEDED and RUNPATH (or RPATH).
fn dynamic(root: BorrowedFd<'_>, path: &Path) -> Option<(Vec<String>, Vec<String>)> {
    let file = open(root, path)?;
    let cache = ReadCache::new(file);
    let class: u8 = *(&cache).read_at::<u8>(4).ok()?;
    if class == 2 {
        read::<elf::FileHeader64<Endianness>>(&cache)
    } else {
        read::<elf::FileHeader32<Endianness>>(&cache)
    }
}

fn read<H: FileHeader<Endian = Endianness>>(cache: &ReadCache<File>) -> Option<(Vec<String>, Vec<String>)> {
    let header = H::parse(cache).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, cache).ok()?;
    let table = segments.iter().find_map(|segment| segment.dynamic(endian, cache).ok().flatten())?;
    let tag = |wanted: elf::DynamicTag| {
        table.iter().find(|entry| entry.d_tag(endian) == wanted).map(|entry| entry.d_val(endian).into())
    };
    let strings = tag(elf::DT_STRTAB)?;
    // DT_STRTAB is an address; the segment that holds it says where it is in the file.
    let offset = segments.iter().find_map(|segment| {
        let (address, size): (u64, u64) = (segment.p_vaddr(endian).into(), segment.p_filesz(endian).into());
        let offset: u64 = segment.p_offset(endian).into();
        (address <= strings && strings - address < size).then(|| offset.checked_add(strings - address)).flatten()
    })?;
    let text = |at: u64| {
        let start = offset.checked_add(at)?;
        let bytes = cache.read_bytes_at_until(start..start.checked_add(LONGEST_STRING)?, 0).ok()?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    };
    let of = |wanted: elf::DynamicTag| {
        table.iter().filter(move |entry| entry.d_tag(endian) == wanted).map(|entry| entry.d_val(endian).into())
    };
    let needed = of(elf::DT_NEEDED).filter_map(text).take(MOST_LIBRARIES).collect();
    let paths = of(elf::DT_RUNPATH)
        .chain(of(elf::DT_RPATH))
        .filter_map(text)
        .flat_map(|list| list.split(':').map(str::to_owned).collect::<Vec<_>>());
    Some((needed, paths.collect()))
}

/// /etc/ld.so.conf and what it includes by the one pattern that distributions use.
fn configured(root: BorrowedFd<'_>) -> Vec<PathBuf> {
    let mut texts = vec![text(root, Path::new("/etc/ld.so.conf"))];
    let flags = OpenFlags::O_RDONLY | OpenFlags::O_DIRECTORY;
    if let Ok(directory) = RootRef::from_fd(root).open_subpath("/etc/ld.so.conf.d", flags) {
        let names = nix::dir::Dir::from_fd(directory.into()).into_iter().flatten().flatten();
        let names: Vec<_> = names.map(|entry| entry.file_name().to_string_lossy().into_owned()).take(64).collect();
        let files = names.iter().filter(|name| name.ends_with(".conf"));
        texts.extend(files.map(|name| text(root, &Path::new("/etc/ld.so.conf.d").join(name))));
    }
    let lines = texts.iter().flat_map(|text| text.lines().map(str::trim));
    lines.filter(|line| line.starts_with('/')).map(PathBuf::from).collect()
}

fn text(root: BorrowedFd<'_>, path: &Path) -> String {
    let mut text = Vec::new();
    if let Some(file) = open(root, path) {
        // What is cut off or unreadable only makes the search shorter.
        let _ = file.take(LONGEST_CONFIGURATION).read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}
