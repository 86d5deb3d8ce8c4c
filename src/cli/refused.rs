//! Flags and verbs of docker and podman that `rl` does not have: why, and what does the same.
//!
//! Pure data, read only once a command line was found to be wrong, so that it costs a good one nothing. The surprise: a flag is here only
//! if the verb has it nowhere; what a flag may not say is refused where its value is read.

use crate::error::{Error, catalog::command_line};

/// Flags of some verbs.
struct Refused {
    /// As they are typed, without `rl` and `container`.
    verbs: &'static [&'static str],
    flags: &'static [&'static str],
    why: &'static str,
    instead: &'static str,
}

const RUN: &[&str] = &["run", "create"];

/// In the order of docs/podman.md.
const FLAGS: [Refused; 28] = [
    Refused {
        verbs: RUN,
        flags: &["--pod", "--pod-id-file"],
        why: "rl has no pods",
        instead: "Put the containers into one network: rl network create NAME, then --network NAME. To share one's network: \
                  --network container:NAME.",
    },
    Refused {
        verbs: RUN,
        flags: &["--secret"],
        why: "rl keeps no secrets",
        instead: "Mount the file read-only, which nobody else can read: -v ./secret:/run/secrets/NAME:ro. For a variable: --env-file.",
    },
    Refused {
        verbs: RUN,
        flags: &["--requires"],
        why: "rl starts no container for another one",
        instead: "Services do it: rl generate systemd or rl quadlet, with Requires= and After= in the unit.",
    },
    Refused {
        verbs: RUN,
        flags: &["--passwd-entry", "--group-entry", "--hostuser"],
        why: "rl writes nothing into a container's /etc/passwd and /etc/group",
        instead: "Mount files of your own: -v ./passwd:/etc/passwd:ro.",
    },
    Refused {
        verbs: RUN,
        flags: &["--init-path"],
        why: "--init is rl itself, and no program of the host's",
        instead: "--init alone, or the image's own init as the command.",
    },
    Refused {
        verbs: RUN,
        flags: &["--runtime", "--runtime-flag"],
        why: "rl is the runtime",
        instead: "Leave it out. Engines use rl as theirs: rl oci.",
    },
    Refused {
        verbs: RUN,
        flags: &["--gpus"],
        why: "rl knows no vendor's driver",
        instead: "Give it the devices, and the driver's files where the image has none: --device /dev/dri, --device /dev/nvidia0, -v FILE:FILE:ro.",
    },
    Refused {
        verbs: RUN,
        flags: &["--mac-address"],
        why: "no network of rl's takes an address of the link layer",
        instead: "Leave it out; an address of IP is --ip, in a network by name.",
    },
    Refused {
        verbs: RUN,
        flags: &["--link", "--link-local-ip"],
        why: "rl has no links, which docker has given up, too",
        instead: "In a network by name containers find each other: rl network create NAME, then --network NAME.",
    },
    Refused {
        verbs: RUN,
        flags: &["--subuidname", "--subgidname"],
        why: "an unprivileged user may map no ids but the own ones",
        instead: "--userns=auto for a range of its own; --uidmap and --gidmap for any other map of yours.",
    },
    Refused {
        verbs: RUN,
        flags: &["--device-cgroup-rule"],
        why: "an unprivileged user can make no device nodes, so there is nothing that it would allow",
        instead: "--device PATH gives it one that you may use.",
    },
    Refused {
        verbs: &["run", "create", "update"],
        flags: &["--cpu-rt-period", "--cpu-rt-runtime", "--kernel-memory", "--memory-swappiness", "--oom-kill-disable"],
        why: "control groups of version 2 have no such limit",
        instead: "-m, --memory-swap, --cpus and --cpu-shares; --oom-score-adj says who is killed first.",
    },
    Refused {
        verbs: &["run", "create", "update"],
        flags: &["--blkio-weight-device"],
        why: "rl gives weights to all devices alike",
        instead: "--blkio-weight, or a rate for the device: --device-read-bps, --device-write-iops ...",
    },
    Refused {
        verbs: RUN,
        flags: &["--rdt-class", "--intel-rdt-clos-id"],
        why: "the classes of resctrl are the machine's administrator's",
        instead: "An administrator puts your control group into one.",
    },
    Refused {
        verbs: RUN,
        flags: &["--storage-opt", "--shm-size-systemd"],
        why: "rl bounds no writable layer, and no memory of a systemd",
        instead: "--read-only, and --tmpfs PATH:size=SIZE where it writes.",
    },
    Refused {
        verbs: RUN,
        flags: &["--cpu-count", "--cpu-percent", "--io-maxbandwidth", "--io-maxiops", "--isolation"],
        why: "it is of Windows' containers",
        instead: "--cpus, --device-read-bps and its kin.",
    },
    Refused {
        verbs: RUN,
        flags: &["--use-api-socket", "--sdnotify-path"],
        why: "there is no daemon, and no socket of one",
        instead: "Leave it out.",
    },
    Refused {
        verbs: RUN,
        flags: &["--chrootdirs", "--hosts-file"],
        why: "rl makes /etc/hosts and its neighbours in one place, and of its own words",
        instead: "--no-hosts and -v ./hosts:/etc/hosts; --add-host NAME:IP adds to it.",
    },
    Refused {
        verbs: RUN,
        flags: &["--health-log-destination", "--health-max-log-count", "--health-max-log-size"],
        why: "the last five results are kept, and no file of them",
        instead: "rl inspect -f '{{json .State.Health.Log}}' NAME; rl events tells of each change.",
    },
    Refused {
        verbs: RUN,
        flags: &[
            "--health-startup-cmd",
            "--health-startup-interval",
            "--health-startup-retries",
            "--health-startup-success",
            "--health-startup-timeout",
        ],
        why: "there is one check, which is made more often in the beginning",
        instead: "--health-start-period with --health-start-interval, as docker has them.",
    },
    Refused {
        verbs: &["run", "create", "pull"],
        flags: &["--decryption-key"],
        why: "rl reads no encrypted images",
        instead: "skopeo copy --decryption-key ... writes a plain one, which rl load reads.",
    },
    Refused {
        verbs: &["ps", "ls", "list"],
        flags: &["--pod", "-p"],
        why: "rl has no pods",
        instead: "Networks stand in for them: rl ps --filter network=NAME.",
    },
    Refused {
        verbs: &["ps", "ls", "list"],
        flags: &["--watch", "-w"],
        why: "a list is printed once",
        instead: "watch -n SECONDS rl ps; or, without asking again and again: rl events.",
    },
    Refused {
        verbs: &["cp"],
        flags: &["--overwrite"],
        why: "no file takes a directory's place, and no directory a file's",
        instead: "Take away what is there before: rl exec NAME rm -r PATH.",
    },
    Refused {
        verbs: &["start"],
        flags: &["--checkpoint", "--checkpoint-dir"],
        why: "rl keeps no checkpoints: an unprivileged user can't restore one",
        instead: "rl pause and rl unpause, or rl commit for its files.",
    },
    Refused {
        verbs: &["rm"],
        flags: &["--link"],
        why: "rl has no links, which docker has given up, too",
        instead: "rl network disconnect NETWORK CONTAINER.",
    },
    Refused {
        verbs: &["exec"],
        flags: &["--no-session", "--preserve-fd"],
        why: "rl knows neither",
        instead: "--preserve-fds N for the first N descriptors behind stderr.",
    },
    Refused {
        verbs: &["volume create"],
        flags: &[
            "--availability",
            "--group",
            "--limit-bytes",
            "--required-bytes",
            "--scope",
            "--secret",
            "--sharing",
            "--topology-preferred",
            "--topology-required",
            "--type",
        ],
        why: "it is of volumes of a cluster",
        instead: "rl volume create NAME, for this machine and user.",
    },
];

/// Verbs that people may look for.
const VERBS: [(&[&str], &str, &str); 9] = [
    (
        &["pod", "kube", "play"],
        "rl has no pods",
        "Networks by name hold containers together: rl network create --help.",
    ),
    (
        &["build", "buildx", "builder", "farm", "manifest"],
        "rl builds no images of Dockerfiles",
        "buildah or docker build them and rl load or rl pull reads them; rl commit makes one of a container.",
    ),
    (&["secret"], "rl keeps no secrets", "Files that nobody else can read: -v ./secret:/run/secrets/NAME:ro."),
    (
        &["compose", "stack", "swarm", "service", "node", "config"],
        "rl has no compose files and no clusters",
        "Services of your systemd: rl quadlet --help.",
    ),
    (
        &["machine", "context", "connection"],
        "rl runs on this machine, without a daemon",
        "Leave it out: rl run --help.",
    ),
    (
        &["checkpoint", "restore"],
        "rl keeps no checkpoints: an unprivileged user can't restore one",
        "rl pause and rl unpause, or rl commit for its files.",
    ),
    (&["auto-update"], "rl updates no containers", "rl run --pull=newer, or Pull=newer in a .container file."),
    (
        &["init", "cleanup", "runlabel", "clone"],
        "rl knows no such step",
        "rl create, rl start and rl run do all of it.",
    ),
    (
        &["healthcheck"],
        "the supervisor makes the checks",
        "rl inspect -f '{{.State.Health.Status}}' NAME; once more by hand: rl exec NAME COMMAND.",
    ),
];

/// What is to be said of a flag of `verb`, without `rl` and `container`.
pub(super) fn flag(verb: &str, flag: &str) -> Option<Error> {
    let flag = flag.split('=').next().unwrap_or(flag);
    let found = FLAGS.iter().find(|one| one.verbs.contains(&verb) && one.flags.contains(&flag))?;
    let what = format!("rl {verb} {flag}: {}", found.why);
    Some(Error::new(&command_line::NOT_HERE, what).fix(found.instead))
}

/// What is to be said of a verb.
pub(super) fn verb(word: &str) -> Option<Error> {
    let (_, why, instead) = VERBS.iter().find(|(words, ..)| words.contains(&word))?;
    Some(Error::new(&command_line::NOT_HERE, format!("rl {word}: {why}")).fix(*instead))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{GROUPS, VERBS as HERE};

    /// A flag that has come meanwhile must not be said to be missing.
    #[test]
    fn no_flag_is_refused_that_there_is() {
        let groups = GROUPS.iter().flat_map(|group| group.verbs.iter().map(|(_, verb)| verb));
        for verb in HERE.iter().chain(groups) {
            let command = (verb.command)();
            let name = command.get_name().trim_start_matches("rl ").to_owned();
            for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
                let long =
                    arg.get_long_and_visible_aliases().unwrap_or_default().into_iter().map(|long| format!("--{long}"));
                for word in long.chain(arg.get_short().map(|short| format!("-{short}"))) {
                    assert!(flag(&name, &word).is_none(), "rl {name} has {word}");
                }
            }
        }
    }

    #[test]
    fn every_one_is_of_a_verb_that_there_is_and_says_what_to_do() {
        let of_groups = |name: &str| {
            GROUPS.iter().any(|group| {
                let full = |verb: &str| {
                    if group.name == "container" { verb.to_owned() } else { format!("{} {verb}", group.name) }
                };
                group.verbs.iter().any(|(verb, _)| full(verb) == name)
            })
        };
        for one in &FLAGS {
            for name in one.verbs {
                assert!(HERE.iter().any(|verb| verb.name == *name) || of_groups(name), "{name}");
            }
            assert!(
                !one.why.is_empty() && one.instead.ends_with(['.', ')']) || one.instead.ends_with("..."),
                "{}",
                one.instead
            );
        }
    }

    #[test]
    fn the_page_on_podman_names_each() {
        let page = include_str!("../../docs/podman.md");
        for flag in FLAGS.iter().flat_map(|one| one.flags) {
            assert!(page.contains(&format!("`{flag}`")), "docs/podman.md does not name {flag}");
        }
    }

    #[test]
    fn a_value_in_the_same_word_does_not_hide_the_flag() {
        assert!(flag("run", "--pod=web").is_some() && flag("run", "--pod").is_some());
        assert!(flag("run", "--bogus").is_none() && flag("logs", "--pod").is_none());
    }
}
