//! The default seccomp filter in the kernel: a probe in C makes the calls, with and without it.
//!
//! Owns the real thing that the unit tests simulate: the filter is loaded on a thread of its own, so nothing else of
//! the test process has it, and the probe is started from there. It needs no privileges and no namespace. The surprise:
//! being a test of denials it runs well as root too, where the kernel itself would deny least.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use rl::runtime::seccomp;
use rl::spec::SeccompChoice;
use rl::spec::capabilities::{self, DEFAULT};

const EPERM: &str = "1";
const EBADF: &str = "9";
const EINVAL: &str = "22";
const ENOSYS: &str = "38";

/// What the kernel answers under the filter of the default capabilities.
const ANSWERS: &[(&str, &str)] = &[
    ("socket unix", "0"),
    ("socket unix high", "0"),
    ("socket inet", "0"),
    ("socket inet high", "0"),
    ("socket netlink", "0"),
    ("socket netlink high", "0"),
    ("socket packet", EPERM),
    ("socket packet high", EPERM),
    ("socket bluetooth", EPERM),
    ("socket bluetooth high", EPERM),
    ("socket alg", EPERM),
    ("socket alg high", EPERM),
    ("socket vsock", EPERM),
    ("socket vsock high", EPERM),
    ("socket xdp", EPERM),
    ("socket xdp high", EPERM),
    ("socket audit", EINVAL),
    ("socket audit high", EINVAL),
    ("socketpair unix", "0"),
    ("socketpair tipc high", EPERM),
    ("ioctl tiocgwinsz", EBADF),
    ("ioctl tiocsti", EPERM),
    ("ioctl tiocsti high", EPERM),
    ("ioctl tioclinux", EPERM),
    ("ioctl tioclinux high", EPERM),
    ("clone", "0"),
    ("clone newuser", EPERM),
    ("clone newuser high", EPERM),
    ("clone newns", EPERM),
    ("clone3", ENOSYS),
    ("thread", "0"),
    ("unshare newuser", EPERM),
    ("unshare newuser high", EPERM),
    ("setns", EPERM),
    ("personality read", "0"),
    ("personality no randomize", ENOSYS),
    ("personality no randomize high", ENOSYS),
    ("io_uring_setup", EPERM),
    ("io_uring_enter", EPERM),
    ("io_uring_register", EPERM),
    ("add_key", EPERM),
    ("request_key", EPERM),
    ("keyctl", EPERM),
    ("keyctl high", EPERM),
    ("bpf", EPERM),
    ("userfaultfd", EPERM),
    ("perf_event_open", EPERM),
    ("mount", EPERM),
    ("fsopen", EPERM),
    ("open_tree", EPERM),
    ("open_by_handle_at", EPERM),
    ("init_module", EPERM),
    ("vmsplice", EPERM),
    ("syslog", EPERM),
    ("unknown", ENOSYS),
];

/// These get another answer without the filter whoever asks, which shows that the answers above are the filter's.
const DIFFER: &[&str] =
    &["ioctl tiocsti high", "ioctl tioclinux high", "clone3", "setns", "personality no randomize high", "vmsplice"];

/// The probe, compiled by the compiler that links Rust programs.
fn probe(directory: &Path) -> PathBuf {
    // Where nextest was told that the tree is now: the place of the build may be closed to this user.
    let top = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo and nextest set it");
    let source = Path::new(&top).join("tests/security/probe.c");
    let program = directory.join("probe");
    let compiled =
        Command::new("cc").args(["-O1", "-Wall", "-Werror", "-pthread", "-o"]).arg(&program).arg(source).status();
    assert!(compiled.expect("a C compiler").success(), "the probe does not compile");
    program
}

fn answers(program: &Path) -> BTreeMap<String, String> {
    let output = Command::new(program).output().expect("the probe starts");
    assert!(output.status.success(), "the probe ended with {}", output.status);
    let text = String::from_utf8(output.stdout).expect("the probe writes ASCII");
    text.lines()
        .map(|line| line.split_once('\t').expect("a tab"))
        .map(|(name, errno)| (name.into(), errno.into()))
        .collect()
}

/// On a thread that has the filter. Processes that it starts inherit it.
fn under_the_filter<T: Send>(cache: &Path, body: impl FnOnce() -> T + Send) -> T {
    let caps: Vec<String> = capabilities::names(DEFAULT).into_iter().map(str::to_owned).collect();
    let filter = seccomp::program(&SeccompChoice::Default, &caps, cache).expect("compiled").expect("a filter");
    thread::scope(|scope| {
        let confined = scope.spawn(|| {
            nix::sys::prctl::set_no_new_privs().expect("prctl");
            rl::sys::seccomp::load(&filter).expect("the kernel takes the filter");
            body()
        });
        confined.join().expect("the confined thread")
    })
}

#[test]
fn every_denied_call_gets_the_filters_own_errno_also_with_high_bits_set() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let program = probe(directory.path());
    let free = answers(&program);
    let confined = under_the_filter(directory.path(), || answers(&program));
    for (name, expected) in ANSWERS {
        assert_eq!(confined.get(*name).map(String::as_str), Some(*expected), "{name}");
    }
    for name in DIFFER {
        assert_ne!(free.get(*name), confined.get(*name), "{name} is denied without the filter too");
    }
    // Newer than some kernels: there it is the kernel that says ENOSYS, but never the filter where the kernel has it.
    assert_eq!(confined.get("mseal"), free.get("mseal"));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_calls_of_i386_and_x32_do_not_exist() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let program = probe(directory.path());
    let confined = under_the_filter(directory.path(), || answers(&program));
    for name in ["int80 socketcall", "int80 getpid", "int80 unshare", "x32 getpid", "x32 ioctl"] {
        let answer = confined.get(name).map(String::as_str);
        // A kernel without int 0x80 faults before any filter is asked.
        let faulted = name.starts_with("int80") && answer == Some("signal");
        assert!(answer == Some(ENOSYS) || faulted, "{name}: {answer:?}");
    }
}
