//! `--security-opt`.
//!
//! Owns reading a seccomp profile's file; what is in it is `spec::seccomp`'s. The surprise: options that an unprivileged user
//! can't change at all (labels, AppArmor profiles) are accepted where they ask for what happens anyway, and refused where
//! passing over them would leave somebody less protected than he thinks.

use std::path::Path;

use super::volume::plain;
use super::wrong;
use crate::error::{Context, Error, Result, catalog::command_line};
use crate::host::kernel;
use crate::spec::{SeccompChoice, seccomp};

/// What the options of one command line come to.
#[derive(Debug, Default)]
pub(super) struct Security {
    pub(super) seccomp: SeccompChoice,
    pub(super) no_new_privileges: bool,
    pub(super) mask: Vec<String>,
    pub(super) unmask: Vec<String>,
}

/// All options in order; a later one wins.
pub(super) fn security(words: &[String]) -> Result<Security> {
    let mut security = Security::default();
    for word in words {
        // docker also takes `name:value`.
        let (key, value) = word.split_once(['=', ':']).unwrap_or((word, ""));
        match (key, value) {
            ("seccomp", "unconfined") => security.seccomp = SeccompChoice::Unconfined,
            ("seccomp", file) if !file.is_empty() => {
                security.seccomp = SeccompChoice::Profile(Box::new(profile(file)?));
            }
            ("no-new-privileges", "" | "true") => security.no_new_privileges = true,
            ("no-new-privileges", "false") => security.no_new_privileges = false,
            ("mask", list) => security.mask.extend(paths(word, list)?),
            ("unmask", all) if all.eq_ignore_ascii_case("all") => security.unmask.push("ALL".into()),
            // docker's word for the same.
            ("systempaths", "unconfined") => security.unmask.push("ALL".into()),
            ("unmask", list) => security.unmask.extend(paths(word, list)?),
            ("label", "disable") | ("apparmor", "unconfined") => {}
            ("label", _) if !has_selinux() => {}
            ("label" | "apparmor", _) => {
                return Err(Error::new(
                    &command_line::USAGE,
                    format!("--security-opt {word:?}: a container of rl's has the label and the profile of its caller"),
                )
                .fix("Leave it out, or say label=disable or apparmor=unconfined."));
            }
            _ => {
                let right = "seccomp=FILE|unconfined, no-new-privileges, mask=PATH[:PATH] or unmask=ALL|PATH[:PATH]";
                return Err(wrong("security-opt", word, right));
            }
        }
    }
    Ok(security)
}

/// Where SELinux is off a label means nothing, and scripts that were written for podman carry one.
fn has_selinux() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}

/// Podman also takes patterns; a pattern that is looked for as a path would silently unmask nothing.
fn paths(word: &str, list: &str) -> Result<Vec<String>> {
    let fine = |path: &str| plain(path) && !path.contains(['*', '?', '[']);
    if list.is_empty() || !list.split(':').all(fine) {
        return Err(wrong(
            "security-opt",
            word,
            "absolute paths in the container with colons between them, no patterns",
        ));
    }
    Ok(list.split(':').map(str::to_owned).collect())
}

fn profile(file: &str) -> Result<seccomp::Profile> {
    let text = std::fs::read_to_string(file)
        .context(&command_line::INPUT_FILE, || format!("read the seccomp profile {file:?}"))?;
    seccomp::parse(&text, seccomp::Machine { arch: std::env::consts::ARCH, kernel: kernel::version() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Security> {
        security(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_last_word_about_the_same_thing_wins() {
        let made = parse(&["no-new-privileges", "seccomp=unconfined", "no-new-privileges:false"]).expect("options");
        assert_eq!((made.seccomp, made.no_new_privileges), (SeccompChoice::Unconfined, false));
        assert!(parse(&["no-new-privileges=true"]).expect("options").no_new_privileges);
    }

    #[test]
    fn paths_are_separated_by_colons() {
        let made = parse(&["mask=/a:/b", "unmask=/proc/sys:/proc/kcore", "mask=/c"]).expect("options");
        assert_eq!(
            (made.mask, made.unmask),
            (vec!["/a".to_owned(), "/b".into(), "/c".into()], vec!["/proc/sys".to_owned(), "/proc/kcore".into()],)
        );
        for all in ["unmask=ALL", "unmask=all", "systempaths=unconfined"] {
            assert_eq!(parse(&[all]).expect("options").unmask, ["ALL"], "{all}");
        }
    }

    #[test]
    fn asking_for_what_happens_anyway_is_no_error() {
        assert!(parse(&["label=disable", "apparmor=unconfined", "label:disable"]).is_ok());
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        for bad in [
            "",
            "seccomp",
            "seccomp=",
            "seccomp=/nowhere/profile.json",
            "no-new-privileges=maybe",
            "apparmor=docker-default",
            "mask",
            "mask=",
            "mask=a",
            "mask=/a::/b",
            "mask=/a/../b",
            "unmask=/proc/*",
            "proc-opts=hidepid=2",
        ] {
            assert!(parse(&[bad]).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_profile_is_read_and_a_broken_one_is_refused() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let word = format!("seccomp={}", file.path().display());
        std::fs::write(file.path(), r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}"#).expect("write");
        assert!(matches!(parse(&[&word]).expect("options").seccomp, SeccompChoice::Profile(_)));
        std::fs::write(file.path(), "{").expect("write");
        assert!(parse(&[&word]).is_err());
    }
}
