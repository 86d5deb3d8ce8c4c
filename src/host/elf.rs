//! The few fields of an ELF file that tell for which machine it is and whether it can be executed here (elf(5)).
//!
//! Pure but for reading the interpreter's name. Every offset comes from the file, so every one is checked.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Linux's PATH_MAX: the kernel refuses a longer interpreter.
const LONGEST_INTERPRETER: u64 = 4096;
/// The kernel reads at most 64 KiB of program headers.
const MOST_HEADERS: u64 = 65536 / 56;

const PT_INTERP: u32 = 3;

/// Class, byte order, machine and where the program headers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// 64 bits.
    pub wide: bool,
    /// Little-endian.
    pub little: bool,
    /// e_machine.
    pub machine: u16,
    table: u64,
    entry: u64,
    count: u64,
}

impl Header {
    /// From the first bytes of a file; `None` when they are too few.
    pub fn parse(start: &[u8]) -> Option<Self> {
        let (class, order) = (*start.get(4)?, *start.get(5)?);
        let mut header = Self { wide: class == 2, little: order != 2, machine: 0, table: 0, entry: 0, count: 0 };
        header.machine = u16::try_from(header.number(start.get(18..20)?)).ok()?;
        let (table, sizes) = if header.wide {
            (start.get(32..40)?, start.get(54..58)?)
        } else {
            (start.get(28..32)?, start.get(42..46)?)
        };
        header.table = header.number(table);
        header.entry = header.number(&sizes[..2]);
        header.count = header.number(&sizes[2..]);
        Some(header)
    }

    fn number(&self, bytes: &[u8]) -> u64 {
        let add = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        if self.little { bytes.iter().rev().fold(0, add) } else { bytes.iter().fold(0, add) }
    }

    /// The common name of the machine.
    pub fn architecture(&self) -> String {
        let name = match (self.machine, self.wide, self.little) {
            (3, ..) => "i386 (x86)",
            (8, true, true) => "mips64le",
            (8, true, false) => "mips64",
            (8, false, true) => "mipsle",
            (8, false, false) => "mips",
            (20, ..) => "ppc",
            (21, _, true) => "ppc64le",
            (21, _, false) => "ppc64",
            (22, true, _) => "s390x",
            (22, false, _) => "s390",
            (40, ..) => "arm (armv7)",
            (62, true, _) => "amd64 (x86_64)",
            (62, false, _) => "x32",
            (183, ..) => "arm64 (aarch64)",
            (243, true, _) => "riscv64",
            (243, false, _) => "riscv32",
            (258, ..) => "loongarch64",
            (machine, ..) => return format!("an unknown machine (ELF number {machine})"),
        };
        name.to_owned()
    }

    /// PT_INTERP; `None`: a static program, or a table that makes no sense.
    pub fn interpreter(&self, file: &File) -> Option<String> {
        for index in 0..self.count.min(MOST_HEADERS) {
            let mut entry = [0_u8; 56];
            let length = if self.wide { 56 } else { 32 };
            let at = self.table.checked_add(index.checked_mul(self.entry)?)?;
            file.read_exact_at(&mut entry[..length], at).ok()?;
            if self.number(&entry[..4]) != u64::from(PT_INTERP) {
                continue;
            }
            let (offset, size) =
                if self.wide { (&entry[8..16], &entry[32..40]) } else { (&entry[4..8], &entry[16..20]) };
            let size = self.number(size).min(LONGEST_INTERPRETER);
            let mut name = vec![0; usize::try_from(size).ok()?];
            file.read_exact_at(&mut name, self.number(offset)).ok()?;
            let name = name.split(|byte| *byte == 0).next()?;
            return Some(String::from_utf8_lossy(name).into_owned());
        }
        None
    }
}

/// This machine, by the same names.
pub fn machine() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64 (x86_64)",
        "aarch64" => "arm64 (aarch64)",
        "x86" => "i386 (x86)",
        "arm" => "arm (armv7)",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

/// Whether the kernel runs such files by itself.
pub fn runs_here(header: &Header) -> bool {
    header.architecture() == machine()
        || matches!((std::env::consts::ARCH, header.machine), ("x86_64", 3) | ("aarch64", 40)) && runs_32_bits()
}

/// Whether a 64-bit kernel runs programs of 32 bits, too (CONFIG_COMPAT): it has these files then. The newer processors of arm64
/// have no such mode any more.
pub fn runs_32_bits() -> bool {
    let file = if std::env::consts::ARCH == "x86_64" { "/proc/sys/abi/vsyscall32" } else { "/proc/sys/abi/setend" };
    Path::new(file).exists()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut file = tempfile::tempfile().expect("a file");
            std::io::Write::write_all(&mut file, &bytes).expect("write");
            if let Some(header) = Header::parse(&bytes) {
                let _ = header.architecture();
                let _ = header.interpreter(&file);
            }
        }
    }

    #[test]
    fn this_very_program_is_known() {
        let file = File::open("/proc/self/exe").expect("open");
        let mut start = [0; 64];
        file.read_exact_at(&mut start, 0).expect("read");
        let header = Header::parse(&start).expect("a header");
        assert!(runs_here(&header));
        assert!(header.interpreter(&file).is_some_and(|name| name.contains("ld")));
    }
}
