//! What is unpacked is what GNU tar unpacks, in the same namespace, from the same archive.
//!
//! The two trees are packed again in the same way and compared as archives: owners, modes, times to the nanosecond,
//! links, attributes and content at once.

mod full_map {
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    use crate::layer;
    use crate::support::{Rl, archive, binary};
    use crate::tar::{Header, Tar, gzip, xz, zstd};

    const TREE: &str = r#"
        set -e; cd "$1"; umask 022
        mkdir -p bin etc/deep dev "$(printf '%0100d' 1)/$(printf '%0200d' 2)"
        echo setuid > bin/su; chown 0:5 bin/su; chmod 6755 bin/su
        echo other > etc/shadow; chown 7:42 etc/shadow; chmod 640 etc/shadow
        echo mine > etc/last; chown 65535:65535 etc/last
        mkdir -m 1777 tmp; mkdir -m 2750 var; chown 33:33 var; mkdir -m 0 closed; echo x > closed/inside
        ln bin/su bin/sudo; ln -s ../etc/shadow bin/link; ln -s /absolute/gone dangling; chown -h 3:4 dangling
        ln bin/link bin/link2; mkfifo -m 622 dev/initctl
        truncate -s 20M sparse; printf start | dd of=sparse conv=notrunc status=none
        printf end | dd of=sparse bs=1 seek=15000000 conv=notrunc status=none; truncate -s 3M hole
        for i in $(seq 60); do printf x | dd of=many bs=1 seek=$((i * 65536)) conv=notrunc status=none; done
        : > "$(printf '%0100d' 1)/$(printf '%0200d' 2)/$(printf '%0150d' 3)"
        ln -s "$(printf '%0150d' 4)" longlink; ln "$(printf '%0100d' 1)/$(printf '%0200d' 2)/$(printf '%0150d' 3)" hard
        echo 'new
line' > "new
line"
        touch -h -d '2001-02-03 04:05:06.123456789 UTC' bin/su dangling
        touch -d '1960-01-01 00:00:00.25 UTC' etc/last
        touch -d '2010-01-01 UTC' etc/deep tmp var .
    "#;
    const PACK: &str = r#"cd "$1" && tar --sort=name --format=pax --numeric-owner --xattrs --xattrs-include='*' \
        --pax-option=exthdr.name=%d/x/%f,delete=atime,delete=ctime --exclude="$3" -cf "$2" ."#;

    fn shell(rl: &Rl, script: &str, words: &[&Path]) {
        let mut all = vec!["unshare", "sh", "-c", script, "sh"];
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        all.extend(words.iter().map(|word| &**word));
        rl.run(&all).success();
    }

    /// Unpacks with both and compares.
    fn compare(rl: &Rl, file: &Path, what: &str) {
        compare_without(rl, file, what, "./nothing");
    }

    /// The same but for what has a name like `left_out`.
    fn compare_without(rl: &Rl, file: &Path, what: &str, left_out: &str) {
        let store = Rl::empty();
        store.run(&["import", "-q", &file.to_string_lossy(), "x"]).success();
        let out = rl.dir("work");
        let theirs = out.join(what.replace('/', "-"));
        std::fs::create_dir(&theirs).expect("mkdir");
        let unpack = r#"chmod 755 "$2" && chown 0:0 "$2" && tar --numeric-owner --same-owner -p --xattrs \
            --xattrs-include='*' --exclude="$3" -xf "$1" -C "$2""#;
        let left_out = Path::new(left_out);
        shell(rl, unpack, &[file, &theirs, left_out]);
        let (a, b) = (out.join("theirs.tar"), out.join("ours.tar"));
        shell(rl, PACK, &[&theirs, &a, left_out]);
        shell(&store, PACK, &[&layer(&store), &b, left_out]);
        let (a, b) = (std::fs::read(a).expect("read"), std::fs::read(b).expect("read"));
        if a != b {
            let list = |tar: &str| {
                let list = format!("tar --numeric-owner --full-time -tvf {}", out.join(tar).display());
                rl.run(&["unshare", "sh", "-c", &list]).stdout
            };
            let (theirs, ours) = (list("theirs.tar"), list("ours.tar"));
            let differ: Vec<_> = theirs.lines().zip(ours.lines()).filter(|(a, b)| a != b).take(5).collect();
            panic!("{what}: {} and {} bytes; first lines that differ: {differ:#?}", a.len(), b.len());
        }
    }

    fn made(rl: &Rl, flags: &str, name: &str) -> std::path::PathBuf {
        let tree = rl.dir("tree");
        if !tree.join("bin").exists() {
            shell(rl, TREE, &[&tree]);
        }
        let file = rl.dir("archives").join(name);
        shell(rl, &format!("tar --numeric-owner {flags} -C \"$1\" -cf \"$2\" ."), &[&tree, &file]);
        file
    }

    #[test]
    fn every_format_and_sparse_map_gives_the_tree_that_gnu_tar_gives() {
        let rl = Rl::empty();
        for flags in [
            "--format=gnu",
            "--format=gnu --sparse",
            "--format=pax",
            "--format=pax --sparse --sparse-version=0.0",
            "--format=pax --sparse --sparse-version=0.1",
            "--format=pax --sparse --sparse-version=1.0",
            "--format=oldgnu --sparse --blocking-factor=1",
            "--format=posix --blocking-factor=2000",
        ] {
            let file = made(&rl, flags, "a.tar");
            compare(&rl, &file, flags);
        }
    }

    #[test]
    fn every_compression_gives_the_same_layer() {
        let rl = Rl::empty();
        let plain = std::fs::read(made(&rl, "--format=pax", "a.tar")).expect("read");
        let dir = rl.dir("archives");
        let mut layers = Vec::new();
        for (name, bytes) in [("a", plain.clone()), ("gz", gzip(&plain)), ("zst", zstd(&plain)), ("xz", xz(&plain))] {
            std::fs::write(dir.join(name), bytes).expect("write");
            rl.run(&["import", "-q", &dir.join(name).to_string_lossy(), name]).success();
            layers.push(layer(&rl));
        }
        // One directory for the four of them: the digest is that of the uncompressed stream.
        assert!(layers.windows(2).all(|pair| pair[0] == pair[1]), "{layers:?}");
        let digest = layers[0].parent().and_then(Path::file_name).expect("a digest").to_string_lossy().into_owned();
        let sum = rl.run(&["unshare", "sha256sum", &dir.join("a").to_string_lossy()]).success();
        assert!(sum.stdout.starts_with(&digest), "{digest} {}", sum.stdout);
    }

    #[test]
    fn holes_stay_holes() {
        let rl = Rl::empty();
        for flags in ["--format=gnu --sparse", "--format=pax --sparse"] {
            let store = Rl::empty();
            let file = made(&rl, flags, "a.tar");
            store.run(&["import", "-q", &file.to_string_lossy(), "x"]).success();
            for (name, size) in [("sparse", 20 << 20), ("hole", 3 << 20)] {
                let meta = std::fs::metadata(layer(&store).join(name)).expect("metadata");
                assert_eq!(meta.len(), size, "{flags} {name}");
                assert!(meta.blocks() * 512 < 1 << 20, "{flags} {name}: {} blocks", meta.blocks());
            }
        }
    }

    #[test]
    fn file_capabilities_and_attributes_are_those_of_the_archive() {
        // Version 2, cap_dac_override and cap_fowner permitted and effective: its bytes hold newlines.
        let capability = [1, 0, 0, 2, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let all: [(&str, &[u8]); 3] = [
            ("SCHILY.xattr.user.note", b"\n\n\0=\n"),
            ("SCHILY.xattr.security.capability", &capability),
            ("mtime", b"1234567890.000000001"),
        ];
        let tar = Tar::new()
            .dir("./")
            .dir("bin/")
            .pax(&all)
            .with_data(Header::new(b'0', "bin/ping", 4).with(100, b"0000755"), b"ping");
        let tar = tar.pax(&all[..1]).dir("var").end();
        let rl = Rl::empty();
        let file = rl.dir("archives").join("a.tar");
        std::fs::write(&file, tar).expect("write");
        compare(&rl, &file, "attributes");
    }

    #[test]
    fn a_whole_distribution_is_unpacked_as_by_gnu_tar() {
        let rl = Rl::empty();
        // Without its device nodes, which tar can't make. They stay in the archive: tar --delete takes neighbours along.
        compare_without(&rl, &archive("debian.tar.gz"), "debian", "./dev/*");
    }

    #[test]
    fn memory_stays_bounded() {
        let rl = Rl::empty();
        // A limit on private memory ends rl where it would use more.
        let (binary, debian) = (binary(), archive("debian.tar.gz"));
        // No backtrace: making one needs memory too, and std waits for ever when two threads have none left for it.
        let line = format!("RUST_BACKTRACE=0 {} import -q {} x", binary.display(), debian.display());
        let script = |limit: u32| format!("ulimit -d {limit}; {line}");
        rl.shell(&script(100 * 1024)).success();
        assert_ne!(rl.shell(&script(2 * 1024)).code(), 0, "the limit must be one");
    }
}

mod everywhere {
    use std::os::unix::fs::MetadataExt;

    use crate::layer;
    use crate::support::Rl;
    use crate::tar::Tar;

    #[test]
    fn with_a_single_id_everything_is_roots_and_that_is_said_once() {
        let rl = Rl::empty();
        let file = rl.dir("archives").join("a.tar");
        let acl = [
            2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 33, 0, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255, 16, 0,
            4, 0, 255, 255, 255, 255, 32, 0, 4, 0, 255, 255, 255, 255,
        ];
        let tar =
            Tar::new().pax(&[("uid", b"3000000000"), ("SCHILY.xattr.system.posix_acl_access", &acl)]).file("a", "");
        std::fs::write(&file, tar.pax(&[("gid", b"42")]).dir("d").file("mine", "").end()).expect("write");
        let out = rl.run(&["import", "--userns=single", &file.to_string_lossy(), "x"]).success();
        assert!(out.stderr.contains("2 entries of other users belong to root"), "{}", out.stderr);
        let owner = |name: &str| {
            std::fs::metadata(layer(&rl).join(name)).map(|meta| (meta.uid(), meta.gid())).expect("metadata")
        };
        assert_eq!((owner("a"), owner("d")), (owner("mine"), owner("mine")));
    }
}
