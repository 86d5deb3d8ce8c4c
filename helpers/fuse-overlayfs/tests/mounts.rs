//! The real program, in namespaces of the test's own.
//!
//! Each test runs its body by executing this binary again under unshare(1): the mount of a test is then nobody else's,
//! and gone with it. The bodies are the functions in `body`, which are ignored when run directly.

use std::path::Path;
use std::process::{Command, Stdio};

use fuse_overlayfs::Program;

/// Runs `body::NAME` under `unshare FLAGS`. A missing need is a failure where everything has been prepared, as in CI.
fn inside(flags: &str, name: &str) {
    let unshare = |words: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(flags.split(' ')).arg("--").args(words).stdin(Stdio::null());
        command
    };
    let program = Program::find(None, &[]).is_ok();
    let device = std::fs::File::options().read(true).write(true).open("/dev/fuse").is_ok();
    let namespaces = unshare(&["true"]).output().is_ok_and(|output| output.status.success());
    if !(program && device && namespaces) {
        let what = format!("fuse-overlayfs ({program}), /dev/fuse ({device}) and unshare {flags} ({namespaces})");
        assert_ne!(std::env::var("RL_MUST_WORK").as_deref(), Ok("1"), "needs {what}");
        eprintln!("skipped: needs {what}");
        return;
    }
    let test = std::env::current_exe().expect("this test");
    let body = format!("body::{name}");
    let output = unshare(&[&test.to_string_lossy(), "--exact", "--ignored", &body]).output().expect("unshare");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

macro_rules! in_namespaces {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            inside("-Urm", stringify!($name));
        })*
    };
}

in_namespaces! {
    a_mount_shows_its_layers_and_keeps_changes_in_the_upper_directory
    a_mount_without_an_upper_directory_cannot_be_written_to
    special_characters_are_part_of_a_path_and_nothing_else
    a_colon_in_the_upper_directory_works_or_is_refused
    an_image_of_127_layers_is_mounted
    a_failing_mount_gives_the_words_of_the_program
    a_mount_that_was_there_before_is_not_taken_for_the_new_one
    the_death_of_the_program_is_seen
    a_mount_with_an_open_file_is_stopped
    what_the_caller_amends_reaches_the_program
}

#[test]
fn owners_are_shown_through_the_mapping() {
    // All ids are needed, which only root of the machine has.
    let map = std::fs::read_to_string("/proc/self/uid_map").expect("the map");
    if !nix::unistd::geteuid().is_root() || map.split_ascii_whitespace().last() != Some("4294967295") {
        eprintln!("skipped: needs root of the machine");
        return;
    }
    inside("-m", "owners_are_shown_through_the_mapping");
}

/// The mount table is private below `/` here: unshare(1) sees to that.
mod body {
    use std::fs;
    use std::os::fd::AsFd;
    use std::os::unix::fs::{MetadataExt, chown};
    use std::path::PathBuf;
    use std::time::Duration;

    use fuse_overlayfs::{Error, Mount, Running, Shift, Version};
    use nix::errno::Errno;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    use tempfile::TempDir;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    struct Place(TempDir);

    impl Place {
        fn new() -> Self {
            Self(tempfile::tempdir().expect("a directory"))
        }

        fn dir(&self, name: &str) -> PathBuf {
            let path = self.0.path().join(name);
            fs::create_dir(&path).expect("a directory");
            path
        }

        /// A directory that holds one file of its own name, with its own name in it.
        fn layer(&self, name: &str) -> PathBuf {
            let path = self.dir(name);
            fs::write(path.join(name), name).expect("a file");
            path
        }

        fn mount(&self) -> Mount {
            Mount {
                lower: vec![self.layer("top"), self.layer("bottom")],
                upper: Some(self.dir("upper")),
                work: Some(self.dir("work")),
                target: self.dir("target"),
                ..Mount::default()
            }
        }
    }

    fn program() -> Program {
        Program::find(None, &[]).expect("the program")
    }

    fn start(mount: &Mount) -> Running {
        mount.start(&program(), |_| ()).expect("a mount")
    }

    fn read(path: &Path) -> String {
        fs::read_to_string(path).expect("a file")
    }

    fn alive(pid: u32) -> bool {
        Path::new(&format!("/proc/{pid}")).exists()
    }

    #[test]
    #[ignore = "runs inside namespaces"]
    fn a_mount_shows_its_layers_and_keeps_changes_in_the_upper_directory() {
        let place = Place::new();
        let mount = place.mount();
        fs::write(mount.lower[1].join("top"), "hidden").expect("a file");
        let running = start(&mount);
        assert_eq!(read(&mount.target.join("top")), "top");
        assert_eq!(read(&mount.target.join("bottom")), "bottom");
        fs::write(mount.target.join("bottom"), "changed").expect("a write");
        let pid = running.pid();
        running.stop(PATIENCE).expect("no mount");
        assert!(!alive(pid));
        assert_eq!(read(&place.0.path().join("upper/bottom")), "changed");
        assert_eq!(read(&mount.lower[1].join("bottom")), "bottom");
        assert_eq!(fs::read_dir(&mount.target).expect("the directory").count(), 0);
    }

    #[test]
    #[ignore = "runs inside namespaces"]
    fn a_mount_without_an_upper_directory_cannot_be_written_to() {
        let place = Place::new();
        let mount = Mount { upper: None, work: None, ..place.mount() };
        let running = start(&mount);
        assert_eq!(read(&mount.target.join("top")), "top");
        let error = fs::write(mount.target.join("new"), "").expect_err("read-only");
        assert_eq!(error.raw_os_error(), Some(Errno::EROFS as i32));
        running.stop(PATIENCE).expect("no mount");
    }

    #[test]
    #[ignore = "runs inside namespaces"]
    fn special_characters_are_part_of_a_path_and_nothing_else() {
        let place = Place::new();
        let mount = Mount {
            lower: vec![
                place.layer(r"a:b"),
                place.layer(r"c,upperdir=d"),
                place.layer(r"e\f"),
                place.layer(r#"g "h" i"#),
            ],
            upper: Some(place.dir(r"u,\p per")),
            work: Some(place.dir(r"w:,\ork")),
            target: place.dir(r"t:,\ar get"),
            ..Mount::default()
        };
        let running = start(&mount);
        for name in ["a:b", "c,upperdir=d", r"e\f", r#"g "h" i"#] {
            assert_eq!(read(&mount.target.join(name)), name);
        }
        fs::write(mount.target.join("new"), "new").expect("a write");
        assert_eq!(read(&place.0.path().join(r"u,\p per/new")), "new");
        running.stop(PATIENCE).expect("no mount");
    }

    #[test]
    #[ignore = "runs inside namespaces"]
    fn a_colon_in_the_upper_directory_works_or_is_refused() {
        let place = Place::new();
        let upper = place.dir("u:p");
        let mount = Mount { upper: Some(upper.clone()), ..place.mount() };
        let works = program().version().expect("a version") >= Version { major: 1, minor: 15 };
        match mount.start(&program(), |_| ()) {
            Ok(running) => {
                assert!(works);
                fs::write(mount.target.join("new"), "new").expect("a write");
                assert_eq!(read(&upper.join("new")), "new");
                running.stop(PATIENCE).expect("no mount");
            }
            Err(error) => assert!(!works && matches!(error, Error::Colon { .. }), "{error}"),
        }
    }

    #[test]
    #[ignore = "runs inside namespaces"]
    fn an_image_of_127_layers_is_mounted() {
        let place = Place::new();
        let layers = (0..127).map(|number| place.layer(&format!("layer:{number}"))).collect();
        let mount = Mount { lower: layers, ..place.mount() };
        let running = start(&mount);
        assert_eq!(fs::read_dir(&mount.target).expect("the mount").count(), 127);
        running.stop(PATIENCE).expect("no mount");
    }

    #[test]
    #[ignore = "runs inside namespaces"]
    fn a_failing_mount_gives_the_words_of_the_program() {
        let place = Place::new();
        let mount = Mount { lower: vec!["/no/such/layer".into()], ..place.mount() };
        match mount.start(&program(), |_| ()) {
            Err(Error::Ended { said, .. }) => assert!(said.contains("/no/such/layer"), "{said}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    #[ignore = "runs inside namespaces"]
    fn a_mount_that_was_there_before_is_not_taken_for_the_new_one() {
        let place = Place::new();
        let mount = place.mount();
        let running = start(&mount);
        let failing = Mount { lower: vec!["/no/such/layer".into()], upper: None, work: None, ..mount.clone() };
        assert!(matches!(failing.start(&program(), |_| ()), Err(Error::Ended { .. })));
        let second = Mount { lower: vec![place.layer("other")], upper: None, work: None, ..mount.clone() };
        let second = start(&second);
        assert_eq!(read(&mount.target.join("other")), "other");
        second.stop(PATIENCE).expect("no second mount");
        assert_eq!(read(&mount.target.join("top")), "top");
        running.stop(PATIENCE).expect("no mount");
    }

    #[test]
    #[ignore = "runs inside namespaces"]
    fn the_death_of_the_program_is_seen() {
        let place = Place::new();
        let mut running = start(&place.mount());
        running.check().expect("it lives");
        kill(Pid::from_raw(running.pid().cast_signed()), Signal::SIGKILL).expect("its death");
        let mut events = [PollFd::new(running.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut events, PollTimeout::from(10_000_u16)), Ok(1));
        match running.check() {
            Err(Error::Ended { said, .. }) => assert_eq!(said, "signal: 9 (SIGKILL)"),
            other => panic!("{other:?}"),
        }
        running.stop(PATIENCE).expect("no mount");
    }

    #[test]
    #[ignore = "runs inside namespaces"]
    fn a_mount_with_an_open_file_is_stopped() {
        let place = Place::new();
        let mount = place.mount();
        let running = start(&mount);
        let open = fs::File::open(mount.target.join("top")).expect("a file");
        let pid = running.pid();
        running.stop(Duration::from_millis(10)).expect("no mount");
        assert!(!alive(pid));
        let error = open.metadata().expect_err("nobody serves it");
        assert_eq!(error.raw_os_error(), Some(Errno::ENOTCONN as i32));
    }

    #[test]
    #[ignore = "runs inside namespaces"]
    fn what_the_caller_amends_reaches_the_program() {
        let place = Place::new();
        let mount = place.mount();
        let amend = |command: &mut Command| {
            command.env("AMENDED", "yes");
        };
        let running = mount.start(&program(), amend).expect("a mount");
        let environment = fs::read(format!("/proc/{}/environ", running.pid())).expect("the environment");
        assert!(environment.split(|byte| *byte == 0).any(|word| word == b"AMENDED=yes"));
        running.stop(PATIENCE).expect("no mount");
    }

    #[test]
    #[ignore = "runs inside namespaces"]
    fn owners_are_shown_through_the_mapping() {
        let place = Place::new();
        let uids = vec![Shift { stored: 0, shown: 1000, count: 1 }, Shift { stored: 1, shown: 0, count: 1000 }];
        let mount = Mount { uid_mapping: uids.clone(), gid_mapping: uids, ..place.mount() };
        chown(mount.lower[0].join("top"), Some(1), Some(0)).expect("another owner");
        let running = start(&mount);
        let owner = |name: &str| {
            let meta = fs::metadata(mount.target.join(name)).expect("a file");
            (meta.uid(), meta.gid())
        };
        assert_eq!((owner("top"), owner("bottom")), ((0, 1000), (1000, 1000)));
        // And back again, for what is written.
        chown(mount.target.join("top"), Some(1000), Some(0)).expect("a change of owner");
        let stored = fs::metadata(place.0.path().join("upper/top")).expect("a copy");
        assert_eq!((stored.uid(), stored.gid()), (0, 1));
        running.stop(PATIENCE).expect("no mount");
    }
}
