//! The map of everything that a caller may use: the caller as root, then the subordinate ranges.
//!
//! Owns the layout, and the range that root of the machine gets when no file gives one. It reads nothing. The surprise:
//! the ranges are packed, so container id 1 is the first subordinate id wherever that lies on the host.

use crate::{Extent, IdMap, MapError, Range};

/// `0 caller 1`, then `ranges` one after the other from 1 on.
///
/// A range that holds the caller's own id is refused ([`MapError::Overlap`]): one id of the host would be two of the
/// container.
pub fn full_map(caller: u32, ranges: &[Range]) -> Result<IdMap, MapError> {
    let mut extents = vec![Extent { inside: 0, outside: caller, count: 1 }];
    let mut inside = 1_u32;
    for range in ranges {
        let extent = Extent { inside, outside: range.start, count: range.count };
        extents.push(extent);
        let beyond = MapError::Overflow { inside, outside: range.start, count: range.count };
        inside = inside.checked_add(range.count).ok_or(beyond)?;
    }
    IdMap::new(extents)
}

/// The subordinate ids of root of the machine where /etc/subuid gives root none.
///
/// systemd keeps 524288 to 1879048191 for containers (systemd-nspawn's -U picks from it) and hands out nothing from
/// 1879048192 (0x70000000) to 2147352575, where its foreign ids begin; ids from 2147483648 on are negative to programs
/// that keep them in an int. So the range starts directly above systemd's containers: no user, no service and no other
/// container has these ids.
pub fn root_default() -> Range {
    Range { start: 0x7000_0000, count: 65536 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_packed_behind_the_caller() {
        let ranges = [Range { start: 300_000, count: 10 }, Range { start: 100_000, count: 5 }];
        let map = full_map(1001, &ranges).expect("a map");
        assert_eq!(map.to_string(), "0 1001 1\n1 300000 10\n11 100000 5\n");
    }

    #[test]
    fn no_range_leaves_the_caller_alone() {
        assert_eq!(full_map(1001, &[]), Ok(IdMap::single(0, 1001)));
    }

    #[test]
    fn a_range_that_holds_the_caller_is_refused() {
        let refused = full_map(1001, &[Range { start: 1000, count: 10 }]);
        assert!(matches!(refused, Err(MapError::Overlap { .. })), "{refused:?}");
    }

    #[test]
    fn ranges_that_do_not_fit_together_are_refused() {
        let half = Range { start: 0x10, count: 0x8000_0000 };
        assert!(matches!(full_map(1, &[half, half]), Err(MapError::Overflow { .. })));
    }

    #[test]
    fn the_default_of_root_lies_outside_everything_that_systemd_hands_out() {
        let range = root_default();
        assert!(range.start > 1_879_048_191 && range.start + range.count <= 2_147_352_576);
    }
}
