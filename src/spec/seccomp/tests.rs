//! The tables contradict themselves nowhere, and the comparisons cover exactly the numbers that they should.

use std::collections::HashMap;

use proptest::prelude::*;

use super::table::NEWER;
use super::*;
use crate::spec::capabilities::{ALL, DEFAULT, names};

fn owned(caps: u64) -> Vec<String> {
    names(caps).into_iter().map(str::to_owned).collect()
}

fn words<'a>(groups: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    groups.into_iter().flat_map(str::split_whitespace).collect()
}

/// The names that are allowed without a look at their arguments.
fn plainly_allowed(caps: u64) -> Vec<String> {
    let profile = default_profile(&owned(caps));
    let rules = profile.syscalls().iter().flatten();
    rules
        .filter(|rule| rule.action() == LinuxSeccompAction::ScmpActAllow && rule.args().is_none())
        .flat_map(|rule| rule.names().clone())
        .collect()
}

#[test]
fn no_name_is_in_two_groups() {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let special = "clone clone3 socket socketpair ioctl personality";
    let groups = ALLOWED.iter().chain(REFUSED).copied().chain(BY_CAPABILITY.iter().map(|(_, names)| *names));
    for name in words(groups.chain([special])) {
        *seen.entry(name).or_default() += 1;
    }
    let twice: Vec<_> = seen.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

#[test]
fn newer_numbers_are_in_order_and_named_once() {
    assert!(NEWER.windows(2).all(|pair| pair[0].1 < pair[1].1), "numbers ascend");
    assert!(NEWER.iter().all(|(_, number)| *number >= 424), "earlier numbers differ between architectures");
}

#[test]
fn what_reaches_past_the_container_is_not_allowed_by_default() {
    let allowed = plainly_allowed(DEFAULT);
    for name in words([
        "io_uring_setup io_uring_enter io_uring_register add_key keyctl request_key bpf userfaultfd perf_event_open",
        "unshare setns clone clone3 mount umount2 pivot_root fsopen fsmount fsconfig fspick open_tree open_tree_attr",
        "move_mount mount_setattr open_by_handle_at kexec_load kexec_file_load init_module finit_module delete_module",
        "reboot swapon swapoff syslog acct quotactl quotactl_fd ioperm iopl settimeofday clock_settime vmsplice",
        "lookup_dcookie fanotify_init kcmp process_madvise move_pages migrate_pages socket socketpair ioctl",
        "personality lsm_set_self_attr sethostname setdomainname vhangup nfsservctl _sysctl create_module query_module",
    ]) {
        assert!(!allowed.iter().any(|other| other == name), "{name}");
    }
}

#[test]
fn a_capability_adds_its_own_calls_and_no_others() {
    let without = plainly_allowed(0);
    for (cap, wanted) in [
        ("SYS_CHROOT", "chroot"),
        ("SYS_MODULE", "init_module finit_module delete_module"),
        ("SYS_BOOT", "reboot"),
        ("SYS_TIME", "clock_settime settimeofday"),
        ("SYSLOG", "syslog"),
        ("BPF", "bpf"),
        ("PERFMON", "perf_event_open"),
        ("DAC_READ_SEARCH", "open_by_handle_at"),
        ("SYS_PTRACE", "kcmp process_madvise"),
        ("CHOWN", ""),
    ] {
        let mut added = plainly_allowed(bit(cap));
        added.retain(|name| !without.contains(name));
        added.sort();
        let mut wanted = words([wanted]);
        wanted.sort_unstable();
        assert_eq!(added, wanted, "{cap}");
    }
    let admin = plainly_allowed(bit("SYS_ADMIN"));
    for name in words(["mount setns unshare clone clone3 bpf perf_event_open sethostname"]) {
        assert!(admin.iter().any(|other| other == name), "{name}");
    }
}

#[test]
fn no_capability_allows_rings_keys_or_kernels() {
    let allowed = plainly_allowed(ALL);
    for name in words(REFUSED.iter().copied()) {
        assert!(!allowed.iter().any(|other| other == name), "{name}");
    }
}

#[test]
fn only_the_native_architecture_is_named() {
    let profile = default_profile(&[]);
    assert_eq!(profile.architectures().as_ref().map(Vec::len), native().map(|_| 1));
}

#[test]
fn names_with_and_without_the_prefix_give_one_profile() {
    assert_eq!(default_profile(&["CAP_SYS_ADMIN".to_owned()]), default_profile(&["sys_admin".to_owned()]));
}

proptest! {
    #[test]
    fn all_but_matches_each_other_number_once(
        values in prop::collection::vec(0_u64..1 << 32, 1..5),
        probe in 0_u64..1 << 32,
        near in 0_usize..4,
        flip in 0_u32..32,
    ) {
        let pairs = all_but(&values, 32);
        // A random number is seldom near a value; one flipped bit is.
        for number in [probe, values[near % values.len()] ^ 1 << flip, values[near % values.len()]] {
            let matches = pairs.iter().filter(|(mask, value)| number & mask == *value).count();
            prop_assert_eq!(matches, usize::from(!values.contains(&number)));
        }
    }
}

#[test]
fn all_but_stays_below_its_bits() {
    let pairs = all_but(&[9], 5);
    for number in 0..1_u64 << 8 {
        let matches = pairs.iter().filter(|(mask, value)| number & mask == *value).count();
        assert_eq!(matches, usize::from(number < 32 && number != 9), "{number}");
    }
}
