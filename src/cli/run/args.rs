//! The parser of `rl run`: names, short forms, help. No meaning is given to any value here.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command, value_parser};

use super::resources;
use crate::cli::flag::Flag;

/// Builds the parser.
pub(super) fn command() -> Command {
    parser(|_| true)
}

/// The same for these words alone: whatever they are, it takes them as the whole one does, or refuses them.
pub(in crate::cli) fn command_for(words: &[OsString]) -> Command {
    parser(|flag| flag.may_be_in(words))
}

fn parser(knows: impl Fn(&Flag) -> bool) -> Command {
    let flags = FLAGS.iter().flat_map(|(heading, flags)| flags.iter().map(move |flag| (*heading, flag)));
    let known = flags.filter(|(_, flag)| knows(flag));
    Command::new("rl run")
        .about("Run a command in a new container, as root in it")
        .override_usage(
            "rl run [OPTIONS] IMAGE [COMMAND [ARG...]]\n       rl run [OPTIONS] --rootfs DIR [COMMAND [ARG...]]",
        )
        .disable_help_flag(true)
        // The last of several wins, as with podman: scripts append to a line that they were given.
        .args_override_self(true)
        .arg(Arg::new("help").long("help").action(ArgAction::Help).help("Print this help"))
        .args(known.map(|(heading, flag)| flag.arg().help_heading(heading)))
        .arg(
            Arg::new("words")
                .value_name("IMAGE")
                .num_args(0..)
                // Not with allow_hyphen_values: clap would take `-eNAME=VALUE` for a word, because not all its letters are flags.
                .trailing_var_arg(true)
                .value_parser(value_parser!(OsString))
                .help("The image (or, with --rootfs, the directory), then the command"),
        )
        .after_help(EXAMPLES)
}

const EXAMPLES: &str = "Examples:
  rl run --rm -it busybox                     a shell as root in a container
  rl run --rm -v \"$PWD:/src\" -w /src gcc make
  rl run --rm --rootfs ./tree ls /            a directory as the root file system
  rl run --rm --userns=keep-id debian id      yourself instead of root
  rl run --plan=shell busybox sh              the same container as a commented script

Exit status: the command's own; 125 rl failed, 126 the command can't be executed, 127 it was not found, 128+N it died of signal N.";

/// As the tables below have it, for a verb with a few flags.
pub(in crate::cli) fn value(name: &'static str, shown: &'static str, help: &'static str) -> Arg {
    Flag::value(name, shown, help).arg()
}

/// The same.
pub(in crate::cli) fn list(name: &'static str, shown: &'static str, help: &'static str) -> Arg {
    Flag::list(name, shown, help).arg()
}

/// The same.
pub(in crate::cli) fn switch(name: &'static str, help: &'static str) -> Arg {
    Flag::switch(name, help).arg()
}

/// All flags, below the headings of the help.
const FLAGS: [(&str, &[Flag]); 9] = [
    ("Container", CONTAINER),
    ("Life", LIFE),
    ("Process", PROCESS),
    ("Files", FILES),
    ("Network", NETWORK),
    ("Isolation", ISOLATION),
    ("Limits", resources::FLAGS),
    ("Limits", LIMITS),
    ("Security", SECURITY),
];

const CONTAINER: &[Flag] = &[
    Flag::switch("rm", "Throw the container away when it ends"),
    Flag::value("name", "NAME", "Name of the container; its id stands in where none is given"),
    Flag::switch("replace", "Remove the container that has the name, running or not, before"),
    Flag::value("cidfile", "FILE", "Write its id to FILE, which must not exist"),
    Flag::value("pidfile", "FILE", "Write the number of its first process to FILE, at each start"),
    Flag::value("conmon-pidfile", "FILE", "Write the number of who watches over it to FILE"),
    Flag::list("label", "K=V", "Label of the container").short('l'),
    Flag::list("label-file", "FILE", "Labels, one a line"),
    Flag::list("annotation", "K=V", "Annotation in its OCI document"),
    Flag::value("pull", "POLICY", "missing (default), never, newer, always"),
    Flag::value("platform", "linux/ARCH[/VARIANT]", "The image for that platform"),
    Flag::value("arch", "ARCH", "The image for that architecture"),
    Flag::value("os", "OS", "linux, the only one"),
    Flag::value("variant", "VARIANT", "The image for that variant of the architecture"),
    Flag::switch("rmi", "Remove the image when it has ended, unless another container needs it; with --rm"),
    Flag::value("authfile", "FILE", "Where logins are kept, for a pull"),
    Flag::value("tls-verify", "true|false", "false: a registry without TLS will do").equals(),
    Flag::value("creds", "USER:PASSWORD", "The login of a pull"),
    Flag::value("cert-authority", "FILE", "Trust this certificate authority in a pull, too (PEM)"),
    Flag::switch("disable-content-trust", "For scripts: rl checks no signatures of docker's trust").hidden(),
    Flag::value("seccomp-policy", "POLICY", "For scripts of podman: default").hidden(),
    Flag::value("sdnotify", "MODE", "For scripts of podman: ignore").hidden(),
    Flag::value("volume-driver", "DRIVER", "For scripts of docker: local").hidden(),
    Flag::switch("passwd", "For scripts of podman: false").hidden(),
    Flag::switch("quiet", "No progress of a pull").short('q'),
    Flag::value(
        "plan",
        "FORMAT",
        "Start nothing; print the container as a shell script, an OCI config.json, or the plan: shell, oci, json",
    ),
];

const LIFE: &[Flag] = &[
    Flag::switch("detach", "Go on in the background and print the id").short('d'),
    Flag::value("detach-keys", "KEYS", "Accepted where there is nothing to leave: with -d, or empty"),
    Flag::list("attach", "STREAM", "stdin, stdout, stderr: only these are shown; with -i stdin always is").short('a'),
    Flag::switch("sig-proxy", "Your signals reach it, as they do; false needs -d"),
    Flag::value("timeout", "SECONDS", "Kill it after so long; 0: never"),
    Flag::value("restart", "POLICY", "no (default), on-failure[:N], always, unless-stopped"),
    Flag::value(
        "log-driver",
        "DRIVER",
        "json-file (default; local is the same) or none: what becomes of the output with -d",
    ),
    Flag::list("log-opt", "KEY=VALUE", "max-size=SIZE, max-file=N: the log is rotated"),
    Flag::value("health-cmd", "COMMAND", "Tells whether the container is healthy, by its exit status"),
    Flag::value("health-interval", "TIME", "Between two checks, 30s by default"),
    Flag::value("health-timeout", "TIME", "A check that takes longer has failed, 30s by default"),
    Flag::value("health-retries", "N", "Failures in a row that make it unhealthy, 3 by default"),
    Flag::value("health-start-period", "TIME", "After the start, while failures don't count"),
    Flag::value("health-start-interval", "TIME", "Between two checks until then, 5s by default"),
    Flag::value("health-on-failure", "WHAT", "none (default), kill or stop an unhealthy container"),
    Flag::switch("no-healthcheck", "No check, whatever the image says"),
];

const PROCESS: &[Flag] = &[
    Flag::switch("interactive", "Keep stdin open").short('i'),
    Flag::switch("tty", "Give it a terminal").short('t'),
    Flag::list("env", "NAME[=VALUE]", "Environment variable; without a value, the caller's").short('e'),
    Flag::list("env-file", "FILE", "Environment variables, one a line"),
    Flag::switch("env-host", "All of your own environment variables"),
    Flag::list("env-merge", "NAME=TEXT", "Change a variable of the image, of whose value $NAME in TEXT is"),
    Flag::list("unsetenv", "NAME", "Without that variable of the image or of rl"),
    Flag::switch("unsetenv-all", "Without any variable of the image or of rl"),
    Flag::value("workdir", "DIR", "Working directory").short('w'),
    Flag::value("user", "USER[:GROUP]", "User, by the container's own names or by number").short('u'),
    Flag::list("group-add", "GROUP", "Additional group; keep-groups: those that you have outside"),
    Flag::value("entrypoint", "COMMAND", "Replace the image's entrypoint; a JSON array has several words").hyphens(),
    Flag::switch("init", "A small pid 1 that reaps zombies and forwards signals"),
    Flag::list("ulimit", "NAME=SOFT[:HARD]", "Resource limit; -1 is the highest that you may set"),
    Flag::value("umask", "OCTAL", "Umask, 0022 by default"),
    Flag::value("personality", "DOMAIN", "LINUX or LINUX32: what uname(2) says of the machine"),
    Flag::value("preserve-fds", "N", "Descriptors 3 to 2+N of yours are its own, too"),
    Flag::value("stop-signal", "SIGNAL", "Signal that asks it to stop"),
    Flag::value("stop-timeout", "SECONDS", "From that signal to SIGKILL, 10 by default").hyphens(),
];

const FILES: &[Flag] = &[
    Flag::switch("rootfs", "The first word is a directory (DIR, or DIR:O below a throw-away overlay), not an image"),
    Flag::switch("read-only", "Root file system read-only, with tmpfs on /tmp, /run and /var/tmp"),
    Flag::switch("read-only-tmpfs", "false: --read-only without these tmpfs"),
    Flag::list("volume", "[SRC:]DST[:OPTS]", "A volume by name, or a file or directory: ro, U, nocopy, noexec, ...")
        .short('v'),
    Flag::list("mount", "TYPE,...", "type=bind|volume|tmpfs|image,src=,dst=,ro,..."),
    Flag::value("image-volume", "MODE", "What the image's VOLUMEs are: anonymous (bind; the default), tmpfs, ignore"),
    Flag::list("volumes-from", "CONTAINER[:ro]", "The volumes of another container, too"),
    Flag::list("tmpfs", "DST[:OPTS]", "A tmpfs: size=, mode=, ro, noexec, ..."),
    Flag::value("tz", "ZONE", "Its time zone: a name below /usr/share/zoneinfo, or local for yours"),
    Flag::switch("no-hosts", "/etc/hosts is the image's own"),
    Flag::switch("no-hostname", "/etc/hostname is the image's own"),
    Flag::list("device", "SRC[:DST[:rwm]]", "A device of the host, or all devices of a directory"),
    Flag::value("shm-size", "SIZE", "Size of /dev/shm, 64000k by default"),
];

const NETWORK: &[Flag] = &[
    Flag::list(
        "network",
        "MODE",
        "slirp4netns[:OPTS] (default), pasta[:OPTS], none, host, container:NAME, NETWORK[:ip=,alias=]",
    )
    .alias("net"),
    Flag::list("network-alias", "NAME", "One more name in the network"),
    Flag::value("ip", "IP", "Its address in the network"),
    Flag::value("ip6", "IP", "Its IPv6 address in the network"),
    Flag::list("publish", "[IP:][HOST:]PORT[/udp]", "A port of the host leads to one of the container; ranges A-B")
        .short('p'),
    Flag::switch("publish-all", "Every port that the image exposes, at a free port of the host").short('P'),
    Flag::list("expose", "PORT[/udp]", "One more port that the container answers at, for -P and rl ps; ranges A-B"),
    Flag::list("egress", "WORDS", "deny, or allow=HOST[:PORT],NETWORK[:PORT],...: nothing else goes out"),
    Flag::list("add-host", "NAME:IP", "A line of /etc/hosts; IP may be host-gateway"),
    Flag::list("dns", "IP", "A name server in place of the network's own; none: /etc/resolv.conf is the image's"),
    Flag::list("dns-search", "DOMAIN", "A domain of the search list in place of the host's; . for none"),
    Flag::list("dns-option", "OPTION", "An option of /etc/resolv.conf").alias("dns-opt"),
    Flag::switch("http-proxy", "Pass your proxy variables (http_proxy, ...) on"),
];

const ISOLATION: &[Flag] = &[
    Flag::value("hostname", "NAME", "Hostname").short('h'),
    Flag::value("domainname", "NAME", "NIS domain name"),
    Flag::value("pid", "MODE", "host: share the host's processes"),
    Flag::value("ipc", "MODE", "host: share the host's queues and shared memory"),
    Flag::value("uts", "MODE", "host: share the host's name"),
    Flag::value("cgroupns", "MODE", "host: share the cgroup namespace"),
    Flag::value("timens", "MONO[:BOOT]", "A time namespace with these offsets in seconds").hyphens(),
    Flag::value("userns", "MODE", "full, single, keep-id[:uid=,gid=], auto[:size=], nomap"),
    Flag::list("uidmap", "IN:FROM[:N]", "Map uids; FROM 0 is you, 1.. your subordinate ids"),
    Flag::list("gidmap", "IN:FROM[:N]", "Map gids"),
    Flag::list("sysctl", "KEY=VALUE", "Kernel parameter of the container's own namespaces"),
];

const LIMITS: &[Flag] = &[
    Flag::value("oom-score-adj", "NUMBER", "How early the kernel picks it when memory runs out: yours to 1000")
        .hyphens(),
    Flag::value("cgroups", "MODE", "auto (default: where a limit needs one), enabled, disabled, no-conmon, split"),
    Flag::list("cgroup-conf", "FILE=VALUE", "A file of its control group (cgroup v2), such as memory.high=100M"),
    Flag::value("cgroup-parent", "SLICE", "Slice of your systemd, or directory below your own group"),
    Flag::value("logout", "stop|keep", "With -d: insist on what your last logout does to it"),
    Flag::mode("systemd", "BOOL", "true: systemd is pid 1: control groups of its own, tmpfs where it wants them"),
];

const SECURITY: &[Flag] = &[
    Flag::list("cap-add", "CAP", "Add a capability, or ALL"),
    Flag::list("cap-drop", "CAP", "Drop a capability, or ALL"),
    Flag::list(
        "security-opt",
        "OPT",
        "seccomp=FILE|unconfined, no-new-privileges, mask=PATH[:PATH], unmask=ALL|PATH[:PATH]",
    ),
    Flag::switch("privileged", "All capabilities, no filter, nothing masked (still only your own rights outside)"),
];

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use clap::{ArgMatches, Command};
    use proptest::prelude::*;

    #[test]
    fn the_parser_is_consistent() {
        super::command().debug_assert();
    }

    /// What was given to which flag, as text.
    fn taken(command: Command, words: &[OsString]) -> Option<Vec<String>> {
        let matches: ArgMatches = command.no_binary_name(true).try_get_matches_from(words).ok()?;
        let of = |id: &clap::Id| {
            let values = matches.get_raw_occurrences(id.as_str())?;
            Some(format!("{id}: {:?}", values.map(Iterator::collect::<Vec<_>>).collect::<Vec<_>>()))
        };
        let mut all: Vec<_> = matches.ids().filter_map(of).collect();
        all.sort();
        Some(all)
    }

    const WORDS: &[&str] = &[
        "--rm",
        "--rm=false",
        "--name",
        "--name=x",
        "-it",
        "-d",
        "-eA=-x",
        "-e",
        "-A",
        "--net",
        "--network=none",
        "--",
        "-",
        "-v",
        "/a:/b",
        "image",
        "sh",
        "-c",
        "--memory=-1",
        "-m",
        "1g",
        "--dns-opt",
        "--unknown",
        "-Z",
        "-h",
        "host",
        "--help",
        "-tz",
        "--tls-verify",
        "--systemd",
        "--systemd=always",
        "--entrypoint",
        "--timens",
        "-5",
        "-q",
        "-w",
        "-p8080:80",
        "-Pit",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn the_parser_for_some_words_takes_them_as_the_whole_one_does(
            words in prop::collection::vec(prop::sample::select(WORDS), 0..9),
        ) {
            let words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
            prop_assert_eq!(taken(super::command_for(&words), &words), taken(super::command(), &words));
        }
    }
}
