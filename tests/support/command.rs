//! Commands under test and what they said.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use nix::unistd::Pid;

/// A command that has not been started.
pub struct Line {
    command: Command,
    shown: String,
    stdin: Option<String>,
    piped: bool,
}

/// What a command said and how it ended.
pub struct Output {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
    shown: String,
}

/// A command that runs.
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    heard: String,
    stderr: BufReader<ChildStderr>,
    complained: String,
    shown: String,
}

impl Line {
    pub fn new(command: Command, shown: String) -> Self {
        Self { command, shown, stdin: None, piped: false }
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn env_remove(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Text on its stdin.
    pub fn stdin(mut self, text: &str) -> Self {
        self.stdin = Some(text.to_owned());
        self
    }

    /// stdin stays open until `close_stdin`.
    pub fn piped_stdin(mut self) -> Self {
        self.piped = true;
        self
    }

    pub fn output(self) -> Output {
        self.spawn().finish()
    }

    pub fn spawn(mut self) -> Running {
        let stdin = if self.stdin.is_some() || self.piped { Stdio::piped() } else { Stdio::null() };
        let mut child = self
            .command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{:?}: {error}", self.command));
        let mut pipe = child.stdin.take();
        if let (Some(text), Some(pipe)) = (&self.stdin, pipe.as_mut()) {
            pipe.write_all(text.as_bytes()).expect("write to its stdin");
        }
        let stdout = BufReader::new(child.stdout.take().expect("its stdout"));
        let stderr = BufReader::new(child.stderr.take().expect("its stderr"));
        let (heard, complained) = (String::new(), String::new());
        Running { child, stdin: pipe.filter(|_| self.piped), stdout, heard, stderr, complained, shown: self.shown }
    }
}

impl Running {
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a pid"))
    }

    /// Reads until it has printed this line.
    pub fn wait_for_line(&mut self, wanted: &str) {
        self.wait_for(wanted, |line| line.trim_end() == wanted);
    }

    /// Reads until it has printed a line that has this in it.
    pub fn wait_for_part(&mut self, wanted: &str) {
        self.wait_for(wanted, |line| line.contains(wanted));
    }

    fn wait_for(&mut self, wanted: &str, found: impl Fn(&str) -> bool) {
        read_until(&mut self.stdout, &mut self.heard, &self.shown, wanted, found);
    }

    /// Reads stderr until it has a line that has this in it.
    pub fn wait_for_complaint(&mut self, wanted: &str) {
        read_until(&mut self.stderr, &mut self.complained, &self.shown, wanted, |line| line.contains(wanted));
    }

    /// What it has printed up to the last line that was waited for.
    pub fn heard(&self) -> &str {
        &self.heard
    }

    /// Onto its stdin, which stays open.
    pub fn type_in(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("piped_stdin");
        stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush()).expect("write to its stdin");
    }

    /// Its child of this name; it must have one.
    pub fn child_called(&self, name: &str) -> Pid {
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.pid())).expect("children");
        let called = |pid: &&str| {
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            words.split(|byte| *byte == 0).next().is_some_and(|program| program.ends_with(name.as_bytes()))
        };
        let found = children.split_ascii_whitespace().find(called);
        let found = found.unwrap_or_else(|| panic!("{} has no child {name}: {children}", self.shown));
        Pid::from_raw(found.parse().expect("a pid"))
    }

    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Output {
        self.stdin = None;
        let mut stderr = self.stderr;
        // Read beside each other, or a command that fills one pipe would wait for ever.
        let errors = std::thread::spawn(move || {
            let mut text = Vec::new();
            stderr.read_to_end(&mut text).map(|_| text)
        });
        let mut rest = Vec::new();
        self.stdout.read_to_end(&mut rest).expect("read its stdout");
        let status = self.child.wait().expect("wait");
        let stderr = errors.join().expect("join").expect("read its stderr");
        Output {
            status,
            stdout: self.heard + &String::from_utf8_lossy(&rest),
            stderr: self.complained + &String::from_utf8_lossy(&stderr),
            shown: self.shown,
        }
    }
}

fn read_until(stream: &mut impl BufRead, heard: &mut String, shown: &str, wanted: &str, found: impl Fn(&str) -> bool) {
    loop {
        let mut line = String::new();
        let count = stream.read_line(&mut line).expect("read");
        assert!(count > 0, "{shown}: ended before it said {wanted:?}: {heard}");
        heard.push_str(&line);
        if found(&line) {
            return;
        }
    }
}

impl Output {
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }

    /// It must have succeeded.
    pub fn success(self) -> Self {
        self.fails_with(0)
    }

    /// It must have ended with this status.
    pub fn fails_with(self, code: i32) -> Self {
        let Self { status, stdout, stderr, shown } = &self;
        assert_eq!(status.code(), Some(code), "{shown}: {status}\n--- stdout\n{stdout}--- stderr\n{stderr}");
        self
    }
}
