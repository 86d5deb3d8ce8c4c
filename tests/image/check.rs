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

    /// As a power cut leaves a layer that was in memory only: marked by a boot that is over, with half of its files.
    fn lose(layer: &Path) {
        let _ = std::fs::remove_file(layer.join("unsynced"));
        std::os::unix::fs::symlink("00000000-0000-0000-0000-000000000000", layer.join("unsynced")).expect("mark");
        std::fs::write(layer.join("diff/first"), "").expect("cut the file off");
    }

    #[test]
    fn a_layer_that_was_not_on_the_disk_when_the_machine_went_down() {
        found(|_, first| lose(first), "went down", 1, &["first", "second"]);
    }

    #[test]
    fn a_layer_that_was_lost_is_not_used_and_is_made_again_of_its_archive() {
        let (rl, first) = store();
        lose(&first);
        let refused = rl.run(&["run", "--rm", "--network", "none", "first", "true"]).fails_with(125);
        assert!(refused.stderr.contains("RL0328"), "{}", refused.stderr);
        assert_eq!(std::fs::read_to_string(first.join("diff/first")).expect("read"), "");
        check(&rl, &["--repair"], 0);
        assert_eq!(std::fs::read_to_string(first.join("diff/first")).expect("read"), "content");
        clean(&rl);
    }

    #[test]
    fn a_layer_that_was_lost_with_its_archive_loses_its_name() {
        let damage = |rl: &Rl, first: &Path| {
            lose(first);
            let about = std::fs::read_to_string(first.join("about.json")).expect("read");
            let hex =
                about.split("\"digest\":\"sha256:").nth(1).expect("its blob").get(..64).expect("its digest").to_owned();
            std::fs::remove_file(rl.root().join("blobs/sha256").join(hex)).expect("remove");
        };
        found(damage, "went down", 1, &["second"]);
    }

    #[test]
    fn an_import_replaces_a_layer_that_was_lost() {
        let (rl, first) = store();
        lose(&first);
        import(&rl, "first");
        assert_eq!(std::fs::read_to_string(first.join("diff/first")).expect("read"), "content");
        clean(&rl);
    }

    #[test]
    fn system_sync_leaves_no_mark() {
        let (rl, first) = store();
        rl.run(&["system", "sync"]).success();
        assert!(first.join("about.json").exists());
        for layer in entries(&rl.root().join("layers")) {
            assert!(std::fs::symlink_metadata(layer.join("unsynced")).is_err(), "{}", layer.display());
        }
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
