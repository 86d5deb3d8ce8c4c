//! The usual machine, odd machines, and what holds for all of them.

use proptest::prelude::*;

use super::*;

/// A base of the caller 1001 and the given subordinate ranges.
fn base(ranges: &[(u32, u32)]) -> Base {
    let ranges: Vec<Range> = ranges.iter().map(|&(start, count)| Range { start, count }).collect();
    let uid = subid::full_map(1001, &ranges).expect("a base");
    Base { gid: uid.clone(), setgroups: uid.total() > 1, uid }
}

fn usual() -> Base {
    base(&[(100_000, 65536)])
}

fn single() -> Base {
    base(&[])
}

fn uid_map(mode: &UserNs, base: &Base) -> String {
    let ids = resolve(mode, base, 1001, 1001, &[]).expect("a map");
    assert_eq!(ids.uid, ids.gid);
    ids.uid.to_string()
}

fn refused(mode: &UserNs, base: &Base) -> Error {
    resolve(mode, base, 1001, 1001, &[]).expect_err("a refusal")
}

const KEEP: UserNs = UserNs::KeepId { uid: None, gid: None };

#[test]
fn the_default_is_the_identity_cut_between_the_caller_and_the_range() {
    assert_eq!(uid_map(&UserNs::Default, &usual()), "0 0 1\n1 1 65536\n");
    assert_eq!(uid_map(&UserNs::Full, &usual()), "0 0 1\n1 1 65536\n");
}

#[test]
fn the_default_over_two_ranges_has_three_lines() {
    assert_eq!(uid_map(&UserNs::Default, &base(&[(100_000, 10), (300_000, 5)])), "0 0 1\n1 1 10\n11 11 5\n");
}

#[test]
fn one_id_is_root_alone_and_has_no_setgroups() {
    for (mode, base) in [(UserNs::Default, single()), (UserNs::Single, single()), (UserNs::Single, usual())] {
        let ids = resolve(&mode, &base, 1001, 1001, &[]).expect("a map");
        assert_eq!((ids.uid.to_string(), ids.setgroups), ("0 0 1\n".into(), false));
    }
}

#[test]
fn the_bases_own_maps_are_handed_on() {
    let ids = resolve(&UserNs::Default, &usual(), 1001, 1001, &[]).expect("a map");
    assert_eq!(ids.base_uid.to_string(), "0 1001 1\n1 100000 65536\n");
    assert!(ids.setgroups);
}

#[test]
fn keep_id_puts_the_caller_at_its_own_id() {
    assert_eq!(uid_map(&KEEP, &usual()), "0 1 1001\n1001 0 1\n1002 1002 64535\n");
}

#[test]
fn keep_id_is_cut_at_the_ranges_of_the_base() {
    let two = base(&[(100_000, 1000), (300_000, 5)]);
    assert_eq!(uid_map(&KEEP, &two), "0 1 1000\n1000 1001 1\n1001 0 1\n1002 1002 4\n");
}

#[test]
fn keep_id_takes_another_id_for_uid_and_gid_each() {
    let mode = UserNs::KeepId { uid: Some(5), gid: Some(0) };
    let ids = resolve(&mode, &usual(), 1001, 1001, &[]).expect("a map");
    assert_eq!(ids.uid.to_string(), "0 1 5\n5 0 1\n6 6 65531\n");
    assert_eq!(ids.gid.to_string(), "0 0 1\n1 1 65536\n");
}

#[test]
fn keep_id_of_root_is_the_default() {
    let ids = resolve(&KEEP, &single(), 0, 0, &[]).expect("a map");
    assert_eq!(ids.uid.to_string(), "0 0 1\n");
}

#[test]
fn keep_id_without_enough_ids_says_how_many_there_are() {
    let error = refused(&KEEP, &base(&[(100_000, 1000)]));
    assert!(error.summary().contains("0 to 1000") && error.summary().contains("there are 1000"), "{error}");
    assert_eq!(error.remedy(), "Be a smaller one inside: --userns=keep-id:uid=1000.");
    assert!(refused(&KEEP, &single()).remedy().contains("administrator"));
}

#[test]
fn keep_id_with_exactly_enough_ids_works() {
    assert_eq!(uid_map(&KEEP, &base(&[(100_000, 1001)])), "0 1 1001\n1001 0 1\n");
}

#[test]
fn nomap_leaves_the_caller_out() {
    assert_eq!(uid_map(&UserNs::NoMap, &usual()), "0 1 65536\n");
    assert_eq!(uid_map(&UserNs::NoMap, &base(&[(100_000, 10), (300_000, 5)])), "0 1 10\n10 11 5\n");
}

#[test]
fn nomap_needs_subordinate_ids() {
    assert_eq!(refused(&UserNs::NoMap, &single()).entry(), &ids::NO_SUBORDINATE_IDS);
}

#[test]
fn auto_takes_ids_from_the_top() {
    assert_eq!(uid_map(&UserNs::Auto { size: None }, &usual()), "0 64513 1024\n");
    assert_eq!(uid_map(&UserNs::Auto { size: Some(65536) }, &usual()), "0 1 65536\n");
}

#[test]
fn auto_keeps_clear_of_running_containers() {
    let used = [Range { start: 64513, count: 1024 }, Range { start: 60000, count: 100 }];
    let ids = resolve(&UserNs::Auto { size: Some(4413) }, &usual(), 1001, 1001, &used).expect("the gap fits");
    assert_eq!(ids.uid.to_string(), "0 60100 4413\n");
    let ids = resolve(&UserNs::Auto { size: Some(4414) }, &usual(), 1001, 1001, &used).expect("below the gap");
    assert_eq!(ids.uid.to_string(), "0 55586 4414\n");
}

#[test]
fn auto_crosses_the_bases_ranges_in_two_lines() {
    let two = base(&[(100_000, 1000), (300_000, 1000)]);
    assert_eq!(uid_map(&UserNs::Auto { size: Some(1500) }, &two), "0 501 500\n500 1001 1000\n");
}

#[test]
fn auto_takes_only_what_is_there_as_uid_and_as_gid() {
    let two = Base { gid: base(&[(100_000, 3000)]).gid, ..usual() };
    let ids = resolve(&UserNs::Auto { size: None }, &two, 1001, 1001, &[]).expect("a map");
    assert_eq!(ids.uid.to_string(), "0 1977 1024\n");
    assert_eq!(ids.gid, ids.uid);
}

#[test]
fn auto_names_what_is_left_when_it_is_too_little() {
    let used = [Range { start: 1000, count: 63000 }];
    let error = resolve(&UserNs::Auto { size: Some(2000) }, &usual(), 1001, 1001, &used).expect_err("too little");
    assert!(error.summary().contains("2536 subordinate ids are left, at most 1537"), "{error}");
    assert!(refused(&UserNs::Auto { size: None }, &single()).summary().contains("0 subordinate ids are left"));
}

fn custom(uid: &[&str], gid: &[&str]) -> UserNs {
    let parse = |texts: &[&str]| texts.iter().map(|text| parse_map(text).expect("a map")).collect();
    UserNs::Custom { uid: parse(uid), gid: parse(gid) }
}

#[test]
fn a_map_of_the_command_line_is_in_terms_of_the_default_map() {
    // podman run --uidmap 0:1:500 --uidmap 500:0:1
    let mode = custom(&["0:1:500", "500:0"], &[]);
    assert_eq!(uid_map(&mode, &usual()), "0 1 500\n500 0 1\n");
}

#[test]
fn a_map_of_one_kind_counts_for_both() {
    assert_eq!(uid_map(&custom(&[], &["0:5:10"]), &usual()), "0 5 10\n");
}

#[test]
fn a_map_of_the_command_line_is_cut_where_it_crosses_the_caller() {
    assert_eq!(uid_map(&custom(&["0:0:10"], &[]), &usual()), "0 0 1\n1 1 9\n");
}

#[test]
fn a_map_without_root_is_refused() {
    let error = refused(&custom(&["0:0:1"], &["1:1:10"]), &usual());
    assert!(error.summary().contains("gid 0 of the container is not mapped"), "{error}");
    assert!(error.remedy().contains("--gidmap 0:1:1"));
}

#[test]
fn ids_that_the_caller_does_not_have_are_refused() {
    let error = refused(&custom(&["0:0:65538"], &[]), &usual());
    assert!(error.summary().contains("65537") && error.summary().contains("65538 ids from 0 on"), "{error}");
}

#[test]
fn an_id_that_is_mapped_twice_is_refused() {
    let error = refused(&custom(&["0:0:10", "5:20:1"], &[]), &usual());
    assert!(error.summary().contains("0:0:10 5:20:1") && error.summary().contains("overlap"), "{error}");
}

#[test]
fn the_modes_are_understood() {
    let cases = [
        ("", UserNs::Default),
        ("default", UserNs::Default),
        ("full", UserNs::Full),
        ("single", UserNs::Single),
        ("nomap", UserNs::NoMap),
        ("keep-id", KEEP),
        ("keep-id:uid=1,gid=2", UserNs::KeepId { uid: Some(1), gid: Some(2) }),
        ("keep-id:gid=0", UserNs::KeepId { uid: None, gid: Some(0) }),
        ("auto", UserNs::Auto { size: None }),
        ("auto:size=4096", UserNs::Auto { size: Some(4096) }),
    ];
    for (text, expected) in cases {
        assert_eq!(parse_userns(text).expect(text), expected);
    }
}

#[test]
fn words_that_are_no_mode_are_refused() {
    let words = "keepid keep-id: keep-id:uid keep-id:uid= keep-id:uid=x keep-id:uid=+1 keep-id:uid=4294967295 \
                 keep-id:size=5 keep-id:uid=1, auto:size=0 auto:uid=1 full: single:x default:uid=1 :uid=1 private";
    for text in words.split_whitespace() {
        let error = parse_userns(text).expect_err(text);
        assert!(error.summary().contains(text), "{error}");
    }
}

#[test]
fn the_hosts_namespace_is_refused_with_the_reason() {
    let error = parse_userns("host").expect_err("host");
    assert!(error.summary().contains("always makes a user namespace"), "{error}");
}

#[test]
fn an_id_map_has_two_or_three_numbers() {
    assert_eq!(parse_map("0:1").expect("a map"), Extent { inside: 0, outside: 1, count: 1 });
    assert_eq!(parse_map("5:6:7").expect("a map"), Extent { inside: 5, outside: 6, count: 7 });
    for text in ["", "0", "0:", "0:1:", "0:1:2:3", "a:1", "-1:0", "0:1:0", "0:+1", "@0:1", "4294967290:0:10", "0:1 :2"]
    {
        assert!(parse_map(text).is_err(), "{text}");
    }
}

fn any_base() -> impl Strategy<Value = Base> {
    let ranges = || {
        prop::collection::vec((1_u32..3000, 0_u32..3000), 0..4).prop_map(|parts| {
            let mut next = 2000;
            let ranges = parts.into_iter().map(|(count, gap)| {
                let start = next + gap;
                next = start + count;
                (start, count)
            });
            base(&ranges.collect::<Vec<_>>())
        })
    };
    (ranges(), ranges()).prop_map(|(uid, gid)| Base { gid: gid.gid, ..uid })
}

fn any_mode() -> impl Strategy<Value = UserNs> {
    let small = || prop::option::of(0_u32..5000);
    prop_oneof![
        Just(UserNs::Default),
        Just(UserNs::Single),
        Just(UserNs::NoMap),
        (small(), small()).prop_map(|(uid, gid)| UserNs::KeepId { uid, gid }),
        small().prop_map(|size| UserNs::Auto { size }),
    ]
}

fn any_used() -> impl Strategy<Value = Vec<Range>> {
    prop::collection::vec((0_u32..9000, 1_u32..900).prop_map(|(start, count)| Range { start, count }), 0..5)
}

proptest! {
    #[test]
    fn the_kernel_would_take_every_map(base in any_base(), mode in any_mode(), used in any_used()) {
        let Ok(ids) = resolve(&mode, &base, 1001, 1001, &used) else { return Ok(()) };
        for (map, base) in [(&ids.uid, &base.uid), (&ids.gid, &base.gid)] {
            prop_assert_eq!(&map.split_at(base).expect("ids of the base"), map);
            prop_assert!(map.outside(0).is_some());
            prop_assert!(map.total() <= base.total());
        }
    }

    #[test]
    fn keep_id_loses_no_id_and_moves_only_the_caller(base in any_base(), kept in 0_u32..5000) {
        let mode = UserNs::KeepId { uid: Some(kept), gid: Some(0) };
        let enough = base.uid.total() > u64::from(kept);
        let result = resolve(&mode, &base, 1001, 1001, &[]);
        prop_assert_eq!(result.is_ok(), enough);
        let Ok(ids) = result else { return Ok(()) };
        prop_assert_eq!(ids.uid.total(), base.uid.total());
        prop_assert_eq!(ids.uid.outside(kept), Some(0));
        for id in 0..u32::try_from(base.uid.total()).expect("a small base") {
            let expected = match id {
                id if id < kept => id + 1,
                id if id == kept => 0,
                id => id,
            };
            prop_assert_eq!(ids.uid.outside(id), Some(expected));
        }
    }

    #[test]
    fn auto_takes_free_ids_wherever_there_are_enough(base in any_base(), size in 1_u32..2000, used in any_used()) {
        let limit = u32::try_from(base.uid.total().min(base.gid.total())).expect("a small base");
        let free = |id: u32| !used.iter().any(|range| id >= range.start && id - range.start < range.count);
        // The slow way: the highest id from which `size` free ids follow.
        let highest = (1..limit).rev().find(|first| limit - first >= size && (*first..first + size).all(free));
        match resolve(&UserNs::Auto { size: Some(size) }, &base, 1001, 1001, &used) {
            Ok(ids) => {
                prop_assert_eq!(ids.uid.outside(0), highest);
                prop_assert_eq!(ids.uid.total(), u64::from(size));
                prop_assert_eq!(ids.uid.outside(size - 1), highest.map(|first| first + size - 1));
            }
            Err(_) => prop_assert_eq!(highest, None),
        }
    }
}
