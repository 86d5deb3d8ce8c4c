//! The real newuidmap and newgidmap on a real user namespace.
//!
//! Mapping one's own id needs no range in /etc/subuid, nor a setuid bit; the tests of whole ranges need an unprivileged user
//! who has some.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use subid::{HelperError, IdMap, Kind, Range, User, Writer, full_map, ranges, write_maps};

/// A process in a new user namespace without maps; it lives until its stdin is closed.
struct Namespace(Child);

impl Namespace {
    fn new() -> Option<Self> {
        let mut command = Command::new("unshare");
        command.args(["-U", "sh", "-c", "echo ready; exec cat"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().ok()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take()?).read_line(&mut line).ok()?;
        let namespace = Self(child);
        (line == "ready\n").then_some(namespace)
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).expect("a pid")
    }

    fn map(&self, kind: &str) -> IdMap {
        let text = std::fs::read_to_string(format!("/proc/{}/{kind}_map", self.pid())).expect("the map");
        IdMap::parse(&text).expect("a map")
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// A missing need is a failure where everything has been prepared, as in CI.
fn must_work() -> bool {
    std::env::var_os("RL_MUST_WORK").is_some_and(|value| value == "1")
}

fn needs() -> Option<Namespace> {
    let namespace = Writer::find().ok().and_then(|_| Namespace::new());
    assert!(namespace.is_some() || !must_work(), "needs newuidmap, newgidmap and unshare -U");
    if namespace.is_none() {
        eprintln!("skipped: needs newuidmap, newgidmap and unshare -U");
    }
    namespace
}

fn own() -> (u32, u32) {
    (nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw())
}

#[test]
fn the_callers_own_ids_are_mapped_to_root() {
    let Some(namespace) = needs() else { return };
    let (uid, gid) = own();
    write_maps(namespace.pid(), &IdMap::single(0, uid), &IdMap::single(0, gid)).expect("both maps");
    assert_eq!(namespace.map("uid"), IdMap::single(0, uid));
    assert_eq!(namespace.map("gid"), IdMap::single(0, gid));
}

#[test]
fn a_range_that_is_nobodys_is_not_permitted() {
    let Some(namespace) = needs() else { return };
    let (uid, gid) = own();
    let stolen = [Range { start: 4_000_000_000, count: 3 }];
    let (uid_map, gid_map) = (full_map(uid, &stolen).expect("a map"), full_map(gid, &stolen).expect("a map"));
    match write_maps(namespace.pid(), &uid_map, &gid_map) {
        Err(HelperError::NotPermitted { said, .. }) => assert!(said.contains("4000000000"), "{said}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(namespace.map("uid"), IdMap::default());
}

/// The whole maps of a caller with subordinate ids. Root is not asked to have any: it needs no helper.
fn full() -> Option<(IdMap, IdMap)> {
    let (uid, gid) = own();
    let user = User::of(uid);
    let map = |kind, own| {
        let ranges = ranges(kind, &user).expect("the ranges");
        (!ranges.is_empty()).then(|| full_map(own, &ranges).expect("a map"))
    };
    let maps = map(Kind::Uid, uid).zip(map(Kind::Gid, gid)).filter(|_| uid != 0);
    assert!(maps.is_some() || uid == 0 || !must_work(), "needs subordinate ids");
    if maps.is_none() {
        eprintln!("skipped: needs an unprivileged user with subordinate ids");
    }
    maps
}

#[test]
fn the_callers_whole_range_is_mapped() {
    let (Some(namespace), Some((uid, gid))) = (needs(), full()) else { return };
    write_maps(namespace.pid(), &uid, &gid).expect("both maps");
    assert_eq!((namespace.map("uid"), namespace.map("gid")), (uid, gid));
}

#[test]
fn no_new_privs_is_found_out() {
    let Some(_) = full() else { return };
    let test = std::env::current_exe().expect("this test");
    let mut command = Command::new("setpriv");
    command.args(["--no-new-privs", "--"]).arg(test).args(["--exact", "--ignored", "under_no_new_privs"]);
    let output = command.output().expect("setpriv");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
#[ignore = "run by no_new_privs_is_found_out, under setpriv"]
fn under_no_new_privs() {
    let (Some(namespace), Some((uid, gid))) = (needs(), full()) else { return };
    let error = write_maps(namespace.pid(), &uid, &gid);
    assert!(matches!(error, Err(HelperError::NoNewPrivileges { .. })), "{error:?}");
}
