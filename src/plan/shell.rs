//! The plan as a POSIX shell script in the terms of util-linux, uidmap, iproute2 and libcap2-bin.
//!
//! Pure: a plan in, text out. The script makes the same container by hand and says at each step what it is for. What can't be had
//! with these tools (the seccomp filter, a pty of the container's own) is said in a comment. The surprise: pid 1 is started
//! first, with its final rights, and waits; another process of the namespaces, which keeps all rights, builds the root and
//! pivots, and the kernel moves every process whose root was the old one.

mod group;
mod steps;

use super::{Namespace, Plan, Step};
use crate::spec::network::Network;

/// Writes the script.
pub fn script(plan: &Plan) -> String {
    [head(plan), steps::user(plan), namespace(plan), inside(plan), tail(plan)].concat()
}

/// In single quotes, so that no byte of a path means anything to the shell.
fn quote(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-=+@%:,".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

fn head(plan: &Plan) -> String {
    let command: Vec<_> = plan.process.args.iter().map(|word| quote(word)).collect();
    format!(
        "#!/bin/sh
# The container {name}, made by hand: what `rl run` does, in the words of unshare(1), newuidmap(1), mount(8), ip(8),
# hostname(1), setpriv(1) and pivot_root(8). Run it with sh, as the user whom it was printed for.
#
# It runs: {command}
#
# Two things it can't do with these tools, and rl does: load a seccomp filter, and give the container a terminal of its
# own (here it has yours, so a program inside could type into it).
set -eu
# Debian keeps these tools where a user's PATH does not look.
PATH=$PATH:/usr/sbin:/sbin

{group}{joined}# --- A place for what is made: the writable layer, the mount point of the new root, the files of /etc. -------------
T=$(mktemp -d)
export T
mkdir \"$T/root\" \"$T/upper\" \"$T/work\"
mkfifo \"$T/go\" \"$T/mapped\"
{files}
",
        name = plan.name,
        command = command.join(" ").replace('\n', "\\n"),
        group = group::scope(plan),
        joined = joined(plan),
        files = etc_files(plan),
    )
}

fn etc_files(plan: &Plan) -> String {
    let one = |(path, text): &(std::path::PathBuf, String)| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        format!("printf %s {} >\"$T/{name}\"\n", quote(text))
    };
    plan.host.files.iter().map(one).collect()
}

/// The user namespace comes first: whatever it owns, its root may do.
fn namespace(plan: &Plan) -> String {
    let text = "# --- The user namespace, before all others: its root owns whatever is made in it. ---------------------------------
";
    if !plan.ids.setgroups {
        return format!(
            "{text}# Only one id is mapped: you are root inside, and nobody else exists. unshare writes the map itself; the kernel
# demands that setgroups is denied first, or a process could drop a group that keeps it out of a file.
mapped() {{ unshare --user --map-root-user \"$@\"; }}

"
        );
    }
    let map = |own: &str, base: &str| {
        // The child's map, composed with the base's: what newuidmap has to write.
        let (own, base) = (subid::IdMap::parse(own), subid::IdMap::parse(base));
        let whole = own.and_then(|own| own.through(&base?)).unwrap_or_default();
        whole.to_string()
    };
    let (uids, gids) = (map(&plan.ids.uid_map, &plan.ids.base_uid_map), map(&plan.ids.gid_map, &plan.ids.base_gid_map));
    let words = |map: &str| map.split_whitespace().collect::<Vec<_>>().join(" ");
    let (uid_lines, gid_lines) = (uids.replace('\n', "\\n"), gids.replace('\n', "\\n"));
    let (uids, gids) = (words(&uids), words(&gids));
    format!(
        "{text}# Root inside is you, the others are your subordinate ids. Nobody may write such a map alone; newuidmap and newgidmap
# are setuid programs that look into /etc/subuid and /etc/subgid first. The process in the namespace waits for them.
mapped() {{
	unshare --user sh -c 'read -r go <\"$T/mapped\"; exec \"$@\"' sh \"$@\" <&3 3<&- &
	child=$!
	# unshare(2) has been called when the namespace is another than ours.
	while [ \"$(readlink /proc/$child/ns/user)\" = \"$(readlink /proc/$$/ns/user)\" ]; do sleep 0.01; done
	if [ \"$(id -u)\" = 0 ]; then
		# root may write the maps itself.
		printf '{uid_lines}' >/proc/$child/uid_map
		printf '{gid_lines}' >/proc/$child/gid_map
	else
		newuidmap $child {uids}
		newgidmap $child {gids}
	fi
	echo go >\"$T/mapped\"
	wait $child
}}
exec 3<&0

"
    )
}

fn inside(plan: &Plan) -> String {
    let mut text = String::from(
        "# --- What happens inside, as root of the new user namespace. ------------------------------------------------------
cat >\"$T/inside\" <<'INSIDE'
set -eu
R=$T/root

",
    );
    text.push_str(&steps::network(plan));
    text.push_str(&steps::first_process(plan));
    for step in &plan.steps {
        text.push_str(&steps::render(step, plan));
    }
    text.push_str(
        "# Everything is in place: pid 1 may go on. This process only waits for its end, and has its status.
echo go >&4
exec 4>&-
wait \"$first\"
INSIDE

",
    );
    text
}

fn tail(plan: &Plan) -> String {
    let unshare = unshare_words(plan);
    let (before, after) = network(plan);
    format!(
        "{before}# --- Go: the other namespaces at once, then the script above. -----------------------------------------------------
status=0
mapped {unshare} sh \"$T/inside\" || status=$?
{after}# The writable layer holds files of subordinate ids, which only root of the same map can delete.
mapped rm -rf \"$T/upper\" \"$T/work\"
rm -rf \"$T\"
exit $status
",
    )
}

/// What carries the packets, started before and ended after all else. Ports are rl's own work, and pasta's words are its own.
fn network(plan: &Plan) -> (String, &'static str) {
    let words = match &plan.network.network {
        Network::Slirp4netns(options) => {
            let mut words = format!("--mtu={} --cidr={}", options.mtu, options.network);
            let flags = [
                (!options.allow_host_loopback, " --disable-host-loopback"),
                (options.ipv6, " --enable-ipv6"),
                (options.disable_dns, " --disable-dns"),
            ];
            flags.iter().filter(|(on, _)| *on).for_each(|(_, word)| words.push_str(word));
            format!("exec slirp4netns --configure --enable-sandbox --enable-seccomp {words} --ready-fd=3 \"$pid\" tap0")
        }
        Network::Pasta(_) => {
            "pasta --config-net -t none -u none -T none -U none --no-map-gw \"$pid\" && echo >&3".to_owned()
        }
        _ => return (String::new(), ""),
    };
    let mut ports = String::new();
    if !plan.network.ports.is_empty() {
        ports.push_str("# rl publishes ports of the host, too; that is left out here.\n");
    }
    if plan.network.guard.is_some() {
        ports.push_str("# rl keeps the network namespace out of the container's hands, and filters there what goes out: left out, too.\n");
    }
    let text = format!(
        "# --- The network: a program of yours outside, in the host's network, carries the packets of an interface inside. ---
{ports}mkfifo \"$T/net\" \"$T/net-there\"
sh -c 'read -r pid <\"$T/net\"; exec 3>\"$T/net-there\"; {words}' >/dev/null 2>&1 &
network=$!

"
    );
    (text, "kill \"$network\" 2>/dev/null || :\n")
}

/// The namespaces but the user's, with unshare(1)'s and nsenter(1)'s words for them.
fn words(plan: &Plan) -> [(&Namespace, &'static str); 6] {
    let all = &plan.namespaces;
    [
        (&all.mount, "--mount"),
        (&all.uts, "--uts"),
        (&all.ipc, "--ipc"),
        (&all.pid, "--pid"),
        (&all.network, "--net"),
        (&all.cgroup, "--cgroup"),
    ]
}

/// unshare(1) for every new namespace but the user's; without --fork, so that the first child becomes pid 1.
fn unshare_words(plan: &Plan) -> String {
    let mut line = String::from("unshare");
    for (_, word) in words(plan).iter().filter(|(namespace, _)| namespace.is_new() || **namespace == Namespace::Guarded)
    {
        line.push(' ');
        line.push_str(word);
    }
    line
}

/// nsenter(1) for every namespace that somebody else has made, before anything is made: the script begins anew in them.
fn joined(plan: &Plan) -> String {
    let mut line = String::new();
    for (namespace, word) in words(plan) {
        if let Namespace::Join(path) = namespace {
            line.push_str(&format!(" {word}={}", quote(&path.to_string_lossy())));
        }
    }
    if line.is_empty() {
        return line;
    }
    format!(
        "# --- Namespaces of others: whoever joins them must be root of the user namespace to which they belong. -------------
[ -n \"${{JOINED-}}\" ] || JOINED=1 exec nsenter{line} sh \"$0\"

"
    )
}

/// The attributes of the mount that `target` lies on, for a remount that must not lose them.
fn around<'a>(plan: &'a Plan, target: &std::path::Path) -> Option<&'a super::Attributes> {
    plan.steps
        .iter()
        .filter_map(|step| match step {
            Step::Mount { target: at, attributes, .. } | Step::Bind { target: at, attributes, .. }
                if target.starts_with(at) =>
            {
                Some((at.components().count(), attributes))
            }
            _ => None,
        })
        .max_by_key(|(depth, _)| *depth)
        .map(|(_, attributes)| attributes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_leaves_nothing_to_the_shell() {
        assert_eq!(quote("/a/b.c"), "/a/b.c");
        assert_eq!(quote("a b"), "'a b'");
        assert_eq!(quote("it's $x `y`"), "'it'\\''s $x `y`'");
        assert_eq!(quote(""), "''");
        assert_eq!(quote("a\nb"), "'a\nb'");
    }
}
