//! What runs programs of other architectures here: qemu's user mode, where one of its static programs is to be found.
//!
//! Owns the table of architectures, the search for an emulator, the examination of what was found, and the words of a registration
//! with binfmt_misc. It registers nothing: that is `runtime::binfmt`. The surprise: whether qemu understands the flag
//! `P` is asked of qemu itself, once for each file, and remembered; an older one would take argv[0] for the program.

mod architecture;
mod chosen;
mod examine;
mod registered;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use self::architecture::{ALL, Architecture, own_name};
pub use self::chosen::Emulators;
pub use self::registered::{Registered, registered};
use super::Dirs;
use crate::error::{Error, Result, catalog::emulation};

/// An emulator, ready to be registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Emulator {
    /// GOARCH of the programs that it runs.
    pub architecture: String,
    /// The static program.
    pub interpreter: PathBuf,
    /// As it says itself: `7.2.22`.
    pub version: String,
    /// It understands the flag `P`, so that programs see their real argv[0].
    pub keeps_argv0: bool,
}

impl Emulator {
    /// The line for `register`, with the interpreter by that path.
    ///
    /// `F`: opened now, so that nothing is needed in the container. `C`: a setuid program gets its owner's rights, not qemu's (which
    /// implies `O`: it is opened by the kernel, so need not be readable). `P`: argv[0] stays.
    pub fn registration(&self, interpreter: &Path) -> Option<String> {
        let architecture = Architecture::of(&self.architecture)?;
        let path = interpreter.to_str()?;
        // The first character of the line is what separates its fields.
        let separator = [':', ',', '|', ';', '#'].into_iter().find(|one| !path.contains(*one))?;
        let escaped = |bytes: &[u8]| bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
        let (magic, mask) = (escaped(&architecture.magic()), escaped(&architecture.mask()));
        let flags = if self.keeps_argv0 { "PCF" } else { "CF" };
        let fields = ["", &architecture.handler(), "M", "", &magic, &mask, path, flags];
        Some(fields.join(&separator.to_string()))
    }
}

/// The emulator for programs of that architecture. `chosen` is what the configuration says.
///
/// # Errors
/// `RL0530` where there is none, `RL0531` where what there is can't be used.
pub fn find(architecture: &Architecture, chosen: &Emulators, dirs: &Dirs) -> Result<Emulator> {
    if let Some(path) = chosen.get(architecture.name) {
        return examine::examine(architecture, path, dirs);
    }
    let places = places(architecture);
    let mut unusable = None;
    for path in places.iter().filter(|path| path.exists()) {
        match examine::examine(architecture, path, dirs) {
            Ok(emulator) => return Ok(emulator),
            // One that is no good (a distribution's dynamic build) may lie before one that is.
            Err(error) => unusable = unusable.or(Some(error)),
        }
    }
    Err(unusable.unwrap_or_else(|| missing(architecture)))
}

/// Where emulators are looked for: what install.sh has unpacked beside this `rl` or into this user's directories comes first.
fn places(architecture: &Architecture) -> Vec<PathBuf> {
    let mut directories = Vec::new();
    let beside = std::fs::read_link("/proc/self/exe").ok();
    directories.extend(beside.iter().filter_map(|exe| exe.parent()?.parent()).map(|prefix| prefix.join("lib/rl/bin")));
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    directories.extend(home.map(|home| home.join(".local/lib/rl/bin")));
    directories.extend(["/usr/local/bin", "/usr/bin"].map(PathBuf::from));
    let path = std::env::var_os("PATH").unwrap_or_default();
    directories.extend(std::env::split_paths(&path).filter(|directory| directory.is_absolute()));
    let handler = architecture.handler();
    let mut places = Vec::new();
    for place in directories.iter().flat_map(|one| [one.join(format!("{handler}-static")), one.join(&handler)]) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

fn missing(architecture: &Architecture) -> Error {
    let handler = architecture.handler();
    let what =
        format!("programs for {} need {handler}-static on this machine, which is {}", architecture.name, own_name());
    Error::new(&emulation::MISSING, what).because("it is neither in PATH nor where ./install.sh unpacks it").fix(
        format!(
            "{} Or name one in ~/.config/rl/config.toml: qemu = {{ {} = \"/path/to/{handler}-static\" }}",
            how_to_get_it(),
            architecture.name
        ),
    )
}

/// The command that gets qemu on this distribution, with and without root.
fn how_to_get_it() -> &'static str {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let ids = release.lines().filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")));
    let ids: String = ids.map(|line| format!("{} ", line.trim_matches('"'))).collect();
    let is = |names: &[&str]| ids.split_whitespace().any(|id| names.contains(&id));
    if is(&["debian", "ubuntu"]) {
        "Get it without root: ./install.sh; as root: apt-get install qemu-user-static."
    } else if is(&["fedora", "rhel", "centos"]) {
        "As root: dnf install qemu-user-static."
    } else if is(&["arch"]) {
        "As root: pacman -S qemu-user-static."
    } else {
        "Install the package qemu-user-static."
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emulator(keeps_argv0: bool) -> Emulator {
        Emulator {
            architecture: "arm64".into(),
            interpreter: "/usr/bin/qemu-aarch64-static".into(),
            version: "7.2".into(),
            keeps_argv0,
        }
    }

    #[test]
    fn a_registration_is_one_line_of_eight_fields() {
        let line = emulator(true).registration(Path::new("/usr/bin/qemu-aarch64-static")).expect("a line");
        let fields: Vec<_> = line.split(':').collect();
        assert_eq!(fields.len(), 8);
        assert_eq!((fields[1], fields[2], fields[3]), ("qemu-aarch64", "M", ""));
        assert!(fields[4].starts_with("\\x7f\\x45\\x4c\\x46\\x02"), "{line}");
        assert_eq!(&fields[6..], ["/usr/bin/qemu-aarch64-static", "PCF"]);
        assert!(emulator(false).registration(Path::new("/q")).expect("a line").ends_with(":/q:CF"));
    }

    #[test]
    fn a_path_with_colons_gets_another_separator() {
        let line = emulator(true).registration(Path::new("/a:b/q")).expect("a line");
        assert!(line.starts_with(",qemu-aarch64,M,,") && line.ends_with(",/a:b/q,PCF"), "{line}");
        assert_eq!(emulator(true).registration(Path::new("/:,|;#")), None);
    }

    #[test]
    fn a_missing_emulator_is_named_with_a_way_to_get_it() {
        let error = missing(Architecture::of("riscv64").expect("known"));
        assert!(error.summary().contains("qemu-riscv64-static"), "{}", error.summary());
        assert!(error.remedy().contains("qemu-user-static"), "{}", error.remedy());
        assert!(error.remedy().contains("qemu = { riscv64 ="), "{}", error.remedy());
    }
}
