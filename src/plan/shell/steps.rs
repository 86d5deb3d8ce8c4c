//! One step of the plan as lines of the script.

use std::fmt::Write;
use std::path::Path;

use super::{around, quote};
use crate::host::emulation::Emulator;
use crate::plan::{Attributes, Plan, Process, Propagation, Step};

/// pid 1 is started before there is a root to put it into.
pub(super) fn first_process(plan: &Plan) -> String {
    let Process { args, env, set_home, .. } = &plan.process;
    let mut words: String = env.iter().map(|pair| format!(" {}", quote(pair))).collect();
    if *set_home {
        words.push_str(" HOME=\"$home\"");
    }
    let args: String = args.iter().map(|arg| format!(" {}", quote(arg))).collect();
    let limits: String = plan.steps.iter().filter_map(limit).collect();
    let (mut umask, mut cwd) = ("0022".to_owned(), "/".to_owned());
    for step in &plan.steps {
        match step {
            Step::Umask { mask } => umask = format!("{mask:04o}"),
            Step::WorkingDirectory { path } => cwd = path.to_string_lossy().into_owned(),
            _ => {}
        }
    }
    let rights = rights(plan);
    let stdin = if plan.process.interactive { "" } else { " </dev/null" };
    format!(
        "# pid 1 of the new pid namespace: the first child of the process that called unshare. It starts with the rights that it
# will have (the bounding set can't grow again) and waits, because the root it will live in is not there yet.
exec 4<>\"$T/go\"
env -i{words} setpriv {rights} sh -c '
	read -r go <&4
	exec 4<&-
	umask {umask}
{limits}	cd \"$1\"
	unset OLDPWD
	shift
	exec \"$@\"' sh {cwd}{args}{stdin} &
first=$!
# Should a step below fail, pid 1 must not wait for ever.
trap 'kill -KILL $first 2>/dev/null || :' EXIT

",
        cwd = quote(&cwd),
    )
}

/// setpriv's words: ids, groups, capabilities, no_new_privs.
fn rights(plan: &Plan) -> String {
    let mut words = String::from("--reuid=\"$uid\" --regid=\"$gid\"");
    words.push_str(if plan.ids.setgroups && !plan.process.keep_groups {
        " --groups=\"$groups\""
    } else {
        " --keep-groups"
    });
    for step in &plan.steps {
        match step {
            Step::Capabilities(sets) => {
                let kept: String = sets.bounding.iter().map(|name| format!(",+{}", name.to_lowercase())).collect();
                let _ = write!(words, " --bounding-set=-all{kept} --inh-caps=-all");
            }
            Step::NoNewPrivileges => words.push_str(" --no-new-privs"),
            _ => {}
        }
    }
    words
}

/// Names are looked up in the image's own files, as the image knows them; outside, because the first process that is forked
/// inside is pid 1.
pub(super) fn user(plan: &Plan) -> String {
    let Some((user, groups)) = plan.steps.iter().find_map(|step| match step {
        Step::User { user, groups, .. } => Some((user, groups)),
        _ => None,
    }) else {
        return String::new();
    };
    let passwd = plan.steps.iter().find_map(|step| match step {
        Step::Overlay { lower, .. } => {
            Some(lower.iter().map(|layer| quote(&layer.join("etc").to_string_lossy())).collect::<Vec<_>>())
        }
        Step::BindRoot { source, .. } => Some(vec![quote(&source.join("etc").to_string_lossy())]),
        _ => None,
    });
    let places = passwd.unwrap_or_default().join(" ");
    let (name, group) = user.split_once(':').unwrap_or((user, ""));
    let name = if name.is_empty() { "0" } else { name };
    let added: String = groups.iter().map(|group| format!(" {}", quote(group))).collect();
    format!(
        "# --- Who: a name or a number, looked up in the image's own passwd and group files. ---------------------------------
etc() {{ for place in {places}; do if [ -f \"$place/$1\" ]; then cat \"$place/$1\"; return; fi; done; }}
line=$(etc passwd | awk -F: -v u={name} '$1 == u || $3 == u {{ print; exit }}')
uid=$(echo \"${{line:-:x:{name}:0::/}}\" | cut -d: -f3)
gid=$(echo \"${{line:-:x:{name}:0::/}}\" | cut -d: -f4)
home=$(echo \"${{line:-:x:{name}:0::/}}\" | cut -d: -f6)
gid_of() {{ etc group | awk -F: -v g=\"$1\" '$1 == g || $3 == g {{ print $3; found = 1; exit }} END {{ if (!found) print g }}'; }}
group={group}
[ -z \"$group\" ] || gid=$(gid_of \"$group\")
groups=$gid
[ -n \"$group\" ] || groups=$groups$(etc group | awk -F: -v u=\"${{line%%:*}}\" 'u != \"\" && (\",\" $4 \",\") ~ (\",\" u \",\") {{ printf \",%s\", $3 }}')
for added in{added}; do groups=$groups,$(gid_of \"$added\"); done
export uid gid groups home

",
        name = quote(name),
        group = quote(group),
    )
}

fn limit(step: &Step) -> Option<String> {
    let Step::Rlimit(limit) = step else { return None };
    let letter = match limit.name.as_str() {
        "core" => 'c',
        "data" => 'd',
        "fsize" => 'f',
        "memlock" => 'l',
        "nofile" => 'n',
        "nproc" => 'p',
        "stack" => 's',
        "cpu" => 't',
        "as" => 'v',
        other => return Some(format!("\t# The limit {other} has no letter in ulimit(1).\n")),
    };
    let number = |value: u64| if value == u64::MAX { "unlimited".to_owned() } else { value.to_string() };
    Some(format!("\tulimit -S{letter} {}\n\tulimit -H{letter} {}\n", number(limit.soft), number(limit.hard)))
}

/// The lines of one step; those that belong to pid 1 have been written there.
pub(super) fn render(step: &Step, plan: &Plan) -> String {
    match step {
        Step::Isolate { propagation } => isolate(*propagation),
        Step::Overlay { lower, .. } => overlay(lower),
        Step::BindRoot { source, .. } => format!(
            "# The root: a directory of yours, as a mount of its own, because pivot_root wants one.\nmount --rbind {} \"$R\"\nmount --make-rprivate \"$R\"\n\n",
            quote(&source.to_string_lossy())
        ),
        Step::Mount { filesystem, target, attributes, options, .. } => fresh(filesystem, target, *attributes, options),
        Step::Bind { .. } => bind(step, plan),
        Step::Directory { target, .. } => format!("mkdir -p {}\n", in_root(target)),
        Step::Symlink { target, to } => format!("ln -s {} {} 2>/dev/null || true\n", quote(to), in_root(target)),
        Step::Terminal => {
            "# rl opens a pty from the container's own devpts here; this script leaves you your terminal.\n\n".into()
        }
        Step::Emulate { emulators } => emulate(emulators),
        Step::Mask { targets } => mask(targets),
        Step::ReadOnly { targets } => read_only(targets, plan),
        Step::Hostname { name } => format!("# Its own name.\nhostname {}\n", quote(name)),
        Step::Domainname { name } => format!("echo {} >/proc/sys/kernel/domainname\n", quote(name)),
        Step::Loopback => {
            "# A new network namespace has a loopback interface, and it is down.\nip link set lo up\n\n".into()
        }
        Step::Sysctl { key, value } => {
            format!("echo {} >\"$R\"/proc/sys/{}\n", quote(value), quote(&key.replace('.', "/")))
        }
        Step::PivotRoot { .. } => pivot(),
        Step::Device(device) => format!(
            "# A user namespace can't make nodes, so the host's own is bound.\n: >{to}\nmount --bind {from} {to}\n",
            to = in_root(&device.path),
            from = quote(&device.path.to_string_lossy()),
        ),
        Step::RuntimeHooks
        | Step::ContainerHooks { .. }
        | Step::StartHooks { .. }
        | Step::AwaitStart { .. }
        | Step::EnterRoot
        | Step::RootPropagation { .. }
        | Step::Keyring
        | Step::Scheduling(_)
        | Step::Personality { .. }
        | Step::Chroot
        | Step::Label { .. } => "# A step of rl oci, which this script leaves out.\n".into(),
        Step::WorkingDirectory { .. }
        | Step::Ids { .. }
        | Step::Rlimit(_)
        | Step::Umask { .. }
        | Step::User { .. }
        | Step::Capabilities(_)
        | Step::NoNewPrivileges
        | Step::Network
        | Step::RootReadOnly => String::new(),
        Step::Seccomp { profile } => {
            format!("# Here rl loads the {profile} seccomp filter; no tool of util-linux or libcap does.\n")
        }
    }
}

fn isolate(propagation: Propagation) -> String {
    let word = if propagation == Propagation::Private { "private" } else { "slave" };
    format!("# No mount made here may reach the host.\nmount --make-r{word} /\n\n")
}

fn overlay(lower: &[std::path::PathBuf]) -> String {
    let mut text = String::from(
        "# The root: the image's layers, read-only, below a writable directory. Links give the layers short names without
# colons and commas, which mount would take for separators. userxattr: overlay may not write trusted.* here.
layers=
",
    );
    for (index, layer) in lower.iter().enumerate() {
        let _ = writeln!(
            text,
            "ln -s {} \"$T/l{index}\"\nlayers=$layers${{layers:+:}}$T/l{index}",
            quote(&layer.to_string_lossy())
        );
    }
    text.push_str(
        "mount -t overlay overlay -o \"userxattr,lowerdir=$layers,upperdir=$T/upper,workdir=$T/work\" \"$R\"\n\n",
    );
    text
}

fn words(attributes: Attributes) -> Vec<&'static str> {
    let Attributes { read_only, nosuid, nodev, noexec, noatime, strictatime, nodiratime, nosymfollow } = attributes;
    [
        (read_only, "ro"),
        (nosuid, "nosuid"),
        (nodev, "nodev"),
        (noexec, "noexec"),
        (noatime, "noatime"),
        (strictatime, "strictatime"),
        (nodiratime, "nodiratime"),
        (nosymfollow, "nosymfollow"),
    ]
    .into_iter()
    .filter_map(|(on, word)| on.then_some(word))
    .collect()
}

fn in_root(target: &Path) -> String {
    format!("\"$R\"{}", quote(&target.to_string_lossy()))
}

fn fresh(filesystem: &str, target: &Path, attributes: Attributes, options: &[(String, Option<String>)]) -> String {
    let mut all: Vec<String> = words(attributes).into_iter().map(str::to_owned).collect();
    all.extend(options.iter().map(|(key, value)| value.as_ref().map_or(key.clone(), |value| format!("{key}={value}"))));
    let options = if all.is_empty() { String::new() } else { format!(" -o {}", quote(&all.join(","))) };
    let why = match filesystem {
        "proc" => "# proc shows the processes of the pid namespace of whoever mounts it.\n",
        "sysfs" => "# sysfs shows the devices of the network namespace.\n",
        "devpts" => "# Terminals of its own: a pts of the host is not among them.\n",
        "mqueue" => "# POSIX message queues of the IPC namespace.\n",
        _ => "",
    };
    let target = in_root(target);
    format!("{why}[ -d {target} ] || mkdir -p {target}\nmount -t {filesystem}{options} {filesystem} {target}\n")
}

fn bind(step: &Step, plan: &Plan) -> String {
    let Step::Bind {
        source,
        target,
        recursive,
        attributes,
        propagation,
        device,
        deep: _,
        copy,
        owner,
        idmap: _,
        beneath: _,
    } = step
    else {
        return String::new();
    };
    let made = plan.host.files.iter().any(|(path, _)| path == source);
    let from = if made {
        format!("\"$T/{}\"", source.file_name().unwrap_or_default().to_string_lossy())
    } else {
        quote(&source.to_string_lossy())
    };
    let to = in_root(target);
    let verb = if *recursive { "--rbind" } else { "--bind" };
    let mut text = if *device || made {
        format!("[ -e {to} ] || : >{to}\n")
    } else {
        format!("if [ -d {from} ]; then mkdir -p {to}; else [ -e {to} ] || : >{to}; fi\n")
    };
    if *copy {
        text.push_str("# A new volume begins with what the image has there.\n");
        let _ = writeln!(text, "[ -n \"$(ls -A {from})\" ] || cp -a {to}/. {from}/");
    }
    if let Some(owner) = owner {
        let owner = if owner.is_empty() { "0:0" } else { owner };
        let _ = writeln!(text, "chown -R -h {} {from}", quote(owner));
    }
    let _ = writeln!(text, "mount {verb} {from} {to}");
    let words = words(*attributes);
    if !words.is_empty() {
        let _ = writeln!(text, "mount -o remount,bind,{} {to}", words.join(","));
    }
    let kind = match propagation {
        Propagation::Private => "private",
        Propagation::Slave => "slave",
        Propagation::Shared => "shared",
        Propagation::Unbindable => "unbindable",
    };
    let all = if *recursive { "r" } else { "" };
    let _ = writeln!(text, "mount --make-{all}{kind} {to}");
    text
}

fn emulate(emulators: &[Emulator]) -> String {
    let mut text = String::from(
        "# Programs of another architecture: qemu runs them. Since Linux 6.7 a user namespace may have handlers of its own, and needs
# no administrator for it. F: the kernel opens qemu now, so the image needs none. C: setuid programs get their rights.
# P: programs see the argv[0] that they were given. The handlers live as long as this mount, that is, as the container.
binfmt=$R/proc/sys/fs/binfmt_misc
mount -t binfmt_misc -o nosuid,nodev,noexec binfmt_misc \"$binfmt\"
",
    );
    for emulator in emulators {
        if let Some(line) = emulator.registration(&emulator.interpreter) {
            let _ = writeln!(text, "printf %s {} >\"$binfmt/register\"", quote(&line));
        }
    }
    text.push_str("mount -o remount,bind,ro,nosuid,nodev,noexec \"$binfmt\"\n\n");
    text
}

fn mask(targets: &[std::path::PathBuf]) -> String {
    let list: String = targets.iter().map(|target| format!(" {}", quote(&target.to_string_lossy()))).collect();
    format!(
        "# What a container has no business to read: a directory is covered by an empty file system, a file by /dev/null.
for path in{list}; do
	if [ -d \"$R$path\" ]; then
		mount -t tmpfs -o ro,nosuid,nodev,noexec,size=0,mode=755 tmpfs \"$R$path\"
	elif [ -e \"$R$path\" ]; then
		mount --bind /dev/null \"$R$path\"
	fi
done

"
    )
}

fn read_only(targets: &[std::path::PathBuf], plan: &Plan) -> String {
    let mut text = String::from("# And what it may read but not write.\n");
    for target in targets {
        let mut words = vec!["remount", "bind", "ro"];
        let kept = around(plan, target).map(|attributes| self::words(*attributes)).unwrap_or_default();
        words.extend(kept.into_iter().filter(|word| *word != "ro"));
        let path = in_root(target);
        let _ = writeln!(
            text,
            "if [ -e {path} ]; then\n\tmount --bind {path} {path}\n\tmount -o {} {path}\nfi",
            words.join(",")
        );
    }
    text.push('\n');
    text
}

fn pivot() -> String {
    String::from(
        "# The new root becomes / of every process here whose / was the old one, pid 1 too. The old root needs a place until it
# goes: it lies on /dev for a moment. After pivot_root no tool of the host can be found by its path, and the image may
# have none, so umount is run from the old root, through the old root's own loader.
umount=$(readlink -f \"$(command -v umount)\")
loader=$(readlink -f \"$(ldd \"$umount\" | awk '$1 ~ /^\\// { print $1 }')\")
libraries=
for library in $(ldd \"$umount\" | awk '$3 ~ /^\\// { print $3 }'); do
	libraries=$libraries${libraries:+:}/dev$(dirname \"$(readlink -f \"$library\")\")
done
cd \"$R\"
pivot_root . dev
\"/dev$loader\" --library-path \"$libraries\" \"/dev$umount\" --no-canonicalize --lazy /dev

",
    )
}

/// What is waited for before the first step: rl makes the network beside the others, which a script can't.
pub(super) fn network(plan: &Plan) -> String {
    if plan.network.is_nothing() {
        return String::new();
    }
    "# The network: slirp4netns, which runs outside, makes an interface in this namespace when it knows who we are.
echo $$ >\"$T/net\"
# With read, not with a program: the first process that is forked here is pid 1. It says `1` and no more.
read -r there <\"$T/net-there\" || [ \"$there\" = 1 ]

"
    .to_owned()
}
