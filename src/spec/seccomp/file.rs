//! The file of `--security-opt seccomp=FILE`: docker's and podman's form, of which the OCI's own is a part.
//!
//! Owns parsing, and the choice of the rules that hold for a container ([`Profile::resolve`]). The surprise: in
//! docker's form a rule can depend on the container's capabilities, which are not known while the command line is read.
//! So a file becomes a [`Profile`], and that becomes the OCI's `LinuxSeccomp` when they are.

use nix::errno::Errno;
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag, LinuxSyscall,
};
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::{Context, Error, Result, catalog::security::SECCOMP_PROFILE};
use crate::spec::capabilities;

/// A profile as far as it is decided without the container: rules for another architecture or kernel are gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Everything but the rules.
    frame: LinuxSeccomp,
    rules: Vec<Conditional>,
}

/// A rule and the capabilities that it depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Conditional {
    /// It holds for a container that has all of these...
    with: u64,
    /// ...and none of these.
    without: u64,
    rule: LinuxSyscall,
}

/// The document. A member of an unknown name is an error: a misspelt restriction would restrict nothing.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    default_action: LinuxSeccompAction,
    default_errno_ret: Option<u32>,
    default_errno: Option<String>,
    #[serde(default, deserialize_with = "or_null")]
    architectures: Vec<Arch>,
    #[serde(default, deserialize_with = "or_null")]
    arch_map: Vec<ArchMap>,
    #[serde(default, deserialize_with = "or_null")]
    flags: Vec<LinuxSeccompFilterFlag>,
    listener_path: Option<String>,
    #[serde(rename = "listenerMetadata")]
    _listener_metadata: Option<String>,
    #[serde(default, deserialize_with = "or_null")]
    syscalls: Vec<Rule>,
}

/// An architecture and those that a process of it may use as well.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ArchMap {
    architecture: Arch,
    #[serde(default, deserialize_with = "or_null")]
    sub_architectures: Vec<Arch>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    /// docker's first form had one name a rule.
    name: Option<String>,
    #[serde(default, deserialize_with = "or_null")]
    names: Vec<String>,
    action: LinuxSeccompAction,
    errno_ret: Option<u32>,
    errno: Option<String>,
    #[serde(default, deserialize_with = "or_null")]
    args: Vec<LinuxSeccompArg>,
    #[serde(rename = "comment")]
    _comment: Option<String>,
    #[serde(default, deserialize_with = "or_null")]
    includes: Filter,
    #[serde(default, deserialize_with = "or_null")]
    excludes: Filter,
}

/// When a rule holds, or does not.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Filter {
    #[serde(default, deserialize_with = "or_null")]
    caps: Vec<String>,
    #[serde(default, deserialize_with = "or_null")]
    arches: Vec<String>,
    min_kernel: Option<String>,
}

/// What a profile's conditions ask about the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Rust's name of the architecture (`std::env::consts::ARCH`).
    pub arch: &'static str,
    /// The kernel's version and patch level: 6 and 18.
    pub kernel: (u32, u32),
}

/// Go writes an empty list as null.
fn or_null<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(input: D) -> std::result::Result<T, D::Error> {
    Option::<T>::deserialize(input).map(Option::unwrap_or_default)
}

/// Reads a profile and decides what depends on the machine.
pub fn parse(text: &str, machine: Machine) -> Result<Profile> {
    let document: Document =
        serde_json::from_str(text).context(&SECCOMP_PROFILE, || "read the seccomp profile".into())?;
    let asks = |action| action == LinuxSeccompAction::ScmpActNotify;
    let mut actions = document.syscalls.iter().map(|rule| rule.action).chain([document.default_action]);
    if document.listener_path.is_some() || actions.any(asks) {
        let error = malformed("SCMP_ACT_NOTIFY, which needs an agent that listens");
        return Err(error.fix("Use SCMP_ACT_ERRNO or SCMP_ACT_ALLOW, and leave listenerPath out."));
    }
    let mut rules = Vec::with_capacity(document.syscalls.len());
    for (number, rule) in document.syscalls.iter().enumerate() {
        rules.extend(rule.on(machine, &format!("syscalls[{number}]"))?);
    }
    Ok(Profile { frame: document.frame(machine)?, rules })
}

impl Profile {
    /// The rules that hold for a container with these capabilities, named with or without `CAP_`.
    pub fn resolve(&self, caps: &[String]) -> LinuxSeccomp {
        let caps = capabilities::mask(caps);
        let holds = |one: &&Conditional| caps & one.with == one.with && caps & one.without == 0;
        let mut profile = self.frame.clone();
        profile.set_syscalls(Some(self.rules.iter().filter(holds).map(|one| one.rule.clone()).collect()));
        profile
    }
}

impl Document {
    fn frame(self, machine: Machine) -> Result<LinuxSeccomp> {
        if !self.architectures.is_empty() && !self.arch_map.is_empty() {
            return Err(malformed("both architectures and archMap"));
        }
        let here = self.arch_map.into_iter().filter(|entry| rust_name(entry.architecture) == Some(machine.arch));
        let here = here.flat_map(|entry| std::iter::once(entry.architecture).chain(entry.sub_architectures));
        let architectures: Vec<Arch> = self.architectures.into_iter().chain(here).collect();
        let mut frame = LinuxSeccomp::default();
        frame.set_default_action(self.default_action);
        frame.set_default_errno_ret(errno(self.default_errno_ret, self.default_errno.as_deref(), "defaultErrno")?);
        frame.set_architectures((!architectures.is_empty()).then_some(architectures));
        frame.set_flags((!self.flags.is_empty()).then_some(self.flags));
        Ok(frame)
    }
}

impl Rule {
    /// The rule with its capabilities, or None on another machine. A mistake is one on every machine.
    fn on(&self, machine: Machine, at: &str) -> Result<Option<Conditional>> {
        let rule = self.to_oci(at)?;
        let (with, without) = (self.includes.caps(at)?, self.excludes.caps(at)?);
        let (least, excluded) = (self.includes.min_kernel(at)?, self.excludes.min_kernel(at)?);
        let included = (self.includes.arches.is_empty() || self.includes.names_arch(machine))
            && least.is_none_or(|least| machine.kernel >= least);
        let excluded = self.excludes.names_arch(machine) || excluded.is_some_and(|least| machine.kernel >= least);
        Ok((included && !excluded).then_some(Conditional { with, without, rule }))
    }

    fn to_oci(&self, at: &str) -> Result<LinuxSyscall> {
        let names: Vec<String> = self.name.iter().chain(&self.names).cloned().collect();
        if names.is_empty() {
            return Err(malformed(&format!("{at}: no name of a system call")));
        }
        if let Some(arg) = self.args.iter().find(|arg| arg.index() > 5) {
            return Err(malformed(&format!("{at}: argument {}; a system call has arguments 0 to 5", arg.index())));
        }
        let mut rule = LinuxSyscall::default();
        rule.set_names(names);
        rule.set_action(self.action);
        rule.set_errno_ret(errno(self.errno_ret, self.errno.as_deref(), &format!("{at}.errno"))?);
        rule.set_args((!self.args.is_empty()).then(|| self.args.clone()));
        Ok(rule)
    }
}

impl Filter {
    fn caps(&self, at: &str) -> Result<u64> {
        match self.caps.iter().find(|name| capabilities::number(name).is_none()) {
            Some(name) => Err(malformed(&format!("{at}: no capability {name:?}"))),
            None => Ok(capabilities::mask(&self.caps)),
        }
    }

    fn names_arch(&self, machine: Machine) -> bool {
        self.arches.iter().any(|name| name == go_name(machine.arch))
    }

    fn min_kernel(&self, at: &str) -> Result<Option<(u32, u32)>> {
        let Some(text) = &self.min_kernel else { return Ok(None) };
        let parsed = text.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        parsed.map(Some).ok_or_else(|| malformed(&format!("{at}: minKernel {text:?}, expected something like 4.8")))
    }
}

/// containers-common writes the number and the name; the name alone is understood too.
fn errno(number: Option<u32>, name: Option<&str>, at: &str) -> Result<Option<u32>> {
    const LARGEST: u32 = 4095;
    let named = match name {
        None | Some("") => None,
        Some(name) => {
            let found = (1..=133).find(|number| format!("{:?}", Errno::from_raw(*number)) == name);
            let found = found.ok_or_else(|| malformed(&format!("{at} {name:?} is no errno's name")))?;
            Some(found.unsigned_abs())
        }
    };
    match (number, named) {
        (Some(number), _) if number > LARGEST => Err(malformed(&format!("{at}Ret {number} is larger than any errno"))),
        (Some(number), Some(named)) if number != named => {
            Err(malformed(&format!("{at} {} and {at}Ret {number} are not the same", name.unwrap_or_default())))
        }
        (number, named) => Ok(number.or(named)),
    }
}

fn malformed(what: &str) -> Error {
    Error::new(&SECCOMP_PROFILE, format!("read the seccomp profile: {what}"))
}

/// Rust's name of those architectures that rl is built for.
fn rust_name(arch: Arch) -> Option<&'static str> {
    Some(match arch {
        Arch::ScmpArchX86_64 => "x86_64",
        Arch::ScmpArchAarch64 => "aarch64",
        Arch::ScmpArchRiscv64 => "riscv64",
        Arch::ScmpArchPpc64le => "powerpc64",
        Arch::ScmpArchS390x => "s390x",
        Arch::ScmpArchLoongarch64 => "loongarch64",
        _ => return None,
    })
}

/// Go's name, which the conditions use.
fn go_name(rust: &str) -> &str {
    match rust {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        "loongarch64" => "loong64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Machine = Machine { arch: "x86_64", kernel: (6, 18) };

    fn rules(profile: &str, caps: &[&str], machine: Machine) -> Vec<String> {
        let caps: Vec<String> = caps.iter().map(|cap| (*cap).to_owned()).collect();
        let oci = parse(profile, machine).expect("a valid profile").resolve(&caps);
        oci.syscalls().iter().flatten().flat_map(|rule| rule.names().clone()).collect()
    }

    fn problem(profile: &str) -> String {
        let error = parse(profile, HERE).expect_err("a malformed profile");
        assert_eq!(error.entry().id, 602);
        error.summary()
    }

    fn with_rule(rule: &str) -> String {
        format!(r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{rule}]}}"#)
    }

    #[test]
    fn the_ocis_own_form_is_read() {
        let text = r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
            "flags": ["SECCOMP_FILTER_FLAG_LOG"],
            "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13,
                "args": [{"index": 1, "value": 511, "valueTwo": 64, "op": "SCMP_CMP_MASKED_EQ"}]}]}"#;
        let oci = parse(text, HERE).expect("valid").resolve(&[]);
        let direct: LinuxSeccomp = serde_json::from_str(text).expect("oci-spec reads its own form");
        assert_eq!(oci, direct);
    }

    #[test]
    fn the_default_profile_survives_being_written_and_read() {
        let default = crate::spec::seccomp::default_profile(&["SYS_CHROOT".to_owned()]);
        let text = serde_json::to_string(&default).expect("serialisable");
        assert_eq!(parse(&text, HERE).expect("valid").resolve(&[]), default);
    }

    #[test]
    fn a_rule_holds_with_all_of_its_capabilities_only() {
        let profile = with_rule(
            r#"{"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_BPF", "CAP_SYS_ADMIN"]}},
               {"names": ["chroot"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_BPF", "CAP_KILL"]}}"#,
        );
        assert_eq!(rules(&profile, &["BPF"], HERE), Vec::<String>::new());
        assert_eq!(rules(&profile, &["BPF", "SYS_ADMIN"], HERE), ["bpf"]);
        assert_eq!(rules(&profile, &["CHOWN"], HERE), ["chroot"]);
    }

    #[test]
    fn a_rule_holds_on_its_architectures_and_kernels_only() {
        let profile = with_rule(
            r#"{"names": ["arch_prctl"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64", "x32"]}},
               {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
               {"names": ["old"], "action": "SCMP_ACT_ALLOW", "excludes": {"minKernel": "6.10"}}"#,
        );
        assert_eq!(rules(&profile, &[], HERE), ["arch_prctl", "ptrace"]);
        assert_eq!(rules(&profile, &[], Machine { arch: "aarch64", kernel: (4, 10) }), ["ptrace", "old"]);
        assert_eq!(rules(&profile, &[], Machine { arch: "riscv64", kernel: (3, 99) }), ["old"]);
    }

    #[test]
    fn the_architecture_map_gives_this_machines_entry() {
        let text = r#"{"defaultAction": "SCMP_ACT_ERRNO", "archMap": [
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": null}]}"#;
        let on = |arch| {
            let machine = Machine { arch, ..HERE };
            parse(text, machine).expect("valid").resolve(&[]).architectures().clone()
        };
        assert_eq!(on("x86_64"), Some(vec![Arch::ScmpArchX86_64, Arch::ScmpArchX86]));
        assert_eq!(on("aarch64"), Some(vec![Arch::ScmpArchAarch64]));
        assert_eq!(on("riscv64"), None);
    }

    #[test]
    fn an_errno_has_a_number_or_a_name() {
        let errno_of = |members: &str| {
            let rule = format!(r#"{{"name": "mount", "action": "SCMP_ACT_ERRNO", {members}}}"#);
            let oci = parse(&with_rule(&rule), HERE).expect("valid").resolve(&[]);
            oci.syscalls().iter().flatten().find_map(LinuxSyscall::errno_ret)
        };
        assert_eq!(errno_of(r#""errnoRet": 38"#), Some(38));
        assert_eq!(errno_of(r#""errno": "EPERM""#), Some(1));
        assert_eq!(errno_of(r#""errno": "ENOSYS", "errnoRet": 38"#), Some(38));
    }

    #[test]
    fn what_is_wrong_with_a_profile_is_said_with_its_place() {
        assert!(problem("{").contains("line 1"), "{}", problem("{"));
        assert!(problem("{}").contains("defaultAction"));
        assert!(problem(r#"{"defaultAction": "SCMP_ACT_ALLOW", "sycalls": []}"#).contains("sycalls"));
        assert!(problem(r#"{"defaultAction": "SCMP_ACT_MAYBE"}"#).contains("SCMP_ACT_MAYBE"));
        for (rule, place) in [
            (r#"{"action": "SCMP_ACT_ALLOW"}"#, "syscalls[0]: no name"),
            (r#"{"name": "a", "action": "SCMP_ACT_ERRNO", "errnoRet": 4096}"#, "syscalls[0].errnoRet 4096"),
            (r#"{"name": "a", "action": "SCMP_ACT_ERRNO", "errno": "EWHAT"}"#, "syscalls[0].errno \"EWHAT\""),
            (r#"{"name": "a", "action": "SCMP_ACT_ERRNO", "errno": "EPERM", "errnoRet": 2}"#, "not the same"),
            (
                r#"{"name": "a", "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_X"]}}"#,
                "no capability \"CAP_X\"",
            ),
            (r#"{"name": "a", "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "6"}}"#, "minKernel \"6\""),
            (r#"{"name": "a", "action": "SCMP_ACT_NOTIFY"}"#, "SCMP_ACT_NOTIFY"),
            (
                r#"{"name": "a", "action": "SCMP_ACT_ALLOW", "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}"#,
                "argument 6",
            ),
        ] {
            let said = problem(&with_rule(rule));
            assert!(said.contains(place), "{rule}: {said}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]{}\",:a-zA-Z_0-9 ]{0,80}") {
            let _ = parse(&text, HERE);
        }
    }
}
