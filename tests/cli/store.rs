//! `import`, `images` and `rmi` from the outside.

use crate::support::{Rl, archive};

#[test]
fn an_imported_image_is_listed_and_a_removed_one_is_not() {
    let rl = Rl::empty();
    let file = archive("busybox.tar");
    let file = file.to_str().expect("UTF-8");
    rl.run(&["import", "-q", file, "one"]).success();
    let listed = rl.run(&["images"]).success().stdout;
    assert!(listed.lines().any(|line| line.starts_with("one ")), "{listed}");
    rl.run(&["rmi", "one"]).success();
    let listed = rl.run(&["images"]).success().stdout;
    assert!(!listed.contains("one"), "{listed}");
    rl.run(&["run", "--rm", "one", "true"]).fails_with(125);
}

#[test]
fn an_archive_can_come_through_a_pipe() {
    let rl = Rl::empty();
    let (binary, file) = (rl.binary(), archive("busybox.tar"));
    for pack in ["cat", "gzip -1", "zstd -1 -q", "xz -0"] {
        let line = format!("{pack} <{} | {} import -q - piped", file.display(), binary.display());
        rl.shell(&line).success();
        assert_eq!(rl.run(&["run", "--rm", "piped", "echo", pack]).success().stdout, format!("{pack}\n"));
    }
}

#[test]
fn an_images_command_is_what_import_was_told() {
    let rl = Rl::empty();
    let file = archive("busybox.tar");
    let file = file.to_str().expect("UTF-8");
    rl.run(&["import", "-q", "-c", "CMD [\"echo\", \"from the image\"]", file, "talks"]).success();
    assert_eq!(rl.run(&["run", "--rm", "talks"]).success().stdout, "from the image\n");
    assert_eq!(rl.run(&["run", "--rm", "talks", "echo", "given"]).success().stdout, "given\n");
}

#[test]
fn a_truncated_archive_leaves_no_image_and_no_layer() {
    let rl = Rl::empty();
    let line =
        format!("head -c 100000 {} | {} import -q - half", archive("busybox.tar").display(), rl.binary().display());
    let out = rl.shell(&line).fails_with(125);
    assert!(out.stderr.contains("rl: "), "{}", out.stderr);
    assert!(!rl.run(&["images"]).success().stdout.contains("half"));
    let layers = std::fs::read_dir(rl.root().join("layers")).map_or(0, Iterator::count);
    assert_eq!(layers, 0);
}

#[test]
fn removing_what_is_not_there_is_an_error_that_names_it() {
    let out = Rl::empty().run(&["rmi", "never-was"]).fails_with(1);
    assert!(out.stderr.contains("never-was"), "{}", out.stderr);
}
