//! `--device`: device nodes of the host, bound into the container.
//!
//! Nobody can make a device node in a user namespace, so the host's own are bound and its permissions decide. The surprise: a
//! directory stands for every device in it, as with docker (`--device /dev/dri`), so one word can become many binds.

use std::fs::FileType;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::volume::target;
use super::wrong;
use crate::error::{Context, Error, Result, catalog::rootfs};
use crate::spec::DeviceBind;

/// All devices, in order.
pub(super) fn devices(words: &[String]) -> Result<Vec<DeviceBind>> {
    let mut all = Vec::new();
    for word in words {
        all.extend(device(word)?);
    }
    Ok(all)
}

/// `SRC[:DST[:rwm]]`; `m` (mknod) has no meaning where no node can be made.
fn device(word: &str) -> Result<Vec<DeviceBind>> {
    let parts: Vec<_> = word.split(':').collect();
    let access = |text: &str| !text.is_empty() && text.bytes().all(|byte| b"rwm".contains(&byte));
    let (from, to, rights) = match parts.as_slice() {
        [from] => (*from, *from, "rwm"),
        [from, rights] if access(rights) => (*from, *from, *rights),
        [from, to] => (*from, *to, "rwm"),
        [from, to, rights] if access(rights) => (*from, *to, *rights),
        _ => return Err(wrong("device", word, "SOURCE[:TARGET[:rwm]]")),
    };
    if !from.starts_with(['/', '.']) {
        return Err(wrong("device", word, "the path of a device, such as /dev/fuse"));
    }
    let doing = || format!("use the device {from:?}");
    let source = std::fs::canonicalize(from).context(&rootfs::VOLUME, doing)?;
    let to = target("device", to)?;
    let found = nodes(&source).context(&rootfs::VOLUME, doing)?;
    if found.is_empty() {
        return Err(Error::new(&rootfs::VOLUME, doing())
            .because("it is no device, and no directory with a device in it")
            .fix("For other files and directories, use -v SOURCE:TARGET."));
    }
    let bound = |source: PathBuf, below: PathBuf| {
        let target = if below.as_os_str().is_empty() { to.clone() } else { to.join(below) };
        DeviceBind { source, target, read_only: !rights.contains('w') }
    };
    Ok(found.into_iter().map(|(source, below)| bound(source, below)).collect())
}

/// What /dev has that a container has of its own, and where others' closed directories may be; runc passes them over, too.
const OTHERS: [&str; 4] = ["fd", "mqueue", "pts", "shm"];

/// The device nodes at and below a path, each with its path relative to it, in the order of their names. Links are passed over:
/// /dev has many, and their targets are found where they are.
fn nodes(path: &Path) -> std::io::Result<Vec<(PathBuf, PathBuf)>> {
    let is_device = |kind: FileType| kind.is_char_device() || kind.is_block_device();
    if is_device(std::fs::metadata(path)?.file_type()) {
        return Ok(vec![(path.to_owned(), PathBuf::new())]);
    }
    let (mut found, mut open) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(below) = open.pop() {
        let directory = if below.as_os_str().is_empty() { path.to_owned() } else { path.join(&below) };
        if !directory.is_dir() {
            continue;
        }
        for entry in std::fs::read_dir(&directory)? {
            let entry = entry?;
            let (kind, below) = (entry.file_type()?, below.join(entry.file_name()));
            if is_device(kind) {
                found.push((entry.path(), below));
            } else if kind.is_dir() && !OTHERS.iter().any(|name| entry.file_name() == *name) {
                open.push(below);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(word: &str) -> DeviceBind {
        let mut all = device(word).expect(word);
        assert_eq!(all.len(), 1, "{word}");
        all.remove(0)
    }

    #[test]
    fn a_device_has_a_target_and_rights() {
        let bind =
            |target: &str, read_only| DeviceBind { source: "/dev/null".into(), target: target.into(), read_only };
        assert_eq!(one("/dev/null"), bind("/dev/null", false));
        assert_eq!(one("/dev/null:r"), bind("/dev/null", true));
        assert_eq!(one("/dev/null:/dev/x"), bind("/dev/x", false));
        assert_eq!(one("/dev/null:/dev/x:rm"), bind("/dev/x", true));
        assert_eq!(one("/dev/null:/dev/x:rwm"), bind("/dev/x", false));
    }

    #[test]
    fn a_link_to_a_device_keeps_its_name_inside() {
        let dir = tempfile::tempdir().expect("a directory");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/dev/null", &link).expect("a link");
        let bind = one(link.to_str().expect("UTF-8"));
        assert_eq!((bind.source, bind.target), (PathBuf::from("/dev/null"), link));
    }

    #[test]
    fn a_directory_is_every_device_in_it() {
        let all = device("/dev:/d").expect("devices");
        assert!(all.len() >= 2 && all.is_sorted_by_key(|bind| &bind.source));
        let null = all.iter().find(|bind| bind.source == Path::new("/dev/null")).expect("/dev/null");
        assert_eq!(null.target, Path::new("/d/null"));
        assert!(!all.iter().any(|bind| bind.source.starts_with("/dev/pts") || bind.source.starts_with("/dev/shm")));
    }

    #[test]
    fn what_is_no_device_is_refused() {
        let empty = tempfile::tempdir().expect("a directory");
        let empty = empty.path().to_str().expect("UTF-8");
        for bad in ["", ":", "null", "vendor.com/gpu=all", "/dev/nowhere", "/etc/passwd", empty, "/dev/null:x"] {
            assert!(device(bad).is_err(), "{bad:?}");
        }
        for bad in
            ["/dev/null:/dev/x:y", "/dev/null:/dev/x:", "/dev/null:/a:r:r", "/dev/null:/proc/x", "/dev/null:/../x"]
        {
            assert!(device(bad).is_err(), "{bad:?}");
        }
    }
}
