//! The parser of `rl run`: names, short forms, help. No meaning is given to any value here.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command, value_parser};

/// Builds the parser.
pub(super) fn command() -> Command {
    Command::new("rl run")
        .about("Run a command in a new container, as root in it")
        .override_usage(
            "rl run [OPTIONS] IMAGE [COMMAND [ARG...]]\n       rl run [OPTIONS] --rootfs DIR [COMMAND [ARG...]]",
        )
        .disable_help_flag(true)
        // The last of several wins, as with podman: scripts append to a line that they were given.
        .args_override_self(true)
        .arg(Arg::new("help").long("help").action(ArgAction::Help).help("Print this help"))
        .args(container())
        .args(life())
        .args(process())
        .args(files())
        .args(network())
        .args(isolation())
        .args(limits())
        .args(security())
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

pub(in crate::cli) fn value(name: &'static str, shown: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(shown).help(help)
}

pub(in crate::cli) fn list(name: &'static str, shown: &'static str, help: &'static str) -> Arg {
    value(name, shown, help).action(ArgAction::Append).allow_hyphen_values(true)
}

/// `--flag`, `--flag=true`, `--flag=false`, with the words that podman (Go's strconv.ParseBool) takes.
pub(in crate::cli) fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .help(help)
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
        .value_parser(truth)
        .value_name("BOOL")
}

fn truth(word: &str) -> Result<bool, &'static str> {
    match word {
        "true" | "TRUE" | "True" | "t" | "T" | "1" => Ok(true),
        "false" | "FALSE" | "False" | "f" | "F" | "0" => Ok(false),
        _ => Err("expected true or false"),
    }
}

fn under(heading: &'static str, args: Vec<Arg>) -> Vec<Arg> {
    args.into_iter().map(|arg| arg.help_heading(heading)).collect()
}

fn container() -> Vec<Arg> {
    under(
        "Container",
        vec![
            switch("rm", "Throw the container away when it ends"),
            value("name", "NAME", "Name of the container; its id stands in where none is given"),
            switch("replace", "Remove the container that has the name, running or not, before"),
            value("cidfile", "FILE", "Write its id to FILE, which must not exist"),
            value("pidfile", "FILE", "Write the number of its first process to FILE, at each start"),
            value("conmon-pidfile", "FILE", "Write the number of who watches over it to FILE"),
            list("label", "K=V", "Label of the container").short('l'),
            list("label-file", "FILE", "Labels, one a line"),
            list("annotation", "K=V", "Annotation in its OCI document"),
            value("pull", "POLICY", "missing (default), never, newer, always"),
            value("platform", "linux/ARCH[/VARIANT]", "The image for that platform"),
            value("arch", "ARCH", "The image for that architecture"),
            value("os", "OS", "linux, the only one"),
            value("variant", "VARIANT", "The image for that variant of the architecture"),
            switch("rmi", "Remove the image when it has ended, unless another container needs it; with --rm"),
            value("authfile", "FILE", "Where logins are kept, for a pull"),
            value("tls-verify", "true|false", "false: a registry without TLS will do").require_equals(true),
            value("creds", "USER:PASSWORD", "The login of a pull"),
            value("cert-authority", "FILE", "Trust this certificate authority in a pull, too (PEM)"),
            switch("disable-content-trust", "For scripts: rl checks no signatures of docker's trust").hide(true),
            value("seccomp-policy", "POLICY", "For scripts of podman: default").hide(true),
            value("sdnotify", "MODE", "For scripts of podman: ignore").hide(true),
            value("volume-driver", "DRIVER", "For scripts of docker: local").hide(true),
            switch("passwd", "For scripts of podman: false").hide(true),
            switch("quiet", "No progress of a pull").short('q'),
            value(
                "plan",
                "FORMAT",
                "Start nothing; print the container as a shell script, an OCI config.json, or the plan: shell, oci, json",
            ),
        ],
    )
}

fn life() -> Vec<Arg> {
    under(
        "Life",
        vec![
            switch("detach", "Go on in the background and print the id").short('d'),
            value("detach-keys", "KEYS", "Accepted where there is nothing to leave: with -d, or empty"),
            list("attach", "STREAM", "stdin, stdout, stderr: only these are shown; with -i stdin always is").short('a'),
            switch("sig-proxy", "Your signals reach it, as they do; false needs -d"),
            value("timeout", "SECONDS", "Kill it after so long; 0: never"),
            value("restart", "POLICY", "no (default), on-failure[:N], always, unless-stopped"),
            value(
                "log-driver",
                "DRIVER",
                "json-file (default; local is the same) or none: what becomes of the output with -d",
            ),
            list("log-opt", "KEY=VALUE", "max-size=SIZE, max-file=N: the log is rotated"),
            value("health-cmd", "COMMAND", "Tells whether the container is healthy, by its exit status"),
            value("health-interval", "TIME", "Between two checks, 30s by default"),
            value("health-timeout", "TIME", "A check that takes longer has failed, 30s by default"),
            value("health-retries", "N", "Failures in a row that make it unhealthy, 3 by default"),
            value("health-start-period", "TIME", "After the start, while failures don't count"),
            value("health-start-interval", "TIME", "Between two checks until then, 5s by default"),
            value("health-on-failure", "WHAT", "none (default), kill or stop an unhealthy container"),
            switch("no-healthcheck", "No check, whatever the image says"),
        ],
    )
}

fn process() -> Vec<Arg> {
    under(
        "Process",
        vec![
            switch("interactive", "Keep stdin open").short('i'),
            switch("tty", "Give it a terminal").short('t'),
            list("env", "NAME[=VALUE]", "Environment variable; without a value, the caller's").short('e'),
            list("env-file", "FILE", "Environment variables, one a line"),
            switch("env-host", "All of your own environment variables"),
            list("env-merge", "NAME=TEXT", "Change a variable of the image, of whose value $NAME in TEXT is"),
            list("unsetenv", "NAME", "Without that variable of the image or of rl"),
            switch("unsetenv-all", "Without any variable of the image or of rl"),
            value("workdir", "DIR", "Working directory").short('w'),
            value("user", "USER[:GROUP]", "User, by the container's own names or by number").short('u'),
            list("group-add", "GROUP", "Additional group; keep-groups: those that you have outside"),
            value("entrypoint", "COMMAND", "Replace the image's entrypoint; a JSON array has several words")
                .allow_hyphen_values(true),
            switch("init", "A small pid 1 that reaps zombies and forwards signals"),
            list("ulimit", "NAME=SOFT[:HARD]", "Resource limit; -1 is the highest that you may set"),
            value("umask", "OCTAL", "Umask, 0022 by default"),
            value("personality", "DOMAIN", "LINUX or LINUX32: what uname(2) says of the machine"),
            value("preserve-fds", "N", "Descriptors 3 to 2+N of yours are its own, too"),
            value("stop-signal", "SIGNAL", "Signal that asks it to stop"),
            value("stop-timeout", "SECONDS", "From that signal to SIGKILL, 10 by default").allow_hyphen_values(true),
        ],
    )
}

fn files() -> Vec<Arg> {
    under(
        "Files",
        vec![
            switch("rootfs", "The first word is a directory (DIR, or DIR:O below a throw-away overlay), not an image"),
            switch("read-only", "Root file system read-only, with tmpfs on /tmp, /run and /var/tmp"),
            switch("read-only-tmpfs", "false: --read-only without these tmpfs"),
            list("volume", "[SRC:]DST[:OPTS]", "A volume by name, or a file or directory: ro, U, nocopy, noexec, ...")
                .short('v'),
            list("mount", "TYPE,...", "type=bind|volume|tmpfs|image,src=,dst=,ro,..."),
            value("image-volume", "MODE", "What the image's VOLUMEs are: anonymous (bind; the default), tmpfs, ignore"),
            list("volumes-from", "CONTAINER[:ro]", "The volumes of another container, too"),
            list("tmpfs", "DST[:OPTS]", "A tmpfs: size=, mode=, ro, noexec, ..."),
            value("tz", "ZONE", "Its time zone: a name below /usr/share/zoneinfo, or local for yours"),
            switch("no-hosts", "/etc/hosts is the image's own"),
            switch("no-hostname", "/etc/hostname is the image's own"),
            list("device", "SRC[:DST[:rwm]]", "A device of the host, or all devices of a directory"),
            value("shm-size", "SIZE", "Size of /dev/shm, 64000k by default"),
        ],
    )
}

fn network() -> Vec<Arg> {
    under(
        "Network",
        vec![
            list(
                "network",
                "MODE",
                "slirp4netns[:OPTS] (default), pasta[:OPTS], none, host, container:NAME, NETWORK[:ip=,alias=]",
            )
            .alias("net"),
            list("network-alias", "NAME", "One more name in the network"),
            value("ip", "IP", "Its address in the network"),
            value("ip6", "IP", "Its IPv6 address in the network"),
            list("publish", "[IP:][HOST:]PORT[/udp]", "A port of the host leads to one of the container; ranges A-B")
                .short('p'),
            switch("publish-all", "Every port that the image exposes, at a free port of the host").short('P'),
            list("expose", "PORT[/udp]", "One more port that the container answers at, for -P and rl ps; ranges A-B"),
            list("egress", "WORDS", "deny, or allow=HOST[:PORT],NETWORK[:PORT],...: nothing else goes out"),
            list("add-host", "NAME:IP", "A line of /etc/hosts; IP may be host-gateway"),
            list("dns", "IP", "A name server in place of the network's own"),
            list("dns-search", "DOMAIN", "A domain of the search list in place of the host's; . for none"),
            list("dns-option", "OPTION", "An option of /etc/resolv.conf").alias("dns-opt"),
            switch("http-proxy", "Pass your proxy variables (http_proxy, ...) on"),
        ],
    )
}

fn isolation() -> Vec<Arg> {
    under(
        "Isolation",
        vec![
            value("hostname", "NAME", "Hostname").short('h'),
            value("domainname", "NAME", "NIS domain name"),
            value("pid", "MODE", "host: share the host's processes"),
            value("ipc", "MODE", "host: share the host's queues and shared memory"),
            value("uts", "MODE", "host: share the host's name"),
            value("cgroupns", "MODE", "host: share the cgroup namespace"),
            value("timens", "MONO[:BOOT]", "A time namespace with these offsets in seconds").allow_hyphen_values(true),
            value("userns", "MODE", "full, single, keep-id[:uid=,gid=], auto[:size=], nomap"),
            list("uidmap", "IN:FROM[:N]", "Map uids; FROM 0 is you, 1.. your subordinate ids"),
            list("gidmap", "IN:FROM[:N]", "Map gids"),
            list("sysctl", "KEY=VALUE", "Kernel parameter of the container's own namespaces"),
        ],
    )
}

fn limits() -> Vec<Arg> {
    let mut args = super::resources::args();
    args.extend([
        value("oom-score-adj", "NUMBER", "How early the kernel picks it when memory runs out: yours to 1000")
            .allow_hyphen_values(true),
        value("cgroups", "MODE", "auto (default: where a limit needs one), enabled, disabled, no-conmon, split"),
        list("cgroup-conf", "FILE=VALUE", "A file of its control group (cgroup v2), such as memory.high=100M"),
        value("cgroup-parent", "SLICE", "Slice of your systemd, or directory below your own group"),
        value("logout", "stop|keep", "With -d: insist on what your last logout does to it"),
        value("systemd", "BOOL", "true: systemd is pid 1: control groups of its own, tmpfs where it wants them")
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true"),
    ]);
    under("Limits", args)
}

fn security() -> Vec<Arg> {
    under(
        "Security",
        vec![
            list("cap-add", "CAP", "Add a capability, or ALL"),
            list("cap-drop", "CAP", "Drop a capability, or ALL"),
            list(
                "security-opt",
                "OPT",
                "seccomp=FILE|unconfined, no-new-privileges, mask=PATH[:PATH], unmask=ALL|PATH[:PATH]",
            ),
            switch("privileged", "All capabilities, no filter, nothing masked (still only your own rights outside)"),
        ],
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_parser_is_consistent() {
        super::command().debug_assert();
    }
}
