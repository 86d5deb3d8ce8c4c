//! `-v`, `--mount`, `--tmpfs`.
//!
//! Sources must exist (podman's rule: a typing error must not make a directory); targets are absolute and without `..`. The
//! surprise: `--mount` is a line of CSV, so a path with a comma is written in quotes.

use std::path::{Component, Path, PathBuf};

use super::limits::size;
use super::wrong;
use crate::error::{Context, Error, Result, catalog, catalog::command_line, catalog::rootfs};
use crate::spec::{BindOptions, Volume, is_volume_name};

/// What lxcfs and its like show a container in the place of the host's numbers; runc allows the same.
const PROC_FILES: [&str; 8] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
];

/// All volumes, in the order of the three flags; two on one target are a contradiction.
pub(super) fn volumes(volumes: &[String], mounts: &[String], tmpfs: &[String]) -> Result<Vec<Volume>> {
    let mut all = Vec::new();
    for word in volumes {
        all.push(volume(word)?);
    }
    for word in mounts {
        all.push(mount(word)?);
    }
    for word in tmpfs {
        all.push(tmpfs_words(word)?);
    }
    let mut targets: Vec<_> = all.iter().map(|volume| volume.target().to_owned()).collect();
    targets.sort();
    match targets.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Error::new(&command_line::CONFLICT, format!("two volumes on {}", pair[0].display()))),
        None => Ok(all),
    }
}

/// `--volumes-from`, checked.
pub(super) fn others(words: &[String]) -> Result<Vec<String>> {
    for word in words {
        let (name, options) = word.split_once(':').unwrap_or((word, ""));
        let known = options.split(',').all(|option| matches!(option, "" | "ro" | "rw" | "z" | "Z"));
        if name.is_empty() || !known {
            return Err(wrong("volumes-from", word, "CONTAINER[:ro]"));
        }
    }
    Ok(words.to_vec())
}

fn volume(word: &str) -> Result<Volume> {
    let bad = || wrong("volume", word, "SOURCE:TARGET[:OPTIONS]");
    let mut parts = word.split(':');
    let (first, second, options) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    if parts.next().is_some() {
        return Err(wrong("volume", word, "at most two colons; with a colon in a path, use --mount"));
    }
    let Some(second) = second else {
        return Ok(named("", target("volume", first)?, BindOptions::default(), true));
    };
    if first.is_empty() {
        return Err(bad());
    }
    if first.starts_with('~') {
        return Err(Error::new(&rootfs::VOLUME, format!("--volume {word:?}: the shell has left the ~ as it is"))
            .fix("Shells replace it at the beginning of a word only. Write -v \"$HOME/...:TARGET\"."));
    }
    let (mut bind, mut copy) = (BindOptions::default(), true);
    for option in options.unwrap_or_default().split(',').filter(|option| !option.is_empty()) {
        match option {
            "copy" | "nocopy" => copy = option == "copy",
            _ => bind_option(&mut bind, option, "volume", word)?,
        }
    }
    let to = target("volume", second)?;
    if !first.starts_with(['/', '.']) {
        return Ok(named(volume_name("volume", word, first)?, to, bind, copy));
    }
    let from = source(first)?;
    refuse_home(&bind, &from)?;
    Ok(Volume::Bind { source: from, target: to, options: bind })
}

/// An empty name: one is made up when the container is made.
fn named(name: &str, target: PathBuf, options: BindOptions, copy: bool) -> Volume {
    Volume::Named {
        name: name.to_owned(),
        source: PathBuf::new(),
        target,
        options,
        copy,
        anonymous: name.is_empty(),
        subpath: None,
        memory: None,
    }
}

fn volume_name<'a>(flag: &str, word: &str, name: &'a str) -> Result<&'a str> {
    if is_volume_name(name) {
        return Ok(name);
    }
    let error = Error::new(&catalog::volume::VOLUME_NAME, format!("--{flag} {word:?}: {name:?}"));
    Err(if name.contains('/') { error.fix(format!("For a directory of the host, write ./{name}")) } else { error })
}

/// With U somebody's own home, or all of the machine, would become the container user's.
fn refuse_home(bind: &BindOptions, from: &Path) -> Result<()> {
    let homes = [std::env::var_os("HOME").map(PathBuf::from), own_home()];
    let is_above = |home: &PathBuf| std::fs::canonicalize(home).is_ok_and(|home| home.starts_with(from));
    if bind.chown && (from == Path::new("/") || homes.iter().flatten().any(is_above)) {
        return Err(Error::new(&catalog::volume::VOLUME_OWNER, format!("use {} with U", from.display())));
    }
    Ok(())
}

/// As the user database has it, whatever HOME says.
fn own_home() -> Option<PathBuf> {
    nix::unistd::User::from_uid(nix::unistd::Uid::effective()).ok().flatten().map(|user| user.dir)
}

fn bind_option(bind: &mut BindOptions, option: &str, flag: &str, word: &str) -> Result<()> {
    match option {
        "ro" | "readonly" => bind.read_only = true,
        "rw" => bind.read_only = false,
        "rbind" => bind.recursive = true,
        "bind" => bind.recursive = false,
        "suid" => bind.nosuid = false,
        "nosuid" => bind.nosuid = true,
        "dev" => bind.nodev = false,
        "nodev" => bind.nodev = true,
        "exec" => bind.noexec = false,
        "noexec" => bind.noexec = true,
        "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave" => option.clone_into(&mut bind.propagation),
        // Relabelling means something on SELinux hosts only, and there an unprivileged user may not do it; a bind copies nothing.
        // All are accepted in scripts that were written for docker and podman.
        "z" | "Z" | "copy" | "nocopy" | "cached" | "delegated" | "consistent" => {}
        "U" => bind.chown = true,
        _ => {
            return Err(wrong(
                flag,
                word,
                "options ro, rw, U, nocopy, rbind, bind, [no]exec, [no]suid, [no]dev, [r]private, [r]slave, [r]shared",
            ));
        }
    }
    Ok(())
}

fn mount(word: &str) -> Result<Volume> {
    let fields = fields(word).ok_or_else(|| {
        wrong("mount", word, "type=bind|volume|tmpfs|image,KEY=VALUE,... (a field with a comma in quotes)")
    })?;
    let (mut kind, mut from, mut to) = (None, None, None);
    let (mut bind, mut options, mut copy) = (BindOptions::default(), Vec::new(), true);
    let (mut subpath, mut writable) = (None, false);
    for field in &fields {
        let (key, value) = field.split_once('=').map_or((field.as_str(), None), |(key, value)| (key, Some(value)));
        let needed = || value.ok_or_else(|| wrong("mount", word, &format!("a value for {key}")));
        match key {
            "type" => kind = Some(needed()?),
            "src" | "source" => from = Some(needed()?),
            "dst" | "destination" | "target" => to = Some(target("mount", needed()?)?),
            "ro" | "readonly" | "rw" => {
                let on = truth(value).ok_or_else(|| wrong("mount", word, "true or false"))?;
                bind.read_only = on == (key != "rw");
                writable |= !bind.read_only;
            }
            "bind-propagation" => bind_option(&mut bind, needed()?, "mount", word)?,
            "bind-nonrecursive" => {
                bind.recursive = !truth(value).ok_or_else(|| wrong("mount", word, "true or false"))?
            }
            // Docker's words for what a bind that is read-only does here anyway, and for the other way.
            "bind-recursive" => match needed()? {
                "disabled" => bind.recursive = false,
                "enabled" | "readonly" => bind.recursive = true,
                _ => return Err(wrong("mount", word, "bind-recursive=enabled, disabled or readonly")),
            },
            // Of shared folders on macOS; of SELinux; the one driver that there is.
            "consistency" | "relabel" => {}
            "volume-driver" if needed()? == "local" => {}
            "image-subpath" | "volume-subpath" | "subpath" => subpath = Some(target("mount", needed()?)?),
            "volume-nocopy" => copy = !truth(value).ok_or_else(|| wrong("mount", word, "true or false"))?,
            "U" | "chown" => bind.chown = truth(value).ok_or_else(|| wrong("mount", word, "true or false"))?,
            "tmpfs-size" => options.push(format!("size={}", size("mount", needed()?)?)),
            "tmpfs-mode" => options.push(format!("mode={}", octal("mount", needed()?, word)?)),
            other if value.is_none() => bind_option(&mut bind, other, "mount", word)?,
            other => return Err(wrong("mount", word, &format!("known keys; {other:?} is none"))),
        }
    }
    let to = to.ok_or_else(|| wrong("mount", word, "a dst="))?;
    // docker's default is a volume, and a path is none.
    let is_path = from.is_some_and(|from: &str| from.starts_with(['/', '.']));
    match (kind.unwrap_or(if is_path { "bind" } else { "volume" }), from) {
        (other, _) if !["image", "volume"].contains(&other) && subpath.is_some() => {
            Err(wrong("mount", word, "a subpath of an image or a volume only"))
        }
        ("image", Some(from)) if !writable && options.is_empty() => {
            Ok(Volume::Image { name: from.to_owned(), subpath, source: PathBuf::new(), target: to })
        }
        ("image", _) => Err(wrong("mount", word, "src=IMAGE, read-only, for an image")),
        ("bind", Some(_)) if !options.is_empty() => {
            Err(wrong("mount", word, "tmpfs-size= and tmpfs-mode= with a tmpfs only"))
        }
        ("bind", Some(from)) => {
            let from = source(from)?;
            refuse_home(&bind, &from)?;
            Ok(Volume::Bind { source: from, target: to, options: bind })
        }
        ("volume", _) if !options.is_empty() => {
            Err(wrong("mount", word, "tmpfs-size= and tmpfs-mode= with a tmpfs only"))
        }
        ("volume", None) if subpath.is_some() => Err(wrong("mount", word, "a src= for a subpath")),
        ("volume", None) => Ok(named("", to, bind, copy)),
        // What the image has in its place is for a volume as a whole.
        ("volume", Some(from)) => Ok(match named(volume_name("mount", word, from)?, to, bind, copy) {
            Volume::Named { name, source, target, options, anonymous, .. } if subpath.is_some() => {
                Volume::Named { name, source, target, options, copy: false, anonymous, subpath, memory: None }
            }
            whole => whole,
        }),
        ("bind", None) => Err(wrong("mount", word, "a src=")),
        ("tmpfs", None) => {
            let BindOptions { read_only, recursive, propagation, nosuid, nodev, noexec, chown } = bind;
            if !recursive || chown || propagation != BindOptions::default().propagation {
                return Err(wrong("mount", word, "bind options with a bind only"));
            }
            let words = [(read_only, "ro"), (noexec, "noexec"), (!nosuid, "suid"), (!nodev, "dev")];
            options.extend(words.iter().filter(|(on, _)| *on).map(|(_, word)| (*word).to_owned()));
            Ok(Volume::Tmpfs { target: to, options })
        }
        ("tmpfs", Some(_)) => Err(wrong("mount", word, "no src= for a tmpfs")),
        (other, _) => Err(wrong("mount", word, &format!("type bind, volume, tmpfs or image, not {other:?}"))),
    }
}

fn truth(value: Option<&str>) -> Option<bool> {
    match value {
        None | Some("true" | "1") => Some(true),
        Some("false" | "0") => Some(false),
        Some(_) => None,
    }
}

/// One line of CSV (RFC 4180): a field in quotes may hold commas, and quotes as "".
fn fields(line: &str) -> Option<Vec<String>> {
    let (mut fields, mut field, mut rest) = (Vec::new(), String::new(), line.chars().peekable());
    loop {
        if field.is_empty() && rest.next_if_eq(&'"').is_some() {
            loop {
                match rest.next()? {
                    '"' if rest.next_if_eq(&'"').is_some() => field.push('"'),
                    '"' => break,
                    other => field.push(other),
                }
            }
            match rest.next() {
                None => break,
                Some(',') => {}
                Some(_) => return None,
            }
        } else {
            match rest.next() {
                None => break,
                Some(',') => {}
                Some(other) => {
                    field.push(other);
                    continue;
                }
            }
        }
        fields.push(std::mem::take(&mut field));
    }
    fields.push(field);
    (!fields.iter().any(String::is_empty)).then_some(fields)
}

const TMPFS_WORDS: [&str; 9] = ["ro", "rw", "nosuid", "suid", "nodev", "dev", "noexec", "exec", "noatime"];

fn tmpfs_words(word: &str) -> Result<Volume> {
    let (path, words) = word.split_once(':').unwrap_or((word, ""));
    let mut options = Vec::new();
    for option in words.split(',').filter(|option| !option.is_empty()) {
        let checked = match option.split_once('=') {
            Some(("size", value)) => format!("size={}", size("tmpfs", value)?),
            Some(("mode", value)) => format!("mode={}", octal("tmpfs", value, word)?),
            Some(("nr_inodes" | "uid" | "gid", value)) if value.parse::<u32>().is_ok() => option.to_owned(),
            None if TMPFS_WORDS.contains(&option) => option.to_owned(),
            // podman's word for what happens here anyway: the tmpfs begins empty.
            None if option == "notmpcopyup" => continue,
            _ => {
                return Err(wrong(
                    "tmpfs",
                    word,
                    "options size=, mode=, uid=, gid=, nr_inodes=, ro, rw, [no]exec, [no]suid, [no]dev, noatime",
                ));
            }
        };
        options.push(checked);
    }
    Ok(Volume::Tmpfs { target: target("tmpfs", path)?, options })
}

fn octal(flag: &str, value: &str, word: &str) -> Result<String> {
    let fine = !value.is_empty() && value.len() <= 5 && value.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    if fine { Ok(value.to_owned()) } else { Err(wrong(flag, word, "an octal mode")) }
}

/// Absolute, links resolved, and there.
fn source(word: &str) -> Result<PathBuf> {
    let doing = || format!("use {word:?} as a volume's source");
    std::fs::canonicalize(word).context(&rootfs::VOLUME, doing)
}

/// A place in the container on which something of the user's may be mounted.
pub(super) fn target(flag: &str, word: &str) -> Result<PathBuf> {
    if !plain(word) {
        return Err(wrong(flag, word, "an absolute path in the container, other than / and without .."));
    }
    let path: PathBuf = Path::new(word).components().collect();
    // The set-up writes and checks through the container's proc, and its read-only paths lie there: what covers it takes both
    // away (CVE-2019-16884, CVE-2019-19921).
    if path.starts_with("/proc") && !PROC_FILES.iter().any(|file| path == Path::new(file)) {
        return Err(Error::new(&rootfs::VOLUME, format!("--{flag} {word:?} would cover the container's /proc"))
            .fix("Choose another target. To see the host's processes: --pid=host."));
    }
    Ok(path)
}

/// Absolute, not the root itself, without `..`.
pub(super) fn plain(word: &str) -> bool {
    let path = Path::new(word);
    let normal = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    path.is_absolute() && path != Path::new("/") && path.components().all(normal) && !word.contains('\0')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bind(word: &str) -> Result<(PathBuf, BindOptions)> {
        match volume(word)? {
            Volume::Bind { target, options, .. } => Ok((target, options)),
            _ => panic!("a bind was expected"),
        }
    }

    #[test]
    fn a_volume_is_recursive_private_nosuid_nodev() {
        assert_eq!(bind("/tmp:/x").expect("volume"), (PathBuf::from("/x"), BindOptions::default()));
    }

    #[test]
    fn options_are_obeyed() {
        let (_, options) = bind("/tmp:/x:ro,bind,noexec,suid,rslave,z").expect("volume");
        assert!(options.read_only && !options.recursive && options.noexec && !options.nosuid);
        assert_eq!(options.propagation, "rslave");
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for bad in [
            "",
            ":",
            "/tmp:",
            ":/x",
            "/tmp:x",
            "/tmp:/",
            "/tmp:/a/../b",
            "/tmp:/x:bogus",
            "/tmp:/x:ro:y",
            "-name:/x",
            "na/me:/x",
            "/nowhere/at/all:/x",
            "/:/x:U",
        ] {
            assert!(volume(bad).is_err(), "{bad:?}");
        }
        for bad in [
            "",
            "type=bind,dst=/x",
            "type=bind,src=/tmp",
            "type=magic,src=/tmp,dst=/x",
            "src=/tmp,dst=/x,ro=maybe",
            "\"src=/tmp,dst=/x",
            "type=tmpfs,src=/tmp,dst=/x",
            "src=/tmp,,dst=/x",
            "src=/tmp,dst=/x,tmpfs-size=1m",
            "type=tmpfs,dst=/x,bind-propagation=shared",
            "type=tmpfs,dst=/x,bind-nonrecursive",
            "src=/tmp,dst=/x,tmpfs-mode=rwx",
            "src=/tmp,dst=/x,bogus=1",
            "src=/tmp,dst",
            "src=/tmp,dst=/x,subpath=/a",
            "type=volume,dst=/x,volume-subpath=/a",
            "type=volume,src=data,dst=/x,volume-subpath=../a",
        ] {
            assert!(mount(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn two_volumes_on_one_target_are_a_contradiction() {
        assert!(volumes(&["/tmp:/x".into()], &["type=tmpfs,dst=/x/".into()], &[]).is_err());
    }

    #[test]
    fn a_quoted_field_may_hold_commas_and_quotes() {
        assert_eq!(fields(r#"a,"b,""c""",d"#).expect("fields"), ["a", r#"b,"c""#, "d"]);
        assert_eq!(fields(r#""a"#), None);
        assert_eq!(fields(r#""a"b"#), None);
    }

    #[test]
    fn nothing_covers_proc_but_the_files_that_lxcfs_shows() {
        for bad in
            ["/tmp:/proc", "/tmp:/proc/", "/tmp:/proc/sys", "/tmp:/proc/../proc/sys", "/etc/passwd:/proc/self/exe"]
        {
            assert!(volume(bad).is_err(), "{bad}");
        }
        assert!(tmpfs_words("/proc").is_err() && mount("type=tmpfs,dst=/proc/sys/net").is_err());
        assert!(volume("/etc/passwd:/proc/meminfo").is_ok() && volume("/tmp:/process").is_ok());
    }

    #[test]
    fn a_tilde_that_the_shell_left_is_explained() {
        let error = volume("~/src:/src").expect_err("no such directory");
        assert!(error.summary().contains('~') && error.remedy().contains("$HOME"), "{error}");
    }

    #[test]
    fn a_name_is_a_volume_and_a_path_is_a_directory() {
        let made = |word| volume(word).expect(word);
        let Volume::Named { name, target, copy, anonymous, options, .. } = made("data:/x:ro,nocopy,U") else {
            panic!("a volume was expected")
        };
        assert_eq!((name.as_str(), target.as_path(), copy, anonymous), ("data", Path::new("/x"), false, false));
        assert!(options.read_only && options.chown);
        let Volume::Named { name, anonymous: true, copy: true, .. } = made("/x") else { panic!("an anonymous volume") };
        assert_eq!(name, "");
        let Volume::Named { name, .. } = mount("type=volume,src=data,dst=/x,volume-nocopy").expect("mount") else {
            panic!("a volume was expected")
        };
        assert_eq!(name, "data");
        let Volume::Named { name, .. } = mount("source=data,target=/x").expect("docker's own example") else {
            panic!("a volume was expected")
        };
        assert_eq!(name, "data");
        assert!(matches!(mount("src=/tmp,dst=/x"), Ok(Volume::Bind { .. })));
        assert!(volume("da/ta:/x").expect_err("a path").remedy().contains("./da/ta"));
    }

    #[test]
    fn a_tmpfs_has_options_of_its_own() {
        let made = |word| match tmpfs_words(word).expect(word) {
            Volume::Tmpfs { options, .. } => options.join(","),
            _ => panic!("a tmpfs was expected"),
        };
        assert_eq!(made("/x"), "");
        assert_eq!(made("/x:size=64m,mode=0700,ro,uid=1000,notmpcopyup"), "size=67108864,mode=0700,ro,uid=1000");
        for bad in ["", "x", "/", "/x:size=", "/x:mode=9", "/x:uid=me", "/x:magic", "/x:size", "/x:tmpcopyup"] {
            assert!(tmpfs_words(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_mount_has_the_keys_of_docker_and_podman() {
        let made = mount("type=bind,source=/tmp,destination=/x,readonly,bind-propagation=slave,bind-nonrecursive=true");
        let Volume::Bind { target, options, .. } = made.expect("mount") else { panic!("a bind was expected") };
        assert_eq!(target, Path::new("/x"));
        assert!(options.read_only && !options.recursive && options.propagation == "slave");
        let made = mount("type=tmpfs,target=/x,tmpfs-size=1k,tmpfs-mode=700,ro=false").expect("mount");
        let options = vec!["size=1024".to_owned(), "mode=700".into()];
        assert_eq!(made, Volume::Tmpfs { target: "/x".into(), options });
    }

    proptest! {
        #[test]
        fn an_accepted_target_is_absolute_and_plain(word in "[/a.:,\" =]{0,24}") {
            for parsed in [volume(&word), mount(&word), tmpfs_words(&word)].into_iter().flatten() {
                let target = parsed.target();
                prop_assert!(target.is_absolute() && target != Path::new("/"));
                let plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
                prop_assert!(target.components().all(plain));
            }
        }
    }
}
