//! pax records: `LENGTH KEY=VALUE\n`, one after the other (pax(1), "pax Extended Header").
//!
//! Pure. Framing goes by the length alone: a value may hold newlines and zero bytes, as file capabilities do, and a
//! parser that splits at newlines (the tar crate's) would lose what follows one. Anything malformed is refused, not
//! skipped.

/// What a member's pax header says; the same keys in a global header would rename or resize everything behind it.
const MEANT: [&[u8]; 6] = [b"path", b"linkpath", b"size", b"uid", b"gid", b"mtime"];
/// The same, by the first letters.
const MEANT_FAMILIES: [&[u8]; 2] = [b"GNU.sparse.", b"SCHILY."];

/// A key and its value.
pub(super) type Record<'a> = (&'a [u8], &'a [u8]);

/// The records of a pax header, in order.
pub(super) fn records(bytes: &[u8]) -> impl Iterator<Item = Result<Record<'_>, String>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let taken = split(rest).ok_or_else(|| {
            let start = &rest[..rest.len().min(40)];
            format!("a malformed pax record: \"{}\"", start.escape_ascii())
        });
        rest = taken.as_ref().map_or(&[][..], |(_, rest)| *rest);
        Some(taken.map(|(record, _)| record))
    })
}

fn split(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    let digits = &bytes[..space];
    // A leading zero or sign is a length that others may read differently.
    if digits.is_empty() || digits[0] == b'0' || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let length: usize = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let (record, rest) = bytes.split_at_checked(length)?;
    let body = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|byte| *byte == b'=')?;
    (equals > 0).then(|| ((&body[..equals], &body[equals + 1..]), rest))
}

/// A global header may comment (git archive names its commit); it may not change what the entries mean.
pub(super) fn check_global(bytes: &[u8]) -> Result<(), String> {
    for record in records(bytes) {
        let (key, _) = record?;
        if MEANT.contains(&key) || MEANT_FAMILIES.iter().any(|family| key.starts_with(family)) {
            return Err(format!("a global pax header sets {} for everything behind it", key.escape_ascii()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<Record<'_>>, String> {
        records(bytes).collect()
    }

    #[test]
    fn a_value_may_hold_newlines_and_more_records_follow_it() {
        let bytes = b"14 a=x\n\n6 b=y\n13 path=next\n";
        assert_eq!(all(bytes), Ok(vec![(&b"a"[..], &b"x\n\n6 b=y"[..]), (b"path", b"next")]));
    }

    #[test]
    fn malformed_records_are_refused() {
        for bad in [
            &b"6 a=x"[..],
            b"7 a=x\n",
            b"06 a=x\n",
            b"+6 a=x\n",
            b" 6 a=x\n",
            b"5 =x\n",
            b"5 ab\n",
            b"6 a=x\n\0",
            b"0 \n",
            b"99999999999999999999 a=x\n",
        ] {
            assert!(all(bad).is_err(), "{:?}", bad.escape_ascii().to_string());
        }
    }

    #[test]
    fn a_global_header_may_only_comment() {
        assert!(check_global(b"13 comment=x\n").is_ok());
        for bad in [&b"9 size=1\n"[..], b"25 SCHILY.xattr.user.a=b\n"] {
            assert!(check_global(bad).is_err_and(|why| why.contains("for everything behind it")));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            pairs in prop::collection::vec(("[a-zA-Z.]{1,9}", prop::collection::vec(any::<u8>(), 0..60)), 0..5)
        ) {
            let mut bytes = Vec::new();
            for (key, value) in &pairs {
                let body = key.len() + value.len() + 3;
                let whole = |all: &usize| all.to_string().len() + body == *all;
                let length = (body + 1..body + 4).find(whole).expect("a length");
                bytes.extend(format!("{length} {key}=").into_bytes());
                bytes.extend(value);
                bytes.push(b'\n');
            }
            let wanted: Vec<_> = pairs.iter().map(|(key, value)| (key.as_bytes(), value.as_slice())).collect();
            prop_assert_eq!(all(&bytes), Ok(wanted));
        }
    }
}
