//! Local time.
//!
//! Owns the one call that knows the time zone of this process: TZ, or /etc/localtime. The surprise: an hour that a change of the clocks
//! leaves out or has twice is one of the two that it may be; which one is the C library's affair.

/// Seconds since 1970 of a date in local time; `[month, day, hour, minute, second]`, the first month is 1.
pub fn of_local_time(year: i32, [month, day, hour, minute, second]: [u8; 5]) -> Option<i64> {
    // SAFETY: plain numbers and a pointer that may be null; all zero is a value of it.
    let mut broken_down: libc::tm = unsafe { std::mem::zeroed() };
    broken_down.tm_year = year.checked_sub(1900)?;
    broken_down.tm_mon = i32::from(month) - 1;
    broken_down.tm_mday = day.into();
    (broken_down.tm_hour, broken_down.tm_min, broken_down.tm_sec) = (hour.into(), minute.into(), second.into());
    // Whether it is summer time there is to be found out.
    broken_down.tm_isdst = -1;
    // SAFETY: it reads and normalises the structure, and reads the environment, which nothing changes: there is one thread.
    let seconds = unsafe { libc::mktime(&raw mut broken_down) };
    (seconds != -1).then_some(seconds)
}
