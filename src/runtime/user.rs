//! Users and groups of the container, from its own /etc/passwd and /etc/group.
//!
//! Owns the lookup and nothing else. The files are the image's, so they may be hostile: they are opened inside the root, must be
//! regular, and no more than a bound is read (a FIFO or a gigabyte of groups must not stop a run). The surprise: a number is
//! tried as a name first, as podman does, because an image may have a user called `1000`.

use std::io::Read;
use std::os::fd::BorrowedFd;

use nix::sys::stat::{SFlag, fstat};

use crate::error::{Context, Error, Result, catalog::process};

/// No real passwd or group file comes near this.
const MOST_BYTES: u64 = 8 << 20;

/// Who the command runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Supplementary groups, the primary one first.
    pub(super) groups: Vec<u32>,
    pub(super) home: String,
}

/// Resolves `USER[:GROUP]` and the additional groups. Empty is root.
pub(super) fn account(root: BorrowedFd<'_>, words: &str, additional: &[String]) -> Result<Account> {
    let passwd = read(root, "etc/passwd")?;
    let group = read(root, "etc/group")?;
    resolve(&passwd, &group, words, additional)
}

/// The home directory of a uid, for HOME; `/` where nobody knows it.
pub(super) fn home(root: BorrowedFd<'_>, uid: u32) -> Result<String> {
    let passwd = read(root, "etc/passwd")?;
    let entry = passwd_entry(&passwd, |_, id| id == uid);
    Ok(entry.map(|entry| entry.home).filter(|home| !home.is_empty()).unwrap_or("/").to_owned())
}

fn read(root: BorrowedFd<'_>, path: &str) -> Result<String> {
    let doing = || format!("read /{path} of the container");
    let flags =
        pathrs::flags::OpenFlags::O_RDONLY | pathrs::flags::OpenFlags::O_NONBLOCK | pathrs::flags::OpenFlags::O_NOCTTY;
    let file = match pathrs::RootRef::from_fd(root).open_subpath(path, flags) {
        Ok(file) => file,
        // An image without the file has no names; numbers still work.
        Err(error) if error.kind() == pathrs::error::ErrorKind::OsError(Some(libc::ENOENT)) => return Ok(String::new()),
        Err(error) => return Err(Error::new(&process::UNKNOWN_USER, doing()).because(error)),
    };
    let stat = fstat(&file).context(&process::UNKNOWN_USER, doing)?;
    if stat.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFREG.bits() {
        return Err(Error::new(&process::UNKNOWN_USER, doing()).because("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).context(&process::UNKNOWN_USER, doing)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(
            Error::new(&process::UNKNOWN_USER, doing()).because(format!("it is longer than {MOST_BYTES} bytes"))
        );
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn resolve(passwd: &str, group: &str, words: &str, additional: &[String]) -> Result<Account> {
    let (user, chosen_group) = match words.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (words, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let entry = passwd_entry(passwd, |name, _| name == user)
        .or_else(|| number(user).and_then(|uid| passwd_entry(passwd, |_, id| id == uid)));
    let (uid, default_gid, name, home) = match (&entry, number(user)) {
        (Some(entry), _) => (entry.uid, entry.gid, entry.name, entry.home),
        (None, Some(uid)) => (uid, 0, "", "/"),
        (None, None) => return Err(unknown("user", user, "/etc/passwd")),
    };
    let gid = match chosen_group.filter(|group| !group.is_empty()) {
        Some(chosen) => group_id(group, chosen)?,
        None => default_gid,
    };
    let mut groups = vec![gid];
    // As podman: an explicit group means these groups only, not those of which the user is a member.
    if chosen_group.is_none() && !name.is_empty() {
        groups.extend(memberships(group, name));
    }
    for word in additional {
        groups.push(group_id(group, word)?);
    }
    let mut seen = std::collections::BTreeSet::new();
    groups.retain(|gid| seen.insert(*gid));
    let home = if home.is_empty() { "/" } else { home };
    Ok(Account { uid, gid, groups, home: home.to_owned() })
}

struct Entry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

fn passwd_entry<'a>(text: &'a str, matches: impl Fn(&str, u32) -> bool) -> Option<Entry<'a>> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        let (uid, gid) = (number(fields.next()?)?, number(fields.next()?)?);
        let home = fields.nth(1).unwrap_or("/");
        (!name.is_empty() && matches(name, uid)).then_some(Entry { name, uid, gid, home })
    })
}

fn group_id(text: &str, word: &str) -> Result<u32> {
    let by_name = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let gid = number(fields.nth(1)?)?;
        (name == word).then_some(gid)
    });
    by_name.or_else(|| number(word)).ok_or_else(|| unknown("group", word, "/etc/group"))
}

fn memberships<'a>(text: &'a str, user: &'a str) -> impl Iterator<Item = u32> + 'a {
    text.lines().filter_map(move |line| {
        let mut fields = line.split(':');
        let gid = number(fields.nth(2)?)?;
        fields.next()?.split(',').any(|member| member == user).then_some(gid)
    })
}

/// Exactly a number that can be an id: no sign, no space; 4294967295 means "no id" to the kernel.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().filter(|id| *id != u32::MAX)
}

fn unknown(kind: &str, word: &str, file: &str) -> Error {
    Error::new(
        &process::UNKNOWN_USER,
        format!("the {kind} {word:?} is neither a name in the container's {file} nor a valid id"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nwww:x:33:33::/var/www:/bin/false\n1000:x:7:8::/seven:\nbroken\n";
    const GROUP: &str = "root:x:0:\nwheel:x:10:root,www\nwww:x:33:\ntape:x:26:www\n";

    fn words(words: &str, additional: &[&str]) -> Result<(u32, u32, Vec<u32>, String)> {
        let additional: Vec<_> = additional.iter().map(|&word| word.to_owned()).collect();
        resolve(PASSWD, GROUP, words, &additional).map(|a| (a.uid, a.gid, a.groups, a.home))
    }

    #[test]
    fn no_words_are_root_with_the_groups_that_list_root() {
        assert_eq!(words("", &[]).expect("root"), (0, 0, vec![0, 10], "/root".into()));
    }

    #[test]
    fn a_name_brings_its_group_its_memberships_and_its_home() {
        assert_eq!(words("www", &[]).expect("www"), (33, 33, vec![33, 10, 26], "/var/www".into()));
    }

    #[test]
    fn an_explicit_group_replaces_the_memberships() {
        assert_eq!(words("www:wheel", &["tape", "99"]).expect("www"), (33, 10, vec![10, 26, 99], "/var/www".into()));
    }

    #[test]
    fn a_name_of_digits_wins_over_the_number() {
        assert_eq!(words("1000", &[]).expect("user"), (7, 8, vec![8], "/seven".into()));
    }

    #[test]
    fn an_unlisted_number_has_group_0_and_the_root_directory_as_home() {
        assert_eq!(words("4242", &[]).expect("number"), (4242, 0, vec![0], "/".into()));
    }

    #[test]
    fn what_is_no_name_and_no_id_is_refused() {
        for bad in ["-1", "4294967295", "4294967296", "nobody-here", " 1", "+1", "0x10", "www:nogroup"] {
            assert_eq!(words(bad, &[]).expect_err(bad).entry().id, process::UNKNOWN_USER.id, "{bad}");
        }
    }
}
