//! A real terminal for a test: a shell in a tmux server of its own, its output read from a FIFO.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;

/// Long enough for a machine under load; reached only by failures.
pub const PATIENCE: Duration = Duration::from_secs(30);

static NUMBER: AtomicU32 = AtomicU32::new(0);

pub struct Terminal {
    directory: tempfile::TempDir,
    output: File,
    unread: String,
    transcript: String,
}

impl Terminal {
    /// A terminal of 200 by 24 whose shell, dash where it is sh, changes no modes of its own; its prompt is `outer> `.
    pub fn start() -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = tempfile::Builder::new().prefix(&format!("rlt{number}")).tempdir().expect("directory");
        let fifo = directory.path().join("output");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("mkfifo");
        // For reading and writing, so that there is always a writer and never an end.
        let output = File::options().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(&fifo).expect("open");
        let mut terminal = Self { directory, output, unread: String::new(), transcript: String::new() };
        // The shell waits for a line, so that nothing is printed before the pipe is there.
        let shell = "read go; INNER='inner> ' PS1='outer> ' exec sh -i";
        terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "200",
            "-y",
            "24",
            "env",
            "-u",
            "ENV",
            "sh",
            "-c",
            shell,
        ]);
        terminal.tmux(&["pipe-pane", "-O", &format!("exec cat >{}", fifo.display())]);
        terminal.keys(&["Enter"]);
        terminal.wait_for("outer> ");
        terminal
    }

    fn tmux(&self, words: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(self.directory.path().join("socket")).args(words).env_remove("TMUX");
        let output = command.output().expect("run tmux");
        assert!(output.status.success(), "tmux {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Keys by tmux's names: `C-c`, `Enter`, `BSpace`.
    pub fn keys(&self, names: &[&str]) {
        self.tmux(&[&["send-keys"], names].concat());
    }

    pub fn type_text(&self, text: &str) {
        self.tmux(&["send-keys", "-l", text]);
    }

    /// Text and Enter. What it prints must differ from how it is typed, which is echoed: `echo do''ne` prints `done`.
    pub fn line(&self, text: &str) {
        self.type_text(text);
        self.keys(&["Enter"]);
    }

    pub fn resize(&self, columns: u16, rows: u16) {
        self.tmux(&["resize-window", "-x", &columns.to_string(), "-y", &rows.to_string()]);
    }

    /// Closes the terminal under its processes.
    pub fn close(&self) {
        self.tmux(&["kill-session"]);
    }

    pub fn shell(&self) -> Pid {
        Pid::from_raw(self.tmux(&["display-message", "-p", "#{pane_pid}"]).parse().expect("a pid"))
    }

    /// Reads until `text` has been printed; gives what came before it. Later calls look only at what comes after it.
    pub fn wait_for(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.unread.find(text) {
                let before = self.unread[..at].to_owned();
                self.unread.drain(..at + text.len());
                return before;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).expect("timeout");
            let mut polls = [PollFd::new(self.output.as_fd(), PollFlags::POLLIN)];
            let ready = poll(&mut polls, timeout).expect("poll");
            assert!(ready > 0, "{text:?} did not appear; the terminal shows:\n{}", self.transcript);
            let mut chunk = [0; 4096];
            let count = self.output.read(&mut chunk).expect("read");
            let words = String::from_utf8_lossy(&chunk[..count]);
            self.unread.push_str(&words);
            self.transcript.push_str(&words);
        }
    }

    /// Everything that was printed up to the last `wait_for`.
    pub fn transcript(&self) -> &str {
        &self.transcript
    }

    /// The terminal's modes as the shell's next command finds them.
    pub fn modes(&mut self) -> String {
        self.line("echo mo''des=$(stty -g)=");
        self.wait_for("modes=");
        self.wait_for("=")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A test may have closed it already.
        let socket = self.directory.path().join("socket");
        let _ = Command::new("tmux").arg("-S").arg(socket).arg("kill-server").output();
    }
}
