//! The processes of a container, seen from outside: /proc of the host.
//!
//! Owns which they are and what the kernel says of each. The surprise: a process that `rl exec` has started is no descendant of the
//! container's first one, so it is the pid namespace that counts; to read whose it is takes rights over the container's user namespace, so
//! the caller enters the base namespace first. With `--pid=host` there is none, and the descendants must do.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use nix::unistd::{SysconfVar, sysconf};

use crate::error::{Context, Result, catalog::state};
use crate::host::procfs;

/// What /proc says of one process.
#[derive(Debug, Clone, PartialEq)]
pub struct Process {
    /// As the host numbers it.
    pub pid: i32,
    /// As the container does.
    pub inside: i32,
    /// The host's number of its parent.
    pub parent: i32,
    /// The host's effective uid.
    pub uid: u32,
    /// Its process group and session, by the host's numbers.
    pub group: (i32, i32),
    /// R, S, D, Z, T...
    pub state: char,
    /// `pts/0`, or `?`.
    pub tty: String,
    /// Seconds of processor time.
    pub cpu: f64,
    /// Seconds since its start.
    pub age: f64,
    /// Bytes of address space.
    pub virtual_size: u64,
    /// Bytes in memory.
    pub resident: u64,
    /// Threads.
    pub threads: u32,
    /// Its niceness.
    pub nice: i32,
    /// Its name.
    pub name: String,
    /// Its words; its name in brackets where it has none.
    pub command: String,
}

/// All processes of the container whose first process this is, in the order of their numbers. The caller has rights over the
/// container's namespaces. `own`: it has a pid namespace.
///
/// # Errors
/// Where /proc can't be read.
pub fn all(first: i32, own: bool) -> Result<Vec<Process>> {
    let clock = Clock::read()?;
    let entries = std::fs::read_dir("/proc").context(&state::STATE, || "list /proc".into())?;
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let mut found = match std::fs::read_link(procfs::namespace(first, "pid")) {
        Ok(namespace) if own => {
            pids.filter(|pid| is_in(*pid, &namespace)).filter_map(|pid| process(pid, &clock)).collect()
        }
        _ => descendants(first, pids.filter_map(|pid| process(pid, &clock)).collect()),
    };
    found.sort_by_key(|process| process.pid);
    Ok(found)
}

/// rl's own pid 1 shows nothing of itself; its first child does, which is in the same namespace.
fn is_in(pid: i32, namespace: &Path) -> bool {
    std::fs::read_link(procfs::namespace(pid, "pid")).is_ok_and(|own| own == namespace)
}

fn descendants(first: i32, mut all: Vec<Process>) -> Vec<Process> {
    all.sort_by_key(|process| process.age.to_bits());
    let mut known = HashSet::from([first]);
    // Until nothing is added: a parent may have a higher number, and be younger by the clock's grain.
    loop {
        let before = known.len();
        known.extend(
            all.iter().filter(|process| known.contains(&process.parent)).map(|process| process.pid).collect::<Vec<_>>(),
        );
        if known.len() == before {
            break;
        }
    }
    all.retain(|process| known.contains(&process.pid));
    all
}

struct Clock {
    ticks: f64,
    page: u64,
    uptime: f64,
}

impl Clock {
    fn read() -> Result<Self> {
        let doing = || "read /proc/uptime".to_owned();
        let text = std::fs::read_to_string("/proc/uptime").context(&state::STATE, doing)?;
        let uptime = text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or_default();
        let config = |name, default| sysconf(name).ok().flatten().unwrap_or(default);
        let page = u64::try_from(config(SysconfVar::PAGE_SIZE, 4096)).unwrap_or(4096);
        Ok(Self { ticks: config(SysconfVar::CLK_TCK, 100) as f64, page, uptime })
    }
}

/// None: it has ended meanwhile.
fn process(pid: i32, clock: &Clock) -> Option<Process> {
    let dir = PathBuf::from(format!("/proc/{pid}"));
    let stat = std::fs::read_to_string(dir.join("stat")).ok()?;
    let status = std::fs::read_to_string(dir.join("status")).ok()?;
    let words = std::fs::read(dir.join("cmdline")).ok()?;
    parse(pid, &stat, &status, &words, clock)
}

fn parse(pid: i32, stat: &str, status: &str, words: &[u8], clock: &Clock) -> Option<Process> {
    // The command (field 2) may hold anything, parentheses and spaces too.
    let (start, rest) = stat.rsplit_once(") ")?;
    let name = start.split_once('(')?.1.to_owned();
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // proc_pid_stat(5) counts from 1, and `state` is its field 3.
    let field = |number: usize| fields.get(number - 3).copied();
    let number = |at: usize| field(at)?.parse::<i64>().ok();
    let line = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    let uid = line("Uid")?.split_ascii_whitespace().nth(1)?.parse().ok()?;
    let inside = line("NSpid").and_then(|list| list.split_ascii_whitespace().last()?.parse().ok());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let list: Vec<_> = words.split(|byte| *byte == 0).filter(|word| !word.is_empty()).map(text).collect();
    Some(Process {
        pid,
        inside: inside.unwrap_or(pid),
        parent: i32::try_from(number(4)?).ok()?,
        uid,
        group: (i32::try_from(number(5)?).ok()?, i32::try_from(number(6)?).ok()?),
        state: field(3)?.chars().next()?,
        tty: tty(number(7)?),
        cpu: (number(14)? + number(15)?) as f64 / clock.ticks,
        age: (clock.uptime - number(22)? as f64 / clock.ticks).max(0.0),
        virtual_size: u64::try_from(number(23)?).ok()?,
        resident: u64::try_from(number(24)?).ok()? * clock.page,
        threads: u32::try_from(number(20)?).ok()?,
        nice: i32::try_from(number(19)?).ok()?,
        command: if list.is_empty() { format!("[{name}]") } else { list.join(" ") },
        name,
    })
}

/// Of a terminal's device number (Documentation/admin-guide/devices.txt).
fn tty(number: i64) -> String {
    let (major, minor) = ((number >> 8) & 0xfff, (number & 0xff) | ((number >> 12) & 0xfff00));
    match major {
        136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
        4 => format!("tty{minor}"),
        _ => "?".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_what_proc_says_of_it() {
        let clock = Clock { ticks: 100.0, page: 4096, uptime: 1000.0 };
        let stat = "42 (a) b (c) S 7 42 41 34817 -1 4194560 1 2 3 4 150 50 0 0 20 5 3 0 90000 8192 2 1 1";
        let status = "Name:\tx\nUid:\t0\t1001\t0\t0\nNSpid:\t42\t9\n";
        let process = parse(42, stat, status, b"sh\0-c\0a b\0", &clock).expect("a process");
        assert_eq!((process.parent, process.inside, process.uid, process.group), (7, 9, 1001, (42, 41)));
        assert_eq!((process.name.as_str(), process.command.as_str()), ("a) b (c", "sh -c a b"));
        assert_eq!((process.tty.as_str(), process.cpu, process.age), ("pts/1", 2.0, 100.0));
        assert_eq!((process.virtual_size, process.resident, process.threads, process.nice), (8192, 8192, 3, 5));
        let process = parse(42, stat, status, b"", &clock).expect("a process");
        assert_eq!(process.command, "[a) b (c]");
        assert_eq!(parse(42, "42 (a", status, b"", &clock), None);
    }

    #[test]
    fn this_process_is_among_those_of_its_namespace() {
        let me = i32::try_from(std::process::id()).expect("a pid");
        assert!(all(me, true).expect("processes").iter().any(|process| process.pid == me));
    }
}
