//! The numbers of tar: octal and base-256 fields of a header, decimals and times of pax records.
//!
//! Pure. Whatever two tools could read differently is refused: signs, spaces inside, values beyond 63 bits. The
//! surprise: only a time may be negative, because files from before 1970 exist and files of a negative size do not.

/// A field of a header: octal, or base-256 with the first bit set. A negative one is refused.
pub(super) fn field(bytes: &[u8]) -> Result<u64, String> {
    u64::try_from(signed_field(bytes)?).map_err(|_| malformed(bytes))
}

/// A time of a header, in seconds; GNU tar writes those before 1970 as a negative base-256 number.
pub(super) fn signed_field(bytes: &[u8]) -> Result<i64, String> {
    let bad = || malformed(bytes);
    if bytes.first().is_some_and(|first| first & 0x80 != 0) {
        return base_256(bytes).ok_or_else(bad);
    }
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = std::str::from_utf8(text).map_err(|_| bad())?.trim_matches(' ');
    if text.is_empty() {
        return Ok(0);
    }
    let octal = text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    octal.then(|| i64::from_str_radix(text, 8).ok()).flatten().ok_or_else(bad)
}

/// The first byte is 0x80 or 0xff and says the sign; what lies before the last eight bytes only repeats it.
fn base_256(bytes: &[u8]) -> Option<i64> {
    let (head, tail) = bytes.split_at(bytes.len().checked_sub(8)?);
    let (first, sign) = match head.first() {
        None => (tail.first()? & 0x40, 0),
        Some(0x80) => (0, 0),
        Some(0xff) => (1, 0xff),
        Some(_) => return None,
    };
    // A field of eight bytes holds the mark itself, so only 62 bits and no negative number are taken of it.
    if head.is_empty() {
        let value = u64::from_be_bytes(tail.try_into().ok()?) & !(1 << 63);
        return (first == 0).then(|| i64::try_from(value).ok()).flatten();
    }
    let value = i64::from_be_bytes(tail.try_into().ok()?);
    (head[1..].iter().all(|byte| *byte == sign) && (value < 0) == (first == 1)).then_some(value)
}

fn malformed(bytes: &[u8]) -> String {
    format!("\"{}\" is no number of a tar header", bytes.escape_ascii())
}

/// The value of a pax record: digits only.
pub(super) fn decimal(key: &[u8], value: &[u8]) -> Result<u64, String> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let number = digits.then(|| std::str::from_utf8(value).ok()?.parse().ok()).flatten();
    number.ok_or_else(|| format!("the pax record {} has the value \"{}\"", key.escape_ascii(), value.escape_ascii()))
}

/// A time of a pax record: seconds with a fraction, negative ones too. Gives seconds and nanoseconds.
pub(super) fn time(value: &[u8]) -> Result<(i64, u32), String> {
    let bad = || format!("\"{}\" is no time", value.escape_ascii());
    let text = std::str::from_utf8(value).map_err(|_| bad())?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let magnitude = whole.strip_prefix('-').unwrap_or(whole);
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if magnitude.is_empty() || !digits(magnitude) || !digits(fraction) {
        return Err(bad());
    }
    let seconds: i64 = whole.parse().map_err(|_| bad())?;
    let nanos = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    let nanos = nanos.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    if !whole.starts_with('-') || nanos == 0 {
        return Ok((seconds, nanos));
    }
    // -1.25 is a quarter of a second before -1, and a timespec counts upwards.
    Ok((seconds.checked_sub(1).ok_or_else(bad)?, 1_000_000_000 - nanos))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn octal_and_base_256_are_read_and_negatives_refused() {
        assert_eq!(field(b"00000001750\0"), Ok(1000));
        assert_eq!(field(b"     1750 \0\0"), Ok(1000));
        assert_eq!(field(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0xe8]), Ok(1000));
        assert_eq!(field(&[0x80, 0, 0, 0, 0, 0, 3, 0xe8]), Ok(1000));
        for bad in [&[0xff; 12][..], &[0xff; 8], b"12x", b"-1\0", b"+1\0", b"1 1\0", &[0xc0; 12]] {
            assert!(field(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_time_before_1970_is_read() {
        assert_eq!(signed_field(&[0xff; 12]), Ok(-1));
        assert_eq!(time(b"-1.25"), Ok((-2, 750_000_000)));
        assert_eq!(time(b"-0.5"), Ok((-1, 500_000_000)));
        assert_eq!(time(b"12.3456789019"), Ok((12, 345_678_901)));
        for bad in [&b""[..], b".5", b"1.+5", b"1e3", b"--1", b"1.2.3", b"99999999999999999999"] {
            assert!(time(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn a_base_256_field_comes_back(value in any::<i64>()) {
            let mut bytes = [if value < 0 { 0xff } else { 0 }; 12];
            bytes[4..].copy_from_slice(&value.to_be_bytes());
            if value >= 0 { bytes[0] = 0x80; }
            prop_assert_eq!(signed_field(&bytes), Ok(value));
        }

        #[test]
        fn any_field_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 8..=12)) {
            let _ = (signed_field(&bytes), decimal(b"k", &bytes), time(&bytes));
        }
    }
}
