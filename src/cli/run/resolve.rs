//! What was typed -> [`RunSpec`]: every value understood, every file of the command line read.
//!
//! The caller's environment and the files that flags name are looked at here and never again.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ArgMatches;

use super::{device, env, files, lifecycle, limits, network, resources, security, volume, wrong};
use crate::error::{Context, Error, Result, catalog::command_line, catalog::rootfs, catalog::state};
use crate::runtime::stdio::first_missing;
use crate::spec::network::Network;
use crate::spec::{RunSpec, Share, Source, UserNs, ids, ports};
use crate::state::names;

/// Kernel limit of sethostname(2).
const LONGEST_HOSTNAME: usize = 64;

/// SIGRTMIN+3, by which systemd as pid 1 is asked to halt.
const HALT: i32 = 37;

/// Gives every word its meaning.
pub(super) fn resolve(matches: &ArgMatches) -> Result<RunSpec> {
    let (source, command) = words(matches)?;
    lifecycle::detach_keys(matches)?;
    lifecycle::sig_proxy(matches)?;
    only(matches)?;
    let remove = flag(matches, "rm") || lifecycle::remove_image(matches)?;
    let etc = files::etc(matches)?;
    let (group_add, keep_groups) = groups(matches)?;
    let security = security::security(&all(matches, "security-opt"))?;
    let network = network::network(matches)?;
    let share = share(matches, &network)?;
    let systemd = resources::systemd(matches)?;
    let volumes = volume::volumes(&all(matches, "volume"), &all(matches, "mount"), &all(matches, "tmpfs"))?;
    Ok(RunSpec {
        source,
        command,
        entrypoint: one(matches, "entrypoint").map(entrypoint).transpose()?,
        env: environment(matches)?,
        workdir: one(matches, "workdir").map(str::to_owned),
        user: one(matches, "user").map(str::to_owned),
        inherited: env::inherited(
            &all(matches, "env-merge"),
            &all(matches, "unsetenv"),
            flag(matches, "unsetenv-all"),
        )?,
        group_add,
        keep_groups,
        hostname: one(matches, "hostname").map(hostname).transpose()?,
        domainname: domainname(matches, share)?,
        etc,
        name: one(matches, "name").map(name).transpose()?,
        interactive: flag(matches, "interactive"),
        tty: flag(matches, "tty"),
        init: flag(matches, "init"),
        remove,
        read_only: flag(matches, "read-only"),
        bare_read_only: matches.get_one::<bool>("read-only-tmpfs") == Some(&false),
        privileged: flag(matches, "privileged"),
        volumes,
        image_volumes: files::image_volumes(one(matches, "image-volume"))?,
        volumes_from: volume::others(&all(matches, "volumes-from"))?,
        devices: device::devices(&all(matches, "device"))?,
        cap_add: all(matches, "cap-add"),
        cap_drop: all(matches, "cap-drop"),
        seccomp: security.seccomp,
        no_new_privileges: security.no_new_privileges,
        mask: security.mask,
        unmask: security.unmask.clone(),
        ulimits: limits::ulimits(&all(matches, "ulimit"))?,
        umask: one(matches, "umask").map_or(Ok(0o022), limits::umask)?,
        labels: env::labels(&all(matches, "label-file"), &all(matches, "label"))?,
        annotations: env::annotations(&all(matches, "annotation"))?,
        personality: one(matches, "personality").map(str::to_uppercase),
        preserve_fds: preserve_fds(matches)?,
        replace: flag(matches, "replace"),
        pid_files: files::pid_files(matches)?,
        attached: lifecycle::attached(matches)?,
        ending: lifecycle::ending(matches)?,
        cidfile: one(matches, "cidfile").map(PathBuf::from),
        stop_signal: one(matches, "stop-signal")
            .map(|word| limits::signal("stop-signal", word))
            .transpose()?
            .or(systemd.then_some(HALT)),
        stop_timeout: one(matches, "stop-timeout").map(lifecycle::stop_timeout).transpose()?,
        detach: flag(matches, "detach"),
        restart: lifecycle::restart(one(matches, "restart"), remove)?,
        log: lifecycle::log(one(matches, "log-driver"), &all(matches, "log-opt"))?,
        health: lifecycle::health(matches)?,
        sysctls: all(matches, "sysctl").iter().map(|word| limits::sysctl(word, share)).collect::<Result<_>>()?,
        shm_size: shm_size(matches, share)?,
        publish: network::publish(matches, &network)?,
        publish_all: flag(matches, "publish-all"),
        expose: all(matches, "expose").iter().map(|word| ports::expose(word)).collect::<Result<Vec<_>>>()?.concat(),
        egress: network::egress(&all(matches, "egress"), &network)?,
        add_hosts: all(matches, "add-host")
            .iter()
            .map(|word| network::add_host(word, &network))
            .collect::<Result<_>>()?,
        dns: all(matches, "dns")
            .iter()
            .filter(|word| *word != files::NO_FILE)
            .map(|word| network::name_server(word))
            .collect::<Result<_>>()?,
        dns_search: network::resolver_words("dns-search", &all(matches, "dns-search"))?,
        dns_option: network::resolver_words("dns-option", &all(matches, "dns-option"))?,
        network,
        share,
        userns: userns(matches)?,
        time_offset: one(matches, "timens").map(time_offset).transpose()?,
        resources: resources::resources(matches)?,
        cgroups: resources::cgroups(matches, &security.unmask)?,
        oom_score_adj: one(matches, "oom-score-adj").map(resources::oom_score_adj).transpose()?,
        systemd,
    })
}

/// Words of which one says what `rl` does anyway; the others are refused.
fn only(matches: &ArgMatches) -> Result<()> {
    let words = [
        ("seccomp-policy", "default", "A profile: --security-opt seccomp=FILE."),
        (
            "sdnotify",
            "ignore",
            "rl start -a tells systemd that a container runs, and units of rl generate systemd and rl quadlet use that.",
        ),
        ("volume-driver", "local", "Other file systems: mount them, and -v DIR:/path."),
    ];
    for (name, right, fix) in words {
        if let Some(other) = one(matches, name).filter(|word| *word != right) {
            return Err(wrong(name, other, right).fix(fix));
        }
    }
    match matches.get_one::<bool>("passwd") {
        Some(true) => Err(wrong("passwd", "true", "false: rl writes nothing into a container's /etc/passwd")),
        _ => Ok(()),
    }
}

/// What is the caller's first, so that -e may say otherwise.
fn environment(matches: &ArgMatches) -> Result<Vec<(String, String)>> {
    let mut pairs = if flag(matches, "env-host") { env::host(std::env::vars_os()) } else { Vec::new() };
    if flag(matches, "http-proxy") {
        pairs.extend(network::proxies(std::env::vars_os()));
    }
    pairs.extend(env::environment(&all(matches, "env-file"), &all(matches, "env"))?);
    Ok(pairs)
}

pub(super) fn one<'a>(matches: &'a ArgMatches, name: &str) -> Option<&'a str> {
    matches.get_one::<String>(name).map(String::as_str)
}

pub(super) fn all(matches: &ArgMatches, name: &str) -> Vec<String> {
    matches.get_many::<String>(name).into_iter().flatten().cloned().collect()
}

pub(super) fn flag(matches: &ArgMatches, name: &str) -> bool {
    matches.get_one::<bool>(name).copied().unwrap_or(false)
}

fn words(matches: &ArgMatches) -> Result<(Source, Vec<String>)> {
    let mut words = matches.get_many::<OsString>("words").into_iter().flatten();
    let text = |word: &OsString| {
        let bad = || {
            Error::new(
                &command_line::USAGE,
                format!("{word:?} is not UTF-8, which a container's specification must be"),
            )
        };
        word.to_str().map(str::to_owned).ok_or_else(bad)
    };
    let rootfs = flag(matches, "rootfs");
    let Some(first) = words.next() else {
        let (what, fix) = if rootfs {
            ("a directory", "rl run --rootfs DIR COMMAND")
        } else {
            ("an image", "rl run IMAGE COMMAND, for example: rl run --rm -it busybox")
        };
        return Err(Error::new(&command_line::USAGE, format!("rl run needs {what}"))
            .fix(format!("Type: {fix}. See: rl run --help")));
    };
    let first = text(first)?;
    let source = if rootfs { directory(&first)? } else { Source::Image(first) };
    Ok((source, words.map(text).collect::<Result<_>>()?))
}

fn directory(word: &str) -> Result<Source> {
    let (path, overlay) = match word.strip_suffix(":O") {
        Some(path) => (path, true),
        None => (word, false),
    };
    let doing = || format!("use the root file system {path:?}");
    let path = std::fs::canonicalize(path).context(&rootfs::ROOTFS, doing)?;
    if !path.is_dir() {
        return Err(Error::new(&rootfs::ROOTFS, doing()).because("it is not a directory"));
    }
    Ok(Source::Directory { path, overlay })
}

/// A string is one word, as in docker; a JSON array has several; an empty string removes the image's own.
fn entrypoint(word: &str) -> Result<Vec<String>> {
    if word.starts_with('[') {
        return serde_json::from_str(word)
            .context(&command_line::USAGE, || format!("understand --entrypoint {word} as a JSON array of strings"));
    }
    Ok(if word.is_empty() { Vec::new() } else { vec![word.to_owned()] })
}

/// Hostnames as they are found in practice (RFC 1123 and underscores), container names.
pub(super) fn of_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._".contains(&byte)
}

fn hostname(word: &str) -> Result<String> {
    if word.is_empty() || word.len() > LONGEST_HOSTNAME || !word.bytes().all(of_a_name) || word.starts_with(['-', '.'])
    {
        return Err(wrong("hostname", word, "at most 64 letters, digits, dots and hyphens"));
    }
    Ok(word.to_owned())
}

fn name(word: &str) -> Result<String> {
    if names::is_valid(word) { Ok(word.to_owned()) } else { Err(Error::new(&state::NAME, format!("--name {word:?}"))) }
}

fn share(matches: &ArgMatches, network: &Network) -> Result<Share> {
    let host = |name: &str| match one(matches, name) {
        None | Some("private" | "") => Ok(false),
        Some("host") => Ok(true),
        Some(other) => Err(wrong(name, other, "host or private")),
    };
    let network = network.is_shared();
    let share = Share { pid: host("pid")?, ipc: host("ipc")?, uts: host("uts")?, network, cgroup: host("cgroupns")? };
    if share.uts && one(matches, "hostname").is_some() {
        return Err(Error::new(
            &command_line::CONFLICT,
            "--hostname and --uts=host: the host's name can't be changed from a container",
        ));
    }
    Ok(share)
}

fn userns(matches: &ArgMatches) -> Result<UserNs> {
    let maps = |name: &str| all(matches, name).iter().map(|word| ids::parse_map(word)).collect::<Result<Vec<_>>>();
    let (uid, gid) = (maps("uidmap")?, maps("gidmap")?);
    match (one(matches, "userns"), uid.is_empty() && gid.is_empty()) {
        (None, true) => Ok(UserNs::Default),
        (Some(mode), true) => ids::parse_userns(mode),
        (Some(mode), false) => {
            Err(Error::new(&command_line::CONFLICT, format!("--userns={mode} with --uidmap or --gidmap")))
        }
        // As podman: one kind alone stands for both.
        (None, false) => Ok(UserNs::Custom {
            uid: if uid.is_empty() { gid.clone() } else { uid.clone() },
            gid: if gid.is_empty() { uid } else { gid },
        }),
    }
}

/// podman's word for the caller's own supplementary groups, which stand alone: setgroups(2) would take them away.
fn groups(matches: &ArgMatches) -> Result<(Vec<String>, bool)> {
    let groups = all(matches, "group-add");
    let keep = groups.iter().any(|group| group == "keep-groups");
    if keep && groups.len() > 1 {
        let what = "--group-add keep-groups with another group: the kernel would take yours away for it";
        return Err(Error::new(&command_line::CONFLICT, what));
    }
    Ok((if keep { Vec::new() } else { groups }, keep))
}

fn domainname(matches: &ArgMatches, share: Share) -> Result<Option<String>> {
    match one(matches, "domainname") {
        Some(_) if share.uts => {
            let what = "--domainname and --uts=host: the host's name can't be changed from a container";
            Err(Error::new(&command_line::CONFLICT, what))
        }
        Some(word) => hostname(word).map(Some),
        None => Ok(None),
    }
}

/// Descriptors of the caller's: those of `rl` itself are all closed at exec.
fn preserve_fds(matches: &ArgMatches) -> Result<u32> {
    let count = one(matches, "preserve-fds").map_or(Ok(0), given_fds)?;
    if count > 0 && flag(matches, "detach") {
        let what = "--preserve-fds and -d: what goes on in the background has nothing of its caller's";
        return Err(Error::new(&command_line::CONFLICT, what));
    }
    Ok(count)
}

/// `--preserve-fds N`: whether all of them are there.
pub(in crate::cli) fn given_fds(word: &str) -> Result<u32> {
    let bad = || wrong("preserve-fds", word, "a number of descriptors up to 1000");
    let count = word.parse::<u32>().ok().filter(|count| *count <= 1000).ok_or_else(bad)?;
    if let Some(number) = first_missing(count) {
        return Err(Error::new(
            &command_line::USAGE,
            format!("--preserve-fds {word}: descriptor {number} is not open"),
        )
        .fix(format!("Open it for rl, for example: rl run --preserve-fds {word} ... {number}<file")));
    }
    Ok(count)
}

/// podman's size, 64000 KiB.
fn shm_size(matches: &ArgMatches, share: Share) -> Result<u64> {
    match one(matches, "shm-size") {
        None => Ok(64_000 << 10),
        Some(_) if share.ipc => Err(Error::new(
            &command_line::CONFLICT,
            "--shm-size and --ipc=host: the host's /dev/shm has the size that it has",
        )),
        Some(word) => limits::size("shm-size", word),
    }
}

fn time_offset(word: &str) -> Result<(i64, i64)> {
    let bad = || wrong("timens", word, "SECONDS or MONOTONIC:BOOTTIME");
    let (monotonic, boottime) = word.split_once(':').unwrap_or((word, word));
    Ok((monotonic.parse().map_err(|_| bad())?, boottime.parse().map_err(|_| bad())?))
}
