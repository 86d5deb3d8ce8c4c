//! A bundle with busybox, a state directory of its own, and the runtime called as `rl-oci`.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::support::{Line, Output, Rl};

/// One test's runtime.
pub struct Oci {
    rl: Rl,
    pub bundle: PathBuf,
    pub root: PathBuf,
    pub config: Value,
}

impl Oci {
    /// The bundle's document is what `spec` prints for this caller, with a command instead of a terminal.
    pub fn new(command: &[&str]) -> Self {
        let rl = Rl::empty();
        let (bundle, root) = (rl.dir("bundle"), rl.dir("state"));
        std::os::unix::fs::symlink(rl.busybox_root(), bundle.join("rootfs")).expect("a link");
        std::os::unix::fs::symlink(rl.binary(), rl.dir("bin").join("rl-oci")).expect("a link");
        let mut oci = Self { rl, bundle, root, config: Value::Null };
        oci.run(&["spec", "--bundle", &oci.bundle.to_string_lossy()]).success();
        let text = std::fs::read(oci.bundle.join("config.json")).expect("read");
        oci.config = serde_json::from_slice(&text).expect("JSON");
        oci.config["process"]["terminal"] = false.into();
        oci.config["process"]["args"] = json!(command);
        // The root file system is the test's own.
        oci.config["root"]["readonly"] = false.into();
        oci.write();
        oci
    }

    /// A shell command.
    pub fn shell(script: &str) -> Self {
        Self::new(&["sh", "-c", script])
    }

    /// Changes the document.
    pub fn with(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.config);
        self.write();
        self
    }

    /// Removes a kind of namespace from the document.
    pub fn without_namespace(self, kind: &str) -> Self {
        self.with(|config| {
            let list = config["linux"]["namespaces"].as_array_mut().expect("a list");
            list.retain(|one| one["type"] != kind);
            if kind == "user" {
                let linux = config["linux"].as_object_mut().expect("an object");
                linux.remove("uidMappings");
                linux.remove("gidMappings");
            }
        })
    }

    fn write(&self) {
        std::fs::write(self.bundle.join("config.json"), self.config.to_string()).expect("write");
    }

    /// A directory of the test's own.
    pub fn dir(&self, name: &str) -> PathBuf {
        self.rl.dir(name)
    }

    pub fn command(&self, words: &[&str]) -> Line {
        let mut command = Command::new(self.rl.dir("bin").join("rl-oci"));
        command.arg("--root").arg(&self.root).args(words).current_dir(&self.bundle);
        Line::new(command, words.join(" "))
    }

    pub fn run(&self, words: &[&str]) -> Output {
        self.command(words).output()
    }

    /// `create` with its streams in a file, because its process keeps them; gives the pid of the pid file.
    pub fn create(&self, flags: &[&str]) -> i32 {
        let output = self.try_create(flags);
        assert!(output.status.success(), "create: {}", String::from_utf8_lossy(&output.stderr));
        let text = std::fs::read_to_string(self.bundle.join("pid")).expect("a pid file");
        text.parse().expect("digits and nothing else")
    }

    /// The same, with whatever comes of it.
    pub fn try_create(&self, flags: &[&str]) -> std::process::Output {
        let file = |name: &str| std::fs::File::create(self.bundle.join(name)).expect("a file");
        let mut command = Command::new(self.rl.dir("bin").join("rl-oci"));
        command.arg("--root").arg(&self.root).arg("create").args(["--pid-file", "pid"]).args(flags).arg("c");
        command.current_dir(&self.bundle).stdin(std::process::Stdio::null());
        command.stdout(file("stdout")).stderr(file("stderr"));
        let status = command.status().expect("rl-oci");
        let stderr = std::fs::read(self.bundle.join("stderr")).expect("read");
        std::process::Output { status, stdout: Vec::new(), stderr }
    }

    /// What the created container has written.
    pub fn stdout(&self) -> String {
        std::fs::read_to_string(self.bundle.join("stdout")).expect("read")
    }

    pub fn state(&self) -> Value {
        serde_json::from_str(&self.run(&["state", "c"]).success().stdout).expect("JSON")
    }

    /// Waits for the end of a process that is nobody's child here.
    pub fn wait(pid: i32) {
        let path = format!("/proc/{pid}/stat");
        let gone = || {
            let stat = std::fs::read_to_string(Path::new(&path)).unwrap_or_default();
            stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
        };
        let fd = nix::unistd::Pid::from_raw(pid);
        let began = std::time::Instant::now();
        while !gone() {
            assert!(began.elapsed().as_secs() < 30, "{fd} has not ended");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

impl Drop for Oci {
    fn drop(&mut self) {
        let _ = self.command(&["delete", "--force", "c"]).output();
    }
}
