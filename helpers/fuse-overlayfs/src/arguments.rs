//! The mount as data, and the program's command line for it.
//!
//! Owns [`Mount`] and the options. It starts nothing. The surprise: no path with a special character is ever escaped,
//! because the versions do not agree on how. Up to 1.14 libfuse takes one backslash away and a colon can't be written
//! at all; in 1.15 and 1.16 there are two levels for layers, and the work directory loses every backslash; 2.0 takes
//! `\:` in a layer and nothing else. So such a directory is opened and handed over as `/proc/self/fd/N`, which all of
//! them resolve.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};

use crate::{Error, Program, Version};

/// From this version on, an upper directory may have a colon in its path.
const COLONS: Version = Version { major: 1, minor: 15 };

/// An overlay. All paths are absolute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mount {
    /// Layers, topmost first.
    pub lower: Vec<PathBuf>,
    /// Where changes go; without it the mount is read-only.
    pub upper: Option<PathBuf>,
    /// An empty directory on the file system of `upper`.
    pub work: Option<PathBuf>,
    /// Where it is mounted: an existing directory.
    pub target: PathBuf,
    /// Owners shown otherwise than they are stored; empty: as they are. An id in no entry is shown as the overflow id.
    pub uid_mapping: Vec<Shift>,
    /// The same for groups.
    pub gid_mapping: Vec<Shift>,
    /// Nothing is synced to disk: for an upper directory that is thrown away.
    pub volatile: bool,
}

/// `count` ids from `stored` on are shown as those from `shown` on. Both are ids of the user namespace that the program
/// runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shift {
    /// The first id on disk.
    pub stored: u32,
    /// The first id in the mount.
    pub shown: u32,
    /// How many.
    pub count: u32,
}

/// The arguments, and the descriptors that they speak of.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) words: Vec<OsString>,
    /// Inherited by every process that is started while they are open.
    _open: Vec<OwnedFd>,
}

impl Mount {
    /// `-f -o lowerdir=...,upperdir=...,workdir=... TARGET`
    pub(crate) fn arguments(&self, program: &Program) -> Result<Arguments, Error> {
        if self.lower.is_empty() {
            return Err(Error::Layers("an overlay needs at least one layer"));
        }
        if self.upper.is_some() != self.work.is_some() {
            return Err(Error::Layers("an overlay has an upper and a work directory or neither"));
        }
        if let Some(upper) = &self.upper {
            refuse_colon(upper, program)?;
        }
        let mut open = Vec::new();
        let mut options = OsString::from("lowerdir=");
        for (index, layer) in self.lower.iter().enumerate() {
            options.push(if index == 0 { "" } else { ":" });
            options.push(directory(layer, &mut open)?);
        }
        for (name, path) in [(",upperdir=", &self.upper), (",workdir=", &self.work)] {
            if let Some(path) = path {
                options.push(name);
                options.push(directory(path, &mut open)?);
            }
        }
        for (name, shifts) in [(",uidmapping=", &self.uid_mapping), (",gidmapping=", &self.gid_mapping)] {
            if !shifts.is_empty() {
                options.push(name);
                options.push(mapping(shifts));
            }
        }
        if self.volatile {
            options.push(",volatile");
        }
        let words = vec!["-f".into(), "-o".into(), options, self.target.clone().into_os_string()];
        Ok(Arguments { words, _open: open })
    }
}

/// Up to 1.14 the program resolves the upper directory and then splits the result at colons: it would write somewhere
/// else.
fn refuse_colon(upper: &Path, program: &Program) -> Result<(), Error> {
    let path = upper.canonicalize().map_err(|source| Error::Directory { path: upper.to_owned(), source })?;
    if !path.as_os_str().as_bytes().contains(&b':') {
        return Ok(());
    }
    let version = program.version()?;
    if version >= COLONS { Ok(()) } else { Err(Error::Colon { path, version }) }
}

/// The text that stands for a directory in an option: itself, or the descriptor of it that is added to `open`.
fn directory(path: &Path, open: &mut Vec<OwnedFd>) -> Result<OsString, Error> {
    if is_plain(path.as_os_str()) {
        return Ok(path.into());
    }
    let failed = |source| Error::Directory { path: path.to_owned(), source };
    let flags = (OFlag::O_PATH | OFlag::O_DIRECTORY).bits();
    let file = File::options().read(true).custom_flags(flags).open(path).map_err(failed)?;
    // The program must inherit it. The caller has one thread, so nothing else is started in between.
    fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty())).map_err(|errno| failed(errno.into()))?;
    let text = format!("/proc/self/fd/{}", file.as_raw_fd());
    open.push(file.into());
    Ok(text.into())
}

/// Whether every version takes the path as it is: `:` separates layers, `,` options, `\` and `"` quote, `//` at the
/// start names a plug-in, and 2.0 ends where an argument is not UTF-8.
fn is_plain(path: &OsStr) -> bool {
    let special = |text: &str| text.contains([':', ',', '\\', '"']) || text.starts_with("//");
    path.to_str().is_some_and(|text| text.starts_with('/') && !special(text))
}

/// `STORED:SHOWN:COUNT`, all of them with colons between.
fn mapping(shifts: &[Shift]) -> String {
    let triples: Vec<String> =
        shifts.iter().map(|shift| format!("{}:{}:{}", shift.stored, shift.shown, shift.count)).collect();
    triples.join(":")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_program() -> Program {
        Program::find(Some(Path::new("/bin/sh")), &[]).expect("a program")
    }

    #[test]
    fn ordinary_paths_are_options_as_they_are() {
        let mount = Mount {
            lower: vec!["/l1".into(), "/l 2".into()],
            upper: Some("/".into()),
            work: Some("/w".into()),
            target: "/t".into(),
            uid_mapping: vec![Shift { stored: 0, shown: 1000, count: 1 }, Shift { stored: 1, shown: 0, count: 1000 }],
            gid_mapping: vec![Shift { stored: 0, shown: 5, count: 6 }],
            volatile: true,
        };
        let arguments = mount.arguments(&any_program()).expect("arguments");
        let options = "lowerdir=/l1:/l 2,upperdir=/,workdir=/w,uidmapping=0:1000:1:1:0:1000,gidmapping=0:5:6,volatile";
        assert_eq!(arguments.words, ["-f", "-o", options, "/t"]);
    }

    #[test]
    fn paths_that_options_cannot_carry_become_descriptors() {
        let dir = tempfile::tempdir().expect("a directory");
        for name in [r"a:b", r"a,b", r"a\b", r#"a"b"#, r"a\:b,c"] {
            let path = dir.path().join(name);
            std::fs::create_dir(&path).expect("a directory");
            let mut open = Vec::new();
            let text = directory(&path, &mut open).expect("a descriptor");
            assert_eq!(open.len(), 1, "{name}");
            assert_eq!(Path::new(&text).canonicalize().expect("the link"), path.canonicalize().expect("the path"));
        }
    }

    #[test]
    fn a_double_slash_is_no_plug_in() {
        let mut open = Vec::new();
        assert_ne!(directory(Path::new("//usr/bin"), &mut open).expect("a descriptor"), "//usr/bin");
    }

    #[test]
    fn half_a_writable_overlay_is_refused() {
        let half = Mount { lower: vec!["/l".into()], upper: Some("/".into()), ..Mount::default() };
        assert!(matches!(half.arguments(&any_program()), Err(Error::Layers(_))));
        assert!(matches!(Mount::default().arguments(&any_program()), Err(Error::Layers(_))));
    }

    #[test]
    fn a_special_path_that_is_missing_is_named() {
        let mount = Mount { lower: vec!["/no:such".into()], ..Mount::default() };
        let message = mount.arguments(&any_program()).expect_err("missing").to_string();
        assert_eq!(message, "cannot open the directory /no:such");
    }

    proptest! {
        #[test]
        fn no_path_can_add_an_option_or_a_layer(name in r#"[a-z:,\\" =.]{1,20}"#) {
            let path = PathBuf::from(format!("/{name}"));
            let mut open = Vec::new();
            match directory(&path, &mut open) {
                Ok(text) => prop_assert!(!text.as_bytes().iter().any(|byte| b":,\\\"".contains(byte))),
                // Not there, so it was not taken as it is.
                Err(_) => prop_assert!(!is_plain(path.as_os_str())),
            }
        }
    }
}
