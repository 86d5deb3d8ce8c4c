//! Exact cases, and the laws that hold for every map.

use proptest::prelude::*;

use super::*;

fn map(text: &str) -> IdMap {
    IdMap::parse(text).expect("a map")
}

/// Maps of up to eight extents: lengths and gaps on the inside; on the outside the same extents in another order.
fn any_map() -> impl Strategy<Value = IdMap> {
    let extent = (1_u32..5000, 0_u32..5000, 0_u32..5000, any::<u32>());
    (prop::collection::vec(extent, 0..8), prop::bool::ANY).prop_map(|(parts, at_the_top)| {
        let mut order: Vec<usize> = (0..parts.len()).collect();
        order.sort_by_key(|index| parts[*index].3);
        let mut outside = vec![0; parts.len()];
        let mut next = 0;
        for index in order {
            next += parts[index].2;
            outside[index] = next;
            next += parts[index].0;
        }
        // Half of the maps end at the last id on the outside, where a sum would overflow.
        let shift = if at_the_top { u32::MAX - next } else { 0 };
        let mut inside = 0;
        let extents = parts.iter().zip(&outside).map(|((count, gap, _, _), outside)| {
            inside += gap;
            let extent = Extent { inside, outside: outside + shift, count: *count };
            inside += count;
            extent
        });
        IdMap::new(extents.collect()).expect("disjoint extents")
    })
}

/// Every id inside.
fn ids(map: &IdMap) -> impl Iterator<Item = u32> + '_ {
    map.extents().iter().flat_map(|extent| extent.inside..extent.inside + extent.count)
}

proptest! {
    #[test]
    fn an_id_translates_there_and_back(map in any_map()) {
        for id in ids(&map) {
            let outside = map.outside(id).expect("every id inside is mapped");
            prop_assert_eq!(map.inside(outside), Some(id));
        }
    }

    #[test]
    fn total_counts_the_ids(map in any_map()) {
        prop_assert_eq!(map.total(), ids(&map).count() as u64);
    }

    #[test]
    fn ids_between_the_extents_translate_to_nothing(map in any_map(), id in any::<u32>()) {
        let within = |first: u32, count: u32| id >= first && u64::from(id) < u64::from(first) + u64::from(count);
        let inside = map.extents().iter().any(|extent| within(extent.inside, extent.count));
        let outside = map.extents().iter().any(|extent| within(extent.outside, extent.count));
        prop_assert_eq!(map.outside(id).is_some(), inside);
        prop_assert_eq!(map.inside(id).is_some(), outside);
    }

    #[test]
    fn what_is_displayed_is_parsed_again(map in any_map()) {
        prop_assert_eq!(IdMap::parse(&map.to_string()), Ok(map));
    }

    #[test]
    fn the_identity_child_has_the_same_ids_and_looks_the_same_from_outside(map in any_map()) {
        let child = map.identity_child();
        prop_assert!(ids(&child).eq(ids(&map)));
        prop_assert!(child.extents().iter().all(|extent| extent.inside == extent.outside));
        // The kernel takes it: every line is within one extent of the parent.
        prop_assert_eq!(child.split_at(&map), Ok(child.clone()));
        prop_assert_eq!(child.through(&map), Ok(map));
    }

    #[test]
    fn splitting_keeps_every_id_and_leaves_no_line_across_two_extents(parent in any_map(), cut in any::<u64>()) {
        // One line over the first run of ids that the parent has without a gap.
        let first = ids(&parent).next();
        let run = ids(&parent).zip(first.unwrap_or(0)..).take_while(|(id, expected)| id == expected).count();
        prop_assume!(run > 0);
        let count = u32::try_from(1 + cut % run as u64).expect("within the run");
        let child = IdMap::new(vec![Extent { inside: 7, outside: first.expect("a run"), count }]).expect("a map");
        let split = child.split_at(&parent).expect("the parent has every id");
        prop_assert!(ids(&split).eq(ids(&child)));
        for id in ids(&child) {
            prop_assert_eq!(split.outside(id), child.outside(id));
        }
        for piece in split.extents() {
            let last = piece.outside + piece.count - 1;
            let holds = |extent: &&Extent| extent.inside <= piece.outside && last - extent.inside < extent.count;
            prop_assert_eq!(parent.extents().iter().filter(holds).count(), 1);
        }
        prop_assert_eq!(split.split_at(&parent), Ok(split.clone()));
    }

    #[test]
    fn through_is_one_translation_after_the_other(parent in any_map(), shift in 0_u32..1000) {
        let moved = |extent: &Extent| Extent { inside: extent.inside + shift, outside: extent.inside, ..*extent };
        let child = IdMap::new(parent.extents().iter().map(moved).collect()).expect("a map");
        let through = child.through(&parent).expect("the parent has every id");
        for id in ids(&child) {
            prop_assert_eq!(through.outside(id), child.outside(id).and_then(|id| parent.outside(id)));
        }
        prop_assert_eq!(through.total(), child.total());
    }

    #[test]
    fn an_id_that_the_parent_lacks_is_refused(parent in any_map(), id in any::<u32>()) {
        prop_assume!(id < u32::MAX && parent.outside(id).is_none());
        let child = IdMap::single(0, id);
        prop_assert_eq!(child.split_at(&parent), Err(MapError::NotInParent { outside: id, count: 1 }));
        prop_assert_eq!(child.through(&parent), Err(MapError::NotInParent { outside: id, count: 1 }));
    }

    #[test]
    fn extents_that_share_an_id_are_refused(first in 0_u32..1000, count in 1_u32..1000, into in 0_u32..1000) {
        prop_assume!(into < count);
        let one = Extent { inside: first, outside: 0, count };
        let inside = Extent { inside: first + into, outside: 100_000, count: 1 };
        let outside = Extent { inside: 100_000, outside: into, count: 1 };
        for other in [inside, outside] {
            for extents in [vec![one, other], vec![other, one]] {
                let overlap = matches!(IdMap::new(extents), Err(MapError::Overlap { .. }));
                prop_assert!(overlap);
            }
        }
    }
}

#[test]
fn the_identity_child_is_written_in_two_lines_over_a_caller_and_a_range() {
    let parent = map("0 1001 1\n1 100000 65535\n");
    assert_eq!(parent.identity_child().to_string(), "0 0 1\n1 1 65535\n");
}

#[test]
fn the_map_of_the_initial_namespace_is_a_map() {
    let whole = map("         0          0 4294967295\n");
    assert_eq!(whole.total(), 4_294_967_295);
    assert_eq!(whole.outside(4_294_967_294), Some(4_294_967_294));
    assert_eq!(whole.outside(4_294_967_295), None);
    assert_eq!(whole.identity_child().split_at(&whole), Ok(whole.clone()));
}

#[test]
fn a_line_across_two_extents_of_the_parent_is_cut() {
    let child = map("5 0 10\n");
    assert_eq!(child.split_at(&map("0 1001 1\n1 100000 20\n")), Ok(map("5 0 1\n6 1 9\n")));
    assert_eq!(child.through(&map("0 1001 1\n1 100000 20\n")), Ok(map("5 1001 1\n6 100000 9\n")));
}

#[test]
fn extents_that_end_at_the_last_id_do_not_overflow() {
    let child = map("4294967290 0 5\n");
    let parent = map("0 4294967290 1\n1 4294967291 4\n");
    assert_eq!(child.through(&parent), Ok(map("4294967290 4294967290 1\n4294967291 4294967291 4\n")));
}

#[test]
fn an_empty_extent_is_refused() {
    assert_eq!(IdMap::parse("3 4 0\n"), Err(MapError::Empty { inside: 3 }));
}

#[test]
fn extents_beyond_the_last_id_are_refused() {
    let refused = |inside, outside, count| IdMap::new(vec![Extent { inside, outside, count }]);
    for (inside, outside, count) in [(1, 0, u32::MAX), (0, 1, u32::MAX), (u32::MAX, 0, 1), (0, u32::MAX, 1)] {
        assert_eq!(refused(inside, outside, count), Err(MapError::Overflow { inside, outside, count }));
    }
}

#[test]
fn text_that_is_no_map_is_refused() {
    for line in ["0 0", "0 0 1 1", "a 0 1", "-1 0 1", "0 0 4294967296", "+0 0 1", "0,0,1", " "] {
        assert_eq!(IdMap::parse(line), Err(MapError::Malformed { line: line.to_owned() }));
    }
    assert_eq!(IdMap::parse(""), Ok(IdMap::default()));
}
