//! Numbers of a group, for `rl stats`.
//!
//! Reads and parses; turns nothing into percentages. A controller that is not handed down leaves its numbers out.

use std::path::Path;

use super::Group;

/// What is counted at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// CPU time, microseconds.
    pub cpu: Option<u64>,
    /// Bytes in use, without page cache that could go at once.
    pub memory: Option<u64>,
    /// memory.max; None: no limit.
    pub memory_limit: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// pids.max; None: no limit.
    pub pids_limit: Option<u64>,
    /// Bytes read from block devices.
    pub read: Option<u64>,
    /// Bytes written to block devices.
    pub written: Option<u64>,
}

impl Group {
    /// Reads all files; best effort, because the container may be ending.
    pub fn sample(&self) -> Sample {
        let text = |name: &str| std::fs::read_to_string(self.dir.join(name)).ok();
        let number = |name: &str| text(name).and_then(|text| text.trim().parse::<u64>().ok());
        let field = |name: &str, key: &str| text(name).and_then(|text| value_of(&text, key));
        let inactive = field("memory.stat", "inactive_file").unwrap_or(0);
        let io = text("io.stat");
        Sample {
            cpu: field("cpu.stat", "usage_usec"),
            memory: number("memory.current").map(|bytes| bytes.saturating_sub(inactive)),
            memory_limit: number("memory.max"),
            pids: number("pids.current"),
            pids_limit: number("pids.max"),
            read: io.as_deref().map(|text| sum_of(text, "rbytes=")),
            written: io.as_deref().map(|text| sum_of(text, "wbytes=")),
        }
    }
}

fn value_of(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

fn sum_of(text: &str, key: &str) -> u64 {
    text.split_ascii_whitespace().filter_map(|word| word.strip_prefix(key)?.parse::<u64>().ok()).sum()
}

/// Bytes received and sent by a process's network namespace, without its loopback interface.
pub fn network(pid: nix::unistd::Pid) -> Option<(u64, u64)> {
    let text = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("net/dev")).ok()?;
    Some(interfaces(&text))
}

fn interfaces(text: &str) -> (u64, u64) {
    let mut sum = (0, 0);
    for (name, counts) in text.lines().filter_map(|line| line.split_once(':')) {
        let counts: Vec<u64> = counts.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect();
        if let (false, Some(received), Some(sent)) = (name.trim() == "lo", counts.first(), counts.get(8)) {
            sum = (sum.0 + received, sum.1 + sent);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_read_as_the_kernel_writes_them() {
        assert_eq!(value_of("usage_usec 12\nuser_usec 3\n", "usage_usec"), Some(12));
        assert_eq!(value_of("usage_usec_x 12\n", "usage_usec"), None);
        assert_eq!(sum_of("8:0 rbytes=10 wbytes=1\n8:16 rbytes=5 wbytes=2 rios=9\n", "rbytes="), 15);
        let dev = "Inter-|   Receive\n face |bytes\n    lo: 1 0 0 0 0 0 0 0 1 0\n  tap0: 100 2 0 0 0 0 0 0 7 1 0\n";
        assert_eq!(interfaces(dev), (100, 7));
    }
}
