//! Points in time as documents of docker's have them.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::sys::clock;

/// `2026-11-24T22:59:38.123456789Z`, of nanoseconds since 1970.
pub fn rfc3339(nanoseconds: u64) -> String {
    let date = OffsetDateTime::from_unix_timestamp_nanos(i128::from(nanoseconds));
    let date = date.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (month, day, nano) = (u8::from(date.month()), date.day(), date.nanosecond());
    let (hour, minute, second) = date.to_hms();
    format!("{:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nano:09}Z", date.year())
}

/// Nanoseconds since 1970 of `2026-11-24`, `2026-11-24T22:59`, `2026-11-24T22:59:38.5`, with a zone or, as in docker, in local time.
pub fn date(text: &str) -> Option<u64> {
    let (day, clock) = text.split_once(['T', 't', ' ']).unwrap_or((text, "00"));
    let (clock, zone) = clock.split_at(clock.find(['Z', 'z', '+', '-']).unwrap_or(clock.len()));
    let rest = [":00:00", ":00", ""].get(clock.matches(':').count())?;
    let in_zone = if zone.is_empty() { "Z" } else { zone };
    let date = OffsetDateTime::parse(&format!("{day}T{clock}{rest}{in_zone}"), &Rfc3339).ok()?;
    let seconds = if zone.is_empty() {
        let (hour, minute, second) = date.to_hms();
        clock::of_local_time(date.year(), [date.month().into(), date.day(), hour, minute, second])?
    } else {
        date.unix_timestamp()
    };
    u64::try_from(seconds).ok()?.checked_mul(1_000_000_000)?.checked_add(date.nanosecond().into())
}
