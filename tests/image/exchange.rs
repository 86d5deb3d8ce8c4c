//! `rl save`, `rl load` and `rl push` to files: archives and layouts, ours and other tools'.

mod everywhere {
    use std::path::PathBuf;

    use crate::assert_nothing_is_left;
    use crate::support::{Rl, archive};
    use crate::tar::{Header, Tar};

    /// A store with one image of busybox, and its id.
    fn one() -> (Rl, String) {
        let rl = Rl::empty();
        let file = archive("busybox.tar");
        let id = rl.run(&["import", "-q", "-c", "ENV A=1", &file.to_string_lossy(), "web/app:1"]).success().stdout;
        (rl, id.trim().to_owned())
    }

    fn images(rl: &Rl) -> String {
        rl.run(&["images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"]).success().stdout
    }

    fn out(rl: &Rl, name: &str) -> (PathBuf, String) {
        let path = rl.dir("out").join(name);
        let text = path.to_string_lossy().into_owned();
        (path, text)
    }

    #[test]
    fn every_format_is_read_back_as_the_same_image() {
        let (rl, id) = one();
        for format in ["docker-archive", "oci-archive", "oci-dir"] {
            let (_, file) = out(&rl, format);
            rl.run(&["save", "-q", "--format", format, "-o", &file, "web/app:1"]).success();
            let other = Rl::empty();
            assert_eq!(
                other.run(&["load", "-q", "-i", &file]).success().stdout,
                "Loaded image: web/app:1\n",
                "{format}"
            );
            assert_eq!(images(&other), format!("web/app:1 {id}\n"), "{format}");
            assert_eq!(other.run(&["run", "--rm", "web/app:1", "sh", "-c", "echo $A"]).success().stdout, "1\n");
            assert_eq!(other.run(&["system", "check"]).success().stdout, "The store is clean.\n", "{format}");
        }
    }

    #[test]
    fn the_same_image_makes_the_same_archive_through_a_pipe_too() {
        let (rl, _) = one();
        let (path, file) = out(&rl, "a.tar");
        rl.run(&["save", "-q", "-o", &file, "web/app:1"]).success();
        let rl_program = rl.binary();
        let script = format!(
            "{} save -q web/app:1 | cmp - {file} && gzip -c {file} | {} load",
            rl_program.display(),
            rl_program.display()
        );
        assert_eq!(rl.shell(&script).success().stdout, "Loaded image: web/app:1\n");
        assert!(path.metadata().expect("the archive").len() > 1_000_000);
    }

    #[test]
    fn a_layout_keeps_the_images_that_it_has() {
        let (rl, id) = one();
        let (_, dir) = out(&rl, "layout");
        rl.run(&["push", "-q", "web/app:1", &format!("oci:{dir}:first:1")]).success();
        rl.run(&["push", "-q", "web/app:1", &format!("oci:{dir}:second:2")]).success();
        let other = Rl::empty();
        other.run(&["pull", "-q", &format!("oci:{dir}:second:2")]).success();
        assert_eq!(images(&other), format!("second:2 {id}\n"));
        other.run(&["load", "-q", "-i", &dir]).success();
        assert_eq!(images(&other).lines().count(), 2);
        let none = other.run(&["pull", &format!("oci:{dir}:third")]).fails_with(125);
        assert!(none.stderr.contains("RL0316") && none.stderr.contains("second:2"), "{}", none.stderr);
    }

    #[test]
    fn a_failed_save_leaves_the_old_archive() {
        let (rl, _) = one();
        let (path, file) = out(&rl, "a.tar");
        std::fs::write(&path, "old").expect("write");
        rl.run(&["save", "-o", &file, "web/app:1", "no/such:1"]).fails_with(1);
        assert_eq!(std::fs::read_to_string(&path).expect("read"), "old");
        assert_eq!(std::fs::read_dir(rl.dir("out")).expect("list").count(), 1);
        let full = rl.run(&["save", "-q", "-o", "/dev/full", "web/app:1"]).fails_with(125);
        assert!(full.stderr.contains("RL0318"), "{}", full.stderr);
    }

    const MANIFEST: &str = r#"[{"Config":"config.json","RepoTags":["x:1"],"Layers":["layer.tar"]}]"#;

    #[test]
    fn archives_that_lie_are_refused_and_nothing_is_left() {
        let link = |kind: u8, target: &str| Header::new(kind, "layer.tar", 0).with(157, target.as_bytes());
        let config = |ids: &str| {
            format!(r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":[{ids}]}}}}"#)
        };
        let one_layer = config(&format!("\"sha256:{}\"", "0".repeat(64)));
        let tar = || Tar::new().file("manifest.json", MANIFEST);
        for (what, bytes, says) in [
            ("flat", Tar::new().file("etc/passwd", "root").end(), "rl import"),
            ("nothing", Vec::new(), "RL0303"),
            ("no configuration", tar().end(), "config.json"),
            ("no layer", tar().file("config.json", &one_layer).end(), "layer.tar"),
            ("too few layers", tar().file("config.json", &config("")).end(), "0 layers"),
            (
                "a link out",
                tar().file("config.json", &one_layer).header(link(b'2', "../../etc/passwd")).end(),
                "leads out",
            ),
            (
                "an absolute link",
                tar().file("config.json", &one_layer).header(link(b'2', "/etc/passwd")).end(),
                "leads out",
            ),
            ("a circle", tar().file("config.json", &one_layer).header(link(b'2', "layer.tar")).end(), "not there"),
            ("a member twice", tar().file("manifest.json", "[]").end(), "there twice"),
            ("a name that leads out", tar().file("../x", "").end(), "leads elsewhere"),
            ("other content", tar().file("config.json", &one_layer).file("layer.tar", "no tar").end(), "RL0314"),
            ("no images", Tar::new().file("manifest.json", "[]").end(), "there is none"),
            ("no JSON", Tar::new().file("manifest.json", "<html>").end(), "RL0316"),
        ] {
            let rl = Rl::empty();
            let (path, file) = out(&rl, "bad.tar");
            std::fs::write(&path, bytes).expect("write");
            let refused = rl.run(&["load", "-i", &file]).fails_with(125);
            assert!(refused.stderr.contains(says), "{what}: {}", refused.stderr);
            assert_nothing_is_left(&rl, what);
        }
    }
}

mod full_map {
    use crate::support::{Rl, archive, missing};

    /// Other tools read what rl writes, and rl what they write. In a mapped namespace, where skopeo has the rights it wants.
    #[test]
    fn skopeo_and_rl_read_each_others_files() {
        if std::process::Command::new("skopeo").arg("--version").output().is_err() {
            missing("skopeo");
            return;
        }
        let rl = Rl::empty();
        let id = rl.run(&["import", "-q", &archive("busybox.tar").to_string_lossy(), "app:1"]).success().stdout;
        let dir = rl.dir("out");
        let dir = dir.to_string_lossy();
        for (format, transport) in
            [("docker-archive", "docker-archive"), ("oci-archive", "oci-archive"), ("oci-dir", "oci")]
        {
            let (ours, theirs) = (format!("{dir}/ours-{format}"), format!("{dir}/theirs-{format}"));
            rl.run(&["save", "-q", "--format", format, "-o", &ours, "app:1"]).success();
            let copy = "skopeo --insecure-policy copy -q --tmpdir \"$1\" \"$2\" \"$3\"";
            // A layout's names are whole; docker's archive has one image.
            let from = format!("{transport}:{ours}");
            let to = format!("{transport}:{theirs}:copied:2");
            rl.run(&["unshare", "sh", "-c", copy, "sh", &dir, &from, &to]).success();
            let other = Rl::empty();
            let loaded = other.run(&["load", "-q", "-i", &theirs]).success().stdout;
            assert_eq!(loaded, "Loaded image: copied:2\n", "{format}");
            let shown = other.run(&["images", "-q", "--no-trunc"]).success().stdout;
            assert_eq!(shown, id, "{format}");
        }
    }
}
