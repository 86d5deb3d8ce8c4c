//! Tests of the documents: finding, names, what counts as running.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::unistd::Pid;
use proptest::prelude::*;

use super::*;
use crate::spec::{ImageConfig, RunSpec};

fn dirs() -> (tempfile::TempDir, Dirs) {
    let dir = tempfile::tempdir().expect("a directory");
    let dirs = Dirs { data: dir.path().join("data"), run: dir.path().join("run") };
    (dir, dirs)
}

fn make(dirs: &Dirs, id: &str, name: &str) -> Record {
    let record = Record::new(id, name, "busybox".into(), &ImageConfig::default(), &RunSpec::default());
    let data = data_of(dirs, id);
    std::fs::create_dir_all(&data).expect("mkdir");
    record.write(&data).expect("write");
    names::claim(dirs, name, id).expect("claim");
    record
}

fn id(digit: char) -> String {
    std::iter::repeat_n(digit, 64).collect()
}

#[test]
fn a_container_is_found_by_name_by_id_and_by_the_digits_that_only_it_has() {
    let (_dir, dirs) = dirs();
    let other = format!("{}b", "a".repeat(63));
    make(&dirs, &id('a'), "one");
    make(&dirs, &other, "two");
    let all = Containers::open(&dirs);
    for (text, found) in [("one", id('a')), ("two", other.clone()), (&id('a'), id('a')), (&other, other.clone())] {
        assert_eq!(all.find(text).expect(text).record.id, found, "{text}");
    }
    for text in ["", "three", "aa", "b", "../one", "A"] {
        assert_eq!(*all.find(text).expect_err(text).entry(), state::NO_CONTAINER, "{text}");
    }
}

#[test]
fn a_name_belongs_to_a_container_that_stays_or_is_in_hand_and_to_no_other() {
    let (_dir, dirs) = dirs();
    make(&dirs, &id('a'), "web");
    assert_eq!(*names::claim(&dirs, "web", &id('b')).expect_err("taken").entry(), state::NAME);
    std::fs::remove_dir_all(data_of(&dirs, &id('a'))).expect("remove");
    names::claim(&dirs, "web", &id('b')).expect("left by a container that is no more");
    let _hand = lock(&dirs.containers().join(id('b'))).expect("lock");
    assert!(names::claim(&dirs, "web", &id('c')).is_err(), "in hand");
    names::release(&dirs, "web", &id('c'));
    assert_eq!(names::owner(&dirs, "web"), Some(id('b')), "another can't give it back");
}

#[test]
fn names_are_no_paths_no_options_and_no_escapes() {
    for bad in ["", ".", "..", "../x", "-rf", "a/b", "a\n", "a b", "%n", "\u{1b}[2J", "ä", &"x".repeat(129)] {
        assert!(!names::is_valid(bad), "{bad:?}");
    }
    for number in 0..20_000 {
        assert!(names::is_valid(&names::invent(number * 7919)));
    }
}

#[test]
fn only_the_very_process_that_was_written_down_counts_as_running() {
    let (_dir, dirs) = dirs();
    let record = make(&dirs, &id('a'), "web");
    let run = dirs.containers().join(id('a'));
    std::fs::create_dir_all(&run).expect("mkdir");
    let container = || Containers::open(&dirs).read(&record.id).expect("read").expect("there");
    let mut child = std::process::Command::new("sleep").arg("1000").spawn().expect("spawn");
    let file = RunningFile::of_child(Pid::from_raw(i32::try_from(child.id()).expect("pid")), None);
    file.write(&run).expect("write");
    assert_eq!(container().phase(), Phase::Running);
    // The same pid with another start time or of another boot is somebody else.
    let text = std::fs::read_to_string(run.join("state.json")).expect("read");
    for (from, to) in [("\"start_time\":", "\"start_time\":1"), ("\"boot_id\":\"", "\"boot_id\":\"x")] {
        std::fs::write(run.join("state.json"), text.replacen(from, to, 1)).expect("write");
        assert!(container().running.is_none(), "{to}");
    }
    std::fs::write(run.join("state.json"), &text).expect("write");
    child.kill().expect("kill");
    // Not reaped yet: it has its pid still, and its start time.
    while container().running.is_some() {}
    child.wait().expect("wait");
}

#[test]
fn an_end_that_nobody_has_seen_is_told_as_what_must_have_happened() {
    let status = Status::starting(0);
    assert_eq!((status.settled().exit, status.settled().finished), (137, None));
    let text = serde_json::to_string(&status).expect("JSON").replace("\"boot_id\":\"", "\"boot_id\":\"0");
    let other_boot: Status = serde_json::from_str(&text).expect("JSON");
    assert_eq!(other_boot.settled().exit, 255);
    assert_eq!(status.ended(3).settled().exit, 3);
}

#[test]
fn documents_are_for_the_owner_and_of_one_version() {
    let (_dir, dirs) = dirs();
    make(&dirs, &id('a'), "web");
    let path = data_of(&dirs, &id('a')).join("container.json");
    let mode = std::fs::metadata(&path).expect("metadata").permissions().mode();
    assert_eq!(mode & 0o077, 0);
    let text = std::fs::read_to_string(&path).expect("read");
    std::fs::write(&path, text.replacen("{\"version\":1,", "{\"version\":7,", 1)).expect("write");
    let error = Containers::open(&dirs).find("web").expect_err("another version");
    assert!(error.to_string().contains("version 7"), "{error}");
    let mut bad = 0;
    make(&dirs, &id('b'), "other");
    assert_eq!(Containers::open(&dirs).list(|_| bad += 1).expect("list").len(), 1);
    assert_eq!(bad, 1, "one damaged file does not hide the other container");
}

proptest! {
    /// Attack 24: whatever lies in the files, it is read as an error or as nothing, and no process is named by it.
    #[test]
    fn files_of_any_content_are_refused_quietly(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..400) {
        let (_dir, dirs) = dirs();
        let record = make(&dirs, &id('a'), "web");
        let (data, run) = (data_of(&dirs, &record.id), dirs.containers().join(&record.id));
        std::fs::create_dir_all(&run).expect("mkdir");
        let whole = std::fs::read(data.join("container.json")).expect("read");
        let spoilt: Vec<u8> = whole.iter().take(cut).copied().chain(bytes).collect();
        for path in [data.join("container.json"), data.join("status.json"), run.join("state.json")] {
            std::fs::write(&path, &spoilt).expect("write");
            if let Ok(Some(found)) = Containers::open(&dirs).read(&record.id) {
                prop_assert!(found.running.is_none());
            }
        }
    }
}

#[test]
fn what_is_no_container_is_no_container() {
    let (_dir, dirs) = dirs();
    for name in ["x", "..", &"g".repeat(64), &"A".repeat(64)] {
        let _ = std::fs::create_dir_all(dirs.data.join("containers").join(Path::new(name)));
    }
    assert_eq!(Containers::open(&dirs).ids().expect("ids"), Vec::<String>::new());
}
