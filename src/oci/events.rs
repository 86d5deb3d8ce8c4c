//! `events`: what a container's group counts, as runc's document has it, which containerd's shim reads.
//!
//! The surprise: numbers of a controller that is not there are left out, where runc writes zeros.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::Inotify;
use serde_json::{Map, Value, json};

use super::Runtime;
use super::group;
use super::state::{Container, Status};
use crate::cgroup::Group;
use crate::cgroup::events::OomWatch;
use crate::error::{Error, Result, catalog::oci};

/// Prints one document, or one each `seconds` until the container has ended, with an `oom` in between where the kernel has killed.
///
/// # Errors
/// It does not run, or has no group.
pub fn events(runtime: &Runtime, id: &str, once: bool, seconds: u64) -> Result<()> {
    let container = Container::find(runtime, id)?;
    if container.status() == Status::Stopped {
        return Err(Error::new(&oci::STATUS, format!("container {id:?} has stopped: container not running")));
    }
    let group = group::of(&container)?;
    if once {
        println!("{}", document(id, group));
        return Ok(());
    }
    let mut memory = Memory::of(group);
    loop {
        println!("{}", document(id, group));
        let next = Instant::now() + Duration::from_secs(seconds);
        while let Some(left) = next.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            let ended = wait(&container, &memory, left);
            if memory.has_killed(ended) {
                println!("{}", json!({ "type": "oom", "id": id }));
            }
            if ended {
                return Ok(());
            }
        }
    }
}

/// Whether the container has ended; else its memory has something to tell, or time is up.
fn wait(container: &Container, memory: &Memory, left: Duration) -> bool {
    let Some(pidfd) = container.process() else { return true };
    let timeout = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX);
    let mut polls = vec![PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    polls.extend(memory.alarm.as_ref().map(|alarm| PollFd::new(alarm.as_fd(), PollFlags::POLLIN)));
    let _ = poll(&mut polls, timeout);
    polls[0].any().unwrap_or(false)
}

/// What is known of the kills for want of memory.
struct Memory {
    watch: OomWatch,
    alarm: Option<Inotify>,
    killed: u64,
}

impl Memory {
    fn of(group: &Group) -> Self {
        let watch = OomWatch::new(group);
        let killed = watch.count().unwrap_or(0);
        Self { alarm: watch.alarm(), watch, killed }
    }

    /// Whether there was one since the last time. The group of a container that has `ended` may have gone with it.
    fn has_killed(&mut self, ended: bool) -> bool {
        let _ = self.alarm.as_ref().map(Inotify::read_events);
        let before = self.killed;
        match self.watch.count() {
            Some(now) => self.killed = now,
            None if ended && self.alarm.is_some() => return self.watch.has_killed(),
            None => {}
        }
        self.killed > before
    }
}

fn document(id: &str, group: &Group) -> Value {
    let mut data = Map::new();
    let stat = |file: &str| group.read(file).map(|text| table(&text));
    if let Some(cpu) = stat("cpu.stat") {
        data.insert("cpu".into(), processor(&cpu));
    }
    if let Some(current) = number(group, "memory.current") {
        data.insert("memory".into(), memory(group, current, stat("memory.stat").unwrap_or_default()));
    }
    if let Some(current) = number(group, "pids.current") {
        data.insert("pids".into(), json!({ "current": current, "limit": number(group, "pids.max").unwrap_or(0) }));
    }
    if let Some(text) = group.read("io.stat") {
        data.insert("blkio".into(), json!({ "ioServiceBytesRecursive": devices(&text) }));
    }
    json!({ "type": "stats", "id": id, "data": data })
}

/// In nanoseconds, which cgroup v1 counted.
fn processor(stat: &Map<String, Value>) -> Value {
    let of = |name: &str| stat.get(name).and_then(Value::as_u64).unwrap_or(0);
    json!({
        "usage": {
            "total": of("usage_usec") * 1000, "kernel": of("system_usec") * 1000, "user": of("user_usec") * 1000,
        },
        "throttling": {
            "periods": of("nr_periods"), "throttledPeriods": of("nr_throttled"),
            "throttledTime": of("throttled_usec") * 1000,
        },
    })
}

fn memory(group: &Group, current: u64, raw: Map<String, Value>) -> Value {
    let failed = group.read("memory.events").and_then(|text| table(&text).remove("max")).unwrap_or_else(|| 0.into());
    let limit = number(group, "memory.max").unwrap_or(u64::MAX);
    let mut memory = json!({
        "cache": raw.get("file").cloned().unwrap_or_else(|| 0.into()),
        "usage": { "limit": limit, "usage": current, "max": number(group, "memory.peak").unwrap_or(0), "failcnt": failed },
        "raw": raw,
    });
    if let Some(swap) = number(group, "memory.swap.current") {
        // As v1 counted: with memory.
        let limit = number(group, "memory.swap.max").map_or(u64::MAX, |more| limit.saturating_add(more));
        memory["swap"] = json!({ "limit": limit, "usage": current + swap, "max": 0, "failcnt": 0 });
    }
    memory
}

fn devices(text: &str) -> Vec<Value> {
    let mut all = Vec::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some((major, minor)) = words.next().and_then(|device| device.split_once(':')) else { continue };
        let (Ok(major), Ok(minor)) = (major.parse::<u64>(), minor.parse::<u64>()) else { continue };
        for word in words {
            let known = [("rbytes=", "Read"), ("wbytes=", "Write")];
            let found = known.iter().find_map(|(key, op)| Some((op, word.strip_prefix(key)?.parse::<u64>().ok()?)));
            if let Some((op, value)) = found {
                all.push(json!({ "major": major, "minor": minor, "op": op, "value": value }));
            }
        }
    }
    all
}

/// None: no such file, or `max`.
fn number(group: &Group, file: &str) -> Option<u64> {
    group.read(file)?.trim().parse().ok()
}

/// Lines of a name and a number.
fn table(text: &str) -> Map<String, Value> {
    let pair = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_owned(), Value::from(value.trim().parse::<u64>().ok()?)))
    };
    text.lines().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_become_runcs_members() {
        let stat = table("usage_usec 7\nuser_usec 4\nsystem_usec 3\nnr_periods 1\n");
        let cpu = processor(&stat);
        assert_eq!((cpu["usage"]["total"].as_u64(), cpu["throttling"]["periods"].as_u64()), (Some(7000), Some(1)));
        let io = devices("8:0 rbytes=10 wbytes=2 rios=1\nstrange\n");
        assert_eq!(io[1], json!({ "major": 8, "minor": 0, "op": "Write", "value": 2 }));
    }
}
