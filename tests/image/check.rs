//! `rl system check`: every kind of damage is found, and repaired without touching what is whole.

mod everywhere {
    use std::path::{Path, PathBuf};

    use crate::support::Rl;
    use crate::tar::Tar;
    use crate::{entries, layer};

    fn import(rl: &Rl, name: &str) {
        let file = rl.dir("archives").join(format!("{name}.tar"));
        std::fs::write(&file, Tar::new().file(name, "content").end()).expect("write");
        rl.run(&["import", "-q", &file.to_string_lossy(), name]).success();
    }

    /// Two images; the second must survive whatever happens to the first.
    fn store() -> (Rl, PathBuf) {
        let rl = Rl::empty();
        import(&rl, "first");
        let first = layer(&rl);
        import(&rl, "second");
        (rl, first.parent().expect("the layer").to_owned())
    }

    fn check(rl: &Rl, words: &[&str], code: i32) -> String {
        let mut all = vec!["system", "check"];
        all.extend(words);
        rl.run(&all).fails_with(code).stdout
    }

    fn clean(rl: &Rl) {
        assert_eq!(check(rl, &[], 0), "The store is clean.\n");
    }

    /// Found, said, repaired; `rest` are the images that stay.
    fn found(damage: impl FnOnce(&Rl, &Path), says: &str, code: i32, rest: &[&str]) {
        let (rl, first) = store();
        clean(&rl);
        damage(&rl, &first);
        let said = check(&rl, &[], code);
        assert!(said.contains(says), "{says:?} is not in {said:?}");
        assert_eq!(check(&rl, &[], code), said, "looking changes nothing");
        let repaired = check(&rl, &["--repair"], 0);
        assert!(repaired.contains(says) && repaired.contains('('), "{repaired}");
        // What repairing one thing has made garbage goes with the next.
        check(&rl, &["--repair"], 0);
        clean(&rl);
        let names = rl.run(&["images", "--format", "{{.Repository}}:{{.Tag}}"]).success().stdout;
        for name in ["first", "second"] {
            assert_eq!(names.contains(&format!("{name}:latest")), rest.contains(&name), "{name}: {names}");
        }
    }

    fn blobs(rl: &Rl) -> Vec<PathBuf> {
        entries(&rl.root().join("blobs/sha256"))
    }

    #[test]
    fn a_layer_that_is_gone() {
        found(
            |rl, first| drop(rl.run(&["unshare", "rm", "-r", &first.to_string_lossy()]).success()),
            "is missing",
            1,
            &["second"],
        );
    }

    #[test]
    fn a_document_that_is_cut_off() {
        let cut = |rl: &Rl, _: &Path| {
            std::fs::write(rl.root().join("images/first%latest.json"), "{\"version\":2,").expect("write")
        };
        found(cut, "understand", 1, &["second"]);
    }

    #[test]
    fn a_blob_with_other_content() {
        let spoil = |rl: &Rl, first: &Path| {
            // The configuration of the first image names its layer.
            let name = first.file_name().expect("a name").to_string_lossy().into_owned();
            let names = |blob: &&PathBuf| {
                std::fs::read(blob).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(&name))
            };
            let all = blobs(rl);
            let config = all.iter().find(names).expect("the configuration");
            let mut bytes = std::fs::read(config).expect("read");
            bytes[10] ^= 1;
            std::fs::write(config, bytes).expect("write");
        };
        found(spoil, "has the content of", 1, &["second"]);
    }

    #[test]
    fn what_nothing_needs_is_garbage_and_no_damage() {
        let litter = |rl: &Rl, _: &Path| {
            let (blobs, partial) = (rl.root().join("blobs/sha256"), rl.root().join("partial"));
            // The digest of nothing.
            let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
            std::fs::write(blobs.join(empty), "").expect("write");
            std::fs::create_dir_all(&partial).expect("mkdir");
            std::fs::write(partial.join(format!("sha256-{empty}")), "").expect("write");
            std::fs::create_dir_all(rl.root().join("staging/left/layer")).expect("mkdir");
            std::fs::create_dir_all(rl.root().join(format!("layers/{empty}/diff"))).expect("mkdir");
        };
        for says in ["no image has the blob", "cut off", "writers that were killed", "no image has the layer"] {
            found(litter, says, 0, &["first", "second"]);
        }
    }
}
