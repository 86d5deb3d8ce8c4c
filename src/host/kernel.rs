//! What does not change while a kernel runs: its version, as uname(2) says it, the id of its boot, its security modules.
//!
//! Owns the reading of `6.1.0-18-amd64` as 6.1. It decides nothing by it: whether the kernel can do something is found
//! out by trying, because distributions carry features back. The surprise: only documents that name a version
//! themselves, such as a seccomp profile's minKernel, are answered from here.

use std::sync::OnceLock;

/// Version and patch level; (0, 0) where the release is not of that form.
pub fn version() -> (u32, u32) {
    nix::sys::utsname::uname().map_or((0, 0), |name| parse(&name.release().to_string_lossy()))
}

fn parse(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(version)), Some(Ok(patch_level))) => (version, patch_level),
        _ => (0, 0),
    }
}

/// As whom the kernel shows an owner that is not mapped (user_namespaces(7); /proc/sys/kernel/overflowuid, which nobody changes).
pub const OVERFLOW_ID: u32 = 65534;

/// The id of this boot; read once.
pub fn boot_id() -> Option<String> {
    static ID: OnceLock<Option<String>> = OnceLock::new();
    let read = || Some(std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim_end().to_owned());
    ID.get_or_init(read).clone()
}

/// Whether AppArmor confines; to be asked while /sys is the host's.
pub fn has_apparmor() -> bool {
    std::fs::read("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with(b"Y"))
}

/// Whether SELinux labels; to be asked while /sys is the host's.
pub fn has_selinux() -> bool {
    std::path::Path::new("/sys/fs/selinux/enforce").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_two_numbers_count() {
        for (release, expected) in [
            ("6.18.44-fc-v669", (6, 18)),
            ("6.1.0-18-amd64", (6, 1)),
            ("5.15-rc3", (5, 15)),
            ("6", (0, 0)),
            ("linux", (0, 0)),
            ("99999999999.1", (0, 0)),
        ] {
            assert_eq!(parse(release), expected, "{release}");
        }
        assert!(version() > (3, 0));
    }
}
