//! Compiled filters on disk, one a file.
//!
//! Owns the files' names and form: a magic word, a checksum, the flags and the program, all in words of 8 bytes, the
//! size of an instruction. The surprise: nothing is synced to disk and no error of the disk is reported; what is read
//! is checked, and made again when it is not whole.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::sys::seccomp::Filter;

/// Changes with the form of the file.
const MAGIC: u64 = u64::from_le_bytes(*b"rl-bpf 1");

/// Magic, checksum, flags.
const HEADER: usize = 3;

/// The default profile depends on nothing but these sources and what is in the key, so it need not be built to be
/// found.
const SOURCES: u64 = {
    let mut sum = 0;
    sum = bytes(sum, include_bytes!("../../spec/capabilities.rs"));
    sum = bytes(sum, include_bytes!("../../spec/seccomp.rs"));
    sum = bytes(sum, include_bytes!("../../spec/seccomp/table.rs"));
    bytes(sum, include_bytes!("../seccomp.rs"))
};

/// The file of the default profile for these capabilities, by this libseccomp.
pub fn default_key(caps: u64, (major, minor, micro): (u32, u32, u32)) -> String {
    format!("default-{}-{caps:x}-{SOURCES:016x}-{major}.{minor}.{micro}", std::env::consts::ARCH)
}

/// The file of any other profile: its whole content counts.
pub fn content_key(profile: &[u8], (major, minor, micro): (u32, u32, u32)) -> String {
    let digest = Sha256::digest(profile);
    let mut key = String::from("profile-");
    for byte in digest.iter().take(16) {
        key.push_str(&format!("{byte:02x}"));
    }
    format!("{key}-{}-{SOURCES:016x}-{major}.{minor}.{micro}", std::env::consts::ARCH)
}

/// Reads the filter of `path`, or makes it and keeps it there.
pub fn or_make(path: &Path, make: impl FnOnce() -> Result<Filter>) -> Result<Filter> {
    if let Some(filter) = fs::read(path).ok().and_then(|file| decode(&file)) {
        return Ok(filter);
    }
    let filter = make()?;
    // A full or read-only disk must not keep a container from starting: the next run compiles again.
    let _ = store(path, &filter);
    Ok(filter)
}

/// Written beside and renamed, so that another run reads the old file, none, or the whole new one.
fn store(path: &Path, filter: &Filter) -> std::io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let random = getrandom::u64().map_err(std::io::Error::other)?;
    let staged = directory.join(format!(".new-{random:016x}"));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&staged)
        .and_then(|mut file| file.write_all(&encode(filter)))
        .and_then(|()| fs::rename(&staged, path));
    if written.is_err() {
        let _ = fs::remove_file(&staged);
    }
    written
}

fn encode(filter: &Filter) -> Vec<u8> {
    let flags = u64::from(filter.flags);
    let sum = checksum(flags, &filter.program);
    let mut file: Vec<u8> = [MAGIC, sum, flags].iter().flat_map(|word| word.to_le_bytes()).collect();
    file.extend_from_slice(&filter.program);
    file
}

fn decode(file: &[u8]) -> Option<Filter> {
    let (words, rest) = file.as_chunks::<8>();
    let [magic, sum, flags, program @ ..] = words else { return None };
    let flags = u64::from_le_bytes(*flags);
    let whole = rest.is_empty()
        && !program.is_empty()
        && u64::from_le_bytes(*magic) == MAGIC
        && u64::from_le_bytes(*sum) == checksum(flags, program.as_flattened());
    let program = file.get(HEADER * 8..)?;
    whole.then(|| Some(Filter { program: program.to_vec(), flags: u32::try_from(flags).ok()? }))?
}

/// Against a torn or rotten file, not against an enemy: who can write here is the user that the container belongs to.
fn checksum(flags: u64, program: &[u8]) -> u64 {
    let (words, _) = program.as_chunks::<8>();
    let start = step(program.len() as u64, flags);
    words.iter().fold(start, |sum, word| step(sum, u64::from_le_bytes(*word)))
}

/// FNV-1a's step, on words; the rotation lets high bits reach low ones.
const fn step(sum: u64, word: u64) -> u64 {
    (sum ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29)
}

const fn bytes(mut sum: u64, text: &[u8]) -> u64 {
    let mut at = 0;
    while at < text.len() {
        sum = step(sum, text[at] as u64);
        at += 1;
    }
    sum
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::error::{Error, catalog};

    fn some_filter() -> Filter {
        Filter { program: (0..64).collect(), flags: 2 }
    }

    #[test]
    fn what_was_stored_is_read_back() {
        let file = encode(&some_filter());
        assert_eq!(decode(&file), Some(some_filter()));
    }

    #[test]
    fn every_truncation_and_every_flipped_bit_is_noticed() {
        let file = encode(&some_filter());
        for length in 0..file.len() {
            assert_eq!(decode(&file[..length]), None, "{length} bytes");
        }
        for bit in 0..file.len() * 8 {
            let mut rotten = file.clone();
            rotten[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&rotten), None, "bit {bit}");
        }
    }

    #[test]
    fn a_filter_is_made_once_and_again_when_its_file_is_torn() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("seccomp/key");
        let made = Cell::new(0);
        let get = || {
            or_make(&path, || {
                made.set(made.get() + 1);
                Ok(some_filter())
            })
            .expect("made")
        };
        assert_eq!(get(), some_filter());
        assert_eq!(get(), some_filter());
        assert_eq!(made.get(), 1);
        let whole = fs::read(&path).expect("the file");
        fs::write(&path, &whole[..40]).expect("torn");
        assert_eq!(get(), some_filter());
        assert_eq!(made.get(), 2);
        let names: Vec<_> = fs::read_dir(directory.path().join("seccomp")).expect("the cache").collect();
        assert_eq!(names.len(), 1, "nothing staged is left: {names:?}");
    }

    #[test]
    fn a_cache_that_cannot_be_written_keeps_nothing_from_starting() {
        let path = Path::new("/proc/no/such/directory/key");
        assert_eq!(or_make(path, || Ok(some_filter())).expect("made"), some_filter());
        let failed = or_make(path, || Err(Error::new(&catalog::security::SECCOMP_COMPILE, "compile")));
        assert_eq!(failed.expect_err("passed on").entry().id, 603);
    }

    #[test]
    fn keys_differ_by_capabilities_library_and_content() {
        let keys = [
            default_key(0, (2, 5, 4)),
            default_key(1, (2, 5, 4)),
            default_key(0, (2, 6, 0)),
            content_key(b"a", (2, 5, 4)),
            content_key(b"b", (2, 5, 4)),
        ];
        for (at, key) in keys.iter().enumerate() {
            assert!(!keys[..at].contains(key), "{key}");
        }
    }
}
