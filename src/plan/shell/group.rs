//! The control group by hand: systemd-run(1)'s scope with the limits in systemd.resource-control(5)'s words.
//!
//! The surprise: what systemd has no word for is written into the scope's own files, where a `systemctl --user daemon-reload` undoes it;
//! rl has a group of its own below the scope for that.

use super::super::Plan;
use super::super::cgroup::{Limits, MAX};
use super::quote;

/// Before anything is made: the script starts once more, in the scope.
pub(super) fn scope(plan: &Plan) -> String {
    let Some(group) = plan.cgroup.as_ref().filter(|group| group.needed) else { return String::new() };
    let mut words = vec!["-p Delegate=yes".to_owned(), format!("--description={}", quote(&group.description))];
    if let Some(parent) = group.parent.as_ref().filter(|parent| parent.ends_with(".slice")) {
        words.push(format!("--slice={}", quote(parent)));
    }
    words.extend(
        properties(&group.limits).into_iter().map(|(name, value)| format!("-p {}", quote(&format!("{name}={value}")))),
    );
    let mut files: Vec<_> = group.limits.unified.iter().map(|(file, value)| (file.as_str(), value.as_str())).collect();
    files.push(("memory.oom.group", "1"));
    let writes: String = files
        .iter()
        .map(|(file, value)| format!("[ ! -e \"$G/{file}\" ] || echo {} >\"$G/{file}\"\n", quote(value)))
        .collect();
    format!(
        "# --- The control group: a scope of your own systemd (root's: the machine's), made by starting this script once more. --
if [ -z \"${{SCOPED-}}\" ]; then
	own=--user
	[ \"$(id -u)\" != 0 ] || own=--system
	SCOPED=1 exec systemd-run $own --quiet --scope --collect {words} sh \"$0\"
fi
# What systemd has no word for: out of memory, all of it ends at once.
G=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)
{writes}
",
        words = words.join(" \\\n\t\t"),
    )
}

fn properties(limits: &Limits) -> Vec<(&'static str, String)> {
    let number = |value: u64| if value == MAX { "infinity".to_owned() } else { value.to_string() };
    let numbers = [
        ("MemoryMax", limits.memory),
        ("MemorySwapMax", limits.swap),
        ("MemoryLow", limits.memory_low),
        ("CPUWeight", limits.cpu_weight),
        ("TasksMax", limits.pids),
        ("IOWeight", limits.io_weight),
    ];
    let mut all: Vec<_> = numbers.into_iter().filter_map(|(name, value)| Some((name, number(value?)))).collect();
    if let Some((quota, period)) = limits.cpu {
        if quota != MAX {
            let hundredths = quota.saturating_mul(10_000) / period.max(1);
            all.push(("CPUQuota", format!("{}.{:02}%", hundredths / 100, hundredths % 100)));
        }
        all.push(("CPUQuotaPeriodSec", format!("{period}us")));
    }
    let lists = [("AllowedCPUs", &limits.cpus), ("AllowedMemoryNodes", &limits.mems)];
    all.extend(lists.into_iter().filter_map(|(name, list)| Some((name, list.clone()?))));
    let kinds = [
        ("rbps", "IOReadBandwidthMax"),
        ("wbps", "IOWriteBandwidthMax"),
        ("riops", "IOReadIOPSMax"),
        ("wiops", "IOWriteIOPSMax"),
    ];
    for (device, words) in &limits.io {
        for (key, value) in words.split(' ').filter_map(|word| word.split_once('=')) {
            if let Some((_, name)) = kinds.iter().find(|(kind, _)| *kind == key) {
                let value = if value == "max" { "infinity" } else { value };
                all.push((name, format!("/dev/block/{device} {value}")));
            }
        }
    }
    all
}
