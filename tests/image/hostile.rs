//! Archives that want something else than to be unpacked: a fixed table of verdicts.
//!
//! For each: nothing outside has changed, and what was refused has left nothing behind and says why.

use crate::tar::{Header, Tar, gzip, record, xz, zstd};

/// An archive and the words that its refusal has.
type Refused = (&'static str, Vec<u8>, &'static str);

/// Names, links and replacements; `out` is a directory with canaries.
fn paths(out: &str) -> Vec<Refused> {
    let t = Tar::new;
    let out_file = format!("{out}/file");
    let up = "../".repeat(20) + &out_file;
    let long = |count: usize| "a/".repeat(count);
    vec![
        ("an absolute name", t().file(&out_file[..out_file.len().min(99)], "x").end(), "absolute"),
        ("two slashes in front", t().file("//x", "x").end(), "absolute"),
        ("a name that leads up", t().pax(&[("path", up.as_bytes())]).file("x", "x").end(), "leads out with .."),
        ("a name that leads up later", t().file("a/../../x", "x").end(), "leads out with .."),
        ("a name that leads up and back", t().file("a/../x", "x").end(), "leads out with .."),
        ("two dots alone", t().dir("..").end(), "leads out with .."),
        ("a pax name that is absolute", t().pax(&[("path", b"/x")]).file("x", "x").end(), "absolute"),
        ("a long name that leads up", t().extension(b'L', b"../../x\0").file("x", "x").end(), "leads out with .."),
        ("through a link out", t().symlink("s", out).file("s/file", "x").end(), "leads through a link"),
        ("through a link to itself", t().symlink("s", ".").file("s/x", "x").end(), "leads through a link"),
        ("through a link up", t().symlink("s", "..").dir("s/x").end(), "leads through a link"),
        ("through two links", t().symlink("a", out).symlink("b", "a").file("b/x", "x").end(), "leads through a link"),
        ("making directories through a link", t().symlink("s", out).file("s/a/b/c", "x").end(), "through a link"),
        ("a link through a link", t().symlink("s", out).symlink("s/l", "x").end(), "leads through a link"),
        ("through a file", t().file("f", "x").file("f/x", "x").end(), "leads through a link or a file"),
        ("a hard link to an absolute name", t().hard_link("h", &out_file[..out_file.len().min(99)]).end(), "absolute"),
        ("a hard link that leads up", t().hard_link("h", "../../../etc/passwd").end(), "leads out with .."),
        ("a hard link through a link", t().symlink("s", out).hard_link("h", "s/file").end(), "leads through a link"),
        ("a hard link to a directory", t().dir("d").hard_link("h", "d").end(), "to a directory, or to nothing"),
        ("a hard link to nothing", t().hard_link("h", "gone").end(), "to a directory, or to nothing"),
        ("a hard link into nothing", t().hard_link("h", "gone/x").end(), "a hard link to a directory, or to nothing"),
        ("a hard link to itself", t().file("h", "x").hard_link("h", "./h").end(), "a hard link to itself"),
        ("a hard link to the root", t().hard_link("h", ".").end(), "a hard link to the root"),
        ("a hard link to no name", t().header(Header::new(b'1', "h", 0)).end(), "a hard link to the root"),
        ("a symbolic link to nothing", t().symlink("s", "").end(), "a symbolic link to nothing"),
        ("a file in place of a tree", t().file("d/x", "x").file("d", "x").end(), "a directory that is not empty"),
        ("a link in place of a tree", t().file("d/x", "x").symlink("d", out).end(), "a directory that is not empty"),
        ("a hard link over a tree", t().file("f", "").file("d/x", "").hard_link("d", "f").end(), "is not empty"),
        ("a file in place of the root", t().file("./", "").file(".", "x").end(), "the root can only be a directory"),
        ("a zero byte in a pax name", t().pax(&[("path", b"a\0b")]).file("x", "x").end(), "a zero byte"),
        ("a zero byte in a pax link", t().pax(&[("linkpath", b"a\0b")]).symlink("x", "y").end(), "a zero byte"),
        ("a zero byte in a long name", t().extension(b'L', b"a\0b\0").file("x", "x").end(), "a zero byte"),
        ("a component of 256 bytes", t().pax(&[("path", &[b'a'; 256])]).file("x", "x").end(), "more than 255 bytes"),
        ("1025 levels", t().pax(&[("path", long(1025).as_bytes())]).dir("x").end(), "more than 1024 components"),
        ("a name beyond PATH_MAX", t().pax(&[("path", long(2048).as_bytes())]).dir("x").end(), "a name of 4096 bytes"),
        ("a long name beyond PATH_MAX", t().extension(b'L', &[b'a'; 5000]).file("x", "").end(), "of 5000 bytes"),
    ]
}

/// What two readers would read differently, and what is no archive.
fn framing() -> Vec<Refused> {
    let t = Tar::new;
    let file = |size: &[u8]| Header::new(b'0', "x", 0).with(124, size);
    let whole = t().file("a", "content").end();
    let big = |bits: u8| [0x80, 0, 0, 0, bits, 0, 0, 0, 0, 0, 0, 0];
    let mut damaged = whole.clone();
    damaged[3] ^= 1;
    vec![
        ("two sizes", t().pax(&[("size", b"1")]).file("x", "xyz").end(), "two sizes"),
        ("two names", t().pax(&[("path", b"a")]).extension(b'L', b"b\0").file("x", "").end(), "and as a GNU long name"),
        ("two links", t().pax(&[("linkpath", b"a")]).extension(b'K', b"b\0").symlink("x", "y").end(), "long name"),
        ("two pax headers", t().pax(&[("uid", b"0")]).pax(&[("gid", b"0")]).file("x", "").end(), "two extension"),
        ("two long names", t().extension(b'L', b"a\0").extension(b'L', b"b\0").file("x", "").end(), "two extension"),
        ("a negative size", t().header(file(&[0xff; 12])).end(), "is no number"),
        ("a size with a sign", t().header(file(b"-0000000001\0")).end(), "is no number"),
        ("a size in decimal", t().header(file(b"00000000009\0")).end(), "is no number"),
        ("a size of exabytes", t().header(file(&big(0x7f))).end(), "beyond the limit"),
        ("a size beyond 63 bits", t().header(file(&big(0xff))).end(), "is no number"),
        ("a size of petabytes", t().header(file(&[0x80, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0])).end(), "beyond the limit"),
        ("a negative pax size", t().pax(&[("size", b"-1")]).file("x", "").end(), "the pax record size"),
        ("a negative pax owner", t().pax(&[("uid", b"-1")]).file("x", "").end(), "the pax record uid"),
        ("a wrong checksum", damaged, "wrong checksum"),
        ("bytes behind the end", [whole.clone(), b"hidden".to_vec()].concat(), "behind the end"),
        ("an archive behind the end", [whole.clone(), whole.clone()].concat(), "behind the end"),
        ("no end", t().file("a", "content").0, "has no end"),
        ("cut in a header", whole[..300].to_vec(), "cut off in a header"),
        ("cut in the data", whole[..515].to_vec(), "cut off in the data"),
        ("cut in a pax header", t().pax(&[("path", b"a")]).0[..520].to_vec(), "cut off in an extension"),
        ("the end behind a pax header", t().pax(&[("path", b"a")]).end(), "behind an extension header"),
        ("an unknown type", t().header(Header::new(b'V', "volume", 0)).end(), "unknown type"),
        ("a directory with data", t().with_data(Header::new(b'5', "d", 3), b"abc").end(), "can have none"),
        ("a file with a slash and data", t().file("d/", "abc").end(), "can have none"),
        ("a link with data", t().with_data(Header::new(b'2', "l", 3).with(157, b"x"), b"abc").end(), "can have none"),
        (
            "a hard link with a pax size",
            t().file("f", "x").pax(&[("size", b"512")]).hard_link("h", "f").raw(&[0; 512]).end(),
            "can have none",
        ),
        ("an empty pax name", t().pax(&[("path", b"")]).file("x", "").end(), "an empty pax record"),
        ("a pax record without an end", t().extension(b'x', b"10 path=abc").file("x", "").end(), "malformed pax"),
        ("a pax record of another length", t().extension(b'x', b"8 path=a\n").file("x", "").end(), "malformed pax"),
        ("a pax record with a sign", t().extension(b'x', b"+9 path=a\n").file("x", "").end(), "malformed pax"),
        ("a pax header of megabytes", t().extension(b'x', &[b'1'; 2 << 20]).file("x", "").end(), "are taken"),
        ("a global name", t().extension(b'g', &record("path", b"x")).file("y", "").end(), "a global pax header"),
        ("a global size", t().extension(b'g', &record("size", b"0")).file("y", "abc").end(), "a global pax header"),
        (
            "a global attribute",
            t().extension(b'g', &record("SCHILY.xattr.user.a", b"x")).file("y", "").end(),
            "a global pax header",
        ),
        ("a time that is none", t().pax(&[("mtime", b"now")]).file("x", "").end(), "is no time"),
        ("an owner that is no id", t().pax(&[("uid", b"4294967296")]).file("x", "").end(), "no possible id"),
        ("the owner -1", t().pax(&[("uid", b"4294967295")]).file("x", "").end(), "no possible id"),
        (
            "a sparse file without a size",
            t().pax(&[("GNU.sparse.map", b"0,1")]).file("x", "a").end(),
            "without its size",
        ),
        ("a sparse file's odd map", sparse(&[("GNU.sparse.map", b"0,1,2")], "a"), "no pairs"),
        ("a sparse file's map beyond it", sparse(&[("GNU.sparse.map", b"9,2")], "ab"), "beyond its size"),
        ("a sparse file's overlap", sparse(&[("GNU.sparse.map", b"0,2,1,1")], "abc"), "overlap"),
        ("a sparse file's other length", sparse(&[("GNU.sparse.map", b"0,1")], "abc"), "its map names"),
        ("a sparse map of another version", sparse(&[("GNU.sparse.major", b"7")], "abc"), "unknown version"),
        (
            "a petabyte of nothing",
            t().pax(&[("GNU.sparse.size", b"1125899906842624"), ("GNU.sparse.map", b"0,1")]).file("x", "a").end(),
            "beyond the limit",
        ),
        ("nothing", Vec::new(), "has no end"),
        ("zeros", vec![0; 10240], "the archive is empty"),
        ("text", b"Dear archive, ".repeat(100), "wrong checksum"),
        ("bzip2", b"BZh91AY&SY".to_vec(), "bzip2"),
        ("zip", b"PK\x03\x04aaaa".to_vec(), "zip"),
        ("gzip that is cut", gzip(&whole)[..30].to_vec(), "read the archive"),
        ("gzip with bytes behind it", [gzip(&whole), b"behind".to_vec()].concat(), "read the"),
        ("xz that is cut", xz(&whole)[..60].to_vec(), "read the archive"),
        ("zstd that is cut", zstd(&whole)[..30].to_vec(), "read the archive"),
        ("zstd that wants 2 GiB", vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0xa8, 1, 0, 0], "read the archive"),
    ]
}

/// A sparse file of ten bytes.
fn sparse(records: &[(&str, &[u8])], stored: &str) -> Vec<u8> {
    let mut all: Vec<(&str, &[u8])> = vec![("GNU.sparse.size", b"10")];
    all.extend(records);
    Tar::new().pax(&all).file("x", stored).end()
}

/// The start of a tar and 1.5 GiB of zeros in gzip members: the content of its file, or what follows its end.
fn bomb(start: &[u8], zeros: &[u8]) -> Vec<u8> {
    [gzip(start), zeros.repeat(192)].concat()
}

mod everywhere {
    use std::os::unix::fs::MetadataExt;
    use std::path::PathBuf;

    use super::{Refused, bomb, framing, paths};
    use crate::support::Rl;
    use crate::tar::{Header, Tar, gzip};
    use crate::{assert_nothing_is_left, layer};

    fn write(rl: &Rl, bytes: &[u8]) -> PathBuf {
        let path = rl.dir("archives").join("a.tar");
        std::fs::write(&path, bytes).expect("write");
        path
    }

    fn refuse_all(rl: &Rl, table: Vec<Refused>) {
        for (name, bytes, why) in table {
            let path = write(rl, &bytes);
            let out = rl.run(&["import", &path.to_string_lossy(), "hostile"]);
            assert_eq!(out.code(), 125, "{name}: {}{}", out.stdout, out.stderr);
            assert!(out.stderr.contains(why), "{name}: expected {why:?} in: {}", out.stderr);
            assert!(out.stderr.contains("RL0303"), "{name}: {}", out.stderr);
            assert_eq!(out.stdout, "", "{name}");
            assert_nothing_is_left(rl, name);
        }
    }

    /// Unpacks what must be taken.
    fn import(bytes: &[u8]) -> (Rl, String) {
        let rl = Rl::empty();
        let path = write(&rl, bytes);
        let out = rl.run(&["import", &path.to_string_lossy(), "taken"]).success();
        (rl, out.stderr)
    }

    fn read(rl: &Rl, path: &str) -> String {
        std::fs::read_to_string(layer(rl).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    #[test]
    fn names_that_lead_out_are_refused_and_leave_nothing() {
        let rl = Rl::empty();
        let out = rl.dir("out");
        std::fs::write(out.join("file"), "canary").expect("write");
        let before = std::fs::metadata(&out).expect("metadata");
        refuse_all(&rl, paths(&out.to_string_lossy()));
        let after = std::fs::metadata(&out).expect("metadata");
        assert_eq!(
            (before.mode(), before.mtime_nsec(), before.ctime_nsec()),
            (after.mode(), after.mtime_nsec(), after.ctime_nsec())
        );
        assert_eq!(std::fs::read_to_string(out.join("file")).expect("read"), "canary");
        assert_eq!(std::fs::metadata(out.join("file")).expect("metadata").nlink(), 1);
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused_and_leaves_nothing() {
        refuse_all(&Rl::empty(), framing());
    }

    #[test]
    fn bombs_are_stopped_in_data_and_behind_the_end() {
        let rl = Rl::empty();
        let zeros = gzip(&vec![0; 8 << 20]);
        let data = bomb(&Header::new(b'0', "zeros", 2 << 30).0, &zeros);
        let behind = bomb(&Tar::new().file("a", "x").end(), &zeros);
        let headers = bomb(&[0; 512], &zeros);
        refuse_all(&rl, [data, behind, headers].map(|bytes| ("a bomb", bytes, "-fold")).to_vec());
    }

    #[test]
    fn a_failed_import_leaves_the_old_image_as_it_was() {
        let (rl, _) = import(&Tar::new().file("a", "old").end());
        let path = write(&rl, &Tar::new().file("a", "new").0);
        rl.run(&["import", &path.to_string_lossy(), "taken"]).fails_with(125);
        assert_eq!(read(&rl, "a"), "old");
        assert_eq!(rl.run(&["images", "-q"]).success().stdout.lines().count(), 1);
    }

    #[test]
    fn a_directory_in_place_of_a_link_is_made_and_the_links_target_stays() {
        let rl = Rl::empty();
        let out = rl.dir("out");
        std::fs::set_permissions(&out, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("chmod");
        let tar =
            Tar::new().symlink("s", &out.to_string_lossy()).header(Header::new(b'5', "s", 0).with(100, b"0000777"));
        let path = write(&rl, &tar.file("s/x", "inside").end());
        rl.run(&["import", &path.to_string_lossy(), "taken"]).success();
        assert_eq!(std::fs::metadata(&out).expect("metadata").mode() & 0o7777, 0o700);
        assert_eq!(std::fs::read_dir(&out).expect("read").count(), 0);
        assert_eq!(read(&rl, "s/x"), "inside");
    }

    #[test]
    fn the_last_entry_of_a_name_counts_and_never_writes_through_the_first() {
        let tar = Tar::new().file("f", "first").hard_link("h", "f").file("h", "second").file("f", "third");
        let tar =
            tar.symlink("s", "h").file("s", "no link").hard_link("t", "s").symlink("t", "f").dir("e").file("e", "file");
        let (rl, _) = import(&tar.file("g", "file").dir("g").file("g/x", "deep").end());
        let contents = ["f", "h", "s", "e", "g/x"].map(|name| read(&rl, name));
        assert_eq!(contents, ["third", "second", "no link", "file", "deep"]);
        assert_eq!(std::fs::read_link(layer(&rl).join("t")).expect("a link"), PathBuf::from("f"));
    }

    #[test]
    fn a_hard_link_to_a_link_is_that_link_wherever_it_leads() {
        let (rl, _) = import(&Tar::new().symlink("s", "/etc/passwd").hard_link("h", "s").end());
        assert_eq!(std::fs::read_link(layer(&rl).join("h")).expect("a link"), PathBuf::from("/etc/passwd"));
    }

    #[test]
    fn of_a_directorys_two_entries_the_last_ones_time_counts() {
        let later = Header::new(b'5', "d", 0).with(136, b"00000000007\0");
        let (rl, _) = import(&Tar::new().dir("d").header(later).file("d/x", "").end());
        assert_eq!(std::fs::metadata(layer(&rl).join("d")).expect("metadata").mtime(), 7);
    }

    #[test]
    fn what_harms_nobody_is_taken() {
        let tar = Tar::new().extension(b'g', &crate::tar::record("comment", b"a commit")).dir("./").file("././/a", "1");
        let tar = tar.file(".wh.b", "2").file("c/d/e", "3").pax(&[("mtime", b"-1.5")]).file("old", "4");
        let (rl, _) = import(&tar.raw(&[0; 512]).0);
        assert_eq!(["a", ".wh.b", "c/d/e", "old"].map(|name| read(&rl, name)), ["1", "2", "3", "4"]);
        let old = std::fs::metadata(layer(&rl).join("old")).expect("metadata");
        assert_eq!((old.mtime(), old.mtime_nsec()), (-2, 500_000_000));
    }

    #[test]
    fn members_of_gzip_are_one_archive() {
        let whole = Tar::new().file("a", "content").end();
        let (one, two) = whole.split_at(700);
        let (rl, _) = import(&[gzip(one), gzip(two)].concat());
        assert_eq!(read(&rl, "a"), "content");
    }

    #[test]
    fn device_nodes_become_closed_empty_files_and_are_counted() {
        let device = |kind, name| Header::new(kind, name, 0).with(329, b"0000000").with(337, b"0000000");
        let tar = Tar::new()
            .header(device(b'3', "whiteout"))
            .header(device(b'4', "disk"))
            .header(Header::new(b'6', "pipe", 0));
        let (rl, said) = import(&tar.end());
        assert!(said.contains("2 device nodes"), "{said}");
        for name in ["whiteout", "disk"] {
            let meta = std::fs::symlink_metadata(layer(&rl).join(name)).expect("metadata");
            assert!(meta.is_file() && meta.len() == 0 && meta.mode() & 0o777 == 0, "{name}: {meta:?}");
        }
        use std::os::unix::fs::FileTypeExt;
        assert!(std::fs::symlink_metadata(layer(&rl).join("pipe")).expect("metadata").file_type().is_fifo());
    }

    #[test]
    fn attributes_of_overlays_are_not_taken_and_others_are() {
        let control = [
            "user.overlay.opaque",
            "user.overlay.redirect",
            "trusted.overlay.opaque",
            "user.fuseoverlayfs.opaque",
            "user.containers.override_stat",
            "user.rootlesscontainers",
            "security.selinux",
        ];
        let keys: Vec<_> = control.iter().map(|name| format!("SCHILY.xattr.{name}")).collect();
        let mut records: Vec<(&str, &[u8])> = keys.iter().map(|key| (key.as_str(), &b"y"[..])).collect();
        // An empty line in a value must not hide what follows.
        records.extend([("SCHILY.xattr.user.first", &b"a\n\nb"[..]), ("SCHILY.xattr.user.second", b"\n")]);
        let (rl, _) = import(&Tar::new().pax(&records).dir("d").pax(&records).file("f", "").end());
        let diff = layer(&rl).to_string_lossy().into_owned();
        let out =
            rl.run(&["unshare", "tar", "--xattrs", "--xattrs-include=*", "-C", &diff, "-cf", "-", "d", "f"]).success();
        let taken = |name: &str| out.stdout.matches(&format!("SCHILY.xattr.{name}=")).count();
        assert_eq!((taken("user.first"), taken("user.second")), (2, 2));
        for name in control {
            assert_eq!(taken(name), 0, "{name}");
        }
        assert!(out.stdout.contains("user.first=a\n\nb\n"), "the value is as it was");
    }

    #[test]
    fn names_are_shown_without_their_escapes() {
        let rl = Rl::empty();
        let path = write(&rl, &Tar::new().file("a\x1b[2J/../../b", "").end());
        let out = rl.run(&["import", &path.to_string_lossy()]).fails_with(125);
        assert!(!out.stderr.contains('\x1b') && out.stderr.contains("\\u{1b}"), "{}", out.stderr);
    }
}

mod full_map {
    use crate::assert_nothing_is_left;
    use crate::support::Rl;
    use crate::tar::Tar;

    #[test]
    fn an_owner_that_is_not_mapped_is_named_with_what_it_takes() {
        let rl = Rl::empty();
        let path = rl.dir("archives").join("a.tar");
        std::fs::write(&path, Tar::new().pax(&[("gid", b"3000000000")]).file("etc/f", "").end()).expect("write");
        let out = rl.run(&["import", &path.to_string_lossy(), "x"]).fails_with(125);
        for part in ["RL0304", "etc/f", "gid 3000000000", "--userns=single"] {
            assert!(out.stderr.contains(part), "{part}: {}", out.stderr);
        }
        assert_nothing_is_left(&rl, "an unmapped owner");
    }
}
