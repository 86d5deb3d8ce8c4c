//! The compiled programs are run on chosen calls by an interpreter of the few instructions that libseccomp emits.

use super::*;
use crate::spec::capabilities::{DEFAULT, bit, names};
use crate::spec::seccomp::{Machine, native, parse, table};

const ALLOWED: u32 = 0x7fff_0000;
const KILLED: u32 = 0;
const EPERM: i32 = libc::EPERM;
const EINVAL: i32 = libc::EINVAL;
const ENOSYS: i32 = libc::ENOSYS;
const HERE: Machine = Machine { arch: std::env::consts::ARCH, kernel: (6, 18) };
const HIGH: u64 = 0xdead_beef_0000_0000;

fn owned(caps: u64) -> Vec<String> {
    names(caps).into_iter().map(str::to_owned).collect()
}

fn refused(errno: i32) -> u32 {
    0x0005_0000 | errno.unsigned_abs()
}

/// struct seccomp_data, with no instruction pointer.
struct Call {
    number: u32,
    arch: u32,
    args: [u64; 6],
}

impl Call {
    fn word(&self, offset: u32) -> u32 {
        let low_first = cfg!(target_endian = "little");
        match offset {
            0 => self.number,
            4 => self.arch,
            16.. => {
                let arg = self.args[(offset as usize - 16) / 8];
                let low = offset.is_multiple_of(8) == low_first;
                (if low { arg & 0xffff_ffff } else { arg >> 32 }) as u32
            }
            _ => panic!("offset {offset}"),
        }
    }
}

/// Classic BPF as bpf(4) describes it: LD W ABS, LDI, AND, the four conditional jumps and JA, RET.
fn verdict(program: &[u8], call: &Call) -> u32 {
    let (code, rest) = program.as_chunks::<8>();
    assert!(rest.is_empty());
    let mut accumulator = 0;
    let mut at = 0;
    loop {
        let [c0, c1, jt, jf, k0, k1, k2, k3] = code[at];
        let k = u32::from_ne_bytes([k0, k1, k2, k3]);
        at += 1;
        let mut jump = |taken: bool| at += usize::from(if taken { jt } else { jf });
        match u16::from_ne_bytes([c0, c1]) {
            0x20 => accumulator = call.word(k),
            0x00 => accumulator = k,
            0x54 => accumulator &= k,
            0x15 => jump(accumulator == k),
            0x25 => jump(accumulator > k),
            0x35 => jump(accumulator >= k),
            0x45 => jump(accumulator & k != 0),
            0x05 => at += k as usize,
            0x06 => return k,
            other => panic!("instruction {other:#x}"),
        }
    }
}

fn filter_for(caps: u64) -> Vec<u8> {
    compile(&default_profile(&owned(caps)), &SECCOMP_COMPILE).expect("the default profile compiles").program
}

fn arch() -> u32 {
    native().expect("a tested architecture") as u32
}

fn call(name: &str, args: &[u64]) -> Call {
    let number: i32 = number(name, false).unwrap_or_else(|| panic!("{name} has no number")).into();
    let mut all = [0; 6];
    all[..args.len()].copy_from_slice(args);
    Call { number: u32::try_from(number).expect("a call of this architecture"), arch: arch(), args: all }
}

#[track_caller]
fn expect(program: &[u8], name: &str, args: &[u64], wanted: u32) {
    let got = verdict(program, &call(name, args));
    assert_eq!(got, wanted, "{name}{args:x?}: got {got:#x}, wanted {wanted:#x}");
}

/// (name, args, errno; 0 is allowed), for a container with the default capabilities.
const DEFAULT_VERDICTS: &[(&str, &[u64], i32)] = &[
    ("read", &[], 0),
    ("write", &[HIGH], 0),
    ("execve", &[], 0),
    ("ptrace", &[], 0),
    ("capset", &[], 0),
    ("chroot", &[], 0),
    ("mseal", &[], 0),
    ("statmount", &[], 0),
    ("seccomp", &[], 0),
    // Families of sockets: int.
    ("socket", &[1, 1, 0], 0),
    ("socket", &[2, 1, 6], 0),
    ("socket", &[10, 2, 17], 0),
    ("socket", &[HIGH | 2, 1, 6], 0),
    ("socket", &[16, 3, 0], 0),
    ("socket", &[16, 3, 15], 0),
    ("socket", &[16, 3, 31], 0),
    ("socket", &[16, 3, HIGH | 8], 0),
    ("socket", &[16, 3, 9], EINVAL),
    ("socket", &[16, 3, HIGH | 9], EINVAL),
    ("socket", &[HIGH | 16, 3, HIGH | 9], EINVAL),
    ("socket", &[16, 3, 32], ENOSYS),
    ("socket", &[0, 1, 0], EPERM),
    ("socket", &[3, 1, 0], EPERM),
    ("socket", &[17, 3, 0], EPERM),
    ("socket", &[38, 5, 0], EPERM),
    ("socket", &[HIGH | 38, 5, 0], EPERM),
    ("socket", &[40, 1, 0], EPERM),
    ("socket", &[HIGH | 40, 1, 0], EPERM),
    ("socket", &[44, 1, 0], EPERM),
    ("socket", &[63, 1, 0], EPERM),
    ("socket", &[64, 1, 0], ENOSYS),
    ("socket", &[0x8000_0001, 1, 0], ENOSYS),
    ("socketpair", &[1, 1, 0], 0),
    ("socketpair", &[HIGH | 1, 1, 0], 0),
    ("socketpair", &[30, 1, 0], EPERM),
    ("socketpair", &[HIGH | 30, 1, 0], EPERM),
    // Requests of ioctl: unsigned int; musl sign-extends those with the top bit set.
    ("ioctl", &[0, 0x5401], 0),
    ("ioctl", &[0, 0x5413], 0),
    ("ioctl", &[0, 0x5411], 0),
    ("ioctl", &[0, 0x541d], 0),
    ("ioctl", &[0, 0xffff_ffff_8004_5430], 0),
    ("ioctl", &[0, 0], 0),
    ("ioctl", &[0, 0xffff_ffff], 0),
    ("ioctl", &[0, 0x1_5412], 0),
    ("ioctl", &[0, 0x5412], EPERM),
    ("ioctl", &[0, 0x541c], EPERM),
    ("ioctl", &[0, HIGH | 0x5412], EPERM),
    ("ioctl", &[0, HIGH | 0x541c], EPERM),
    ("ioctl", &[HIGH, 0x1_0000_5412], EPERM),
    // Flags of clone: the namespaces.
    ("clone", &[17], 0),
    ("clone", &[0x3d_0f00], 0),
    ("clone", &[HIGH & !0x7e02_0000, 0x7e02_0000], 0),
    ("clone", &[0x2_0000 | 17], EPERM),
    ("clone", &[0x200_0000], EPERM),
    ("clone", &[0x400_0000], EPERM),
    ("clone", &[0x800_0000], EPERM),
    ("clone", &[0x1000_0000 | 17], EPERM),
    ("clone", &[0x2000_0000], EPERM),
    ("clone", &[0x4000_0000], EPERM),
    ("clone", &[HIGH | 0x1000_0000], EPERM),
    ("clone", &[0x7e02_0000], EPERM),
    ("clone3", &[], ENOSYS),
    ("unshare", &[0x1000_0000], EPERM),
    ("unshare", &[HIGH], EPERM),
    ("setns", &[], EPERM),
    // Personalities: unsigned int.
    ("personality", &[0], 0),
    ("personality", &[8], 0),
    ("personality", &[0xffff_ffff], 0),
    ("personality", &[HIGH | 0xffff_ffff], 0),
    ("personality", &[0x2_0008], 0),
    ("personality", &[0x40_0000], ENOSYS),
    ("personality", &[HIGH | 0x4_0000], ENOSYS),
    // The rest of what is refused.
    ("io_uring_setup", &[], EPERM),
    ("io_uring_enter", &[], EPERM),
    ("io_uring_register", &[], EPERM),
    ("add_key", &[], EPERM),
    ("request_key", &[], EPERM),
    ("keyctl", &[HIGH], EPERM),
    ("bpf", &[], EPERM),
    ("userfaultfd", &[], EPERM),
    ("perf_event_open", &[], EPERM),
    ("mount", &[], EPERM),
    ("pivot_root", &[], EPERM),
    ("fsopen", &[], EPERM),
    ("open_tree", &[], EPERM),
    ("open_by_handle_at", &[], EPERM),
    ("init_module", &[], EPERM),
    ("kexec_load", &[], EPERM),
    ("reboot", &[], EPERM),
    ("syslog", &[], EPERM),
    ("lsm_set_self_attr", &[], ENOSYS),
];

#[test]
fn the_default_filter_gives_these_verdicts() {
    let program = filter_for(DEFAULT);
    for &(name, args, errno) in DEFAULT_VERDICTS {
        let wanted = if errno == 0 { ALLOWED } else { refused(errno) };
        expect(&program, name, args, wanted);
    }
}

#[test]
fn capabilities_change_the_verdicts_that_they_are_about() {
    for (cap, name, args, errno) in [
        ("SYS_ADMIN", "clone3", &[][..], ENOSYS),
        ("SYS_ADMIN", "clone", &[0x1000_0000], EPERM),
        ("SYS_ADMIN", "unshare", &[0x1000_0000], EPERM),
        ("SYS_ADMIN", "mount", &[], EPERM),
        ("SYS_ADMIN", "perf_event_open", &[], EPERM),
        ("NET_RAW", "socket", &[17, 3, 3], EPERM),
        ("NET_RAW", "socket", &[HIGH | 17, 3, 3], EPERM),
        ("AUDIT_WRITE", "socket", &[16, 3, 9], EINVAL),
        ("DAC_READ_SEARCH", "open_by_handle_at", &[], EPERM),
        ("SYS_BOOT", "reboot", &[], EPERM),
    ] {
        expect(&filter_for(0), name, args, refused(errno));
        expect(&filter_for(bit(cap)), name, args, ALLOWED);
    }
    let all = filter_for(u64::MAX);
    for (name, args) in
        [("keyctl", &[][..]), ("io_uring_setup", &[]), ("ioctl", &[0, HIGH | 0x5412]), ("socket", &[38])]
    {
        expect(&all, name, args, refused(EPERM));
    }
}

/// With the binary tree every number takes its own way through the program, so every number is tried.
#[test]
fn every_number_has_the_verdict_of_its_group() {
    let program = filter_for(0);
    let of = |groups: &[&str]| -> Vec<i32> {
        let names = groups.iter().flat_map(|group| group.split_whitespace());
        names.filter_map(|name| number(name, false)).map(i32::from).collect()
    };
    let allowed = of(table::ALLOWED);
    let by_capability: Vec<&str> = table::BY_CAPABILITY.iter().map(|(_, names)| *names).collect();
    let refused_ones = [of(table::REFUSED), of(&by_capability)].concat();
    let by_argument = of(&["clone socket socketpair ioctl personality"]);
    for number in (0..1024).filter(|number| !by_argument.contains(number)) {
        let wanted = match number {
            number if allowed.contains(&number) => ALLOWED,
            number if refused_ones.contains(&number) => refused(EPERM),
            _ => refused(ENOSYS),
        };
        let got = verdict(&program, &Call { number: number.unsigned_abs(), arch: arch(), args: [0; 6] });
        assert_eq!(got, wanted, "call {number}: got {got:#x}, wanted {wanted:#x}");
    }
}

#[test]
fn another_architectures_calls_do_not_exist() {
    const X32: u32 = 0x4000_0000;
    const AUDIT_ARCH_I386: u32 = 0x4000_0003;
    const AUDIT_ARCH_ARM: u32 = 0x4000_0028;
    for caps in [0, DEFAULT, u64::MAX] {
        let program = filter_for(caps);
        for number in (0..512).chain(X32..X32 + 600).chain([u32::MAX - 1]) {
            for arch in [AUDIT_ARCH_I386, AUDIT_ARCH_ARM] {
                assert_eq!(
                    verdict(&program, &Call { number, arch, args: [0; 6] }),
                    refused(ENOSYS),
                    "{arch:x} {number}"
                );
            }
            if number >= X32 {
                assert_eq!(
                    verdict(&program, &Call { number, arch: arch(), args: [0; 6] }),
                    refused(ENOSYS),
                    "{number}"
                );
            }
        }
    }
}

#[test]
fn every_name_of_the_tables_is_a_system_call() {
    let by_capability = table::BY_CAPABILITY.iter().map(|(_, names)| *names);
    let groups = table::ALLOWED.iter().chain(table::REFUSED).copied().chain(by_capability);
    // Names that libseccomp learned after 2.5.4 and that only another architecture has.
    let unknown: Vec<&str> = groups
        .flat_map(str::split_whitespace)
        .filter(|name| number(name, false).is_none() && *name != "riscv_hwprobe")
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn newer_numbers_are_libseccomps_where_it_knows_them() {
    for (name, expected) in NEWER {
        if let Ok(known) = ScmpSyscall::from_name(name) {
            assert_eq!(i32::from(known), *expected, "{name}");
        }
    }
}

fn of_file(text: &str, caps: &[&str]) -> Result<Vec<u8>> {
    let caps: Vec<String> = caps.iter().map(|cap| (*cap).to_owned()).collect();
    let profile = parse(text, HERE)?.resolve(&caps);
    compile(&profile, &SECCOMP_PROFILE).map(|filter| filter.program)
}

#[test]
fn a_users_profile_does_what_it_says() {
    let text = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdirat", "mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13},
        {"names": ["kill"], "action": "SCMP_ACT_KILL", "args": [
            {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 9, "op": "SCMP_CMP_EQ"}]},
        {"names": ["lseek"], "action": "SCMP_ACT_ERRNO", "args": [
            {"index": 2, "value": 3, "op": "SCMP_CMP_EQ"}, {"index": 2, "value": 4, "op": "SCMP_CMP_EQ"}]}]}"#;
    let program = of_file(text, &[]).expect("a valid profile");
    for (name, args, wanted) in [
        ("mkdirat", &[][..], refused(libc::EACCES)),
        ("read", &[], ALLOWED),
        ("kill", &[1, 9], KILLED),
        ("kill", &[1, 15], ALLOWED),
        ("kill", &[2, 9], ALLOWED),
        ("lseek", &[0, 0, 3], refused(EPERM)),
        ("lseek", &[0, 0, 4], refused(EPERM)),
        ("lseek", &[0, 0, 5], ALLOWED),
    ] {
        expect(&program, name, args, wanted);
    }
}

#[test]
fn an_unknown_name_is_an_error_only_where_leaving_it_out_would_allow_it() {
    let deny = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"name": "mkdri", "action": "SCMP_ACT_ERRNO"}]}"#;
    let error = of_file(deny, &[]).expect_err("mkdri");
    assert_eq!(error.entry().id, 602);
    assert!(error.summary().contains("mkdri"), "{}", error.summary());
    let allow = r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"name": "mkdri", "action": "SCMP_ACT_ALLOW"}]}"#;
    of_file(allow, &[]).expect("stricter than asked for is no danger");
}

#[test]
fn another_architecture_is_allowed_when_the_profile_asks() {
    let text = r#"{"defaultAction": "SCMP_ACT_ERRNO", "archMap": [
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]}],
        "syscalls": [{"names": ["getpid", "mseal"], "action": "SCMP_ACT_ALLOW"}]}"#;
    let program = of_file(text, &[]).expect("a valid profile");
    if cfg!(target_arch = "x86_64") {
        let getpid = |arch, number| verdict(&program, &Call { number, arch, args: [0; 6] });
        assert_eq!(getpid(0x4000_0003, 20), ALLOWED);
        assert_eq!(getpid(arch(), 39), ALLOWED);
        assert_eq!(getpid(0x4000_0003, 39), refused(EPERM));
    }
}

#[test]
fn the_second_start_reads_the_first_ones_program() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let caps = owned(DEFAULT);
    let first = program(&SeccompChoice::Default, &caps, directory.path()).expect("compiled");
    let files = || std::fs::read_dir(directory.path()).expect("the cache").count();
    assert_eq!(files(), 1);
    let second = program(&SeccompChoice::Default, &caps, directory.path()).expect("read");
    assert_eq!(first, second);
    assert_eq!(files(), 1);
    let text = r#"{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG"]}"#;
    let choice = SeccompChoice::Profile(Box::new(parse(text, HERE).expect("valid")));
    let custom = program(&choice, &caps, directory.path()).expect("compiled").expect("a filter");
    assert_eq!(custom.flags, 2);
    assert_eq!(files(), 2);
    assert_eq!(program(&SeccompChoice::Unconfined, &caps, directory.path()).expect("nothing to do"), None);
}
