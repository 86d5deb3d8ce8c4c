//! Which mount is on top of a directory.
//!
//! Owns reading /proc/self/mountinfo (proc_pid_mountinfo(5)). The surprise: a mount that is there already, even one of
//! fuse-overlayfs, must not be taken for the new one; the number of a mount tells them apart.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The number and the file system type of the topmost mount on exactly `target`, an absolute path without links.
pub(crate) fn on_top<'a>(text: &'a [u8], target: &Path) -> Option<(&'a [u8], &'a [u8])> {
    let mounts = text.split(|byte| *byte == b'\n').filter_map(fields);
    // Later lines lie on top of earlier ones.
    let mut here = mounts.filter(|(_, point, _)| unescaped(point) == target.as_os_str().as_bytes());
    here.next_back().map(|(id, _, kind)| (id, kind))
}

/// `36 35 98:0 /root /mount/point rw,noatime shared:1 - type source options`: number, mount point, type.
fn fields(line: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let mut words = line.split(|byte| *byte == b' ');
    let id = words.next()?;
    let point = words.nth(3)?;
    // Any number of optional fields, ended by a hyphen.
    words.by_ref().find(|word| word == b"-")?;
    Some((id, point, words.next()?))
}

/// Space, tab, newline and backslash are written as a backslash and three octal digits.
fn unescaped(point: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(point.len());
    let mut rest = point;
    while let [first, behind @ ..] = rest {
        let octal = behind.get(..3).filter(|_| *first == b'\\').and_then(|digits| OsStr::from_bytes(digits).to_str());
        let code = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.push(code.unwrap_or(*first));
        rest = if code.is_some() { &behind[3..] } else { behind };
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = br"22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
36 22 0:40 / /mnt/a\040b\134c rw - tmpfs none rw
37 36 0:41 / /mnt/a\040b\134c rw shared:2 master:3 - fuse.fuse-overlayfs fuse-overlayfs rw
38 22 0:42 / /mnt/a rw - tmpfs none rw
";

    #[test]
    fn the_topmost_mount_of_a_directory_is_found() {
        let (id, kind) = on_top(TEXT, Path::new(r"/mnt/a b\c")).expect("a mount");
        assert_eq!((id, kind), (&b"37"[..], &b"fuse.fuse-overlayfs"[..]));
        assert_eq!(on_top(TEXT, Path::new("/mnt/a")).expect("a mount").1, b"tmpfs");
    }

    #[test]
    fn a_directory_below_a_mount_is_none() {
        assert_eq!(on_top(TEXT, Path::new("/mnt")), None);
        assert_eq!(on_top(TEXT, Path::new("/mnt/a/b")), None);
    }

    #[test]
    fn a_backslash_without_digits_stays() {
        assert_eq!(unescaped(br"/a\x\04\999\"), br"/a\x\04\999\");
    }
}
