//! Programs that can't be executed, each made in a temporary root, and what is said about them.

use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;

use super::*;

struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir_all(dir.path().join("bin")).expect("mkdir");
        Self(dir)
    }

    fn file(&self, name: &str, content: &[u8], mode: u32) -> &Self {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).expect("write");
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("chmod");
        self
    }

    fn explain(&self, command: &str, errno: Errno) -> (u16, String) {
        let root = std::fs::File::open(self.0.path()).expect("open");
        let error = explain(root.as_fd(), command, "/usr/bin:/bin", Path::new("/"), errno);
        (error.entry().id, error.summary())
    }
}

#[test]
fn each_cause_has_its_own_words() {
    let tree = Tree::new();
    tree.file("bin/plain", b"text", 0o755).file("bin/closed", b"#!/bin/x", 0o644).file(
        "bin/dos",
        b"#!/bin/sh\r\n",
        0o755,
    );
    tree.file("bin/script", b"#! /no/where -x\n", 0o755);
    let cases = [
        ("nothing", Errno::ENOENT, process::COMMAND_NOT_FOUND.id, "PATH"),
        ("/bin/nothing", Errno::ENOENT, process::FILE_MISSING.id, "/bin/nothing"),
        ("plain", Errno::ENOEXEC, process::NOT_EXECUTABLE.id, "no program"),
        ("closed", Errno::EACCES, process::NOT_EXECUTABLE.id, "not executable"),
        ("dos", Errno::ENOENT, process::SCRIPT_INTERPRETER.id, "/bin/sh\\r"),
        ("script", Errno::ENOENT, process::SCRIPT_INTERPRETER.id, "/no/where"),
        ("/bin", Errno::EACCES, process::NOT_EXECUTABLE.id, "directory"),
        ("", Errno::ENOENT, process::COMMAND_NOT_FOUND.id, "empty"),
    ];
    for (command, errno, id, words) in cases {
        let (found, summary) = tree.explain(command, errno);
        assert!(found == id && summary.contains(words), "{command}: {found} {summary}");
    }
}

#[test]
fn a_fifo_in_place_of_a_program_does_not_stop_it() {
    let tree = Tree::new();
    nix::unistd::mkfifo(&tree.0.path().join("bin/fifo"), nix::sys::stat::Mode::S_IRWXU).expect("mkfifo");
    assert!(tree.explain("fifo", Errno::EACCES).1.contains("regular file"));
}

#[test]
fn links_are_followed_inside_the_root_only() {
    let tree = Tree::new();
    std::os::unix::fs::symlink("/bin/sh", tree.0.path().join("bin/outside")).expect("link");
    std::os::unix::fs::symlink("loop", tree.0.path().join("bin/loop")).expect("link");
    assert_eq!(tree.explain("/bin/outside", Errno::ENOENT).0, process::FILE_MISSING.id);
    assert_eq!(tree.explain("/bin/loop", Errno::ELOOP).0, process::NOT_EXECUTABLE.id);
}

#[test]
fn missing_libraries_are_listed_and_present_ones_are_not() {
    let root = std::fs::File::open("/").expect("open");
    let exe = std::env::current_exe().expect("this program");
    assert_eq!(missing_libraries(root.as_fd(), &exe), Vec::<String>::new());
    let tree = Tree::new();
    tree.file("bin/ls", &std::fs::read("/bin/ls").expect("a dynamic program"), 0o755);
    let root = std::fs::File::open(tree.0.path()).expect("open");
    assert!(missing_libraries(root.as_fd(), Path::new("/bin/ls")).iter().any(|name| name.starts_with("libc.so")));
}
