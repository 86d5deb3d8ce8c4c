//! What a person watches while blobs come and go: bars on a terminal, plain lines elsewhere, nothing with `-q`.
//!
//! Owns what is shown on stderr of the calls of [`Progress`]. The surprise: the same call may come many times and in any order,
//! from several threads, and a download may begin again; a line is only ever written once.

use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::format::{Screen, human_size};
use crate::image::Digest;
use crate::image::manifest::Descriptor;
use crate::image::transport::Progress;

/// How often bars are drawn, at most, in a second.
const DRAWN: u8 = 10;
const BAR: &str = "{prefix} {msg:<12} [{bar:30}] {decimal_bytes:>9}/{decimal_total_bytes:<9} {decimal_bytes_per_sec}";
const STATE: &str = "{prefix} {msg}";

/// Which way blobs go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From a registry.
    In,
    /// To a registry.
    Out,
    /// From or to a file.
    Through,
}

impl Way {
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::In => ("downloading", "downloaded"),
            Self::Out => ("uploading", "uploaded"),
            Self::Through => ("copying", "copied"),
        }
    }
}

/// One transfer's.
pub struct Report(Kind, Way);

enum Kind {
    Quiet,
    Plain(Mutex<Plain>),
    Bars(Bars),
}

impl Report {
    /// For standard error as it is; `quiet` is `-q`.
    pub fn stderr(quiet: bool, way: Way) -> Self {
        match quiet {
            true => Self(Kind::Quiet, way),
            false if std::io::stderr().is_terminal() => Self(Kind::Bars(Bars::new()), way),
            false => Self::plain(Box::new(Screen::stderr()), way),
        }
    }

    fn plain(out: Box<dyn Write + Send>, way: Way) -> Self {
        Self(Kind::Plain(Mutex::new(Plain { out, said: HashMap::new() })), way)
    }
}

impl Progress for Report {
    fn blob(&self, descriptor: &Descriptor, done: u64) {
        match &self.0 {
            Kind::Quiet => {}
            Kind::Plain(plain) if done >= descriptor.size => {
                lock(plain).say(
                    descriptor,
                    Said::There,
                    &format!("{} {}", self.1.words().1, human_size(descriptor.size)),
                );
            }
            Kind::Plain(_) => {}
            Kind::Bars(bars) => bars.blob(descriptor, done, self.1.words()),
        }
    }

    fn exists(&self, descriptor: &Descriptor) {
        match &self.0 {
            Kind::Quiet => {}
            Kind::Plain(plain) => lock(plain).say(descriptor, Said::There, "exists"),
            Kind::Bars(bars) => bars.state(descriptor, "exists", true),
        }
    }

    fn unpacked(&self, descriptor: &Descriptor, finished: bool) {
        match &self.0 {
            Kind::Quiet => {}
            Kind::Plain(plain) if finished => lock(plain).say(descriptor, Said::Unpacked, "unpacked"),
            Kind::Plain(_) => {}
            Kind::Bars(bars) if finished => bars.state(descriptor, "done", true),
            Kind::Bars(bars) => bars.state(descriptor, "unpacking", false),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    There,
    Unpacked,
}

struct Plain {
    out: Box<dyn Write + Send>,
    said: HashMap<Digest, Said>,
}

impl Plain {
    fn say(&mut self, descriptor: &Descriptor, what: Said, words: &str) {
        if self.said.get(&descriptor.digest).is_some_and(|said| *said >= what) {
            return;
        }
        self.said.insert(descriptor.digest.clone(), what);
        // One write a line, so that lines of several processes don't mix; nobody is left to hear of a failure.
        let _ = self.out.write_all(format!("{}: {words}\n", short(&descriptor.digest)).as_bytes());
    }
}

/// Bars stand in the order of their first calls. Drawing is limited, and done by the calling threads: no thread is made, which
/// would forbid the caller to enter a user namespace (unshare(2)), and the cursor is never hidden, so that a Ctrl-C at any time
/// leaves the terminal as it was.
struct Bars {
    all: MultiProgress,
    each: Mutex<HashMap<Digest, ProgressBar>>,
}

impl Bars {
    fn new() -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(DRAWN));
        Self { all, each: Mutex::new(HashMap::new()) }
    }

    fn bar(&self, descriptor: &Descriptor, shape: &str) -> ProgressBar {
        let mut each = lock(&self.each);
        let make = || {
            let bar = ProgressBar::new(descriptor.size).with_prefix(short(&descriptor.digest));
            let bar = self.all.add(bar);
            bar.set_style(style(shape));
            bar
        };
        each.entry(descriptor.digest.clone()).or_insert_with(make).clone()
    }

    fn blob(&self, descriptor: &Descriptor, done: u64, (going, there): (&'static str, &'static str)) {
        let bar = self.bar(descriptor, BAR);
        if bar.is_finished() {
            return;
        }
        if bar.message().is_empty() {
            bar.set_message(going);
            // What an earlier command has left there says nothing about the rate of this one.
            bar.set_position(done);
            bar.reset_eta();
        }
        bar.set_position(done);
        if done >= descriptor.size {
            bar.set_message(there);
        }
    }

    fn state(&self, descriptor: &Descriptor, state: &'static str, last: bool) {
        let bar = self.bar(descriptor, STATE);
        bar.set_style(style(STATE));
        if last {
            bar.finish_with_message(state);
        } else {
            bar.set_message(state);
        }
    }
}

fn style(shape: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(shape).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("=> ")
}

/// Docker's short form.
fn short(digest: &Digest) -> String {
    digest.hex().chars().take(12).collect()
}

/// What is behind these locks is shown, not relied upon: a thread that panicked leaves nothing half made.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            lock(&self.0).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Shared {
        fn text(&self) -> String {
            String::from_utf8(lock(&self.0).clone()).expect("UTF-8")
        }
    }

    fn descriptor(content: &str, size: u64) -> Descriptor {
        Descriptor { media_type: String::new(), digest: Digest::of(content.as_bytes()), size }
    }

    enum Call {
        Blob(u64),
        Exists,
        Unpacked(bool),
    }

    #[test]
    fn plain_lines_are_one_a_blob_and_one_when_it_is_unpacked() {
        use Call::{Blob, Exists, Unpacked};
        for (size, calls, expected) in [
            (3_200_000, vec![Blob(0), Blob(1_000_000)], ""),
            (3_200_000, vec![Blob(0), Blob(3_200_000)], "ca978112ca1b: downloaded 3.2MB\n"),
            (10, vec![Blob(10), Blob(10), Blob(10)], "ca978112ca1b: downloaded 10B\n"),
            (10, vec![Blob(9), Blob(0), Blob(10)], "ca978112ca1b: downloaded 10B\n"),
            (10, vec![Exists, Unpacked(false)], "ca978112ca1b: exists\n"),
            (10, vec![Exists, Unpacked(true)], "ca978112ca1b: exists\nca978112ca1b: unpacked\n"),
            (
                10,
                vec![Unpacked(false), Blob(5), Blob(10), Unpacked(true), Blob(10), Unpacked(true)],
                "ca978112ca1b: downloaded 10B\nca978112ca1b: unpacked\n",
            ),
            (0, vec![Blob(0)], "ca978112ca1b: downloaded 0B\n"),
        ] {
            let (out, blob) = (Shared::default(), descriptor("a", size));
            let report = Report::plain(Box::new(out.clone()), Way::In);
            for call in calls {
                match call {
                    Blob(done) => report.blob(&blob, done),
                    Exists => report.exists(&blob),
                    Unpacked(finished) => report.unpacked(&blob, finished),
                }
            }
            assert_eq!(out.text(), expected);
        }
    }

    #[test]
    fn lines_of_many_threads_are_whole() {
        let out = Shared::default();
        let report = Report::plain(Box::new(out.clone()), Way::In);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let report = &report;
                scope.spawn(move || {
                    let blob = descriptor(&thread.to_string(), 100);
                    (0..=100).for_each(|done| report.blob(&blob, done));
                    report.unpacked(&blob, true);
                });
            }
        });
        let text = out.text();
        assert_eq!(text.lines().filter(|line| line.ends_with(": downloaded 100B")).count(), 8, "{text}");
        assert_eq!(text.lines().filter(|line| line.ends_with(": unpacked")).count(), 8, "{text}");
    }

    #[test]
    fn the_shapes_of_bars_are_understood() {
        for shape in [BAR, STATE] {
            ProgressStyle::with_template(shape).expect(shape);
        }
    }

    #[test]
    fn a_bar_ends_done_whatever_comes_behind() {
        let bars = Bars { all: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()), ..Bars::new() };
        let blob = descriptor("a", 100);
        bars.blob(&blob, 40, Way::In.words());
        assert_eq!((bars.bar(&blob, BAR).position(), bars.bar(&blob, BAR).message()), (40, "downloading".into()));
        bars.blob(&blob, 100, Way::In.words());
        bars.state(&blob, "unpacking", false);
        bars.state(&blob, "done", true);
        bars.blob(&blob, 100, Way::In.words());
        let bar = bars.bar(&blob, BAR);
        assert!(bar.is_finished());
        assert_eq!(bar.message(), "done");
        assert_eq!(lock(&bars.each).len(), 1);
    }
}
