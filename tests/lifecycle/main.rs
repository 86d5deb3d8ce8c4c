//! Containers that live, through the real binary: in the background, stopped, started again, killed.
//!
//! Modules say where a test runs: `everywhere` in all three passes (an unprivileged user, root, root of a single-id namespace),
//! `full_map` where subordinate ids are mapped, `as_user` only as the unprivileged user.

#[path = "../support/mod.rs"]
mod support;

mod attached;
mod attacks;
mod borrowed;
mod commits;
mod copies;
mod ends;
mod exec;
mod exec_attacks;
mod files;
mod flags;
mod logs;
mod podman;
mod postgres;
mod restarts;
mod services;
mod shown;
mod soak;
mod streams;
mod verbs;
mod volumes;

use std::path::Path;

use support::Rl;
pub use support::eventually;

/// How many entries a directory has.
pub fn entries(dir: &Path) -> usize {
    std::fs::read_dir(dir).map_or(0, Iterator::count)
}

/// `rl inspect -f`.
pub fn inspect(rl: &Rl, container: &str, template: &str) -> String {
    rl.run(&["inspect", "-f", template, container]).success().stdout.trim_end().to_owned()
}

/// Starts a container in the background; gives its id.
pub fn background(rl: &Rl, words: &[&str]) -> String {
    let id = rl.run(&[&["run", "-d"], words].concat()).success().stdout.trim_end().to_owned();
    assert!(id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id:?}");
    id
}

/// Removes all containers, killing what runs: a test must not leave processes behind.
pub struct Clean<'a>(pub &'a Rl);

impl Drop for Clean<'_> {
    fn drop(&mut self) {
        let _ = self.0.run(&["rm", "-af", "-t", "0"]);
    }
}
