//! Limits of the control group: `-m`, `--cpus` and their kin, for `rl run` and `rl update`.
//!
//! Owns docker's units and bounds: what makes no sense is refused here, before anything starts and by the flag's name. The surprise: 0 is
//! docker's word for no limit, and -1 too where a number may be negative.

use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use clap::ArgMatches;

use super::{limits, wrong};
use crate::cli::flag::Flag;
use crate::error::{Context, Error, Result, catalog::command_line};
use crate::host::config;
use crate::plan::cgroup::KERNELS;
use crate::spec::resources::{Cgroups, DeviceRate, Logout, Mode, RateKind, Resources};

/// docker's own; below it hardly anything starts.
const LEAST_MEMORY: i64 = 6 << 20;

const RATES: [(&str, RateKind); 4] = [
    ("device-read-bps", RateKind::ReadBytes),
    ("device-write-bps", RateKind::WriteBytes),
    ("device-read-iops", RateKind::ReadOperations),
    ("device-write-iops", RateKind::WriteOperations),
];

/// The flags that `rl update` has too.
pub(in crate::cli) const FLAGS: &[Flag] = &[
    Flag::value("memory", "SIZE", "Most memory of all its processes; more ends the container with 137")
        .short('m')
        .hyphens(),
    Flag::value("memory-swap", "SIZE", "Memory and swap together; -1: swap without limit; twice -m by default")
        .hyphens(),
    Flag::value("memory-reservation", "SIZE", "Memory that it keeps when the machine has little").hyphens(),
    Flag::value("cpus", "NUMBER", "Processors' worth of time, such as 1.5").hyphens(),
    Flag::value("cpu-shares", "NUMBER", "Weight against others, 2 to 262144; 1024 is the ordinary")
        .short('c')
        .hyphens(),
    Flag::value("cpu-quota", "MICROSECONDS", "CPU time in each period").hyphens(),
    Flag::value("cpu-period", "MICROSECONDS", "Length of a period, 1000 to 1000000; 100000 by default").hyphens(),
    Flag::value("cpuset-cpus", "LIST", "Processors that it may use, such as 0-2,5").hyphens(),
    Flag::value("cpuset-mems", "LIST", "Memory nodes that it may use").hyphens(),
    Flag::value("pids-limit", "NUMBER", "Most processes and threads; -1: no limit").hyphens(),
    Flag::value("blkio-weight", "NUMBER", "Weight of its block I/O, 10 to 1000").hyphens(),
    Flag::list("device-read-bps", "DEVICE:RATE", "Bytes a second that it reads from a block device"),
    Flag::list("device-write-bps", "DEVICE:RATE", "Bytes a second that it writes"),
    Flag::list("device-read-iops", "DEVICE:NUMBER", "Reads a second"),
    Flag::list("device-write-iops", "DEVICE:NUMBER", "Writes a second"),
];

/// All limits, checked one by one and against each other.
pub(super) fn resources(matches: &ArgMatches) -> Result<Resources> {
    let found = parsed(matches)?;
    consistent(&found)?;
    Ok(found)
}

/// All limits, checked one by one.
pub(in crate::cli) fn parsed(matches: &ArgMatches) -> Result<Resources> {
    let one = |name: &str| matches.get_one::<String>(name).map(String::as_str);
    let memory = one("memory").map(|word| memory("memory", word)).transpose()?.flatten();
    let (cpu_quota, cpu_period) = quota(one("cpus"), one("cpu-quota"), one("cpu-period"))?;
    Ok(Resources {
        memory,
        memory_swap: one("memory-swap").map(swap).transpose()?.flatten(),
        memory_reservation: one("memory-reservation")
            .map(|word| self::memory("memory-reservation", word))
            .transpose()?
            .flatten(),
        cpu_quota,
        cpu_period,
        cpu_shares: one("cpu-shares").map(|word| number("cpu-shares", word, 2, 262_144)).transpose()?.flatten(),
        cpuset_cpus: one("cpuset-cpus").map(|word| list("cpuset-cpus", word, "cpu")).transpose()?,
        cpuset_mems: one("cpuset-mems").map(|word| list("cpuset-mems", word, "node")).transpose()?,
        pids: one("pids-limit").map(pids).transpose()?,
        blkio_weight: one("blkio-weight")
            .map(|word| number("blkio-weight", word, 10, 1000))
            .transpose()?
            .flatten()
            .and_then(|weight| u16::try_from(weight).ok()),
        devices: devices(matches)?,
        unified: unified(matches)?,
    })
}

/// `--cgroup-conf FILE=VALUE`; the plan says which file is none of a controller's.
fn unified(matches: &ArgMatches) -> Result<BTreeMap<String, String>> {
    let words = matches.try_get_many::<String>("cgroup-conf").ok().flatten().into_iter().flatten();
    let pair = |word: &String| {
        let parts = word.split_once('=').filter(|(file, _)| !file.is_empty() && !file.contains('/'));
        let parts = parts.map(|(file, value)| (file.to_owned(), value.to_owned()));
        parts.ok_or_else(|| wrong("cgroup-conf", word, "FILE=VALUE, for example memory.high=100M"))
    };
    words.map(pair).collect()
}

/// Against each other.
pub(in crate::cli) fn consistent(found: &Resources) -> Result<()> {
    let conflict = |what: &str| Err(Error::new(&command_line::CONFLICT, what));
    match (found.memory, found.memory_swap) {
        (None, Some(_)) => return conflict("--memory-swap includes memory, and --memory is missing"),
        (Some(memory), Some(swap)) if (0..memory).contains(&swap) => {
            return conflict("--memory-swap is memory and swap together, so it can't be less than --memory");
        }
        _ => {}
    }
    if let (Some(memory), Some(reservation)) = (found.memory, found.memory_reservation)
        && reservation > memory
    {
        return conflict("--memory-reservation is more than --memory");
    }
    Ok(())
}

/// 0 is none.
fn memory(flag: &str, word: &str) -> Result<Option<i64>> {
    let bytes = i64::try_from(limits::size(flag, word)?).map_err(|_| wrong(flag, word, "a size below 8 exabytes"))?;
    match bytes {
        0 => Ok(None),
        bytes if flag == "memory" && bytes < LEAST_MEMORY => Err(wrong(flag, word, "at least 6m")),
        bytes => Ok(Some(bytes)),
    }
}

fn swap(word: &str) -> Result<Option<i64>> {
    if word == "-1" { Ok(Some(-1)) } else { memory("memory-swap", word) }
}

/// A whole number within bounds; 0 is none.
fn number(flag: &str, word: &str, least: u64, most: u64) -> Result<Option<u64>> {
    let number = word.parse::<u64>().ok().filter(|_| !word.starts_with('+'));
    match number {
        Some(0) => Ok(None),
        Some(number) if (least..=most).contains(&number) => Ok(Some(number)),
        _ => Err(wrong(flag, word, &format!("a whole number from {least} to {most}"))),
    }
}

fn pids(word: &str) -> Result<i64> {
    let number = word.parse::<i64>().ok().filter(|number| *number >= -1 && !word.starts_with('+'));
    // The kernel's own bound of pids.
    number.filter(|number| *number <= 1 << 22).ok_or_else(|| wrong("pids-limit", word, "a number up to 4194304, or -1"))
}

fn quota(cpus: Option<&str>, quota: Option<&str>, period: Option<&str>) -> Result<(Option<i64>, Option<u64>)> {
    if let Some(word) = cpus {
        if quota.or(period).is_some() {
            let what = "--cpus with --cpu-quota or --cpu-period: it stands for both";
            return Err(Error::new(&command_line::CONFLICT, what));
        }
        return Ok((self::cpus(word)?, None));
    }
    let period = period.map(|word| number("cpu-period", word, 1000, 1_000_000)).transpose()?.flatten();
    let quota = match quota {
        None | Some("-1") => None,
        // The kernel's smallest slice.
        Some(word) => number("cpu-quota", word, 1000, i64::MAX as u64)?.and_then(|quota| i64::try_from(quota).ok()),
    };
    Ok((quota.or(period.map(|_| -1)), period))
}

/// In periods of a tenth of a second, as docker has it.
fn cpus(word: &str) -> Result<Option<i64>> {
    let most = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let right = || format!("a number from 0.01 to {most}, the processors of this machine, such as 1.5");
    let plain = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let cpus = word.parse::<f64>().ok().filter(|_| plain).ok_or_else(|| wrong("cpus", word, &right()))?;
    if cpus == 0.0 {
        return Ok(None);
    }
    #[expect(clippy::cast_precision_loss, reason = "no machine has that many processors")]
    if !(0.01..=most as f64).contains(&cpus) {
        return Err(wrong("cpus", word, &right()));
    }
    #[expect(clippy::cast_possible_truncation, reason = "within the bounds above")]
    Ok(Some((cpus * 100_000.0).round() as i64))
}

/// Numbers and ranges, each of which this machine has.
fn list(flag: &str, word: &str, kind: &str) -> Result<String> {
    let bad = || wrong(flag, word, "a list such as 0-2,5");
    let mut named = Vec::new();
    for part in word.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let digits = |text: &str| !text.is_empty() && text.len() < 6 && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(first) || !digits(last) {
            return Err(bad());
        }
        let (first, last): (u32, u32) = (first.parse().map_err(|_| bad())?, last.parse().map_err(|_| bad())?);
        if first > last {
            return Err(bad());
        }
        named.extend([first, last]);
    }
    let there = |number: &u32| std::path::Path::new(&format!("/sys/devices/system/{kind}/{kind}{number}")).exists();
    // A kernel without memory nodes has no such directory at all; node 0 is all the memory then.
    match named.iter().find(|number| !there(number) && (kind == "cpu" || **number > 0)) {
        Some(missing) => Err(wrong(flag, word, &format!("what this machine has; there is no {kind}{missing}"))),
        None => Ok(word.to_owned()),
    }
}

fn devices(matches: &ArgMatches) -> Result<Vec<DeviceRate>> {
    let mut all: Vec<DeviceRate> = Vec::new();
    for (flag, kind) in RATES {
        for word in matches.get_many::<String>(flag).into_iter().flatten() {
            let rate = device(flag, word, kind)?;
            all.retain(|earlier| (earlier.device, earlier.kind) != (rate.device, kind));
            all.push(rate);
        }
    }
    Ok(all)
}

fn device(flag: &str, word: &str, kind: RateKind) -> Result<DeviceRate> {
    let right = "DEVICE:RATE with a block device, such as /dev/sda:1m";
    let (path, rate) = word.rsplit_once(':').ok_or_else(|| wrong(flag, word, right))?;
    let rate = match kind {
        RateKind::ReadBytes | RateKind::WriteBytes => limits::size(flag, rate)?,
        _ => rate.parse().map_err(|_| wrong(flag, word, "DEVICE:NUMBER"))?,
    };
    let meta = std::fs::metadata(path).context(&command_line::USAGE, || format!("--{flag}: look at {path:?}"))?;
    if !meta.file_type().is_block_device() || rate == 0 {
        return Err(wrong(flag, word, right));
    }
    let number = |half: u64| i64::try_from(half).unwrap_or(0);
    let (major, minor) = (nix::sys::stat::major(meta.rdev()), nix::sys::stat::minor(meta.rdev()));
    Ok(DeviceRate { device: (number(major), number(minor)), kind, rate })
}

/// Where the group is to be. `unmask`: what of /sys is opened to the container.
pub(super) fn cgroups(matches: &ArgMatches, unmask: &[String]) -> Result<Cgroups> {
    let one = |name: &str| matches.get_one::<String>(name).map(String::as_str);
    let mode = match one("cgroups") {
        None if config::always_a_group()? => Mode::Enabled,
        None | Some("auto") => Mode::Auto,
        // rl's own process is never in the container's group.
        Some("enabled" | "no-conmon") => Mode::Enabled,
        Some("disabled") => Mode::Disabled,
        Some("split") => Mode::Split,
        Some(other) => return Err(wrong("cgroups", other, "auto, enabled, disabled, no-conmon or split")),
    };
    let logout = match one("logout") {
        None => None,
        Some("stop") => Some(Logout::Stop),
        Some("keep") => Some(Logout::Keep),
        Some(other) => return Err(wrong("logout", other, "stop or keep")),
    };
    if logout.is_some() && matches!(mode, Mode::Disabled | Mode::Split) {
        return Err(Error::new(&command_line::CONFLICT, "--logout without a scope of systemd's (--cgroups)"));
    }
    let delegated = systemd(matches)? || unmask.iter().any(|path| path == "/sys/fs/cgroup");
    let parent = one("cgroup-parent").map(parent).transpose()?;
    let asks = delegated || parent.is_some() || !resources(matches)?.is_empty();
    if mode == Mode::Disabled && asks {
        let what = "--cgroups=disabled with a limit, --cgroup-parent, --systemd or unmask=/sys/fs/cgroup";
        return Err(Error::new(&command_line::CONFLICT, what).fix("Leave one of them out."));
    }
    Ok(Cgroups { mode, parent, delegated, logout, ..Cgroups::default() })
}

/// `--systemd`; podman's `always` is the same here, because nothing is guessed from the command's name.
pub(super) fn systemd(matches: &ArgMatches) -> Result<bool> {
    match matches.get_one::<String>("systemd").map(String::as_str) {
        None | Some("false") => Ok(false),
        Some("true" | "always") => Ok(true),
        Some(other) => Err(wrong("systemd", other, "true or false")),
    }
}

/// Names of units and directories as they are made by people; a slice's `-` are its levels.
fn parent(word: &str) -> Result<String> {
    let part = |part: &str| {
        let plain = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        plain && !part.is_empty() && part.len() <= 200 && !part.starts_with(['.', '-'])
    };
    let shape = match word.strip_suffix(".slice") {
        Some(slice) => part(slice) && !slice.ends_with('-') && !slice.contains("--"),
        None => word.split('/').all(|dir| part(dir) && !dir.ends_with(".scope") && !dir.ends_with(".service")),
    };
    let kernels = |dir: &str| dir.split_once('.').is_some_and(|(first, _)| KERNELS.contains(&first));
    if !shape || word.split('/').any(kernels) {
        return Err(wrong("cgroup-parent", word, "a slice such as batch.slice, or DIRECTORY[/DIRECTORY]"));
    }
    Ok(word.to_owned())
}

/// Lower than one's own takes CAP_SYS_RESOURCE in the initial namespace, which no container has.
pub(super) fn oom_score_adj(word: &str) -> Result<i32> {
    let own = std::fs::read_to_string("/proc/self/oom_score_adj")
        .context(&command_line::USAGE, || "read your own oom_score_adj".into())?;
    let own = own.trim().parse::<i32>().unwrap_or(0);
    let number = word.parse::<i32>().ok().filter(|number| (own..=1000).contains(number));
    number.ok_or_else(|| wrong("oom-score-adj", word, &format!("a number from {own}, your own, to 1000")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Resources> {
        let words: Vec<_> = std::iter::once("run").chain(line.split_whitespace()).collect();
        resources(&clap::Command::new("run").args(FLAGS.iter().map(Flag::arg)).get_matches_from(words))
    }

    fn good(line: &str) -> Resources {
        parsed(line).expect(line)
    }

    #[test]
    fn limits_have_dockers_units() {
        assert_eq!(good("-m 64m").memory, Some(64 << 20));
        assert_eq!(good("-m 64m --memory-swap -1").memory_swap, Some(-1));
        assert_eq!(good("-m 0"), Resources::default());
        assert_eq!(good("--cpus 0.5").cpu_quota, Some(50_000));
        assert_eq!(good("--cpu-period 10000 --cpu-quota 5000").cpu_period, Some(10_000));
        assert_eq!(good("--pids-limit -1").pids, Some(-1));
        assert_eq!(good("--cpuset-cpus 0").cpuset_cpus.as_deref(), Some("0"));
        assert!(good("").is_empty());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bad in [
            "-m 1m",
            "-m -1",
            "-m x",
            "-m 99999999t",
            "--memory-swap 64m",
            "-m 64m --memory-swap 32m",
            "-m 64m --memory-reservation 65m",
            "--cpus 0.001",
            "--cpus 100000",
            "--cpus -1",
            "--cpus nan",
            "--cpus 1e1",
            "--cpus 1 --cpu-quota 5000",
            "--cpu-period 999",
            "--cpu-period 1000001",
            "--cpu-quota 999",
            "--cpu-shares 1",
            "--cpu-shares 262145",
            "--cpuset-cpus x",
            "--cpuset-cpus 1-0",
            "--cpuset-cpus 9999",
            "--cpuset-cpus 0,",
            "--cpuset-mems 77",
            "--pids-limit -2",
            "--pids-limit x",
            "--blkio-weight 9",
            "--blkio-weight 1001",
            "--device-read-bps /dev/null:1m",
            "--device-read-bps /nowhere:1m",
            "--device-read-bps 1m",
        ] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_parent_is_a_name_and_nothing_else() {
        for good in ["batch.slice", "a-b.slice", "jobs", "jobs/one"] {
            assert!(parent(good).is_ok(), "{good}");
        }
        let long = "x".repeat(300);
        for bad in [
            "",
            "../x",
            "/x",
            "a//b",
            "-rf",
            "a\nb.slice",
            "%n.slice",
            "x.scope",
            "a;b",
            "-.slice",
            "a--b.slice",
            "a-.slice",
            "cgroup.procs",
            "x/memory.max",
            &long,
        ] {
            assert!(parent(bad).is_err(), "{bad}");
        }
    }
}
