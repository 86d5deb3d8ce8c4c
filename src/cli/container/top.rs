//! `rl top CONTAINER [ps OPTIONS]`: the processes of a container.
//!
//! Owns the columns: those of `ps -ef` by default, as docker shows them, `aux`, and a list of one's own. The surprise: no ps is run, neither
//! the host's nor the image's, which need not have one. Numbers of processes are the host's, as docker's are; users are the container's.

use clap::{Arg, ArgMatches, Command};
use serde_json::{Map, Value};

use crate::cli::format::{Format, Screen};
use crate::cli::{Globals, Verb, enter};
use crate::error::{Error, Result, catalog::command_line};
use crate::host::Host;
use crate::runtime::processes::{self, Process};
use crate::state::{Containers, now};

/// The verb.
pub const VERB: Verb = Verb { name: "top", about: "The processes of a container", command, run };

/// Which each column is: its name of `ps -o`, its heading.
const COLUMNS: [(&str, &str); 39] = [
    ("user", "USER"),
    ("uid", "UID"),
    ("huser", "HUSER"),
    ("pid", "PID"),
    ("hpid", "HPID"),
    ("cpid", "CPID"),
    ("ppid", "PPID"),
    ("pgid", "PGID"),
    ("sid", "SID"),
    ("c", "C"),
    ("pcpu", "%CPU"),
    ("pmem", "%MEM"),
    ("vsz", "VSZ"),
    ("rss", "RSS"),
    ("tty", "TTY"),
    ("stat", "STAT"),
    ("s", "S"),
    ("stime", "STIME"),
    ("start", "START"),
    ("etime", "ELAPSED"),
    ("etimes", "ELAPSED"),
    ("time", "TIME"),
    ("nlwp", "NLWP"),
    ("ni", "NI"),
    ("comm", "COMMAND"),
    ("cmd", "CMD"),
    ("args", "COMMAND"),
    ("ruser", "RUSER"),
    ("group", "GROUP"),
    ("rgroup", "RGROUP"),
    ("groups", "GROUPS"),
    ("hgroup", "HGROUP"),
    ("hgroups", "HGROUPS"),
    ("capeff", "EFFECTIVE CAPS"),
    ("capprm", "PERMITTED CAPS"),
    ("capinh", "INHERITED CAPS"),
    ("capbnd", "BOUNDING CAPS"),
    ("capamb", "AMBIENT CAPS"),
    ("seccomp", "SECCOMP"),
];
const FULL: [&str; 8] = ["uid", "pid", "ppid", "c", "stime", "tty", "time", "cmd"];
const AUX: [&str; 11] = ["user", "pid", "pcpu", "pmem", "vsz", "rss", "tty", "stat", "start", "time", "args"];

fn command() -> Command {
    Command::new("rl top")
        .about(VERB.about)
        .override_usage("rl top CONTAINER|-l [PS OPTIONS|COLUMN...]")
        .arg(super::latest())
        .arg(
            Arg::new("words")
                .num_args(0..)
                .trailing_var_arg(true)
                .allow_hyphen_values(true)
                .value_name("CONTAINER")
                .help("Its name or id, not with -l; then -ef (default), aux, -o COLUMN,..., or columns"),
        )
        .after_help(
            "Columns: user uid huser pid hpid cpid ppid pgid sid c pcpu pmem vsz rss tty stat s stime start etime etimes time nlwp ni comm \
             cmd args ruser group rgroup groups hgroup hgroups capeff capprm capinh capbnd capamb seccomp.\nPids are the host's; cpid is the container's own number. Users are the container's; huser is the host's. Times are \
             UTC.\n\nExamples:\n  rl top web\n  rl top web aux\n  rl top web -o pid,pcpu,args\n  rl top web cpid user comm",
        )
}

fn run(globals: &Globals, matches: &ArgMatches) -> Result<u8> {
    let words: Vec<&str> = super::words(matches, "words").map(String::as_str).collect();
    let latest = matches.get_flag("latest");
    let (name, words) = match words.split_first() {
        Some((name, rest)) if !latest => (Some(*name), rest),
        _ => (None, words.as_slice()),
    };
    let columns = columns(words)?;
    let host = Host::probe(globals.root.as_deref(), globals.runroot.as_deref())?;
    let containers = Containers::open(&host.dirs);
    let (container, running) = containers.find_running(&super::named_or_last(&containers, "top", name, latest)?)?;
    let first = running.pid.as_raw();
    let users = Users::of(first);
    let memory = total_memory();
    enter(&host, None)?;
    let found = processes::all(first, !container.record.run.share.pid)?;
    // A template's field has no sign in its name, and one column may be there twice.
    let fields: Vec<String> = (0..columns.len()).map(|at| format!("{{{{.F{at}}}}}")).collect();
    let table: Vec<(&str, &str)> =
        columns.iter().zip(&fields).map(|((_, head), field)| (*head, field.as_str())).collect();
    let row = |process: &Process| -> Value {
        let cell =
            |(at, (name, _)): (usize, &(&str, &str))| (format!("F{at}"), cell(name, process, &users, memory).into());
        columns.iter().enumerate().map(cell).collect::<Map<_, _>>().into()
    };
    let rows: Vec<Value> = found.iter().map(row).collect();
    Format::parse(None, &table)?.print(&rows, &mut Screen::stdout())?;
    Ok(0)
}

/// What ps would show for these words, as far as it can be shown here.
fn columns(words: &[&str]) -> Result<Vec<(&'static str, &'static str)>> {
    let column = |word: &str| {
        let name = match word.to_ascii_lowercase().as_str() {
            "euser" | "uname" => "user".to_owned(),
            "euid" => "uid".into(),
            "%cpu" => "pcpu".into(),
            "%mem" => "pmem".into(),
            "vsize" => "vsz".into(),
            "rssize" | "rsz" => "rss".into(),
            "tt" | "tname" => "tty".into(),
            "state" => "s".into(),
            "start_time" | "lstart" => "stime".into(),
            "elapsed" => "etime".into(),
            "cputime" => "time".into(),
            "pgrp" => "pgid".into(),
            "sess" | "session" => "sid".into(),
            "thcount" => "nlwp".into(),
            "nice" => "ni".into(),
            "ucmd" | "ucomm" => "comm".into(),
            "command" => "args".into(),
            other => other.to_owned(),
        };
        COLUMNS.iter().copied().find(|(have, _)| *have == name).ok_or_else(|| {
            Error::new(
                &command_line::USAGE,
                format!("rl top: {word:?} is neither a column nor an option that is known here"),
            )
        })
    };
    let all = |names: &[&str]| names.iter().map(|name| column(name)).collect::<Result<Vec<_>>>();
    let list =
        |text: &str| text.split([',', ' ']).filter(|word| !word.is_empty()).map(column).collect::<Result<Vec<_>>>();
    match words {
        [] | ["-ef" | "-e" | "-f" | "-eF" | "-fe" | "ef" | "-A" | "-Af"] | ["-e", "-f"] => all(&FULL),
        ["aux" | "-aux" | "au" | "ax" | "u" | "auxw" | "auxww"] => all(&AUX),
        ["-o" | "-eo" | "o" | "-Ao" | "axo", lists @ ..] | ["-e" | "ax", "-o" | "o", lists @ ..]
            if !lists.is_empty() =>
        {
            Ok(lists.iter().map(|text| list(text)).collect::<Result<Vec<_>>>()?.concat())
        }
        [one] if (one.starts_with("-o") && one.len() > 2) || (one.starts_with("-eo") && one.len() > 3) => {
            list(one.trim_start_matches('-').trim_start_matches('e').trim_start_matches('o'))
        }
        words => Ok(words.iter().map(|text| list(text)).collect::<Result<Vec<_>>>()?.concat()),
    }
}

/// The container's uids: what its map makes of the host's.
pub(super) struct Users {
    uids: Vec<(u32, u32, u32)>,
    gids: Vec<(u32, u32, u32)>,
}

impl Users {
    /// Readable by everybody; without a line the numbers are the same.
    fn of(first: i32) -> Self {
        let line = |line: &str| {
            let mut words = line.split_ascii_whitespace().map(str::parse);
            Some((words.next()?.ok()?, words.next()?.ok()?, words.next()?.ok()?))
        };
        let map = |kind: &str| {
            let text = std::fs::read_to_string(format!("/proc/{first}/{kind}_map")).unwrap_or_default();
            text.lines().filter_map(line).collect()
        };
        Self { uids: map("uid"), gids: map("gid") }
    }

    pub(super) fn inside(&self, uid: u32) -> u32 {
        inside(&self.uids, uid)
    }

    pub(super) fn group_inside(&self, gid: u32) -> u32 {
        inside(&self.gids, gid)
    }
}

fn inside(map: &[(u32, u32, u32)], id: u32) -> u32 {
    let fits = |(_, outside, count): &&(u32, u32, u32)| id >= *outside && id - outside < *count;
    map.iter().find(fits).map_or(id, |(inside, outside, _)| inside + (id - outside))
}

fn total_memory() -> f64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<f64>().ok())
        .map_or(f64::INFINITY, |kib| kib * 1024.0)
}

fn cell(name: &str, process: &Process, users: &Users, memory: f64) -> String {
    let busy = if process.age > 0.0 { process.cpu / process.age * 100.0 } else { 0.0 };
    let user = |uid: u32| if uid == 0 { "root".to_owned() } else { uid.to_string() };
    match name {
        "user" | "uid" => user(users.inside(process.uid)),
        "huser" => process.uid.to_string(),
        "pid" | "hpid" => process.pid.to_string(),
        "cpid" => process.inside.to_string(),
        "ppid" => process.parent.to_string(),
        "pgid" => process.group.0.to_string(),
        "sid" => process.group.1.to_string(),
        "c" => format!("{:.0}", busy.min(99.0).floor()),
        "pcpu" => format!("{busy:.1}"),
        "pmem" => format!("{:.1}", process.resident as f64 / memory * 100.0),
        "vsz" => (process.virtual_size / 1024).to_string(),
        "rss" => (process.resident / 1024).to_string(),
        "tty" => process.tty.clone(),
        "stat" | "s" => process.state.to_string(),
        "stime" | "start" => started(process.age),
        "etime" => elapsed(process.age, false),
        "etimes" => format!("{:.0}", process.age.floor()),
        "time" => elapsed(process.cpu, true),
        "nlwp" => process.threads.to_string(),
        "ni" => process.nice.to_string(),
        "comm" => process.name.clone(),
        "args" | "cmd" => process.command.clone(),
        other => super::told::told(other, process.pid, users),
    }
}

/// `HH:MM` of today, or `Nov25`.
fn started(age: f64) -> String {
    let now = now() / 1_000_000_000;
    let then = now.saturating_sub(age as u64);
    // `2024-02-29 12:34:56 +0000 UTC`
    let date = |seconds| crate::cli::format::date(seconds);
    let (text, today) = (date(then), date(now));
    if text.get(..10) == today.get(..10) {
        return text.get(11..16).unwrap_or_default().to_owned();
    }
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month =
        text.get(5..7).and_then(|word| word.parse::<usize>().ok()).and_then(|month| MONTHS.get(month.wrapping_sub(1)));
    format!("{}{}", month.copied().unwrap_or("?"), text.get(8..10).unwrap_or_default())
}

/// `[DD-]HH:MM:SS`; ps leaves empty hours out where it is no processor time.
fn elapsed(seconds: f64, hours_always: bool) -> String {
    let all = seconds as u64;
    let (days, hours, minutes, seconds) = (all / 86_400, all / 3600 % 24, all / 60 % 60, all % 60);
    match (days, hours) {
        (0, 0) if !hours_always => format!("{minutes:02}:{seconds:02}"),
        (0, _) => format!("{hours:02}:{minutes:02}:{seconds:02}"),
        _ => format!("{days}-{hours:02}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_ps_s_or_one_s_own() {
        let names = |words: &[&str]| columns(words).map(|all| all.iter().map(|(name, _)| *name).collect::<Vec<_>>());
        assert_eq!(names(&[]).expect("default"), FULL);
        assert_eq!(names(&["aux"]).expect("aux"), AUX);
        for words in
            [&["-o", "pid,%cpu,command"][..], &["-eo", "pid,pcpu,args"], &["-opid,pcpu,args"], &["pid", "pcpu", "args"]]
        {
            assert_eq!(names(words).expect("a list"), ["pid", "pcpu", "args"], "{words:?}");
        }
        for words in [&["-Z"][..], &["-o"], &["pid", "colour"], &["-o", "label"]] {
            assert!(names(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn times_and_users_are_ps_s() {
        assert_eq!((elapsed(59.9, false).as_str(), elapsed(59.9, true).as_str()), ("00:59", "00:00:59"));
        assert_eq!(elapsed(90_061.0, false), "1-01:01:01");
        let users = Users { uids: vec![(0, 1000, 1), (1, 100_000, 65_536)], gids: Vec::new() };
        assert_eq!((users.inside(1000), users.inside(100_032), users.inside(5)), (0, 33, 5));
    }
}
