//! The few facts about processes that are read from /proc: start times, descriptors, and where their namespaces are.

/// The time at which a process started, in clock ticks since boot: with the boot id and the pid it names a process for good
/// (proc_pid_stat(5), field 22). None when there is no such process.
pub fn start_time(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command (field 2) may hold anything, parentheses and spaces too: count behind the last one.
    stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
}

/// The numbers of the descriptors that a process has open; none where it does not show them to the caller.
pub fn descriptors(pid: i32) -> Vec<i32> {
    let Ok(all) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    all.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The path of a process's namespace that can be opened. rl's own pid 1 (`--init`) shows nothing of itself to anybody, but its
/// child, the command, is in the same namespaces.
pub fn namespace(pid: i32, name: &str) -> std::path::PathBuf {
    let path = |pid: &str| std::path::PathBuf::from(format!("/proc/{pid}/ns/{name}"));
    let own = path(&pid.to_string());
    if std::fs::read_link(&own).is_ok() {
        return own;
    }
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let mut paths = children.split_ascii_whitespace().map(path);
    paths.find(|path| std::fs::read_link(path).is_ok()).unwrap_or(own)
}
