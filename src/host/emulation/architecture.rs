//! The architectures whose programs qemu's user mode runs, and how the kernel tells them by an ELF header.
//!
//! Pure. The numbers are the ELF specification's and its processor supplements'; from them the magic and the mask of a binfmt_misc
//! handler are built. The surprise: the operating system's byte and the ABI's version behind it are left free, because they
//! say nothing about the processor (programs of MIPS and those with STT_GNU_IFUNC symbols have others than 0).

use crate::host::elf::{self, Header};

/// e_ident, e_type and e_machine (elf(5)): as much of a file as a handler compares.
const COMPARED: usize = 20;
const EI_OSABI: usize = 7;
const EI_ABIVERSION: usize = 8;
const E_TYPE: usize = 16;
const E_MACHINE: usize = 18;

/// One architecture.
#[derive(Debug, PartialEq, Eq)]
pub struct Architecture {
    /// GOARCH, as images have it.
    pub name: &'static str,
    /// qemu's name, which is mostly the kernel's.
    pub qemu: &'static str,
    /// The directory of its libraries below /lib and /usr/lib, as Debian names it.
    pub libraries: &'static str,
    machine: u16,
    wide: bool,
    big_endian: bool,
}

const fn little(
    name: &'static str,
    qemu: &'static str,
    libraries: &'static str,
    machine: u16,
    wide: bool,
) -> Architecture {
    Architecture { name, qemu, libraries, machine, wide, big_endian: false }
}

/// All of them.
pub const ALL: [Architecture; 9] = [
    little("amd64", "x86_64", "x86_64-linux-gnu", 62, true),
    little("arm64", "aarch64", "aarch64-linux-gnu", 183, true),
    little("arm", "arm", "arm-linux-gnueabihf", 40, false),
    little("386", "i386", "i386-linux-gnu", 3, false),
    little("riscv64", "riscv64", "riscv64-linux-gnu", 243, true),
    little("ppc64le", "ppc64le", "powerpc64le-linux-gnu", 21, true),
    Architecture { big_endian: true, ..little("s390x", "s390x", "s390x-linux-gnu", 22, true) },
    little("mips64le", "mips64el", "mips64el-linux-gnuabi64", 8, true),
    little("loong64", "loongarch64", "loongarch64-linux-gnu", 258, true),
];

impl Architecture {
    /// By GOARCH, or by qemu's name.
    pub fn of(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|one| one.name == name || one.qemu == name)
    }

    /// The one that a program was built for.
    pub fn of_program(header: &Header) -> Option<&'static Self> {
        let key = (header.machine, header.wide, !header.little);
        ALL.iter().find(|one| (one.machine, one.wide, one.big_endian) == key)
    }

    /// The name of the handler, the same as everybody's.
    pub fn handler(&self) -> String {
        format!("qemu-{}", self.qemu)
    }

    /// The first bytes of its programs.
    pub fn magic(&self) -> [u8; COMPARED] {
        let mut bytes = [0; COMPARED];
        bytes[..4].copy_from_slice(b"\x7fELF");
        bytes[4] = if self.wide { 2 } else { 1 };
        bytes[5] = if self.big_endian { 2 } else { 1 };
        bytes[6] = 1;
        // ET_EXEC; the mask lets ET_DYN (3), position-independent programs, pass too.
        bytes[E_TYPE..E_MACHINE].copy_from_slice(&self.half(2));
        bytes[E_MACHINE..].copy_from_slice(&self.half(self.machine));
        bytes
    }

    /// Which bits of them count.
    pub fn mask(&self) -> [u8; COMPARED] {
        let mut bytes = [0xff; COMPARED];
        bytes[EI_OSABI] = 0;
        bytes[EI_ABIVERSION] = 0;
        bytes[E_TYPE..E_MACHINE].copy_from_slice(&self.half(0xfffe));
        bytes
    }

    fn half(&self, number: u16) -> [u8; 2] {
        if self.big_endian { number.to_be_bytes() } else { number.to_le_bytes() }
    }

    /// Whether this machine runs its programs by itself.
    pub fn is_native(&self) -> bool {
        let own = own_name();
        self.name == own || matches!((own, self.name), ("amd64", "386") | ("arm64", "arm")) && elf::runs_32_bits()
    }
}

/// GOARCH of this machine.
pub fn own_name() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        "mips64" if cfg!(target_endian = "little") => "mips64le",
        "loongarch64" => "loong64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The same as qemu's own table (scripts/qemu-binfmt-conf.sh), but for the two bytes that are free.
    #[test]
    fn the_magic_is_what_everybody_registers() {
        for (name, magic) in [
            ("amd64", "7f454c4602010100000000000000000002003e00"),
            ("arm64", "7f454c460201010000000000000000000200b700"),
            ("arm", "7f454c4601010100000000000000000002002800"),
            ("386", "7f454c4601010100000000000000000002000300"),
            ("riscv64", "7f454c460201010000000000000000000200f300"),
            ("ppc64le", "7f454c4602010100000000000000000002001500"),
            ("s390x", "7f454c4602020100000000000000000000020016"),
            ("mips64le", "7f454c4602010100000000000000000002000800"),
            ("loong64", "7f454c4602010100000000000000000002000201"),
        ] {
            assert_eq!(hex(&Architecture::of(name).expect(name).magic()), magic, "{name}");
        }
        assert_eq!(hex(&Architecture::of("arm64").expect("known").mask()), "ffffffffffffff0000fffffffffffffffeffffff");
        assert_eq!(hex(&Architecture::of("s390x").expect("known").mask()), "ffffffffffffff0000fffffffffffffffffeffff");
    }

    #[test]
    fn a_header_is_of_the_architecture_whose_magic_it_has() {
        for one in &ALL {
            let mut file = vec![0; 64];
            file[..COMPARED].copy_from_slice(&one.magic());
            let header = Header::parse(&file).expect("a header");
            assert_eq!(Architecture::of_program(&header), Some(one));
        }
    }

    #[test]
    fn the_machine_that_this_runs_on_is_native() {
        assert!(ALL.iter().any(Architecture::is_native));
        assert!(!ALL.iter().all(Architecture::is_native));
    }
}
