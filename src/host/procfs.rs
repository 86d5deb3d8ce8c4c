//! The few facts about processes that are read from /proc: start times.

/// The time at which a process started, in clock ticks since boot: with the boot id and the pid it names a process for good
/// (proc_pid_stat(5), field 22). None when there is no such process.
pub fn start_time(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command (field 2) may hold anything, parentheses and spaces too: count behind the last one.
    stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
}
