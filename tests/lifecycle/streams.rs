//! Archives that come into containers and volumes: what they may be compressed with, and what one that breaks off leaves.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::exec::Living;
use crate::support::{Output, Rl};

/// What no compression makes smaller, so that half of an archive ends within it.
const LARGE: usize = 600_000;

fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    };
    (0..bytes).map(next).collect()
}

/// A file that is whole in the first half of it, and one that is not.
fn archive() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in [("first", b"new\n".to_vec()), ("large", noise(LARGE))] {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o640);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_cksum();
        builder.append_data(&mut header, name, content.as_slice()).expect("append");
    }
    builder.into_inner().expect("an archive")
}

/// All that is read.
fn kinds(plain: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(plain).expect("gzip");
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 0);
    xz.write_all(plain).expect("xz");
    vec![
        ("plain", plain.to_vec()),
        ("gzip", gzip.finish().expect("gzip")),
        ("zstd", zstd::encode_all(plain, 1).expect("zstd")),
        ("xz", xz.finish().expect("xz")),
    ]
}

/// What is not, and what its error says.
fn bad() -> Vec<(String, Vec<u8>, &'static str)> {
    let plain = archive();
    let mut all: Vec<_> = kinds(&plain)
        .into_iter()
        .map(|(kind, whole)| {
            let why = match kind {
                "plain" => "cut off in the data",
                "gzip" => "read as gzip",
                "zstd" => "read as zstd",
                _ => "read as xz",
            };
            (format!("half of {kind}"), whole[..whole.len() / 2].to_vec(), why)
        })
        .collect();
    // Between two files, where nothing but the missing end tells.
    all.push(("the first file".into(), plain[..1024].to_vec(), "the archive has no end"));
    all.push(("no tar in gzip".into(), kinds(&noise(9000)).remove(1).1, "this is no tar archive"));
    all.push(("noise".into(), noise(9000), "this is no tar archive"));
    all.push(("less than a header".into(), b"text\n".to_vec(), "this is no tar archive"));
    all.push(("nothing".into(), Vec::new(), "there is nothing in the stream"));
    all.push(("bzip2".into(), b"BZh91AY&SY".to_vec(), "it is compressed with bzip2"));
    all.push(("lz4".into(), [0x04, 0x22, 0x4d, 0x18, 0x64, 0x40].to_vec(), "it is compressed with lz4"));
    all
}

fn file(dir: &Path, content: &[u8]) -> PathBuf {
    let path = dir.join("archive");
    std::fs::write(&path, content).expect("write");
    path
}

/// What comes in with `give`, and what is seen there with `see`: `first`, the size of `large`, and all names.
fn all_kinds(rl: &Rl, give: &dyn Fn(&Path) -> Output, see: &dyn Fn(&str) -> String) {
    let dir = rl.dir("archives");
    let old = "cd /d; rm -rf /d/*; echo old >first; echo old >large";
    let seen = "cd /d; cat first; wc -c <large; stat -c %a large; ls -A";
    for (kind, archive) in kinds(&archive()) {
        see(old);
        let out = give(&file(&dir, &archive)).success();
        assert_eq!(out.stderr, "", "{kind}");
        assert_eq!(see(seen), format!("new\n{LARGE}\n640\nfirst\nlarge\n"), "{kind}");
    }
    for (what, archive, why) in bad() {
        see(old);
        let out = give(&file(&dir, &archive)).fails_with(125);
        assert!(out.stderr.contains("RL0463") && out.stderr.contains(why), "{what}: {}", out.stderr);
        // The file of which half has come is as it was, and nothing else is there.
        let text = see("cd /d; cat first large; ls -A");
        let first = match what.as_str() {
            "half of plain" | "the first file" => "new",
            // As much as its decoder gave before it failed.
            half if half.starts_with("half of") => text.lines().next().unwrap_or_default(),
            _ => "old",
        };
        assert_eq!(text, format!("{first}\nold\nfirst\nlarge\n"), "{what}");
    }
}

mod everywhere {
    use super::*;

    #[test]
    fn a_stream_into_a_container_may_be_compressed_and_breaks_nothing_when_it_is_cut() {
        let rl = Rl::new();
        let living = Living::start(&rl, &[], "mkdir /d");
        let give = |file: &Path| rl.shell(&format!("exec {} cp - box:/d <{}", rl.binary().display(), file.display()));
        all_kinds(&rl, &give, &|script| living.exec(&["box", "sh", "-c", script]).success().stdout);
    }

    #[test]
    fn an_archive_into_a_volume_may_be_compressed_and_breaks_nothing_when_it_is_cut() {
        let rl = Rl::new();
        let _living = Living::start(&rl, &["-v", "data:/d"], "true");
        let give = |file: &Path| rl.run(&["volume", "import", "data", &file.to_string_lossy()]);
        let see = |script: &str| rl.run(&["exec", "box", "sh", "-c", script]).success().stdout;
        all_kinds(&rl, &give, &see);
        // The same from stdin.
        let (_, zstd) = kinds(&archive()).remove(2);
        let script =
            format!("{} volume import data - <{}", rl.binary().display(), file(&rl.dir("in"), &zstd).display());
        see("rm /d/*");
        rl.shell(&script).success();
        assert_eq!(see("cat /d/first"), "new\n");
    }

    /// As those of images: zeros behind the end are where no file is.
    #[test]
    fn a_stream_that_expands_too_far_is_stopped() {
        let rl = Rl::new();
        let living = Living::start(&rl, &[], "mkdir /d");
        let mut zstd = zstd::Encoder::new(Vec::new(), 1).expect("zstd");
        zstd.write_all(&archive()).expect("write");
        let zeros = vec![0; 64 << 20];
        for _ in 0..17 {
            zstd.write_all(&zeros).expect("write");
        }
        let file = file(&rl.dir("archives"), &zstd.finish().expect("zstd"));
        let out = rl.shell(&format!("exec {} cp - box:/d <{}", rl.binary().display(), file.display())).fails_with(125);
        assert!(out.stderr.contains("RL0463") && out.stderr.contains("-fold"), "{}", out.stderr);
        assert_eq!(living.exec(&["box", "cat", "/d/first"]).success().stdout, "new\n");
    }

    /// What could not be read is what is told, not that the other thread had an end too early; the file that was there stays.
    #[test]
    fn a_copy_that_cannot_be_written_leaves_what_was_there() {
        let rl = Rl::new();
        let living = Living::start(&rl, &["--tmpfs", "/small:size=128k"], "echo old >/small/file");
        let large = rl.dir("in").join("file");
        std::fs::write(&large, noise(LARGE)).expect("write");
        let out = rl.run(&["cp", &large.to_string_lossy(), "box:/small/file"]).fails_with(125);
        assert!(out.stderr.contains("No space left"), "{}", out.stderr);
        let seen = living.exec(&["box", "sh", "-c", "cat /small/file; ls -A /small"]).success().stdout;
        assert_eq!(seen, "old\nfile\n");
    }
}
