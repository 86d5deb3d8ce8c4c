//! The handlers of binfmt_misc that this process' user namespace has or inherits: in most cases those that an administrator has
//! registered on the machine.
//!
//! Owns reading them (Documentation/admin-guide/binfmt-misc.rst). Nothing is ever written there. The surprise: without the flag `F`
//! the kernel looks for the interpreter inside the container, where it usually is not.

use std::path::{Path, PathBuf};

use super::architecture::Architecture;

/// Where the machine's table is mounted.
const PLACE: &str = "/proc/sys/fs/binfmt_misc";

/// One handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Its name, a file.
    pub name: String,
    /// The interpreter's path at the time of the registration.
    pub interpreter: PathBuf,
    /// `F`: the interpreter was opened then, and works whatever a container's files are.
    pub fixed: bool,
}

/// The enabled handler that would be asked to run programs of that architecture.
pub fn registered(architecture: &Architecture) -> Option<Registered> {
    let place = Path::new(PLACE);
    // `disabled` switches the whole table off.
    if std::fs::read_to_string(place.join("status")).is_ok_and(|status| status.trim_end() == "disabled") {
        return None;
    }
    let names = std::fs::read_dir(place).ok()?.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = names.filter(|name| name != "register" && name != "status").collect();
    names.sort();
    names.iter().find_map(|name| {
        let text = std::fs::read_to_string(place.join(name)).ok()?;
        understand(name, &text, architecture)
    })
}

/// None: disabled, or for other programs.
fn understand(name: &str, text: &str, architecture: &Architecture) -> Option<Registered> {
    let mut lines = text.lines();
    if lines.next() != Some("enabled") {
        return None;
    }
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    let offset: usize = value("offset ")?.parse().ok()?;
    let magic = bytes(value("magic ")?)?;
    let mask = value("mask ").map_or_else(|| Some(vec![0xff; magic.len()]), bytes)?;
    let header = architecture.magic();
    let fits = |(at, (wanted, mask)): (usize, (&u8, &u8))| {
        header.get(offset + at).is_some_and(|byte| (byte ^ wanted) & mask == 0)
    };
    if magic.is_empty() || !magic.iter().zip(&mask).enumerate().all(fits) {
        return None;
    }
    let flags = value("flags:").unwrap_or_default();
    Some(Registered { name: name.to_owned(), interpreter: value("interpreter ")?.into(), fixed: flags.contains('F') })
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARM64: &str = "enabled\ninterpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P\nflags: POF\noffset 0\n\
                         magic 7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff\n";

    #[test]
    fn a_handler_is_for_the_programs_that_it_fits() {
        let of = |text: &str, name: &str| understand("x", text, Architecture::of(name).expect(name));
        let found = of(ARM64, "arm64").expect("a handler");
        assert!(found.fixed);
        assert_eq!(found.interpreter, Path::new("/usr/libexec/qemu-binfmt/aarch64-binfmt-P"));
        assert_eq!(of(ARM64, "riscv64"), None);
        assert_eq!(of(&ARM64.replace("enabled", "disabled"), "arm64"), None);
        assert!(!of(&ARM64.replace("POF", "OC"), "arm64").expect("a handler").fixed);
        assert_eq!(of("enabled\ninterpreter /usr/bin/jexec\nflags: \nextension .jar\n", "arm64"), None);
        assert_eq!(of(&ARM64.replace("7f45", "é"), "arm64"), None);
    }
}
