//! The log of a detached container: one JSON object a line, as docker's json-file has it.
//!
//! Owns the file, its rotation by size, and what becomes of a full disk. The surprise: a log that can't be written never stops the
//! container. What is lost is counted, and the next line that can be written says how much it was.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::spec::lifecycle;
use crate::state;

/// Below the container's directory.
pub const FILE: &str = "container.log";

/// A line that is longer is logged in pieces, of which only the last has a line feed: docker's own bound.
const LONGEST: usize = 16 * 1024;

/// Which of its two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// And all of a terminal.
    Stdout,
    /// Its complaints.
    Stderr,
}

/// The current file and what has not come to a line's end yet.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    settings: lifecycle::Log,
    file: Option<File>,
    size: u64,
    /// Of stdout and stderr.
    begun: [Vec<u8>; 2],
    /// Lines to be written in one call.
    ready: Vec<u8>,
    ready_lines: u64,
    lost: u64,
}

impl Log {
    /// Goes on with the container's log. What can't be opened is tried again with every line.
    pub fn open(data: &Path, settings: lifecycle::Log) -> Self {
        let mut log = Self {
            path: data.join(FILE),
            settings,
            file: None,
            size: 0,
            begun: [Vec::new(), Vec::new()],
            ready: Vec::new(),
            ready_lines: 0,
            lost: 0,
        };
        if settings.kept {
            let _ = log.reopen();
        }
        log
    }

    fn reopen(&mut self) -> io::Result<()> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
        self.size = file.metadata()?.len();
        self.file = Some(file);
        Ok(())
    }

    /// Takes what the container has written.
    pub fn take(&mut self, stream: Stream, bytes: &[u8]) {
        if !self.settings.kept {
            return;
        }
        let mut begun = std::mem::take(&mut self.begun[stream as usize]);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            begun.extend_from_slice(piece);
            if begun.last() == Some(&b'\n') {
                self.line(stream, &begun);
                begun.clear();
            }
            while begun.len() >= LONGEST {
                let cut = boundary(&begun, LONGEST);
                self.line(stream, &begun[..cut]);
                begun.drain(..cut);
            }
        }
        self.begun[stream as usize] = begun;
        self.write();
    }

    /// What is left without a line feed at the container's end.
    pub fn finish(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let begun = std::mem::take(&mut self.begun[stream as usize]);
            if !begun.is_empty() {
                self.line(stream, &begun);
            }
        }
        self.write();
    }

    fn line(&mut self, stream: Stream, text: &[u8]) {
        encode(&mut self.ready, stream, text);
        self.ready_lines += 1;
    }

    fn write(&mut self) {
        if self.ready.is_empty() {
            return;
        }
        let (mut text, lines) = (std::mem::take(&mut self.ready), std::mem::take(&mut self.ready_lines));
        if self.lost > 0 {
            let mut note = Vec::new();
            encode(&mut note, Stream::Stderr, format!("rl: {} lines could not be logged here\n", self.lost).as_bytes());
            note.extend_from_slice(&text);
            text = note;
        }
        match self.try_write(&text) {
            Ok(()) => self.lost = 0,
            Err(_) => self.lost += lines,
        }
        // The memory goes back to the lines to come.
        text.clear();
        text.shrink_to(LONGEST);
        self.ready = text;
    }

    fn try_write(&mut self, text: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            self.reopen()?;
        }
        let length = text.len() as u64;
        if self.settings.max_size.is_some_and(|most| self.size > 0 && self.size + length > most) {
            self.rotate()?;
        }
        let Some(file) = &mut self.file else { return Err(io::ErrorKind::NotFound.into()) };
        if let Err(error) = file.write_all(text) {
            // Half a line would be no JSON.
            let _ = file.set_len(self.size);
            return Err(error);
        }
        self.size += length;
        Ok(())
    }

    /// `container.log` becomes `container.log.1`, and so on; the oldest goes.
    fn rotate(&mut self) -> io::Result<()> {
        let numbered = |number: u32| self.path.with_extension(format!("log.{number}"));
        let oldest = self.settings.max_files.max(1) - 1;
        for number in (1..oldest).rev() {
            let _ = fs::rename(numbered(number), numbered(number + 1));
        }
        if oldest > 0 {
            fs::rename(&self.path, numbered(1))?
        } else {
            fs::remove_file(&self.path)?
        }
        self.file = None;
        self.reopen()
    }
}

/// At most so many bytes, and no character cut in two.
fn boundary(bytes: &[u8], most: usize) -> usize {
    match std::str::from_utf8(&bytes[..most]) {
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => error.valid_up_to(),
        _ => most,
    }
}

/// One line of the file. Bytes that are no UTF-8 become U+FFFD, as docker has it.
fn encode(out: &mut Vec<u8>, stream: Stream, text: &[u8]) {
    out.extend_from_slice(b"{\"log\":\"");
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\n' => out.extend_from_slice(b"\\n"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\t' => out.extend_from_slice(b"\\t"),
                '\0'..='\u{1f}' | '\u{7f}' => {
                    let _ = write!(out, "\\u{:04x}", u32::from(character));
                }
                _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    let name = if stream == Stream::Stdout { "stdout" } else { "stderr" };
    let _ = writeln!(out, "\",\"stream\":\"{name}\",\"time\":\"{}\"}}", state::rfc3339(state::now()));
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn lines(path: &Path) -> Vec<Value> {
        let text = fs::read_to_string(path).expect("read");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    fn texts(path: &Path) -> Vec<String> {
        lines(path).iter().map(|line| line["log"].as_str().expect("log").to_owned()).collect()
    }

    #[test]
    fn a_line_is_an_object_with_its_stream_and_its_time() {
        let dir = tempfile::tempdir().expect("dir");
        let mut log = Log::open(dir.path(), lifecycle::Log::default());
        log.take(Stream::Stdout, b"one\ntw");
        log.take(Stream::Stderr, b"err \"\\\x1b\x00\n");
        log.take(Stream::Stdout, b"o\nrest \xff\xc3");
        log.finish();
        let path = dir.path().join(FILE);
        assert_eq!(texts(&path), ["one\n", "err \"\\\u{1b}\0\n", "two\n", "rest \u{fffd}\u{fffd}"]);
        let all = lines(&path);
        assert_eq!((all[0]["stream"].as_str(), all[1]["stream"].as_str()), (Some("stdout"), Some("stderr")));
        let time = all[0]["time"].as_str().expect("time");
        assert!(time.len() == 30 && time.ends_with('Z'), "{time}");
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).expect("meta").permissions());
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_line_without_end_is_logged_in_pieces_that_cut_no_character() {
        let dir = tempfile::tempdir().expect("dir");
        let mut log = Log::open(dir.path(), lifecycle::Log::default());
        let text = "x".to_owned() + &"ä".repeat(20_000);
        text.as_bytes().chunks(1000).for_each(|chunk| log.take(Stream::Stdout, chunk));
        log.finish();
        let pieces = texts(&dir.path().join(FILE));
        assert_eq!(pieces.concat(), text);
        assert!(pieces.len() == 3 && pieces.iter().all(|piece| piece.len() <= LONGEST));
    }

    #[test]
    fn a_file_that_has_grown_is_put_aside_and_the_oldest_goes() {
        let dir = tempfile::tempdir().expect("dir");
        let settings = lifecycle::Log { kept: true, max_size: Some(400), max_files: 3 };
        let mut log = Log::open(dir.path(), settings);
        for number in 0..40 {
            log.take(Stream::Stdout, format!("line {number}\n").as_bytes());
        }
        let mut files: Vec<_> =
            fs::read_dir(dir.path()).expect("list").map(|entry| entry.expect("entry").file_name()).collect();
        files.sort();
        assert_eq!(files, ["container.log", "container.log.1", "container.log.2"]);
        let kept: Vec<_> =
            [".2", ".1", ""].iter().flat_map(|end| texts(&dir.path().join(format!("{FILE}{end}")))).collect();
        assert_eq!(kept.last().map(String::as_str), Some("line 39\n"));
        let first = 40 - kept.len();
        let expected: Vec<_> = (first..40).map(|number| format!("line {number}\n")).collect();
        assert_eq!(kept, expected, "no hole and nothing twice");
    }

    #[test]
    fn what_could_not_be_written_is_counted_and_said_later() {
        let dir = tempfile::tempdir().expect("dir");
        let missing = dir.path().join("not yet");
        let mut log = Log::open(&missing, lifecycle::Log::default());
        log.take(Stream::Stdout, b"a\nb\nc\n");
        fs::create_dir(&missing).expect("mkdir");
        log.take(Stream::Stdout, b"d\n");
        assert_eq!(texts(&missing.join(FILE)), ["rl: 3 lines could not be logged here\n", "d\n"]);
    }

    #[test]
    fn a_driver_of_none_makes_no_file() {
        let dir = tempfile::tempdir().expect("dir");
        let mut log = Log::open(dir.path(), lifecycle::Log { kept: false, ..lifecycle::Log::default() });
        log.take(Stream::Stdout, b"a\n");
        log.finish();
        assert!(!dir.path().join(FILE).exists());
    }
}
