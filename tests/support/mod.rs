//! The harness: the real binary, a home of its own for each test, images that are imported once for each user.
//!
//! Owns [`Rl`] (one user's home, data and run directory), its commands and their output, and canaries. The surprise: a test's store
//! is its own but for `images` and `layers`, which are links to a store that all tests of this user share.

#![allow(dead_code, unused_imports, reason = "each test binary uses a part of it")]

mod canary;
mod command;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

pub use canary::Canary;
pub use command::{Line, Output, Running};

/// One user's world, deleted in the end with whatever subordinate ids own in it.
pub struct Rl {
    home: PathBuf,
}

/// A need that this machine does not meet: a failure in CI, a remark elsewhere.
pub fn missing(what: &str) -> bool {
    assert!(std::env::var_os("RL_MUST_WORK").is_none(), "this machine lacks what the test needs: {what}");
    eprintln!("SKIPPED: this machine lacks {what}");
    false
}

/// Waits for what another process will do soon; bounded, because a test must end.
pub fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !is() {
        assert!(Instant::now() < end, "did not happen within 30 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The binary under test.
pub fn binary() -> PathBuf {
    let given = std::env::var_os("RL_BINARY").map(PathBuf::from);
    given.unwrap_or_else(|| top().join("target/release/rl"))
}

/// The tree. nextest sets the variable to where it was told that the tree is now; the place of the build may be closed to
/// the user who runs the tests.
pub fn top() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

/// Archives that the set-up has made: `busybox.tar`, `debian.tar.gz`.
pub fn archive(name: &str) -> PathBuf {
    let cache = std::env::var_os("RL_TEST_CACHE").map_or_else(|| PathBuf::from("/var/cache/rl-tests"), PathBuf::from);
    let path = cache.join(name);
    assert!(path.exists(), "{} is missing: ./install.sh test makes it", path.display());
    path
}

/// The Debian root file system's archive.
pub fn debian() -> PathBuf {
    archive("debian.tar.gz")
}

impl Rl {
    /// A home whose store has `busybox`.
    pub fn new() -> Self {
        Self::with(&["busybox.tar"])
    }

    /// A home whose store has `busybox` and `debian`.
    pub fn with_debian() -> Self {
        Self::with(&["busybox.tar", "debian.tar.gz"])
    }

    /// A home whose store has these, by the names of their archives: `busybox-arm64.tar` is the image `busybox-arm64`.
    pub fn with_images(archives: &[&str]) -> Self {
        Self::with(archives)
    }

    /// A home with an empty store.
    pub fn empty() -> Self {
        let home = tempfile::Builder::new().prefix("rl-").tempdir().expect("a home").keep();
        for dir in ["data", "run", "home"] {
            std::fs::create_dir(home.join(dir)).expect("mkdir");
            std::fs::set_permissions(home.join(dir), std::os::unix::fs::PermissionsExt::from_mode(0o700))
                .expect("chmod");
        }
        Self { home }
    }

    fn with(archives: &[&str]) -> Self {
        let shared = shared_store(archives);
        let rl = Self::empty();
        for part in ["images", "layers"] {
            std::os::unix::fs::symlink(shared.join(part), rl.root().join(part)).expect("a link");
        }
        rl
    }

    /// The binary.
    pub fn binary(&self) -> PathBuf {
        binary()
    }

    /// `--root`.
    pub fn root(&self) -> PathBuf {
        self.home.join("data")
    }

    /// `--runroot`.
    pub fn runroot(&self) -> PathBuf {
        self.home.join("run")
    }

    /// A directory of the test's own, made when it is missing.
    pub fn dir(&self, name: &str) -> PathBuf {
        let path = self.home.join(name);
        std::fs::create_dir_all(&path).expect("mkdir");
        path
    }

    /// Runs to the end.
    pub fn run(&self, words: &[&str]) -> Output {
        self.command(words).output()
    }

    /// A command with this home.
    pub fn command(&self, words: &[&str]) -> Line {
        let mut command = Command::new(binary());
        command.arg("--root").arg(self.root()).arg("--runroot").arg(self.runroot()).args(words);
        command.env("HOME", self.home.join("home"));
        Line::new(command, words.join(" "))
    }

    /// With PATH and HOME alone, and the directories that follow from them.
    pub fn bare_command(&self, words: &[&str]) -> Line {
        let data = self.home.join("home/.local/share");
        std::fs::create_dir_all(&data).expect("mkdir");
        let _ = std::os::unix::fs::symlink(self.root(), data.join("rl"));
        let mut command = Command::new(binary());
        command.args(words).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", self.home.join("home"));
        Line::new(command, words.join(" "))
    }

    /// A shell script in which `rl` finds this home through its environment.
    pub fn shell(&self, script: &str) -> Output {
        let mut command = Command::new("bash");
        let prefix =
            format!("{} --root {} --runroot {}", binary().display(), self.root().display(), self.runroot().display());
        command.arg("-c").arg(script.replace(&binary().display().to_string(), &prefix));
        command.env("HOME", self.home.join("home"));
        Line::new(command, script.to_owned()).output()
    }

    /// A shell script as it stands.
    pub fn plain_shell(&self, script: &str) -> Output {
        let mut command = Command::new("sh");
        command.arg("-c").arg(script);
        Line::new(command, script.to_owned()).output()
    }

    /// A busybox root file system as a directory; a new one each time.
    pub fn busybox_root(&self) -> PathBuf {
        self.unpacked("busybox.tar")
    }

    /// An archive's root file system as a directory; a new one each time.
    pub fn unpacked(&self, name: &str) -> PathBuf {
        let root = tempfile::Builder::new().prefix("root-").tempdir_in(&self.home).expect("a directory").keep();
        let status =
            Command::new("tar").arg("-xf").arg(archive(name)).arg("-C").arg(&root).arg("--no-same-owner").status();
        assert!(status.expect("tar").success());
        root
    }

    /// Files of the host that must stay as they are.
    pub fn canary(&self) -> Canary {
        Canary::new(&self.dir("canary"))
    }
}

impl Drop for Rl {
    fn drop(&mut self) {
        // The inside of the namespace can delete what subordinate ids own; the rest goes from outside, and with the run
        // directory the holder.
        let _ = self.run(&["unshare", "rm", "-rf", &self.home.join("data/containers").to_string_lossy()]);
        if std::fs::remove_dir_all(&self.home).is_err() {
            let home = self.home.to_string_lossy().into_owned();
            let _ = self.run(&["unshare", "rm", "-rf", &home]);
            let _ = std::fs::remove_dir_all(&self.home);
        }
    }
}

/// The store of this user and pass, filled once.
fn shared_store(archives: &[&str]) -> PathBuf {
    let pass = std::env::var("RL_TEST_AS").unwrap_or_else(|_| "user".into());
    let home = std::env::var_os("HOME").map(PathBuf::from).expect("HOME");
    // A store of another format is another store.
    let store = home.join(".cache/rl-tests").join(format!("{pass}-{}", rl::image::STORE_VERSION));
    let (data, run) = (store.join("data"), store.join("run"));
    std::fs::create_dir_all(&run).expect("mkdir");
    std::fs::create_dir_all(&data).expect("mkdir");
    let lock = std::fs::File::open(&store).expect("open");
    let _lock = nix::fcntl::Flock::lock(lock, nix::fcntl::FlockArg::LockExclusive).expect("lock");
    for name in archives {
        let file = archive(name);
        let image = name.split('.').next().unwrap_or(name);
        // Named for the archive's time and length too: a new archive is imported again.
        let meta = std::fs::metadata(&file).expect("metadata");
        let stamp = format!(
            "{:?} {} {:?}",
            meta.modified().expect("mtime"),
            meta.len(),
            std::fs::metadata(binary()).and_then(|m| m.modified())
        );
        let mark = store.join(format!("{image}.imported"));
        if std::fs::read_to_string(&mark).is_ok_and(|have| have == stamp) {
            continue;
        }
        let mut command = Command::new(binary());
        command.arg("--root").arg(&data).arg("--runroot").arg(&run).args(["import", "-q"]);
        if let Some((_, architecture)) = image.rsplit_once('-') {
            command.arg("--platform").arg(format!("linux/{architecture}"));
        }
        command.arg(&file).arg(image);
        Line::new(command, format!("import {name}")).output().success();
        std::fs::write(mark, stamp).expect("write");
    }
    data
}
