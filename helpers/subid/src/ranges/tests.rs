//! The sources in temporary files, with a `getsubids` of the test's own.

use std::fs;

use tempfile::TempDir;

use super::*;

struct Machine {
    dir: TempDir,
    sources: Sources,
}

impl Machine {
    fn new(subuid: Option<&str>, nsswitch: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("subuid");
        if let Some(text) = subuid {
            fs::write(&file, text).expect("subuid");
        }
        let nss = dir.path().join("nsswitch.conf");
        fs::write(&nss, nsswitch).expect("nsswitch.conf");
        let sources = Sources { file, nsswitch: nss, path: Some(dir.path().into()) };
        Self { dir, sources }
    }

    /// Written by another process: a descriptor of ours, still open in a child that another test forks, would be
    /// ETXTBSY.
    fn getsubids(self, body: &str) -> Self {
        let write = r#"printf '#!/bin/sh\n%s\n' "$1" > "$2" && chmod 755 "$2""#;
        let status = Command::new("sh").args(["-c", write, "sh", body]).arg(self.dir.path().join("getsubids")).status();
        assert!(status.expect("sh").success());
        self
    }

    fn ranges(&self, kind: Kind) -> Result<Vec<Range>, Error> {
        self.sources.ranges(kind, &User { name: Some("alice".into()), uid: 1001 })
    }
}

const ALICE: &str = "echo \"0: $1 100000 65536\"; echo \"1: $1 300000 5\"";

#[test]
fn the_file_is_believed_without_asking_the_name_service() {
    let machine = Machine::new(Some("alice:5:6\n"), "subid: sss\n").getsubids(ALICE);
    assert_eq!(machine.ranges(Kind::Uid).expect("ranges"), [Range { start: 5, count: 6 }]);
}

#[test]
fn the_name_service_is_asked_where_the_file_has_none() {
    for file in [None, Some(""), Some("bob:1:2\n")] {
        let machine = Machine::new(file, "passwd: files\nsubid: sss\n").getsubids(ALICE);
        let expected = [Range { start: 100_000, count: 65536 }, Range { start: 300_000, count: 5 }];
        assert_eq!(machine.ranges(Kind::Uid).expect("ranges"), expected);
    }
}

#[test]
fn group_ids_are_asked_for_with_g() {
    let machine = Machine::new(None, "subid: sss\n").getsubids(r#"test "$1" = -g && echo "0: $2 7 8""#);
    assert_eq!(machine.ranges(Kind::Gid).expect("ranges"), [Range { start: 7, count: 8 }]);
    assert_eq!(machine.ranges(Kind::Uid).expect("ranges"), []);
}

#[test]
fn getsubids_is_not_run_where_it_would_read_the_same_file() {
    for nsswitch in ["", "subid: files\n", "#subid: sss\n", "subid: files sss\n", "subid:\n", "passwd: sss\n"] {
        let machine = Machine::new(None, nsswitch).getsubids(ALICE);
        assert_eq!(machine.ranges(Kind::Uid).expect("ranges"), [], "{nsswitch:?}");
    }
}

#[test]
fn a_missing_nsswitch_is_no_error() {
    let mut machine = Machine::new(None, "");
    machine.sources.nsswitch = machine.dir.path().join("absent");
    assert_eq!(machine.ranges(Kind::Uid).expect("ranges"), []);
}

#[test]
fn a_failing_getsubids_means_no_ranges() {
    let machine = Machine::new(None, "SubID:\tldap\n").getsubids("echo 'Error fetching ranges' >&2; exit 1");
    assert_eq!(machine.ranges(Kind::Uid).expect("ranges"), []);
}

#[test]
fn an_answer_that_makes_no_sense_is_refused_and_shown() {
    let answers = [
        ("echo nonsense", LineProblem::Fields),
        ("echo 0: alice 1 0", LineProblem::Empty),
        ("echo 0: alice 1 many", LineProblem::Number("many".into())),
        ("echo 0: alice 4294967295 1", LineProblem::Beyond),
        ("echo 0: alice 1 5; echo 1: alice 5 1", LineProblem::Overlap(1)),
    ];
    for (body, expected) in answers {
        let machine = Machine::new(None, "subid: sss\n").getsubids(body);
        match machine.ranges(Kind::Uid) {
            Err(Error::Answer { problem, .. }) => assert_eq!(problem, expected, "{body}"),
            other => panic!("{body} gave {other:?}"),
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let mut machine = Machine::new(None, "");
    machine.sources.file = machine.dir.path().to_owned();
    let message = machine.ranges(Kind::Uid).expect_err("a directory is no file").to_string();
    assert_eq!(message, format!("cannot read {}", machine.dir.path().display()));
}

#[test]
fn the_user_of_uid_0_is_root() {
    assert_eq!(User::of(0), User { name: Some("root".into()), uid: 0 });
}

#[test]
fn ranges_that_touch_do_not_overlap() {
    let range = |start, count| Range { start, count };
    assert!(!range(0, 10).overlaps(range(10, 1)));
    assert!(range(0, 10).overlaps(range(9, 1)));
    assert!(range(u32::MAX - 1, 1).overlaps(range(0, u32::MAX)));
}
