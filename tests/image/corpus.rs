//! What the fuzz targets have found and come through (tests/fuzz), once more, without a fuzzer.

#[path = "../fuzz/targets.rs"]
mod targets;

mod as_user {
    use super::targets;
    use crate::support::top;

    fn replay(name: &str, target: fn(&[u8])) {
        let mut count = 0;
        for entry in std::fs::read_dir(top().join("tests/fuzz/corpus").join(name)).expect("the corpus") {
            let path = entry.expect("entry").path();
            // Should it panic, this is what tells which.
            println!("{}", path.display());
            target(&std::fs::read(path).expect("read"));
            count += 1;
        }
        assert!(count >= 10, "the corpus of {name} has {count} inputs only");
    }

    #[test]
    fn references() {
        replay("reference", targets::reference);
    }

    #[test]
    fn manifests() {
        replay("manifest", targets::manifest);
    }

    #[test]
    fn indexes() {
        replay("index", targets::index);
    }

    #[test]
    fn layers() {
        replay("layer", targets::layer);
    }

    #[test]
    fn archives() {
        replay("archive", targets::archive);
    }
}
