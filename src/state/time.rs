//! Points in time as documents of docker's have them.

use time::OffsetDateTime;

/// `2026-11-24T22:59:38.123456789Z`, of nanoseconds since 1970.
pub fn rfc3339(nanoseconds: u64) -> String {
    let date = OffsetDateTime::from_unix_timestamp_nanos(i128::from(nanoseconds));
    let date = date.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (month, day, nano) = (u8::from(date.month()), date.day(), date.nanosecond());
    let (hour, minute, second) = date.to_hms();
    format!("{:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nano:09}Z", date.year())
}
